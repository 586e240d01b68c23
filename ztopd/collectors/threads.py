"""The threads of one process, on request."""

import os

from ztop_protocol.frame import Key, Row
from ztopd.collectors.files import read_record
from ztopd.collectors.process_stat import parse_stat
from ztopd.collectors.source import Rows, by_key


class NoSuchProcess(LookupError):
    """There is no process of that pid, or not any more."""


def read_threads(proc: str, pid: int, at_most: int) -> tuple[dict[Key, Row], bool]:
    """The rows of the section ``threads``, and whether some were left out because there are more than ``at_most``.

    Raises :exc:`NoSuchProcess`. A thread that ends in between is left out.
    """
    folder = f"{proc}/{pid:d}/task"
    try:
        tids = sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    except OSError as error:
        raise NoSuchProcess(f"process {pid} does not exist") from error
    found = []
    for tid in tids[:at_most]:
        try:
            found.append(thread_row(pid, tid, read_record(f"{folder}/{tid}/stat", 4096)))
        except (FileNotFoundError, ProcessLookupError):
            continue
    rows: Rows = by_key("threads", found)
    if not rows:
        raise NoSuchProcess(f"process {pid} does not exist")
    return rows, len(tids) > at_most


def thread_row(pid: int, tid: int, data: bytes) -> Row:
    """One row of the section ``threads`` from a task's stat line."""
    stat = parse_stat(data)
    return (
        *(pid, tid, stat.start_boottime_ns, stat.state),
        *(stat.nice, stat.priority, stat.realtime_priority, stat.policy),
        *(stat.user_time_ns, stat.system_time_ns, stat.minor_faults, stat.major_faults),
        *(stat.last_cpu, stat.comm),
    )
