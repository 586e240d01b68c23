#!/usr/bin/env python3
"""From a key to the frame that it asks for on the terminal, while somebody rewinds: p50, p99 and the worst.

    bench/rewind.py [ring] [store] [--processes 500] [--active 0.05]     (both where none is named)

ztop runs on a 200x50 terminal and talks to a real server of ztopd, which is fed made-up frames (bench/machine.py)
and, while the keys come, one more every second. "ring": 1800 frames in memory. "store": 2100 frames in segments of
300 on disk, the last 300 of them in memory too; the keys begin before those. A key is pressed once the frame of the
one before is drawn, but for what is held: there keys come 30 times a second, whatever is drawn, and the time is that
from the last key to its frame.

Live costs are those of bench/monitors.py: nothing of rewind runs before r is pressed. Run it with the Python that
has ztop's dependencies, e.g. .venv/bin/python.
"""

import argparse
import itertools
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.machine import SECOND, Machine  # noqa: E402
from bench.screen import LINES, RATES_SHOWN, Program, folder  # noqa: E402
from ztop_protocol.frame import Frame  # noqa: E402
from ztopd.sampler.pipe import FeedPipe  # noqa: E402

LEFT, RIGHT, TEN_BACK, TEN_ON, PAGE_UP, PAGE_DOWN = b"\x1b[D", b"\x1b[C", b",", b".", b"\x1b[5~", b"\x1b[6~"
CLOCK = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
STRIP_ROW = LINES - 2
SECONDS = 20.0
TARGETS = {"ring": 50, "store": 150}
"""The greatest p99 in ms at 500 processes."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the server remembers: frames, and how many of them in memory; the others are in the store."""

    frames: int
    in_ring: int


MEMORIES = {"ring": Memory(1800, 1800), "store": Memory(2100, 300)}


class Server:
    """A server of ztopd without a sampler: its frames are ours."""

    def __init__(self, path: str, memory: Memory, frames: Iterator[Frame]) -> None:
        self.socket_path = f"{path}/socket"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.socket_path)
        listening.listen()
        read_end, write_end = os.pipe()
        store = ["--store", f"{path}/store", "--run", "bench", "--store-bytes", str(1 << 30)]
        store += ["--store-age-ns", str(7 * 86400 * SECOND)]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "ztopd.server", "--feed-fd", str(read_end)),
                *("--listen-fd", str(listening.fileno()), "--interval-ns", str(SECOND)),
                *("--sampler-pid", str(os.getpid()), "--ring-frames", str(memory.in_ring)),
                *(store if memory.in_ring < memory.frames else ()),
            ],
            pass_fds=(read_end, listening.fileno()),
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protocol"},
        )
        os.close(read_end)
        listening.close()
        self._pipe = FeedPipe(write_end)
        self._frames = frames
        # the last one is of now
        self._shift_ns = 0
        self.last_ns = 0
        self._ends = threading.Event()
        for number in range(memory.frames):
            frame = next(frames)
            if not number:
                self._shift_ns = time.time_ns() - memory.frames * SECOND - frame.time_ns
            self._push(frame)
            # the thread of the store takes them in its own time
            time.sleep(0.008 if memory.in_ring < memory.frames else 0.001)
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def _push(self, frame: Frame) -> None:
        self.last_ns = frame.time_ns + self._shift_ns
        self._pipe.offer(replace(frame, time_ns=self.last_ns))
        while self._pipe.has_waiting_bytes:
            time.sleep(0.001)
            self._pipe.flush()
        assert not self._pipe.dropped

    def go_on(self) -> None:
        """A frame every second from now on."""
        self._thread.start()

    def _go_on(self) -> None:
        for frame in self._frames:
            if self._ends.wait(1.0):
                return
            self._push(frame)

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self._pipe.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Scrubber:
    """Presses keys and waits for the frame that they ask for: its time is in the title."""

    def __init__(self, program: Program, oldest_ns: int, newest_ns: int) -> None:
        self._program = program
        self._oldest_ns = oldest_ns
        self.here_ns = newest_ns
        self._clock = b""

    def press(self, key: bytes, seconds: int) -> float:
        """Seconds until the frame so many seconds on (or back) is drawn."""
        self.here_ns = max(self.here_ns + seconds * SECOND, self._oldest_ns)
        started = time.perf_counter()
        os.write(self._program.terminal, key)
        return self._drawn() - started

    def hold(self, key: bytes, seconds: int, times: int) -> float:
        """So many keys as a keyboard repeats them; from the last one to its frame."""
        for number in range(times):
            due = time.perf_counter() + 1 / 30
            while number and (left := due - time.perf_counter()) > 0:
                self._program.output(left)
            self.here_ns += seconds * SECOND
            pressed = time.perf_counter()
            os.write(self._program.terminal, key)
        return self._drawn() - pressed

    def drag(self, x: int, event: int) -> float:
        """Seconds until a frame is drawn after the mouse was pressed (0) on a cell of the strip, or moved (32)."""
        started = time.perf_counter()
        os.write(self._program.terminal, b"\x1b[<%d;%d;%dM" % (event, x, STRIP_ROW))
        seen, deadline = b"", time.perf_counter() + SECONDS
        while time.perf_counter() < deadline:
            seen += self._program.output(0.1)
            shown = {found for found in CLOCK.findall(seen) if found != self._clock}
            if shown:
                [self._clock] = shown
                return time.perf_counter() - started
        raise SystemExit(f"no frame was drawn within {SECONDS:g} s")

    def _drawn(self) -> float:
        clock = re.compile(datetime.fromtimestamp(self.here_ns / 1e9).strftime(r"%Y-%m-%d %H:%M:%S").encode())
        seen, deadline = b"", time.perf_counter() + SECONDS
        while time.perf_counter() < deadline:
            seen += self._program.output(0.1)
            if clock.search(seen):
                return time.perf_counter()
        raise SystemExit(f"the frame of {clock.pattern!r} was not drawn within {SECONDS:g} s")


def measure(name: str, processes: int, active: float) -> bool:
    """Prints the figures; whether the target is met."""
    memory = MEMORIES[name]
    with folder() as path:
        server = Server(path, memory, Machine(processes, active).frames())
        environment = {"XDG_CONFIG_HOME": path, "XDG_STATE_HOME": path}
        program = Program("--socket", server.socket_path, environment=environment)
        try:
            program.wait_for(RATES_SHOWN)
            newest_ns = server.last_ns
            server.go_on()
            scrubber = Scrubber(program, newest_ns - (memory.frames - 1) * SECOND, newest_ns)
            first = scrubber.press(b"r", 0)
            # until the first frame of the past is there, no step has anything to begin from
            program.quiet(0.5)
            for _ in range(memory.in_ring // 60 if memory.in_ring < memory.frames else 0):
                scrubber.press(PAGE_UP, -60)
            taken = {
                "a frame back": [scrubber.press(LEFT, -1) for _ in range(400)],
                "a frame on": [scrubber.press(RIGHT, 1) for _ in range(150)],
                "ten back": [scrubber.press(TEN_BACK, -10) for _ in range(60)],
                "ten on": [scrubber.press(TEN_ON, 10) for _ in range(30)],
                "a minute on": [scrubber.press(PAGE_DOWN, 60) for _ in range(8)],
                "a minute back": [scrubber.press(PAGE_UP, -60) for _ in range(8)],
            }
            taken["held back"] = [scrubber.hold(LEFT, -1, 20) for _ in range(10)]
            taken["held on"] = [scrubber.hold(RIGHT, 1, 20) for _ in range(10)]
            os.write(program.terminal, b"--")
            program.quiet(0.5)
            scrubber.drag(8, 0)
            taken["dragged"] = [scrubber.drag(x, 32) for x in (*range(12, 190, 3), *range(188, 10, -7))]
            program.end()
        finally:
            server.close()
    steps = list(itertools.chain.from_iterable(taken.values()))
    print(f"{name}: {memory.frames} frames of {processes} processes, {active:.0%} active; r: {1000 * first:.0f} ms")
    for kind, seconds in (*taken.items(), ("all", steps)):
        print(
            f"  {kind:14}{len(seconds):5d} keys   p50 {1000 * statistics.median(seconds):6.1f}"
            f"   p99 {1000 * _p99(seconds):6.1f}   worst {1000 * max(seconds):6.1f} ms"
        )
    met = 1000 * _p99(steps) <= TARGETS[name]
    print(f"  p99 <= {TARGETS[name]} ms: {'met' if met else 'MISSED'}")
    return met


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[min(len(seconds) * 99 // 100, len(seconds) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", nargs="*", metavar="ring|store")
    parser.add_argument("--processes", type=int, default=500)
    parser.add_argument("--active", type=float, default=0.05)
    options = parser.parse_args()
    if unknown := set(options.where) - set(MEMORIES):
        parser.error(f"what is {' '.join(sorted(unknown))}?")
    met = [measure(name, options.processes, options.active) for name in options.where or MEMORIES]
    return 0 if all(met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
