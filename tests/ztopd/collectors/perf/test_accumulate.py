"""Counts that never go back, and equal the truth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztopd.collectors.perf.accumulate import Counts, Reading, growth, scaled
from ztopd.collectors.perf.probe import COUNTS, CountedGroup, place_of

GROUP = CountedGroup((place_of("cycles"), place_of("instructions")), place_of("cycles_time_ns"), ((b"", b""),))
OTHER = CountedGroup((place_of("l1d_loads"),), None, ((b"",),))


def cell(counts: Counts, name: str) -> int | None:
    return counts.cells[place_of(name)]


def test_totals_would_have_gone_back() -> None:
    """1000 counted in 10 of 100, then 1010 in 110 of 200: by totals 10000, then 1836."""
    counts = Counts((GROUP,))
    counts.add(GROUP, [(100, 10, 1000, 1000)])
    assert cell(counts, "cycles") == 10_000
    grown = growth((100, 10, 1000, 1000), (200, 110, 1010, 1010))
    assert grown is not None
    counts.add(GROUP, [grown])
    assert cell(counts, "cycles") == 10_010
    assert cell(counts, "cycles_time_ns") == cell(counts, "enabled_time_ns") == 200
    assert cell(counts, "running_time_ns") == 110


def test_while_nothing_ran_nothing_is_known() -> None:
    counts = Counts((GROUP,))
    counts.add(GROUP, [(100, 0, 0, 0)])
    assert (cell(counts, "cycles"), cell(counts, "cycles_time_ns"), cell(counts, "running_time_ns")) == (0, 0, 0)
    assert cell(counts, "enabled_time_ns") == 100


def test_what_is_not_counted_is_none() -> None:
    counts = Counts((GROUP, OTHER))
    names = ("cycles", "instructions", "cycles_time_ns", "l1d_loads", "enabled_time_ns", "running_time_ns")
    assert {place for place, value in enumerate(counts.cells) if value is not None} == {place_of(one) for one in names}
    assert len(counts.row((1, 2, 0, 5, True))) == 5 + COUNTS
    assert Counts(()).enabled_time_ns == 0


@pytest.mark.parametrize("before", [(11, 5, 5), (10, 6, 5), (10, 5, 6)])
def test_what_went_back_is_no_interval(before: tuple[int, ...]) -> None:
    assert growth(before, (10, 5, 5)) is None


def test_each_kind_of_core_saw_its_part() -> None:
    """60 of 100 ns on one kind of core and 30 on the other; the groups of both were enabled all the time."""
    counts = Counts((GROUP,))
    counts.add(GROUP, [(100, 60, 600, 60), (100, 30, 30, 3)])
    assert (cell(counts, "enabled_time_ns"), cell(counts, "running_time_ns")) == (100, 90)
    assert (cell(counts, "cycles"), cell(counts, "instructions")) == (700, 70)


INTERVALS = st.lists(
    st.tuples(st.integers(0, 2 * 10**9), st.floats(0, 1), st.integers(0, 10**10), st.integers(0, 10**10)), max_size=20
)


@given(INTERVALS)
def test_counts_never_go_back(intervals: list[tuple[int, float, int, int]]) -> None:
    counts = Counts((GROUP,))
    reading: Reading = (0, 0, 0, 0)
    for enabled, share, *raw in intervals:
        running = round(enabled * share)
        after = (
            reading[0] + enabled,
            reading[1] + running,
            *(old + new for old, new in zip(reading[2:], raw, strict=True)),
        )
        before = list(counts.cells)
        grown = growth(reading, after)
        assert grown is not None
        counts.add(GROUP, [grown])
        reading = after
        assert all(new is None or new >= (old or 0) for old, new in zip(before, counts.cells, strict=True))
    assert cell(counts, "enabled_time_ns") == reading[0]
    assert cell(counts, "running_time_ns") == reading[1]


@given(st.integers(1, 5000), st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 100)), min_size=1, max_size=20))
def test_the_truth_comes_back(per_microsecond: int, intervals: list[tuple[int, int]]) -> None:
    """What happens evenly is found again whatever part of the time was counted, to half a count an interval."""
    counts, truth = Counts((GROUP,)), 0
    for microseconds, percent in intervals:
        enabled, running = microseconds * 100_000, microseconds * percent * 1000
        raw = running * per_microsecond // 1000
        truth += enabled * per_microsecond // 1000
        counts.add(GROUP, [(enabled, running, raw, raw)])
    cycles = cell(counts, "cycles")
    assert cycles is not None
    assert abs(cycles - truth) <= len(intervals)
    assert cell(counts, "cycles_time_ns") == cell(counts, "enabled_time_ns")


@given(st.integers(0, 2**50), st.integers(1, 2**40))
def test_all_of_the_time_is_no_estimate(count: int, time_ns: int) -> None:
    assert scaled(count, time_ns, time_ns) == count
