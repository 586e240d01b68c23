"""Whose the pids are that NVML names: it says no more of a process than its number."""

import os
import re
import time
from dataclasses import dataclass

from ztopd.collectors.files import read_record
from ztopd.collectors.process_stat import parse_stat
from ztopd.collectors.source import ParseError, Roots

ASKED_AGAIN_NS = 10_000_000_000
MOST_DESCRIPTORS = 1024
_DEVICE_FILE = re.compile(r"/(nvidia(\d+|ctl|-uvm)|dxg)$")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process of this machine, or the lack of one: None for both where there is none that is known to be it."""

    start_boottime_ns: int | None
    owner_uid: int | None
    foreign: bool


class Owners:
    """NVML counts pids as the machine does. Whoever is in a pid namespace of a container's counts others.

    There a pid is taken for ours only where its process has a file of the driver's open: another process may have the
    number, and would be shown, and perhaps killed, for what it did not do.
    """

    def __init__(self, roots: Roots) -> None:
        self._proc = roots.proc
        self._sees_all: bool | None = None
        self._uses_gpu: dict[tuple[int, int], tuple[bool, int]] = {}
        """By pid and start: whether it does, and when that was asked."""

    def owner(self, pid: int) -> Owner:
        """Who has that pid."""
        if self._sees_all is None:
            self._sees_all = self._is_the_machines()
        path = f"{self._proc}/{pid}/stat"
        try:
            start_ns = parse_stat(read_record(path, 4096)).start_boottime_ns
            owner_uid = os.stat(path).st_uid
        except (OSError, ParseError):
            return Owner(None, None, not self._sees_all)
        if self._sees_all or self._has_device_open(pid, start_ns):
            return Owner(start_ns, owner_uid, False)
        return Owner(None, None, True)

    def forget_others(self, pids: set[int]) -> None:
        """Lets go of what is known of processes that use no GPU any more."""
        self._uses_gpu = {key: known for key, known in self._uses_gpu.items() if key[0] in pids}

    def _is_the_machines(self) -> bool:
        """Whether /proc is of the first pid namespace: only there is kthreadd, and always with the pid 2."""
        try:
            stat = parse_stat(read_record(f"{self._proc}/2/stat", 4096))
        except (OSError, ParseError):
            return False
        return stat.kernel_thread and stat.comm == "kthreadd"

    def _has_device_open(self, pid: int, start_ns: int) -> bool:
        now_ns = time.monotonic_ns()
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
