"""The running screen: a source of frames, a terminal, and the loop between them.

Nothing is drawn but for a reason: a frame, a key, a click, a resize, or the seconds of a lost connection.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import urwid

from ztop_client.absence import Dashes
from ztop_client.actions import Target
from ztop_client.controller import Controller
from ztop_client.formats import span_text
from ztop_client.inspection import Block, Part
from ztop_client.inspector import Done, Inspector
from ztop_client.lacking import Lacking
from ztop_client.process_page import ThreadsRead
from ztop_client.rewind.acts import RewindActs
from ztop_client.rewind.control import Rewinding
from ztop_client.sources.kept import threads_kept
from ztop_client.sources.source import Pair, RequestFailed, Source
from ztop_client.terminal import Terminal, TerminalGone
from ztop_client.view import ON_REQUEST_SECTIONS, View
from ztop_client.widgets.header import Title
from ztop_client.widgets.screen import Screen
from ztop_protocol.codec import FrameDecoder, Malformed, Wire
from ztop_protocol.frame import Key
from ztop_protocol.garbage import collect_seldom

if TYPE_CHECKING:
    from ztop_client.recorder import Recorder

MAINTAIN_SECONDS = 0.25
"""How often a source that is not connected is asked to try again."""
_LATE_FRAMES = 3
_PATIENCE_SECONDS = 2.0
_PAST_SECONDS = 1.0
"""How often it is looked how long ago the past is."""
_BREATH_SECONDS, _AHEAD_SECONDS = 0.05, 0.005
_MOST_BEFORE = 240
"""So many frames before a moment of the past are looked at for what is drawn of the last minutes, a little later."""
_NOW = "as it is now, not as it was then: this is read of the process, which lives still"
INTERVALS_TICKS = (1, 2, 3, 5, 10, 15, 30, 60)
"""What + and - choose from."""


def watch(
    source: Source,
    view: View,
    ticks: int = 1,
    tick_seconds: float = 1.0,
    notice: str | None = None,
    recorder: "Recorder | None" = None,
    at_ns: int | None = None,
    *,
    redact: bool = False,
) -> int:
    """Shows ``source`` on the terminal until the user quits; the exit status. Closes nothing.

    A frame comes every ``ticks`` ticks of ``tick_seconds``. ``notice`` is said at first. ``recorder`` is told of.
    ``at_ns``: the moment of the past that is shown at first. ``redact``: what is saved of it names nobody.
    """
    monitor = Monitor(source, Terminal(), view, ticks, tick_seconds, recorder, redact)
    monitor.say(notice)
    collect_seldom()
    # what nohup ignores stays ignored: the terminal itself then says that it is gone
    taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    signals = {number: signal.signal(number, _leave) for number in taken}
    try:
        monitor.run(at_ns)
    except KeyboardInterrupt:
        pass
    except (TerminalGone, urwid.InputClosedError):
        return 1
    except OSError:
        # a read of a terminal that hung up
        if os.isatty(0):
            raise
        return 1
    finally:
        for number, before in signals.items():
            signal.signal(number, before)
    return 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise urwid.ExitMainLoop


class Monitor:
    """Everything that is on the screen, and what moves it."""

    def __init__(
        self,
        source: Source,
        terminal: Terminal,
        view: View,
        ticks: int,
        tick_seconds: float,
        recorder: "Recorder | None" = None,
        redact: bool = False,
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._terminal = terminal
        self._ticks = ticks
        self._tick_seconds = tick_seconds
        self._shown: Pair | None = None
        self._watched: int | None = None
        self._alarm: Any = None
        self._late_after = time.monotonic() + _PATIENCE_SECONDS
        self._dashes = Dashes()
        self._lacking = Lacking(source.ask, lambda: None if self._shown is None else self._shown.current)
        self._view = view
        view.glyphs = terminal.glyphs
        self._screen = Screen(self._view, Title(source.title, program=view.program.name), terminal.glyphs)
        self._loop = urwid.MainLoop(
            self._screen, screen=terminal, event_loop=urwid.SelectEventLoop(), handle_mouse=True
        )
        self._loop.event_loop.enter_idle(self.settle)
        self._is_moment_due = False
        self._is_lack_said = False
        self._before: frozenset[int] = frozenset()
        self._is_looked_around = True
        self._ahead_alarm: Any = None
        self._inspector = Inspector(self._loop)
        self._rewinding = Rewinding(
            source.ask,
            newest=source.latest,
            shown=lambda: None if self._shown is None else self._shown.kept,
            show=self._show_moment,
            say=self.say,
            changed=self._screen.changed,
            hold=lambda is_held: source.set_paused(is_held or view.paused),
            chart=view.program.chart,
        )
        self._screen.handler = Controller(
            self._view,
            self._screen,
            terminal.glyphs,
            quit=_quit,
            redraw=terminal.clear,
            refresh=self._refresh,
            settle=self.settle,
            read_threads=self._read_threads,
            ask_what_lacks=self._what_lacks,
            ask=self._ask,
            shown=lambda: self._shown,
            pause=self._source.set_paused,
            change_interval=self._change_interval,
            rewinding=self._rewinding,
            rewind_acts=RewindActs(
                *(source.ask, self._loop.event_loop, view, self._screen, self._rewinding),
                *(round(tick_seconds * 1e9), redact),
            ),
        )

    def say(self, sentence: str | None) -> None:
        """Shows a sentence until the next key."""
        self._screen.message = sentence

    def _say_now(self, sentence: str) -> None:
        self.say(sentence)
        self._screen.changed()

    def run(self, at_ns: int | None = None) -> None:
        """Runs until the user quits. Raises what ends it otherwise."""
        self._show()
        if at_ns is not None:
            self._rewinding.enter(at_ns)
        self._follow_source()
        self._loop.run()

    def _readable(self) -> None:
        if self._source.receive():
            self._arrived()
        self._follow_source()

    def _arrived(self) -> None:
        self._late_after = time.monotonic() + self._patience()
        pair = self._source.latest()
        self._rewinding.arrived()
        if not self._view.paused and not self._rewinding.is_active:
            self._show()
        elif pair is not None:
            self._screen.remember(pair.previous, pair.current)

    def _show(self) -> None:
        """Puts the newest frame on the screen, or the one that was gone back to."""
        self._shown = (self._rewinding.pair or self._shown) if self._rewinding.is_active else self._source.latest()
        if self._shown is not None:
            self._screen.show(self._shown.previous, self._shown.drawn)
            self._retable()

    def _show_moment(self) -> None:
        """Another moment, of the past or live again, is to be shown once all keys that have come were heard."""
        self._is_moment_due = True
        self._screen.changed()

    def settle(self) -> None:
        """What was gone to is on the screen now: whatever acts on what is shown acts on that."""
        if self._is_moment_due:
            self._is_moment_due = False
            self._show()
            self._follow_source()
            self._is_looked_around = False
            if self._ahead_alarm is not None:
                self._loop.remove_alarm(self._ahead_alarm)
            self._ahead_alarm = self._loop.set_alarm_in(_BREATH_SECONDS, self._look_around)
            if not self._rewinding.is_active:
                self._is_lack_said = False
            elif not self._is_lack_said and self._rewinding.pair is not None:
                self._is_lack_said = True
                self._say_what_lacks()

    def _look_around(self, _loop: object, _data: object) -> None:
        """What can wait: the minutes before the moment shown, and what will be needed farther back."""
        self._ahead_alarm = None
        has_more = self._rewinding.look_ahead()
        if not (self._is_looked_around and has_more):
            self._remember_before()
        self._is_looked_around = True
        if has_more:
            self._ahead_alarm = self._loop.set_alarm_in(_AHEAD_SECONDS, self._look_around)

    def _remember_before(self) -> None:
        pairs = {pair.current.seq: pair for pair in self._rewinding.pairs_before(_MOST_BEFORE)}
        new = [pair for seq, pair in pairs.items() if seq not in self._before and pair is not self._shown]
        self._before = frozenset(pairs)
        if new:
            self._screen.remember_before((pair.previous, pair.current) for pair in new)

    def _refresh(self, newest: bool) -> None:
        """The table once more: of the newest frame, or of the one that is shown, with the sections it needs now."""
        self._source.set_sections(sorted(self._view.sections))
        if newest:
            self._show()
        else:
            self._retable()
            self._say_what_lacks()
        self._follow_source()

    def _say_what_lacks(self) -> None:
        """A frame that was measured before a view was chosen does not have what only that view shows."""
        is_past = self._past() is not None
        if (self._view.paused or is_past) and self._shown is not None:
            lacking = self._view.sections - self._shown.current.sections.keys()
            if not lacking.isdisjoint(ON_REQUEST_SECTIONS):
                self.say(
                    "This moment was kept without what this view adds."
                    if is_past
                    else "Paused, and this moment was measured without what this view adds: Z goes on."
                )

    def _retable(self) -> None:
        if self._shown is not None:
            table = self._view.program.table(self._shown.previous, self._shown.drawn, self._view.threads)
            self._view.show(table)
            # the page of a process says it where it is, the header too
            wanted = self._view.sections - self._view.program.header_sections
            if not self._view.page_open and (found := self._dashes.found(table, wanted)):
                self._lacking.why_dashes(found, self._say_now)

    def _read_threads(self, process: Key, done: ThreadsRead) -> None:
        pid, start = process
        arguments = {"pid": pid, "start_boottime_ns": start}

        def answered(answer: Wire | RequestFailed) -> None:
            try:
                done(answer if isinstance(answer, RequestFailed) else FrameDecoder().frame(answer))
            except Malformed as error:
                done(RequestFailed(str(error)))
            self._screen.changed()

        if self._rewinding.is_active and self._shown is not None:
            answered(threads_kept(self._shown.current, arguments))
        else:
            self._source.ask("threads", arguments, answered)

    def _what_lacks(self, done: Callable[[str | None], None]) -> None:
        def known(note: str | None) -> None:
            done(note)
            self._screen.changed()

        self._lacking.note(known)

    def _ask(self, target: Target, part: Part, done: Done) -> None:
        was = self._past() is not None

        def answered(blocks: Sequence[Block]) -> None:
            found = any(block.entries for block in blocks)
            done([Block("", reason=_NOW), *blocks] if was and found else blocks)
            self._screen.changed()

        self._inspector.ask(target, part, answered)

    def _follow_source(self) -> None:
        """After whatever may have changed the source's connection: its descriptor, the title, the next look at it."""
        descriptor = self._source.fileno()
        if descriptor != self._watched:
            if self._watched is not None:
                self._loop.event_loop.remove_watch_file(self._watched)
            if descriptor is not None:
                self._loop.event_loop.watch_file(descriptor, self._readable)
            self._watched = descriptor
        lost, past, slowed = self._lost(), self._past(), self._slowed()
        self._screen.timeline = self._rewinding.timeline if self._rewinding.is_active else None
        before, source = self._screen.title, self._source.title
        title = replace(before, source=source, lost=lost, past=past, recording=self._recording(), slowed=slowed)
        if title != before:
            self._screen.title = title
            self._screen.changed()
        if self._alarm is not None:
            self._loop.remove_alarm(self._alarm)
        if self._source.status().past is not None:
            wait = _PAST_SECONDS
        else:
            wait = MAINTAIN_SECONDS if lost else max(self._late_after - time.monotonic(), MAINTAIN_SECONDS)
        self._alarm = self._loop.set_alarm_in(wait, self._look_after)

    def _look_after(self, _loop: object, _data: object) -> None:
        self._alarm = None
        self._source.maintain()
        if self._source.fileno() is not None and self._source.receive():
            self._arrived()
        self._follow_source()

    def _past(self) -> str | None:
        """That what is shown was, and is not, in a few words."""
        recorded = self._source.status().past
        if not self._rewinding.is_active:
            return recorded
        ago_ns = self._rewinding.ago_ns()
        if ago_ns is None:
            return "going back"
        waiting = " …" if self._rewinding.is_waiting else ""
        return (
            f"REWOUND {span_text(ago_ns)}{waiting}" if recorded is None else f"recorded -{span_text(ago_ns)}{waiting}"
        )

    def _tick_now(self) -> float:
        """The daemon's time between two frames; it may have become longer than it was set."""
        return self._source.status().tick_seconds or self._tick_seconds

    def _slowed(self) -> str | None:
        """For the title: that it has."""
        now = self._tick_now()
        return f"SLOWED to {now:g} s" if now > 1.5 * self._tick_seconds and self._past() is None else None

    def _recording(self) -> str | None:
        """For the title; what is new about it is said."""
        if self._recorder is None:
            return None
        news = self._recorder.news()
        if news is not None:
            self.say(news)
            self._screen.changed()
        return self._recorder.mark

    def _lost(self) -> str | None:
        """Why no frames come, and for how long; None while they do."""
        status, now = self._source.status(), time.monotonic()
        if status.past is not None:
            return None
        if not status.live:
            reason = f": {status.reason}" if status.reason else ""
            return f"reconnecting, {now - status.since_monotonic:.0f} s{reason}"
        if now > self._late_after:
            if self._source.latest() is None:
                return "waiting for the first frame"
            return f"no frame for {now - self._late_after + self._patience():.0f} s"
        return None

    def _patience(self) -> float:
        """Seconds without a frame before they are missed."""
        return _LATE_FRAMES * self._ticks * self._tick_now() + _PATIENCE_SECONDS

    def _change_interval(self, change: int) -> str:
        if self._source.status().past is not None:
            return "The past has a pace of its own."
        place = min(range(len(INTERVALS_TICKS)), key=lambda place: abs(INTERVALS_TICKS[place] - self._ticks))
        ticks = INTERVALS_TICKS[max(0, min(place + change, len(INTERVALS_TICKS) - 1))]
        if ticks != self._ticks:
            self._source.set_interval(ticks)
            self._ticks = ticks
            self._view.interval_seconds = ticks * self._tick_seconds
            self._late_after = time.monotonic() + self._patience()
            self._follow_source()
        slowed = " ztopd samples less often than it was set: s says why." if self._slowed() else ""
        return f"Refreshed every {ticks * self._tick_now():g} s.{slowed}"


def _quit() -> None:
    raise urwid.ExitMainLoop
