"""What else a person meets in rewind, in a real terminal on the scripted machine that remembers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ztop_client.hostile import HOSTILE
from tests.ztop_client.key_machine import sleeper
from tests.ztop_client.rewind.scripted_past import BURST, BURST_PID, clock
from tests.ztop_client.terminal_driver import Driver, first_pid, rows, scripted_past, selected_pid
from ztop_client.recorded import open_recording

ESC, ENTER, END, LEFT, F5, F9 = "\x1b", "\r", "\x1b[F", "\x1b[D", "\x1b[15~", "\x1b[20~"


class Start:
    """Starts ztop, which then stands at a frame of the past."""

    def __init__(self) -> None:
        self.drivers: list[Driver] = []

    def __call__(self, seq: int, *arguments: str, columns: int = 120, lines: int = 32) -> Driver:
        driver = Driver(scripted_past(*arguments), columns, lines)
        self.drivers.append(driver)
        driver.wait(lambda: bool(rows(driver)) and "live" in driver.text)
        driver.send("r")
        driver.wait("REWOUND")
        go(driver, seq)
        return driver


@pytest.fixture
def start() -> Iterator[Start]:
    made = Start()
    yield made
    for driver in made.drivers:
        driver.__exit__(None, None, None)


def go(driver: Driver, seq: int) -> None:
    driver.send(f"b@{1_700_000_000 + seq}\r")
    driver.wait(lambda: clock(seq) in driver.screen.display[0])


def header(driver: Driver) -> str:
    """The curve of the CPUs' last minutes."""
    return "\n".join(line[:60] for line in driver.screen.display[3:6])


def test_the_table_works_on_the_moment_shown(start: Start) -> None:
    driver = start(65)
    driver.send("N")
    driver.wait(lambda: first_pid(driver) == "1")
    driver.send("P")
    driver.wait(lambda: first_pid(driver) == str(BURST_PID))
    driver.send("\\burst\r")
    driver.wait(lambda: first_pid(driver) == str(BURST_PID) and "alice" not in driver.text.partition("burst")[2])
    go(driver, BURST.stop)
    driver.wait(lambda: "alice" not in driver.text)
    driver.send(LEFT)
    driver.wait(lambda: first_pid(driver) == str(BURST_PID))
    # Esc leaves the past first, and the filter stays
    driver.send(ESC)
    driver.wait(lambda: "live" in driver.text and "alice" not in driver.text)
    driver.send(ESC)
    driver.wait(lambda: first_pid(driver) == "149")
    driver.send("r")
    driver.wait("REWOUND")
    driver.send("/task125\r")
    driver.wait(lambda: selected_pid(driver) == "125" and "Search" not in driver.text)
    driver.send(F5)
    driver.wait("├─ task1")
    driver.send(F5)
    driver.send("\t")
    driver.wait("READ/s")
    go(driver, 100)
    driver.wait(lambda: "READ/s" in driver.text)


def test_the_curve_above_is_of_the_minutes_before_the_moment_shown(start: Start) -> None:
    driver = start(100)
    # nobody was there to see them
    driver.wait(lambda: header(driver).count("⣿") > 30)
    go(driver, 3)
    driver.wait(lambda: header(driver).count("⣿") < 6)


def test_threads_that_were_not_kept_are_said_to_be_so(start: Start) -> None:
    driver = start(100)
    driver.send("H")
    driver.wait("This moment was kept without what this view adds.")
    driver.send(END)
    driver.wait("live")
    driver.send("r")
    driver.wait("This moment was kept without what this view adds.")
    driver.send("H")
    driver.send(ENTER)
    driver.wait("What it is")
    driver.send("2")
    driver.wait("(this was not kept: the threads of a process are read while somebody looks at them)")


def test_a_paused_screen_is_where_it_begins_and_live_is_where_it_ends(start: Start) -> None:
    driver = start(100)
    driver.send("Z")
    driver.wait("live")
    driver.send("Z")
    driver.wait("PAUSED")
    driver.quiet(0.7)
    paused = next(word for word in driver.screen.display[0].split() if word.count(":") == 2)
    driver.send("r")
    driver.wait(lambda: "REWOUND" in driver.text and "PAUSED" not in driver.text)
    assert paused in driver.screen.display[0]
    driver.send(END)
    driver.wait("live")
    driver.wait(lambda: paused not in driver.screen.display[0])
    assert "PAUSED" not in driver.text


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 32), (300, 100)])
def test_a_page_goes_along_through_the_life_of_its_process(start: Start, columns: int, lines: int) -> None:
    driver = start(65, columns=columns, lines=lines)
    driver.send("P/burst\r")
    driver.wait(lambda: selected_pid(driver) == str(BURST_PID))
    driver.send(ENTER)
    driver.wait("What it is")
    # the strip is seen beside it
    driver.wait(f"{clock(65)[11:]} (-")
    driver.send(".")
    driver.wait("HAS ENDED")
    driver.wait(f"{clock(75)[11:]} (-")
    driver.send("[")
    driver.wait(lambda: f"{clock(65)[11:]} (-" in driver.text and "HAS ENDED" not in driver.text)
    driver.send(",")
    driver.wait("NOT STARTED YET")
    driver.send("Z")
    driver.wait("HAS ENDED")
    driver.send(ESC)
    driver.wait(lambda: "live" in driver.text and "HAS ENDED" not in driver.text)


def test_brackets_on_a_page_of_the_past_renice_nobody(start: Start) -> None:
    victim = sleeper()
    try:
        before = os.getpriority(os.PRIO_PROCESS, victim.pid)
        driver = start(100, "--pid", str(victim.pid))
        driver.send("/victim\r")
        driver.wait(lambda: selected_pid(driver) == str(victim.pid))
        driver.send(ENTER)
        driver.wait("What it is")
        driver.send("[")
        driver.wait(f"{clock(65)[11:]} (-")
        driver.send("]")
        driver.wait(f"{clock(150)[11:]} (-")
        assert os.getpriority(os.PRIO_PROCESS, victim.pid) == before
        # what acts on it acts on it as it is now
        driver.send("k")
        driver.wait(f"Signal to {victim.pid} victim")
        driver.send("SIGKILL\r")
        driver.wait("Send SIGKILL to:")
        driver.send("y")
        driver.wait("SIGKILL sent to")
        assert victim.wait(10) == -9
    finally:
        victim.kill()
        victim.wait()


def test_keys_that_come_at_once_are_one_step_to_where_they_lead(start: Start) -> None:
    driver = start(150)
    driver.send(LEFT * 60 + "P/task149" + ENTER)
    driver.wait(lambda: clock(90) in driver.screen.display[0] and selected_pid(driver) == "149")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (300, 100)])
def test_no_name_and_no_sentence_reaches_the_terminal_raw(start: Start, columns: int, lines: int) -> None:
    driver = start(199, "--hostile", columns=columns, lines=lines)
    for _ in range(len(HOSTILE) + 2):
        before = driver.screen.display[0]
        driver.send("[")
        driver.wait(lambda before=before: driver.screen.display[0] != before)  # type: ignore[misc]
    driver.send("f\x15cpu > 98 for 2s\r")
    driver.wait("Found ")
    for key in ("\x1b[B", "\x1b[B", "\x1b[6~", "\x1b[H"):
        driver.send(key)
        driver.quiet(0.1)
    driver.send(ENTER)
    driver.wait("REWOUND")
    driver.send("m")
    driver.wait("A is ")
    driver.send(".d")
    driver.wait("processes")
    driver.send(ESC)
    driver.quiet()
    driver.send("x")
    driver.wait("Explain: ")
    driver.quiet()
    for text in ("\x1b]52", "\x1b]0;", "\x07", "\x9b", "\u202e", "\x85"):
        assert text.encode() not in driver.output
    assert driver.status is None


def test_what_is_saved_names_nobody_where_that_was_asked_for(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "x.ztop"
    driver = start(100, "--redact")
    driver.send("S")
    driver.wait("Save, redacted, to: ztop-")
    driver.send(f"\x15{path}\r")
    driver.wait("frames are in")
    with open_recording(str(path)) as recording:
        frames = list(recording.frames())
    assert len(frames) > 100
    for key in frames[0].rows("processes"):
        assert frames[0].cell("processes", "command_line", key) is None
        assert frames[0].cell("processes", "user", key) is None
        assert frames[0].cell("processes", "comm", key) is not None


def test_a_low_or_narrow_screen_goes_without_the_strip(start: Start) -> None:
    for columns, lines in ((30, 24), (80, 11)):
        start.drivers.append(opened := Driver(scripted_past(), columns, lines))
        opened.wait(lambda opened=opened: "149" in opened.text)  # type: ignore[misc]
        opened.send("r")
        opened.wait("back")
        opened.send(",")
        opened.quiet()
        assert " (-" not in opened.text
        opened.send("q")
        assert opened.ended() == 0
