"""Boxes over the screen: a menu to choose from, a question, a page of text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Line, Piece, cells, draw, slice_cells

T = TypeVar("T")
_MENU_FOOT = "Enter: choose  Esc: leave"


class Dialog(Protocol):
    """A box. It takes every key while it is open; a handler returns False to close it."""

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        """The box, no larger than this; all its lines are equally wide."""

    def key(self, key: str) -> bool:
        """A key was pressed."""

    def click(self, x: int, y: int) -> bool:
        """The first mouse button was pressed at a cell of the box as it was drawn last."""

    def roll(self, lines: int) -> bool:
        """The wheel was turned."""


def framed(
    title: str, rows: Sequence[Sequence[Piece]], inner: int, glyphs: Glyphs, foot: str = "", selected: int | None = None
) -> list[Line]:
    """The rows in a box whose inside is ``inner`` cells wide, and a cell of margin at each side."""
    top_left, top_right, bottom_left, bottom_right, across, down = tuple(glyphs.box)
    title = f" {slice_cells(glyphs.showable(title), 0, max(inner - 1, 0))} "
    head = [("box", top_left + across), ("box_title", title), ("box", across * (inner + 1 - cells(title)) + top_right)]
    foot = f" {foot} " if foot else ""
    end = [("box", bottom_left + across), ("box_text", foot), ("box", across * (inner + 1 - len(foot)) + bottom_right)]
    lines = [draw(head, inner + 4, glyphs, "box")]
    for place, row in enumerate(rows):
        if place == selected:
            inside = draw([("box_selected", " " + "".join(text for _, text in row))], inner + 2, glyphs, "box_selected")
        else:
            inside = draw([("box_text", " "), *row], inner + 2, glyphs, "box_text")
        side: Line = draw([("box", down)], 1, glyphs, "box")
        lines.append([*side, *inside, *side])
    lines.append(draw(end, inner + 4, glyphs, "box"))
    return lines


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """An item of a menu: what it is called, what it stands for."""

    label: str
    value: T


class Menu(Generic[T]):
    """A list to choose from with the arrows, the first letters, Enter or the mouse."""

    def __init__(self, title: str, choices: Sequence[Choice[T]], chosen: int, done: Callable[[T], None]) -> None:
        self._title = title
        self._choices = choices
        self._done = done
        self._place = chosen
        self._top: int | None = None
        self._page = 1
        self._typed = ""

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        self._page = max(min(len(self._choices), height - 2), 1)
        widest = max(
            [cells(glyphs.showable(choice.label)) for choice in self._choices]
            + [cells(glyphs.showable(self._title)) + 2, len(_MENU_FOOT) + 2]
        )
        inner = max(min(widest + 1, width - 4), 1)
        if self._top is None:
            # what is chosen at first has its neighbours on both sides
            self._top = max(0, min(self._place - self._page // 2, len(self._choices) - self._page))
        self._top = min(max(self._top, self._place - self._page + 1), self._place)
        shown = self._choices[self._top : self._top + self._page]
        rows = [[("box_text", choice.label)] for choice in shown]
        return framed(self._title, rows, inner, glyphs, _MENU_FOOT, self._place - self._top)

    def key(self, key: str) -> bool:
        last = len(self._choices) - 1
        moves = {"up": -1, "down": 1, "page up": -self._page, "page down": self._page, "home": -last, "end": last}
        if key == "enter":
            return self._choose()
        if key in ("esc", "q", "f10"):
            return False
        if key in moves:
            self._move(moves[key])
            self._typed = ""
        elif len(key) == 1 and key.isprintable():
            self._find(key)
        return True

    def click(self, x: int, y: int) -> bool:
        place = (self._top or 0) + y - 1
        if not (0 < y <= self._page and place < len(self._choices)):
            return True
        self._place = place
        return self._choose()

    def roll(self, lines: int) -> bool:
        self._move(lines)
        return True

    def _move(self, lines: int) -> None:
        self._place = max(0, min(self._place + lines, len(self._choices) - 1))

    def _choose(self) -> bool:
        if self._choices:
            self._done(self._choices[self._place].value)
        return False

    def _find(self, character: str) -> None:
        for typed in (self._typed + character.casefold(), character.casefold()):
            self._typed = typed
            labels = [choice.label.casefold().split() for choice in self._choices]
            # what is called so goes before what is only described so; a signal's number stands before its name
            for words in ([label[: 2 if label[0].isdigit() else 1] for label in labels], labels):
                for place, label in enumerate(words):
                    if any(word.startswith((typed, "sig" + typed)) for word in label):
                        self._place = place
                        return


class Question:
    """Lines to read and a yes to give: only ``y`` and Enter mean it, everything else means no."""

    def __init__(self, title: str, lines: Sequence[str], done: Callable[[], None]) -> None:
        self._title = title
        self._lines = lines
        self._done = done
        self._buttons = 0

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        room = max(height - 4, 1)
        lines = list(self._lines)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"and {len(lines) - room + 1} more"]
        inner = max(
            min(max([*(cells(glyphs.showable(line)) for line in lines), len(self._title) + 2, 30]) + 1, width - 4), 1
        )
        rows: list[list[Piece]] = [[("box_text", line)] for line in lines]
        rows += [[], [("box_danger", "y"), ("box_text", " or Enter: yes   "), ("box_key", "n"), ("box_text", " no")]]
        rows = rows[: max(height - 2, 1)]
        self._buttons = len(rows)
        return framed(self._title, rows, inner, glyphs)

    def key(self, key: str) -> bool:
        if key in ("y", "Y", "enter"):
            self._done()
        return False

    def click(self, x: int, y: int) -> bool:
        if y != self._buttons:
            return True
        if x < 19:
            self._done()
        return False

    def roll(self, lines: int) -> bool:
        return True


class Page:
    """A text to read, longer than the screen if need be. ``leads_on``: what a key opens in its place."""

    def __init__(
        self, title: str, rows: Sequence[Sequence[Piece]], leads_on: Mapping[str, Callable[[], None]] | None = None
    ) -> None:
        self._title = title
        self._leads_on = leads_on or {}
        self._rows = rows
        self._top = 0
        self._page = 1

    def turn(self, rows: Sequence[Sequence[Piece]]) -> None:
        """Other rows: something has come to be known."""
        self._rows = rows

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        self._page = max(min(len(self._rows), height - 2), 1)
        widest = max(sum(cells(glyphs.showable(text)) for _, text in row) for row in self._rows)
        inner = max(min(widest + 1, width - 4), 1)
        self._move(0)
        more = self._page < len(self._rows)
        foot = "arrows: scroll  Esc: leave" if more else "Esc: leave"
        return framed(self._title, self._rows[self._top : self._top + self._page], inner, glyphs, foot)

    def key(self, key: str) -> bool:
        last = len(self._rows)
        moves = {"up": -1, "down": 1, "page up": -self._page, "page down": self._page, "home": -last, "end": last}
        if key not in moves:
            if key in self._leads_on:
                self._leads_on[key]()
            return False
        self._move(moves[key])
        return True

    def click(self, x: int, y: int) -> bool:
        return False

    def roll(self, lines: int) -> bool:
        self._move(lines)
        return True

    def _move(self, lines: int) -> None:
        self._top = max(0, min(self._top + lines, len(self._rows) - self._page))
