"""A real ztopd in the machine, whose counters are read around what is measured."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tests.pmu.guest.findings import Growth, Source
from ztop_client import DaemonUnreachable, connect
from ztop_protocol.frame import Cell, Frame, Key
from ztop_protocol.rates import RATE_POSITION, rates

SECTION = "process_counters"
SOURCE = "counters"
SECTIONS = ("processes", SECTION, "sources")
WARMING_UP = 50_000_000
"""Instructions: enough to be found busy."""
SECONDS = 60.0
"""Of the machine's time, for anything that has to come: it is slow, but where all wait its time passes at once."""


@contextlib.contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Root does what comes as another user, with a group of the same number."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Daemon:
    """``python -P -m ztopd``, started by the programs ``before``, such as setpriv, and a session of a user with it.

    ``uid`` is that of the daemon and of the session: to root and to the group watchers everything is shown.
    """

    def __init__(self, *before: str, uid: int = 0, interval: float = 1.0) -> None:
        self._interval = interval
        self._folder = tempfile.TemporaryDirectory(prefix="ztop-")
        # whoever it is that ztopd runs as
        os.chmod(self._folder.name, 0o1777)
        self.path = Path(self._folder.name) / "ztopd.sock"
        command = [*before, sys.executable, "-P", "-W", "error", "-m", "ztopd"]
        (Path(self._folder.name) / "ztopd.toml").write_text('group = "watchers"')
        command += ["--config", f"{self._folder.name}/ztopd.toml", "--socket", str(self.path)]
        command += ["--interval", f"{interval:g}", "--store", "off"]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                with acting_as(uid):
                    self.session = connect(str(self.path))
                self.session.snapshot([])
                break
            except DaemonUnreachable:
                assert self._process.poll() is None and time.monotonic() < deadline, "ztopd does not answer"
                time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(SECONDS) == 0
        self._folder.cleanup()

    def sampled_now(self) -> Frame:
        """A frame of which every section was sampled after the call."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        deadline = time.monotonic() + SECONDS
        while True:
            time.sleep(self._interval)
            frame = self.session.snapshot(SECTIONS)
            sampled = frame.sections.get(SECTION)
            # without counters the section may not be there
            if (frame.boottime_ns if sampled is None else sampled.sampled_boottime_ns) > now_ns:
                return frame
            assert time.monotonic() < deadline, "no frame comes"

    def source(self) -> Source:
        """How the collector says it is."""
        frame = self.sampled_now()
        state, reason, fix = (frame.cell("sources", column, (SOURCE,)) for column in ("state", "reason", "fix"))
        return Source(str(state), None if reason is None else str(reason), None if fix is None else str(fix))


def key_of(frame: Frame, pid: int) -> Key | None:
    """The key of a process's row of counters; None where it has none."""
    return next((key for key in frame.rows(SECTION) if key[0] == pid), None)


def cell_of(frame: Frame, pid: int, column: str) -> Cell:
    """One cell of a process's row of counters; None where it has none."""
    key = key_of(frame, pid)
    return None if key is None else frame.cell(SECTION, column, key)


def counted_pids(frame: Frame) -> list[int]:
    """The processes that have a row of counters."""
    return sorted(int(str(key[0])) for key in frame.rows(SECTION))


def growth(before: Frame, after: Frame, pid: int, truth: int) -> Growth:
    """What the counters of a process grew by between two frames; None where either of them has not both."""

    def grown(column: str) -> int | None:
        first, last = (cell_of(frame, pid, column) for frame in (before, after))
        return last - first if isinstance(first, int) and isinstance(last, int) else None

    row = rates(before, after, SECTION).get(key_of(after, pid) or ())
    return Growth(
        truth=truth,
        instructions=grown("instructions"),
        cycles=grown("cycles"),
        cycles_time_ns=grown("cycles_time_ns"),
        enabled_time_ns=grown("enabled_time_ns"),
        running_time_ns=grown("running_time_ns"),
        ipc=None if row is None else row[RATE_POSITION[SECTION]["ipc"]],
    )


def measured(daemon: Daemon, pid: int, instructions: int, work: Callable[[int], object]) -> Growth:
    """What the counters of a process make of ``work(instructions)``."""
    before = daemon.sampled_now()
    work(instructions)
    return growth(before, daemon.sampled_now(), pid, instructions)


def run_until_counted(
    daemon: Daemon, pid: int, work: Callable[[int], object], column: str = "kernel_mode", value: Cell = True
) -> Frame:
    """Has a process work until it has counters, with that value in that column; returns the frame that has them."""
    deadline = time.monotonic() + SECONDS
    while True:
        frame = daemon.sampled_now()
        if cell_of(frame, pid, column) == value:
            return frame
        assert time.monotonic() < deadline, f"process {pid} gets no counters"
        work(WARMING_UP)
