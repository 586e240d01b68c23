"""/proc/PID/stat and /proc/PID/task/TID/stat: see proc_pid_stat(5) and fs/proc/array.c of the kernel."""

import os
from functools import lru_cache
from typing import NamedTuple

from ztopd.collectors.files import read_if_there, text
from ztopd.collectors.source import ParseError

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_PF_KTHREAD = 0x00200000

_POLICIES = {b"0": "other", b"1": "fifo", b"2": "rr", b"3": "batch", b"5": "idle", b"6": "deadline", b"7": "ext"}


class Stat(NamedTuple):
    """What ztop keeps of a stat line, in the schema's units."""

    comm: str
    state: str
    ppid: int
    process_group: int
    session: int
    tty: str | None
    kernel_thread: bool
    minor_faults: int
    major_faults: int
    user_time_ns: int
    system_time_ns: int
    priority: int
    nice: int
    threads: int
    start_boottime_ns: int
    virtual_bytes: int
    rss_bytes: int
    last_cpu: int
    realtime_priority: int
    policy: str | None
    block_io_delay_ns: int | None
    """0 where the kernel does not account it: only kernel.task_delayacct tells the two apart."""


def parse_stat(data: bytes) -> Stat:
    """One stat line. The name may hold anything, so the line is read from its last ``)``."""
    opening, closing = data.find(b"("), data.rfind(b")")
    fields = data[closing + 2 :].split()
    if opening < 0 or closing < opening or len(fields) < 37:
        raise ParseError(f"/proc/PID/stat: {len(fields)} fields after the name in {data[:80]!r}")
    try:
        return Stat(
            text(data[opening + 1 : closing]),
            fields[0].decode("ascii"),
            int(fields[1]),
            int(fields[2]),
            int(fields[3]),
            tty_name(int(fields[4])),
            bool(int(fields[6]) & _PF_KTHREAD),
            int(fields[7]),
            int(fields[9]),
            int(fields[11]) * TICK_NS,
            int(fields[12]) * TICK_NS,
            int(fields[15]),
            int(fields[16]),
            int(fields[17]),
            int(fields[19]) * TICK_NS,
            int(fields[20]),
            int(fields[21]) * PAGE_BYTES,
            int(fields[36]),
            int(fields[37]) if len(fields) > 37 else 0,
            _POLICIES.get(fields[38]) if len(fields) > 38 else None,
            int(fields[39]) * TICK_NS if len(fields) > 39 else None,
        )
    except ValueError as error:
        raise ParseError(f"/proc/PID/stat: {error} in {data[:80]!r}") from error


def counts_block_io(proc: str) -> bool:
    """Whether the kernel counts the delays of block I/O now."""
    # the switch is of Linux 5.14; before it, delays were counted unless the command line said nodelayacct
    data = read_if_there(f"{proc}/sys/kernel/task_delayacct")
    return data is None or data.strip() != b"0"


@lru_cache(maxsize=1024)
def tty_name(number: int) -> str | None:
    """The controlling terminal's name below /dev, from Documentation/admin-guide/devices.txt; None for none."""
    if number == 0:
        return None
    major = number >> 8 & 0xFFF
    minor = (number & 0xFF) | (number >> 12 & 0xFFF00)
    if 136 <= major <= 143:
        return f"pts/{minor + (major - 136) * 256}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    if (major, minor) == (5, 1):
        return "console"
    if major == 204 and 64 <= minor < 80:
        return f"ttyAMA{minor - 64}"
    if major == 229:
        return f"hvc{minor}"
    return f"{major}:{minor}"
