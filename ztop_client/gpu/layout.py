"""How the cards of so many GPUs are laid out on a screen. Pure."""

from dataclasses import dataclass
from enum import Enum

GAP = 3
"""Cells between two cards that stand side by side."""
_MARGIN = 1
_ENOUGH_CHART = 4
_MOST_CHART = 16
_LEAST_CHART = 2


class Form(Enum):
    """How much of a GPU is shown, and the fewest cells that this takes."""

    FULL = 60
    """Title, two lines of bars, facts, notes where any GPU has some; a chart where there is room."""
    BARS = 36
    """Title and bars."""
    LINE = 26


@dataclass(frozen=True, slots=True)
class Layout:
    """``columns`` cards side by side in ``rows``, each ``width`` cells wide and ``height`` lines high."""

    form: Form
    columns: int
    rows: int
    width: int
    height: int
    chart: int = 0
    """Lines of the charts among them,"""
    between: int = 0
    """and empty ones below."""

    @property
    def room(self) -> int:
        """So many cards are seen."""
        return self.columns * self.rows


def layout(count: int, width: int, most: int, facts: int, notes: int) -> Layout:
    """For ``count`` GPUs in ``most`` lines; ``facts`` and ``notes`` are the lines that those need in a full card.

    What shows more goes before what needs fewer columns.
    """
    heights = {Form.FULL: 3 + facts + notes, Form.BARS: 2, Form.LINE: 1}
    for form, height in heights.items():
        fitting = [made for made in _grids(form, count, width, most, height) if made.room >= count]
        if fitting:
            return max(fitting, key=lambda made: (min(made.chart, _ENOUGH_CHART), -made.columns))
    # of more GPUs than there is room for, as many as fit
    columns = max(_columns_within(Form.LINE, width), 1)
    return Layout(Form.LINE, columns, max(min(most, -(-count // columns)), 0), _card_width(width, columns), 1)


def _grids(form: Form, count: int, width: int, most: int, height: int) -> list[Layout]:
    found = []
    for columns in range(1, min(_columns_within(form, width), count) + 1):
        rows = -(-count // columns)
        # one on top of the other, full cards need a line between them
        between = int(form is Form.FULL and rows > 1)
        spare = most // rows - height - between
        if spare < 0:
            continue
        chart = min(spare, _MOST_CHART, max(most // 3, _LEAST_CHART)) if form is Form.FULL else 0
        chart = chart if chart >= _LEAST_CHART else 0
        found.append(Layout(form, columns, rows, _card_width(width, columns), height + chart + between, chart, between))
    return found


def _columns_within(form: Form, width: int) -> int:
    return (width - 2 * _MARGIN + GAP) // (form.value + GAP)


def _card_width(width: int, columns: int) -> int:
    return (width - 2 * _MARGIN - GAP * (columns - 1)) // columns
