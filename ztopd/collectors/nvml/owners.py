"""Whose the pids are that NVML names: it says no more of a process than its number."""

import os
import re
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ztopd.collectors.files import read_record
from ztopd.collectors.process_entry import Process
from ztopd.collectors.process_stat import parse_stat
from ztopd.collectors.source import ParseError, Roots

ASKED_AGAIN_NS = 10_000_000_000
MOST_DESCRIPTORS = 1024
_DEVICE_FILE = re.compile(r"/(nvidia(\d+|ctl|-uvm)|dxg)$")


class Owner(NamedTuple):
    """A process of this machine, or the lack of one: None for both where there is none that is known to be it."""

    start_boottime_ns: int | None
    owner_uid: int | None
    foreign: bool


class Scan(Protocol):
    """Of the processes: what the last one found."""

    def ran(self) -> Sequence[Process]:
        """Those that may have become another's."""

    def ended(self) -> Sequence[Process]:
        """Those that are gone."""


class Owners:
    """NVML counts pids as the machine does. Whoever is in a pid namespace of a container's counts others.

    There a pid is taken for ours only where its process has a file of the driver's open: another process may have the
    number, and would be shown, and perhaps killed, for what it did not do.
    """

    def __init__(self, roots: Roots, scan: Scan) -> None:
        self._proc = roots.proc
        self._scan = scan
        self._known: dict[int, tuple[Owner, int]] = {}
        """By pid: the process, and when it was read: so long as it neither ran nor ended, it is so."""
        self._sees_all: bool | None = None
        self._uses_gpu: dict[tuple[int, int | None], tuple[bool, int]] = {}
        """By pid and start: whether it does, and when that was asked."""

    def of(self, pids: set[int]) -> dict[int, Owner]:
        """Who has these pids; lets go of what is known of others."""
        if self._sees_all is None:
            self._sees_all = self._is_the_machines()
        now_ns = time.monotonic_ns()
        self._follow(pids, now_ns)
        return {pid: self._owner(pid, now_ns) for pid in pids}

    def _follow(self, pids: set[int], now_ns: int) -> None:
        """Takes over what the scan of the processes found."""
        known = self._known
        for process in self._scan.ran():
            if process.pid in known:
                known[process.pid] = (Owner(process.stat.start_boottime_ns, process.owner_uid, False), now_ns)
        for process in self._scan.ended():
            known.pop(process.pid, None)
        if not known.keys() <= pids:
            self._known = {pid: one for pid, one in known.items() if pid in pids}
        if self._uses_gpu:
            self._uses_gpu = {key: one for key, one in self._uses_gpu.items() if key[0] in pids}

    def _owner(self, pid: int, now_ns: int) -> Owner:
        known = self._known.get(pid)
        if known is None or now_ns - known[1] >= ASKED_AGAIN_NS:
            known = self._read(pid, now_ns)
            if known is None:
                return Owner(None, None, not self._sees_all)
        owner, _ = known
        if self._sees_all or self._has_device_open(pid, owner.start_boottime_ns, now_ns):
            return owner
        return Owner(None, None, True)

    def _read(self, pid: int, now_ns: int) -> tuple[Owner, int] | None:
        path = f"{self._proc}/{pid}/stat"
        self._known.pop(pid, None)
        try:
            start_ns = parse_stat(read_record(path, 4096)).start_boottime_ns
            found = self._known[pid] = (Owner(start_ns, os.stat(path).st_uid, False), now_ns)
        except (OSError, ParseError):
            return None
        return found

    def _is_the_machines(self) -> bool:
        """Whether /proc is of the first pid namespace: only there is kthreadd, and always with the pid 2."""
        try:
            stat = parse_stat(read_record(f"{self._proc}/2/stat", 4096))
        except (OSError, ParseError):
            return False
        return stat.kernel_thread and stat.comm == "kthreadd"

    def _has_device_open(self, pid: int, start_ns: int | None, now_ns: int) -> bool:
        known, asked_ns = self._uses_gpu.get((pid, start_ns), (False, -ASKED_AGAIN_NS))
        if known or now_ns - asked_ns < ASKED_AGAIN_NS:
            return known
        found = self._looks_so(f"{self._proc}/{pid}/fd")
        self._uses_gpu[(pid, start_ns)] = (found, now_ns)
        return found

    def _looks_so(self, folder: str) -> bool:
        try:
            with os.scandir(folder) as entries:
                for number, entry in enumerate(entries):
                    if number == MOST_DESCRIPTORS:
                        return False
                    if _DEVICE_FILE.search(os.readlink(entry.path)):
                        return True
        except OSError:
            # somebody else's, or gone: not known to be it
            return False
        return False
