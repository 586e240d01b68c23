#!/usr/bin/env python3
"""What a frame costs the screen: CPU by step, writes, latency, start, memory.

    bench/screen.py [steps] [writes] [latency] [start] [memory]     (all of them where none is named)

Frames are made up (bench/machine.py) and go the way of real ones: encoded as a daemon does, received, decoded,
applied, arranged and drawn on a 200x50 terminal. Times are medians. Run it with the Python that has ztop's
dependencies, e.g. .venv/bin/python.
"""

import argparse
import itertools
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.machine import Machine  # noqa: E402
from tests.ztop_client.fake_daemon import FakeDaemon  # noqa: E402
from ztop_client.columns.column import process_table  # noqa: E402
from ztop_client.columns.processes import tabs  # noqa: E402
from ztop_client.sources.source import Pair  # noqa: E402
from ztop_client.terminal import Terminal  # noqa: E402
from ztop_client.view import View  # noqa: E402
from ztop_client.widgets.header import Title  # noqa: E402
from ztop_client.widgets.screen import Screen  # noqa: E402
from ztop_protocol.codec import FrameDecoder, encode_delta, encode_frame  # noqa: E402
from ztop_protocol.connection import CLIENT_LIMITS, Connection, Notification, pack_notification  # noqa: E402
from ztop_protocol.frame import Frame, apply, diff  # noqa: E402
from ztop_protocol.garbage import collect_seldom  # noqa: E402

COLUMNS, LINES = 200, 50
STEPS = ("receive", "decode", "apply", "table", "arrange", "header", "render", "draw")
FILTER = "worker"
FILTER_KEYS = b"\x1b[15~\\" + FILTER.encode() + b"\r"
"""F5 for the tree, then the filter."""
RATES_SHOWN = re.compile(rb"\d%[^M\n]{0,300}Mem")
"""The busy percentage of a core, on the line of the memory's meter: a first frame has none."""


class Pipeline:
    """A screen on a terminal that nobody looks at, and each step that a frame takes to it."""

    def __init__(self, tree: bool) -> None:
        self._reader, terminal = pty.openpty()
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        threading.Thread(target=self._drain, daemon=True).start()
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        self.terminal = Terminal(os.fdopen(terminal, closefd=False), os.fdopen(terminal, "w"))
        self.terminal.start()
        collect_seldom()
        self.view = View(tabs("alice"), self.terminal.glyphs)
        self.screen = Screen(self.view, Title("bench"), self.terminal.glyphs)
        if tree:
            self.view.toggle_tree()
            self.view.filter_by(FILTER)
        self._connection = Connection(CLIENT_LIMITS)
        self._decoder = FrameDecoder()
        self._sent: Frame | None = None
        self._pair: Pair | None = None

    def _drain(self) -> None:
        while os.read(self._reader, 1 << 16):
            pass

    def take(self, frame: Frame) -> list[float]:
        """The CPU seconds of every one of ``STEPS``."""
        packed = (
            pack_notification("frame", encode_frame(frame))
            if self._sent is None
            else pack_notification("delta", encode_delta(diff(self._sent, frame)))
        )
        self._sent = frame
        times = [time.thread_time()]

        def done() -> None:
            times.append(time.thread_time())

        self._connection.feed(packed)
        [message] = self._connection.messages()
        assert isinstance(message, Notification)
        done()
        if self._pair is None:
            done()
            received = self._decoder.frame(message.arguments)
        else:
            delta = self._decoder.delta(message.arguments)
            done()
            received = apply(self._pair.current, delta)
        self._pair = Pair(None, received) if self._pair is None else self._pair.followed_by(received)
        done()
        table = process_table(self._pair.previous, self._pair.current)
        done()
        self.view.show(table)
        done()
        self.screen.show(self._pair.previous, self._pair.current)
        done()
        canvas = self.screen.render((COLUMNS, LINES), True)
        done()
        self.terminal.draw_screen((COLUMNS, LINES), canvas)
        done()
        return [after - before for before, after in itertools.pairwise(times)]


def steps() -> None:
    """CPU milliseconds per frame by step."""
    print(f"CPU ms a frame, 200x50{'':13}" + "".join(name.rjust(9) for name in STEPS) + "    whole  render+draw")
    for processes in (1000, 5000):
        for name, active, tree in (("5 % active", 0.05, False), ("all changing", 1.0, False),
                                   ("5 % active, tree + filter", 0.05, True),
                                   ("all, tree + filter", 1.0, True)):  # fmt: skip
            pipeline = Pipeline(tree)
            taken = [pipeline.take(frame) for frame in itertools.islice(Machine(processes, active).frames(), 43)]
            medians = [1000 * statistics.median(column) for column in zip(*taken[3:], strict=True)]
            pipeline.terminal.stop()
            cells = "".join(f"{value:9.2f}" for value in (*medians, sum(medians), sum(medians[-2:])))
            print(f"{processes:5d} {name:29}{cells}")


def write_calls(pid: int | str = "self") -> tuple[int, int]:
    """write(2) calls and bytes of a process, by the kernel's count (/proc/PID/io syscw, wchar)."""
    counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(counts["syscw"]), int(counts["wchar"])


def writes() -> None:
    """write(2) calls and bytes per frame."""
    for processes, active in ((1000, 0.05), (5000, 1.0)):
        pipeline, frames = Pipeline(False), Machine(processes, active).frames()
        for frame in itertools.islice(frames, 5):
            pipeline.take(frame)
        calls, size = write_calls()
        for frame in itertools.islice(frames, 50):
            pipeline.take(frame)
        calls_after, size_after = write_calls()
        pipeline.terminal.stop()
        print(
            f"write(2) per frame, {processes} processes, {active:.0%} active: "
            f"{(calls_after - calls) / 50:.2f} calls, {(size_after - size) / 50 / 1024:.1f} KiB"
        )


class Program:
    """``ztop`` in a terminal of its own."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        wanted = {
            "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8",
            "PYTHONPATH": f"{ROOT}:{ROOT}/protocol", **(environment or {}),
        }  # fmt: skip
        self.started = time.perf_counter()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-P", "-m", "ztop_client", *arguments], os.environ | wanted)
        ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def output(self, seconds: float) -> bytes:
        """What it writes next; empty if nothing for so long."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return b""
        return os.read(self.terminal, 1 << 20)

    def wait_for(self, pattern: re.Pattern[bytes], seconds: float = 20) -> float:
        """Seconds since the start when the pattern was on the screen."""
        seen = b""
        while time.perf_counter() - self.started < seconds:
            seen = (seen + self.output(0.1))[-1 << 20 :]
            if pattern.search(seen):
                return time.perf_counter() - self.started
        raise SystemExit(f"{pattern.pattern!r} did not come within {seconds:g} s")

    def quiet(self, seconds: float) -> None:
        """Waits until nothing is written for so long."""
        while self.output(seconds):
            pass

    def end(self) -> None:
        os.write(self.terminal, b"q")
        while True:
            try:
                if not os.read(self.terminal, 1 << 16):
                    break
            except OSError:
                break
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@contextmanager
def folder() -> Iterator[str]:
    """A folder for a socket, and for settings that are nobody's."""
    with tempfile.TemporaryDirectory(prefix="ztop-bench-") as path:
        yield path


def latency() -> None:
    """From a key to what it changes on the terminal, while frames of 5000 processes come every second."""
    with folder() as path, FakeDaemon(path=f"{path}/socket") as daemon:
        frames = Machine(5000, 0.05).frames()
        daemon.frames += itertools.islice(frames, 2)
        daemon.in_background()
        program = Program("--socket", f"{path}/socket", environment={"XDG_CONFIG_HOME": path, "XDG_STATE_HOME": path})
        program.wait_for(RATES_SHOWN)
        os.write(program.terminal, FILTER_KEYS)
        program.quiet(1.0)
        taken: dict[str, list[float]] = {"down": [], "tree off and on": [], "a letter of the filter": []}
        keys = {"down": [b"\x1b[B"] * 20, "tree off and on": [b"t"] * 20,
                "a letter of the filter": [b"\\", b"\x7f", b"r", b"\x7f", b"r", b"\x7f", b"r", b"\r"]}  # fmt: skip
        for name, sequence in keys.items():
            for key in sequence:
                daemon.publish(next(frames))
                program.quiet(0.3)
                pressed = time.perf_counter()
                os.write(program.terminal, key)
                if program.output(2.0) and key not in (b"\\", b"\r"):
                    taken[name].append(time.perf_counter() - pressed)
                program.quiet(0.05)
        for name, seconds in taken.items():
            print(
                f"key to screen, 5000 processes, tree + filter, {name}: "
                f"median {1000 * statistics.median(seconds):.1f} ms, worst {1000 * max(seconds):.1f} ms"
            )
        program.end()


def start() -> None:
    """From the start to the first frame with rates, of this machine, with and without a daemon."""
    with folder() as path:
        environment = {"XDG_CONFIG_HOME": path, "XDG_STATE_HOME": path, "XDG_RUNTIME_DIR": path, "ZTOP_SOCKET": ""}
        for name in ("private ztopd", "running daemon"):
            daemon = None
            arguments: list[str] = []
            if name == "running daemon":
                daemon = subprocess.Popen(
                    [sys.executable, "-P", "-m", "ztopd", "--socket", f"{path}/socket", "--store", "off"],
                    env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protocol"},
                    stderr=subprocess.DEVNULL,
                )
                time.sleep(3)
                arguments = ["--socket", f"{path}/socket"]
            taken = []
            for _ in range(5):
                program = Program(*arguments, environment=environment)
                taken.append(program.wait_for(RATES_SHOWN))
                program.end()
            if daemon is not None:
                daemon.terminate()
                daemon.wait()
            print(
                f"start to the first frame with rates, {name}: "
                f"median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s"
            )


def memory(frames: int = 10_000) -> None:
    """Whether memory grows with frames: one process ends and one begins in every frame."""

    def rss_kib() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    pipeline, at_first = Pipeline(False), 0
    for number, frame in enumerate(itertools.islice(Machine(300, 0.1).frames(), frames), 1):
        pipeline.take(frame)
        if number == frames // 10:
            at_first = rss_kib()
    pipeline.terminal.stop()
    print(
        f"RSS after {frames // 10} frames {at_first} KiB, after {frames}: {rss_kib()} KiB ({rss_kib() - at_first:+d})"
    )


BENCHES: dict[str, Callable[[], None]] = {
    "steps": steps, "writes": writes, "latency": latency, "start": start, "memory": memory,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", nargs="*", choices=[[], *BENCHES], help="which ones; all if none is named")
    for name in parser.parse_args().bench or BENCHES:
        BENCHES[name]()


if __name__ == "__main__":
    main()
