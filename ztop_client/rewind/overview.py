"""What the strip of rewind is drawn from: a span of the past as a curve, and what happened in it. Never waits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from ztop_client.formats import rate_text
from ztop_client.rewind.walk import Ask
from ztop_client.sources.source import RequestFailed
from ztop_client.widgets.timeline import Pin, Timeline
from ztop_protocol.codec import Wire
from ztop_protocol.event_kinds import EventKind, ProcessEventKind

_MINUTE_NS = 60_000_000_000
SPANS_NS = tuple(_MINUTE_NS * minutes for minutes in (1, 5, 15, 60, 6 * 60, 24 * 60, 7 * 24 * 60))
"""What the strip can be zoomed to; beyond the last one, everything that is remembered."""
_FIRST_SPAN = 1
_EVERYTHING = len(SPANS_NS)
_MOST_POINTS = 2000
_MOST_EVENTS = 1000
_SEARCHED_SPANS = 12
"""How often the span in which an earlier or later event is looked for is doubled."""
PINNED_KINDS: tuple[str, ...] = tuple(
    kind for kind in EventKind if kind not in (EventKind.LEFT_OUT, EventKind.SOURCE_BACK)
)
_STYLES: Mapping[str, str] = {
    EventKind.OOM_KILL: "strip_pin_hot",
    EventKind.CPU_SPIKE: "strip_pin_warm",
    EventKind.PRESSURE_SPIKE: "strip_pin_warm",
}


class Chart(Enum):
    """What the curve is of: its name on the screen, and the columns of ``series`` of which the greatest is drawn."""

    CPU = ("CPU", ("cpu_max_percent", "cpu_percent"))
    MEMORY = ("Mem", ("memory_percent",))
    SWAP = ("Swp", ("swap_percent",))
    PRESSURE = ("PSI", ("cpu_pressure_percent", "memory_pressure_percent", "io_pressure_percent"))
    DISK = ("Dsk", ("disk_bytes_per_second",))
    NETWORK = ("Net", ("network_bytes_per_second",))

    def __init__(self, title: str, columns: tuple[str, ...]) -> None:
        self.title = title
        self.columns = columns


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


class Overview:
    """The curve and the pins around the moment that is looked at. What is not at hand is asked for once."""

    def __init__(self, ask: Ask, changed: Callable[[], None]) -> None:
        self._ask = ask
        self._changed = changed
        self._zoom = _FIRST_SPAN
        self._chart = Chart.CPU
        self._oldest_ns: int | None = None
        self._window: _Window | None = None
        self._curves: dict[str, tuple[float | None, ...]] = {}
        self._happenings: tuple[Happening, ...] = ()
        self._cursor_ns = self._newest_ns = 0

    def look(self, cursor_ns: int, newest_ns: int) -> None:
        """The moment that is looked at, and the newest that there is."""
        self._cursor_ns, self._newest_ns = cursor_ns, newest_ns

    def know_oldest(self, oldest_ns: int) -> None:
        """How far the memory reaches."""
        self._oldest_ns = oldest_ns

    def zoom(self, steps: int) -> None:
        """Shows less of the time around the cursor, or (negative) more."""
        self._zoom = max(0, min(self._zoom - steps, _EVERYTHING))
        self._window = None

    def next_chart(self) -> str:
        """Draws something else; its name."""
        charts = list(Chart)
        self._chart = charts[(charts.index(self._chart) + 1) % len(charts)]
        return self._chart.title

    def timeline(self, points: int, mark_ns: int | None) -> Timeline:
        """What there is to be drawn; where more is needed it is asked for, and ``changed`` called when it came."""
        points = max(1, min(points, _MOST_POINTS))
        window = self._window
        if window is None or window.points != points or not window.start_ns <= self._cursor_ns <= window.end_ns:
            window = self._window = self._around(points)
            self._curves, self._happenings = {}, ()
            self._fetch(window)
        values, top = self._values()
        pins = tuple(Pin(one.time_ns, _STYLES.get(one.kind, "strip_pin")) for one in self._happenings)
        return Timeline(
            *(self._chart.title, top, window.start_ns, window.end_ns, values, pins),
            *(self._cursor_ns, mark_ns, self._newest_ns),
        )

    def _around(self, points: int) -> _Window:
        """The window that has the cursor in it, and as much of its surroundings as there is."""
        end_ns = max(self._newest_ns, self._cursor_ns)
        if self._zoom == _EVERYTHING:
            oldest_ns = self._cursor_ns if self._oldest_ns is None else self._oldest_ns
            start_ns = min(oldest_ns, self._cursor_ns, end_ns - SPANS_NS[0])
            return _Window(start_ns, end_ns, points)
        span_ns = SPANS_NS[self._zoom]
        if self._cursor_ns < end_ns - span_ns * 9 // 10:
            end_ns = min(self._cursor_ns + span_ns // 2, end_ns)
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
        asked: dict[str, Wire] = {"from_ns": max(window.start_ns, 0), "to_ns": window.end_ns}

        def series(answer: Wire | RequestFailed) -> None:
            if self._window is window:
                self._curves = _curves(answer, window)
                self._changed()

        def events(answer: Wire | RequestFailed) -> None:
            if self._window is window:
                self._happenings = tuple(_happenings(answer))
                self._changed()

        self._ask("series", {**asked, "points": window.points}, series)
        self._ask("events", {**asked, "kinds": list(PINNED_KINDS), "limit": _MOST_EVENTS}, events)

    def here(self, seq: int) -> Happening | None:
        """What happened at a frame."""
        return next((one for one in self._happenings if one.seq == seq), None)

    def find_event(self, seq: int, direction: int, found: Callable[[Happening | None], None]) -> None:
        """The event nearest to a frame, before (-1) or after it; looked for ever farther away. None: there is none."""
        nearest = self._nearest(self._happenings, seq, direction)
        if nearest is not None:
            found(nearest)
            return
        window = self._window
        if window is None:
            start_ns = end_ns = self._cursor_ns
        else:
            start_ns, end_ns = window.start_ns, window.end_ns
        self._search(seq, direction, (start_ns if direction < 0 else end_ns), SPANS_NS[self._search_zoom()], found, 0)

    def _search_zoom(self) -> int:
        return min(self._zoom, _EVERYTHING - 1)

    def _search(
        self,
        seq: int,
        direction: int,
        edge_ns: int,
        span_ns: int,
        found: Callable[[Happening | None], None],
        searched: int,
    ) -> None:
        other_ns = max(edge_ns + direction * span_ns, 0)
        low, high = min(edge_ns, other_ns), max(edge_ns, other_ns)
        is_over = (
            searched >= _SEARCHED_SPANS
            or (direction > 0 and low > self._newest_ns)
            or (direction < 0 and self._oldest_ns is not None and high < self._oldest_ns)
        )
        if is_over:
            found(None)
            return

        def answered(answer: Wire | RequestFailed) -> None:
            nearest = self._nearest(tuple(_happenings(answer)), seq, direction)
            if nearest is None and not isinstance(answer, RequestFailed):
                self._search(seq, direction, other_ns, 2 * span_ns, found, searched + 1)
            else:
                found(nearest)

        asked: dict[str, Wire] = {"from_ns": low, "to_ns": high}
        self._ask("events", {**asked, "kinds": list(PINNED_KINDS), "limit": _MOST_EVENTS}, answered)

    @staticmethod
    def _nearest(happenings: tuple[Happening, ...], seq: int, direction: int) -> Happening | None:
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
    spread: dict[str, list[float | None]] = {name: [None] * window.points for name in names if name != "time_ns"}
    for row in rows[: 2 * _MOST_POINTS]:
        if not isinstance(row, list) or len(row) != len(names) or type(row[time_place]) is not int:
            return {}
        since_ns = row[time_place] - window.start_ns
        first = max(since_ns * window.points // span_ns, 0)
        last = min(max(-(-(since_ns + step_ns) * window.points // span_ns), first + 1), window.points)
        for name, cell in zip(names, row, strict=True):
            if name != "time_ns" and isinstance(cell, (int, float)):
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
