"""The bottom line: buttons, a prompt that is being typed into, or a message."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from ztop_client.glyphs import Glyphs
from ztop_client.keys import BINDINGS, REWIND_BINDINGS, Action, Binding, key_name
from ztop_client.widgets.canvas import Line, Piece, cells, draw

_Button: TypeAlias = tuple[str, str, Binding]
"""The name of the key, what stands behind it, and both as data."""


def _place(binding: Binding) -> float:
    """Function keys in their order, rewind where every screen has room for it, then the others as in the table."""
    if binding.action is Action.REWIND:
        return 6.5
    return int(binding.keys[0][1:]) if binding.keys[0][1:].isdigit() else 99


def _buttons(bindings: Iterable[Binding], ascii_only: bool) -> tuple[_Button, ...]:
    return tuple(
        (key_name(binding.keys[0], ascii_only), f"{binding.button} ", binding) for binding in bindings if binding.button
    )


@lru_cache(maxsize=8)
def _bar(bindings: tuple[Binding, ...], rewinding: bool, ascii_only: bool) -> tuple[_Button, ...]:
    live = sorted((binding for binding in bindings if binding.button), key=_place)
    return _buttons(REWIND_BINDINGS if rewinding else live, ascii_only)


def button_bar(width: int, glyphs: Glyphs, rewinding: bool = False, bindings: tuple[Binding, ...] = BINDINGS) -> Line:
    """As many buttons as fit; of a narrow screen the first one is cut."""
    pieces: list[Piece] = []
    for key, label, _ in _bar(bindings, rewinding, glyphs.ascii_only):
        if pieces and sum(len(text) for _, text in pieces) + len(key) + len(label) > width:
            break
        pieces += [("button_key", key), ("button", label)]
    return draw(pieces, width, glyphs, "button")


def button_at(
    x: int, width: int, glyphs: Glyphs, rewinding: bool = False, bindings: tuple[Binding, ...] = BINDINGS
) -> Binding | None:
    """The button at the cell ``x`` of a line so wide."""
    right = 0
    for key, label, binding in _bar(bindings, rewinding, glyphs.ascii_only):
        right += len(key) + len(label)
        if x < right:
            return binding if right <= width else None
    return None


@dataclass(slots=True)
class Prompt:
    """One line of text being typed. ``handle`` takes a key and says whether it was one for the text.

    ``suggested``: the text is an earlier one, and what is typed takes its place. ``done`` is given the text at Enter
    and answers with what is wrong with it, if anything; a prompt without it has its effect at every letter.
    """

    label: str
    text: str = ""
    note: str = ""
    suggested: bool = False
    done: Callable[[str], str | None] | None = None

    def handle(self, key: str) -> bool:
        """Types ``key``, or deletes; False for every other key."""
        if key in ("backspace", "ctrl h"):
            self.text = self.text[:-1]
        elif key in ("ctrl u", "ctrl w"):
            self.text = ""
        elif len(key) == 1 and key.isprintable():
            self.text = key if self.suggested else self.text + key
        else:
            return False
        self.suggested = False
        return True

    def line(self, width: int, glyphs: Glyphs) -> Line:
        """The prompt; of a long text, its end, and of a long note, its beginning."""
        label = f" {self.label}: "
        shown = glyphs.showable(self.text)
        note = f"  {self.note} " if self.note else ""
        room = max(width - len(label) - min(len(note), width // 2) - 1, 1)
        while cells(shown) > room:
            shown = shown[1:]
        pieces = [("button_key", label), ("prompt", shown), ("prompt", "_"), ("message", note)]
        return draw(pieces, width, glyphs, "prompt")


def message_lines(text: str, width: int, glyphs: Glyphs) -> list[Line]:
    """A few sentences, on as many lines as they need; at most four."""
    words, lines = glyphs.showable(text).split(" "), [""]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if cells(longer) > width and lines[-1]:
            lines.append(f" {word}")
        else:
            lines[-1] = longer
    return [draw([("message", line)], width, glyphs, "message") for line in lines[:4]]
