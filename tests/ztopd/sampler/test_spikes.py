"""The spike rule, on series of made-up frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztopd.sampler.section_rows import SECOND
from ztopd.sampler.spikes import (
    SETTLED_FRAMES,
    WARM_UP_NS,
    WINDOW_NS,
    Spike,
    SpikeDetector,
    cpu_threshold,
    pressure_threshold,
)


def fed(detector: SpikeDetector, *percents: int, interval_ns: int = SECOND) -> list[int]:
    """The places in the series at which a spike begins."""
    taken = (detector.take(interval_ns, percent * interval_ns // 100) for percent in percents)
    return [place for place, spike in enumerate(taken) if spike is not None]


def cpu() -> SpikeDetector:
    return SpikeDetector(cpu_threshold)


def pressure() -> SpikeDetector:
    return SpikeDetector(pressure_threshold)


@pytest.mark.parametrize(
    ("mean", "least"),
    [(0, 70), (20, 90), (140, 210), (400, 600), (6400, 9600)],
)
def test_cpu_is_a_spike_from_there_on(mean: int, least: int) -> None:
    assert fed(cpu(), *[mean] * 20, least - 1) == []
    assert fed(cpu(), *[mean] * 20, least) == [20]


@pytest.mark.parametrize(("mean", "least"), [(0, 20), (4, 20), (5, 20), (6, 21), (50, 65), (85, 100)])
def test_pressure_is_a_spike_from_there_on(mean: int, least: int) -> None:
    assert fed(pressure(), *[mean] * 20, least - 1) == []
    assert fed(pressure(), *[mean] * 20, least) == [20]


def test_a_spike_says_what_it_is_and_what_is_usual() -> None:
    detector = cpu()
    fed(detector, *[50] * 15)
    assert detector.take(SECOND, 3 * SECOND) == Spike(300.0, 50.0)


def test_none_before_ten_seconds_of_history() -> None:
    assert WARM_UP_NS == 10 * SECOND
    assert fed(cpu(), *[0] * 9, 100) == []
    assert fed(cpu(), *[0] * 10, 100) == [10]
    assert fed(cpu(), *[0] * 99, 100, interval_ns=SECOND // 10) == []
    assert fed(cpu(), *[0] * 100, 100, interval_ns=SECOND // 10) == [100]


def test_a_plateau_is_one_spike_and_then_what_is_usual() -> None:
    detector = cpu()
    assert fed(detector, *[0] * 30, *[100] * 600) == [30]
    # what comes on top of it is one of its own
    assert fed(detector, 170, *[100] * 600) == [0]


def test_down_from_a_plateau_and_up_again() -> None:
    detector = cpu()
    fed(detector, *[0] * 60, *[200] * 120, *[0] * 120)
    assert fed(detector, 200) == [0]


def test_a_sawtooth_is_told_until_it_is_usual() -> None:
    told = fed(cpu(), *[0] * 60, *([400] * 5 + [0] * 5) * 30)
    assert told[0] == 60
    assert told[-1] > 150
    # half of the time 4 cores: 2 is the mean, 3 the threshold, so it stays one, each tooth once
    assert all((place - 60) % 10 == 0 for place in told)
    assert len(told) == len(set(told)) >= 29


@pytest.mark.parametrize("quiet", [1, SETTLED_FRAMES - 1])
def test_a_spike_that_pauses_is_one(quiet: int) -> None:
    assert fed(cpu(), *[0] * 30, 100, *[0] * quiet, 100, *[0] * quiet, 100) == [30]


def test_a_spike_that_was_over_is_another_one() -> None:
    assert fed(cpu(), *[0] * 60, 100, *[0] * SETTLED_FRAMES, 100) == [60, 60 + SETTLED_FRAMES + 1]


def test_it_is_over_nearer_to_the_mean_than_half_of_the_threshold() -> None:
    # the mean 100, the threshold 70
    assert fed(cpu(), *[100] * 60, 170, *[135] * 10, 190) == [60]
    assert fed(cpu(), *[100] * 60, 170, *[134] * 3, 190) == [60, 64]


def test_what_falls_far_below_the_mean_is_over_too() -> None:
    assert fed(cpu(), *[1000] * 60, 1500, *[0] * 30, 1500) == [60, 91]


def test_the_mean_is_of_the_last_minute() -> None:
    # an hour of 8 cores says nothing about what is usual after a minute of rest
    assert fed(cpu(), *[800] * 3600, *[0] * 60, 70) == [3660]
    assert fed(cpu(), *[800] * 3600, *[0] * 59, 70) == []


def test_frames_longer_than_the_window() -> None:
    assert fed(cpu(), 0, 70, interval_ns=2 * WINDOW_NS) == [1]


def test_anew_it_knows_nothing() -> None:
    detector = cpu()
    fed(detector, *[0] * 60, 100)
    detector.begin_anew()
    assert fed(detector, *[100] * 60) == []
    assert fed(detector, 170) == [0]


@given(st.lists(st.integers(0, 6400), max_size=200))
def test_every_spike_is_over_the_mean_before_it(percents: list[int]) -> None:
    for place in fed(cpu(), *percents):
        before = percents[max(0, place - 60) : place]
        mean = sum(before) / len(before)
        assert len(before) >= 10
        assert percents[place] >= mean + cpu_threshold(mean) - 1e-6


@given(st.integers(0, 6400), st.integers(1, 100))
def test_what_is_steady_has_none(percent: int, tenths: int) -> None:
    assert fed(cpu(), *[percent] * 200, interval_ns=tenths * SECOND // 10) == []
