"""The strip of rewind: a curve over the span shown, pins where something happened, the cursor and the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ztop_client.formats import span_text
from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Line, Piece, cells, draw
from ztop_client.widgets.strip import columns_of, strip

_LEFT, _RIGHT = 5, 8
"""Cells for the name of the curve, and for what its top means."""
_DAY_NS = 86_400_000_000_000
LEAST_WIDTH = _LEFT + _RIGHT + 20


@dataclass(frozen=True, slots=True)
class Pin:
    """Something that happened: when, and the style that says how bad it is."""

    time_ns: int
    style: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the strip shows. Wall times in ns; ``values`` are shares of the top (0 to 1), None where nothing is kept.

    They are evenly spread over the span; :func:`moments_of` says how many a strip of some width has.
    """

    name: str
    top: str
    start_ns: int
    end_ns: int
    values: tuple[float | None, ...]
    pins: tuple[Pin, ...]
    cursor_ns: int
    mark_ns: int | None
    newest_ns: int


def moments_of(width: int, glyphs: Glyphs) -> int:
    """How many values a strip on a screen so wide has."""
    return columns_of(max(width - _LEFT - _RIGHT, 1), glyphs)


def lines_for(height: int) -> int:
    """How many lines the strip has on a screen so high."""
    return 5 if height >= 40 else 4 if height >= 20 else 3


def timeline_lines(timeline: Timeline, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """``height`` lines, at least three: pins, the curve, the clock."""
    room = width - _LEFT - _RIGHT
    cursor = _cell(timeline, timeline.cursor_ns, room)
    mark = None if timeline.mark_ns is None else _cell(timeline, timeline.mark_ns, room)
    curve_height = height - 2
    rows = _curve(timeline, room, curve_height, glyphs)
    lines = [_pins(timeline, room, cursor, mark, glyphs)]
    for place, row in enumerate(rows):
        label = timeline.name if place == 0 else ""
        top = timeline.top if place == 0 else "0" if place == curve_height - 1 else ""
        row = _struck(row, cursor, "strip_cursor")
        if mark is not None and mark != cursor:
            row = _struck(row, mark, "strip_mark")
        lines.append([("label", label.ljust(_LEFT)), *row, ("dim", top.rjust(_RIGHT))])
    lines.append(_clock(timeline, room, cursor, width))
    return [draw(line, width, glyphs, "text") for line in lines]


def time_at(timeline: Timeline, x: int, width: int) -> int:
    """The wall time of the cell ``x`` of a strip so wide; beside the curve, that of its end."""
    room = width - _LEFT - _RIGHT
    x = max(_LEFT, min(x, _LEFT + room - 1))
    span_ns = timeline.end_ns - timeline.start_ns
    return timeline.start_ns + (2 * (x - _LEFT) + 1) * span_ns // (2 * room)


def _cell(timeline: Timeline, time_ns: int, room: int) -> int:
    span_ns = max(timeline.end_ns - timeline.start_ns, 1)
    return max(0, min((time_ns - timeline.start_ns) * room // span_ns, room - 1))


def _curve(timeline: Timeline, room: int, height: int, glyphs: Glyphs) -> list[list[Piece]]:
    count = columns_of(room, glyphs)
    values = list(timeline.values[:count])
    values += [None] * (count - len(values))
    rows = strip(values, height, glyphs)
    per_cell = count // room
    gaps = [all(value is None for value in values[at * per_cell : (at + 1) * per_cell]) for at in range(room)]
    for place in [place for place, is_gap in enumerate(gaps) if is_gap]:
        rows[-1] = _replaced(rows[-1], place, ("dim", glyphs.gap))
    return rows


def _pins(timeline: Timeline, room: int, cursor: int, mark: int | None, glyphs: Glyphs) -> list[Piece]:
    row: list[Piece] = [("text", " ")] * room
    worst = {"strip_pin": 0, "strip_pin_warm": 1, "strip_pin_hot": 2}
    for pin in sorted(timeline.pins, key=lambda pin: worst[pin.style]):
        if timeline.start_ns <= pin.time_ns <= timeline.end_ns:
            row[_cell(timeline, pin.time_ns, room)] = (pin.style, glyphs.pin)
    if mark is not None:
        row[mark] = ("strip_mark", "A")
    if row[cursor][1] == " ":
        row[cursor] = ("strip_cursor", glyphs.cursor)
    return [("text", " " * _LEFT), *row]


def _clock(timeline: Timeline, room: int, cursor: int, width: int) -> list[Piece]:
    is_long = timeline.end_ns - timeline.start_ns > _DAY_NS
    start, end = clock_text(timeline.start_ns, is_long), clock_text(timeline.end_ns, is_long)
    ago_ns = max(timeline.newest_ns - timeline.cursor_ns, 0)
    here = f" {clock_text(timeline.cursor_ns, is_long)} (-{span_text(ago_ns)}) "
    left = _LEFT + cursor - len(here) // 2
    left = max(0, min(left, width - len(here)))
    before = " " * _LEFT + start
    before = before if len(before) <= left else ""
    after = end.rjust(_LEFT + room - left - len(here))
    after = after if cells(after) == len(after) and len(after) == max(_LEFT + room - left - len(here), 0) else ""
    return [("dim", before.ljust(left)), ("title_paused", here), ("dim", after)]


def clock_text(time_ns: int, with_day: bool) -> str:
    """A time of day, with the day where spans are long."""
    moment = datetime.fromtimestamp(time_ns / 1e9)
    return f"{moment:%a %d %H:%M}" if with_day else f"{moment:%H:%M:%S}"


def _struck(row: Sequence[Piece], place: int, style: str) -> list[Piece]:
    """The row with the cell at a place in another style."""
    return _replaced(row, place, None, style)


def _replaced(row: Sequence[Piece], place: int, piece: Piece | None, style: str = "") -> list[Piece]:
    """The row with one cell replaced, or in another style. Every character of a curve is one cell wide."""
    result: list[Piece] = []
    left = 0
    for name, text in row:
        at = place - left
        left += len(text)
        if not 0 <= at < len(text):
            result.append((name, text))
            continue
        result += [part for part in ((name, text[:at]), piece or (style, text[at]), (name, text[at + 1 :])) if part[1]]
    return result
