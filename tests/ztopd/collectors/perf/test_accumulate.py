"""Counts that never go back, and equal the truth."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztopd.collectors.perf.accumulate import Counts, Layout, Reading, growth, scaled
from ztopd.collectors.perf.probe import COUNTS, Countable, CountedGroup, place_of

CYCLES = CountedGroup((place_of("cycles"), place_of("instructions")), place_of("cycles_time_ns"), ((b"", b""),))
LOADS = CountedGroup((place_of("l1d_loads"),), None, ((b"",),))
ON_BOTH = CountedGroup(CYCLES.places, CYCLES.time_place, ((b"", b""), (b"", b"")))


def layout(*groups: CountedGroup) -> Layout:
    return Layout(Countable(True, True, groups))


def counts_of(*groups: CountedGroup) -> Counts:
    return Counts(layout(*groups))


def cell(counts: Counts, name: str) -> int | None:
    return counts.cells[place_of(name)]


def test_totals_would_have_gone_back() -> None:
    """1000 counted in 10 of 100, then 1010 in 110 of 200: by totals 10000, then 1836."""
    counts = counts_of(CYCLES)
    counts.add((100, 10, 1000, 1000))
    assert cell(counts, "cycles") == 10_000
    counts.add(growth((100, 10, 1000, 1000), (200, 110, 1010, 1010)))
    assert cell(counts, "cycles") == 10_010
    assert cell(counts, "cycles_time_ns") == cell(counts, "enabled_time_ns") == 200
    assert cell(counts, "running_time_ns") == 110


def test_while_nothing_ran_nothing_is_known() -> None:
    counts = counts_of(CYCLES, LOADS)
    counts.add((100, 0, 0, 0, 100, 50, 7))
    assert (cell(counts, "cycles"), cell(counts, "cycles_time_ns"), cell(counts, "l1d_loads")) == (0, 0, 14)
    assert (cell(counts, "enabled_time_ns"), cell(counts, "running_time_ns")) == (200, 50)


def test_groups_that_ran_all_the_time() -> None:
    counts = counts_of(CYCLES, LOADS)
    for _ in range(2):
        counts.add((100, 100, 300, 150, 90, 90, 7))
    assert (cell(counts, "cycles"), cell(counts, "instructions"), cell(counts, "l1d_loads")) == (600, 300, 14)
    assert cell(counts, "cycles_time_ns") == 200
    assert cell(counts, "enabled_time_ns") == cell(counts, "running_time_ns") == 380


def test_what_is_not_counted_is_none() -> None:
    counts = counts_of(CYCLES, LOADS)
    names = ("cycles", "instructions", "cycles_time_ns", "l1d_loads", "enabled_time_ns", "running_time_ns")
    assert {place for place, value in enumerate(counts.cells) if value is not None} == {place_of(one) for one in names}
    row = counts.row((1, 2, 0, 5, True))
    assert row == (1, 2, 0, 5, True, *counts.cells)
    assert len(row) == 5 + COUNTS


def test_a_reading_is_taken_apart() -> None:
    parts = layout(CYCLES, LOADS, ON_BOTH)
    data = struct.pack("=5Q", 2, 10, 11, 12, 13) + struct.pack("=4Q", 1, 20, 21, 22)
    data += struct.pack("=5Q", 2, 30, 31, 32, 33) + struct.pack("=5Q", 2, 40, 41, 42, 43)
    assert parts.form.unpack(data) == (10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 33, 40, 41, 42, 43)
    assert len(parts.nothing) == 15


@pytest.mark.parametrize("before", [(11, 5, 5, 5), (10, 6, 5, 5), (10, 5, 6, 5), (10, 5, 5, 6)])
def test_what_went_back_is_no_interval(before: Reading) -> None:
    counts = counts_of(CYCLES)
    counts.add(growth(before, (10, 5, 5, 5)))
    assert set(counts.cells) == {0, None}


def test_each_kind_of_core_saw_its_part() -> None:
    """60 of 100 ns on one kind of core and 30 on the other; the groups of both were enabled all the time."""
    counts = counts_of(ON_BOTH)
    counts.add((100, 60, 600, 60, 100, 30, 30, 3))
    assert (cell(counts, "enabled_time_ns"), cell(counts, "running_time_ns")) == (100, 90)
    assert (cell(counts, "cycles"), cell(counts, "instructions")) == (700, 70)


def test_on_one_kind_of_core_all_the_time() -> None:
    """Its group equals its time enabled, and the other's count is none all the same."""
    counts = counts_of(ON_BOTH)
    counts.add((100, 100, 600, 60, 100, 0, 0, 0))
    assert (cell(counts, "cycles"), cell(counts, "cycles_time_ns"), cell(counts, "running_time_ns")) == (600, 100, 100)


INTERVALS = st.lists(
    st.tuples(st.integers(0, 2 * 10**9), st.floats(0, 1), st.integers(0, 10**10), st.integers(0, 10**10)), max_size=20
)


@given(INTERVALS)
def test_counts_never_go_back(intervals: list[tuple[int, float, int, int]]) -> None:
    counts = counts_of(CYCLES)
    reading: Reading = (0, 0, 0, 0)
    for enabled, share, *raw in intervals:
        grown = (enabled, round(enabled * share), *raw)
        after = tuple(old + new for old, new in zip(reading, grown, strict=True))
        before = counts.cells
        counts.add(growth(reading, after))
        reading = after
        assert all(new is None or new >= (old or 0) for old, new in zip(before, counts.cells, strict=True))
    assert cell(counts, "enabled_time_ns") == reading[0]
    assert cell(counts, "running_time_ns") == reading[1]


@given(st.integers(1, 5000), st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 100)), min_size=1, max_size=20))
def test_the_truth_comes_back(per_microsecond: int, intervals: list[tuple[int, int]]) -> None:
    """What happens evenly is found again whatever part of the time was counted, to half a count an interval."""
    counts, truth = counts_of(CYCLES), 0
    for microseconds, percent in intervals:
        enabled, running = microseconds * 100_000, microseconds * percent * 1000
        raw = running * per_microsecond // 1000
        truth += enabled * per_microsecond // 1000
        counts.add((enabled, running, raw, raw))
    cycles = cell(counts, "cycles")
    assert cycles is not None
    assert abs(cycles - truth) <= len(intervals)
    assert cell(counts, "cycles_time_ns") == cell(counts, "enabled_time_ns")


@given(st.integers(0, 2**50), st.integers(1, 2**40))
def test_all_of_the_time_is_no_estimate(count: int, time_ns: int) -> None:
    assert scaled(count, time_ns, time_ns) == count
