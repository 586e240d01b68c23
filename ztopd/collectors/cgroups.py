"""Control groups: every hierarchy that is mounted, v1, v2 or both, merged into one row for each path.

A v2 cgroup has a dozen files, and opening one costs more than anything else here. So of a cgroup in which nothing
moved (CPU time, I/O, waiting for I/O) the other files are read in turn only.
"""

import os
import time
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TypeAlias

from ztop_protocol.frame import Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.cgroup_files import CgroupValues, Files
from ztopd.collectors.cgroup_tree import Hierarchy, hierarchies, walk
from ztopd.collectors.container import Container, container_of
from ztopd.collectors.files import read, read_record
from ztopd.collectors.mountinfo import parse_mountinfo
from ztopd.collectors.source import ParseError, Problem, Roots, Rows, Sample, Withheld

PERIOD_NS = 2_000_000_000
COST_SHARE = 100
"""The period is at least this many times the CPU time of the last collection: at most 1 % of one CPU."""
MAX_CGROUPS = 5000
TURNS = 5
"""A cgroup at rest is read wholly at one collection of so many."""
MOUNTS_NS = 30_000_000_000

_FILE_BYTES = 1 << 16
_NOTHING = CgroupValues()
_cells = attrgetter(*(field.name for field in fields(CgroupValues)))


_Place: TypeAlias = tuple[str, Files]
"""A cgroup's folder in one hierarchy, and the files of one controller there."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read of a cgroup last."""

    moving: tuple[bytes | None, ...] | None
    """The moving files; None without CPU time, which alone shows that nothing ran."""
    row: Row | None
    """None where nothing at all is known."""


class Cgroups:
    """The section ``cgroups``. Cgroups of which nothing is known are left out, unless they are containers."""

    name = "cgroups"

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._hierarchies: list[Hierarchy] = []
        self._mounts_ns: int | None = None
        self._readings: dict[str, _Reading] = {}
        self._turn = 0
        self._cost_ns = 0
        self._error: ParseError | None = None

    @property
    def period_ns(self) -> int:
        """Two seconds, or longer where many cgroups make a collection dear."""
        return max(PERIOD_NS, COST_SHARE * self._cost_ns)

    def collect(self) -> Sample:
        """Raises :exc:`Withheld` where no hierarchy is mounted."""
        started_ns = time.thread_time_ns()
        self._find_hierarchies()
        self._turn = (self._turn + 1) % TURNS
        self._error = None
        places, left_out = self._places()
        before, self._readings = self._readings, {}
        rows: Rows = {}
        for path, folders in places.items():
            reading = self._readings[path] = self._read(path, folders, before.get(path))
            if reading.row is not None:
                rows[(path,)] = reading.row
        self._cost_ns = time.thread_time_ns() - started_ns
        return Sample({self.name: rows}, self._problem(left_out))

    def _find_hierarchies(self) -> None:
        now_ns = time.monotonic_ns()
        if self._mounts_ns is None or now_ns - self._mounts_ns >= MOUNTS_NS:
            self._hierarchies = hierarchies(parse_mountinfo(read(f"{self._roots.proc}/self/mountinfo")), self._roots)
            self._mounts_ns = now_ns if self._hierarchies else None
        if not self._hierarchies:
            raise Withheld(
                Problem(SourceState.ABSENT, "no cgroup hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
            )

    def _places(self) -> tuple[dict[str, list[_Place]], int]:
        """The cgroups by path, at most :data:`MAX_CGROUPS`, and how many were left out of one hierarchy."""
        places: dict[str, list[_Place]] = {}
        left_out = 0
        for hierarchy in self._hierarchies:
            try:
                tree = walk(hierarchy.folder, MAX_CGROUPS)
            except OSError:
                # another mount hides it
                continue
            beyond = tree.left_out
            for path in tree.paths:
                of_path = places.get(path)
                if of_path is None:
                    if len(places) >= MAX_CGROUPS:
                        beyond += 1
                        continue
                    of_path = places[path] = []
                folder = hierarchy.folder if path == "/" else hierarchy.folder + path
                of_path += [(folder, files) for files in hierarchy.files]
            left_out = max(left_out, beyond)
        return places, left_out

    def _read(self, path: str, places: list[_Place], before: _Reading | None) -> _Reading:
        filled = [(fill, _contents(folder, name)) for folder, files in places for name, fill in files.moving]
        moving = tuple(data for _, data in filled)
        if before is not None and before.moving == moving and hash(path) % TURNS != self._turn:
            return before
        filled += [(fill, _contents(folder, name)) for folder, files in places for name, fill in files.resting]
        values = CgroupValues()
        for fill, data in filled:
            if data is not None:
                try:
                    fill(values, data)
                except ParseError as error:
                    self._error = self._error or ParseError(f"{path!r}, {error}")
        container = container_of(path)
        if values == _NOTHING and (container is None or not self._is_there(path)):
            return _Reading(None, None)
        return _Reading(None if values.cpu_time_ns is None else moving, _row(path, container, values))

    def _is_there(self, path: str) -> bool:
        return any(os.path.isdir(hierarchy.folder + path) for hierarchy in self._hierarchies)

    def _problem(self, left_out: int) -> Problem | None:
        if left_out:
            reason = f"at least {left_out} cgroups are left out: more than {MAX_CGROUPS}"
            return Problem(SourceState.DEGRADED, reason, "see what makes so many: systemd-cgls")
        return None if self._error is None else Problem(SourceState.DEGRADED, str(self._error))


def _contents(folder: str, name: str) -> bytes | None:
    try:
        return read_record(f"{folder}/{name}", _FILE_BYTES)
    except OSError:
        # a controller that is not enabled here, or a cgroup that is gone
        return None


def _row(path: str, container: Container | None, values: CgroupValues) -> Row:
    labels = (None, None) if container is None else (container.id, container.runtime)
    return (path, *labels, *_cells(values))
