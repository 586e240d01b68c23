"""The strip of rewind as it is drawn: what stands where, and which moment a cell is."""

import pytest

from ztop_client.glyphs import ASCII, UNICODE, Glyphs
from ztop_client.widgets.timeline import Pin, Timeline, lines_for, moments_of, time_at, timeline_lines

SECOND = 10**9
WIDTH = 73
ROOM = 60
START = 1_790_000_000 * SECOND


def made(glyphs: Glyphs, **changes: object) -> Timeline:
    given: dict[str, object] = {
        "name": "CPU", "top": "100%", "start_ns": START, "end_ns": START + 60 * SECOND,
        "values": (0.5,) * moments_of(WIDTH, glyphs), "pins": (), "cursor_ns": START + 30 * SECOND, "mark_ns": None,
        "newest_ns": START + 60 * SECOND,
    }  # fmt: skip
    return Timeline(**{**given, **changes})  # type: ignore[arg-type]


def drawn(timeline: Timeline, height: int = 4, glyphs: Glyphs = UNICODE) -> list[str]:
    lines = timeline_lines(timeline, WIDTH, height, glyphs)
    return [b"".join(text for _, _, text in line).decode() for line in lines]


def styled(timeline: Timeline, row: int, glyphs: Glyphs = UNICODE) -> dict[int, str]:
    """Cell -> style of a line."""
    found: dict[int, str] = {}
    for style, _, text in timeline_lines(timeline, WIDTH, 4, glyphs)[row]:
        for _ in text.decode():
            found[len(found)] = str(style)
    return found


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("height", [3, 4, 5])
def test_every_line_is_as_wide_as_the_screen(glyphs: Glyphs, height: int) -> None:
    for cursor in (-5, 0, 1, 30, 59, 60, 99):
        for mark in (None, 0, 30, 60):
            mark_ns = None if mark is None else START + mark * SECOND
            lines = drawn(made(glyphs, cursor_ns=START + cursor * SECOND, mark_ns=mark_ns), height, glyphs)
            assert len(lines) == height
            assert {len(line) for line in lines} == {WIDTH}
    if glyphs is ASCII:
        assert all(line.isascii() for line in drawn(made(ASCII), height, ASCII))


def test_what_is_not_kept_looks_unlike_nothing() -> None:
    values = [0.0] * moments_of(WIDTH, UNICODE)
    values[40:80] = [None] * 40  # type: ignore[list-item]
    bottom = drawn(made(UNICODE, values=tuple(values)))[2][5 : 5 + ROOM]
    assert bottom[20:30] == "╌" * 10
    assert "╌" not in bottom[:20] + bottom[40:]
    assert set(bottom[:20]) == {"⣀"}


def test_values_that_have_not_come_yet_are_a_gap() -> None:
    assert drawn(made(UNICODE, values=()))[2][5 : 5 + ROOM].count("╌") == ROOM


def test_the_cursor_and_the_mark_stand_at_their_moments() -> None:
    timeline = made(UNICODE, cursor_ns=START + 45 * SECOND, mark_ns=START + 15 * SECOND)
    for row in (1, 2):
        cells = styled(timeline, row)
        assert [cell for cell, style in cells.items() if style == "strip_cursor"] == [5 + 45]
        assert [cell for cell, style in cells.items() if style == "strip_mark"] == [5 + 15]
    assert drawn(timeline)[0][5 + 15] == "A"


def test_the_worst_pin_of_a_cell_is_seen() -> None:
    pins = (
        Pin(START + 10 * SECOND, "strip_pin_hot"), Pin(START + 10 * SECOND, "strip_pin"),
        Pin(START + 20 * SECOND, "strip_pin_warm"), Pin(START - SECOND, "strip_pin_hot"),
    )  # fmt: skip
    cells = styled(made(UNICODE, pins=pins), 0)
    assert {cell: style for cell, style in cells.items() if style.startswith("strip_pin")} == {
        15: "strip_pin_hot",
        25: "strip_pin_warm",
    }


def test_the_clock_says_when_and_how_long_ago() -> None:
    axis = drawn(made(UNICODE, cursor_ns=START + 30 * SECOND))[-1]
    assert "(-30s)" in axis
    assert axis.count(":") == 6
    week = made(UNICODE, end_ns=START + 7 * 86400 * SECOND, newest_ns=START + 7 * 86400 * SECOND)
    assert "(-6d23h)" in drawn(week)[-1]


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_cell_is_the_moment_that_stands_there(glyphs: Glyphs) -> None:
    timeline = made(glyphs)
    assert time_at(timeline, 0, WIDTH) == time_at(timeline, 5, WIDTH)
    assert time_at(timeline, WIDTH - 1, WIDTH) == time_at(timeline, 5 + ROOM - 1, WIDTH)
    for cell in range(ROOM):
        time_ns = time_at(timeline, 5 + cell, WIDTH)
        assert START <= time_ns <= START + 60 * SECOND
        moved = made(glyphs, cursor_ns=time_ns)
        cells = [place for place, style in styled(moved, 1, glyphs).items() if style == "strip_cursor"]
        assert cells == [5 + cell]


def test_higher_screens_have_higher_strips() -> None:
    assert [lines_for(height) for height in (12, 24, 50)] == [3, 4, 5]
