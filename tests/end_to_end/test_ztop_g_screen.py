"""The screen of ztop-g over a real ztopd and the stand-in for NVIDIA's library: the past of a growth, a recording of it
on a machine without a GPU, what goes wrong with GPUs, and a daemon behind a socket that something forwards."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon, needs_root
from tests.end_to_end.test_other_kernels import namespaces
from tests.nvml.stand_in import GIB, MIB, StandIn, uuid
from tests.ztop_client.terminal_driver import ROOT, Driver

pytestmark = pytest.mark.slow

COLUMNS, LINES = 110, 36
STRIP_LINES = 8
"""The strip of rewind and the bottom line are no higher."""
END, ESC, F9 = "\x1b[F", "\x1b", "\x1b[20~"

Start = Callable[..., Daemon]
Screen = Callable[..., Driver]


@pytest.fixture
def nvml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """One GPU, on which this process holds 1 GiB."""
    stand_in = StandIn(folder / "nvml")
    stand_in.add_gpu()
    stand_in.set_process("0", os.getpid(), used=GIB, samples="70 20 1 2")
    stand_in.write()
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    return stand_in


@pytest.fixture
def screen(folder: Path) -> Iterator[Screen]:
    with ExitStack() as opened:

        def run(*arguments: str) -> Driver:
            environ = {"XDG_CONFIG_HOME": str(folder), "ZTOP_SOCKET": f"{folder}/none"}
            command = [sys.executable, "-P", "-W", "error", "-m", "ztop_client.gpu", *arguments]
            return opened.enter_context(Driver(command, COLUMNS, LINES, environ))

        yield run


def printed(*arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "ztop_client.gpu", "-b", *arguments]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/protocol"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, stdin=subprocess.DEVNULL)
    # how much older it is than what was asked for
    assert done.returncode == 0 and re.fullmatch("(ztop-g: this is of .*\n)?", done.stderr)
    return done.stdout


def row_of(driver: Driver, pid: int) -> str:
    return next((line for line in driver.screen.display if f" {pid} " in line), "")


def holds(driver: Driver, size: str) -> bool:
    return f" {size} " in row_of(driver, os.getpid())


def go_to(driver: Driver, time_s: float, size: str) -> list[str]:
    """Goes to a moment of rewind at which this process held so much; the cards and the table of it."""
    driver.send(f"b@{time_s:.2f}\r")
    driver.wait(lambda: holds(driver, size) and "Go to" not in driver.text and "…" not in driver.screen.display[0])
    driver.quiet(0.3)
    return driver.screen.display[1 : LINES - STRIP_LINES]


def has_gpu_curve(driver: Driver) -> bool:
    """Whether the strip shows the curve of GPUs, of which one is half busy."""
    strip = driver.screen.display[-STRIP_LINES:]
    is_drawn = any(0x2800 < ord(letter) <= 0x28FF for line in strip for letter in line)
    return is_drawn and any(line.startswith("GPU ") and "100%" in line for line in strip)


def without_curves(lines: Sequence[str]) -> list[str]:
    """Of the minutes before, one screen may have seen more than the other, and of the last second its end."""
    first = next(number for number, line in enumerate(lines) if " max" in line)
    return [*lines[:first], *lines[next(number for number, line in enumerate(lines) if " PID " in line) :]]


def test_back_to_before_the_growth_and_a_recording_of_it_without_a_gpu(
    nvml: StandIn, start: Start, screen: Screen, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, recording = start(), f"{folder}/growth.ztop"
    live = screen("--socket", str(daemon.path), "--record", recording)
    live.wait(lambda: holds(live, "1.0G"))
    before = time.time()
    # a second in which it grew would be in the curves of both
    live.wait(lambda: time.time() > before + 1.2)
    nvml.set("0", used=8 * GIB)
    nvml.set_process("0", os.getpid(), used=6 * GIB, samples="70 20 1 2")
    nvml.write()
    live.wait(lambda: holds(live, "6.0G") and "8.0G/24.0G" in live.text)
    after = time.time()
    live.send("r")
    live.wait("REWOUND")
    live.wait(lambda: has_gpu_curve(live))
    small = go_to(live, before, "1.0G")
    assert any("1.0G/24.0G" in line for line in small)
    great = go_to(live, after, "6.0G")
    live.send(END)
    live.wait(lambda: "live" in live.screen.display[0] and holds(live, "6.0G"))
    live.send("q")
    assert live.ended() == 0
    pages = [printed("--at", f"@{when:.2f}", "--socket", str(daemon.path)) for when in (before, after)]
    daemon.stop()

    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    replay = screen("--replay", recording)
    replay.wait(lambda: bool(row_of(replay, os.getpid())))
    replay.send("r")
    replay.wait("recorded -")
    replay.wait(lambda: has_gpu_curve(replay))
    assert without_curves(go_to(replay, before, "1.0G")) == without_curves(small)
    assert without_curves(go_to(replay, after, "6.0G")) == without_curves(great)
    assert [printed("--at", f"@{when:.2f}", "--replay", recording) for when in (before, after)] == pages


def test_what_goes_wrong_is_on_the_screen(nvml: StandIn, start: Start, screen: Screen) -> None:
    """An instance under its GPU, a pid that nobody has, a call that hangs."""
    for _ in range(2):
        nvml.add_gpu()
    nvml.set("1", mig=2)
    for number, size in enumerate((5, 10)):
        where = f"1.{number}"
        nvml.set(where, uuid=uuid(where), name=f"NVIDIA MIG {size}gb", total=size * GIB, used=size * MIB, gi=number)
        nvml.set_process(where, 4_000_000 + number, used=MIB)
    nvml.write()
    driver = screen("--socket", str(start().path))
    driver.wait(lambda: bool(row_of(driver, 4_000_001)) and driver.text.count("NVIDIA A100") == 3)
    cards = [line for line in driver.screen.display if "NVIDIA" in line]
    assert [line.split()[0] for line in cards] == ["0", "1", "1.0", "1.1", "2"]
    assert row_of(driver, 4_000_001).split()[0] == "1.1"
    # in a container of its own it is said to be of another pid namespace
    assert re.search(r"\((no process here has this pid|a pid of another pid namespace)\)", row_of(driver, 4_000_001))
    nvml.set("2", delay="nvmlDeviceGetMemoryInfo_v2 100000")
    nvml.write()
    driver.wait(lambda: (age := re.search(r" HUNG (\d+)s ", driver.text)) is not None and int(age[1]) >= 3, 30)
    hung = next(number for number, line in enumerate(driver.screen.display) if "HUNG" in line)
    column = driver.screen.display[hung].index("HUNG")
    marked = driver.screen.buffer[hung][column]
    assert marked.bg not in ("default", driver.screen.buffer[hung][column - 5].bg)
    assert "50%" not in driver.screen.display[hung + 1], "how busy it was is not how busy it is"


@needs_root
def test_a_pid_of_another_namespace_is_told_and_left_alone(nvml: StandIn, start: Start, screen: Screen) -> None:
    """To the daemon, which has pids of its own, that of this process is nobody's; 1 is another's there."""
    nvml.set_process("0", 1, used=2 * GIB)
    nvml.write()
    driver = screen("--socket", str(start(before=namespaces()).path))
    driver.wait(lambda: "(a pid of another pid" in row_of(driver, 1))
    driver.send(F9)
    driver.wait("known to its GPU alone")


class Forwarding:
    """Listens at a path and hands bytes on to another, as ``ssh -L`` does."""

    def __init__(self, path: Path, to: Path) -> None:
        self._to = to
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.socket(socket.AF_UNIX)
            there.connect(str(self._to))
            self._ends += [here, there]
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        """Ends all connections."""
        for one in (self._listener, *self._ends):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


def test_a_daemon_behind_a_socket_that_is_forwarded(nvml: StandIn, start: Start, screen: Screen, folder: Path) -> None:
    path = folder / "atlas.sock"
    with closing(Forwarding(path, start().path)):
        driver = screen("--socket", str(path))
        driver.wait(lambda: holds(driver, "1.0G"))
        driver.send(F9)
        driver.wait("may be of another machine or pid namespace")
        nvml.set_process("0", os.getpid(), used=6 * GIB)
        nvml.write()
        driver.send(ESC)
        driver.wait(lambda: holds(driver, "6.0G"))
        driver.send("q")
        assert driver.ended() == 0
        line = json.loads(printed("-n", "1", "--json", "--socket", str(path)))
    assert [one["pid"] for one in line["gpu_processes"]] == [os.getpid()]
