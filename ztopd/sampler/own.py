"""What ztopd's own processes cost, asked of the kernel itself: not of a /proc that stands in for the machine's."""

import os
import time

_CPU_CLOCK = 2
"""CPUCLOCK_SCHED: the CPU time of all threads, see clock_getcpuclockid(3)."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_time_ns(pid: int) -> int | None:
    """The CPU time that a process has used; None where there is none of that pid."""
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK)
    except OSError:
        return None


def rss_bytes(pid: int) -> int | None:
    """The resident memory of a process; None where there is none of that pid, or it is hidden from us."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return None


def cpu_wait_ns(pid: int) -> int:
    """How long the first thread of a process has waited for a CPU that others had; 0 where that is not known."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as schedstat:
            return int(schedstat.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
