"""The columns that ``ztop`` has of GPUs, and what those of ``ztop-g`` have in common with them."""

from ztop_client.columns.column import Align, Attribute, Column, gpu_use
from ztop_client.formats import bytes_text, percent_text
from ztop_protocol import on_gpus
from ztop_protocol.frame import Cell

OF_ANOTHER_NAMESPACE = "(a pid of another pid namespace)"
"""In place of the command of a process that only a GPU knows."""
_SECTIONS = on_gpus.SECTIONS | {"processes"}


def with_gpus(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns, and behind that of memory what processes do on GPUs, where there are any: sums over all of them."""
    place = next(place for place, column in enumerate(columns, 1) if column.name == "memory_percent")
    return (
        *columns[:place],
        Column("vram_bytes", "VRAM", 5, Align.RIGHT, gpu_use("vram_bytes"), bytes_text, size, True, _SECTIONS,
               "memory of GPUs that it holds", needs="gpus"),
        Column("sm_utilization_percent", "GPU%", 5, Align.RIGHT, gpu_use("sm_utilization_percent"), percent_text,
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
