from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztop_client.fake_source import SECOND, frame, row, section
from ztop_client.history import BusyHistory
from ztop_protocol.frame import Frame

START = 1000 * SECOND


def at(seconds: float, busy_seconds: float) -> Frame:
    """One core that was busy for so long until then."""
    made = frame(1, [])
    now = START + round(seconds * SECOND)
    core = row("cpus", cpu=0, **{f"{name}_time_ns": 0 for name in ("nice", "system", "irq", "softirq", "steal")},
               user_time_ns=round(busy_seconds * SECOND))  # fmt: skip
    return replace(made, boottime_ns=now, sections={"cpus": section("cpus", now, [core])})


def history(*frames: Frame) -> BusyHistory:
    made = BusyHistory()
    previous = None
    for one in frames:
        made.add(previous, one)
        previous = one
    return made


def until(made: BusyHistory, seconds: float, count: int, span: int = 1) -> list[float | None]:
    return made.until(START + round(seconds * SECOND), count, span)


def test_every_second_has_its_mean() -> None:
    made = history(at(0, 0), at(1, 0.5), at(2, 0.75), at(3, 1.75))
    assert until(made, 3, 4) == [None, 50, 25, 100]
    assert until(made, 2, 2) == [50, 25]
    assert until(made, 4, 4, 2) == [None, None, 37.5, 100]


def test_who_goes_back_does_not_see_what_came_later() -> None:
    made = history(at(0, 0), at(1, 0.5), at(2, 1.5), at(3, 2.5))
    assert until(made, 3, 2, 2) == [75, 100]
    assert until(made, 1, 2, 2) == [None, 50]


def test_frames_off_the_second_are_shared_among_the_seconds() -> None:
    made = history(at(0.5, 0), at(1.5, 1.0), at(2.5, 1.0))
    assert until(made, 2.5, 3) == [100, 50, 0]


def test_many_frames_a_second_and_many_seconds_a_frame() -> None:
    fast = history(*(at(tenth / 10, tenth / 20) for tenth in range(21)))
    assert until(fast, 2, 3) == [None, pytest.approx(50), pytest.approx(50)]
    slow = history(at(0, 0), at(10, 2), at(20, 12))
    assert until(slow, 20, 20) == [pytest.approx(20)] * 10 + [pytest.approx(100)] * 10


def test_what_nobody_saw_is_a_hole() -> None:
    made = history(at(0, 0), at(1, 1), at(31, 2), at(32, 2.5))
    assert until(made, 32, 4) == [None, None, None, 50]
    assert until(made, 1, 2) == [None, 100]


def test_of_frames_that_came_at_once_the_last_stands_for_all() -> None:
    made = history(at(0, 0), at(1, 1))
    made.add(at(2, 1.5), at(3, 2))
    assert until(made, 3, 3) == [100, 50, 50]
    # too long for that: its own interval still counts
    made.add(at(12, 3), at(13, 3.25))
    assert until(made, 13, 2) == [None, 25]


def test_going_back_changes_nothing_and_shows_what_was_then() -> None:
    frames = [at(0, 0), at(1, 1), at(2, 1), at(3, 1.5)]
    made = history(*frames)
    before = until(made, 3, 3)
    made.add(frames[0], frames[1])
    made.add(frames[1], frames[2])
    assert until(made, 3, 3) == before
    assert until(made, 1, 2) == [None, 100]


def test_another_boot_begins_anew() -> None:
    made = history(at(0, 0), at(1, 1))
    made.add(None, replace(at(2, 0), boot_id="another"))
    assert until(made, 2, 3) == [None, None, None]


def test_what_is_not_known_is_not_drawn() -> None:
    made = history(at(0, 0), replace(at(1, 1), sections={}), at(2, 1), at(2, 1))
    assert until(made, 2, 2) == [50, 50]
    assert until(history(at(5, 5)), 5, 2) == [None, None]


def test_it_is_bounded() -> None:
    made = history(*(at(second, second / 2) for second in range(3000)))
    assert len(made._seconds) <= 1200
    assert until(made, 2999, 500) == [50] * 500


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 10), st.sampled_from([1, 2, 5])), max_size=40))
def test_to_have_asked_before_changes_no_answer(asked: list[tuple[int, int, int]]) -> None:
    """Frames come in any order, and means are asked for in between."""
    looked, other = BusyHistory(), BusyHistory()
    for tenths, length, span in asked:
        base, now = at(tenths / 10, 0), at(tenths / 10 + length / 10, length / 20)
        looked.add(base, now)
        other.add(base, now)
        until(looked, tenths / 10, 30, span)
    for span in (1, 2, 5):
        assert until(looked, 40, 45, span) == until(other, 40, 45, span)
