"""What a column of the process table is, and the table of one moment that its values are read from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, TypeVar

from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.rates import RATE_POSITION, RATES, RateRow, percent, rates
from ztop_protocol.schema import PROCESSES, SECTIONS, THREADS

T = TypeVar("T")


class _OnDemand(dict[str, T]):
    """By section, made when it is first asked for."""

    def __init__(self, make: Callable[[str], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, section: str) -> T:
        made = self[section] = self._make(section)
        return made


@dataclass(frozen=True, slots=True)
class ProcessTable:
    """The processes of one frame: rows and rates by section. With threads, those are rows among the processes."""

    frame: Frame
    rows: Mapping[str, Mapping[Key, Row]]
    rates: Mapping[str, Mapping[Key, RateRow]]
    process_of: Mapping[Key, Key]
    """The key of a thread's row -> its process's; empty where no threads are shown."""

    @property
    def processes(self) -> Mapping[Key, Row]:
        """The rows of the section ``processes``, and of threads, which look like processes."""
        return self.rows["processes"]


def process_table(previous: Frame | None, current: Frame, with_threads: bool = False) -> ProcessTable:
    """The table of a frame; rates are those since ``previous``."""
    rows = _OnDemand(current.rows)
    rate_rows = _OnDemand(lambda section: rates(previous, current, section))
    if not with_threads:
        return ProcessTable(current, rows, rate_rows, {})
    shown = dict(rows["processes"])
    shown_rates = dict(rate_rows["processes"])
    process_of = dict(_threads_among(current, rate_rows["threads"], shown, shown_rates))
    rows["processes"], rate_rows["processes"] = shown, shown_rates
    return ProcessTable(current, rows, rate_rows, process_of)


_THREAD_CELLS = tuple(
    (PROCESSES.position[name], THREADS.position[name])
    for name in THREADS.names
    if name in PROCESSES.position and name not in ("pid", "tid")
)
_CPU_PERCENT = RATE_POSITION["processes"]["cpu_percent"]
_THREAD_CPU_PERCENT = RATE_POSITION["threads"]["cpu_percent"]
_NO_RATES = (None,) * len(RATES["processes"])


def _threads_among(
    frame: Frame, thread_rates: Mapping[Key, RateRow], rows: dict[Key, Row], rate_rows: dict[Key, RateRow]
) -> Iterator[tuple[Key, Key]]:
    """Adds a row for every thread but the main ones, and gives its key and its process's.

    What the kernel counts for a process as a whole (memory, user) is the process's; there is no command line.
    """
    by_pid = {key[0]: key for key in rows}
    own_pid, parent = PROCESSES.position["pid"], PROCESSES.position["ppid"]
    command_line, number_of_threads = PROCESSES.position["command_line"], PROCESSES.position["threads"]
    for thread_key, thread in frame.rows("threads").items():
        pid, tid, start = thread_key
        process = by_pid.get(pid)
        if process is None or pid == tid:
            continue
        cells = list(rows[process])
        cells[own_pid], cells[parent], cells[command_line], cells[number_of_threads] = tid, pid, None, 1
        for place, thread_place in _THREAD_CELLS:
            cells[place] = thread[thread_place]
        cpu_percent = thread_rates[thread_key][_THREAD_CPU_PERCENT]
        key = (tid, start)
        rows[key] = tuple(cells)
        rate_rows[key] = (*_NO_RATES[:_CPU_PERCENT], cpu_percent, *_NO_RATES[_CPU_PERCENT + 1 :])
        yield key, process


class Align(Enum):
    """On which side of its width a column's text stands."""

    LEFT = auto()
    RIGHT = auto()


Value: TypeAlias = Callable[[ProcessTable, Key], Cell]
Attribute: TypeAlias = Callable[[Cell], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    ``name`` is what --sort and configuration call it. ``width`` in cells; 0 takes what is left of the line.
    ``format`` draws a value (absence too), ``attribute`` names its colour. ``descending``: the largest come first
    when a person picks the column. ``sections`` are what ``value`` reads.
    """

    name: str
    title: str
    width: int
    align: Align
    value: Value
    format: Callable[[Cell], str]
    attribute: Attribute
    descending: bool
    sections: frozenset[str]
    help: str


def cell(section: str, name: str) -> Value:
    """A column of the schema."""
    place = SECTIONS[section].position[name]

    def value(table: ProcessTable, key: Key) -> Cell:
        row = table.rows[section].get(key)
        return None if row is None else row[place]

    return value


def rate(section: str, name: str) -> Value:
    """A rate of ``ztop_protocol.rates``."""
    place = RATE_POSITION[section][name]

    def value(table: ProcessTable, key: Key) -> Cell:
        row = table.rates[section].get(key)
        return None if row is None else row[place]

    return value


def total(section: str, *names: str) -> Value:
    """The sum of columns of one unit; None where one of them is."""
    places = tuple(SECTIONS[section].position[name] for name in names)

    def value(table: ProcessTable, key: Key) -> Cell:
        row = table.rows[section].get(key)
        if row is None:
            return None
        result: float = 0
        for place in places:
            part = row[place]
            if part is None:
                return None
            result += part  # type: ignore[operator]
        return result

    return value


def memory_share(name: str) -> Value:
    """A column of bytes as a percentage of the machine's memory."""
    place = SECTIONS["processes"].position[name]

    def value(table: ProcessTable, key: Key) -> Cell:
        return percent(table.rows["processes"][key][place], table.frame.cell("memory", "total_bytes"))

    return value


def rate_total(section: str, *names: str) -> Value:
    """The sum of rates of one unit; None where one of them is."""
    places = tuple(RATE_POSITION[section][name] for name in names)

    def value(table: ProcessTable, key: Key) -> Cell:
        row = table.rates[section].get(key)
        if row is None:
            return None
        result = 0.0
        for place in places:
            part = row[place]
            if part is None:
                return None
            result += part
        return result

    return value


@dataclass(slots=True)
class Tab:
    """A set of columns under a name, and the order that a person chose for it last."""

    name: str
    columns: tuple[Column, ...]
    sort: Column
    descending: bool

    def order_by(self, name: str) -> None:
        """Sorts by the column of that name in its natural direction. Raises :exc:`KeyError`."""
        self.sort = {column.name: column for column in self.columns}[name]
        self.descending = self.sort.descending


def tab(name: str, columns: tuple[Column, ...], sort: str) -> Tab:
    """A tab that is sorted by the column named ``sort``."""
    made = Tab(name, columns, columns[0], columns[0].descending)
    made.order_by(sort)
    return made
