"""Rewind as a person meets it, without a screen: entering, leaving, marks, jumps, events, daemons that start anew."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.protocol.recorded_frames import made
from ztop_client.keys import Action
from ztop_client.moments import moment_text
from ztop_client.rewind.control import SAVED_NS, Rewinding, Span
from ztop_client.sources.recorded_answers import answer
from ztop_client.sources.source import Pair, RequestFailed
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Frame
from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.segment import Segment, encode_step
from ztop_protocol.timeline import Timeline

SECOND = 10**9


class Screen:
    """What rewind shows and says, and the source that it asks."""

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        self.waits = False
        self.broken: str | None = None
        self.waiting: list[Callable[[], None]] = []
        self.live: Pair | None = Pair(frames[-2], frames[-1])
        self.on_screen: Pair | None = self.live
        self.said: list[str | None] = []
        self.holds: list[bool] = []
        self.rewinding = Rewinding(
            self.ask,
            newest=lambda: self.live,
            shown=lambda: self.on_screen,
            show=self.show,
            say=self.said.append,
            changed=lambda: None,
            hold=self.holds.append,
        )

    def show(self) -> None:
        self.on_screen = self.rewinding.pair if self.rewinding.is_active else self.live

    def ask(self, method: str, arguments: Arguments, done: Callable[[Any], None]) -> None:
        timeline: Timeline[StoredSegment | Segment] = Timeline()
        for start in range(0, len(self.frames), 10):
            kept = self.frames[start : start + 10]
            timeline.append(Segment.begun_by(encode_step(None, kept[0], whole=True), SECOND))
            for before, frame in pairwise(kept):
                timeline.newest.add(encode_step(before, frame, whole=False))  # type: ignore[union-attr]
        found = answer(timeline, method, arguments) if self.broken is None else RequestFailed(self.broken)
        self.waiting.append(lambda: done(found))
        if not self.waits:
            self.answer()

    def answer(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()

    def come(self, frame: Frame) -> None:
        """A live frame."""
        self.frames.append(frame)
        self.live = Pair(None, frame) if self.live is None else self.live.followed_by(frame)
        self.rewinding.arrived()
        if not self.rewinding.is_active:
            self.show()

    @property
    def seq(self) -> int:
        assert self.on_screen is not None
        return self.on_screen.current.seq

    def act(self, *actions: Action) -> None:
        for action in actions:
            assert self.rewinding.act(action)


@pytest.fixture
def screen() -> Screen:
    return Screen([made(seq) for seq in range(1, 101)])


def test_it_begins_where_one_is_and_ends_live(screen: Screen) -> None:
    screen.rewinding.enter()
    assert (screen.seq, screen.rewinding.is_active, screen.rewinding.ago_ns()) == (100, True, 0)
    screen.act(Action.TEN_BACK, Action.FRAME_BACK)
    assert screen.seq == 89
    screen.come(made(101))
    assert screen.seq == 89
    assert screen.rewinding.ago_ns() == 12 * SECOND
    screen.act(Action.LIVE)
    assert (screen.seq, screen.rewinding.is_active) == (101, False)
    assert screen.holds == [True, False]


def test_it_begins_with_the_frame_on_which_the_screen_was_paused(screen: Screen) -> None:
    screen.on_screen = Pair(screen.frames[48], screen.frames[49])
    screen.rewinding.enter()
    assert screen.seq == 50
    screen.act(Action.FRAME_ON)
    assert screen.seq == 51


def test_a_step_beyond_the_newest_is_live(screen: Screen) -> None:
    screen.rewinding.enter()
    screen.act(Action.FRAME_ON)
    assert not screen.rewinding.is_active
    assert screen.seq == 100


def test_a_recording_goes_on_after_what_was_played_and_ends_with_its_last_frame(screen: Screen) -> None:
    played = screen.frames[:40]
    screen.live = screen.on_screen = Pair(played[-2], played[-1])
    screen.rewinding.enter()
    assert screen.rewinding.ago_ns() == 60 * SECOND
    screen.act(*[Action.TEN_ON] * 6)
    assert screen.seq == 100
    screen.act(Action.FRAME_ON)
    assert (screen.seq, screen.rewinding.is_active, screen.said[-1]) == (100, True, "That is the last frame.")
    screen.act(Action.LIVE)
    assert screen.seq == 40


def test_nothing_to_begin_with_is_said(screen: Screen) -> None:
    screen.live = screen.on_screen = None
    screen.rewinding.enter()
    assert not screen.rewinding.is_active
    assert screen.said == ["There is no frame yet."]


def test_where_nothing_comes_it_is_live_again_and_says_why(screen: Screen) -> None:
    screen.broken = "there is no connection to the daemon"
    screen.rewinding.enter()
    assert not screen.rewinding.is_active
    assert screen.said == ["there is no connection to the daemon"]
    assert screen.seq == 100


def test_an_answer_that_comes_after_one_left_moves_nothing(screen: Screen) -> None:
    screen.rewinding.enter()
    screen.waits = True
    screen.rewinding.to_seq(20, lambda: pytest.fail("nobody waits for it"))
    screen.act(Action.LIVE)
    screen.answer()
    assert screen.seq == 100
    assert not screen.rewinding.is_active
    screen.waits = False
    screen.rewinding.enter()
    assert screen.seq == 100


def test_what_was_to_be_done_there_is_not_done_elsewhere(screen: Screen) -> None:
    screen.rewinding.enter()
    done: list[int] = []
    screen.rewinding.to_seq(20, lambda: done.append(screen.seq))
    assert done == [20]
    screen.broken = "gone"
    screen.rewinding.to_seq(55, lambda: done.append(screen.seq))
    screen.broken = None
    screen.act(Action.FRAME_ON)
    assert done == [20]


def test_keys_that_come_while_one_waits_add_up(screen: Screen) -> None:
    screen.rewinding.enter()
    screen.waits = True
    screen.act(*[Action.TEN_BACK] * 3, Action.FRAME_BACK)
    assert screen.seq == 100
    assert screen.rewinding.is_waiting
    while screen.waiting:
        screen.answer()
    assert screen.seq == 69


def test_the_mark_is_kept_while_live_and_makes_a_span(screen: Screen) -> None:
    screen.rewinding.enter()
    screen.act(Action.TEN_BACK, Action.MARK)
    assert screen.said[-1] == f"A is {moment_text(screen.frames[89].time_ns)}: d shows what changed from there."
    assert screen.rewinding.span() is None
    screen.act(Action.TEN_BACK)
    span = Span(screen.frames[79].time_ns, screen.frames[89].time_ns)
    assert screen.rewinding.span() == screen.rewinding.span_to_explain() == screen.rewinding.span_to_save() == span
    screen.act(Action.LIVE)
    assert screen.rewinding.span() is None
    screen.rewinding.enter()
    assert screen.rewinding.timeline(10).mark_ns == screen.frames[89].time_ns
    screen.act(Action.TEN_BACK, Action.MARK)
    assert screen.said[-1] == "The mark is gone."
    here_ns = screen.frames[89].time_ns
    assert screen.rewinding.span_to_save() == Span(max(here_ns - SAVED_NS, 0), here_ns + SAVED_NS)


def test_jumps(screen: Screen) -> None:
    screen.rewinding.enter()
    assert screen.rewinding.jump("-30s") is None
    assert screen.seq == 70
    assert screen.rewinding.jump_by("20s", -1) is None
    assert screen.seq == 50
    assert screen.rewinding.jump_by("5s", 1) is None
    assert screen.seq == 55
    for text in ("", "soon", "0s", "-5s"):
        assert screen.rewinding.jump_by(text, 1) is not None
    assert screen.rewinding.jump("some day") is not None
    assert screen.seq == 55
    # from the last frame that there is, not from what a screen shows
    assert screen.rewinding.jump("-1s") is None
    assert screen.seq == 99


def test_an_event_that_is_found_late_does_not_take_one_back(screen: Screen) -> None:
    screen.rewinding.enter()
    screen.rewinding.timeline(10)
    screen.waits = True
    screen.act(Action.EVENT_BACK)
    screen.act(Action.FRAME_BACK)
    while screen.waiting:
        screen.answer()
    assert screen.seq == 99
    assert screen.said == []


def test_a_daemon_that_counts_from_1_again_is_not_taken_for_the_one_before(screen: Screen) -> None:
    screen.rewinding.enter()
    screen.act(*[Action.TEN_BACK] * 5, Action.MARK)
    old = screen.frames
    # the same numbers, of another time: 1000 s later
    anew = [replace(one, time_ns=one.time_ns + 1000 * SECOND, boottime_ns=one.boottime_ns + 1000 * SECOND,
                    sections={}) for one in old[:60]]  # fmt: skip
    screen.frames = []
    for frame in anew:
        screen.come(frame)
    assert screen.on_screen is not None
    assert screen.on_screen.current == old[49]
    assert screen.rewinding.mark is None
    screen.act(Action.FRAME_BACK)
    assert screen.said[-1] == "ztopd was started anew and does not remember the time before"
    assert screen.on_screen.current == old[49]
    screen.act(Action.LIVE)
    screen.rewinding.enter()
    screen.act(*[Action.FRAME_BACK] * 10)
    assert screen.on_screen.current.time_ns == anew[49].time_ns


def test_what_is_not_rewinds_is_left_to_others(screen: Screen) -> None:
    screen.rewinding.enter()
    assert not screen.rewinding.act(Action.SORT_CPU)
    assert not screen.rewinding.act(Action.DIFFERENCE)
