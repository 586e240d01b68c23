"""What a column of the process table is, and the table of one moment that its values are read from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.rates import RATE_POSITION, RATES, RateRow, percent, rates
from ztop_protocol.schema import SECTIONS


@dataclass(frozen=True, slots=True)
class ProcessTable:
    """The processes of one frame: rows and rates by section, for the sections that the columns need."""

    frame: Frame
    rows: Mapping[str, Mapping[Key, Row]]
    rates: Mapping[str, Mapping[Key, RateRow]]

    @property
    def processes(self) -> Mapping[Key, Row]:
        """The rows of the section ``processes``."""
        return self.rows["processes"]


def process_table(previous: Frame | None, current: Frame, columns: Iterable["Column"]) -> ProcessTable:
    """The table that ``columns`` are shown from."""
    needed = {"processes"}.union(*(column.sections for column in columns))
    return ProcessTable(
        current,
        {section: current.rows(section) for section in needed},
        {section: rates(previous, current, section) for section in needed if section in RATES},
    )


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
