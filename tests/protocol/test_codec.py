"""The codec: nothing of a text is lost, and whatever a peer sends is a frame or :exc:`Malformed`."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.messages import (
    A_CHANGE,
    NETWORKS,
    PROCESSES,
    delta_message,
    frame_message,
    network,
    section_message,
)
from tests.protocol.strategies import frame_pairs, kernel_text, sections, typed
from ztop_protocol.codec import (
    MAX_FRAME_BYTES,
    FrameDecoder,
    Malformed,
    SectionDecoder,
    encode_delta,
    encode_frame,
    encode_section,
    encode_section_change,
    encode_table,
    unpack,
)
from ztop_protocol.frame import Frame, Key, Section, SectionDelta, apply, diff
from ztop_protocol.schema import PRESSURE, SECTIONS

# --- round trips


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_comes_back(name: str) -> None:
    @given(sections(name))
    def comes_back(section: Section) -> None:
        assert typed(FrameDecoder().section(name, unpack(encode_section(name, section)))) == typed(section)

    comes_back()


@given(st.binary(max_size=40))
def test_no_byte_of_a_text_is_lost(data: bytes) -> None:
    """UTF-8 is ``str``, anything else is ``bin`` with exactly those bytes."""
    row = network("eth0", data.decode("utf-8", "surrogateescape"))
    sent = msgpack.unpackb(encode_table(NETWORKS.names, 1, [row]))["rows"][0][1]
    try:
        assert sent == data.decode()
    except UnicodeDecodeError:
        assert sent == data
    received = FrameDecoder().section("networks", unpack(encode_table(NETWORKS.names, 1, [row])))
    text = received.rows[("eth0",)][1]
    assert isinstance(text, str)
    assert text.encode("utf-8", "surrogateescape") == data


@given(kernel_text)
def test_texts_in_keys_and_changes_are_not_lost_either(text: str) -> None:
    key = (text,)
    delta = SectionDelta(1, (tuple(network(text)),), ((*key, 1, text),), (key,))
    decoder = FrameDecoder()
    decoder.section("networks", section_message([]))
    assert decoder.section_change("networks", unpack(encode_section_change("networks", delta))) == delta


@pytest.mark.parametrize(
    ("number", "received"),
    [
        (2**63 - 1, 2**63 - 1),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (2**64, None),
        (10**40, None),
        (-(2**63) - 1, None),
    ],
)
def test_numbers_of_more_than_64_bits_are_unknown(number: int, received: int | None) -> None:
    rows = [network("lo", "up", number), network("eth0", "naïve\udcff", 5)]
    section = FrameDecoder().section("networks", unpack(encode_table(NETWORKS.names, 1, rows)))
    assert section.rows[("lo",)] == tuple(network("lo", "up", received))
    assert section.rows[("eth0",)] == tuple(rows[1])


@given(frame_pairs())
def test_one_encoding_for_one_state(pair: tuple[Frame, Frame]) -> None:
    """What was decoded is encoded again to the same bytes."""
    base, frame = pair
    decoder = FrameDecoder()
    sent = encode_frame(base)
    assert encode_frame(decoder.frame(unpack(sent))) == sent
    sent = encode_delta(diff(base, frame))
    assert encode_delta(decoder.delta(unpack(sent))) == sent


# --- versions


def test_columns_of_another_version() -> None:
    """Unknown ones are left out, missing ones are None, the order is the peer's."""
    columns = ["interface", "of_the_future", "receive_bytes", "operational_state", "another"]
    decoder = FrameDecoder()
    frame = decoder.frame(
        frame_message(networks=section_message([["lo", "?", 5, "up", 1.5]], columns), of_the_future=[1, 2])
    )
    assert set(frame.sections) == {"networks"}
    assert frame.rows("networks") == {("lo",): tuple(network("lo", "up", 5))}

    delta = decoder.delta(
        delta_message(
            networks={
                "sampled_boottime_ns": 8,
                "new": [["eth0", "?", 6, "down", None]],
                "changed": [["lo", 2, 9, 1, "!", 3, None, 4, 0]],
                "gone": [],
            },
            of_the_future={"anything": True},
        )
        | {"gone_sections": ["also_of_the_future"], "unknown": 1}
    )
    assert apply(frame, delta).rows("networks") == {
        ("lo",): tuple(network("lo", None, 9)),
        ("eth0",): tuple(network("eth0", "down", 6)),
    }
    assert delta.gone_sections == ()


@given(frame_pairs(names=("networks", "pressure")), st.randoms())
def test_a_peer_with_columns_in_another_order(pair: tuple[Frame, Frame], random: Any) -> None:
    """What a peer says in its own order of columns means the same."""
    order: dict[str, list[int]] = {}
    for name in ("networks", "pressure"):
        rest = list(range(1, len(SECTIONS[name].names)))
        random.shuffle(rest)
        order[name] = [0, *rest]

    def table(name: str, body: dict[str, Any]) -> dict[str, Any]:
        places = order[name]
        if "columns" in body:
            body["columns"] = [body["columns"][place] for place in places]
            body["rows"] = [[row[place] for place in places] for row in body["rows"]]
        else:
            body["new"] = [[row[place] for place in places] for row in body["new"]]
            for change in body["changed"]:
                change[1::2] = [places.index(place) for place in change[1::2]]
        return body

    def as_the_peer_has_it(data: bytes) -> Any:
        message = unpack(data)
        return message | {"sections": {name: table(name, body) for name, body in message["sections"].items()}}

    base, frame = pair
    decoder = FrameDecoder()
    received = decoder.frame(as_the_peer_has_it(encode_frame(base)))
    assert typed(received) == typed(base)
    delta = decoder.delta(as_the_peer_has_it(encode_delta(diff(base, frame))))
    assert typed(apply(received, delta)) == typed(frame)


def test_a_whole_section_in_a_delta_may_change_the_columns() -> None:
    decoder = FrameDecoder()
    frame = decoder.frame(frame_message(networks=section_message([network("lo")])))
    delta = decoder.delta(delta_message(networks=section_message([["lo", 5]], ["interface", "receive_bytes"])))
    frame = apply(frame, delta)
    change = {"sampled_boottime_ns": 9, "new": [], "changed": [["lo", 1, 6]], "gone": []}
    frame = apply(frame, decoder.delta(delta_message(networks=change) | {"base_seq": 2, "seq": 3}))
    assert frame.rows("networks") == {("lo",): tuple(network("lo", None, 6))}


# --- what is malformed


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        frame_message() | {"seq": "1"},
        frame_message() | {"seq": True},
        frame_message() | {"boot_id": b"\xff"},
        frame_message() | {"sections": []},
        frame_message(networks=None),
        frame_message(networks=[]),
        frame_message(networks={}),
        frame_message(networks=section_message([network()], at=1.5)),
        frame_message(networks=section_message([[]])),
        frame_message(networks=section_message([network()[:-1]])),
        frame_message(networks=section_message([{}])),  # type: ignore[list-item]
        frame_message(networks=section_message([network("lo", [])])),
        frame_message(networks=section_message([network("lo", {})])),
        frame_message(networks=section_message([network([])])),
        frame_message(networks=section_message([network("lo", msgpack.Timestamp(1))])),
        frame_message(networks=section_message([network("lo", None, "many")])),
        frame_message(networks=section_message([network("lo", None, 1.5)])),
        frame_message(networks=section_message([network("lo", None, True)])),
        frame_message(networks=section_message([], [])),
        frame_message(networks=section_message([], ["mtu_bytes", "interface"])),
        frame_message(networks=section_message([], ["interface", "mtu_bytes", "mtu_bytes"])),
        frame_message(networks=section_message([], ["interface", 1])),
        frame_message(networks=section_message([], ["interface", []])),
        frame_message(networks=section_message([], [b"interface"])),
        frame_message(networks=section_message([]) | {"rows": {}}),
        frame_message(networks=section_message([]) | {"columns": "interface"}),
        frame_message(
            processes={"sampled_boottime_ns": 1, "columns": ["pid", "start_boottime_ns"], "rows": [[1, None]]}
        ),
    ],
)
def test_frames_that_are_none(message: Any) -> None:
    with pytest.raises(Malformed):
        FrameDecoder().frame(message)


@pytest.mark.parametrize(
    "message",
    [
        None,
        frame_message(),
        delta_message() | {"gone_sections": None},
        delta_message() | {"base_seq": None},
        delta_message(pressure=A_CHANGE),
        delta_message(networks=[]),
        delta_message(networks={}),
        delta_message(networks=A_CHANGE | {"new": [["lo"]]}),
        delta_message(networks=A_CHANGE | {"new": None}),
        delta_message(networks=A_CHANGE | {"gone": [[]]}),
        delta_message(networks=A_CHANGE | {"gone": ["lo"]}),
        delta_message(networks=A_CHANGE | {"gone": [["lo", 1]]}),
        delta_message(networks=A_CHANGE | {"gone": [[[]]]}),
        delta_message(networks=A_CHANGE | {"changed": [[]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", 1]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", 0, "eth0"]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", -1, 5]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", 99, 5]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", True, 5]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", None, 5]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", [[]], 5]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", 1, []]]}),
        delta_message(networks=A_CHANGE | {"changed": [["lo", NETWORKS.position["receive_bytes"], "many"]]}),
    ],
)
def test_deltas_that_are_none(message: Any) -> None:
    decoder = FrameDecoder()
    decoder.frame(frame_message(networks=section_message([network()])))
    with pytest.raises(Malformed):
        decoder.delta(message)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"\x01\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x81\x90\x01",
        b"\xd6\xff" + b"\xff" * 3,
    ],
    ids=["empty", "unused", "half", "two", "huge list", "huge map", "huge text", "deep", "list as key", "half a time"],
)
def test_bytes_that_are_no_value(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(data)


def test_a_frame_has_a_size() -> None:
    assert unpack(msgpack.packb(b"x" * (MAX_FRAME_BYTES - 8))) is not None
    with pytest.raises(Malformed):
        unpack(msgpack.packb(b"x" * MAX_FRAME_BYTES))


def test_nesting_does_not_get_through() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    for message in (deep, frame_message(networks=deep), frame_message(networks=section_message([deep], deep))):
        with pytest.raises(Malformed):
            FrameDecoder().frame(unpack(msgpack.packb(message)))
    with pytest.raises(Malformed):
        FrameDecoder().frame(frame_message(networks=section_message([network(deep)])))


def test_rows_of_one_key_are_one_row() -> None:
    rows = [["cpu", *[part] * (len(PRESSURE.names) - 1)] for part in (1, 2)]
    section = FrameDecoder().section("pressure", section_message(rows, PRESSURE.names))
    expected: Key = ("cpu",)
    assert list(section.rows) == [expected]


@pytest.mark.parametrize("bad", [["lo", True, 5], ["lo", 99, 5], ["lo", 0, "lo"], ["lo", -1, 5], [7.5, [1], 5]])
def test_what_was_found_good_before_lets_nothing_else_pass(bad: list[Any]) -> None:
    decoder = SectionDecoder(NETWORKS, NETWORKS.names)
    place = NETWORKS.position["receive_bytes"]
    for _ in range(3):
        assert decoder.change(["lo", place, 5]) == ("lo", place, 5)
        assert decoder.change(["lo", 1, b"\xff"]) == ("lo", 1, "\udcff")
        with pytest.raises(Malformed):
            decoder.change(bad)
        row: list[Any] = ["lo", *[None] * (len(NETWORKS.names) - 1)]
        assert decoder.row(row) == tuple(row)
        with pytest.raises(Malformed):
            decoder.row([*row[:place], 1.5, *row[place + 1 :]])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1e300, -1e20])
def test_floats_that_nobody_can_compute_with(bad: float) -> None:
    decoder = SectionDecoder(SECTIONS["host"], SECTIONS["host"].names)
    place = SECTIONS["host"].position["load_average_1m"]
    rest: list[Any] = [None] * len(SECTIONS["host"].names)
    for _ in range(3):
        assert decoder.row([*rest[:place], 0.5, *rest[place + 1 :]])[place] == 0.5
        assert decoder.change([place, 0.5]) == (place, 0.5)
        for read in (
            lambda: decoder.row([*rest[:place], bad, *rest[place + 1 :]]),
            lambda: decoder.change([place, bad]),
        ):
            with pytest.raises(Malformed, match="no number"):
                read()


@pytest.mark.parametrize("name", ["pid", "ppid", "uid", "nice", "priority"])
@pytest.mark.parametrize("value", ["alice", b"\xff", True])
def test_no_text_stands_where_numbers_do(name: str, value: Any) -> None:
    # whoever sorts and colours the rows computes with them
    cells: list[Any] = [1, 2, *[None] * (len(PROCESSES.names) - 2)]
    decoder = SectionDecoder(PROCESSES, PROCESSES.names)
    assert decoder.row(cells)
    cells[PROCESSES.position[name]] = value
    with pytest.raises(Malformed):
        decoder.row(cells)
