"""What happened on GPUs between two moments: how their memory, and what processes hold of it, grew. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.on_gpus import gpu_places, place_text
from ztop_protocol.schema import GPU_PROCESSES, GPUS, PROCESSES

MOST_GONE = 4096
"""So many processes that left their GPU are kept, those that held most."""

_USED, _TOTAL, _BUSY, _NAME, _STATE = (
    GPUS.position[name]
    for name in ("memory_used_bytes", "memory_total_bytes", "gpu_utilization_percent", "name", "state")
)
_UUID, _PID, _START, _TYPE, _FOREIGN, _VRAM = (
    GPU_PROCESSES.position[name]
    for name in ("gpu_uuid", "pid", "start_boottime_ns", "type", "foreign_pid", "vram_bytes")
)
_COMM, _USER, _COMMAND_LINE = (PROCESSES.position[name] for name in ("comm", "user", "command_line"))


@dataclass(frozen=True, slots=True)
class Vram:
    """GPU memory in use. ``before_bytes``: when it was first known, 0 of what came later; ``after_bytes``: when it was
    known last, 0 of what went; ``most_bytes``: the most of all frames. None: never known.
    """

    before_bytes: int | None
    after_bytes: int | None
    grown_bytes: int | None
    most_bytes: int | None


@dataclass(frozen=True, slots=True)
class GpuUse:
    """One GPU or MIG instance. ``busy_percent``: the mean of its use in the frames in which it answers and says it."""

    uuid: str
    index: str
    """As :func:`ztop_protocol.on_gpus.place_text` names it."""
    name: str | None
    memory_total_bytes: int | None
    busy_percent: float | None
    is_gone: bool
    """It is not listed any more."""
    vram: Vram


@dataclass(frozen=True, slots=True)
class GpuProcessUse:
    """One process on one GPU, its texts as they were last; of a pid that no process here has they are None."""

    gpu_uuid: str
    gpu_index: str
    pid: int | None
    start_boottime_ns: int | None
    type: str | None
    foreign_pid: bool
    name: str | None
    user: str | None
    command_line: str | None
    has_come: bool
    """It was not on that GPU at the first moment,"""
    has_gone: bool
    """and not at the second one."""
    vram: Vram


@dataclass(slots=True)
class _Level:
    """Follows how much memory is in use."""

    first: int | None = None
    last: int | None = None
    most: int | None = None

    def take(self, cell: Cell) -> None:
        if not isinstance(cell, int):
            return
        self.first = cell if self.first is None else self.first
        self.most = cell if self.most is None else max(self.most, cell)
        self.last = cell

    def vram(self, has_gone: bool = False) -> Vram:
        last = 0 if has_gone and self.last is not None else self.last
        grown = None if self.first is None or last is None else last - self.first
        return Vram(self.first, last, grown, self.most)


@dataclass(slots=True)
class _Gpu:
    row: Row
    place: int
    level: _Level = field(default_factory=_Level)
    busy: float = 0.0
    busy_frames: int = 0


@dataclass(slots=True)
class _Process:
    row: Row
    gpu_index: str
    has_come: bool
    host: Row | None = None
    level: _Level = field(default_factory=_Level)


class OnGpus:
    """Follows the GPUs and the processes on them; ``since_boot``: whoever is on one came since."""

    def __init__(self, *, since_boot: bool) -> None:
        self._is_known = since_boot
        self._gpus: dict[Key, _Gpu] = {}
        self._processes: dict[Key, _Process] = {}
        self._listed: Mapping[Key, Row] = {}
        self._there: set[Key] = set()

    def take(self, frame: Frame) -> None:
        """The next frame. One without the sections, as while the driver is gone, changes nothing."""
        if "gpus" not in frame.sections or "gpu_processes" not in frame.sections:
            return
        places, self._listed = gpu_places(frame), frame.rows("gpus")
        for key, row in self._listed.items():
            gpu = self._gpus.setdefault(key, _Gpu(row, places[key]))
            gpu.row, gpu.place = row, places[key]
            gpu.level.take(row[_USED])
            # one that hangs shows what it said last
            if row[_STATE] == "ok" and isinstance(busy := row[_BUSY], (int, float)):
                gpu.busy += busy
                gpu.busy_frames += 1
        processes, self._there = frame.rows("processes"), set()
        for row in frame.rows("gpu_processes").values():
            key = row[_UUID], row[_PID], row[_START]
            process = self._processes.get(key)
            if process is None:
                process = self._processes[key] = _Process(row, "", self._is_known)
                process.level.first = 0 if self._is_known else None
            process.row, process.gpu_index = row, place_text(places.get((row[_UUID],)))
            process.host = processes.get((row[_PID], row[_START])) or process.host
            process.level.take(row[_VRAM])
            self._there.add(key)
        self._is_known = True
        if len(self._processes) - len(self._there) >= 2 * MOST_GONE:
            self._drop_small()

    def _drop_small(self) -> None:
        gone = sorted(self._processes.keys() - self._there, key=lambda key: self._processes[key].level.most or 0)
        for key in gone[:-MOST_GONE]:
            del self._processes[key]

    def gpus(self) -> Iterable[GpuUse]:
        """Every GPU that was listed, in their order."""
        for key, gpu in sorted(self._gpus.items(), key=lambda one: one[1].place):
            yield GpuUse(
                uuid=str(key[0]),
                index=place_text(gpu.place),
                name=_text(gpu.row[_NAME]),
                memory_total_bytes=_number(gpu.row[_TOTAL]),
                busy_percent=gpu.busy / gpu.busy_frames if gpu.busy_frames else None,
                is_gone=key not in self._listed,
                vram=gpu.level.vram(),
            )

    def processes(self) -> list[GpuProcessUse]:
        """Every process on every GPU; what grew most comes first, what is not known last."""
        made = [self._process(key, process) for key, process in self._processes.items()]
        return sorted(made, key=lambda one: (one.vram.grown_bytes is None, -(one.vram.grown_bytes or 0)))

    def _process(self, key: Key, process: _Process) -> GpuProcessUse:
        row, host, has_gone = process.row, process.host, key not in self._there
        return GpuProcessUse(
            gpu_uuid=str(row[_UUID]),
            gpu_index=process.gpu_index,
            pid=_number(row[_PID]),
            start_boottime_ns=_number(row[_START]),
            type=_text(row[_TYPE]),
            foreign_pid=row[_FOREIGN] is True,
            name=None if host is None else _text(host[_COMM]),
            user=None if host is None else _text(host[_USER]),
            command_line=None if host is None else _text(host[_COMMAND_LINE]),
            has_come=process.has_come,
            has_gone=has_gone,
            vram=process.level.vram(has_gone),
        )


def _text(cell: Cell) -> str | None:
    return cell if isinstance(cell, str) else None


def _number(cell: Cell) -> int | None:
    return cell if isinstance(cell, int) else None
