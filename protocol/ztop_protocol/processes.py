"""The process table as people ask for it: a row per process with its rates, I/O, counters, executable, use of GPUs.

``top`` on the server, batch mode and the Python API share it. The owner sections are joined where the client
may see them; elsewhere their cells are None.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from ztop_protocol import on_gpus
from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.rates import RATES, memory_percent, rates
from ztop_protocol.schema import PROCESS_COUNTERS, PROCESS_EXECUTABLES, PROCESS_IO, PROCESSES

_IO_START = PROCESS_IO.position["io_read_bytes"]
_COUNTERS_START = PROCESS_COUNTERS.position["kernel_mode"]
_EXE = PROCESS_EXECUTABLES.position["exe"]
_RSS = PROCESSES.position["rss_bytes"]

COLUMNS: tuple[str, ...] = (
    *PROCESSES.names,
    *(rate.name for rate in RATES["processes"]),
    "memory_percent",
    "exe",
    *PROCESS_IO.names[_IO_START:],
    *(rate.name for rate in RATES["process_io"]),
    *PROCESS_COUNTERS.names[_COUNTERS_START:],
    *(rate.name for rate in RATES["process_counters"]),
    *on_gpus.NAMES,
)
"""The columns of a joined row."""

POSITION: dict[str, int] = {name: place for place, name in enumerate(COLUMNS)}

_NO_IO = (None,) * (len(PROCESS_IO.names) - _IO_START)
_NO_IO_RATES = (None,) * len(RATES["process_io"])
_NO_COUNTERS = (None,) * (len(PROCESS_COUNTERS.names) - _COUNTERS_START)
_NO_COUNTER_RATES = (None,) * len(RATES["process_counters"])


def joined(previous: Frame | None, current: Frame) -> dict[Key, Row]:
    """Every process of ``current`` with :data:`COLUMNS`, by key."""
    process_rates = rates(previous, current, "processes")
    io_rates = rates(previous, current, "process_io")
    counter_rates = rates(previous, current, "process_counters")
    io, executables = current.rows("process_io"), current.rows("process_executables")
    counters, gpu_uses = current.rows("process_counters"), on_gpus.on_gpus(current)
    result: dict[Key, Row] = {}
    for key, row in current.rows("processes").items():
        io_row, executable, counter_row = io.get(key), executables.get(key), counters.get(key)
        result[key] = (
            *row,
            *process_rates[key],
            memory_percent(current, row[_RSS]),
            None if executable is None else executable[_EXE],
            *(_NO_IO if io_row is None else io_row[_IO_START:]),
            *io_rates.get(key, _NO_IO_RATES),
            *(_NO_COUNTERS if counter_row is None else counter_row[_COUNTERS_START:]),
            *counter_rates.get(key, _NO_COUNTER_RATES),
            *gpu_uses.get(key, on_gpus.NOWHERE),
        )
    return result


class UnknownColumn(ValueError):
    """There is no such column; the sentence names it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no column {name!r}")


def position(name: str) -> int:
    """Where a column stands in a joined row. Raises :exc:`UnknownColumn`."""
    try:
        return POSITION[name]
    except KeyError:
        raise UnknownColumn(name) from None


_texts = itemgetter(*(POSITION[name] for name in ("command_line", "comm", "user")))
_MOST_REMEMBERED = 32768


def contains(text: str) -> Callable[[Row], bool]:
    """Whether the name, the command line or the user contains ``text``, whatever the case.

    The test remembers its answers: keep it for as long as the same is asked of one frame after the other.
    """
    wanted = text.casefold()
    remembered: dict[tuple[Cell, ...], bool] = {}

    def test(row: Row) -> bool:
        texts = _texts(row)
        known = remembered.get(texts)
        if known is None:
            known = not wanted
            for text in texts:
                if text is not None and wanted in str(text).casefold():
                    known = True
                    break
            if len(remembered) >= _MOST_REMEMBERED:
                remembered.clear()
            remembered[texts] = known
        return known

    return test


def equals(values: Mapping[str, Cell | bytes]) -> Callable[[Row], bool]:
    """Whether every named column has that value; bytes mean the text that they are. Raises :exc:`UnknownColumn`."""
    wanted = [
        (position(name), value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value)
        for name, value in values.items()
    ]
    return lambda row: all(row[place] == value for place, value in wanted)


@dataclass(frozen=True, slots=True)
class Order:
    """A sort column and its direction. Absent values come last either way; ties go to the lower pid."""

    column: str = "cpu_percent"
    descending: bool = True

    def sorted(self, rows: Iterable[Row]) -> list[Row]:
        """The rows in this order. Raises :exc:`UnknownColumn`."""
        place = position(self.column)
        known: list[Row] = []
        unknown: list[Row] = []
        for row in sorted(rows, key=_pid):
            (unknown if row[place] is None else known).append(row)
        if any(isinstance(row[place], str) for row in known):
            known.sort(key=lambda row: str(row[place]).casefold(), reverse=self.descending)
        else:
            known.sort(key=lambda row: row[place], reverse=self.descending)  # type: ignore[arg-type,return-value]
        return known + unknown


def _pid(row: Row) -> int:
    pid = row[0]
    return pid if isinstance(pid, int) else 0


_LARGEST_FIRST = (
    *("_percent", "_bytes", "_ns", "_per_second", "_hertz", "_score", "threads", "_faults", "_switches", "_syscalls"),
    *("ipc", "cycles", "instructions", "_instruction", "branches", "_references", "_loads", "_misses"),
)
DESCENDING_BY_NATURE = frozenset(
    name for name in COLUMNS if name.endswith(_LARGEST_FIRST) and name != "start_boottime_ns"
)
"""The columns of which a person wants the largest first."""


def natural_order(column: str) -> Order:
    """The order that a person means who names just the column. Raises :exc:`UnknownColumn`."""
    position(column)
    return Order(column, column in DESCENDING_BY_NATURE)
