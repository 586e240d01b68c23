"""The server's end of a connection: what a stranger sends to the socket, from the bytes to the answers."""

import asyncio
import contextlib
import logging
import random
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import msgpack

from tests.fuzz.machine import PROC, filled_frame
from tests.fuzz.mutation import HOSTILE, MOST_BYTES, bytes_mutated, packed, value_mutated
from tests.fuzz.target import Target
from ztop_protocol.codec import FrameDecoder
from ztop_protocol.connection import (
    CLIENT_LIMITS,
    SERVER_LIMITS,
    Connection,
    ErrorCode,
    Notification,
    ProtocolViolation,
    Request,
    Response,
    pack_request,
)
from ztop_protocol.frame import Frame, apply
from ztop_protocol.segment import encode_step
from ztopd.feed import Between
from ztopd.server.hub import Hub, Settings
from ztopd.server.listener import Listener

SECOND = 10**9
FRAMES = 15
KEYFRAMES = 4
"""Every so many frames one is whole: several segments are remembered."""
FURTHER = 3
_HIGH_WATER_BYTES = 256 << 10
_PEERS = ((0, 0), (1000, 1000), (1001, 1000), (65534, 65534))
_UCRED = struct.Struct("iII")


class _AtOnce(ThreadPoolExecutor):
    """Does in the caller what others do in threads: an input always takes the same way."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


class _Bug(logging.Handler):
    """What the server says of a bug of its own, raised again."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.error = record.exc_info[1] if record.exc_info else AssertionError(record.getMessage())


class _Socket:
    """What the kernel says of the peer."""

    def __init__(self, uid: int, gid: int) -> None:
        self._credentials = _UCRED.pack(4242, uid, gid)

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        return self._credentials

    def fileno(self) -> int:
        return -1


class _Transport(asyncio.Transport):
    """A socket that is read as soon as its buffer is full, and what was read from it."""

    def __init__(self, socket: _Socket, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": socket})
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self.taken: list[bytes] = []
        self.unread_bytes = 0
        self.is_open = True
        self.is_paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def write(self, data: Any) -> None:
        assert self.is_open, "it writes to a connection that it has closed"
        self.taken.append(data)
        before, self.unread_bytes = self.unread_bytes, self.unread_bytes + len(data)
        assert before <= _HIGH_WATER_BYTES + (1 << 20), "it goes on writing to a client that does not read"
        if before <= _HIGH_WATER_BYTES < self.unread_bytes:
            self._protocol.pause_writing()
            self._loop.call_soon(self._is_read)

    def _is_read(self) -> None:
        self.unread_bytes = 0
        if self.is_open:
            self._protocol.resume_writing()

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return not self.is_open

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close


@lru_cache(1)
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_AtOnce(1))
    return loop


@lru_cache(2)
def _messages(hidepid: int) -> list[Any]:
    """What the sampler sends."""
    messages, previous = [], None
    for seq in range(1, FRAMES + FURTHER + 1):
        frame = filled_frame(seq, hidepid=hidepid)
        messages.append(encode_step(previous, frame, whole=seq % KEYFRAMES == 1))
        previous = frame
    return messages


_hubs: dict[int, Hub] = {}


def _hub(hidepid: int) -> Hub:
    """One that remembers frames, as the last input left it where that followed none."""
    if hidepid not in _hubs:
        hub = _hubs[hidepid] = Hub(Settings(SECOND, sampler_pid=77, proc=PROC), start_time_ns=5)
        hub.history._reader.shutdown()
        hub.history._reader = _AtOnce(1)
        for message in _messages(hidepid)[:FRAMES]:
            hub.take(message)
    return _hubs[hidepid]


def run(data: bytes) -> None:
    """The first byte says who it is that sends the rest, and in what pieces."""
    if not data:
        return
    kind, stream = data[0], data[1:]
    bug = _Bug()
    log = logging.getLogger("ztopd.server")
    log.addHandler(bug)
    quiet, log.propagate = log.propagate, False
    try:
        _loop().run_until_complete(_served(kind, stream))
    except AssertionError as error:
        raise bug.error or error from None
    finally:
        log.removeHandler(bug)
        log.propagate = quiet
    if bug.error is not None:
        raise bug.error


async def _served(kind: int, stream: bytes) -> None:
    uid, gid = _PEERS[kind & 3]
    hidepid = 2 if kind & 4 else 0
    hub = _hub(hidepid)
    size = max((64 << 10, 64 << 10, 1000, 7)[kind >> 3 & 3], len(stream) // 16)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    listener = Listener(hub)
    listener.log.warning = lambda message, *values: None  # type: ignore[method-assign]
    connection = listener.connection()
    transport = _Transport(_Socket(uid, gid), connection)
    connection.connection_made(transport)
    task = connection._task
    assert task is not None
    for piece in pieces:
        connection.data_received(piece)
        await _until_idle(transport, task)
        if task.done():
            break
    was_violation = task.done()
    if hub.followers:
        del _hubs[hidepid]
        for message in _messages(hidepid)[FRAMES:]:
            hub.take(message)
            now = message.boottime_ns + 5
            sections = {name: message.keyframe[name] for name in ("gpus",)} if message.keyframe else {}
            hub.take_between(Between(message.time_ns + 5, now, sections))
            await _until_idle(transport, task)
    if not was_violation:
        connection.eof_received()
        await task
    else:
        task.result()
    transport.abort()
    # the last answers were given before the end
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked, is_broken = _asked(pieces)
    assert was_violation == is_broken, "what ended the connection is no violation, or one that did not end it"
    assert hub.statistics.clients == hub.statistics.subscriptions == 0 and not hub.followers, "a client is left"
    _check_answers(asked, transport.taken)


async def _until_idle(transport: _Transport, task: "asyncio.Task[None]") -> None:
    """Until everything that came was answered, or the connection is over."""
    while not task.done() and (transport.is_paused or transport.unread_bytes > _HIGH_WATER_BYTES):  # noqa: ASYNC110
        await asyncio.sleep(0)


def _asked(pieces: list[bytes]) -> tuple[list[int], bool]:
    """The numbers of the requests in the stream, and whether it breaks the protocol."""
    connection, asked = Connection(SERVER_LIMITS), []
    with contextlib.suppress(ProtocolViolation):
        for piece in pieces:
            connection.feed(piece)
            while messages := connection.messages():
                asked += [message.id for message in messages if isinstance(message, Request)]
        return asked, False
    return asked, True


def _check_answers(asked: list[int], taken: list[bytes]) -> None:
    """Every request was answered once, in order; what was sent can be followed."""
    connection, answered = Connection(CLIENT_LIMITS), []
    frames: dict[int, Frame] = {}
    decoders: dict[int, FrameDecoder] = {}
    connection.feed(b"".join(taken))
    while messages := connection.messages(1000):
        for message in messages:
            match message:
                case Response(id=id, error=error):
                    answered.append(id)
                    assert error is None or error.code in _CODES, f"an error of another kind: {error.code}"
                    assert error is None or (error.sentence.isascii() and error.sentence.isprintable())
                case Notification(method="frame", arguments=arguments):
                    number = arguments["subscription"]
                    frames[number] = decoders.setdefault(number, FrameDecoder()).frame(arguments)
                case Notification(method="delta", arguments=arguments):
                    number = arguments["subscription"]
                    frames[number] = apply(frames[number], decoders[number].delta(arguments))
                case Notification(method="between", arguments=arguments):
                    FrameDecoder().frame(arguments)
                case _:
                    raise AssertionError(f"a server does not send {message}")
    assert answered == asked, f"asked {asked[:20]}, answered {answered[:20]}"


_CODES = frozenset(map(str, ErrorCode)) - {ErrorCode.INTERNAL}
_END = (1 << 63) - 1
_REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hello", {"version": "0.1", "protocol_version": 1}),
    ("status", {}),
    ("ping", {}),
    ("snapshot", {"sections": ["host", "processes", "process_io"]}),
    ("snapshot", {}),
    ("top", {"sort": "rss_bytes", "descending": False, "limit": 3, "columns": ["comm", "user", "cpu_percent"]}),
    ("top", {"filter": {"comm": "task11", "pid": 11, "owner_uid": 1000}, "limit": 1000}),
    ("top", {"filter": b"\xff", "time_ns": 1_700_000_008 * SECOND, "sort": "io_read_bytes"}),
    ("top", {"seq": 5, "filter": "task", "sort": "comm"}),
    ("threads", {"pid": 1}),
    ("threads", {"pid": 11, "start_boottime_ns": SECOND}),
    ("asof", {"time_ns": 1_700_000_007 * SECOND, "sections": ["processes", "host"], "previous": True}),
    ("asof", {"seq": 3, "previous": True}),
    ("segments", {"from_ns": 0, "to_ns": _END, "sections": ["summary"], "cursor": 4}),
    ("segments", {"from_ns": 1_700_000_005 * SECOND}),
    ("segment", {"time_ns": 1_700_000_009 * SECOND, "sections": ["processes"]}),
    ("segment", {"before_seq": 9}),
    ("segment", {"after_seq": 3}),
    ("series", {"from_ns": 1_700_000_000 * SECOND, "to_ns": 1_700_000_020 * SECOND, "points": 10, "columns": []}),
    ("series", {"from_ns": 0, "to_ns": _END}),
    ("events", {"from_ns": 0, "to_ns": _END, "kinds": ["birth", "oom"], "limit": 2, "cursor": 1 << 17}),
    ("events", {"limit": 5}),
    ("subscribe", {"interval": 1, "sections": ["host", "processes", "process_io"], "between": True}),
    ("subscribe", {"interval": 2, "sections": ["gpus", "gpu_processes", "threads"], "between": True}),
    ("subscribe", {}),
    ("unsubscribe", {"subscription": 1}),
    ("no such method", {"a": 1}),
)


def _seeds() -> list[bytes]:
    each = [pack_request(number, method, given) for number, (method, given) in enumerate(_REQUESTS)]
    together = b"".join(each)
    odd = [
        *(packed([0, 1, "ping", params]) for params in ([], [{}], [[]], [None], [1, 2], None, {})),
        packed([2, "ping", [{}]]),
        packed([1, 5, None, {"seq": 5}]),
        packed([1, 5, "internal: x", None]),
        packed([0, (1 << 63) - 1, b"\xff", [{b"\xff": b"\xff"}]]),
        packed([0, 1, "top", [{"filter": {"comm": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}}]]),
        b"\xdd\xff\xff\xff\xff" + b"\xdd\xff\xff\xff\xff",
        b"\xc7\x05\x01hello\x94\x00\x01",
        b"\x91" * 100,
        msgpack.packb([0, 1, "ping", [{"x": "y" * 70_000}]]),
    ]
    streams = [*each, *odd, together, together[:300] * 3, *(seed + each[2] for seed in odd)]
    return [bytes((number & 31,)) + stream for number, stream in enumerate(streams)]


_LEAVES = (
    *HOSTILE,
    *(method for method, _ in _REQUESTS),
    *("processes", "process_io", "threads", "summary", "events", "owner_uid", "command_line", "cpu_percent"),
    *(1_700_000_000 * SECOND, 1_700_000_010 * SECOND, 9, [], ["processes"] * 2, {"pid": 1}, {"comm": None}),
)


def _in_stream(stream: bytes) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape", max_buffer_size=1 << 20)
    unpacker.feed(stream)
    with contextlib.suppress(Exception):  # whatever the unpacker raises: the rest is no message
        yield from unpacker


def mutated(data: bytes, chosen: random.Random) -> bytes:
    """Mostly other requests: valid MessagePack with something in it that is not expected."""
    if chosen.random() < 0.3:
        return bytes_mutated(data, chosen)
    kind = chosen.randrange(32) if not data or chosen.random() < 0.2 else data[0]
    messages = list(_in_stream(data[1:]))[:64]
    for _ in range(chosen.choice((1, 1, 2, 4))):
        if not messages or chosen.random() < 0.3:
            method, arguments = chosen.choice(_REQUESTS)
            messages.insert(chosen.randrange(len(messages) + 1), [0, chosen.randrange(9), method, [arguments]])
        elif len(messages) > 1 and chosen.random() < 0.2:
            del messages[chosen.randrange(len(messages))]
        place = chosen.randrange(len(messages))
        messages[place] = value_mutated(messages[place], chosen, _LEAVES)
    return (bytes((kind,)) + b"".join(map(packed, messages)))[: 2 * MOST_BYTES]


TARGET = Target("connection", "the server's end of a connection: requests in, answers out", _seeds, run, mutated)
