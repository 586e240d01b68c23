"""What a section is as a table: typed columns, and a row for every row of every frame.

The columns are those of batch mode's JSON (docs/batch.md), behind the frame's number and times. Text that is not
UTF-8 has its other bytes written as ``\\xNN``. What is not of its column's type, and numbers that 64 bits with a sign
do not hold, are unknown.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import TypeAlias

from ztop_client.json_lines import IN_PROCESSES, SECTION_NAMES, names
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Cell, Row
from ztop_protocol.on_gpus import ON_GPUS
from ztop_protocol.processes import joined
from ztop_protocol.rates import RATES, rates
from ztop_protocol.schema import SECTIONS

_MOST_INTEGER = (1 << 63) - 1

Exported: TypeAlias = tuple[Cell, ...]

EXPORTED_SECTIONS: tuple[str, ...] = SECTION_NAMES


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """One column: its name, the type of its cells that are not None, and what is known of it."""

    name: str
    type: type[int] | type[float] | type[str] | type[bool]
    unit: str = ""
    kind: str = ""
    source: str = ""


HEAD = (
    ExportColumn("seq", int, "", "identity", "ztopd: the frame's number"),
    ExportColumn("time_ns", int, "ns", "label", "CLOCK_REALTIME, since 1970 in UTC"),
    ExportColumn("boottime_ns", int, "ns", "label", "CLOCK_BOOTTIME"),
    ExportColumn("boot_id", str, "", "identity", "/proc/sys/kernel/random/boot_id"),
    ExportColumn("sampled_boottime_ns", int, "ns", "label", "CLOCK_BOOTTIME when the section was read"),
)
"""What stands before the section's own columns."""

TIME = [column.name for column in HEAD].index("time_ns")


@cache
def columns(section: str) -> tuple[ExportColumn, ...]:
    """The columns of a section's table."""
    parts = (section, *IN_PROCESSES) if section == "processes" else (section,)
    known: dict[str, ExportColumn] = {
        "memory_percent": ExportColumn("memory_percent", float, "percent", "gauge", "rss_bytes of the machine's memory")
    }
    for part in parts:
        on_gpus = ON_GPUS if part == "processes" else ()
        for column in (*SECTIONS[part].columns, *on_gpus):
            known.setdefault(
                column.name,
                ExportColumn(column.name, column.type, str(column.unit), str(column.kind), column.source),
            )
        for rate in RATES.get(part, ()):
            known[rate.name] = ExportColumn(rate.name, float, rate.unit, "rate", rate.formula)
    taken = {column.name for column in HEAD}
    own = (known[name] for name in names(section))
    # a section may have a time of its own of the same name
    return (*HEAD, *(column if column.name not in taken else _renamed(section, column) for column in own))


def _renamed(section: str, column: ExportColumn) -> ExportColumn:
    return ExportColumn(f"{section}_{column.name}", column.type, column.unit, column.kind, column.source)


def rows(pair: Pair, section: str) -> Iterator[Exported]:
    """The rows of a section in the pair's frame; none where it was not sampled anew since the frame before."""
    frame = pair.current
    sampled = frame.sections.get(section)
    if sampled is None:
        return
    types = [column.type for column in columns(section)[len(HEAD) :]]
    head: Row = (frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id, sampled.sampled_boottime_ns)
    fitting = tuple(_fitting(cell, column.type) for cell, column in zip(head, HEAD, strict=True))
    for row in _rows(pair, section):
        yield (*fitting, *map(_fitting, row, types))


def _rows(pair: Pair, section: str) -> Iterator[Row]:
    if section == "processes":
        yield from joined(pair.previous, pair.current).values()
        return
    of_section = rates(pair.previous, pair.current, section) if section in RATES else {}
    for key, row in pair.current.rows(section).items():
        yield (*row, *of_section.get(key, ()))


def _fitting(cell: Cell, wanted: type) -> Cell:
    """The cell as other programs read it; None for what is not of its column's type, as in a stranger's recording."""
    if type(cell) is not wanted:
        if not (wanted is float and type(cell) is int and abs(cell) <= _MOST_INTEGER):
            return None
        return float(cell)
    if isinstance(cell, str):
        return cell if cell.isascii() else cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(cell, float):
        return cell if isfinite(cell) else None
    return cell if isinstance(cell, int) and -_MOST_INTEGER <= cell <= _MOST_INTEGER else None
