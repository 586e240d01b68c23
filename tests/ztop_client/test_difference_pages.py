"""The boxes of a difference and of an explanation: exact widths, what stands in them, and their keys."""

from collections.abc import Sequence

import pytest
import urwid
from hypothesis import given
from hypothesis import strategies as st

from tests.ztop_client.hostile import HOSTILE
from tests.ztop_client.scripted import MEBIBYTE, MILLISECOND, SECOND, Scripted
from ztop_client.colours import palette
from ztop_client.difference.compare import difference
from ztop_client.difference.result import Difference
from ztop_client.explain.explain import explain
from ztop_client.explain.finding import finding
from ztop_client.glyphs import ASCII, UNICODE, Glyphs
from ztop_client.text import printable
from ztop_client.widgets.canvas import Line, cells
from ztop_client.widgets.difference_page import DifferencePage
from ztop_client.widgets.explain_page import ExplainPage, wrapped
from ztop_protocol.frame import Key

SIZES = [(80, 24), (200, 50), (40, 10), (8, 4)]
STYLES = {entry[0] for entry in palette()}


@pytest.fixture(autouse=True)
def utf8() -> None:
    urwid.set_encoding("utf-8")


def text_of(lines: Sequence[Line], width: int, height: int, glyphs: Glyphs) -> list[str]:
    """The box as text; every line is exactly as wide as the first, and nothing in it steers a terminal."""
    assert 0 < len(lines) <= height
    texts = []
    for line in lines:
        text = b"".join(run[2] for run in line).decode("ascii" if glyphs.ascii_only else "utf-8")
        assert urwid.calc_width(text, 0, len(text)) == urwid.calc_width(texts[0] if texts else text, 0, 10**6)
        assert urwid.calc_width(text, 0, len(text)) <= width
        assert text == printable(text)
        assert {run[0] for run in line} <= STYLES
        texts.append(text)
    return texts


def busy() -> Difference:
    """Three users and three cgroups; who used most CPU, grew most and wrote most are three processes."""
    machine = Scripted()
    hog = machine.start("hog", user="bob", cgroup="/batch")
    leak = machine.start("leak", user="carol", cgroup="/web")
    writer = machine.start("writer", user="dave", cgroup="/backup")
    many = [machine.start(f"task{number}", user="erin") for number in range(60)]
    frames = [machine.tick()]
    machine.run(hog, 900 * MILLISECOND)
    machine.run(leak, 100 * MILLISECOND, grow=300 * MEBIBYTE)
    machine.run(writer, 50 * MILLISECOND, written=100 * MEBIBYTE)
    machine.count("/web", 0, throttled=SECOND // 2)
    for number, key in enumerate(many):
        machine.run(key, number)
    machine.spend(steal=10 * MILLISECOND)
    frames.append(machine.tick())
    return difference(frames)


def hostile() -> Difference:
    machine = Scripted()
    keys = [machine.start(name, user=name, cgroup=name, command_line=name) for name in HOSTILE]
    frames = [machine.tick()]
    for key in keys:
        machine.run(key, SECOND, written=20 * MEBIBYTE, grow=400 * MEBIBYTE)
    frames.append(machine.tick())
    return difference(frames)


def opened(found: Difference) -> tuple[DifferencePage, list[Key]]:
    jumped: list[Key] = []
    return DifferencePage(found, jumped.append), jumped


def drawn(page: DifferencePage, width: int = 80, height: int = 24) -> list[str]:
    return text_of(page.box(width, height, ASCII), width, height, ASCII)


@pytest.mark.parametrize("glyphs", [ASCII, UNICODE], ids=["ascii", "unicode"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_and_hostile_names(width: int, height: int, glyphs: Glyphs) -> None:
    for found in (busy(), hostile()):
        page, _ = opened(found)
        for key in ("1", "2", "3", "P", "M", "D", "end", "1", "end", "page up", "down"):
            assert page.key(key)
            lines = text_of(page.box(width, height, glyphs), width, height, glyphs)
            assert len(lines) == height
            assert len(lines[0]) == width or not glyphs.ascii_only
        explained = ExplainPage("Explain", explain(found))
        for key in ("home", "end"):
            explained.key(key)
            text_of(explained.box(width, height, glyphs), width, height, glyphs)


def test_what_stands_in_it() -> None:
    page, _ = opened(busy())
    lines = drawn(page)
    assert " to 2023-" in lines[0] and ": 1.0s, 2 frames" in lines[0]
    assert "CPU  1.06 of 4 cores busy, 0:01.06 in all" in lines[1]
    assert "1  63 processes" in lines[6] and "2  4 users" in lines[6] and "3  4 cgroups" in lines[6]
    assert lines[7].split()[1:5] == ["PID", "USER", "CPU", "TIME"]
    assert lines[8].split()[1:8] == ["101", "bob", "0:00.90", "84.9", "0B", "0B", "0B"]
    assert "/usr/bin/hog --n" in lines[8]
    assert lines[-4].split()[1:4] == ["0:00.00", "0.0", "ended"]
    assert "taken by the host (steal)" in lines[-2]
    assert "MINFLT" not in lines[7]
    wide = drawn(page, 200, 50)
    assert "MINFLT" in wide[7] and "sort by CPU, memory, disk" in wide[-1]


def test_chapters() -> None:
    page, _ = opened(busy())
    page.key("tab")
    assert drawn(page)[8].split()[-2:] == ["bob", "|"]
    page.key("3")
    assert drawn(page)[8].split()[-2:] == ["/batch", "|"]
    wide = drawn(page, 200, 50)
    assert "THROTTLED" in wide[7] and "0:00.50" in next(line for line in wide if "/web" in line)
    page.key("tab")
    assert "/usr/bin/hog" in drawn(page)[8]
    page.key("shift tab")
    assert drawn(page)[8].split()[-2:] == ["/batch", "|"]


@pytest.mark.parametrize(("key", "first"), [("P", "hog"), ("M", "leak"), ("D", "writer"), ("m", "leak")])
def test_sorting(key: str, first: str) -> None:
    page, jumped = opened(busy())
    for other in ("D", "P", key):
        page.key(other)
    assert f"/usr/bin/{first}" in drawn(page)[8]
    assert not page.key("enter")
    assert jumped == [({"hog": 101, "leak": 102, "writer": 103}[first], 1000 * SECOND)]


def test_enter_goes_to_a_process_and_to_nothing_else() -> None:
    page, jumped = opened(busy())
    page.key("2")
    assert page.key("enter") and page.key("x") and jumped == []
    page.key("1")
    page.key("down")
    drawn(page)
    assert not page.key("enter")
    assert jumped == [(102, 1000 * SECOND)]
    for key in ("esc", "q", "f10"):
        assert not page.key(key)
    nobody, jumped = opened(hostile())
    nobody.key("1")
    nobody._processes.clear()
    drawn(nobody)
    assert nobody.key("enter") and nobody.key("down") and jumped == []


def test_the_end_is_reached_and_the_selection_is_seen() -> None:
    page, jumped = opened(busy())
    drawn(page)
    page.key("end")
    lines = drawn(page)
    assert any(" 104 " in line for line in lines)
    page.key("home")
    drawn(page)
    page.roll(3)
    lines = drawn(page)
    assert "/usr/bin/hog" in lines[8]
    assert not page.key("enter") and jumped == [(163, 1000 * SECOND)]


def test_the_mouse_selects_and_goes() -> None:
    page, jumped = opened(busy())
    drawn(page)
    assert page.click(10, 9) and jumped == []
    assert page.click(10, 0) and page.click(10, 23) and jumped == []
    assert not page.click(10, 9)
    assert jumped == [(102, 1000 * SECOND)]


def test_an_explanation_is_broken_to_the_box() -> None:
    found = [
        finding("who " + "x" * 150 + " used much " + "and more " * 10, ["because " * 12], 90),
        finding("quiet", [], 5),
    ]
    page = ExplainPage("Explain", found)
    lines = text_of(page.box(80, 40, ASCII), 80, 40, ASCII)
    inside = [line[2:-1].rstrip() for line in lines[1:-1]]
    assert inside[2].strip() == "x" * 73 and inside[3].strip().startswith("xxxx used much and more")
    assert all(len(line) <= 76 for line in inside)
    assert inside[-1] == "* quiet"
    assert sum(line.count("because") for line in inside) == 12
    text_of(ExplainPage("Explain", []).box(80, 24, ASCII), 80, 24, ASCII)


@given(st.text(st.sampled_from("ab 漢é"), max_size=60), st.integers(2, 20))
def test_wrapping_loses_nothing_but_spaces(text: str, room: int) -> None:
    lines = list(wrapped(text, room))
    assert all(cells(line) <= room for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
