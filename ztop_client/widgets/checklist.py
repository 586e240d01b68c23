"""A box of things to tick, as many to a line as fit."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Line, Piece
from ztop_client.widgets.dialogs import framed

T = TypeVar("T")
_GAP = 1


class Checklist(Generic[T]):
    """Labels with a box each. Space ticks, ``*`` all or none, Enter is done, Esc leaves."""

    def __init__(
        self,
        title: str,
        items: Sequence[tuple[str, T]],
        ticked: frozenset[T],
        done: Callable[[frozenset[T]], None],
    ) -> None:
        self._title = title
        self._items = items
        self._ticked = set(ticked)
        self._done = done
        self._place = 0
        self._top = 0
        self._page = 1
        self._per_line = 1
        self._cell = max(len(label) for label, _ in items) + len("[x] ") + _GAP

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        room = max(width - 6, 1)
        self._per_line = max(1, min(room // self._cell, 8, len(self._items)))
        lines = -(-len(self._items) // self._per_line)
        self._page = max(1, min(lines, height - 3))
        line = self._place // self._per_line
        self._top = max(0, min(self._top, lines - self._page))
        self._top = min(max(self._top, line - self._page + 1), line)
        inner = max(min(max(self._per_line * self._cell, len(self._title) + 3, 44), width - 4), 1)
        rows = [self._row(number) for number in range(self._top, self._top + self._page)]
        rows.append([("box_text", "Space: tick  *: all or none")])
        return framed(self._title, rows, inner, glyphs, "Enter: set  Esc: leave")

    def _row(self, number: int) -> list[Piece]:
        pieces: list[Piece] = []
        start = number * self._per_line
        for place, (label, value) in enumerate(self._items[start : start + self._per_line], start):
            text = f"[{'x' if value in self._ticked else ' '}] {label}".ljust(self._cell - _GAP)
            pieces += [("box_selected" if place == self._place else "box_text", text), ("box_text", " " * _GAP)]
        return pieces

    def key(self, key: str) -> bool:
        last = len(self._items) - 1
        page = self._per_line * self._page
        moves = {
            "left": -1, "right": 1, "up": -self._per_line, "down": self._per_line, "page up": -page, "page down": page,
            "home": -last, "end": last,
        }  # fmt: skip
        if key in moves:
            self._place = max(0, min(self._place + moves[key], last))
        elif key == " ":
            self._tick()
        elif key == "*":
            everything = {value for _, value in self._items}
            self._ticked = set() if everything <= self._ticked else everything
        elif key == "enter":
            self._done(frozenset(self._ticked))
            return False
        else:
            return key not in ("esc", "q", "f10")
        return True

    def click(self, x: int, y: int) -> bool:
        column = (x - 2) // self._cell
        place = (self._top + y - 1) * self._per_line + column
        if 0 < y <= self._page and 0 <= column < self._per_line and place < len(self._items):
            self._place = place
            self._tick()
        return True

    def roll(self, lines: int) -> bool:
        return self.key("down" if lines > 0 else "up")

    def _tick(self) -> None:
        self._ticked ^= {self._items[self._place][1]}
