"""Text of strangers made fit for a terminal: names, command lines, file names, sentences of a daemon.

Everything that is printed goes through here; nothing that steers a terminal comes out.
"""

from functools import lru_cache

REPLACEMENT = "?"
"""Stands for one character that may not reach a terminal."""

_REGIONAL_INDICATOR_A = 0x1F1E6
_MOST_COMBINING_MARKS = 4
"""Per character; more are dropped, for they would be drawn over the neighbouring lines."""


def printable(text: str) -> str:
    """The text with one :data:`REPLACEMENT` per character that could steer a terminal or derange its columns.

    Those are what Unicode calls other and separators: control characters (C0, DEL, C1), format characters (bidi
    controls, zero-width joiners), surrogates (bytes that are no UTF-8), private use and unassigned code points,
    line separators. Spaces of any kind become a space. Terminals disagree on the width of variation selectors,
    skin tones and flags: the first two are dropped, a flag becomes its two letters.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_printable_character, text))


@lru_cache(4096)
def _printable_character(character: str) -> str:
    code = ord(character)
    if not character.isprintable():
        return " " if character.isspace() and code > 0x9F and code not in (0x2028, 0x2029) else REPLACEMENT
    if 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x1F3FB <= code <= 0x1F3FF:
        return ""
    if _REGIONAL_INDICATOR_A <= code < _REGIONAL_INDICATOR_A + 26:
        return chr(ord("A") + code - _REGIONAL_INDICATOR_A)
    return character


def width(text: str) -> int:
    """How many columns of a terminal a printable text takes."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def fit(text: str, columns: int) -> str:
    """The text made printable and cut, so that it takes at most so many columns.

    Never half a wide character, no combining mark without its base.
    """
    if text.isascii():
        return printable(text[: max(columns, 0)])
    kept: list[str] = []
    room, marks = columns, _MOST_COMBINING_MARKS
    for character in text:
        # one character may become none; none becomes more than one
        shown = _printable_character(character)
        if not shown:
            continue
        wide = _character_width(shown)
        if wide > room:
            break
        marks = marks + 1 if wide == 0 else 0
        if marks <= _MOST_COMBINING_MARKS:
            kept.append(shown)
            room -= wide
    return "".join(kept)


def fit_left(text: str, columns: int) -> str:
    """The text at the left of a cell that is exactly so many columns wide."""
    shown = fit(text, columns)
    return shown + " " * (columns - width(shown))


def fit_right(text: str, columns: int) -> str:
    """The text at the right of a cell that is exactly so many columns wide."""
    shown = fit(text, columns)
    return " " * (columns - width(shown)) + shown


@lru_cache(4096)
def _character_width(character: str) -> int:
    # imported where it is needed: most machines' processes have ASCII names
    from wcwidth import wcwidth

    return max(wcwidth(character), 0)
