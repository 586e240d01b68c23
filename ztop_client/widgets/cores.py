"""A meter for each core, packed by how many there are: bars, then numbers, then one cell each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ztop_client.formats import ABSENT
from ztop_client.glyphs import Glyphs
from ztop_client.machine import Core
from ztop_client.widgets.canvas import Piece
from ztop_client.widgets.meters import joined, level, meter

_GAP = 2
_PERCENT_CELLS = 4
_BAR_CELLS = 6
_GROUP = 16
"""One-cell meters stand in groups of so many."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A way to draw a core in a cell of the table, ``narrowest`` cells wide at least."""

    narrowest: int
    draw: Callable[[Core, int, int], list[Piece]]
    """Given the core, the digits of the numbers, and the width of its cell."""


def core_rows(
    cores: Sequence[Core], width: int, most: int, least: int, glyphs: Glyphs, *, cells: bool = False
) -> list[list[Piece]] | None:
    """The meters in at most so many lines, and in no fewer than ``least`` where that makes them wider.

    Bars or numbers in ``width`` cells, down and then across; with ``cells`` one cell each if they do not fit. None
    where that is too much too.
    """
    digits = max((len(str(core.number)) for core in cores), default=1)

    def draw_bar(core: Core, _digits: int, room: int) -> list[Piece]:
        return bar_of(str(core.number).rjust(digits), core, room, glyphs)

    def draw_number(core: Core, _digits: int, room: int) -> list[Piece]:
        style, glyph = level(None if core.busy is None else core.busy / 100, glyphs)
        number = "value" if core.busy is not None and core.busy >= 75 else "arguments"
        text = percent(core.busy)[:-1] or ABSENT
        pieces = [("label", str(core.number).rjust(digits)), (style, glyph), (number, text.rjust(3))]
        return [*pieces, ("text", " " * (room - digits - 4))]

    kinds = (_Kind(digits + _BAR_CELLS + _PERCENT_CELLS + 2, draw_bar), _Kind(digits + 4, draw_number))
    for kind in kinds:
        across = max((width + _GAP) // (kind.narrowest + _GAP), 1)
        rows = max(-(-len(cores) // across), min(least, len(cores)))
        if rows <= most and kind.narrowest <= width:
            return _table(cores, width, rows, digits, kind)
    return _cells(cores, width, most, glyphs) if cells else None


def bar_of(label: str, core: Core, width: int, glyphs: Glyphs) -> list[Piece]:
    """One core's meter, or that of all together."""
    segments = ((style, size / 100) for style, size in core.parts)
    return meter(label, segments, percent(core.busy), width, _PERCENT_CELLS, glyphs)


def percent(busy: float | None) -> str:
    """``7%``, ``100%``."""
    return ABSENT if busy is None else f"{busy:.0f}%"


def _table(cores: Sequence[Core], width: int, rows: int, digits: int, kind: _Kind) -> list[list[Piece]]:
    across = -(-len(cores) // max(rows, 1))
    rows = -(-len(cores) // across) if across else 0
    room = (width + _GAP) // max(across, 1) - _GAP
    table: list[list[Piece]] = [[] for _ in range(rows)]
    for place, core in enumerate(cores):
        line = table[place % rows]
        if line:
            line.append(("text", " " * _GAP))
        line += kind.draw(core, digits, room)
    return table


def _cells(cores: Sequence[Core], width: int, most: int, glyphs: Glyphs) -> list[list[Piece]] | None:
    digits = len(str(cores[-1].number)) if cores else 1
    groups_of_line = (width - digits) // (_GROUP + 1)
    groups = -(-len(cores) // _GROUP)
    if groups_of_line < 1 or -(-groups // groups_of_line) > most:
        return None
    # all lines alike
    groups_of_line = -(-groups // -(-groups // groups_of_line))
    lines: list[list[Piece]] = []
    for start in range(0, len(cores), groups_of_line * _GROUP):
        line: list[Piece] = [("label", str(cores[start].number).rjust(digits))]
        for place, core in enumerate(cores[start : start + groups_of_line * _GROUP]):
            if place % _GROUP == 0:
                line.append(("text", " "))
            line.append(level(None if core.busy is None else core.busy / 100, glyphs))
        lines.append(joined(line))
    return lines
