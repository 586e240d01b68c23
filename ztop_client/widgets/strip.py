"""A curve of the last minutes: two moments in each cell in braille, one in ASCII."""

from collections.abc import Callable, Sequence

from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Piece
from ztop_client.widgets.meters import heat, joined

_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""The dots of a braille character's two columns, filled from below: Unicode, block Braille Patterns."""
_BRAILLE = 0x2800
_DOTS = 4
_CELLS = tuple(tuple(chr(_BRAILLE + left + right) if left or right else " " for right in _RIGHT) for left in _LEFT)


def columns_of(width: int, glyphs: Glyphs) -> int:
    """How many moments are shown in so many cells."""
    return width if glyphs.ascii_only else 2 * width


def strip(
    values: Sequence[float | None], height: int, glyphs: Glyphs, style: Callable[[float], str] = heat
) -> list[list[Piece]]:
    """``height`` lines, the upper first; ``values`` are shares (0 to 1), :func:`columns_of` the width.

    Nothing is a line at the bottom; what is not known is a hole. ``style`` is the colour of a share.
    """
    steps = len(glyphs.levels) - 1 if glyphs.ascii_only else _DOTS
    heights = [0 if value is None else max(round(min(max(value, 0.0), 1.0) * steps * height), 1) for value in values]
    lines: list[list[Piece]] = []
    for row in range(height - 1, -1, -1):
        # height -> how much of it stands in this line
        filled = [min(max(one - row * steps, 0), steps) for one in range(steps * height + 1)]
        if glyphs.ascii_only:
            cells = [glyphs.levels[filled[one]] for one in heights]
        else:
            cells = [
                _CELLS[filled[left]][filled[right]] for left, right in zip(heights[::2], heights[1::2], strict=True)
            ]
        if height > 1:
            # the higher, the hotter
            lines.append([(style((row + 0.5) / height), "".join(cells))])
            continue
        per_cell = len(values) // max(len(cells), 1)
        hottest = [
            max(value or 0.0 for value in values[at * per_cell : (at + 1) * per_cell]) for at in range(len(cells))
        ]
        lines.append(joined([(style(value), cell) for value, cell in zip(hottest, cells, strict=True)]))
    return lines
