#!/usr/bin/env python3
"""What the counters of processes cost: a tick, a group, and those who are counted.

    bench/counters.py [--processes 1000] [--active 0.05] [--ticks 20]

Software events stand in for the PMU's, so the figures are of ztopd and of the kernel's own work; what it takes to
program a PMU at each context switch comes on top. As root, with the Python that has ztop's dependencies, on a machine
that does nothing else.
"""

import argparse
import mmap
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from ztopd.collectors.blocking import Answer, Argument, Question  # noqa: E402
from ztopd.collectors.descriptors import Descriptors  # noqa: E402
from ztopd.collectors.perf.accumulate import Counts, Layout  # noqa: E402
from ztopd.collectors.perf.attached import Attached  # noqa: E402
from ztopd.collectors.perf.events import Counting, groups  # noqa: E402
from ztopd.collectors.perf.probe import Countable, probe  # noqa: E402
from ztopd.collectors.perf.process_counters import ProcessCounters  # noqa: E402
from ztopd.collectors.perf.syscall import MAX_READING_BYTES, NO_GROUP, LinuxKernel  # noqa: E402
from ztopd.collectors.process_entry import Process  # noqa: E402
from ztopd.collectors.process_stat import parse_stat  # noqa: E402
from ztopd.collectors.processes import Processes  # noqa: E402
from ztopd.collectors.source import Problem, Roots  # noqa: E402
from ztopd.sampler.run import raise_descriptor_limit  # noqa: E402

AT_ONCE = 1 << 62
ROUND_TRIPS = 50_000


class NoReader:
    """Answers nothing: what blocks is not measured here."""

    def ask(self, question: Question, argument: Argument) -> None: ...

    def take(self, question: Question) -> dict[Argument, Answer]:
        return {}

    def settle(self) -> None: ...

    def problem(self) -> Problem | None:
        return None


class Own:
    """The scan, as if there were no processes but ours."""

    def __init__(self, scan: Processes, pids: list[int]) -> None:
        self._scan = scan
        self._pids = frozenset(pids)

    def ran(self) -> list[Process]:
        return [process for process in self._scan.ran() if process.pid in self._pids]

    def ended(self) -> list[Process]:
        return list(self._scan.ended())


@contextmanager
def forked(*works: Callable[[], None]) -> Iterator[list[int]]:
    """Processes that do that, until the block ends."""
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        pids.append(pid)
    try:
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def doze() -> None:
    """At rest."""
    signal.pause()


def wake_often() -> None:
    """A little work, ten times a second."""
    while True:
        time.sleep(0.1)
        sum(range(5000))


def attached_to(pid: int, layout: Layout, descriptors: Descriptors) -> Attached:
    """All groups, on that process."""
    stat = f"/proc/{pid}/stat"
    start = parse_stat(Path(stat).read_bytes()).start_boottime_ns
    attached = Attached(LinuxKernel(), layout, descriptors, "/proc", pid, start, os.stat(stat).st_uid)
    attached.go_on(AT_ONCE)
    return attached


def groups_on(pid: int, countable: Countable) -> Iterator[list[int]]:
    """The descriptors of each group, the leader first, with nothing of ours around them."""
    kernel = LinuxKernel()
    for group in countable.groups:
        for first, *others in group.attributes:
            leader = kernel.open(first, pid, NO_GROUP)
            yield [leader, *(kernel.open(other, pid, leader) for other in others)]


def per_group(layout: Layout, descriptors: Descriptors) -> None:
    """What one group costs to open, to read and to close, on a process that runs."""
    with forked(*[wake_often] * 50) as pids:
        count = len(pids) * len(layout.countable.groups)
        began = time.thread_time_ns()
        attached = [attached_to(pid, layout, descriptors) for pid in pids]
        opened = time.thread_time_ns() - began
        counts = [Counts(layout) for _ in pids]
        bare = [group for pid in pids for group in groups_on(pid, layout.countable)]
        read: list[float] = []
        added: list[float] = []
        for number in range(20):
            time.sleep(0.3)
            began = time.thread_time_ns()
            if number % 2:
                for leader, *_ in bare:
                    os.read(leader, MAX_READING_BYTES)
            else:
                for one, into in zip(attached, counts, strict=True):
                    one.read(into)
            (read if number % 2 else added).append((time.thread_time_ns() - began) / count / 1000)
        for group in bare:
            for descriptor in group:
                os.close(descriptor)
        began = time.thread_time_ns()
        for one in attached:
            one.close()
        closed = time.thread_time_ns() - began
    print(
        f"per group of two events: open {opened / count / 1000:.1f} µs, the read alone "
        f"{statistics.median(read):.2f} µs, read and add up {statistics.median(added):.2f} µs, "
        f"close {closed / count / 1000:.1f} µs"
    )


def ticks(processes: int, active: float, count: int) -> None:
    """The CPU time of a tick, without counters and with them."""
    busy = round(processes * active)
    with forked(*[wake_often] * busy, *[doze] * (processes - busy)) as pids:
        descriptors = Descriptors(raise_descriptor_limit())
        scan = Processes(Roots(), NoReader(), descriptors)
        counters = ProcessCounters(Roots(), Own(scan, pids), descriptors, Counting.SOFTWARE, LinuxKernel())
        scans, steady, attaching = [], [], []
        for number in range(40 + count):
            time.sleep(0.25)
            began = time.thread_time_ns()
            scan.collect()
            scanned = time.thread_time_ns()
            sample = counters.collect()
            ended = time.thread_time_ns()
            if number >= 40:
                scans.append((scanned - began) / 1e6)
                steady.append((ended - scanned) / 1e6)
            else:
                attaching.append((ended - scanned) / 1e6)
        rows = len(sample.sections["process_counters"])
        held = descriptors.used
        counters.close()
        held -= descriptors.used
        scan.close()
    print(
        f"{processes} processes, {busy} active: the scan {statistics.median(scans):.2f} ms, "
        f"the counters {statistics.median(steady):.2f} ms a tick ({rows} rows, {held} descriptors); "
        f"while they are attached at most {max(attaching):.2f} ms"
    )


def ping_pong(layout: Layout | None, descriptors: Descriptors) -> float:
    """Microseconds of a round trip between two processes on one CPU, of which both are counted or none is."""
    shared = mmap.mmap(-1, 8)
    there, back = os.pipe(), os.pipe()
    cpu = min(os.sched_getaffinity(0))

    def answer() -> None:
        os.sched_setaffinity(0, {cpu})
        while os.read(there[0], 1):
            os.write(back[1], b"x")

    def ask() -> None:
        os.sched_setaffinity(0, {cpu})
        os.kill(os.getpid(), signal.SIGSTOP)
        began = time.monotonic_ns()
        for _ in range(ROUND_TRIPS):
            os.write(there[1], b"x")
            os.read(back[0], 1)
        shared[:] = (time.monotonic_ns() - began).to_bytes(8, "little")
        os.kill(os.getpid(), signal.SIGSTOP)

    with forked(answer, ask) as pids:
        os.waitpid(pids[1], os.WUNTRACED)
        attached = [attached_to(pid, layout, descriptors) for pid in pids] if layout is not None else []
        os.kill(pids[1], signal.SIGCONT)
        os.waitpid(pids[1], os.WUNTRACED)
        for one in attached:
            one.close()
    for descriptor in (*there, *back):
        os.close(descriptor)
    return int.from_bytes(shared[:], "little") / ROUND_TRIPS / 1000


def slow_down(countable: Countable, descriptors: Descriptors) -> None:
    """What it costs those who are counted: a context switch has the groups taken out and put in."""
    first = replace(countable, groups=countable.groups[:1])
    manners = {
        "not counted": None,
        "one group": Layout(first),
        f"all {len(countable.groups)} groups": Layout(countable),
    }
    taken: dict[str, list[float]] = {name: [] for name in manners}
    for _ in range(5):
        for name, manner in manners.items():
            taken[name].append(ping_pong(manner, descriptors))
    print("a round trip of a ping-pong: " + ", ".join(f"{name} {min(one):.2f} µs" for name, one in taken.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--active", type=float, default=0.05)
    parser.add_argument("--ticks", type=int, default=20)
    options = parser.parse_args()
    if not 0 <= options.active <= 1:
        parser.error("--active is a share of the processes, from 0 to 1")
    descriptors = Descriptors(raise_descriptor_limit())
    countable = probe(LinuxKernel(), groups(Counting.SOFTWARE, is_intel=False), ())
    per_group(Layout(countable), descriptors)
    slow_down(countable, descriptors)
    ticks(options.processes, options.active, options.ticks)


if __name__ == "__main__":
    main()
