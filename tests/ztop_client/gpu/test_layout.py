"""How the cards are laid out, at every size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_client.gpu.layout import GAP, Form, layout

SIZES = st.integers(20, 400)


@given(st.integers(1, 100), SIZES, st.integers(1, 80), st.integers(0, 2), st.integers(0, 1))
def test_cards_stay_within_their_room(count: int, width: int, most: int, facts: int, notes: int) -> None:
    made = layout(count, width, most, facts, notes)
    assert made.rows * made.height <= most
    assert 1 + made.columns * made.width + (made.columns - 1) * GAP <= width
    assert made.chart == 0 or made.chart >= 2
    assert made.columns == 1 or made.width >= made.form.value
    if made.form is not Form.LINE:
        assert made.room >= count
        assert made.columns == 1 or (made.rows - 1) * made.columns < count, "a row of nothing"


@given(st.integers(1, 16), SIZES, st.integers(1, 80))
def test_more_room_never_shows_less(count: int, width: int, most: int) -> None:
    forms = list(Form)
    now, then = layout(count, width, most, 1, 0), layout(count, width + 1, most + 1, 1, 0)
    assert forms.index(then.form) <= forms.index(now.form)


@pytest.mark.parametrize(
    ("count", "width", "most", "form", "columns", "chart"),
    [
        (1, 80, 13, Form.FULL, 1, 4),
        (1, 160, 24, Form.FULL, 1, 8),
        (1, 300, 55, Form.FULL, 1, 16),
        (2, 80, 13, Form.FULL, 1, 0),
        (8, 80, 13, Form.BARS, 2, 0),
        (8, 200, 27, Form.FULL, 3, 4),
        (16, 80, 13, Form.LINE, 2, 0),
        (16, 160, 24, Form.BARS, 2, 0),
        (16, 300, 55, Form.FULL, 3, 4),
    ],
)
def test_known_screens(count: int, width: int, most: int, form: Form, columns: int, chart: int) -> None:
    made = layout(count, width, most, 1, 0)
    assert (made.form, made.columns, made.chart) == (form, columns, chart)
