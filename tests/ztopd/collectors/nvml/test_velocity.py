"""The slope of memory: exact where growth is even, none where it is none."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztopd.collectors.nvml.growth_patterns import GIB, MIB
from ztopd.collectors.nvml.velocity import HORIZON_SECONDS, STEADY, Polls, Series, Velocity, eta

POLL_NS = 200_000_000
SECOND = 10**9


class Sampled:
    """A series that has a sample at every poll."""

    def __init__(self) -> None:
        self._polls = Polls()
        self._series = Series(self._polls)

    def add(self, time_ns: int, level: int | None) -> None:
        if not self._polls.add(time_ns):
            self._series.forget()
        self._series.add(level)

    def velocity(self) -> Velocity | None:
        return self._series.velocity()


def series_of(levels: list[int | None], poll_ns: int = POLL_NS) -> Sampled:
    series = Sampled()
    for number, level in enumerate(levels):
        series.add(number * poll_ns, level)
    return series


@given(st.integers(1 * MIB, 4 * GIB), st.integers(0, 8 * GIB), st.lists(st.integers(0, 40), min_size=30, max_size=60))
def test_even_growth_is_exact_whenever_the_polls_come(per_second: int, begin: int, late_ms: list[int]) -> None:
    series = Sampled()
    for number, late in enumerate(late_ms):
        at = number * POLL_NS + late * 1_000_000
        series.add(at, begin + per_second * at // SECOND)
    velocity = series.velocity()
    assert velocity is not None and velocity.grows
    assert velocity.value == pytest.approx(per_second, rel=1e-4)
    assert velocity.low <= velocity.value <= velocity.high


@given(st.lists(st.integers(0, 3 * GIB), max_size=200), st.integers(-GIB, GIB))
def test_a_level_added_to_all_changes_nothing(levels: list[int], shift: int) -> None:
    assert series_of(list(levels)).velocity() == series_of([level + shift for level in levels]).velocity()


@given(st.lists(st.integers(0, 3 * GIB), min_size=26, max_size=200))
def test_what_falls_is_what_rises_turned_over(levels: list[int]) -> None:
    rises, falls = series_of(list(levels)).velocity(), series_of([-level for level in levels]).velocity()
    assert rises is not None and falls is not None
    assert falls.value == pytest.approx(-rises.value)
    assert not (rises.grows and falls.grows)
    if all(later <= earlier for earlier, later in pairwise(levels)):
        assert not rises.grows


def test_nothing_is_said_before_the_window_is_full() -> None:
    growing: list[int | None] = [number * MIB for number in range(26)]
    assert series_of(growing[:20]).velocity() is None
    assert series_of(growing).velocity() is not None
    assert series_of([*growing, None]).velocity() is None, "what was before is not known to go on"
    hole = series_of(growing)
    hole.add(25 * POLL_NS + 3 * SECOND, 100 * MIB)
    assert hole.velocity() is None


@pytest.mark.parametrize(
    "levels",
    [
        [GIB] * 50,
        [GIB] * 25 + [9 * GIB] * 25,
        [9 * GIB] * 25 + [GIB] * 25,
        [number % 2 * 100 * MIB for number in range(100)],
        [min(number, 30) * MIB for number in range(40)],
    ],
    ids=["steady", "an allocation", "a release", "up and down", "a plateau, a second ago"],
)
def test_what_does_not_grow(levels: list[int | None]) -> None:
    velocity = series_of(levels).velocity()
    assert velocity is not None and not velocity.grows


def test_an_allocation_is_no_part_of_a_leak() -> None:
    leak: list[int | None] = [number * 2 * MIB + (8 * GIB if number > 30 else 0) for number in range(40)]
    velocity = series_of(leak).velocity()
    assert velocity is not None and velocity.value == pytest.approx(10 * MIB, rel=0.06)


def test_stairs_are_seen_over_as_long_a_window_as_they_take() -> None:
    velocity = series_of([number // 15 * 300 * MIB for number in range(150)]).velocity()
    assert velocity is not None and velocity.value == pytest.approx(100 * MIB, rel=0.1)


@given(st.lists(st.integers(0, 20), min_size=26, max_size=200), st.integers(0, 60))
def test_what_rests_need_not_be_told(steps: list[int], begins: int) -> None:
    """A series that is told of its moves alone is one that is told of every sample."""
    polls, told, every = Polls(), 0, Sampled()
    series, level = Series(polls), 0
    for number, step in enumerate(steps):
        polls.add(number * POLL_NS)
        level += (step > 10) * step * MIB
        if number >= begins:
            every.add(number * POLL_NS, level)
            if number == begins or level != told:
                series.add(level)
            told = level
    assert series.velocity() == every.velocity()


def test_no_horizon_over_an_hour() -> None:
    grows = Velocity(float(MIB), float(MIB), 2.0 * MIB, 0)
    found = eta(grows, 60 * MIB)
    assert found is not None and (found.seconds, found.low, found.high) == (60, 30, 60)
    assert eta(grows, int(HORIZON_SECONDS) * MIB) is not None
    assert eta(grows, int(HORIZON_SECONDS + 1) * MIB) is None
    assert eta(STEADY, 60 * MIB) is None
    assert eta(Velocity(-1.0, -1.0, -1.0, 0), 60 * MIB) is None
    unsure = eta(Velocity(float(MIB), -1.0, 2.0 * MIB, 0), 60 * MIB)
    assert unsure is not None and unsure.high is None
