"""When ticks are due: a second one soon, then every interval; what is missed is counted, never made up for."""

import pytest

from ztopd.sampler.run import _Clock


def test_the_second_tick_comes_soon_and_then_every_interval() -> None:
    clock = _Clock(1.0, 100.0)
    assert clock.due == 100.0
    due = []
    for _ in range(3):
        assert clock.advance(clock.due + 0.01) == 0
        due.append(clock.due)
    assert due == [100.25, 101.25, 102.25]


def test_another_interval_holds_from_the_next_tick_on() -> None:
    clock = _Clock(1.0, 100.0)
    clock.advance(100.1)
    clock.advance(100.3)
    clock.ticks_every(4.0)
    assert clock.due == 101.25
    assert clock.advance(101.3) == 0
    assert clock.due == 105.25


def test_a_short_interval_is_not_stretched() -> None:
    clock = _Clock(0.1, 5.0)
    clock.advance(5.01)
    assert clock.due == pytest.approx(5.1)


@pytest.mark.parametrize(("ended", "missed", "due"), [(101.24, 0, 101.25), (101.26, 1, 102.25), (104.3, 4, 105.25)])
def test_an_overrunning_tick_lets_out_the_ones_it_covered(ended: float, missed: int, due: float) -> None:
    clock = _Clock(1.0, 100.0)
    clock.advance(100.0)
    assert clock.advance(ended) == missed
    assert clock.due == pytest.approx(due)
