"""The section ``summary``: sums of what the other sections of the same tick say.

It has the shape of a collector, so that it degrades alone as one; a tick runs it after those that it sums.
"""

from collections.abc import Collection, Mapping

from ztop_protocol.frame import Cell, Key, Row, Section
from ztop_protocol.schema import CPUS, DISKS, GPUS, MEMORY, NETWORKS, PRESSURE, SectionSchema
from ztop_protocol.traffic import outer_networks, physical_disks
from ztopd.collectors.source import Sample

_BUSY = tuple(f"{state}_time_ns" for state in ("user", "nice", "system", "irq", "softirq", "steal"))
_SOME = PRESSURE.position["some_time_ns"]
_GPU_STATE, _GPU_UTILIZATION = GPUS.position["state"], GPUS.position["gpu_utilization_percent"]
_SUMMED = ("cpus", "memory", "pressure", "disks", "networks")


class Total:
    """Counters summed over several rows.

    It begins with what the kernel says, and grows by what the rows that were there before grew: a disk that comes or
    goes is no burst of traffic, as it is none in the rates of its own row.
    """

    def __init__(self, schema: SectionSchema, *counters: str) -> None:
        self._places = [schema.position[counter] for counter in counters]
        self._before: dict[Key, int] = {}
        self._total: int | None = None

    def take(self, rows: Mapping[Key, Row], keys: Collection[Key]) -> int | None:
        """The total now, over ``keys``; None where none of these rows has all of the counters."""
        now: dict[Key, int] = {}
        for key, row in rows.items():
            cells = [cell for place in self._places if isinstance(cell := row[place], int)]
            if len(cells) == len(self._places):
                now[key] = sum(cells)
        counted = [key for key in keys if key in now]
        if not counted:
            return None
        if self._total is None:
            self._total = sum([now[key] for key in counted])
        else:
            before = self._before.get
            self._total += sum([max(0, now[key] - before(key, now[key])) for key in counted])
        self._before = now
        return self._total


class Summary:
    """Gives the one row of ``summary``. Cells of a section that is not there, or was not sampled anew, are None."""

    name = "summary"
    period_ns = 0

    def __init__(self, sections: Mapping[str, Section]) -> None:
        """``sections`` are those of the tick: they change from call to call."""
        self._sections = sections
        self._seen: dict[str, Section | None] = {}
        self._gpus: Section | None = None
        self._busy = Total(CPUS, *_BUSY)
        self._disk_read, self._disk_write = Total(DISKS, "read_bytes"), Total(DISKS, "write_bytes")
        self._receive, self._transmit = Total(NETWORKS, "receive_bytes"), Total(NETWORKS, "transmit_bytes")

    def collect(self) -> Sample:
        """Sums. The row is of the moment at which the first of its sections was sampled."""
        newest = {name: self._sections.get(name) for name in _SUMMED}
        fresh = {name: part for name, part in newest.items() if part is not None and part is not self._seen.get(name)}
        self._seen = newest
        cpus, memory, pressure, disks, networks = (fresh[name].rows if name in fresh else {} for name in _SUMMED)
        physical, outer = physical_disks(disks), outer_networks(networks)
        row: Row = (
            self._busy.take(cpus, cpus),
            *(_some(pressure, resource) for resource in ("cpu", "memory", "io")),
            *(self._disk_read.take(disks, physical), self._disk_write.take(disks, physical)),
            *(self._receive.take(networks, outer), self._transmit.take(networks, outer)),
            *(len(cpus) or None, *_memory(memory), self._busiest_gpu()),
        )
        sampled_ns = min((part.sampled_boottime_ns for part in fresh.values()), default=None)
        return Sample({self.name: {(): row}}, sampled_boottime_ns=sampled_ns)

    def _busiest_gpu(self) -> Cell:
        """Utilization, of those that were asked since the tick before. GPUs have times of their own: it has no part in
        the row's, by which counters are divided.
        """
        gpus = self._sections.get("gpus")
        if gpus is None or gpus is self._gpus:
            return None
        self._gpus = gpus
        known = [row[_GPU_UTILIZATION] for row in gpus.rows.values() if row[_GPU_STATE] == "ok"]
        return max((one for one in known if isinstance(one, (int, float))), default=None)


def _some(pressure: Mapping[Key, Row], resource: str) -> Cell:
    row = pressure.get((resource,))
    return None if row is None else row[_SOME]


def _memory(rows: Mapping[Key, Row]) -> tuple[Cell, ...]:
    """Total and used of memory, total and used of swap."""
    row = rows.get(())
    if row is None:
        return (None,) * 4
    total, available, swap_total, swap_free = (
        row[MEMORY.position[f"{name}_bytes"]] for name in ("total", "available", "swap_total", "swap_free")
    )
    return (total, _less(total, available), swap_total, _less(swap_total, swap_free))


def _less(whole: Cell, rest: Cell) -> Cell:
    return whole - rest if isinstance(whole, int) and isinstance(rest, int) else None
