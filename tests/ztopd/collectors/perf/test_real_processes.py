"""Real processes, counted by software events: the clock of their threads stands in for cycles.

The truth is the process's CPU clock, which counts its threads, past ones too, and never its children.
"""

import errno
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ztopd.collectors.immediate_reader import ImmediateReader
from ztop_protocol.frame import Cell
from ztop_protocol.schema import PROCESS_COUNTERS
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.perf import process_counters as module
from ztopd.collectors.perf.events import Counting, groups
from ztopd.collectors.perf.probe import Uncountable, probe
from ztopd.collectors.perf.process_counters import ProcessCounters
from ztopd.collectors.perf.syscall import LinuxKernel
from ztopd.collectors.processes import Processes
from ztopd.collectors.source import Roots

PROGRAM = Path(__file__).with_name("counted_process.py")
WORK_S = 0.3
NOBODY = 65534
LONG_NS = 1 << 60


def software_events_are_refused() -> bool:
    try:
        probe(LinuxKernel(), groups(Counting.SOFTWARE, is_intel=False), ())
    except Uncountable:
        return True
    return False


pytestmark = pytest.mark.skipif(
    software_events_are_refused(), reason="this kernel does not let us count even software events of our own"
)


class OldKernel(LinuxKernel):
    """One before Linux 5.13: there is no inherit_thread."""

    def open(self, attribute: bytes, tid: int, group: int, /) -> int:
        if struct.unpack_from("=Q", attribute, 40)[0] >> 35 & 1:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return super().open(attribute, tid, group)


class Counters:
    """The collector on this machine, with the scan that it needs."""

    def __init__(self, kernel: LinuxKernel) -> None:
        self.descriptors = Descriptors(8000)
        self.processes = Processes(Roots(), ImmediateReader(), self.descriptors)
        self.collector = ProcessCounters(
            Roots(), self.processes, self.descriptors, Counting.SOFTWARE, kernel, open_ns=LONG_NS
        )
        self.rows: dict[object, tuple[Cell, ...]] = {}

    def tick(self) -> None:
        self.processes.collect()
        self.rows = {key[0]: row for key, row in self.collector.collect().sections["process_counters"].items()}

    def cell(self, pid: int, column: str) -> int:
        value = self.rows[pid][PROCESS_COUNTERS.position[column]]
        assert isinstance(value, int)
        return value

    def close(self) -> None:
        self.collector.close()
        self.processes.close()
        assert self.descriptors.used == 0


class Worker:
    """A process that works when it is told to."""

    def __init__(self) -> None:
        self.child = subprocess.Popen([sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.child.pid
        self._wait()

    def _wait(self) -> None:
        assert self.child.stdout is not None
        assert self.child.stdout.readline() == b"done\n"

    def work(self, who: str, seconds: float = WORK_S) -> None:
        self.order(who, seconds)
        self._wait()

    def order(self, who: str, seconds: float) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{who} {seconds}\n".encode())
        self.child.stdin.flush()

    def cpu_time_ns(self) -> int:
        """Of all its threads, by clock_getcpuclockid(3)."""
        return time.clock_gettime_ns(~self.pid << 3 | 2)

    def end(self) -> None:
        self.child.kill()
        self.child.communicate()


@pytest.fixture(params=[LinuxKernel, OldKernel])
def counters(request: pytest.FixtureRequest) -> Iterator[Counters]:
    before = os.listdir("/proc/self/fd")
    counters = Counters(request.param())
    counters.tick()
    yield counters
    counters.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.fixture
def worker(counters: Counters) -> Iterator[Worker]:
    """One that has counters: its main thread and its worker thread were there before them."""
    worker = Worker()
    for _ in range(3):
        counters.tick()
        worker.work("main", 0.05)
    counters.tick()
    assert worker.pid in counters.rows
    yield worker
    worker.end()


def check(counters: Counters, worker: Worker, *orders: str, seconds: float = WORK_S) -> None:
    """What was counted during these orders is what was used, to 2 %; three tries, as others may come in between."""
    for _ in range(3):
        counters.tick()
        counted, used = counters.cell(worker.pid, "cycles"), worker.cpu_time_ns()
        for order in orders:
            worker.work(order, seconds)
        counters.tick()
        counted, used = counters.cell(worker.pid, "cycles") - counted, worker.cpu_time_ns() - used
        if counted == pytest.approx(used, rel=0.02, abs=5e6):
            return
    assert counted == pytest.approx(used, rel=0.02, abs=5e6)


def test_threads_that_were_there_before(counters: Counters, worker: Worker) -> None:
    check(counters, worker, "main", "worker")
    assert counters.cell(worker.pid, "cycles") == pytest.approx(counters.cell(worker.pid, "cycles_time_ns"), rel=0.02)
    assert counters.cell(worker.pid, "running_time_ns") == counters.cell(worker.pid, "enabled_time_ns")
    assert counters.cell(worker.pid, "enabled_time_ns") == pytest.approx(
        4 * counters.cell(worker.pid, "cycles_time_ns"), rel=0.02
    )


@pytest.mark.parametrize("counters", [LinuxKernel], indirect=True)
def test_threads_that_come_later(counters: Counters, worker: Worker) -> None:
    """Even such as came and went between two ticks, and those that a later one starts."""
    check(counters, worker, "new", "main", "new")
    check(counters, worker, *["new"] * 30, seconds=0.01)


@pytest.mark.parametrize("counters", [OldKernel], indirect=True)
def test_threads_that_come_later_on_an_old_kernel(counters: Counters, worker: Worker) -> None:
    """They are attached when they are seen; none is counted twice."""
    used = worker.cpu_time_ns()
    counters.tick()
    counted = counters.cell(worker.pid, "cycles")
    worker.order("new", 1.0)
    began = worker.cpu_time_ns()
    while worker.cpu_time_ns() - began < 0.9 * 10**9:
        counters.tick()
        time.sleep(0.005)
    worker._wait()
    counters.tick()
    counted, used = counters.cell(worker.pid, "cycles") - counted, worker.cpu_time_ns() - used
    assert 0.5 * used < counted <= 1.02 * used


def test_children_are_others(counters: Counters, worker: Worker) -> None:
    check(counters, worker, "child", "main")
    counted = counters.cell(worker.pid, "cycles")
    worker.work("child", WORK_S)
    counters.tick()
    assert counters.cell(worker.pid, "cycles") - counted < WORK_S * 0.2 * 10**9


def test_an_exec_goes_on(counters: Counters, worker: Worker) -> None:
    """The same process, its counters and its epoch; its threads are gone, new ones come."""
    epoch = counters.cell(worker.pid, "epoch_boottime_ns")
    check(counters, worker, "exec")
    assert counters.cell(worker.pid, "epoch_boottime_ns") == epoch
    check(counters, worker, "main")


def test_let_go_and_attached_again(counters: Counters, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    check(counters, worker, "main")
    counted = counters.cell(worker.pid, "cycles")
    monkeypatch.setattr(module, "IDLE_NS", -1)
    counters.tick()
    monkeypatch.undo()
    worker.work("main", 0.05)
    counters.tick()
    assert counters.cell(worker.pid, "cycles") == counted
    for _ in range(2):
        worker.work("main", 0.05)
        counters.tick()
    check(counters, worker, "main", "worker")
    assert counters.cell(worker.pid, "cycles") > counted


def test_what_ended_has_no_descriptor(counters: Counters, worker: Worker) -> None:
    worker.end()
    counters.tick()
    assert worker.pid not in counters.rows


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_change_of_owner_begins_anew(counters: Counters, worker: Worker) -> None:
    check(counters, worker, "main")
    epoch, counted = (counters.cell(worker.pid, column) for column in ("epoch_boottime_ns", "cycles"))
    worker.work("nobody", WORK_S)
    counters.tick()
    assert counters.rows.get(worker.pid) is None or counters.cell(worker.pid, "cycles") == 0
    used = worker.cpu_time_ns()
    for _ in range(3):
        worker.work("main", 0.05)
        counters.tick()
    assert counters.cell(worker.pid, "owner_uid") == NOBODY
    assert counters.cell(worker.pid, "epoch_boottime_ns") > epoch
    assert counters.cell(worker.pid, "cycles") <= 1.02 * (worker.cpu_time_ns() - used) < counted
    check(counters, worker, "main", "worker")


@pytest.mark.slow
@pytest.mark.parametrize("counters", [LinuxKernel], indirect=True)
def test_ten_thousand_short_lives_leave_no_descriptor(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is seen to run gets counters at once, so that thousands come and go."""
    monkeypatch.setattr(module, "BUSY_NS", 0)
    program = (
        "import os, time\n"
        "for number in range(2500):\n"
        "    if os.fork() == 0:\n"
        "        end = time.thread_time() + 0.001\n"
        "        while time.thread_time() < end: pass\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    bombs = [subprocess.Popen([sys.executable, "-S", "-E", "-c", program]) for _ in range(4)]
    seen: set[object] = set()
    pids = {bomb.pid for bomb in bombs}
    try:
        while any(bomb.poll() is None for bomb in bombs):
            counters.tick()
            seen |= counters.rows.keys()
    finally:
        for bomb in bombs:
            bomb.kill()
            bomb.wait()
    counters.tick()
    assert len(seen - pids) > 100
    assert not pids & counters.rows.keys()
    # what is open is of processes that are there
    there = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    assert counters.rows.keys() <= there
