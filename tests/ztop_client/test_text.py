import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from ztop_client.text import fit, fit_left, fit_right, printable, width

HOSTILE = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("naïve 漢字", "naïve 漢字"),
        ("a\x1b[31mb", "a?[31mb"),
        ("\x1b]52;c;aGk=\x07", "?]52;c;aGk=?"),
        ("\x9b31m\x90", "?31m?"),
        ("two\nlines\r\t\x7f", "two?lines???"),
        ("\udcff\udc80", "??"),
        ("user\u202etxt.exe\u2066\u200f", "user?txt.exe??"),
        ("line\u2028paragraph\u2029\x85\x1c", "line?paragraph???"),
        ("no\u00a0break\u3000wide", "no break wide"),
        ("zero\u200bwidth\u200djoiner\ufeff", "zero?width?joiner?"),
        ("\U000e0041\ue000\U0010ffff", "???"),
        ("❤\ufe0f\U0001f44b\U0001f3fb\U0001f1e9\U0001f1ea", "❤\U0001f44bDE"),
    ],
)
def test_nothing_that_steers_a_terminal_gets_through(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(HOSTILE)
def test_what_is_printable_stays_so(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown)
    assert all(unicodedata.category(character)[0] not in "C" for character in shown)
    assert printable(shown) == shown


@given(HOSTILE, st.integers(-1, 40))
def test_a_cut_text_has_room(text: str, columns: int) -> None:
    shown = fit(text, columns)
    assert width(shown) <= max(columns, 0)
    assert wcswidth(shown) <= max(columns, 0)
    assert printable(shown) == shown
    if columns >= 0:
        assert width(fit_left(text, columns)) == width(fit_right(text, columns)) == columns


@given(st.text(st.characters(categories=("L", "N", "P", "S")), max_size=60))
def test_room_enough_cuts_nothing(text: str) -> None:
    shown = printable(text)
    if all(width(character) for character in shown):
        assert fit(text, 200) == shown


def test_wide_characters_are_never_halved() -> None:
    assert fit("漢字", 3) == "漢"
    assert fit_left("漢字", 3) == "漢 "
    assert fit_right("漢字", 5) == " 漢字"
    assert fit("abc", 0) == ""


def test_marks_need_a_base_and_do_not_pile_up() -> None:
    assert fit("\u0301e\u0301", 4) == "e\u0301"
    assert fit("e" + "\u0301" * 100 + "x", 4) == "e" + "\u0301" * 4 + "x"
