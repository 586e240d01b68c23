"""A process that runs as much as before and gets half as far: a neighbour in its cache, a throttled core. Pure.

Instructions per cycle are compared with the process's own mean, in which a frame counts the less the longer ago it is
(:data:`MEAN_NS`). A drop begins where :data:`FRAMES` frames in a row were below half of that mean while the process
used as much CPU time as in the mean, within a quarter. It is told once, and lasts until as many frames in a row were
nearer to the mean before it, or used another amount of CPU time, or until it is :data:`USUAL_NS` old, so that it is
what is usual now. None begins before a process was seen at work for :data:`WARM_UP_NS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ztop_protocol.event_kinds import AlertKind
from ztop_protocol.frame import Cell, Frame, Key, Row, Section
from ztop_protocol.rates import RATE_POSITION, RateTable
from ztop_protocol.schema import PROCESS_COUNTERS, PROCESSES

MEAN_NS = 180_000_000_000
WARM_UP_NS = 120_000_000_000
USUAL_NS = 120_000_000_000
FORGET_NS = 300_000_000_000
"""A process that did nothing for so long is as new."""
FRAMES = 3
DROP = 0.5
OVER = 0.75
"""Of the mean: halfway back to it."""
CPU_WITHIN = 0.25
LEAST_CPU_PERCENT = 10.0
"""Of a core: what works less runs too seldom to be compared."""
MAX_FOLLOWED = 1024
"""So many processes are followed at once; who comes later waits until one is forgotten."""

_IPC, _CPU = RATE_POSITION["process_counters"]["ipc"], RATE_POSITION["processes"]["cpu_percent"]
_EPOCH = PROCESS_COUNTERS.position["epoch_boottime_ns"]
_OWNER, _COMM = PROCESS_COUNTERS.position["owner_uid"], PROCESSES.position["comm"]


@dataclass(frozen=True, slots=True)
class Drop:
    """Instructions per cycle and percent of a core at its beginning, and the means before it."""

    ipc: float
    usual_ipc: float
    cpu_percent: float


class DropDetector:
    """Follows one process from frame to frame."""

    __slots__ = ("_cpu", "_ipc", "_lasts_ns", "_low", "_settled", "_time_ns", "_weight", "drop")

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._ipc = self._cpu = self._weight = 0.0
        """Sums in which each frame has its weight, and the sum of the weights."""
        self._time_ns = self._low = self._settled = self._lasts_ns = 0
        self.drop: Drop | None = None
        """The one that lasts."""

    def take(self, interval_ns: int, ipc: float | None, cpu_percent: float | None) -> None:
        """The next frame; None where nothing was counted in it. ``interval_ns`` must not be 0."""
        if self.drop is not None:
            self._follow(interval_ns, ipc, cpu_percent)
        elif ipc is None or cpu_percent is None or cpu_percent < LEAST_CPU_PERCENT:
            self._low = 0
        elif self._time_ns < WARM_UP_NS or not self._is_low(DROP, ipc, cpu_percent):
            self._low = 0
            self._remember(interval_ns, ipc, cpu_percent)
        else:
            self._low += 1
            if self._low == FRAMES:
                self.drop = Drop(ipc, self._ipc / self._weight, cpu_percent)
                self._low = self._settled = self._lasts_ns = 0

    def _follow(self, interval_ns: int, ipc: float | None, cpu_percent: float | None) -> None:
        self._lasts_ns += interval_ns
        is_low = ipc is not None and cpu_percent is not None and self._is_low(OVER, ipc, cpu_percent)
        self._settled = 0 if is_low else self._settled + 1
        if self._lasts_ns >= USUAL_NS:
            self._begin_anew()
        elif self._settled == FRAMES:
            self.drop = None

    def _is_low(self, share: float, ipc: float, cpu_percent: float) -> bool:
        mean_cpu = self._cpu / self._weight
        return ipc < share * self._ipc / self._weight and abs(cpu_percent - mean_cpu) <= CPU_WITHIN * mean_cpu

    def _remember(self, interval_ns: int, ipc: float, cpu_percent: float) -> None:
        kept = math.exp(-interval_ns / MEAN_NS)
        self._ipc = self._ipc * kept + ipc * (1 - kept)
        self._cpu = self._cpu * kept + cpu_percent * (1 - kept)
        self._weight = self._weight * kept + (1 - kept)
        self._time_ns += interval_ns


@dataclass(slots=True)
class _Followed:
    """A process under observation: the epoch of its counts, when it last worked, and the row while a drop lasts."""

    epoch: Cell
    worked_ns: int
    detector: DropDetector
    row: Row | None = None


class DropWatch:
    """Follows every process that has counters and works."""

    def __init__(self) -> None:
        self._counters: Section | None = None
        self._processes: Section | None = None
        self._followed: dict[Key, _Followed] = {}

    def begin_anew(self) -> None:
        """The machine slept: this interval is no measure, and what was before is long ago."""
        self._counters = self._processes = None
        self._followed.clear()

    def take(self, counters: Section | None, processes: Section | None) -> list[Row] | None:
        """The rows of ``alerts`` after this frame; None where no counters were sampled anew."""
        before, processes_before = self._counters, self._processes
        if counters is before or processes is None:
            return None
        if counters is None:
            self.begin_anew()
            return []
        self._counters, self._processes = counters, processes
        if before is not None and processes_before is not None:
            interval_ns = counters.sampled_boottime_ns - before.sampled_boottime_ns
            if interval_ns > 0:
                self._compare(interval_ns, (before, processes_before), (counters, processes))
        for key, one in list(self._followed.items()):
            if key not in counters.rows or counters.sampled_boottime_ns - one.worked_ns > FORGET_NS:
                del self._followed[key]
        return [one.row for one in self._followed.values() if one.row is not None]

    def _compare(self, interval_ns: int, before: tuple[Section, Section], now: tuple[Section, Section]) -> None:
        (counters_before, processes_before), (counters, processes) = before, now
        ipc = _rates(counters_before, counters, "process_counters", _IPC)
        cpu = _rates(processes_before, processes, "processes", _CPU)
        old = counters_before.rows
        for key, row in counters.rows.items():
            one = self._followed.get(key)
            if one is None and old.get(key) is row:
                continue
            if one is not None and one.epoch != row[_EPOCH]:
                # what was unusual about it was its former owner's
                del self._followed[key]
                one = None
            ipc_now, cpu_now = ipc(key), cpu(key)
            works = ipc_now is not None and cpu_now is not None and cpu_now >= LEAST_CPU_PERCENT
            if one is None:
                if not works or len(self._followed) >= MAX_FOLLOWED:
                    continue
                one = self._followed[key] = _Followed(row[_EPOCH], 0, DropDetector())
            if works:
                one.worked_ns = counters.sampled_boottime_ns
            one.detector.take(interval_ns, ipc_now, cpu_now)
            drop = one.detector.drop
            if drop is None:
                one.row = None
            elif one.row is None and (process := processes.rows.get(key)) is not None:
                one.row = _row(key, row[_OWNER], process[_COMM], counters.sampled_boottime_ns, drop)


def _rates(before: Section, now: Section, name: str, place: int) -> Callable[[Key], float | None]:
    earlier, later = (Frame(0, 0, part.sampled_boottime_ns, "", {name: part}) for part in (before, now))
    table = RateTable(earlier, later, name)
    return lambda key: table.cell(key, place)


def _row(key: Key, owner_uid: Cell, comm: Cell, since_ns: int, drop: Drop) -> Row:
    detail = (
        f"pid {key[0]} ({comm}) made {drop.ipc:.2f} instructions per cycle, usually {drop.usual_ipc:.2f}, "
        f"at {drop.cpu_percent:.0f} % of a core as before"
    )
    return (*key, str(AlertKind.IPC_DROP), owner_uid, comm, since_ns, drop.ipc, drop.usual_ipc, detail)
