"""What a column of the process table is, and the table of one moment that its values are read from."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias, TypeVar

from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.on_gpus import POSITION as ON_GPUS_POSITION
from ztop_protocol.on_gpus import on_gpus
from ztop_protocol.rates import RATE_POSITION, RATES, RateRow, RateTable, percent
from ztop_protocol.schema import PROCESSES, SECTIONS, THREADS

T = TypeVar("T")


class OnDemand(dict[str, T]):
    """By section, made when it is first asked for."""

    def __init__(self, make: Callable[[str], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, section: str) -> T:
        made = self[section] = self._make(section)
        return made


class Rates(Protocol):
    """The rates of a section, each made when it is asked for; places are those of ``RATES[section]``."""

    def get(self, key: Key) -> RateRow | None:
        """All of a row."""

    def cell(self, key: Key, place: int) -> float | None:
        """One of a row."""

    def column(self, place: int) -> Mapping[Key, float | None]:
        """One of every row."""


@dataclass(frozen=True, slots=True)
class ProcessTable:
    """The processes of one frame: rows and rates by section. With threads, those are rows among the processes."""

    frame: Frame
    rows: Mapping[str, Mapping[Key, Row]]
    rates: Mapping[str, Rates]
    process_of: Mapping[Key, Key]
    """The key of a row that is no process itself -> its process's: of a thread, of a process on a GPU."""
    on_gpus: Mapping[Key, Row]
    """What a row does on GPUs, with the columns of :mod:`ztop_protocol.on_gpus`; of those that are on one."""
    of_processes: "Callable[[], ProcessTable] | None" = None
    """Makes that of the same frame with a row for each process, where rows are neither processes nor threads."""

    @property
    def threads(self) -> Collection[Key]:
        """The rows that are threads."""
        return self.process_of.keys() if self.of_processes is None else ()

    def by_process(self) -> "ProcessTable":
        """One whose rows are processes, and perhaps threads."""
        return self if self.of_processes is None else self.of_processes()

    @property
    def processes(self) -> Mapping[Key, Row]:
        """The rows of the section ``processes``, and of threads, which look like processes."""
        return self.rows["processes"]


def process_table(previous: Frame | None, current: Frame, with_threads: bool = False) -> ProcessTable:
    """The table of a frame; rates are those since ``previous``."""
    rows = OnDemand(current.rows)
    rates: OnDemand[Rates] = OnDemand(lambda section: RateTable(previous, current, section))
    gpu_uses = on_gpus(current)
    if not with_threads:
        return ProcessTable(current, rows, rates, {}, gpu_uses)
    shown = dict(rows["processes"])
    process_of: dict[Key, Key] = {}
    threads: dict[Key, Key] = {}
    for key, thread_key, process in _threads_among(current, shown):
        process_of[key], threads[key] = process, thread_key
    rows["processes"] = shown
    rates["processes"] = _RatesWithThreads(rates["processes"], rates["threads"], threads)
    return ProcessTable(current, rows, rates, process_of, gpu_uses)


_THREAD_CELLS = tuple(
    (PROCESSES.position[name], THREADS.position[name])
    for name in THREADS.names
    if name in PROCESSES.position and name not in ("pid", "tid")
)
_THREAD_RATES = {
    RATE_POSITION["processes"][name]: place
    for name, place in RATE_POSITION["threads"].items()
    if name in RATE_POSITION["processes"]
}


def _threads_among(frame: Frame, rows: dict[Key, Row]) -> Iterator[tuple[Key, Key, Key]]:
    """Adds a row for every thread but the main ones; gives its key, that in the section ``threads``, its process's.

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
        key = (tid, start)
        rows[key] = tuple(cells)
        yield key, thread_key, process


@dataclass(frozen=True, slots=True)
class _RatesWithThreads:
    """The rates of processes and of threads in one; ``keys``: a thread's row -> its key in the section ``threads``."""

    processes: Rates
    threads: Rates
    keys: Mapping[Key, Key]

    def get(self, key: Key) -> RateRow | None:
        if key not in self.keys:
            return self.processes.get(key)
        return tuple(self.cell(key, place) for place in range(len(RATES["processes"])))

    def cell(self, key: Key, place: int) -> float | None:
        thread = self.keys.get(key)
        if thread is None:
            return self.processes.cell(key, place)
        thread_place = _THREAD_RATES.get(place)
        return None if thread_place is None else self.threads.cell(thread, thread_place)

    def column(self, place: int) -> Mapping[Key, float | None]:
        return {**self.processes.column(place), **{key: self.cell(key, place) for key in self.keys}}


class Align(Enum):
    """On which side of its width a column's text stands."""

    LEFT = auto()
    RIGHT = auto()


Value: TypeAlias = Callable[[ProcessTable, Key], Cell]
Attribute: TypeAlias = Callable[[Cell], str]
Mark: TypeAlias = Callable[[ProcessTable, Key], str | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    ``name`` is what --sort and configuration call it. ``width`` in cells; 0 takes what is left of the line.
    ``format`` draws a value (absence too), ``attribute`` names its colour. ``descending``: the largest come first
    when a person picks the column. ``sections`` are what ``value`` reads. ``mark`` names another colour for the cell
    of a process of which something is to be noticed. ``needs``: a section without whose rows there is no column.
    ``is_spare``: it is the first to go where a screen is too narrow.
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
    mark: Mark | None = None
    needs: str | None = None
    is_spare: bool = False

    def place_in_row(self) -> int | None:
        """Where the value stands in the process's own row, for a column that is simply that."""
        if isinstance(self.value, _CellValue) and self.value.section == "processes":
            return self.value.place
        return None

    def values(self, table: ProcessTable, keys: Iterable[Key]) -> Mapping[Key, Cell]:
        """The value of every one of ``keys``, and perhaps of others; one that is not among them has none."""
        if isinstance(self.value, _RateValue):
            return self.value.of_all(table)
        value = self.value
        return {key: value(table, key) for key in keys}


@dataclass(frozen=True, slots=True)
class _CellValue:
    """A cell of the row that a section has of the process."""

    section: str
    place: int

    def __call__(self, table: ProcessTable, key: Key) -> Cell:
        row = table.rows[self.section].get(key)
        return None if row is None else row[self.place]


def cell(section: str, name: str) -> Value:
    """A column of the schema."""
    return _CellValue(section, SECTIONS[section].position[name])


@dataclass(frozen=True, slots=True)
class _RateValue:
    """A rate, of one row or of all."""

    section: str
    place: int

    def __call__(self, table: ProcessTable, key: Key) -> Cell:
        return table.rates[self.section].cell(key, self.place)

    def of_all(self, table: ProcessTable) -> Mapping[Key, Cell]:
        return table.rates[self.section].column(self.place)


def rate(section: str, name: str) -> Value:
    """A rate of ``ztop_protocol.rates``."""
    return _RateValue(section, RATE_POSITION[section][name])


def gpu_use(name: str) -> Value:
    """A column of ``ztop_protocol.on_gpus``."""
    place = ON_GPUS_POSITION[name]

    def value(table: ProcessTable, key: Key) -> Cell:
        row = table.on_gpus.get(key)
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
        cell, result = table.rates[section].cell, 0.0
        for place in places:
            part = cell(key, place)
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
    usual: Column
    """What it is sorted by where the machine lacks what ``sort`` needs."""

    def order_by(self, name: str) -> None:
        """Sorts by the column of that name in its natural direction. Raises :exc:`KeyError`."""
        self.sort = {column.name: column for column in self.columns}[name]
        self.descending = self.sort.descending


def tab(name: str, columns: tuple[Column, ...], sort: str) -> Tab:
    """A tab that is sorted by the column named ``sort``."""
    usual = next(column for column in columns if column.name == sort)
    return Tab(name, columns, usual, usual.descending, usual)
