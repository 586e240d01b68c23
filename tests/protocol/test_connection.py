"""MessagePack-RPC without I/O: any chunking gives the same messages, and garbage is a violation and nothing else."""

import gc
import itertools
import tracemalloc
from collections.abc import Iterable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.connection import (
    CLIENT_LIMITS,
    MAX_DEPTH,
    MESSAGES_PER_TURN,
    SERVER_LIMITS,
    Connection,
    ErrorCode,
    Limits,
    Message,
    Notification,
    ProtocolViolation,
    RemoteError,
    Request,
    Response,
    are_arguments,
    pack_error,
    pack_notification,
    pack_request,
    pack_response,
)

PING = pack_request(1, "ping")


def received(*chunks: bytes, limits: Limits = SERVER_LIMITS) -> list[Any]:
    """The messages in order, as plain values; at a violation, its type ends the list."""
    connection = Connection(limits)
    found: list[Any] = []
    for chunk in chunks:
        connection.feed(chunk)
        try:
            while messages := connection.messages():
                found += map(plain, messages)
        except ProtocolViolation:
            return [*found, ProtocolViolation]
    return found


def plain(message: Message) -> tuple[Any, ...]:
    match message:
        case Request(id, method, arguments):
            return "request", id, method, dict(arguments), are_arguments(arguments)
        case Response(id, error, result):
            return "response", id, None if error is None else (error.code, error.sentence), repr(result)
        case Notification(method, arguments):
            return "notification", method, dict(arguments), are_arguments(arguments)


# --- what both ends pack, both ends read


def test_request() -> None:
    assert received(pack_request(7, "snapshot", {"sections": ["host"]})) == [
        ("request", 7, "snapshot", {"sections": ["host"]}, True)
    ]
    assert msgpack.unpackb(pack_request(7, "ping")) == [0, 7, "ping", []]


def test_response() -> None:
    assert received(pack_response(7, msgpack.packb({"a": [1]}))) == [("response", 7, None, "{'a': [1]}")]


def test_error() -> None:
    packed = pack_error(7, ErrorCode.BAD_ARGUMENTS, "no 'x\udcff'")
    assert received(packed) == [("response", 7, ("bad_arguments", "no 'x\\udcff'"), "None")]
    # strict clients refuse str that is not UTF-8
    assert msgpack.unpackb(packed)[2] == "bad_arguments: no 'x\\udcff'"


def test_notification() -> None:
    assert received(pack_notification("delta", msgpack.packb({"seq": 1}))) == [
        ("notification", "delta", {"seq": 1}, True)
    ]


def test_text_that_is_not_utf8_reaches_the_other_side() -> None:
    name = b"\xffname".decode("utf-8", "surrogateescape")
    assert received(pack_request(1, "top", {"filter": name}))[0][3] == {"filter": name}


@pytest.mark.parametrize("params", [[], [{}], [[]], [None]], ids=repr)
def test_what_means_no_arguments(params: list[Any]) -> None:
    """Neovim sends each of the first three."""
    assert received(msgpack.packb([0, 1, "ping", params])) == [("request", 1, "ping", {}, True)]
    assert received(msgpack.packb([2, "ping", params])) == [("notification", "ping", {}, True)]


@pytest.mark.parametrize("params", [[1], ["a"], [{}, {}], [{1: 2}], [[1]], [None, None], [{b"a": 1}]], ids=repr)
def test_arguments_that_are_no_map_leave_the_connection_alive(params: list[Any]) -> None:
    assert received(msgpack.packb([0, 1, "ping", params]) + PING) == [
        ("request", 1, "ping", {}, False),
        ("request", 1, "ping", {}, True),
    ]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        ("not_found: there is no process 7", ErrorCode.NOT_FOUND, "there is no process 7"),
        ("of_a_later_version: what: this is", "of_a_later_version", "what: this is"),
        ("oops", ErrorCode.INTERNAL, "an error of another form: 'oops'"),
        ("an oops: of ours", ErrorCode.INTERNAL, "an error of another form: 'an oops: of ours'"),
        ([4, "x"], ErrorCode.INTERNAL, "an error of another form: [4, 'x']"),
    ],
)
def test_errors_of_any_form(error: Any, code: str, sentence: str) -> None:
    assert received(msgpack.packb([1, 1, error, None])) == [("response", 1, (code, sentence), "None")]


def test_an_error_says_its_sentence() -> None:
    assert str(RemoteError("not_found", "there is no process 7")) == "there is no process 7"


# --- any chunking

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ids = st.integers(0, 2**63 - 1)
messages = st.one_of(
    st.builds(pack_request, ids, st.text(max_size=8), st.dictionaries(st.text(max_size=3), values, max_size=3)),
    st.builds(pack_response, ids, values.map(msgpack.packb)),
    st.builds(pack_error, ids, st.sampled_from(ErrorCode), st.text(max_size=8)),
    st.builds(pack_notification, st.text(max_size=8), st.dictionaries(st.text(max_size=3), values).map(msgpack.packb)),
)


def chunked(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(messages, max_size=6), st.data())
def test_any_chunking_gives_the_same_messages(packed: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(packed)
    whole = received(stream)
    assert len(whole) == len(packed)
    assert ProtocolViolation not in whole
    assert received(*(bytes([byte]) for byte in stream)) == whole
    assert received(*chunked(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))) == whole
    small = Limits(message_bytes=1 << 16, array_length=256, map_length=256, chunk_bytes=data.draw(st.integers(1, 9)))
    assert received(stream, limits=small) == whole


@given(st.lists(messages | st.binary(max_size=8) | values.map(msgpack.packb), max_size=5), st.data())
def test_garbage_gives_messages_or_a_violation_whatever_the_chunking(packed: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(packed)
    whole = received(stream)
    assert ProtocolViolation not in whole[:-1]
    assert received(*chunked(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))) == whole


@given(st.binary(max_size=200))
def test_any_bytes(stream: bytes) -> None:
    for limits in (SERVER_LIMITS, CLIENT_LIMITS):
        assert received(stream, limits=limits) == received(*(bytes([byte]) for byte in stream), limits=limits)


# --- violations

DEEP: Any = {}
for _ in range(MAX_DEPTH - 4):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "stream",
    [
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x05\x83hello",
        *map(
            msgpack.packb,
            (
                [],
                {},
                None,
                [0],
                [0, 1, "ping"],
                [0, 1, "ping", [], 5],
                [3, 1, "ping", []],
                [False, 1, "ping", []],
                [0.0, 1, "ping", []],
                ["0", 1, "ping", []],
                [[], 1, "ping", []],
                [0, -1, "ping", []],
                [0, 2**63, "ping", []],
                [0, True, "ping", []],
                [0, "1", "ping", []],
                [0, 1, None, []],
                [0, 1, b"ping", []],
                [0, 1, "ping", None],
                [0, 1, "ping", {}],
                [2, "ping", {}],
                [1, 1, None],
            ),
        ),
        b"\x94\x00\x01\xa1x\x91\x81\x90\x01",
        b"\x94\x00\x01\xa1x\x91\x81\x80\x01",
        b"\x94\x00\x01\xa1x\x91\xd4\x05\x00",
        b"\x94\x00\x01\xa1x\x91\xc7\x00\x05",
        b"\x94\x00\x01\xa1x\x91\xd6\xff\x00\x00\x00\x00",
        b"\x94\x00\x01\xa1x\x91\xc7\xff\x05" + b"\x00" * 255,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdc\x04\x01",
        b"\xde\x01\x01",
        b"\x91" * 5000,
        msgpack.packb([0, 1, "ping", [{"a": [DEEP]}]]),
    ],
    ids=lambda stream: repr(stream[:24]),
)
def test_violations(stream: bytes) -> None:
    assert received(PING + stream + PING) == [("request", 1, "ping", {}, True), ProtocolViolation]


def test_a_broken_connection_stays_broken() -> None:
    connection = Connection(SERVER_LIMITS)
    connection.feed(b"\xc1")
    for _ in range(2):
        with pytest.raises(ProtocolViolation):
            connection.messages()
        connection.feed(PING)


def test_a_violation_behind_a_message_is_not_forgotten() -> None:
    connection = Connection(SERVER_LIMITS)
    connection.feed(PING + b"\xc1")
    assert len(connection.messages()) == 1
    with pytest.raises(ProtocolViolation):
        connection.messages()


def test_the_depth_that_is_allowed() -> None:
    assert received(msgpack.packb([0, 1, "ping", [{"a": DEEP}]]))[0][:3] == ("request", 1, "ping")


def test_half_a_message_waits() -> None:
    connection = Connection(SERVER_LIMITS)
    connection.feed(PING + PING[:-1])
    assert len(connection.messages()) == 1
    assert connection.messages() == []
    connection.feed(PING[-1:])
    assert len(connection.messages()) == 1


# --- limits


def test_a_hundred_thousand_pings_at_once() -> None:
    connection = Connection(SERVER_LIMITS)
    connection.feed(PING * 100_000)
    total = 0
    while turn := connection.messages():
        assert len(turn) <= MESSAGES_PER_TURN
        total += len(turn)
    assert total == 100_000


@pytest.mark.parametrize("count", [1, MESSAGES_PER_TURN - 1, MESSAGES_PER_TURN, MESSAGES_PER_TURN + 1, 1000])
def test_an_empty_turn_means_that_there_is_no_more(count: int) -> None:
    """Many messages fit into one chunk: those that the unpacker holds already are to be asked for, too."""
    assert len(received(PING * count)) == count


def test_the_longest_message() -> None:
    head = len(msgpack.packb([0, 1, "ping", [{"a": b"x" * 60_000}]])) - 60_000
    for length in (SERVER_LIMITS.message_bytes - head - SERVER_LIMITS.chunk_bytes, SERVER_LIMITS.message_bytes - head):
        packed = msgpack.packb([0, 1, "ping", [{"a": b"x" * length}]])
        assert len(received(packed)) == 1
        assert received(packed + packed)[1][0] == "request"
    assert received(msgpack.packb([0, 1, "ping", [{"a": b"x" * (SERVER_LIMITS.message_bytes + 1)}]])) == [
        ProtocolViolation
    ]


TOO_LONG = {
    "text": b"\x94\x00\x01\xdb\xff\xff\xff\xff" + b"x" * 200_000,
    "small elements": b"\xdc\x01\x00" + (b"\xdc\x01\x00" + b"\xa3abc" * 256) * 400,
    "nested messages": (b"\xdc\x01\x00" + PING * 255) * 80,
}


@pytest.mark.parametrize("step", [1000, 1 << 16, 1 << 30])
@pytest.mark.parametrize("stream", TOO_LONG.values(), ids=TOO_LONG)
def test_a_message_that_does_not_end(stream: bytes, step: int) -> None:
    """64 KiB since the last complete message are the limit, even where every element of it is complete."""
    connection = Connection(SERVER_LIMITS)
    fed = 0
    with pytest.raises(ProtocolViolation, match=r"bytes|exceeds"):  # noqa: PT012
        for start in range(0, len(stream), step):
            part = stream[start : start + step]
            fed += len(part)
            connection.feed(part)
            assert connection.messages() == []
    assert fed <= max(step, SERVER_LIMITS.message_bytes + SERVER_LIMITS.chunk_bytes + step)


@pytest.mark.parametrize(
    ("limits", "stream", "bytes_allowed"),
    [
        (SERVER_LIMITS, b"\xdd\xff\xff\xff\xff", 300_000),
        (SERVER_LIMITS, b"\xdf\xff\xff\xff\xff", 300_000),
        (SERVER_LIMITS, b"\xdb\xff\xff\xff\xff", 300_000),
        (SERVER_LIMITS, b"\xc6\xff\xff\xff\xff", 300_000),
        (SERVER_LIMITS, b"\xc9\xff\xff\xff\xff\x05", 300_000),
        (SERVER_LIMITS, TOO_LONG["text"], 600_000),
        (SERVER_LIMITS, TOO_LONG["small elements"], 2_000_000),
        # lists are made as long as announced, 8 bytes for each element, as deep as the unpacker goes
        (SERVER_LIMITS, b"\xdc\x01\x00" * 2000, 3_000_000),
        (SERVER_LIMITS, b"\x91" * 5000, 1_000_000),
        (CLIENT_LIMITS, b"\xdd\xff\xff\xff\xff", 3_000_000),
        (CLIENT_LIMITS, b"\xdf\xff\xff\xff\xff", 3_000_000),
        (CLIENT_LIMITS, b"\xdb\xff\xff\xff\xff", 3_000_000),
    ],
    ids=lambda value: repr(value[:9]) if isinstance(value, bytes) else None,
)
def test_memory_is_bounded(limits: Limits, stream: bytes, bytes_allowed: int) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        connection = Connection(limits)
        try:
            for start in range(0, len(stream), 1 << 16):
                connection.feed(stream[start : start + (1 << 16)])
                connection.messages()
        except ProtocolViolation:
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < bytes_allowed
