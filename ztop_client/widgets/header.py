"""The title line and the meters: what the machine as a whole does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ztop_client.formats import label_text, load_text, uptime_text
from ztop_client.glyphs import Glyphs
from ztop_client.history import BusyHistory
from ztop_client.machine import Machine, machine
from ztop_client.widgets.canvas import Line, Piece, draw, justify, pieces_width
from ztop_client.widgets.cores import bar_of, core_rows, percent
from ztop_client.widgets.gauges import details, gauges
from ztop_client.widgets.strip import columns_of, strip
from ztop_protocol.frame import Frame

_TWO_COLUMNS = 72
"""From so many cells on the gauges stand beside the cores."""
_DETAILED = 60
_TALL = 4
"""Cores stand in columns of so many where they are few; what is left of the height is the strip's."""
_SPAN_CELLS = 6
_STRIP_COLUMNS = 100
"""The fewest seconds of a strip."""


@dataclass(frozen=True, slots=True)
class Title:
    """What the title line says beside the frame. ``lost`` is why, and for how long, no frames come.

    ``past`` is said in place of "live" of a frame that was; its date is said too.
    """

    source: str
    lost: str | None = None
    marks: tuple[str, ...] = ()
    """Short words for what is switched on: PAUSED, FOLLOW."""
    past: str | None = None
    slowed: str | None = None
    """That the daemon samples less often than it was set."""
    recording: str | None = None
    """That what comes is recorded."""
    program: str = "ztop"

    @property
    def name(self) -> str:
        """What stands at the very left."""
        return f" {self.program} "


def _shortly(lost: str) -> Piece:
    """That frames do not come, without the reason."""
    return "title_lost", f" {lost.partition(':')[0]} "


def title_line(frame: Frame | None, title: Title, width: int, glyphs: Glyphs, tabs: Sequence[Piece] = ()) -> Line:
    """``ztop host · source … up 1d 02:03 · load 0.10 0.20 0.30 · ● live 12:34:56``, with ``tabs`` after the name.

    What matters most stays longest when the line is narrow: the state, then the host and the clock.
    """
    left: list[Piece] = [("title_name", title.name), *tabs]
    state: list[Piece] = [("title_paused", f" {mark} ") for mark in title.marks]
    if title.slowed is not None:
        state.append(("title_lost", f" {title.slowed} "))
    if title.recording is not None:
        state.append(("title_lost", f" {title.recording} "))
    if title.past is not None:
        state.append(("title_paused", f" {title.past} "))
    if title.lost is not None:
        state.append(("title_lost", f" {title.lost} "))
    elif title.past is None:
        state.append(("title_live", f" {glyphs.live} live "))
    separator = f" {glyphs.separator} "
    host: list[Piece] = []
    clock: list[Piece] = []
    figures: list[Piece] = []
    load: list[Piece] = []
    if frame is not None:
        host.append(("title_host", f" {label_text(frame.cell('host', 'hostname'))}"))
        moment = datetime.fromtimestamp(frame.time_ns / 1e9)
        day = "" if title.past is None else f" {moment:%Y-%m-%d} "
        clock.append(("title_host", f"{day}{moment:%H:%M:%S} "))
        loads = " ".join(load_text(frame.cell("host", f"load_average_{span}")) for span in ("1m", "5m", "15m"))
        uptime = uptime_text(frame.cell("host", "uptime_ns"))
        figures.append(("title", f" up {uptime}{separator}load {loads} "))
        load.append(("title", f" load {loads} "))
    source: list[Piece] = [("title", f"{separator}{title.source}")]
    # when the past is matters more than why nothing newer comes
    when = [] if title.past is None or title.lost is None else [([*state[:-1], _shortly(title.lost), *clock], False)]
    # of the past it matters most whose it is
    without_source = [] if title.past is not None else [([*figures, *state, *clock], False)]
    for right, with_source in (
        ([*figures, *state, *clock], True),
        ([*load, *state, *clock], True),
        *without_source,
        ([*state, *clock], True),
        ([*state, *clock], False),
        *when,
        (state, False),
    ):
        start = [*left, *host, *(source if with_source else ())]
        if pieces_width(start, glyphs) + pieces_width(right, glyphs) < width:
            return justify(start, right, width, glyphs, "title")
    # the tabs can do without their names sooner than the state
    whole = [*left, *state]
    fits = pieces_width(whole, glyphs) <= width
    return draw(whole if fits else [left[0], *state], width, glyphs, "title")


class Meters:
    """The meters of a frame. Give it each frame once; the lines are made when they are asked for."""

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._machine: Machine | None = None
        self._busy = BusyHistory()

    def show(self, previous: Frame | None, current: Frame) -> None:
        """A new frame."""
        self.remember(previous, current)
        self._machine = machine(previous, current)

    def remember(self, previous: Frame | None, current: Frame) -> None:
        """A frame that may not be shown (the screen is paused), for the strip."""
        self._busy.add(previous, current)

    def most(self, height: int) -> int:
        """So many lines of a screen of ``height`` it may take."""
        return max(0, min(height // 3, height - 9))

    def lines(self, width: int, most: int) -> list[Line]:
        """At most so many lines; none at all where there is no room for anything useful."""
        now = self._machine
        if now is None or width < 20 or most < 1:
            return []
        if width < _TWO_COLUMNS:
            return self._one_column(now, width, most)
        half = (width - 5) // 2
        right = gauges(now, half, self._glyphs)[:most]
        room = min(most, max(len(right), 5, min(most // 2, 10)))
        cores = core_rows(now.cores, half, room - 1 if room > 2 else room, min(room - 2, _TALL), self._glyphs)
        above: list[list[Piece]] = []
        left: list[list[Piece]] = []
        if cores is not None:
            left = [*cores, *self._strip(now, half, room - len(cores), "CPU")]
        else:
            room = min(room, max(len(right), 4))
            above = core_rows(now.cores, width - 2, most - room, 1, self._glyphs, cells=True) or []
            left = [bar_of("CPU", now.total, half, self._glyphs), *self._strip(now, half, room - 1, "")]
        more = list(details(now, self._glyphs)) if half >= _DETAILED else []
        right += more if len(right) + len(more) <= room else []
        lines = [self._line(row, width) for row in above]
        for place in range(max(len(left), len(right))):
            beside = (left[place] if place < len(left) else [], right[place] if place < len(right) else [])
            lines.append(self._pair(*beside, width, half))
        return lines

    def _one_column(self, now: Machine, width: int, most: int) -> list[Line]:
        below = gauges(now, width - 2, self._glyphs)[: max(most - 1, 0)]
        cores = core_rows(now.cores, width - 2, most - len(below), 1, self._glyphs)
        if cores is None:
            cores = [bar_of("CPU", now.total, width - 2, self._glyphs)]
            cores += core_rows(now.cores, width - 2, most - len(below) - 1, 1, self._glyphs, cells=True) or []
        return [self._line(row, width) for row in (*cores, *below)][:most]

    def _strip(self, now: Machine, width: int, height: int, label: str) -> list[list[Piece]]:
        """The last minutes of all cores together, what they are now, and how far back it goes."""
        room = width - len("CPU ") - _SPAN_CELLS
        sampled = now.frame.sections.get("cpus")
        if height < 1 or room < 4 or sampled is None:
            return []
        count = columns_of(room, self._glyphs)
        seconds = next(seconds for seconds in (1, 2, 5, 10, 30) if count * seconds >= _STRIP_COLUMNS or seconds == 30)
        values = self._busy.until(sampled.sampled_boottime_ns, count, seconds)
        curve = strip([None if value is None else value / 100 for value in values], height, self._glyphs)
        span = f"{count * seconds // 60}m{count * seconds % 60:02d}s"
        texts: list[Piece] = [("value", percent(now.total.busy)), ("dim", span)][0 if label else 1 :]
        texts += [("text", "")] * height
        return [
            [
                ("label", (label if row == 0 else "").ljust(4)),
                *line,
                (texts[row][0], texts[row][1].rjust(_SPAN_CELLS)),
            ]
            for row, line in enumerate(curve)
        ]

    def _line(self, pieces: Sequence[Piece], width: int) -> Line:
        return draw([("text", " "), *pieces], width, self._glyphs, "text")

    def _pair(self, left: Sequence[Piece], right: Sequence[Piece], width: int, half: int) -> Line:
        gap = half + 3 - pieces_width(left, self._glyphs)
        return self._line([*left, ("text", " " * gap), *right], width)
