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
    """``7%``, ``100%``: the kernel's clock ticks let a full core be measured as a little more."""
    return ABSENT if busy is None else f"{min(busy, 100.0):.0f}%"


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
    """One cell each, every group under the number of its first core; only every line where that is too wide."""
    digits = len(str(cores[-1].number)) if cores else 1
    groups = [cores[start : start + _GROUP] for start in range(0, len(cores), _GROUP)]
    wide, narrow = (width + _GAP) // (digits + 1 + _GROUP + _GAP), (width - digits) // (_GROUP + 1)
    for across, labelled in ((wide, True), (narrow, False)):
        if across >= 1 and (rows := -(-len(groups) // across)) <= most:
            # all lines alike
            across = -(-len(groups) // rows)
            return [_group_line(groups[row * across : (row + 1) * across], digits, labelled, glyphs)
                    for row in range(rows)]  # fmt: skip
    return None


def _group_line(groups: Sequence[Sequence[Core]], digits: int, labelled: bool, glyphs: Glyphs) -> list[Piece]:
    line: list[Piece] = []
    for place, group in enumerate(groups):
        if place and labelled:
            line.append(("text", " " * _GAP))
        if labelled or not place:
            line.append(("label", str(group[0].number).rjust(digits)))
        line.append(("text", " "))
        line += (level(None if core.busy is None else core.busy / 100, glyphs) for core in group)
    return joined(line)
