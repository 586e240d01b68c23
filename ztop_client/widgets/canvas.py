"""Lines of the screen in the form that urwid's display takes, and the canvas that hands them over as they are.

A layout of nested urwid widgets costs 37 to 58 ms per frame of a process table; one canvas of finished lines
costs about one.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

import urwid
from urwid.util import rle_product, trim_text_attr_cs

from ztop_client.glyphs import ASCII, UNICODE, Glyphs

Run: TypeAlias = tuple[Hashable, Literal["0", "U"] | None, bytes]
Line: TypeAlias = list[Run]
Piece: TypeAlias = tuple[str, str]
"""The name of a style, and any text: what cannot be shown is replaced when it is drawn."""


class LinesCanvas(urwid.Canvas):
    """A canvas of finished lines, each ``width`` cells wide."""

    __slots__ = ("_lines", "_width")

    def __init__(self, lines: Sequence[Line], width: int) -> None:
        super().__init__()
        self._lines = lines
        self._width = width

    def cols(self) -> int:
        return self._width

    def rows(self) -> int:
        return len(self._lines)

    def content(
        self,
        trim_left: int = 0,
        trim_top: int = 0,
        cols: int = 0,
        rows: int = 0,
        attr: Mapping[Hashable, Hashable] | None = None,
    ) -> Iterator[Line]:
        bottom = trim_top + rows if rows else len(self._lines)
        right = trim_left + cols if cols else self._width
        for line in self._lines[trim_top:bottom]:
            shown = cut(line, trim_left, right) if trim_left or right < self._width else line
            if attr:
                shown = [(attr.get(name, name), charset, text) for name, charset, text in shown]
            yield shown


def cut(line: Line, start: int, end: int) -> Line:
    """The cells of ``line`` from ``start`` to ``end``; half a wide character becomes a space."""
    text, attributes, charsets = trim_text_attr_cs(
        b"".join(run[2] for run in line),
        [(run[0], len(run[2])) for run in line],
        [(run[1], len(run[2])) for run in line],
        start,
        end,
    )
    result: Line = []
    place = 0
    for (attribute, charset), length in rle_product(attributes, charsets):
        result.append((attribute, charset, text[place : place + length]))
        place += length
    return result


def overlay(lines: list[Line], box: Sequence[Line], left: int, top: int, box_width: int, width: int) -> None:
    """Puts ``box`` over ``lines``, in place; both are complete lines."""
    for row, boxed in enumerate(box, top):
        under = lines[row]
        before = cut(under, 0, left) if left else []
        after = cut(under, left + box_width, width) if left + box_width < width else []
        lines[row] = [*before, *boxed, *after]


def cells(text: str) -> int:
    """How many cells showable text takes."""
    return len(text) if text.isascii() else urwid.calc_width(text, 0, len(text))


def slice_cells(text: str, start: int, width: int) -> str:
    """The cells of ``text`` from ``start``, ``width`` of them at most; half a wide character becomes a space."""
    if text.isascii():
        return text[start : start + width]
    first, at = urwid.calc_text_pos(text, 0, len(text), start)
    lead = ""
    if at < start:
        first = urwid.move_next_char(text, first, len(text)) if first < len(text) else first
        lead = " " * min(1, width)
    last, _ = urwid.calc_text_pos(text, first, len(text), width - len(lead))
    return lead + text[first:last]


_SHORT = 256


def _shown(text: str, glyphs: Glyphs) -> tuple[str, int, bytes]:
    """Any text as it can be shown, the cells that it takes, and what the terminal gets."""
    # labels, bars and numbers are the same in frame after frame
    return _shown_before(text, glyphs.ascii_only) if len(text) < _SHORT else _made_showable(text, glyphs.ascii_only)


def _made_showable(text: str, ascii_only: bool) -> tuple[str, int, bytes]:
    glyphs = ASCII if ascii_only else UNICODE
    shown = glyphs.showable(text)
    return shown, cells(shown), glyphs.encode(shown)


_shown_before = lru_cache(maxsize=4096)(_made_showable)


def draw(pieces: Sequence[Piece], width: int, glyphs: Glyphs, fill: str, start: int = 0) -> Line:
    """A line of exactly ``width`` cells: the pieces from the cell ``start`` on, then spaces of the style ``fill``."""
    line: Line = []
    skip, left = start, width
    for attribute, text in pieces:
        if left <= 0:
            break
        shown, length, data = _shown(text, glyphs)
        if skip >= length:
            skip -= length
            continue
        if skip or length > left:
            shown = slice_cells(shown, skip, left)
            length, data = cells(shown), glyphs.encode(shown)
            skip = 0
        if not length:
            continue
        left -= length
        if line and line[-1][0] == attribute:
            # the display's cost is by run
            data = line.pop()[2] + data
        line.append((attribute, None, data))
    if left > 0:
        line.append((fill, None, b" " * left))
    return line


def pieces_width(pieces: Sequence[Piece], glyphs: Glyphs) -> int:
    """How many cells the pieces take."""
    return sum(_shown(text, glyphs)[1] for _, text in pieces)


def justify(left: Sequence[Piece], right: Sequence[Piece], width: int, glyphs: Glyphs, fill: str) -> Line:
    """``left`` at the left edge and ``right`` at the right one; where both do not fit, ``right`` is cut first."""
    used = pieces_width(left, glyphs)
    gap = width - used - pieces_width(right, glyphs)
    if gap >= 1:
        return draw([*left, (fill, " " * gap), *right], width, glyphs, fill)
    return draw(left, width, glyphs, fill)
