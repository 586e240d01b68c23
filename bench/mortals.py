"""A machine of files, made of a fixture, whose processes are born, work and die; a clock that goes as it is told."""

import itertools
import os
import random
import shutil
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from unittest import mock

from ztopd.collectors.source import Roots

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "laptop-6.8-hybrid"
SECOND = 1_000_000_000
_TEMPLATE = "4200"
_PIDS = range(10_000, 32_768)
_NAMES = (b"worker", b"cc1plus", b"sh", b"\xff\x1b[2J", b"python3")
_TICKS_PER_SECOND = 100


class Clock:
    """Boot time, monotonic and wall time, each of which a :meth:`step` moves on by as much."""

    def __init__(self) -> None:
        self._shift_ns = 0

    def step(self, nanoseconds: int) -> None:
        """So much time passes at once."""
        self._shift_ns += nanoseconds

    def in_place_of_time(self) -> AbstractContextManager[object]:
        """While this lasts the module ``time`` tells these; ``time.monotonic`` stays true, for deadlines."""
        stack = ExitStack()
        for name in ("clock_gettime_ns", "time_ns", "monotonic_ns"):
            stack.enter_context(mock.patch(f"time.{name}", self._shifted(getattr(time, name))))
        return stack

    def _shifted(self, read: Callable[..., int]) -> Callable[..., int]:
        return lambda *which: read(*which) + self._shift_ns


class Mortals:
    """``alive`` processes beside the fixture's. In each tick ``births`` are born and as many end, some work.

    The oldest ends, but for now and then one that has just begun. Pids come round again; names are any bytes. Every
    tenth birth begins a cgroup, and the one before the last ends.
    """

    def __init__(self, folder: Path, alive: int, births: int) -> None:
        shutil.copytree(FIXTURE / "proc", folder / "proc", symlinks=True)
        shutil.copytree(FIXTURE / "sys", folder / "sys", symlinks=True)
        self.roots = Roots(str(folder / "proc"), str(folder / "sys"))
        self._births = births
        self._random = random.Random(1)
        # not cycle(), which keeps all of them
        self._pids = itertools.chain.from_iterable(itertools.repeat(_PIDS))
        self._alive: deque[int] = deque()
        self._born = 0
        self._cgroups: deque[str] = deque()
        template = FIXTURE / "proc" / _TEMPLATE
        self._files = {name: (template / name).read_bytes() for name in ("status", "io", "oom_score", "cmdline")}
        self._stat = (template / "stat").read_bytes().rpartition(b")")[2].split()
        while len(self._alive) < alive:
            self._bear()

    def tick(self) -> None:
        """One tick of life."""
        for _ in range(self._births):
            self._bear()
            if self._random.random() < 0.1:
                self._end(self._alive.pop())
                self._bear()
            self._end(self._alive.popleft())
        for pid in self._random.sample(self._alive, min(5, len(self._alive))):
            self._write_stat(pid)

    def _bear(self) -> None:
        pid = next(self._pids)
        if self._born % 10 == 0:
            self._begin_cgroup()
        self._born += 1
        folder = f"{self.roots.proc}/{pid}"
        os.makedirs(f"{folder}/task/{pid}")
        os.symlink("/usr/bin/worker", f"{folder}/exe")
        for name, data in self._files.items():
            _write(f"{folder}/{name}", data)
        _write(f"{folder}/cgroup", f"0::/{self._cgroups[-1]}\n".encode())
        self._alive.append(pid)
        self._write_stat(pid, time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS_PER_SECOND // SECOND)
        # the kernel shows there the pid that it gave out last
        _write(f"{self.roots.proc}/loadavg", b"0.50 0.40 0.30 1/100 %d\n" % pid)

    def _write_stat(self, pid: int, start: int | None = None) -> None:
        path = f"{self.roots.proc}/{pid}/stat"
        fields = list(self._stat)
        if start is None:
            with open(path, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            fields[11] = b"%d" % (int(fields[11]) + 7)
        else:
            fields[19] = b"%d" % start
        line = b"%d (%s) " % (pid, _NAMES[pid % len(_NAMES)]) + b" ".join(fields) + b"\n"
        # over what was there, as files of the kernel are not made anew
        for each in (path, f"{self.roots.proc}/{pid}/task/{pid}/stat"):
            _write(each, line)

    def _end(self, pid: int) -> None:
        shutil.rmtree(f"{self.roots.proc}/{pid}")

    def _begin_cgroup(self) -> None:
        root = f"{self.roots.sys}/fs/cgroup"
        name = f"soak-{self._born}.scope"
        os.mkdir(f"{root}/{name}")
        for file, data in (("cgroup.procs", b""), ("memory.current", b"4096\n"), ("pids.current", b"3\n")):
            _write(f"{root}/{name}/{file}", data)
        self._cgroups.append(name)
        if len(self._cgroups) > 20:
            shutil.rmtree(f"{root}/{self._cgroups.popleft()}")


def _write(path: str, data: bytes) -> None:
    with open(path, "r+b" if os.path.exists(path) else "wb") as file:
        file.write(data)
        file.truncate()
