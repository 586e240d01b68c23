"""The sections ``gpus`` and ``gpu_processes``: the newest of what the threads of the GPUs read.

Source: NVML (docs.nvidia.com/deploy/nvml-api). The tick asks it nothing, and so never waits for it.
"""

import time
from collections.abc import Callable

from ztop_protocol.frame import Row
from ztop_protocol.schema import GPUS, SourceState
from ztopd.collectors.nvml import library
from ztopd.collectors.nvml.card import VramLow
from ztopd.collectors.nvml.owners import Owner, Owners, Scan
from ztopd.collectors.nvml.poller import Poller
from ztopd.collectors.nvml.reading import GpuState, Users
from ztopd.collectors.nvml.warnings import Warnings
from ztopd.collectors.source import Problem, Roots, Sample, Withheld, by_key

LOOKED_AGAIN_NS = 60_000_000_000
"""A driver may be installed while ztopd runs."""

_STATE, _REASON, _INDEX = (GPUS.position[name] for name in ("state", "reason", "index"))
_NO_LIBRARY = Problem(
    SourceState.ABSENT, f"{library.SONAME} cannot be loaded: no NVIDIA GPU, or no driver of NVIDIA's for it"
)


class Gpus:
    """Gives both sections, or says why there are none."""

    name = "gpus"
    period_ns = 0

    def __init__(
        self,
        roots: Roots,
        scan: Scan,
        interval_seconds: float,
        warn_seconds: float,
        run_command: Callable[[VramLow], None] | None = None,
    ) -> None:
        """``scan`` is of the processes, and comes before it in a tick. Warnings come ``warn_seconds`` before the memory
        is full, and start ``run_command``.
        """
        self._interval_seconds = interval_seconds
        self._warn_seconds = warn_seconds
        self._warnings = Warnings(run_command)
        self._owners = Owners(roots, scan)
        self._known: dict[str, tuple[Users, list[Owner], list[Row]]] = {}
        """By GPU: the rows of its processes, and of what they were made."""
        self._poller: Poller | None = None
        self._looked_ns: int | None = None

    def take_warnings(self) -> list[VramLow]:
        """The warnings that came since the last call."""
        return self._warnings.take()

    def collect(self) -> Sample:
        """Raises :exc:`Withheld` where there are no GPUs, or none can be read."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if self._poller is None:
            if self._looked_ns is None or now_ns - self._looked_ns >= LOOKED_AGAIN_NS:
                self._looked_ns = now_ns
                if library.is_there():
                    self._poller = Poller(self._interval_seconds, self._warn_seconds, self._warnings.warn)
            if self._poller is None:
                raise Withheld(_NO_LIBRARY)
        problem = self._poller.problem
        if problem is not None:
            raise Withheld(problem)
        snapshots = [gpu.newest(now_ns) for gpu in self._poller.gpus]
        rows = [row for snapshot in snapshots for row in snapshot.rows]
        processes = self._process_rows([users for snapshot in snapshots for users in snapshot.users])
        return Sample(
            {"gpus": by_key("gpus", rows), "gpu_processes": by_key("gpu_processes", processes)}, _problem_of(rows)
        )

    def _process_rows(self, everyone: list[Users]) -> list[Row]:
        """The same objects where nothing changed."""
        owners = self._owners.of({pid for users in everyone for pid in users.uses})
        before, self._known = self._known, {}
        for users in everyone:
            theirs = [owners[pid] for pid in users.uses]
            known = before.get(users.gpu_uuid)
            if known is None or known[0] is not users or known[1] != theirs:
                known = (users, theirs, list(users.rows(theirs)))
            self._known[users.gpu_uuid] = known
        return [row for _, _, rows in self._known.values() for row in rows]


def _problem_of(rows: list[Row]) -> Problem | None:
    """What the rows say of GPUs that are not well."""
    ill = [f"GPU {row[_INDEX]}: {row[_REASON]}" for row in rows if row[_STATE] != GpuState.OK and row[1] is None]
    return Problem(SourceState.DEGRADED, "; ".join(ill)) if ill else None
