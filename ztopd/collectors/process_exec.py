"""Processes in the middle of an exec that blocks: most of their files would block whoever reads them as well.

Between the old program and the new one the kernel holds the process's ``exec_update_lock`` and closes its close-on-exec
files. On a dead server (NFS, FUSE) that closing may last for ever. ``io`` takes the lock, and in newer kernels ``stat``
does, which stops ps and top; ``status``, ``statm``, ``schedstat``, ``cgroup`` and ``comm`` take none.
"""

import os
import time
from collections.abc import Iterable

from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read_record
from ztopd.collectors.process_entry import Process
from ztopd.collectors.source import Problem

_STATM_BYTES = 128
_SAID = 3
_SAID_AFTER_S = 0.2
_WAIT_S, _WAITS = 0.001, 20
"""How long, and how often in one scan, an exec is waited for."""


def is_in_exec(folder: str) -> bool:
    """Whether the process of ``/proc/PID`` has a memory with no program in it yet. False where that is not known."""
    try:
        size, _, _, text, *_ = read_record(f"{folder}/statm", _STATM_BYTES).split()
    except (OSError, ValueError):
        return False
    # what is no user's program, or no more, has no memory at all
    return text == b"0" and size != b"0"


class Execs:
    """Those that are found so, from scan to scan. They are looked at again at every one."""

    def __init__(self, proc: str, folder: int) -> None:
        """``folder`` is a descriptor of ``proc``."""
        self._proc = proc
        self._folder = folder
        self._before: dict[str, float] = {}
        self._now: dict[str, float] = {}
        """Each with when it was first found so."""
        self._waits = _WAITS

    def among(self, names: Iterable[str]) -> Iterable[str]:
        """Begins a scan: the folders to look at, with those that were left alone by the last one."""
        self._before, self._now, self._waits = self._now, {}, _WAITS
        return {*names, *self._before} if self._before else names

    def holds(self, name: str) -> bool:
        """Whether that process is to be left alone now."""
        while is_in_exec(f"{self._proc}/{name}"):
            if name in self._before or self._waits == 0:
                break
            # whoever starts a program is told of it in the middle of the exec: as a rule it is done at once
            self._waits -= 1
            time.sleep(_WAIT_S)
        else:
            return False
        self._now[name] = self._before.get(name) or time.monotonic()
        return True

    def took(self, process: Process) -> bool:
        """The same of one that ran, before its stat is read."""
        # an exec ends all threads but one, and of threads there is a folder each
        is_single = process.stat.threads == 1 or process.schedstat_descriptor is not None
        if not (is_single or self._has_one_thread(process.pid)) or not self.holds(str(process.pid)):
            return False
        # it counts as one that ran until it is let go
        process.schedstat = b""
        return True

    def _has_one_thread(self, pid: int) -> bool:
        try:
            return os.stat(f"{pid}/task", dir_fd=self._folder).st_nlink == 3
        except FileNotFoundError:
            # it is gone, which its stat will say
            return False

    def problem(self) -> Problem | None:
        """What is said of those that stay so: every exec is there for a moment."""
        said_from = time.monotonic() - _SAID_AFTER_S
        stuck = sorted(name for name, since in self._now.items() if since <= said_from)
        if not stuck:
            return None
        more = f" and {len(stuck) - _SAID} more" if len(stuck) > _SAID else ""
        return Problem(
            SourceState.DEGRADED,
            f"an exec blocks in process {', '.join(stuck[:_SAID])}{more}: it is left alone, to read it would block too",
            "see whether a network file system's server or a FUSE process is gone; umount -f lets go of a dead one",
        )
