"""Rewind as a person meets it: entering and leaving, steps, jumps, events, marks, the strip."""

from collections.abc import Callable
from dataclasses import dataclass

from ztop_client.keys import Action
from ztop_client.moments import moment_text, parse_moment
from ztop_client.rewind.chart import Chart
from ztop_client.rewind.overview import Happening, Overview
from ztop_client.rewind.walk import Ask, Walk
from ztop_client.sources.source import Pair, RequestFailed
from ztop_client.widgets.timeline import Timeline
from ztop_protocol.query import duration_ns

_MINUTE_NS = 60_000_000_000
SAVED_NS = 5 * _MINUTE_NS
"""So much around the moment is saved where no mark is set."""
EXPLAINED_NS = 10_000_000_000
"""Where no mark is set, the time since the frame before is explained: that one is looked for so far back."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that was marked: its frame and its wall time."""

    seq: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Span:
    """From one wall time to another, both ends included."""

    from_ns: int
    to_ns: int


class Rewinding:
    """The past on the screen, while it is there. Nothing here waits."""

    def __init__(
        self,
        ask: Ask,
        *,
        newest: Callable[[], Pair | None],
        shown: Callable[[], Pair | None],
        show: Callable[[], None],
        say: Callable[[str | None], None],
        changed: Callable[[], None],
        hold: Callable[[bool], None],
        chart: Chart = Chart.CPU,
    ) -> None:
        """``newest``: what is live. ``shown``: what is on the screen, where one begins.

        ``show``: another frame is to be shown, of the past or (again) live.
        ``hold``: whether a recording that is played stands still. ``chart``: what the strip shows at first.
        """
        self._newest = newest
        self._shown = shown
        self._show = show
        self._say = say
        self._changed = changed
        self._hold = hold
        self._walk = Walk(ask, self._moved, self._failed, self._ended)
        self._overview = Overview(ask, changed, chart)
        self._is_active = False
        self._then: Callable[[], object] | None = None
        self._acts_done = 0
        self._newest_seq = -1
        self.mark: Mark | None = None
        self._acts: dict[Action, Callable[[], None]] = {
            Action.FRAME_BACK: lambda: self._walk.step(-1),
            Action.FRAME_ON: lambda: self._walk.step(1),
            Action.TEN_BACK: lambda: self._walk.step(-10),
            Action.TEN_ON: lambda: self._walk.step(10),
            Action.MINUTE_BACK: lambda: self._walk.step_time(-_MINUTE_NS),
            Action.MINUTE_ON: lambda: self._walk.step_time(_MINUTE_NS),
            Action.OLDEST: self._walk.to_oldest,
            Action.LIVE: self.leave,
            Action.EVENT_BACK: lambda: self._to_event(-1),
            Action.EVENT_ON: lambda: self._to_event(1),
            Action.ZOOM_IN: lambda: self._say(self._overview.zoom(1)),
            Action.ZOOM_OUT: lambda: self._say(self._overview.zoom(-1)),
            Action.CHART: self._next_chart,
            Action.MARK: self._toggle_mark,
        }

    @property
    def is_active(self) -> bool:
        """Whether the screen shows the past."""
        return self._is_active

    @property
    def pair(self) -> Pair | None:
        """The frame of the past that is shown; None while the first one is on its way."""
        return self._walk.pair if self._is_active else None

    def enter(self, at_ns: int | None = None) -> None:
        """From what is on the screen into the past: to that very frame, or to a wall time."""
        here, newest = self._shown(), self._newest()
        if at_ns is None and here is None:
            self._say("There is no frame yet.")
            return
        self._is_active = True
        self._hold(True)
        if here is not None and newest is not None:
            self._newest_seq = newest.current.seq
            self._overview.look(here.current.time_ns, newest.current.time_ns)
        self._overview.learn()
        if at_ns is not None:
            self._walk.to_time(at_ns)
        elif here is not None:
            self._walk.begin(here)
        self._changed()

    def leave(self) -> None:
        """Back to what is live."""
        if self._is_active:
            self._is_active = False
            self._then = None
            self._walk.stop()
            self._hold(False)
            self._show()

    def act(self, action: Action) -> bool:
        """Does what a key of rewind means; False for an action that is not among its own."""
        act = self._acts.get(action)
        if act is None:
            return False
        self._acts_done += 1
        act()
        self._changed()
        return True

    def arrived(self) -> None:
        """A live frame came: how long ago the moment shown was has changed."""
        newest = self._newest()
        if newest is None:
            return
        if newest.current.seq < self._newest_seq:
            # a daemon without a store that was started anew
            self._walk.forget()
            self._overview.forget()
            self.mark = None
        self._newest_seq = newest.current.seq
        if self._is_active:
            self._look(newest)

    def ago_ns(self) -> int | None:
        """How long before the last frame that there is the moment shown was; None while it is on its way."""
        pair = self._walk.pair
        return None if pair is None else max(self._overview.newest_ns - pair.current.time_ns, 0)

    @property
    def is_waiting(self) -> bool:
        """Whether another moment is on its way."""
        return self._walk.is_waiting

    def pairs_before(self, count: int) -> list[Pair]:
        """What is at hand of the time up to the moment shown, at most so many pairs; the last first."""
        return self._walk.pairs_before(count)

    def look_ahead(self) -> bool:
        """For when nothing else is to be done; whether to come again."""
        return self._walk.look_ahead()

    def timeline(self, points: int) -> Timeline:
        """The strip."""
        return self._overview.timeline(points, None if self.mark is None else self.mark.time_ns)

    def to_time(self, time_ns: int) -> None:
        """To the moment that was clicked on."""
        self._walk.to_time(time_ns)

    def to_seq(self, seq: int, then: Callable[[], object]) -> None:
        """To a frame that was found; ``then`` is done once it is shown."""
        self._then = then
        self._walk.to_seq(seq)

    def jump(self, text: str) -> str | None:
        """To a time as people write it; what is wrong with it otherwise."""
        try:
            time_ns = parse_moment(text, self._overview.newest_ns)
        except ValueError as error:
            return str(error)
        self._walk.to_time(time_ns)
        return None

    def jump_by(self, text: str, direction: int) -> str | None:
        """By a span as people write it; what is wrong with it otherwise."""
        span_ns = duration_ns(text.strip())
        if not span_ns:
            return "a span was expected, such as 30s, 5m or 1h30m"
        self._walk.step_time(direction * span_ns)
        return None

    def span(self) -> Span | None:
        """Between the mark and the moment shown; None where there is no mark, or it is that moment."""
        pair, mark = self._walk.pair, self.mark
        if pair is None or mark is None or mark.seq == pair.current.seq:
            return None
        return Span(min(mark.time_ns, pair.current.time_ns), max(mark.time_ns, pair.current.time_ns))

    def span_to_explain(self) -> Span | None:
        """The marked span, or the seconds before the moment shown."""
        pair = self._walk.pair
        if pair is None:
            return None
        return self.span() or Span(max(pair.current.time_ns - EXPLAINED_NS, 0), pair.current.time_ns)

    def span_to_save(self) -> Span | None:
        """The marked span, or some minutes around the moment shown."""
        pair = self._walk.pair
        if pair is None:
            return None
        here_ns = pair.current.time_ns
        return self.span() or Span(max(here_ns - SAVED_NS, 0), here_ns + SAVED_NS)

    def _ended(self) -> None:
        """Beyond what is live there is nothing; a recording has more than what was played of it."""
        pair, newest = self._walk.pair, self._newest()
        if pair is not None and newest is not None and pair.current.seq > newest.current.seq:
            self._say("That is the last frame.")
            self._changed()
        else:
            self.leave()

    def _failed(self, sentence: str) -> None:
        """Said; where nothing of the past was shown yet, live it is."""
        self._then = None
        if self._walk.pair is None:
            self.leave()
        self._say(sentence)
        self._changed()

    def _moved(self) -> None:
        newest = self._newest()
        if newest is not None:
            self._look(newest)
        self._show()
        then, self._then = self._then, None
        if then is not None:
            then()

    def _look(self, newest: Pair) -> None:
        shown = self._walk.pair or newest
        self._overview.look(shown.current.time_ns, max(newest.current.time_ns, shown.current.time_ns))

    def _to_event(self, direction: int) -> None:
        seq, done = self._walk.target_seq, self._acts_done
        if seq is None:
            return

        def found(happening: Happening | RequestFailed | None) -> None:
            if not self._is_active or done != self._acts_done:
                # meanwhile something else was wanted
                return
            if happening is None:
                self._say(f"No event is remembered {'before' if direction < 0 else 'after'} this moment.")
            elif isinstance(happening, RequestFailed):
                self._say(str(happening))
            else:
                self._walk.to_seq(happening.seq)
                self._say(f"{moment_text(happening.time_ns)}: {happening.sentence}")
            self._changed()

        self._overview.find_event(seq, direction, found)

    def _next_chart(self) -> None:
        self._say(f"The strip shows {self._overview.next_chart()}.")

    def _toggle_mark(self) -> None:
        pair = self._walk.pair
        if pair is None:
            return
        if self.mark is not None and self.mark.seq == pair.current.seq:
            self.mark = None
            self._say("The mark is gone.")
        else:
            self.mark = Mark(pair.current.seq, pair.current.time_ns)
            self._say(f"A is {moment_text(pair.current.time_ns)}: d shows what changed from there.")
