"""Bars and one-cell meters."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from ztop_client.formats import ABSENT
from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Piece

Segment: TypeAlias = tuple[str, float]
"""The name of a style, and a share of the whole (0 to 1)."""

WARM, HOT = 0.4, 0.75


def bar(segments: Iterable[Segment], width: int, glyphs: Glyphs) -> list[Piece]:
    """A bar of ``width`` cells. The segments lie end to end; what is beyond the whole is cut."""
    pieces: list[Piece] = []
    drawn, reached = 0, 0.0
    for place, (style, share) in enumerate(segments):
        # a counter that went back gives a negative share
        reached = min(reached + max(share, 0.0), 1.0)
        end = round(reached * width)
        if end > drawn:
            pieces.append((style, glyphs.segments[place % len(glyphs.segments)] * (end - drawn)))
            drawn = end
    if drawn < width:
        pieces.append(("meter_rest", glyphs.rest * (width - drawn)))
    return pieces


def meter(
    label: str, segments: Iterable[Segment], text: str, width: int, text_width: int, glyphs: Glyphs
) -> list[Piece]:
    """``label bar text`` in ``width`` cells; the text stands right-aligned in ``text_width``."""
    room = width - len(label) - text_width - 2
    if room < 1:
        return [("label", label), ("value", " " + text.rjust(text_width))]
    return [
        ("label", label + " "),
        *bar(segments, room, glyphs),
        ("value", " " + text.rjust(text_width)),
    ]


def level(share: float | None, glyphs: Glyphs) -> Piece:
    """One cell whose height is the share, in the colour of its heat."""
    if share is None:
        return ("dim", ABSENT)
    steps = len(glyphs.levels) - 1
    step = round(min(max(share, 0.0), 1.0) * steps)
    # nothing is a low line, not a hole
    return (heat(share), glyphs.levels[step]) if step else ("meter_rest", glyphs.levels[1])


def heat(share: float) -> str:
    """The style for how busy something is."""
    return "hot" if share >= HOT else "warm" if share >= WARM else "cpu_user"


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same, with neighbours of one style in one piece."""
    result: list[Piece] = []
    for style, text in pieces:
        if result and result[-1][0] == style:
            text = result.pop()[1] + text
        result.append((style, text))
    return result
