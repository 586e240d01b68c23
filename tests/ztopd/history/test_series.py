"""Curves against a naive sum over every nanosecond's share, over gaps, boots and clock steps."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.test_timeline import Event, events
from tests.ztopd.history.test_ring import frames_of
from ztop_protocol.frame import Cell, Frame, Row, Section
from ztop_protocol.schema import SUMMARY
from ztop_protocol.segment import Segment, encode_step
from ztop_protocol.series import COLUMNS, Part, part_of, rows_of, step_for
from ztopd.history.series import Curves

SECOND = 1_000_000_000
DAY = 86400 * SECOND


def row(**cells: Cell) -> Row:
    return tuple(cells.get(name) for name in SUMMARY.names)


def frame(seq: int, time_ns: int, boottime_ns: int, boot: str = "boot", **cells: Cell) -> Frame:
    section = Section(boottime_ns, {(): row(**cells)})
    return Frame(seq, time_ns, boottime_ns, boot, {"summary": section})


def machine(happened: list[Event], busy: Sequence[int]) -> list[Frame]:
    """Frames whose CPU time grows by so many percent of two CPUs from one to the next."""
    made: list[Frame] = []
    total = 0
    for encoded, percent in zip(frames_of(happened), busy, strict=False):
        if made and made[-1].boot_id == encoded.boot_id:
            total += (encoded.boottime_ns - made[-1].boottime_ns) * 2 * percent // 100
        made.append(
            frame(
                *(encoded.seq, encoded.time_ns, encoded.boottime_ns, encoded.boot_id),
                cpu_busy_time_ns=total,
                cpu_count=2,
                memory_total_bytes=1000,
                memory_used_bytes=10 * (encoded.seq % 100),
            )
        )
    return made


def segments_of(frames: list[Frame], happened: list[Event]) -> list[Segment]:
    found: list[Segment] = []
    for number, current in enumerate(frames):
        step = encode_step(frames[number - 1] if number else None, current, whole=True)
        if not found or happened[number].ends_segment or not found[-1].leads_to(step):
            found.append(Segment.begun_by(step, SECOND))
        else:
            found[-1].add(step)
    return found


def naive(frames: list[Frame], busy: Sequence[int], step_ns: int, number: int) -> list[float | None]:
    """Mean and greatest CPU, mean memory: of what each frame says of the time since the one before."""
    shares: list[tuple[int, float | None, float]] = []
    for place, current in enumerate(frames):
        before = frames[place - 1] if place else None
        length = current.boottime_ns - before.boottime_ns if before and before.boot_id == current.boot_id else 0
        is_honest = 0 < length <= 2.5 * SECOND
        begin = current.time_ns - (length if is_honest else SECOND)
        overlap = min(current.time_ns, (number + 1) * step_ns) - max(begin, number * step_ns)
        if overlap > 0:
            shares.append((overlap, float(busy[place]) if is_honest else None, current.seq % 100))
    cpu = [(weight, value) for weight, value, _ in shares if value is not None]
    return [
        sum(weight * value for weight, value in cpu) / sum(weight for weight, _ in cpu) if cpu else None,
        max(value for _, value in cpu) if cpu else None,
        sum(weight * value for weight, _, value in shares) / sum(weight for weight, *_ in shares) if shares else None,
    ]


def same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-4)


@settings(max_examples=100)
@given(events, st.lists(st.integers(0, 100), min_size=60, max_size=60), st.sampled_from([1, 2, 5, 60]))
def test_every_step_is_the_mean_of_its_time(happened: list[Event], busy: list[int], seconds: int) -> None:
    frames = machine(happened, busy)
    step_ns = seconds * SECOND
    first = min(each.time_ns for each in frames) // step_ns - 2
    last = min(max(each.time_ns for each in frames) // step_ns + 1, first + 400)
    parts = [part_of(segment, step_ns, -1) for segment in segments_of(frames, happened)]
    rows = rows_of(parts, step_ns, first, last)
    assert [found[0] for found in rows] == [number * step_ns for number in range(first, last + 1)]
    for number, found in zip(range(first, last + 1), rows, strict=True):
        assert len(found) == 1 + len(COLUMNS)
        expected = naive(frames, busy, step_ns, number)
        assert all(map(same, found[1:4], expected)), (number, found[1:4], expected)


@given(events, st.lists(st.integers(0, 100), min_size=60, max_size=60), st.integers(1, 60))
def test_segments_that_overlap_count_once(happened: list[Event], busy: list[int], at: int) -> None:
    """As where store and ring meet: the later segment has frames that the earlier one had."""
    frames = machine([Event(1000, 0, False, False)] * len(happened), busy)
    whole = segments_of(frames, [Event(1000, 0, False, False)] * len(happened))
    cut = min(at, len(frames)) - 1
    later = segments_of(frames[cut:], [Event(1000, 0, False, False)] * len(happened))
    earlier = segments_of(frames[: cut + 3], [Event(1000, 0, False, False)] * len(happened))
    first, last = frames[0].time_ns // SECOND - 1, frames[-1].time_ns // SECOND + 1
    once = rows_of([part_of(whole[0], SECOND, -1)], SECOND, first, last)
    reached = earlier[-1].last.seq
    twice = rows_of([part_of(earlier[0], SECOND, -1), part_of(later[0], SECOND, reached)], SECOND, first, last)
    assert all(same(a, b) for one, two in zip(once, twice, strict=True) for a, b in zip(one, two, strict=True))


class TestCells:
    def values(self, *frames: Frame, step_ns: int = 10 * SECOND) -> dict[str, float | None]:
        segment = Segment.begun_by(encode_step(None, frames[0], whole=True), SECOND)
        for before, after in pairwise(frames):
            segment.add(encode_step(before, after, whole=False))
        (found,) = rows_of([part_of(segment, step_ns, -1)], step_ns, 10, 10)
        return dict(zip(COLUMNS, found[1:], strict=True))

    def two(self, before: dict[str, Cell], after: dict[str, Cell]) -> dict[str, float | None]:
        return self.values(frame(1, 102 * SECOND, 2 * SECOND, **before), frame(2, 103 * SECOND, 3 * SECOND, **after))

    def test_all_of_them(self) -> None:
        counters = [name for name in SUMMARY.names if name.endswith("_time_ns") or name.startswith(("disk", "network"))]
        sizes: dict[str, Cell] = {
            "cpu_count": 4, "memory_total_bytes": 200, "memory_used_bytes": 50,
            "swap_total_bytes": 10, "swap_used_bytes": 1, "gpu_utilization_percent": 33,
        }  # fmt: skip
        before = dict.fromkeys(counters, 0)
        after = {name: 100_000_000 * place for place, name in enumerate(counters, 1)}
        found = self.two(before | sizes, after | sizes)
        assert counters[:4] == [
            "cpu_busy_time_ns", "cpu_pressure_time_ns", "memory_pressure_time_ns", "io_pressure_time_ns",
        ]  # fmt: skip
        assert found == {
            "cpu_percent": 2.5,
            "cpu_max_percent": 2.5,
            "memory_percent": 25.0,
            "swap_percent": 10.0,
            "cpu_pressure_percent": 20.0,
            "memory_pressure_percent": 30.0,
            "io_pressure_percent": 40.0,
            "disk_bytes_per_second": 1_100_000_000,
            "network_bytes_per_second": 1_500_000_000,
            "gpu_percent": 33.0,
        }

    def test_what_is_absent_is_nothing(self) -> None:
        assert set(self.two({}, {}).values()) == {None}
        assert self.two({"disk_read_bytes": 1}, {"disk_read_bytes": 2})["disk_bytes_per_second"] is None
        assert self.two({}, {"swap_total_bytes": 0, "swap_used_bytes": 0})["swap_percent"] is None
        assert self.two({"cpu_busy_time_ns": 0}, {"cpu_busy_time_ns": 5, "cpu_count": 0})["cpu_percent"] is None

    def test_a_counter_that_went_back_is_nothing(self) -> None:
        assert self.two({"io_pressure_time_ns": 9}, {"io_pressure_time_ns": 5})["io_pressure_percent"] is None

    def test_frames_without_it_say_nothing(self) -> None:
        empty = Frame(1, 102 * SECOND, 2 * SECOND, "boot", {})
        segment = Segment.begun_by(encode_step(None, empty, whole=True), SECOND)
        assert part_of(segment, SECOND, -1) == Part(SECOND, None, None, {})
        assert rows_of([part_of(segment, SECOND, -1)], SECOND, 102, 102) == [[102 * SECOND, *[None] * len(COLUMNS)]]

    def test_an_interval_of_centuries_is_not_walked_through(self) -> None:
        only = frame(1, 1_700_000_000 * SECOND, 2 * SECOND, memory_total_bytes=2, memory_used_bytes=1)
        segment = Segment.begun_by(encode_step(None, only, whole=True), 1 << 62)
        found = rows_of([part_of(segment, SECOND, -1)], SECOND, 1_699_999_998, 1_699_999_999)
        assert [values[1 + COLUMNS.index("memory_percent")] for values in found] == [50.0, 50.0]


@given(st.integers(0, 2**61), st.integers(0, 2**61), st.integers(1, 2000), st.sampled_from([SECOND, 200_000_000, DAY]))
def test_steps_are_few_and_round(one: int, other: int, points: int, at_least: int) -> None:
    low, high = sorted((one, other))
    step = step_for(low, high, points, at_least)
    if points == 1 and low // step != high // step:
        assert step >= DAY
    else:
        assert high // step - low // step < points
    assert step >= at_least
    assert step == at_least or DAY % step == 0 or step % DAY == 0


@pytest.mark.parametrize(
    ("hours", "points", "step_s"), [(1, 4000, 1), (1, 2000, 2), (1, 600, 10), (24, 600, 300), (24 * 7, 600, 1800)]
)
def test_steps_of_usual_windows(hours: int, points: int, step_s: int) -> None:
    begin = 1_790_000_000 * SECOND
    assert step_for(begin, begin + hours * 3600 * SECOND, points, SECOND) == step_s * SECOND


def test_what_was_made_of_a_segment_serves_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = machine([Event(1000, 0, False, False)] * 5, range(5))
    (segment,) = segments_of(frames, [Event(1000, 0, False, False)] * 5)
    curves = Curves()
    part = curves.part(segment.sealed(), SECOND, -1)
    monkeypatch.setattr("ztopd.history.series.part_of", None)
    assert curves.part(segment.sealed(), SECOND, -1) is part
    assert curves.part(segment.sealed(), SECOND, segment.first.seq - 1) is part
