"""The screen in a real pseudo-terminal, against a scripted machine."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.ztop_client.terminal_driver import Driver, first_pid, scripted, selected_pid

Start = Callable[..., Driver]

F1, F3, F4, F5, F6, F9, F10 = "\x1bOP", "\x1bOR", "\x1bOS", "\x1b[15~", "\x1b[17~", "\x1b[20~", "\x1b[21~"
UP, DOWN, RIGHT, LEFT, HOME, END = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F"
PAGE_UP, PAGE_DOWN, ESC = "\x1b[5~", "\x1b[6~", "\x1b"
# two processes of the script use no CPU; the busiest is 149 with 98 %
READY = "98.0"
HIDE_CURSOR = b"\x1b[?25l"


@pytest.fixture
def start() -> Iterator[Start]:
    drivers: list[Driver] = []

    def run(*arguments: str, ready: str = READY, **how: object) -> Driver:
        driver = Driver(scripted(*arguments), **how)  # type: ignore[arg-type]
        drivers.append(driver)
        driver.wait(ready)
        return driver

    yield run
    for driver in drivers:
        driver.__exit__(None, None, None)


class TestKeys:
    def test_quit(self, start: Start) -> None:
        for key in ("q", F10, "\x03"):
            driver = start()
            driver.send(key)
            assert driver.ended() == 0

    def test_sort(self, start: Start) -> None:
        driver = start()
        assert first_pid(driver) == "149"
        for key, pid in (("N", "1"), ("I", "157"), ("P", "149"), ("T", "149"), ("M", "1")):
            driver.send(key)
            driver.wait(lambda pid=pid: first_pid(driver) == pid)

    def test_sort_menu(self, start: Start) -> None:
        driver = start()
        for key in (F6, "<", ">"):
            driver.send(key)
            driver.wait("Sort by")
            driver.send(ESC)
            driver.wait(lambda: "Sort by" not in driver.text)
        driver.send(F6)
        driver.wait("Sort by")
        driver.send(HOME + "\r")
        driver.wait(lambda: first_pid(driver) == "1")

    def test_move(self, start: Start) -> None:
        driver = start()
        driver.send("N")
        driver.wait(lambda: selected_pid(driver) == "1")
        for keys, pid in ((DOWN, "100"), (DOWN + DOWN, "102"), (UP, "101"), (END, "157"), (HOME, "1")):
            driver.send(keys)
            driver.wait(lambda pid=pid: selected_pid(driver) == pid)
        driver.send(PAGE_DOWN)
        driver.wait(lambda: int(selected_pid(driver) or 0) > 110)
        driver.send(PAGE_UP)
        driver.wait(lambda: selected_pid(driver) == "1")

    def test_scroll_the_command(self, start: Start) -> None:
        driver = start()
        driver.send(RIGHT)
        driver.wait(" --id 149")
        assert "task149" not in driver.text
        driver.send(LEFT + LEFT)
        driver.wait("task149 --id")

    def test_search(self, start: Start) -> None:
        driver = start()
        driver.send("/")
        driver.wait("Search:")
        driver.send("task12")
        driver.wait(lambda: selected_pid(driver) == "129")
        driver.send(F3)
        driver.wait(lambda: selected_pid(driver) == "128")
        driver.send("x")
        driver.wait("not found")
        driver.send("\r")
        driver.wait("Help")
        driver.send(F3)
        driver.wait("Search: task12x")

    def test_filter(self, start: Start) -> None:
        driver = start()
        for key in (F4, "\\"):
            driver.send(key)
            driver.wait("Filter:")
            driver.send("task13")
            driver.wait(lambda: "task149" not in driver.text and "139 alice" in driver.text)
            driver.send("\r")
            driver.wait("Help")
            assert "task149" not in driver.text
            driver.send(ESC)
            driver.wait("149 alice")

    def test_user(self, start: Start) -> None:
        driver = start()
        driver.send("u")
        driver.wait("Processes of")
        driver.send(END + "\r")
        driver.wait(lambda: "alice" not in driver.text and "root" in driver.text)
        driver.send(ESC)
        driver.wait("alice")

    def test_kernel_threads(self, start: Start) -> None:
        driver = start()
        driver.send("N")
        driver.wait(lambda: first_pid(driver) == "1")
        assert "kthreadd" not in driver.text
        driver.send("K")
        driver.wait("kthreadd")
        driver.send("K")
        driver.wait(lambda: "kthreadd" not in driver.text)

    def test_tree(self, start: Start) -> None:
        driver = start(columns=100)
        driver.send(F5)
        driver.wait("├─ task149")
        assert first_pid(driver) == "1"
        driver.send(HOME + "=")
        driver.wait("▸ init")
        assert "task149" not in driver.text
        driver.send("*")
        driver.wait("├─ task149")
        driver.send("t")
        driver.wait(lambda: "├─" not in driver.text)

    def test_full_path(self, start: Start) -> None:
        driver = start()
        assert "task149 --id" in driver.text
        driver.send("p")
        driver.wait("/usr/bin/task")
        driver.send("p")
        driver.wait(lambda: "/usr/bin" not in driver.text and "task149 --id" in driver.text)

    def test_pause(self, start: Start) -> None:
        driver = start()
        driver.send("Z")
        driver.wait("PAUSED")
        clock = driver.screen.display[0][-10:]
        deadline = time.monotonic() + 0.7
        while time.monotonic() < deadline:
            driver.read(0.1)
        assert driver.screen.display[0][-10:] == clock
        driver.send("Z")
        driver.wait(lambda: driver.screen.display[0][-10:] != clock and "PAUSED" not in driver.text)

    def test_interval(self, start: Start) -> None:
        driver = start()
        driver.send("-")
        driver.wait("every 2 s")
        driver.send("+")
        driver.wait("every 1 s")

    def test_follow(self, start: Start) -> None:
        driver = start()
        driver.send("F")
        driver.wait("FOLLOW")
        selected = selected_pid(driver)
        driver.send("I")
        driver.wait(lambda: first_pid(driver) != "149")
        driver.wait(lambda: selected_pid(driver) == selected)

    @pytest.mark.parametrize("key", [F1, "h", "?"])
    def test_help(self, start: Start, key: str) -> None:
        driver = start(lines=60)
        driver.send(key)
        driver.wait("send a signal to the tagged, or to the selected")
        driver.send(ESC)
        driver.wait(lambda: "send a signal" not in driver.text)


class TestSignals:
    @pytest.fixture
    def victim(self) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(["sleep", "600"]) as process:
            yield process
            if process.poll() is None:
                process.kill()

    def select(self, driver: Driver, pid: int) -> None:
        driver.send(F4 + "victim\r")
        driver.wait(lambda: selected_pid(driver) == str(pid) and "Help" in driver.text)

    @pytest.mark.parametrize("key", [F9, "k"])
    def test_term_after_a_yes(self, start: Start, victim: subprocess.Popen[bytes], key: str) -> None:
        driver = start("--pid", str(victim.pid))
        self.select(driver, victim.pid)
        driver.send(key)
        driver.wait(f"Signal to {victim.pid} victim (alice)")
        driver.send("\r")
        driver.wait(lambda: "Send SIGTERM to:" in driver.text and f"  {victim.pid} victim (alice)" in driver.text)
        assert victim.poll() is None
        driver.send("y")
        driver.wait("SIGTERM sent to")
        assert victim.wait(5) == -signal.SIGTERM

    def test_a_no_hits_nobody(self, start: Start, victim: subprocess.Popen[bytes]) -> None:
        driver = start("--pid", str(victim.pid))
        self.select(driver, victim.pid)
        driver.send("kkill\r")
        driver.wait("Send SIGKILL to:")
        driver.send("n")
        driver.wait("Help")
        time.sleep(0.1)
        assert victim.poll() is None

    def test_the_tagged(self, start: Start, victim: subprocess.Popen[bytes]) -> None:
        driver = start("--pid", str(victim.pid))
        self.select(driver, victim.pid)
        driver.send(" " + ESC)
        driver.wait("151 alice")
        driver.send("N" + HOME)
        driver.wait(lambda: selected_pid(driver) == "1")
        driver.send(" k")
        driver.wait("Signal to 2 processes")
        driver.send(ESC)
        driver.wait(lambda: "Signal to" not in driver.text)
        driver.send("Uk")
        driver.wait("Signal to 100 task100")

    def test_a_process_of_another_machine_is_refused(self, start: Start) -> None:
        driver = start(columns=120)
        driver.send("k\ry")
        driver.wait("is of another machine")


class TestMouse:
    def click(self, driver: Driver, x: int, y: int, button: int = 0) -> None:
        driver.send(f"\x1b[<{button};{x + 1};{y + 1}M\x1b[<{button};{x + 1};{y + 1}m")

    def test_a_click_selects_and_the_wheel_scrolls(self, start: Start) -> None:
        driver = start()
        driver.wait("146 alice")
        line = next(number for number, text in enumerate(driver.screen.display) if "146 alice" in text)
        self.click(driver, 20, line)
        driver.wait(lambda: selected_pid(driver) == "146")
        before = first_pid(driver)
        self.click(driver, 20, line, 65)
        driver.wait(lambda: int(first_pid(driver)) == int(before) - 3)

    def test_a_heading_sorts(self, start: Start) -> None:
        driver = start()
        number = next(number for number, text in enumerate(driver.screen.display) if "Command" in text)
        self.click(driver, driver.screen.display[number].index("PID"), number)
        driver.wait(lambda: first_pid(driver) == "1")
        self.click(driver, driver.screen.display[number].index("PID"), number)
        driver.wait(lambda: first_pid(driver) == "157")

    def test_buttons_press(self, start: Start) -> None:
        driver = start()
        bottom = driver.screen.display[-1]
        self.click(driver, bottom.index("Tree"), 23)
        driver.wait("├─")
        self.click(driver, bottom.index("Kill"), 23)
        driver.wait("Signal to")
        self.click(driver, 0, 0)
        driver.wait(lambda: "Signal to" not in driver.text)
        self.click(driver, bottom.index("Quit"), 23)
        assert driver.ended() == 0


class TestTerminals:
    @pytest.mark.parametrize("size", [(80, 24), (160, 45), (300, 100), (10, 3)])
    def test_sizes_and_resizing(self, start: Start, size: tuple[int, int]) -> None:
        driver = start()
        driver.resize(*size)
        marker = "CPU%" if size[0] >= 80 else "PID"
        driver.wait(lambda: marker in driver.text and len(driver.screen.display[0].rstrip()) >= min(size[0], 10) - 3)
        if size[1] >= 24:
            driver.wait(lambda: "Quit" in driver.screen.display[-1] and "live" in driver.screen.display[0])
        driver.resize(80, 24)
        driver.wait(lambda: "Quit" in driver.screen.display[-1] and "live" in driver.screen.display[0])
        driver.send("q")
        assert driver.ended() == 0

    @pytest.mark.parametrize(
        ("environ", "has", "has_not"),
        [
            ({"COLORTERM": "truecolor"}, b"38;2;", b"38;5;"),
            ({}, b"38;5;", b"38;2;"),
            ({"TERM": "xterm-16color"}, b"\x1b[0;3", b"38;"),
            ({"TERM": "linux"}, b"\x1b[0;3", b"38;"),
            ({"NO_COLOR": "1", "COLORTERM": "truecolor"}, b"\x1b[0;39;7;49m", b"38;"),
            ({"TERM": "vt100"}, b"PID", b"38;"),
        ],
    )
    def test_colours(self, start: Start, environ: dict[str, str], has: bytes, has_not: bytes) -> None:
        driver = start(environ=environ)
        assert has in driver.output
        assert has_not not in driver.output

    @pytest.mark.parametrize("environ", [{"LANG": "C"}, {"LC_ALL": "C"}, {"TERM": "linux"}])
    def test_ascii(self, start: Start, environ: dict[str, str]) -> None:
        driver = start(environ=environ)
        driver.send(F5)
        driver.wait("|- task")
        driver.send(F1)
        driver.wait("ztop: keys")
        assert driver.output.isascii()

    def test_one_write_per_frame(self, start: Start) -> None:
        driver = start()
        frames, writes = driver.output.count(HIDE_CURSOR), driver.write_calls()
        driver.wait(lambda: driver.output.count(HIDE_CURSOR) >= frames + 10)
        drawn = driver.output.count(HIDE_CURSOR) - frames
        # the script itself writes once for each frame that it makes
        assert drawn <= (driver.write_calls() - writes) / 2 + 1 <= drawn + 3

    @pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash, for its job control")
    def test_suspend_and_back(self) -> None:
        # a shell with job control: an orphaned process group cannot be stopped
        with Driver(["bash", "--norc", "--noprofile", "-i"], environ={"PS1": "ready> "}) as shell:
            shell.wait("ready>")
            shell.send(shlex.join(scripted()) + "\n")
            shell.wait(READY)
            shell.send("\x1a")
            shell.wait(lambda: b"Stopped" in shell.output)
            leaving = shell.output.rindex(b"\x1b[?1049l")
            shell.send("fg\n")
            shell.wait(lambda: shell.output.rfind(b"\x1b[?1049h") > leaving and shell.output.rfind(b"Quit") > leaving)
            shell.wait(READY)
            shell.send("q")
            shell.wait(lambda: shell.output.endswith(b"ready> "))

    def test_a_terminal_that_goes_away_ends_it(self, start: Start) -> None:
        driver = start()
        driver.close_terminal()
        # SIGHUP and the failing read come in either order
        assert driver.ended(5) in (0, 1)

    def test_a_terminal_that_goes_away_ends_it_even_when_hangups_are_ignored(self) -> None:
        with Driver(["sh", "-c", f"trap '' HUP; exec {shlex.join(scripted())}"]) as driver:
            driver.wait(READY)
            driver.close_terminal()
            assert driver.ended(5) == 1

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_leaves_the_terminal_as_it_was(self, start: Start, number: int) -> None:
        driver = start()
        os.kill(driver.pid, number)
        assert driver.ended() == 0
        while driver.read(0.2) and b"\x1b[?1049l" not in driver.output:
            pass
        assert b"\x1b[?1049l" in driver.output
        assert b"\x1b[?25h" in driver.output


class TestSource:
    def test_a_lost_source_is_said_and_its_last_frame_stays(self, start: Start) -> None:
        driver = start("--lost-after", "4", columns=120)
        driver.wait("reconnecting")
        assert "the daemon is gone" in driver.screen.display[0]
        assert "live" not in driver.screen.display[0]
        assert "149 alice" in driver.text
        driver.wait("reconnecting, 2 s")

    def test_frames_that_do_not_come_are_missed(self, start: Start) -> None:
        driver = start("--frames", "3")
        driver.wait("no frame for")

    def test_an_idle_screen_writes_nothing(self, start: Start) -> None:
        driver = start("--frames", "3", "--interval", "0.05")
        driver.quiet()
        before = len(driver.output)
        driver.read(0.7)
        assert len(driver.output) == before
