"""Which processes there are: /proc is listed anew only where the kernel gave out a pid since the last time."""

import os
from collections.abc import Collection, Iterable

from ztopd.collectors.files import read_if_there

LISTING_NS = 10_000_000_000
"""It is listed at least so often: CRIU gives out pids that leave no trace."""


class Listing:
    """The names of the folders of processes."""

    def __init__(self, proc: str, folder: int) -> None:
        """``folder`` is a descriptor of ``proc``."""
        self._proc = proc
        self._folder = folder
        self._shows_newest_pid = _shows_newest_pid(proc, folder)
        self._newest_pid: bytes | None = None
        self._listed_boottime_ns = 0

    def names(self, known: Collection[str], now: int) -> Iterable[str]:
        """The folders to look at: those ``known``, where no pid was given out since they were listed."""
        newest = None
        if self._shows_newest_pid:
            data = read_if_there(f"{self._proc}/loadavg")
            newest = None if data is None else data.rpartition(b" ")[2]
        if newest is not None and newest == self._newest_pid and now - self._listed_boottime_ns < LISTING_NS:
            return tuple(known)
        self._newest_pid, self._listed_boottime_ns = newest, now
        return os.listdir(self._folder)


def _shows_newest_pid(proc: str, folder: int) -> bool:
    """Whether the last number of /proc/loadavg is the newest of the pids that /proc shows.

    It is that of the reader's pid namespace (fs/proc/loadavg.c), and /proc may be mounted from another one. Over the
    file may lie one of lxcfs, that is renewed every few seconds.
    """
    status = read_if_there(f"{proc}/self/status") or b""
    # one number for each namespace from that of /proc down to ours
    pids = status.partition(b"\nNSpid:")[2].partition(b"\n")[0].split()
    try:
        return len(pids) == 1 and os.stat(f"{proc}/loadavg").st_dev == os.fstat(folder).st_dev
    except OSError:
        return False
