"""A box that says how far something is, until it is done or given up."""

from collections.abc import Callable

from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Line
from ztop_client.widgets.dialogs import framed
from ztop_client.widgets.meters import bar

_WIDTH = 40


class ProgressBox:
    """``share`` (0 to 1) and ``note`` are set from outside; Esc gives up."""

    def __init__(self, title: str, given_up: Callable[[], None]) -> None:
        self._title = title
        self._given_up = given_up
        self.share = 0.0
        self.note = ""

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        inner = max(min(_WIDTH, width - 4), 1)
        rows = [bar([("cpu_user", self.share)], inner - 5, glyphs), [("box_text", self.note)]]
        rows[0] += [("box_text", f"{self.share:4.0%}".rjust(5))]
        return framed(self._title, rows, inner, glyphs, "Esc: give up")

    def key(self, key: str) -> bool:
        if key in ("esc", "q", "f10"):
            self._given_up()
            return False
        return True

    def click(self, x: int, y: int) -> bool:
        return True

    def roll(self, lines: int) -> bool:
        return True
