"""ztop-g in a real terminal."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ztop_client.gpu.scripted_gpus import machine, write
from tests.ztop_client.terminal_driver import Driver, rows

F1, F3, F4, F6, F9 = "\x1bOP", "\x1bOR", "\x1bOS", "\x1b[17~", "\x1b[20~"
ESC = "\x1b"

Start = Callable[..., Driver]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    drivers: list[Driver] = []

    def run(module: str, *arguments: str, columns: int = 100, lines: int = 30, **environ: str) -> Driver:
        known = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "ZTOP_SOCKET": str(tmp_path / "none"), **environ}
        drivers.append(Driver([sys.executable, "-P", "-m", module, *arguments], columns, lines, known))
        return drivers[-1]

    yield run
    for driver in drivers:
        driver.__exit__(None, None, None)


@pytest.fixture
def scripted(start: Start) -> Start:
    def run(*arguments: str, **more: str) -> Driver:
        return start("tests.ztop_client.gpu.scripted_gpus", *arguments, **more)

    return run


def pids(driver: Driver) -> list[str]:
    return [driver.screen.display[place].split()[1] for place in rows(driver)]


def selected(driver: Driver) -> str:
    """The pid of the row on a background of its own."""
    marked = (place for place in rows(driver) if driver.screen.buffer[place][5].bg != "default")
    return next((driver.screen.display[place].split()[1] for place in marked), "")


def test_cards_above_and_processes_below(scripted: Start) -> None:
    driver = scripted("growing")
    driver.wait("!! MEMORY FULL IN")
    driver.wait(lambda: pids(driver)[:1] == ["7000"])
    assert " ztop-g " in driver.screen.display[0]
    driver.send("\t")
    driver.wait("ENC%")
    driver.send("q")
    assert driver.ended() == 0


def test_the_warning_is_in_a_colour_of_its_own(scripted: Start) -> None:
    driver = scripted("growing")
    driver.wait("!! MEMORY FULL IN")
    driver.wait(lambda: bool(rows(driver)))
    row = next(n for n, line in enumerate(driver.screen.display) if "MEMORY FULL" in line)
    column = driver.screen.display[row].index("MEMORY")
    assert driver.screen.buffer[row][column].bg not in ("default", driver.screen.buffer[row + 1][column].bg)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"LC_ALL": "C", "LANG": "C"}], ids=["mono", "ascii"])
def test_without_colour_and_in_ascii(scripted: Start, environ: dict[str, str]) -> None:
    driver = scripted("growing", columns=80, lines=24, **environ)
    driver.wait("!! MEMORY FULL IN")
    driver.wait(lambda: any("7000" in line and " !" in line for line in driver.screen.display))
    if "LC_ALL" in environ:
        assert driver.text.isascii()
    else:
        colours = {cell.fg for line in driver.screen.buffer.values() for cell in line.values()}
        assert colours <= {"default"}


def test_sort_filter_and_search(scripted: Start) -> None:
    driver = scripted("8", "--interval", "0.3", lines=45)
    driver.wait(lambda: len(pids(driver)) > 8)
    driver.send("N")
    driver.wait(lambda: pids(driver)[:2] == ["7000", "7001"])
    driver.send("M")
    driver.wait(lambda: pids(driver)[0] == "7028")
    driver.send(F4 + "ffmpeg\r")
    driver.wait(lambda: pids(driver) == [str(7001 + 4 * gpu) for gpu in reversed(range(8))])
    driver.send(ESC)
    driver.wait(lambda: len(pids(driver)) > 8)
    driver.send(F6)
    driver.wait("Sort by")
    driver.wait("GPU memory that it holds")
    driver.send(ESC)
    driver.wait(lambda: "Sort by" not in driver.text)
    for key in ("t", "H", "K", "=", "c"):
        # what has no meaning here does nothing
        driver.send(key)
    driver.send(F1)
    driver.wait("ztop-g: keys")
    driver.wait("sort by VRAM")
    assert "tree" not in driver.text


def test_a_signal_goes_to_the_process_behind_the_row(scripted: Start) -> None:
    victim = subprocess.Popen(["sleep", "1000"])
    try:
        driver = scripted("1", "--pid", str(victim.pid))
        driver.wait(lambda: pids(driver)[:1] == [str(victim.pid)])
        driver.send(F9)
        driver.wait(f"Signal to {victim.pid} victim (alice)")
        driver.send("\r")
        driver.wait("Sure?")
        driver.send("y")
        assert victim.wait(timeout=15) == -15
        driver.wait("SIGTERM sent to")
        driver.wait(lambda: str(victim.pid) not in pids(driver))
    finally:
        victim.kill()
        victim.wait()


def test_the_page_of_a_process(scripted: Start) -> None:
    driver = scripted("1", lines=40)
    driver.wait(lambda: pids(driver)[:1] == ["7000"])
    driver.send("\r")
    driver.wait("What it is")
    driver.wait("train.py --model llama-8b")
    driver.send(ESC)
    driver.wait(lambda: "What it is" not in driver.text)


def test_a_stranger_is_left_alone(scripted: Start) -> None:
    driver = scripted("foreign")
    driver.wait(lambda: "4242" in pids(driver))
    driver.send(F4 + "namespace\r")
    driver.wait(lambda: pids(driver) == ["4242"])
    driver.send(F9)
    driver.wait("known to its GPU alone")


def test_without_a_gpu_the_reason_is_there(scripted: Start) -> None:
    driver = scripted("none", columns=80, lines=24)
    driver.wait("There is no GPU to be shown: libnvidia-ml.so.1 cannot be loaded")


def test_a_recording_is_replayed_and_gone_back_in(start: Start, tmp_path: Path) -> None:
    """On this machine, which need not have a GPU."""
    path = str(tmp_path / "growth.ztop")
    write(path, (machine("growing", seq) for seq in range(1, 31)))
    driver = start("ztop_client.gpu", "--replay", path)
    driver.wait("!! MEMORY FULL IN")
    driver.send("r")
    driver.wait("recorded -")
    driver.send("\x1b[H")
    driver.wait(lambda: "39s (33s to 49s)" in driver.text)
    driver.send("m")
    driver.send("\x1b[C" * 3)
    driver.wait(lambda: "!    36s" in driver.text)
    driver.send("d")
    driver.wait("3.0s, 4 frames")
    driver.wait(lambda: "+600M" in driver.line_with(" 7000 alice "))
    driver.send("\x1b[B\r")
    driver.wait(lambda: "4 frames" not in driver.text and selected(driver) == "7001")
    driver.send("q")
    assert driver.ended() == 0


def test_settings_are_its_own(scripted: Start, start: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "one.ztop")
    write(path, (machine("2", seq) for seq in range(1, 10)))
    driver = start("ztop_client.gpu", "--replay", path)
    driver.wait(lambda: bool(rows(driver)))
    driver.send("\t")
    driver.wait("ENC%")
    driver.send("q")
    assert driver.ended() == 0
    kept = json.loads((tmp_path / "config/ztop/settings-g.json").read_text())
    assert kept["tab"] == "Engines"
    assert not (tmp_path / "config/ztop/settings.json").exists()


def test_ztop_has_the_meter_and_the_columns(scripted: Start) -> None:
    driver = scripted("2", "--program", "ztop", columns=120)
    driver.wait("VRAM")
    driver.wait("2 GPU")
    driver.wait(lambda: "GPU%" in driver.text)


def test_a_filter_for_gpus_says_why_it_finds_nothing(scripted: Start) -> None:
    driver = scripted("none", "--program", "ztop", columns=80, lines=24)
    driver.wait(lambda: bool(rows(driver)))
    driver.send(F4 + "vram > 1")
    driver.wait("Nothing is found: no GPU here (libnvidia-ml.so.1 cannot be loaded).")
    driver.send(ESC)
    driver.wait(lambda: "Nothing is found" not in driver.text and bool(rows(driver)))
