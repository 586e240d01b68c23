"""Frames and deltas: what ``diff`` makes, ``apply`` follows, in memory and through the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import BOOT_IDS, frame_pairs, frames, rows, typed
from ztop_protocol.codec import FrameDecoder, encode_delta, encode_frame, unpack
from ztop_protocol.frame import BaseMismatch, Delta, Frame, Section, SectionDelta, apply, diff
from ztop_protocol.schema import SECTIONS


def a_frame(seq: int = 1, **sections: Section) -> Frame:
    return Frame(seq, 1_700_000_000_000_000_000, seq * 10**9, BOOT_IDS[0], sections)


def pressure(some: object, resource: str = "cpu", at: int = 1) -> Section:
    return Section(at, {(resource,): (resource, some, None, None, None, None, None, None, None)})  # type: ignore[dict-item]


@given(frame_pairs())
def test_apply_follows_diff(pair: tuple[Frame, Frame]) -> None:
    base, frame = pair
    assert typed(apply(base, diff(base, frame))) == typed(frame)


@given(frames(), frames())
def test_apply_follows_diff_between_frames_that_have_nothing_to_do_with_each_other(base: Frame, frame: Frame) -> None:
    assert typed(apply(base, diff(base, frame))) == typed(frame)


@given(frame_pairs())
def test_apply_follows_diff_through_the_wire(pair: tuple[Frame, Frame]) -> None:
    base, frame = pair
    decoder = FrameDecoder()
    received = decoder.frame(unpack(encode_frame(base)))
    assert typed(received) == typed(base)
    delta = decoder.delta(unpack(encode_delta(diff(base, frame))))
    assert typed(apply(received, delta)) == typed(frame)


@given(st.data())
def test_a_chain_of_deltas_through_the_wire(data: st.DataObject) -> None:
    frame = data.draw(frames())
    decoder = FrameDecoder()
    received = decoder.frame(unpack(encode_frame(frame)))
    for _ in range(4):
        base, frame = frame, data.draw(frames(frame))
        received = apply(received, decoder.delta(unpack(encode_delta(diff(base, frame)))))
    assert typed(received) == typed(frame)


@given(frames())
def test_a_delta_to_the_same_state_is_empty(frame: Frame) -> None:
    later = Frame(frame.seq + 1, frame.time_ns, frame.boottime_ns, frame.boot_id, dict(frame.sections))
    delta = diff(frame, later)
    assert not delta.sections
    assert not delta.gone_sections


@given(st.data(), st.sampled_from(sorted(SECTIONS)))
def test_a_delta_has_only_what_changed(data: st.DataObject, name: str) -> None:
    key = ("x", 2, 3)[: SECTIONS[name].key_length]
    row = data.draw(rows(name, key))
    other = tuple(cell if place < len(key) else "other" for place, cell in enumerate(row))
    base = a_frame(1, **{name: Section(1, {key: row})})
    delta = diff(base, a_frame(2, **{name: Section(2, {key: (*row[:-1], other[-1])})}))
    assert delta.sections[name] == SectionDelta(2, (), ((*key, len(row) - 1, "other"),), ())
    equal = diff(base, a_frame(2, **{name: Section(2, {key: (*row[:-1], row[-1])})}))
    assert equal.sections[name] == SectionDelta(2, (), (), ())


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (True, 1), (1, 1.0), (1.0, True), (0, False), (0, None), ("", None)]
)
def test_values_that_python_takes_for_equal_are_told_apart(before: object, after: object) -> None:
    base, frame = a_frame(1, pressure=pressure(before)), a_frame(2, pressure=pressure(after))
    delta = diff(base, frame).sections["pressure"]
    assert isinstance(delta, SectionDelta)
    assert [typed(change) for change in delta.changed] == [typed(("cpu", 1, after))]
    assert typed(apply(base, diff(base, frame))) == typed(frame)


def test_rows_at_rest_are_shared() -> None:
    base = a_frame(1, pressure=Section(1, dict(pressure(1).rows) | dict(pressure(2, "io").rows)))
    change = SectionDelta(2, (), (("cpu", 1, 5),), ())
    frame = apply(base, Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": change}))
    assert frame.rows("pressure")[("io",)] is base.rows("pressure")[("io",)]
    assert frame.cell("pressure", "some_avg10_percent", ("cpu",)) == 5
    assert base.cell("pressure", "some_avg10_percent", ("cpu",)) == 1


def test_a_section_that_was_not_sampled_is_kept_as_it_is() -> None:
    base = a_frame(1, pressure=pressure(1))
    frame = apply(base, Delta(1, 2, 0, 0, BOOT_IDS[0], {}))
    assert frame.sections["pressure"] is base.sections["pressure"]


def test_cells_that_are_not_there() -> None:
    frame = a_frame(1, pressure=pressure(1))
    assert frame.cell("pressure", "some_avg10_percent", ("io",)) is None
    assert frame.cell("memory", "total_bytes") is None
    assert frame.rows("memory") == {}


@pytest.mark.parametrize(
    "delta",
    [
        Delta(2, 3, 0, 0, BOOT_IDS[0], {}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"memory": SectionDelta(1, (), (), ())}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": SectionDelta(1, (), (("io", 1, 5),), ())}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": SectionDelta(1, (), (), (("io",),))}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": SectionDelta(1, (), (), (("cpu",), ("cpu",)))}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": SectionDelta(1, (), (("cpu", 99, 5),), ())}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": SectionDelta(1, (), (("cpu", "x", 5),), ())}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": SectionDelta(1, (), (("cpu", 1),), ())}),
        Delta(1, 2, 0, 0, BOOT_IDS[0], {"pressure": SectionDelta(1, (), (), ())}, ("pressure",)),
    ],
    ids=["base", "section", "changed", "gone", "gone twice", "column", "no column", "half a pair", "gone section"],
)
def test_a_delta_that_does_not_fit_is_refused(delta: Delta) -> None:
    with pytest.raises(BaseMismatch):
        apply(a_frame(1, pressure=pressure(1)), delta)


@given(frames(), frame_pairs())
def test_a_delta_of_other_frames_is_refused_or_gives_a_frame(base: Frame, pair: tuple[Frame, Frame]) -> None:
    delta = diff(*pair)
    try:
        frame = apply(base, delta)
    except BaseMismatch:
        return
    assert frame.seq == delta.seq
    for name, section in frame.sections.items():
        length = SECTIONS[name].key_length
        assert all(row[:length] == key and len(row) == len(SECTIONS[name].names) for key, row in section.rows.items())
