"""The columns that ``ztop`` has of GPUs, and what those of ``ztop-g`` have in common with them."""

from ztop_client.columns.column import Align, Attribute, Column, ProcessTable
from ztop_client.formats import bytes_text, percent_text
from ztop_protocol.frame import Cell, Key, Section
from ztop_protocol.schema import GPU_PROCESSES

_SECTIONS = frozenset({"processes", "gpus", "gpu_processes"})


def with_gpus(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns, and behind that of memory what processes do on GPUs, where there are any: sums over all of them."""
    place = next(place for place, column in enumerate(columns, 1) if column.name == "memory_percent")
    return (
        *columns[:place],
        Column("vram_bytes", "VRAM", 5, Align.RIGHT, _OverGpus("vram_bytes"), bytes_text, size, True, _SECTIONS,
               "memory of GPUs that it holds", needs="gpus"),
        Column("sm_utilization_percent", "GPU%", 5, Align.RIGHT, _OverGpus("sm_utilization_percent"), percent_text,
               heat(50, 101), True, _SECTIONS, "multiprocessors of GPUs in use, 100 is one GPU", needs="gpus"),
        *columns[place:],
    )  # fmt: skip


def size(value: Cell) -> str:
    """The style of bytes."""
    if not value:
        return "dim"
    return "large" if float(value) >= 1 << 30 else "text"


def heat(warm: float, hot: float) -> Attribute:
    """The style of a share that is much from ``warm`` and too much from ``hot`` on."""

    def attribute(value: Cell) -> str:
        if not value:
            return "dim"
        return "hot" if float(value) >= hot else "warm" if float(value) >= warm else "text"

    return attribute


class OfSection:
    """Something made of a whole section, once for each."""

    def __init__(self) -> None:
        self._section: Section | None = None

    def is_new(self, table: ProcessTable, name: str) -> bool:
        """Whether the table's section is another one than at the last call."""
        section = table.frame.sections.get(name)
        is_new, self._section = section is not self._section, section
        return is_new


class _OverGpus(OfSection):
    """The sum of a column of ``gpu_processes`` over the GPUs that a process is on; None where one of them is."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._place = GPU_PROCESSES.position[name]
        self._sums: dict[Key, Cell] = {}

    def __call__(self, table: ProcessTable, key: Key) -> Cell:
        if self.is_new(table, "gpu_processes"):
            self._sums = {}
            start = GPU_PROCESSES.position["start_boottime_ns"]
            for row in table.frame.rows("gpu_processes").values():
                process, value = (row[1], row[start]), row[self._place]
                before = self._sums.get(process, 0)
                self._sums[process] = None if before is None or value is None else before + value  # type: ignore[operator]
        return self._sums.get(key)
