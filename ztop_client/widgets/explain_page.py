"""The box that explains a span: sentences, and under each what it rests on, broken to the width of the box."""

from collections.abc import Iterator, Sequence

from ztop_client.explain.finding import REMARKABLE, Finding
from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Line, Piece, cells, slice_cells
from ztop_client.widgets.dialogs import Page

_WIDEST = 100
"""Longer lines are hard to read."""
_MARK, _INDENT = "* ", "    "


class ExplainPage(Page):
    """A page of findings; what stands out is bright."""

    def __init__(self, title: str, findings: Sequence[Finding]) -> None:
        super().__init__(title, ())
        self._findings = findings

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        room = max(min(width - 5, _WIDEST), 1)
        self._rows = [row for one in self._findings for row in _rows(one, room, glyphs)] or [[]]
        return super().box(width, height, glyphs)


def _rows(finding: Finding, room: int, glyphs: Glyphs) -> Iterator[list[Piece]]:
    style = "box_heading" if finding.weight >= REMARKABLE else "box_text"
    lead = _MARK
    for line in wrapped(glyphs.showable(finding.headline), room - len(_MARK)):
        yield [("box_key", lead), (style, line)]
        lead = " " * len(_MARK)
    for detail in finding.details:
        for line in wrapped(glyphs.showable(detail), room - len(_INDENT)):
            yield [("box_text", _INDENT + line)]


def wrapped(text: str, room: int) -> Iterator[str]:
    """Showable text in lines of at most ``room`` cells, broken at spaces where there are any."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cells(longer) <= room:
            line = longer
            continue
        if line:
            yield line
        while cells(word) > room > 1:
            begin = slice_cells(word, 0, room)
            yield begin
            word = word[len(begin) :]
        line = word
    yield line
