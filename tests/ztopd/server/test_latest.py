"""The newest frames out of the feed's bytes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztop_protocol.codec import encode_section
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import EncodedFrame
from ztopd.server.latest import Latest


def whole(latest: Latest, seq: int) -> Frame:
    return latest.frame(seq, tuple(latest.section_names(seq)))


def test_the_first_frame_is_a_keyframe_and_has_none_before_it(machine: Any) -> None:
    latest = Latest()
    latest.take(machine.tick())
    assert latest.previous is None
    assert whole(latest, 1) == machine.frame


def test_the_newest_and_the_one_before_are_there_and_no_other(machine: Any) -> None:
    latest = Latest()
    frames = []
    for seq in range(1, 8):
        machine.process(20, 1000, user_time_ns=seq)
        latest.take(machine.tick(keyframe=seq % 3 == 0))
        frames.append(machine.frame)
        assert whole(latest, seq) == machine.frame
        if seq > 1:
            assert whole(latest, seq - 1) == frames[-2]
    with pytest.raises(LookupError):
        latest.message(5)


def test_sections_come_go_and_rest(machine: Any) -> None:
    latest = Latest()
    latest.take(machine.tick())
    sensors = machine.tables["sensors"] = {("a", "b"): ("a", "b") + (None,) * (len(SECTIONS["sensors"].names) - 2)}
    latest.take(machine.tick(idle=("processes",)))
    assert "sensors" in latest.section_names(2)
    assert "sensors" not in latest.section_names(1)
    assert whole(latest, 2) == machine.frame
    assert latest.section("processes", 1) is latest.section("processes", 2)
    del machine.tables["sensors"]
    latest.take(machine.tick())
    assert latest.section("sensors", 3) is None
    assert latest.section("sensors", 2) is not None
    machine.tables["sensors"] = sensors
    latest.take(machine.tick())
    assert whole(latest, 4) == machine.frame


def test_rows_at_rest_are_the_same_objects_across_a_keyframe(machine: Any) -> None:
    latest = Latest()
    latest.take(machine.tick())
    first = latest.section("processes", 1)
    machine.process(20, 1000, user_time_ns=5)
    latest.take(machine.tick(keyframe=True))
    second = latest.section("processes", 2)
    latest.take(machine.tick())
    third = latest.section("processes", 3)
    assert first is not None
    assert second is not None
    assert third is not None
    at_rest, busy = (1, 10**9), (20, 20 * 10**9)
    assert first.rows[at_rest] is second.rows[at_rest] is third.rows[at_rest]
    assert first.rows[busy] != second.rows[busy]


def test_only_a_segment_is_kept(machine: Any) -> None:
    latest = Latest()
    for seq in range(1, 200):
        latest.take(machine.tick(keyframe=seq % 10 == 0))
        whole(latest, seq)
        assert len(latest._messages) <= 12
        assert all(len(states) <= 2 for states in latest._decoded.values())


def test_a_keyframe_lies_encoded(machine: Any) -> None:
    latest = Latest()
    latest.take(machine.tick())
    latest.take(machine.tick(idle=("memory",)))
    assert latest.encoded("memory", 2) == encode_section("memory", machine.frame.sections["memory"])
    assert latest.encoded("processes", 2) is None
    assert latest.encoded("sensors", 2) is None


def test_after_a_gap_the_frame_before_is_still_there(machine: Any) -> None:
    latest = Latest()
    latest.take(machine.tick())
    latest.take(machine.tick())
    before = machine.frame
    machine.tick()
    machine.process(40, 0)
    latest.take(machine.tick(gap=True))
    assert whole(latest, 2) == before
    assert whole(latest, 4) == machine.frame


def test_a_frame_that_nothing_leads_to_is_refused(machine: Any) -> None:
    latest = Latest()
    first, second, third = machine.tick(), machine.tick(), machine.tick()
    with pytest.raises(ValueError, match="frame 2 starts from frame 1"):
        latest.take(second)
    latest.take(first)
    with pytest.raises(ValueError, match="frame 3 starts from frame 2"):
        latest.take(third)


def test_nothing_is_decoded_unasked() -> None:
    latest = Latest()
    latest.take(EncodedFrame(1, 0, 0, "b", None, {}, (), {"processes": b"\xc1"}))
    latest.take(EncodedFrame(2, 0, 0, "b", 1, {"processes": b"\xc1"}, (), None))
    assert latest.section_names(2) == ["processes"]
    with pytest.raises(ValueError, match="not MessagePack"):
        latest.section("processes", 2)


STEP = st.tuples(
    st.sampled_from(["change", "new", "gone", "rest"]), st.booleans(), st.booleans(), st.sets(st.integers(0, 1))
)


@given(st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_in_between_the_frames_are_right(machine_type: Any, steps: Any) -> None:
    machine = machine_type()
    machine.process(1, 0)
    latest = Latest()
    latest.take(machine.tick())
    before = machine.frame
    for number, (what, keyframe, gap, asked) in enumerate(steps):
        match what:
            case "change":
                machine.process(1, 0, user_time_ns=number)
            case "new":
                machine.process(number + 2, 5)
            case "gone":
                machine.end(max(pid for pid, _ in machine.tables["processes"]))
                machine.process(1, 0)
        latest.take(machine.tick(keyframe=keyframe, gap=gap, idle=("process_io",) if what == "rest" else ()))
        for back in asked:
            assert whole(latest, machine.seq - back) == (before if back else machine.frame)
        before = machine.frame
    assert whole(latest, machine.seq) == machine.frame
