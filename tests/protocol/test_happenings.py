"""What happened: rows of one frame only, told once each, and gaps."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.test_timeline import Event, events
from tests.ztopd.history.test_ring import frames_of
from ztop_protocol.frame import Cell, Frame, Section
from ztop_protocol.happenings import Before, Happening, happenings
from ztop_protocol.schema import ALERTS, EVENTS, PROCESS_EVENTS, SectionSchema
from ztop_protocol.segment import EncodedFrame, Segment, encode_step

SECOND = 1_000_000_000


def section(schema: SectionSchema, sampled_ns: int, *rows: dict[str, Cell]) -> Section:
    made = [tuple(row.get(name) for name in schema.names) for row in rows]
    return Section(sampled_ns, {row[: schema.key_length]: row for row in made})


def frame(seq: int, *kinds: str, first: int = 1, born: tuple[int, ...] = (), boottime_s: int | None = None) -> Frame:
    boottime_ns = (seq if boottime_s is None else boottime_s) * SECOND
    rows = [{"number": first + place, "kind": kind, "value": 1.5} for place, kind in enumerate(kinds)]
    processes = [{"number": pid, "kind": "appeared", "pid": pid, "comm": f"p{pid}"} for pid in born]
    sections = {
        "events": section(EVENTS, boottime_ns, *rows),
        "process_events": section(PROCESS_EVENTS, boottime_ns, *processes),
    }
    return Frame(seq, 1000 * SECOND + boottime_ns, boottime_ns, "boot", sections)


def segment_of(*frames: Frame, interval_ns: int = SECOND) -> Segment:
    segment = Segment.begun_by(encode_step(None, frames[0], whole=True), interval_ns)
    for before, after in itertools.pairwise(frames):
        segment.add(encode_step(before, after, whole=False))
    return segment


def told(found: list[Happening]) -> list[tuple[int, Any]]:
    return [(each.stamp.seq, each.cells["kind"]) for each in found]


def test_every_row_once_by_frame_then_by_section() -> None:
    segment = segment_of(
        frame(1, "started"), frame(2, born=(7,)), frame(3, "oom_kill", "left_out", first=2, born=(8, 9)), frame(4)
    )
    found = happenings(segment, None)
    assert told(found) == [
        (1, "started"), (2, "appeared"), (3, "oom_kill"), (3, "left_out"), (3, "appeared"), (3, "appeared")
    ]  # fmt: skip
    assert set(found[0].cells) == set(EVENTS.names)
    assert set(found[1].cells) == set(PROCESS_EVENTS.names)
    assert (found[1].cells["comm"], found[2].cells["value"]) == ("p7", 1.5)
    assert found[2].stamp == segment.stamps[2]


def test_rows_that_stay_are_not_told_again() -> None:
    """The section is not sampled in the later frames: its collector failed."""
    first = frame(1, "started")
    resting = [Frame(seq, (1000 + seq) * SECOND, seq * SECOND, "boot", first.sections) for seq in (2, 3)]
    assert told(happenings(segment_of(first, *resting), None)) == [(1, "started")]
    later = segment_of(*resting)
    assert told(happenings(later, Before(segment_of(first).last, "boot", SECOND))) == []
    grown = frame(2, "started", "suspend")
    assert told(happenings(segment_of(first, grown), None)) == [(1, "started"), (2, "suspend")]


def test_an_alert_that_lasts_is_told_where_it_begins() -> None:
    def lasting(seq: int, sampled_s: int, **since: int) -> Frame:
        rows = [
            {"pid": int(name[1:]), "start_boottime_ns": 1, "kind": "ipc_drop", "since_boottime_ns": at * SECOND}
            for name, at in since.items()
        ]
        sections = {"alerts": section(ALERTS, sampled_s * SECOND, *rows)}
        return Frame(seq, (1000 + seq) * SECOND, seq * SECOND, "boot", sections)

    def pids(segment: Segment, before: Before | None) -> list[tuple[int, Cell]]:
        return [(each.stamp.seq, each.cells["pid"]) for each in happenings(segment, before)]

    first = segment_of(lasting(1, 1), lasting(2, 2, p7=2), lasting(3, 2, p7=2), lasting(4, 4, p7=2, p8=4))
    assert pids(first, None) == [(2, 7), (4, 8)]
    # the next segment begins with a frame in which a third one began, and one more is over and begins again
    second = segment_of(lasting(5, 5, p7=2, p8=4, p9=5), lasting(6, 6, p8=4, p9=5), lasting(7, 7, p7=7, p9=5))
    assert pids(second, Before(first.last, "boot", SECOND)) == [(5, 9), (7, 7)]


def test_frames_of_the_segment_before_are_passed_over() -> None:
    frames = [frame(1, "started"), frame(2, "suspend", first=2), frame(3, "oom_kill", first=3)]
    before = Before(segment_of(*frames[:2]).last, "boot", SECOND)
    assert told(happenings(segment_of(*frames), before)) == [(3, "oom_kill")]


class TestGaps:
    def test_a_gap_is_told_with_its_length(self) -> None:
        segment = segment_of(frame(1), frame(2, boottime_s=2), frame(3, boottime_s=5))
        (gap,) = happenings(segment, None)
        assert told([gap]) == [(3, "gap")]
        assert (gap.cells["duration_ns"], gap.cells["value"]) == (3 * SECOND, 3.0)
        assert set(gap.cells) == {*EVENTS.names, "duration_ns"}

    def test_one_that_the_sampler_told_is_not_told_twice(self) -> None:
        segment = segment_of(frame(1), frame(2, "gap", boottime_s=9))
        assert told(happenings(segment, None)) == [(2, "gap")]

    def test_between_segments(self) -> None:
        before = Before(segment_of(frame(1)).last, "boot", SECOND)
        assert told(happenings(segment_of(frame(2, boottime_s=3)), before)) == []
        assert told(happenings(segment_of(frame(2, boottime_s=4)), before)) == [(2, "gap")]
        assert told(happenings(segment_of(frame(2, boottime_s=4)), None)) == []
        thinned = Before(before.stamp, "boot", 10 * SECOND)
        assert told(happenings(segment_of(frame(2, boottime_s=20)), thinned)) == []

    def test_another_boot_is_as_far_as_the_clock_says(self) -> None:
        before = Before(segment_of(frame(1, boottime_s=500)).last, "another boot", SECOND)
        assert told(happenings(segment_of(frame(2, boottime_s=502)), before)) == []
        (gap,) = happenings(segment_of(frame(2, boottime_s=560)), before)
        assert gap.cells["duration_ns"] == 60 * SECOND


def pieces_of(frames: list[EncodedFrame]) -> list[Segment]:
    found: list[Segment] = []
    for each in frames:
        if each.keyframe is not None:
            found.append(Segment.begun_by(each, SECOND))
        else:
            found[-1].add(each)
    return found


@given(events, st.integers(1, 7))
def test_gaps_are_the_same_however_it_is_cut(happened: list[Event], every: int) -> None:
    frames = frames_of(happened, every)
    found: list[int] = []
    before: Before | None = None
    for piece in pieces_of(frames):
        found += [each.stamp.seq for each in happenings(piece, before)]
        before = Before(piece.last, piece.boot_id, SECOND)
    expected = []
    for one, two in itertools.pairwise(frames):
        same_boot = one.boot_id == two.boot_id
        length = two.boottime_ns - one.boottime_ns if same_boot else two.time_ns - one.time_ns
        if length > 2.5 * SECOND:
            expected.append(two.seq)
    assert found == expected
