"""Counts that never go back, and equal the truth."""

import struct
from collections.abc import Sequence
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztopd.collectors.perf.accumulate import Counts, Layout, scaled
from ztopd.collectors.perf.probe import COUNTS, Countable, CountedGroup, place_of

CYCLES = CountedGroup((place_of("cycles"), place_of("instructions")), place_of("cycles_time_ns"), ((b"", b""),))
LOADS = CountedGroup((place_of("l1d_loads"),), None, ((b"",),))
ON_BOTH = CountedGroup(CYCLES.places, CYCLES.time_place, ((b"", b""), (b"", b"")))


def layout(*groups: CountedGroup) -> Layout:
    return Layout(Countable(True, True, groups))


class Thread:
    """One whose readings are those values, without how many events there are, and its counts."""

    def __init__(self, *groups: CountedGroup) -> None:
        self.counts = Counts(layout(*groups))
        self._shape = [len(group.places) for group in groups for _ in group.attributes]
        self.values = (0,) * sum(2 + events for events in self._shape)

    def packed(self, values: Sequence[int]) -> int:
        rest, data = list(values), b""
        for events in self._shape:
            data += struct.pack(f"<{3 + events}Q", events, *rest[: 2 + events])
            del rest[: 2 + events]
        assert not rest
        return int.from_bytes(data, "little")

    def read(self, *values: int) -> None:
        self.counts.add(self.packed(self.values), self.packed(values))
        self.values = values

    def ran(self, *grown: int) -> None:
        self.read(*map(add, self.values, grown))


def cell(counts: Counts, name: str) -> int | None:
    return counts.cells[place_of(name)]


def test_totals_would_have_gone_back() -> None:
    """1000 counted in 10 of 100, then 1010 in 110 of 200: by totals 10000, then 1836."""
    thread = Thread(CYCLES)
    counts = thread.counts
    thread.read(100, 10, 1000, 1000)
    assert cell(counts, "cycles") == 10_000
    thread.read(200, 110, 1010, 1010)
    assert cell(counts, "cycles") == 10_010
    assert cell(counts, "cycles_time_ns") == cell(counts, "enabled_time_ns") == 200
    assert cell(counts, "running_time_ns") == 110


def test_while_nothing_ran_nothing_is_known() -> None:
    thread = Thread(CYCLES, LOADS)
    counts = thread.counts
    thread.ran(100, 0, 0, 0, 100, 50, 7)
    assert (cell(counts, "cycles"), cell(counts, "cycles_time_ns"), cell(counts, "l1d_loads")) == (0, 0, 14)
    assert (cell(counts, "enabled_time_ns"), cell(counts, "running_time_ns")) == (200, 50)


def test_groups_that_ran_all_the_time() -> None:
    thread = Thread(CYCLES, LOADS)
    counts = thread.counts
    for _ in range(2):
        thread.ran(100, 100, 300, 150, 90, 90, 7)
    assert (cell(counts, "cycles"), cell(counts, "instructions"), cell(counts, "l1d_loads")) == (600, 300, 14)
    assert cell(counts, "cycles_time_ns") == 200
    assert cell(counts, "enabled_time_ns") == cell(counts, "running_time_ns") == 380


def test_what_is_not_counted_is_none() -> None:
    thread = Thread(CYCLES, LOADS)
    counts = thread.counts
    names = ("cycles", "instructions", "cycles_time_ns", "l1d_loads", "enabled_time_ns", "running_time_ns")
    assert {place for place, value in enumerate(counts.cells) if value is not None} == {place_of(one) for one in names}
    row = counts.row((1, 2, 0, 5, True))
    assert row == (1, 2, 0, 5, True, *counts.cells)
    assert len(row) == 5 + COUNTS


def test_a_reading_is_taken_apart() -> None:
    thread = Thread(CYCLES, LOADS)
    data = struct.pack("<5Q", 2, 10, 10, 12, 13) + struct.pack("<4Q", 1, 20, 20, 22)
    assert layout(CYCLES, LOADS).bytes == len(data)
    assert thread.packed((10, 10, 12, 13, 20, 20, 22)) == int.from_bytes(data, "little")
    thread.counts.add(0, int.from_bytes(data, "little"))
    names = ("cycles", "instructions", "l1d_loads", "enabled_time_ns", "running_time_ns", "cycles_time_ns")
    assert [cell(thread.counts, name) for name in names] == [12, 13, 22, 30, 30, 10]


@given(
    st.lists(st.integers(0, 2**63 - 1), min_size=7, max_size=7),
    st.lists(st.integers(0, 2**63 - 1), min_size=7, max_size=7),
)
def test_what_went_back_is_no_interval(before: list[int], after: list[int]) -> None:
    thread = Thread(CYCLES, LOADS)
    thread.values = tuple(before)
    thread.read(*after)
    if any(new < old for old, new in zip(before, after, strict=True)):
        assert set(thread.counts.cells) == {0, None}
    else:
        assert cell(thread.counts, "enabled_time_ns") == sum(after) - sum(before) - sum(
            after[i] - before[i] for i in (1, 2, 3, 5, 6)
        )


@pytest.mark.parametrize("before", [(11, 5, 5, 5), (10, 6, 5, 5), (10, 5, 6, 5), (10, 5, 5, 6)])
def test_by_one_is_back_too(before: tuple[int, ...]) -> None:
    thread = Thread(CYCLES)
    thread.values = before
    thread.read(10, 5, 5, 5)
    assert set(thread.counts.cells) == {0, None}


def test_what_is_scaled_and_what_is_not_add_up() -> None:
    thread = Thread(CYCLES, LOADS)
    for running in (100, 50, 100, 25):
        thread.ran(100, running, 10 * running, running, 100, 100, 7)
    assert (cell(thread.counts, "cycles"), cell(thread.counts, "instructions")) == (4000, 400)
    assert (cell(thread.counts, "l1d_loads"), cell(thread.counts, "cycles_time_ns")) == (28, 400)
    assert (cell(thread.counts, "enabled_time_ns"), cell(thread.counts, "running_time_ns")) == (800, 675)


def test_counts_beyond_what_a_number_of_the_kernel_holds() -> None:
    thread = Thread(CYCLES)
    for _ in range(3):
        thread.counts.add(0, thread.packed((10, 10, 2**63 - 1, 2**63 - 1)))
    assert cell(thread.counts, "enabled_time_ns") == 30


def test_each_kind_of_core_saw_its_part() -> None:
    """60 of 100 ns on one kind of core and 30 on the other; the groups of both were enabled all the time."""
    thread = Thread(ON_BOTH)
    counts = thread.counts
    thread.ran(100, 60, 600, 60, 100, 30, 30, 3)
    assert (cell(counts, "enabled_time_ns"), cell(counts, "running_time_ns")) == (100, 90)
    assert (cell(counts, "cycles"), cell(counts, "instructions")) == (700, 70)


def test_on_one_kind_of_core_all_the_time() -> None:
    """Its group equals its time enabled, and the other's count is none all the same."""
    thread = Thread(ON_BOTH)
    counts = thread.counts
    thread.ran(100, 100, 600, 60, 100, 0, 0, 0)
    assert (cell(counts, "cycles"), cell(counts, "cycles_time_ns"), cell(counts, "running_time_ns")) == (600, 100, 100)


INTERVALS = st.lists(
    st.tuples(st.integers(0, 2 * 10**9), st.floats(0, 1), st.integers(0, 10**10), st.integers(0, 10**10)), max_size=20
)


@given(INTERVALS)
def test_counts_never_go_back(intervals: list[tuple[int, float, int, int]]) -> None:
    thread = Thread(CYCLES)
    counts = thread.counts
    for enabled, share, *raw in intervals:
        grown = (enabled, round(enabled * share), *raw)
        before = counts.cells
        thread.ran(*grown)
        assert all(new is None or new >= (old or 0) for old, new in zip(before, counts.cells, strict=True))
    assert cell(counts, "enabled_time_ns") == thread.values[0]
    assert cell(counts, "running_time_ns") == thread.values[1]


@given(st.integers(1, 5000), st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 100)), min_size=1, max_size=20))
def test_the_truth_comes_back(per_microsecond: int, intervals: list[tuple[int, int]]) -> None:
    """What happens evenly is found again whatever part of the time was counted, to half a count an interval."""
    thread, truth = Thread(CYCLES), 0
    counts = thread.counts
    for microseconds, percent in intervals:
        enabled, running = microseconds * 100_000, microseconds * percent * 1000
        raw = running * per_microsecond // 1000
        truth += enabled * per_microsecond // 1000
        thread.ran(enabled, running, raw, raw)
    cycles = cell(counts, "cycles")
    assert cycles is not None
    assert abs(cycles - truth) <= len(intervals)
    assert cell(counts, "cycles_time_ns") == cell(counts, "enabled_time_ns")


@given(st.integers(0, 2**50), st.integers(1, 2**40))
def test_all_of_the_time_is_no_estimate(count: int, time_ns: int) -> None:
    assert scaled(count, time_ns, time_ns) == count
