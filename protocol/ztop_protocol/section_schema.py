"""What a section's schema is made of: its columns, their kinds and units, and who gets its rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias


class Kind(StrEnum):
    """What may be done with a column's values."""

    IDENTITY = "identity"
    """Part of the key; never changes in a row's life."""
    LABEL = "label"
    """Describes the row; may change, has no arithmetic."""
    COUNTER = "counter"
    """Only grows within a life; rates come from the difference of two frames."""
    GAUGE = "gauge"
    """A value of the moment."""


class Unit(StrEnum):
    """The unit a number is in; ``NONE`` for text, flags and plain numbers."""

    NONE = ""
    BYTES = "bytes"
    COUNT = "count"
    NANOSECONDS = "ns"
    HERTZ = "hertz"
    PERCENT = "percent"
    CELSIUS = "celsius"
    MILLIWATTS = "milliwatts"
    MILLIVOLTS = "millivolts"
    MILLIAMPERES = "milliamperes"
    MILLIWATT_HOURS = "milliwatt_hours"
    RPM = "rpm"
    BITS_PER_SECOND = "bits_per_second"
    BYTES_PER_SECOND = "bytes_per_second"
    """Of what is measured or estimated over less than a frame; all other rates are made of counters."""
    MILLIJOULES = "millijoules"
    SECONDS = "seconds"
    """Of what is estimated; times that are measured are in nanoseconds."""


class Visibility(StrEnum):
    """Who gets a section's rows."""

    PUBLIC = "public"
    """Holds only what /proc and /sys show to everyone, whatever rights the sampler has."""
    OWNER = "owner"
    """A client gets the rows whose ``owner_uid`` it is; root and the configured group get all."""


CellType: TypeAlias = type[int] | type[float] | type[str] | type[bool]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, what it is, the kernel file or document it comes from, and the type of its cells."""

    name: str
    kind: Kind
    unit: Unit
    source: str
    type: CellType = int


@dataclass(frozen=True, slots=True)
class SectionSchema:
    """A keyed table. Rows are tuples with one cell per column, the key's cells first."""

    name: str
    visibility: Visibility
    columns: tuple[Column, ...]
    names: tuple[str, ...] = field(init=False)
    key_length: int = field(init=False)
    position: dict[str, int] = field(init=False)
    """Column name -> its place in the row."""

    def __post_init__(self) -> None:
        names = tuple(column.name for column in self.columns)
        identities = [column.kind is Kind.IDENTITY for column in self.columns]
        key_length = sum(identities)
        if len(set(names)) != len(names) or not all(identities[:key_length]):
            raise ValueError(f"section {self.name}: column names must differ and identity columns come first")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "key_length", key_length)
        object.__setattr__(self, "position", {name: place for place, name in enumerate(names)})


_FLOATS = (Unit.PERCENT, Unit.CELSIUS, Unit.SECONDS)


def columns(source: str, kind: Kind, unit: Unit, *names: str, type: CellType | None = None) -> Iterator[Column]:
    """Columns that have all but their names in common. Where no type is given, the unit says it."""
    for name in names:
        yield Column(name, kind, unit, source, type or (float if unit in _FLOATS else int))
