"""The lines of the screen: exact widths, no control characters, and what stands in them."""

import unicodedata
from collections.abc import Sequence

import pytest
import urwid
from hypothesis import given
from hypothesis import strategies as st

from tests.ztop_client.fake_source import SECOND, busy_table, frame, process, process_io, with_sections
from tests.ztop_client.hostile import HOSTILE
from ztop_client.colours import palette
from ztop_client.columns.column import process_table
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import ASCII, UNICODE, UNICODE_MONO, Glyphs, glyphs_for
from ztop_client.keys import ACTION_OF, BINDINGS, key_name
from ztop_client.view import View
from ztop_client.widgets.canvas import Line, cut, draw, overlay, slice_cells
from ztop_client.widgets.checklist import Checklist
from ztop_client.widgets.dialogs import Choice, Dialog, Menu, Page, Question
from ztop_client.widgets.header import Title
from ztop_client.widgets.help import help_page
from ztop_client.widgets.screen import Screen
from ztop_client.widgets.table import command_pieces
from ztop_protocol.frame import Frame


@pytest.fixture(autouse=True)
def utf8() -> None:
    urwid.set_encoding("utf-8")


def screen(glyphs: Glyphs, *frames: Frame, title: Title | None = None) -> Screen:
    view = View(tabs("alice"), glyphs)
    view.kernel_threads = view.full_path = True
    made = Screen(view, title or Title("a script"), glyphs)
    previous = None
    for current in frames:
        view.show(process_table(previous, current, view.threads))
        made.show(previous, current)
        previous = current
    return made


def hostile_frames() -> tuple[Frame, Frame]:
    rows = [process(10 + place, comm=text[:15], command_line=text) for place, text in enumerate(HOSTILE)]
    rows += [process(100 + place, user=text, state=text[:1], ppid=10) for place, text in enumerate(HOSTILE)]
    rows.append(process(200, command_line=None, comm=HOSTILE[1], kernel_thread=True))
    host = {"hostname": "\x1b]0;owned\x07 box"}
    return frame(1, rows, host=host), frame(2, rows, host=host)


def assert_exact(lines: Sequence[Sequence[tuple[object, object, bytes]]], width: int, glyphs: Glyphs) -> None:
    """Every line is ``width`` cells wide and holds nothing that steers a terminal."""
    styles = {entry[0] for entry in palette()}
    for line in lines:
        data = b"".join(run[2] for run in line)
        text = data.decode("ascii" if glyphs.ascii_only else "utf-8")
        assert urwid.calc_width(text, 0, len(text)) == width, text
        assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text), text
        assert {run[0] for run in line} <= styles


@pytest.mark.parametrize("glyphs", [UNICODE, UNICODE_MONO, ASCII], ids=["unicode", "mono", "ascii"])
@pytest.mark.parametrize("size", [(80, 24), (160, 45), (300, 100), (10, 3), (20, 8), (1, 1), (3, 2), (45, 9)])
@pytest.mark.parametrize("cpus", [1, 2, 16, 192])
def test_every_line_is_exact(glyphs: Glyphs, size: tuple[int, int], cpus: int) -> None:
    urwid.set_encoding("ascii" if glyphs.ascii_only else "utf-8")
    rows = busy_table(40)
    made = screen(glyphs, frame(1, rows(1), cpus=cpus), frame(2, rows(2), cpus=cpus))
    canvas = made.render(size, focus=True)
    assert canvas.rows() == size[1]
    assert_exact(list(canvas.content()), size[0], glyphs)


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("tree", [False, True], ids=["list", "tree"])
@pytest.mark.parametrize("scroll", [0, 1, 9])
def test_hostile_text_stays_in_its_cells(glyphs: Glyphs, tree: bool, scroll: int) -> None:
    urwid.set_encoding("ascii" if glyphs.ascii_only else "utf-8")
    made = screen(glyphs, *hostile_frames(), title=Title("\x1b[31msource", lost="\nwhy\x1b[0m", marks=("PAUSED",)))
    made.view.scroll = scroll
    if tree:
        made.view.toggle_tree()
    for size in ((80, 60), (71, 60), (200, 60), (64, 60)):
        for cursor in (0, 7):
            made.view.cursor = cursor
            made.changed()
            assert_exact(list(made.render(size, focus=True).content()), size[0], glyphs)


@given(st.text(max_size=60), st.integers(0, 12), st.integers(1, 30))
def test_any_text_is_drawn_in_exact_cells(text: str, start: int, width: int) -> None:
    urwid.set_encoding("utf-8")
    line = draw(command_pieces("/bin/" + text, True), width, UNICODE, "text", start)
    assert_exact([line], width, UNICODE)


def test_a_wide_character_is_never_halved() -> None:
    assert slice_cells("漢字", 1, 3) == " 字"
    assert slice_cells("漢字", 0, 3) == "漢"
    line: Line = [("text", None, "漢字漢字".encode())]
    assert b"".join(run[2] for run in cut(line, 1, 7)).decode() == " 字漢 "


def test_a_box_covers_what_is_under_it() -> None:
    lines: list[Line] = [[("text", None, "漢字漢字".encode())]]
    overlay(lines, [[("box", None, b"##")]], 3, 0, 2, 8)
    assert b"".join(run[2] for run in lines[0]).decode() == "漢 ## 字"


def test_what_is_withheld_is_a_dash_and_what_rests_does_nothing() -> None:
    rows = [process(7, comm="rests"), process(8, comm="reads"), process(9, user="root", comm="hers")]
    resting = list(process_io(1, rows[:1]))
    frames = [with_sections(frame(seq, rows), ("process_io", [*resting, *process_io(seq, rows[1:])])) for seq in (1, 2)]
    made = screen(UNICODE, *frames)
    made.view.show_tab(1)
    lines = [line.split() for line in text_of(made, 160) if "--id" in line]
    assert [line[:8] for line in lines] == [
        ["8", "alice", "16.0K", "8.0K", "8.0K", "8.0K", "8.0K", "16384"],
        ["7", "alice", "0B", "0B", "0B", "0B", "0B", "0"],
        ["9", "root", *["-"] * 6],
    ]


def test_a_narrow_screen_leaves_the_last_columns_out() -> None:
    made = screen(UNICODE, *hostile_frames())
    made.view.show_tab(1)
    for width, shown, hidden in ((100, "SWAP", "no"), (80, "CALLS/s", "SWAP"), (60, "LREAD/s", "LWRITE/s")):
        heading = next(line for line in text_of(made, width) if "PID" in line)
        assert shown in heading and hidden not in heading and "Command" in heading


def test_tabs_are_named_where_there_is_room() -> None:
    made = screen(UNICODE, *hostile_frames())
    assert next(line for line in text_of(made, 120) if "PID" in line).endswith("[Main] I/O  Counters ")
    made.view.show_tab(1)
    assert next(line for line in text_of(made, 120) if "PID" in line).endswith(" Main [I/O] Counters ")


def text_of(made: Screen, width: int = 100, height: int = 30) -> list[str]:
    made.changed()
    return [line.decode() for line in made.render((width, height), focus=True).text]


def test_a_row_says_what_the_process_does() -> None:
    after = process(
        7, comm="python3", command_line="/usr/bin/python3 /srv/app.py --fast", user="bob", nice=-5, priority=15,
        user_time_ns=SECOND // 2 + 61 * SECOND, rss_bytes=1 << 30, virtual_bytes=3 << 30, shared_bytes=1 << 20,
        state="R",
    )  # fmt: skip
    made = screen(UNICODE, frame(1, [process(7, user_time_ns=61 * SECOND)]), frame(2, [after]))
    row = next(line for line in text_of(made, 120) if "/srv/app.py" in line)
    assert row.split()[:11] == ["7", "bob", "15", "-5", "3.0G", "1.0G", "1.0M", "R", "50.0", "6.2", "1:01.50"]
    assert row.rstrip().endswith("/usr/bin/python3 /srv/app.py --fast")


def test_what_is_not_known_is_a_dash() -> None:
    rows = [process(7, rss_bytes=None, shared_bytes=None, priority=None, comm="shy", user=None)]
    made = screen(UNICODE, frame(1, rows))
    row = next(line for line in text_of(made) if "/usr/bin/shy" in line)
    # user, priority, resident, shared, CPU% (there is one frame only), MEM%
    assert row.split()[:11] == ["7", "-", "-", "0", "100M", "-", "-", "S", "-", "-", "0:00.00"]


def test_the_heading_marks_order_and_direction() -> None:
    made = screen(UNICODE, *hostile_frames())
    assert "CPU%▼" in "\n".join(text_of(made))
    made.view.invert()
    assert "CPU%▲" in "\n".join(text_of(made))
    made.view.order_by("user")
    heading = next(line for line in text_of(made) if "PID" in line)
    assert "USER▲" in heading
    assert "CPU% " in heading


@pytest.mark.parametrize(
    ("command", "full", "expected"),
    [
        ("/usr/bin/vim a/b", True, [("path", "/usr/bin/"), ("program", "vim"), ("arguments", " a/b")]),
        ("/usr/bin/vim a/b", False, [("program", "vim"), ("arguments", " a/b")]),
        ("sshd: bob@pts/0", True, [("program", "sshd:"), ("arguments", " bob@pts/0")]),
        (
            "/usr/bin/python3.11 /srv/app.py --fast",
            False,
            [("program", "python3.11"), ("arguments", " /srv/"), ("program", "app.py"), ("arguments", " --fast")],
        ),
        ("python3 -m app", False, [("program", "python3"), ("arguments", " -m app")]),
        (None, True, [("program", ""), ("arguments", "")]),
    ],
)
def test_the_program_is_told_from_its_arguments(
    command: str | None, full: bool, expected: list[tuple[str, str]]
) -> None:
    assert command_pieces(command, full) == expected


def test_an_unchanged_screen_is_the_same_canvas() -> None:
    made = screen(UNICODE, *hostile_frames())
    first = made.render((80, 24), focus=True)
    assert made.render((80, 24), focus=True) is first
    made.changed()
    assert made.render((80, 24), focus=True) is not first


def test_meters_say_what_the_machine_does() -> None:
    made = screen(UNICODE, frame(1, [process(1)]), frame(2, [process(1)]))
    text = "\n".join(text_of(made))
    assert " box " in text
    assert "up 0:16" in text
    assert "load 0.25 0.50 1.00" in text
    assert "5.5G/16.0G" in text
    assert "1.0G/2.0G" in text
    # core 0: half user, a tenth for nice, system, irq, softirq and steal each; core 1 half of that
    assert "100%" in text
    assert "50%" in text
    assert "live" in text


def test_before_the_second_frame_the_meters_are_unknown_not_zero() -> None:
    made = screen(UNICODE, frame(1, [process(1)]))
    line = text_of(made)[1]
    assert line.split()[0] == "0"
    assert " - " in line
    assert "0%" not in line


def test_a_lost_source_is_said_first_even_on_a_narrow_screen() -> None:
    for width in (300, 80, 40):
        made = screen(UNICODE, *hostile_frames(), title=Title("ztopd", lost="reconnecting, 3 s"))
        top = text_of(made, width)[0]
        assert "reconnecting, 3 s" in top
        assert "live" not in top


def test_mono_bars_tell_their_parts_apart() -> None:
    made = screen(UNICODE_MONO, frame(1, [process(1)]), frame(2, [process(1)]))
    line = text_of(made, 100)[1]
    assert {"█", "▓", "▒", "░"} <= set(line)


@pytest.mark.parametrize(
    ("environ", "colours", "expected"),
    [
        ({"LANG": "en_US.UTF-8"}, 256, UNICODE),
        ({"LANG": "C"}, 256, ASCII),
        ({}, 256, ASCII),
        # what Python makes of LANG=C (PEP 538)
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, 256, ASCII),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, 256, ASCII),
        ({"LC_ALL": "C.UTF-8"}, 256, UNICODE),
        ({"LANG": "de_DE.utf8@euro"}, 256, UNICODE),
        ({"LANG": "de_DE.ISO-8859-1", "LC_CTYPE": "de_DE.UTF-8"}, 16, UNICODE),
        ({"LANG": "en_US.UTF-8", "TERM": "linux"}, 16, ASCII),
        ({"LANG": "en_US.UTF-8"}, 1, UNICODE_MONO),
    ],
)
def test_the_locale_decides_the_glyphs(environ: dict[str, str], colours: int, expected: Glyphs) -> None:
    assert glyphs_for(environ, colours) is expected


class TestKeys:
    def test_no_key_is_bound_twice(self) -> None:
        assert len(ACTION_OF) == sum(len(binding.keys) for binding in BINDINGS)

    def test_help_holds_every_binding(self) -> None:
        page = help_page(UNICODE)
        text = "\n".join("".join(part for _, part in row) for row in page._rows)
        for binding in BINDINGS:
            assert binding.help in text
            for key in binding.keys:
                assert key_name(key) in text

    def test_names(self) -> None:
        assert [key_name(key) for key in ("f1", " ", "ctrl l", "up", "P", "f")] == [
            "F1",
            "Space",
            "Ctrl-L",
            "↑",
            "P",
            "f",
        ]
        assert key_name("up", ascii_only=True) == "Up"


def box_text(dialog: Dialog, width: int = 80, height: int = 24, glyphs: Glyphs = UNICODE) -> list[str]:
    lines = dialog.box(width, height, glyphs)
    widths = {urwid.calc_width(b"".join(run[2] for run in line).decode(), 0, 10_000) for line in lines}
    assert len(widths) == 1
    assert widths.pop() <= width
    assert len(lines) <= height
    return [b"".join(run[2] for run in line).decode() for line in lines]


class TestDialogs:
    def menu(self, chosen: list[int]) -> Menu[int]:
        return Menu("Pick", [Choice(f"item{n} {'漢' * 20}", n) for n in range(50)], 15, chosen.append)

    def test_a_menu_scrolls_to_its_choice(self) -> None:
        chosen: list[int] = []
        menu = self.menu(chosen)
        assert any("item15" in line for line in box_text(menu, 40, 10))
        assert menu.key("end")
        assert any("item49" in line for line in box_text(menu, 40, 10))
        assert not menu.key("enter")
        assert chosen == [49]

    def test_a_click_chooses(self) -> None:
        chosen: list[int] = []
        menu = self.menu(chosen)
        place = next(y for y, line in enumerate(box_text(menu, 40, 10)) if "item12" in line)
        assert not menu.click(5, place)
        assert chosen == [12]
        assert menu.click(5, 0)

    def test_letters_find(self) -> None:
        chosen: list[int] = []
        menu = self.menu(chosen)
        for letter in "item33":
            assert menu.key(letter)
        menu.key("enter")
        assert chosen == [33]

    def test_escape_chooses_nothing(self) -> None:
        chosen: list[int] = []
        assert not self.menu(chosen).key("esc")
        assert chosen == []

    @pytest.mark.parametrize(
        ("key", "meant"), [("y", True), ("enter", True), ("n", False), ("esc", False), (" ", False)]
    )
    def test_only_a_yes_is_a_yes(self, key: str, meant: bool) -> None:
        said: list[bool] = []
        question = Question("Sure?", [f"line {n}" for n in range(40)], lambda: said.append(True))
        assert any("and 21 more" in line for line in box_text(question))
        assert not question.key(key)
        assert bool(said) is meant

    def test_a_checklist_ticks_by_key_and_click(self) -> None:
        said: list[frozenset[int]] = []
        ticks = Checklist("CPUs", [(str(cpu), cpu) for cpu in range(192)], frozenset({0}), said.append)
        lines = box_text(ticks)
        assert "[x] 0" in lines[1] and "[ ] 1" in lines[1]
        assert ticks.click(lines[2].index("[ ] 9"), 2)
        for key in ("home", " ", "end", " "):
            assert ticks.key(key)
        assert "[x] 191" in "".join(box_text(ticks))
        assert not ticks.key("enter")
        assert said == [frozenset({9, 191})]
        assert not ticks.key("esc")

    def test_letters_find_what_is_called_so_first(self) -> None:
        chosen: list[int] = []
        menu = Menu("Sort", [Choice("VIRT  virtual memory", 1), Choice("MEM%  resident", 2)], 0, chosen.append)
        for letter in "mem":
            menu.key(letter)
        menu.key("enter")
        assert chosen == [2]

    def test_a_page_scrolls(self) -> None:
        page = Page("Text", [[("box_text", f"row {n}")] for n in range(100)])
        assert any("row 0" in line for line in box_text(page))
        page.key("end")
        assert any("row 99" in line for line in box_text(page))
        assert not page.key("esc")

    @pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
    @pytest.mark.parametrize("size", [(80, 24), (12, 4), (8, 3)])
    def test_every_dialog_fits(self, glyphs: Glyphs, size: tuple[int, int]) -> None:
        urwid.set_encoding("ascii" if glyphs.ascii_only else "utf-8")
        made = screen(glyphs, *hostile_frames())
        ticks = Checklist(HOSTILE[1], [(str(cpu), cpu) for cpu in range(192)], frozenset({1, 191}), lambda _: None)
        for dialog in (help_page(glyphs), self.menu([]), Question("Sure?", HOSTILE[8:10], lambda: None), ticks):
            made.open(dialog)
            assert_exact(list(made.render(size, focus=True).content()), size[0], glyphs)
