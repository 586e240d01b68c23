"""How much counters grew over many frames, row by row. Pure; the cost of a frame is that of what changed in it.

The contract is that of :mod:`ztop_protocol.rates`, over a longer time: what was born since the first sample counts from
0; None for a row that was first seen later although it was there before, for a counter that is absent or went back.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ztop_protocol.frame import Key, Row, Section
from ztop_protocol.rates import START_RESOLUTION_NS
from ztop_protocol.schema import SECTIONS, Kind


@dataclass(frozen=True, slots=True)
class Changes:
    """The keys of the rows that came, changed and went with one sample."""

    appeared: list[Key]
    changed: list[Key]
    gone: list[Key]


class Growth:
    """The growth of some counters of one section, from the first sample taken to the last.

    ``since_boot``: every counter counts from 0, which it was when the machine started. ``signed``: counters that the
    kernel itself takes back at times (iowait); their growth may be negative.

    Rows with a start time are the same for their whole life, wherever they are missing in between. Others (a disk, a
    core, a cgroup) may be another one of that name when they come back: they count from when they were first seen, and
    not while they are missing.
    """

    def __init__(
        self, section: str, counters: tuple[str, ...], *, since_boot: bool = False, signed: Collection[str] = ()
    ) -> None:
        schema = SECTIONS[section]
        self.section = section
        self.counters = counters
        self._places = [(number, schema.position[name]) for number, name in enumerate(counters)]
        for _, place in self._places:
            if schema.columns[place].kind is not Kind.COUNTER:
                raise ValueError(f"{section}.{schema.names[place]} is no counter")
        self._signed = frozenset(schema.position[name] for name in signed)
        self._start = schema.position.get("start_boottime_ns")
        self._since_boot = since_boot
        self._born_after_ns: int | None = None
        self._first_ns: int | None = 0 if since_boot else None
        self._last_ns: int | None = None
        self._rows: Mapping[Key, Row] = {}
        self._gone: dict[Key, Row] = {}
        self._grown: dict[Key, list[int | None]] = {}

    @property
    def interval_ns(self) -> int | None:
        """The boot time between the first sample and the last; None where there are no two."""
        if self._first_ns is None or self._last_ns is None or self._last_ns <= self._first_ns:
            return None
        return self._last_ns - self._first_ns

    @property
    def rows(self) -> Mapping[Key, Row]:
        """Those of the last sample."""
        return self._rows

    def row(self, key: Key) -> Row:
        """A row as last seen. Raises :exc:`KeyError`."""
        found = self._rows.get(key)
        return self._gone[key] if found is None else found

    def __iter__(self) -> Iterator[Key]:
        """Every row that there ever was and that was not dropped."""
        return iter(self._grown)

    def of(self, key: Key, counter: str) -> int | None:
        """How much a counter of a row grew; None where that is not known or there was no such row."""
        grown = self._grown.get(key)
        return None if grown is None or self.interval_ns is None else grown[self.counters.index(counter)]

    def total(self, counter: str, keys: Collection[Key] | None = None) -> int | None:
        """The sum over these rows, or all, of what is known; None where nothing is."""
        known = [
            grown for key in (self._grown if keys is None else keys) if (grown := self.of(key, counter)) is not None
        ]
        return sum(known) if known else None

    def is_born(self, key: Key) -> bool:
        """Whether a row with a start time began after the first sample."""
        if self._since_boot:
            return True
        start = None if self._start is None else self.row(key)[self._start]
        return isinstance(start, int) and self._born_after_ns is not None and start > self._born_after_ns

    def drop(self, key: Key) -> None:
        """Forgets a row that is gone; one that is there stays."""
        if self._gone.pop(key, None) is not None:
            del self._grown[key]

    def take(self, section: Section | None) -> Changes:
        """The next sample; one that is no newer than the last changes nothing."""
        changes = Changes([], [], [])
        if section is None or (self._last_ns is not None and section.sampled_boottime_ns <= self._last_ns):
            return changes
        is_first = self._first_ns is None
        if is_first:
            self._first_ns = section.sampled_boottime_ns
            self._born_after_ns = self._first_ns - START_RESOLUTION_NS
        self._last_ns = section.sampled_boottime_ns
        before, self._rows = self._rows, section.rows
        if before is section.rows:
            return changes
        old_row, seen = before.get, 0
        for key, row in section.rows.items():
            old = old_row(key)
            if old is row:
                seen += 1
            elif old is not None:
                seen += 1
                if old != row:
                    changes.changed.append(key)
                    self._add(self._grown[key], old, row)
            else:
                changes.appeared.append(key)
                self._begin(key, row, is_first)
        if seen < len(before):
            for key, row in before.items():
                if key not in section.rows:
                    changes.gone.append(key)
                    self._gone[key] = row
        return changes

    def _begin(self, key: Key, row: Row, is_first: bool) -> None:
        old = self._gone.pop(key, None)
        if old is not None:
            if self._start is not None:
                self._add(self._grown[key], old, row)
        elif self._since_boot or (not is_first and self.is_born(key)):
            cells = [row[place] for _, place in self._places]
            self._grown[key] = [cell if isinstance(cell, int) else None for cell in cells]
        elif is_first or self._start is None:
            self._grown[key] = [None if row[place] is None else 0 for _, place in self._places]
        else:
            self._grown[key] = [None] * len(self._places)

    def _add(self, grown: list[int | None], old: Row, row: Row) -> None:
        for number, place in self._places:
            sum_before = grown[number]
            if sum_before is None:
                continue
            earlier, later = old[place], row[place]
            if not isinstance(earlier, int) or not isinstance(later, int):
                grown[number] = None
            elif later >= earlier or place in self._signed:
                grown[number] = sum_before + later - earlier
            else:
                grown[number] = None
