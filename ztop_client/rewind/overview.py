"""What the strip of rewind is drawn from: a span of the past as a curve, and what happened in it. Never waits."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ztop_client.formats import rate_text, span_text
from ztop_client.rewind.chart import Chart
from ztop_client.rewind.walk import Ask
from ztop_client.sources.source import RequestFailed
from ztop_client.widgets.timeline import Pin, Timeline
from ztop_protocol.codec import Wire
from ztop_protocol.event_kinds import AlertKind, EventKind, ProcessEventKind

_MINUTE_NS = 60_000_000_000
SPANS_NS = tuple(_MINUTE_NS * minutes for minutes in (1, 5, 15, 60, 6 * 60, 24 * 60, 7 * 24 * 60))
"""What the strip can be zoomed to; beyond the last one, everything that is remembered."""
_FIRST_SPAN = 1
_EVERYTHING = len(SPANS_NS)
_MOST_POINTS = 2000
_MOST_EVENTS = 1000
_LEAST_SPAN_NS = 10_000_000_000
_MOST_ANSWERS = 20
"""So often more is asked for where an answer has only a part."""
PINNED_KINDS: tuple[str, ...] = (
    *(kind for kind in EventKind if kind not in (EventKind.LEFT_OUT, EventKind.SOURCE_BACK)),
    *AlertKind,
)
_STYLES: Mapping[str, str] = {
    EventKind.OOM_KILL: "strip_pin_hot",
    EventKind.VRAM_LOW: "strip_pin_hot",
    EventKind.CPU_SPIKE: "strip_pin_warm",
    EventKind.PRESSURE_SPIKE: "strip_pin_warm",
    AlertKind.IPC_DROP: "strip_pin_warm",
}


_COLUMNS = frozenset(column for chart in Chart for column in chart.columns)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that has a pin: wall time, number of its frame, what it is in words."""

    time_ns: int
    seq: int
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class _Window:
    """A span of wall time, and into how many values its curve is divided."""

    start_ns: int
    end_ns: int
    points: int


Found = Callable[[Happening | RequestFailed | None], None]
"""Is given what was found; None where nothing is remembered."""


class Overview:
    """The curve and the pins around the moment that is looked at. What is not at hand is asked for once."""

    def __init__(self, ask: Ask, changed: Callable[[], None], chart: Chart = Chart.CPU) -> None:
        self._ask = ask
        self._changed = changed
        self._zoom = _FIRST_SPAN
        self._chart = chart
        self._oldest_ns: int | None = None
        self._last_ns = 0
        self._window: _Window | None = None
        self._curves: dict[str, tuple[float | None, ...]] = {}
        self._happenings: list[Happening] = []
        self._has_all_happenings = False
        self._cursor_ns = self._newest_ns = 0

    def learn(self) -> None:
        """Asks how far the memory reaches: of a recording, too, to which moment."""

        def oldest(answer: Wire | RequestFailed) -> None:
            times = _times(answer, ("ring_oldest_time_ns", "store_oldest_time_ns"))
            if times and min(times) != self._oldest_ns:
                self._oldest_ns, self._window = min(times), None
                self._changed()

        def last(answer: Wire | RequestFailed) -> None:
            self._last_ns = max(_times(answer, ("time_ns",)), default=0)
            self._window = None
            self._changed()

        self._ask("ping", {}, last)
        self._ask("status", {}, oldest)

    def look(self, cursor_ns: int, newest_ns: int) -> None:
        """The moment that is looked at, and the newest that is known of."""
        self._cursor_ns, self._newest_ns = cursor_ns, newest_ns

    @property
    def newest_ns(self) -> int:
        """The wall time of the last frame that there is."""
        return max(self._newest_ns, self._last_ns)

    def forget(self) -> None:
        """Drops what is known: it is of another memory."""
        self._oldest_ns, self._last_ns, self._window = None, 0, None

    def zoom(self, steps: int) -> str:
        """Shows less of the time around the cursor, or (negative) more; what is shown then, in words."""
        most = self._most_zoom()
        self._zoom = max(0, min(min(self._zoom, most) - steps, most))
        self._window = None
        span = span_text(self._span_ns())
        return f"The strip shows all that is remembered: {span}." if self._zoom == most else f"The strip shows {span}."

    def next_chart(self) -> str:
        """Draws something else; its name. GPUs have their turn where something is known of them."""
        charts = list(Chart)
        if all(value is None for name in Chart.GPU.columns for value in self._curves.get(name, ())):
            charts.remove(Chart.GPU)
        place = charts.index(self._chart) if self._chart in charts else -1
        self._chart = charts[(place + 1) % len(charts)]
        return self._chart.title

    def timeline(self, points: int, mark_ns: int | None) -> Timeline:
        """What there is to be drawn; where more is needed it is asked for, and ``changed`` called when it came."""
        points = max(1, min(points, _MOST_POINTS))
        window = self._window
        if window is None or window.points != points or not window.start_ns <= self._cursor_ns <= window.end_ns:
            window = self._window = self._around(points)
            self._curves, self._happenings, self._has_all_happenings = {}, [], False
            self._fetch(window)
        values, top = self._values()
        pins = tuple(Pin(one.time_ns, _STYLES.get(one.kind, "strip_pin")) for one in self._happenings)
        return Timeline(
            *(self._chart.title, top, window.start_ns, window.end_ns, values, pins),
            *(self._cursor_ns, mark_ns, self.newest_ns),
        )

    def _remembered_ns(self) -> int | None:
        if self._oldest_ns is None:
            return None
        return max(self.newest_ns - min(self._oldest_ns, self._cursor_ns), _LEAST_SPAN_NS)

    def _most_zoom(self) -> int:
        """From which zoom on everything is shown."""
        remembered_ns = self._remembered_ns()
        if remembered_ns is None:
            return _EVERYTHING
        return next((place for place, span_ns in enumerate(SPANS_NS) if span_ns >= remembered_ns), _EVERYTHING)

    def _span_ns(self) -> int:
        if self._zoom < self._most_zoom():
            return SPANS_NS[self._zoom]
        return self._remembered_ns() or SPANS_NS[min(self._zoom, _EVERYTHING - 1)]

    def _around(self, points: int) -> _Window:
        """The window that has the cursor in it, and as much of its surroundings as there is."""
        last_ns, span_ns = max(self.newest_ns, self._cursor_ns), self._span_ns()
        end_ns = last_ns
        if self._cursor_ns < end_ns - span_ns * 9 // 10:
            end_ns = min(self._cursor_ns + span_ns // 2, end_ns)
        if self._oldest_ns is not None:
            end_ns = min(max(end_ns, min(self._oldest_ns, self._cursor_ns) + span_ns), last_ns)
        return _Window(end_ns - span_ns, end_ns, points)

    def _values(self) -> tuple[tuple[float | None, ...], str]:
        curves = [self._curves[name] for name in self._chart.columns if name in self._curves]
        if not curves:
            return (), ""
        greatest = tuple(
            max((value for value in values if value is not None), default=None) for values in zip(*curves, strict=True)
        )
        if self._chart not in (Chart.DISK, Chart.NETWORK):
            return tuple(None if value is None else value / 100 for value in greatest), "100%"
        top = max((value for value in greatest if value is not None), default=0.0)
        return tuple(None if value is None else value / (top or 1.0) for value in greatest), rate_text(top)

    def _fetch(self, window: _Window) -> None:
        asked: dict[str, Wire] = {"from_ns": max(window.start_ns, 0), "to_ns": max(window.end_ns, 0)}

        def ask_series(answers: int) -> None:
            def answered(answer: Wire | RequestFailed) -> None:
                if self._window is window:
                    self._curves = _curves(answer, window)
                    self._changed()
                    # where there was no time for all of it, the next answer goes on
                    if isinstance(answer, dict) and answer.get("complete") is False and answers < _MOST_ANSWERS:
                        ask_series(answers + 1)

            self._ask("series", {**asked, "points": window.points, "columns": sorted(_COLUMNS)}, answered)

        def events(found: list[Happening], is_all: bool) -> bool:
            if self._window is not window:
                return False
            self._happenings, self._has_all_happenings = found, is_all
            self._changed()
            return True

        ask_series(1)
        self._gather_events(asked, events, lambda _: None)

    def _gather_events(
        self,
        asked: Mapping[str, Wire],
        take: Callable[[list[Happening], bool], bool],
        failed: Callable[[RequestFailed], None],
        cursor: Wire = None,
        before: Iterable[Happening] = (),
        answers: int = 1,
    ) -> None:
        """Gives ``take`` what has come so far, and whether that is all, until it wants no more."""

        def answered(answer: Wire | RequestFailed) -> None:
            if isinstance(answer, RequestFailed):
                failed(answer)
                return
            found = [*before, *_happenings(answer)]
            more = answer.get("cursor") if isinstance(answer, dict) else None
            is_over = more is None or more == cursor or answers >= _MOST_ANSWERS
            if take(found, is_over) and not is_over:
                self._gather_events(asked, take, failed, more, found, answers + 1)

        whole = {**asked, "kinds": list(PINNED_KINDS), "limit": _MOST_EVENTS}
        self._ask("events", whole if cursor is None else {**whole, "cursor": cursor}, answered)

    def find_event(self, seq: int, direction: int, found: Found) -> None:
        """The event nearest to a frame, before (-1) or after it; looked for ever farther away."""
        window = self._window
        if window is None or not self._has_all_happenings:
            self._search(seq, direction, self._cursor_ns, SPANS_NS[_FIRST_SPAN], found)
            return
        nearest = _nearest(self._happenings, seq, direction)
        if nearest is not None:
            found(nearest)
        else:
            edge_ns = window.start_ns if direction < 0 else window.end_ns
            self._search(seq, direction, edge_ns, window.end_ns - window.start_ns, found)

    def _search(self, seq: int, direction: int, edge_ns: int, span_ns: int, found: Found) -> None:
        """Looks in a span beyond the edge, then in one twice as long beyond that."""
        edge_ns = max(edge_ns, 0)
        other_ns = max(edge_ns + direction * span_ns, 0)
        low, high = min(edge_ns, other_ns), max(edge_ns, other_ns)
        is_over = low > self.newest_ns if direction > 0 else high < (self._oldest_ns or 1)
        if is_over:
            found(None)
            return

        def take(happenings: list[Happening], is_all: bool) -> bool:
            nearest = _nearest(happenings, seq, direction)
            if nearest is not None and (is_all or direction > 0):
                found(nearest)
                return False
            if is_all:
                self._search(seq, direction, other_ns, 2 * span_ns, found)
            return True

        self._gather_events({"from_ns": low, "to_ns": high}, take, found)


def _times(answer: Wire | RequestFailed, names: Iterable[str]) -> list[int]:
    """Those of the wall times that are in an answer."""
    if not isinstance(answer, dict):
        return []
    return [value for name in names if type(value := answer.get(name)) is int]


def _nearest(happenings: Iterable[Happening], seq: int, direction: int) -> Happening | None:
    if direction < 0:
        return max((one for one in happenings if one.seq < seq), key=lambda one: one.seq, default=None)
    return min((one for one in happenings if one.seq > seq), key=lambda one: one.seq, default=None)


def _curves(answer: Wire | RequestFailed, window: _Window) -> dict[str, tuple[float | None, ...]]:
    """The columns of ``series`` as values evenly spread over the window; nothing where the answer is no such thing."""
    if not isinstance(answer, dict):
        return {}
    names, rows, step_ns = answer.get("columns"), answer.get("rows"), answer.get("step_ns")
    if not isinstance(names, list) or not isinstance(rows, list) or type(step_ns) is not int or step_ns <= 0:
        return {}
    if "time_ns" not in names or not all(isinstance(name, str) for name in names):
        return {}
    time_place, span_ns = names.index("time_ns"), max(window.end_ns - window.start_ns, 1)
    spread: dict[str, list[float | None]] = {name: [None] * window.points for name in _COLUMNS.intersection(names)}
    for row in rows[: 2 * _MOST_POINTS]:
        if not isinstance(row, list) or len(row) != len(names) or type(row[time_place]) is not int:
            return {}
        since_ns = row[time_place] - window.start_ns
        if since_ns + step_ns <= 0:
            continue
        first = max(since_ns * window.points // span_ns, 0)
        last = min(max(-(-(since_ns + step_ns) * window.points // span_ns), first + 1), window.points)
        for name, cell in zip(names, row, strict=True):
            if name in spread and isinstance(cell, (int, float)) and math.isfinite(cell):
                spread[name][first:last] = [float(cell)] * max(last - first, 0)
    return {name: tuple(values) for name, values in spread.items()}


def _happenings(answer: Wire | RequestFailed) -> list[Happening]:
    found: list[Happening] = []
    events = answer.get("events") if isinstance(answer, dict) else None
    for event in events[:_MOST_EVENTS] if isinstance(events, list) else ():
        if not isinstance(event, dict) or type(event.get("time_ns")) is not int or type(event.get("seq")) is not int:
            continue
        kind = event.get("kind")
        if not isinstance(kind, str) or kind in tuple(ProcessEventKind):
            continue
        detail = event.get("detail")
        sentence = detail if isinstance(detail, str) and detail else kind.replace("_", " ")
        found.append(Happening(event["time_ns"], event["seq"], kind, sentence))
    return found
