"""The header of whole machines at the sizes of terminals: exact, readable, and never too much of the screen."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

import pytest
import urwid

from tests.ztop_client.fake_machine import KINDS, machine_frames
from tests.ztop_client.fake_source import SECOND, frame, row, section
from tests.ztop_client.test_table import assert_exact
from ztop_client.columns.column import process_table
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import ASCII, UNICODE, UNICODE_MONO, Glyphs
from ztop_client.view import View
from ztop_client.widgets.canvas import Line
from ztop_client.widgets.header import Meters, Title, title_line
from ztop_client.widgets.meters import level
from ztop_client.widgets.screen import Screen
from ztop_client.widgets.strip import columns_of, strip
from ztop_protocol.frame import Frame

SIZES = ((80, 24), (160, 45), (200, 50), (300, 100))


@pytest.fixture(autouse=True)
def utf8() -> None:
    urwid.set_encoding("utf-8")


@cache
def frames(kind: str, count: int = 90) -> tuple[Frame, ...]:
    return tuple(itertools.islice(machine_frames(KINDS[kind]), count))


def meters(kind: str | Sequence[Frame], glyphs: Glyphs = UNICODE) -> Meters:
    made = Meters(glyphs)
    previous = None
    for one in frames(kind) if isinstance(kind, str) else kind:
        made.show(previous, one)
        previous = one
    return made


def texts(lines: Sequence[Line]) -> list[str]:
    return [b"".join(run[2] for run in line).decode() for line in lines]


def styles(lines: Sequence[Line]) -> set[object]:
    return {run[0] for line in lines for run in line}


@pytest.mark.parametrize("glyphs", [UNICODE, UNICODE_MONO, ASCII], ids=["unicode", "mono", "ascii"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_line_is_exact_at_every_size(kind: str, glyphs: Glyphs) -> None:
    urwid.set_encoding("ascii" if glyphs.ascii_only else "utf-8")
    made = meters(kind, glyphs)
    for width in (*range(1, 90, 3), 71, 72, 73, 120, 160, 200, 300, 500):
        for most in (0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 33, 100):
            lines = made.lines(width, most)
            assert len(lines) <= most
            assert_exact(lines, width, glyphs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_at_least_half_of_the_screen_is_the_table(kind: str, size: tuple[int, int]) -> None:
    view = View(tabs(), UNICODE)
    screen = Screen(view, Title("a script"), UNICODE)
    first, second = frames(kind)[:2]
    view.show(process_table(first, second))
    screen.show(first, second)
    canvas = screen.render(size, True)
    assert canvas.rows() == size[1]
    assert view.page >= size[1] / 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_core_is_there(kind: str, size: tuple[int, int]) -> None:
    lines = meters(kind).lines(size[0], size[1] // 3)
    cores = KINDS[kind].cores
    levels = "▁▂▃▄▅▆▇█"
    if cores > 100 and size[1] < 50:
        runs = [run[2].decode() for line in lines for run in line]
        assert sum(len(text) for text in runs if set(text) <= set(levels)) == cores
    else:
        text = " ".join(texts(lines)).translate(str.maketrans(levels, " " * len(levels)))
        assert {str(number) for number in range(cores)} <= set(text.split())


def test_the_parts_of_a_core_are_told_apart_by_colour_or_by_character() -> None:
    names = {"cpu_user", "cpu_nice", "cpu_system", "cpu_irq", "cpu_steal", "cpu_iowait"}
    assert names <= styles(meters("vm").lines(160, 10))
    for glyphs in (UNICODE_MONO, ASCII):
        lines = meters("vm", glyphs).lines(300, 10)
        drawn = {
            name: {character for line in lines for run in line if run[0] == name for character in run[2].decode()}
            for name in names - {"cpu_user"}
        }
        assert all(len(characters) == 1 for characters in drawn.values())
        assert len(set().union(*drawn.values())) == len(drawn)


def test_what_a_laptop_says() -> None:
    text = "\n".join(texts(meters("laptop").lines(80, 8)))
    for expected in ("Mem ", "zram 900M>260M", "Dsk R", "Net ▼", "PSI cpu", "mem 0.0/0.0", "Tasks 59, 1234 thr",
                     "Temp ", "°C", "Bat 83% -12.3W"):  # fmt: skip
        assert expected in text
    assert "°" not in "\n".join(texts(meters("laptop", ASCII).lines(80, 8)))
    wide = "\n".join(texts(meters("laptop").lines(300, 33)))
    for expected in ("shared 1.3G", "Package id 0", "busy", "some/all", "nvme0n1", "wlan0", "1 zombie", "2 blocked"):
        assert expected in wide


def test_what_a_machine_does_not_have_is_not_there() -> None:
    text = "\n".join(texts(meters("old").lines(200, 12)))
    for missing in ("PSI", "Temp", "Bat", "zram"):
        assert missing not in text
    bare = replace(frame(1, []), sections={})
    assert texts(meters([bare]).lines(80, 8))


def test_before_the_second_frame_rates_are_unknown_not_zero() -> None:
    text = "\n".join(texts(meters(frames("laptop")[:1]).lines(80, 8)))
    assert "0%" not in text
    assert "PSI cpu -" in text
    assert "R    -" in text
    assert "Bat 83%" in text


def test_pressure_takes_colour_from_a_threshold() -> None:
    def stalled(seq: int, share: float) -> Frame:
        made = frame(seq, [])
        rows = [row("pressure", resource="io", some_time_ns=round(seq * share * SECOND), full_time_ns=0)]
        return replace(made, sections={"pressure": section("pressure", made.boottime_ns, rows)})

    for share, style in ((0.0, "dim"), (0.05, "arguments"), (0.2, "warm"), (0.5, "hot")):
        lines = meters([stalled(1, share), stalled(2, share)]).lines(80, 8)
        [line] = [line for line, text in zip(lines, texts(lines), strict=True) if "PSI" in text]
        of_cells = [run[0] for run in line for _ in run[2].decode()]
        assert of_cells[texts([line])[0].index("io ") + len("io ")] == style


def test_hostile_names_stay_in_their_cells() -> None:
    name = "\x1b[31m漢字" * 9
    made = frame(2, [])
    rows = {
        "networks": [row("networks", interface=f"{at}{name}", receive_bytes=1, transmit_bytes=1) for at in range(2)],
        "disks": [row("disks", name=f"{at}{name}", whole_disk=True, read_bytes=1, write_bytes=1) for at in range(2)],
        "sensors": [row("sensors", device="a", channel="b", chip="coretemp", label=name, temperature_celsius=50.0)],
    }
    sections = {key: section(key, made.boottime_ns, value) for key, value in rows.items()}
    hostile = meters([frame(1, []), replace(made, sections={**made.sections, **sections})])
    for width in (60, 80, 130, 200):
        assert_exact(hostile.lines(width, 33), width, UNICODE)


class TestStrip:
    def test_two_moments_in_a_cell(self) -> None:
        [line] = strip([None, None, None, 0.25, 0.0, 1.0, 0.5, 0.5], 1, UNICODE)
        assert "".join(text for _, text in line) == " ⢀⣸⣤"
        assert [style for style, _ in line] == ["cpu_user", "hot", "warm"]

    def test_several_lines_are_filled_from_below(self) -> None:
        upper, lower = strip([1.0, 0.5, 0.75, None], 2, UNICODE)
        assert "".join(text for _, text in upper) == "⡇⡄"
        assert "".join(text for _, text in lower) == "⣿⡇"
        assert (upper[0][0], lower[0][0]) == ("hot", "cpu_user")

    def test_nothing_is_a_line_and_unknown_a_hole(self) -> None:
        assert strip([0.0, 0.0, None, None], 1, UNICODE)[0] == [("cpu_user", "⣀ ")]

    @pytest.mark.parametrize("height", [1, 2, 3])
    def test_ascii(self, height: int) -> None:
        values = [None, 0.0, 0.5, 1.0]
        lines = strip(values, height, ASCII)
        assert columns_of(4, ASCII) == 4
        shown = ["".join(text for _, text in line) for line in lines]
        assert all(len(line) == 4 and line.isascii() for line in shown)
        assert [line[0] for line in shown] == [" "] * height
        assert [line[3] for line in shown] == ["@"] * height

    def test_it_moves_with_the_frames_and_shows_a_gap(self) -> None:
        with_a_gap = [*frames("vm")[:40], *frames("vm")[60:]]
        whole, broken = ("".join(texts(meters(some).lines(160, 10))) for some in (frames("vm"), with_a_gap))
        braille = [sum(0x2800 < ord(character) < 0x2900 for character in text) for text in (whole, broken)]
        assert braille[0] - braille[1] >= 8

    def test_a_paused_screen_still_remembers(self) -> None:
        made, some = Meters(UNICODE), frames("vm")[:30]
        for previous, current in itertools.pairwise(some):
            made.remember(previous, current)
        made.show(some[-2], some[-1])
        assert texts(made.lines(160, 10)) == texts(meters(some).lines(160, 10))


def test_an_unknown_core_is_no_idle_core() -> None:
    assert level(None, UNICODE) == ("dim", "-")
    assert level(0.0, UNICODE) == ("meter_rest", "▁")
    assert level(1.0, UNICODE) == ("hot", "█")


@pytest.mark.parametrize("glyphs", [ASCII, UNICODE, UNICODE_MONO])
def test_what_was_is_never_called_live(glyphs: Glyphs) -> None:
    shown = frame(5, [])
    day = f"{datetime.fromtimestamp(shown.time_ns / 1e9):%Y-%m-%d %H:%M:%S}"
    for width in range(1, 200):
        line = title_line(shown, Title("replay x.ztop", past="end of recording"), width, glyphs)
        assert_exact([line], width, glyphs)
        (text,) = texts([line])
        assert "live" not in text
        # when it was stays longer than where it is from
        assert "end of recording" in text or width < 26
        assert day in text or width < 60
        assert "replay x.ztop" in text or width < 70
    assert "live" in texts([title_line(shown, Title("ztopd"), 80, glyphs)])[0]


@pytest.mark.parametrize("width", range(80, 200, 7))
def test_a_daemon_that_samples_less_often_is_said(width: int) -> None:
    title = Title("ztopd /run/ztopd/ztopd.sock", slowed="SLOWED to 4 s")
    assert "SLOWED to 4 s" in texts([title_line(frame(5, []), title, width, UNICODE)])[0]


@pytest.mark.parametrize("width", range(70, 200, 7))
def test_when_the_past_is_stays_longer_than_why_nothing_newer_comes(width: int) -> None:
    shown = frame(5, [])
    lost = "reconnecting, 15 s: no daemon at /run/user/1000/ztop/ztopd.sock: No such file or directory"
    (line,) = texts([title_line(shown, Title("ztopd", lost=lost, past="REWOUND 2s"), width, UNICODE)])
    assert "REWOUND 2s" in line and "reconnecting, 15 s" in line
    assert f"{datetime.fromtimestamp(shown.time_ns / 1e9):%Y-%m-%d %H:%M:%S}" in line
    # live, the reason is what matters
    if width > 120:
        assert lost in texts([title_line(shown, Title("ztopd", lost=lost), width, UNICODE)])[0]
