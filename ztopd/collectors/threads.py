"""Threads: those of one process on request, or of all processes while somebody wants to see them."""

import os
import time
from collections.abc import Callable, Iterable

from ztop_protocol.frame import Key, Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read_record
from ztopd.collectors.process_exec import is_in_exec
from ztopd.collectors.process_stat import parse_stat
from ztopd.collectors.source import Problem, Roots, Rows, Sample, Withheld, by_key

WANTED_NS = 5_000_000_000
"""How long a wish to see the threads of all processes holds; who watches repeats it."""
MAX_THREADS = 20_000
"""The most of them that one tick reads."""
COST_SHARE = 20
"""The period is this many times the CPU time of the last collection: at most 5 % of one CPU."""


class NoSuchProcess(LookupError):
    """There is no process of that pid, or not any more."""


def read_threads(proc: str, pid: int, at_most: int) -> tuple[dict[Key, Row], bool]:
    """The rows of the section ``threads``, and whether some were left out because there are more than ``at_most``.

    Raises :exc:`NoSuchProcess`. A thread that ends in between is left out.
    """
    if is_in_exec(f"{proc}/{pid:d}"):
        raise NoSuchProcess(f"process {pid} is between two programs: its threads cannot be read")
    folder = f"{proc}/{pid:d}/task"
    try:
        # numbers are given out anew: a thread may have a lower one than the main thread, which comes first
        tids = sorted((int(name) for name in os.listdir(folder) if name.isdigit()), key=lambda tid: (tid != pid, tid))
    except OSError as error:
        raise NoSuchProcess(f"process {pid} does not exist") from error
    found = []
    for tid in tids[:at_most]:
        path = f"{folder}/{tid}/stat"
        try:
            found.append(thread_row(pid, tid, os.stat(path).st_uid, read_record(path, 4096)))
        except (FileNotFoundError, ProcessLookupError):
            continue
    rows: Rows = by_key("threads", found)
    if not rows:
        raise NoSuchProcess(f"process {pid} does not exist")
    return rows, len(tids) > at_most


def thread_row(pid: int, tid: int, owner_uid: int, data: bytes) -> Row:
    """One row of the section ``threads`` from a task's stat line."""
    stat = parse_stat(data)
    return (
        *(pid, tid, stat.start_boottime_ns, owner_uid, stat.state),
        *(stat.nice, stat.priority, stat.realtime_priority, stat.policy),
        *(stat.user_time_ns, stat.system_time_ns, stat.minor_faults, stat.major_faults),
        *(stat.last_cpu, stat.comm),
    )


class Threads:
    """The threads of every process that has several, while they are wanted; else there is no such section."""

    name = "threads"

    def __init__(self, roots: Roots, several_threads: Callable[[], Iterable[int]]) -> None:
        """``several_threads`` gives the pids of the processes that have more than one thread."""
        self._proc = roots.proc
        self._several_threads = several_threads
        self._wanted_until_ns = 0
        self._cost_ns = 0

    @property
    def period_ns(self) -> int:
        """Every tick, or longer where many threads make a collection dear: anybody may want them."""
        return COST_SHARE * self._cost_ns

    def want(self, interval_ns: int) -> None:
        """Somebody wants to see them: they are read from now on, for a while and a few ticks."""
        self._wanted_until_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + WANTED_NS + 2 * interval_ns

    def collect(self) -> Sample:
        """Reads them all, up to a bound. Raises :exc:`Withheld` while nobody wants them."""
        if time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= self._wanted_until_ns:
            self._cost_ns = 0
            raise Withheld(Problem(SourceState.ABSENT, "read while a client shows threads, and nobody does"))
        started_ns = time.thread_time_ns()
        rows: dict[Key, Row] = {}
        left_out = 0
        for pid in self._several_threads():
            try:
                found, is_cut = read_threads(self._proc, pid, MAX_THREADS - len(rows))
            except NoSuchProcess:
                left_out += len(rows) >= MAX_THREADS
                continue
            rows |= found
            left_out += is_cut
        self._cost_ns = time.thread_time_ns() - started_ns
        problem = None
        if left_out:
            reason = f"the threads of {left_out} processes are not all read: {MAX_THREADS} is the bound"
            problem = Problem(SourceState.DEGRADED, reason)
        return Sample({"threads": rows}, problem)
