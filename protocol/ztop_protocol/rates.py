"""Rates: what a machine did between two frames. Pure; live screens, rewind, batch and exporters share it.

The contract, cell by cell:

* The interval is the difference of the two *sections'* sample times, never the nominal one. Some columns are not
  read at every tick in every row (what /proc/PID/io and /proc/PID/status say of a process that rests is read
  within 10 s); such rows carry the time of their last reading, and the interval is the difference of those.
* A row born after the previous sample counts from 0, and from the time of that sample on.
* None where there is no honest answer: the row was not seen before, another boot, the sample time did not
  advance, a counter is absent or went back. Nothing is clamped: iowait, for one, may really go back.
* A ratio divides growth by growth, no interval at all; None too where what divides did not grow, and where the
  counts began anew in between.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TypeAlias

from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.rate_columns import RATE_POSITION, RATES, SECOND, Rate, Ratio
from ztop_protocol.schema import SECTIONS, Kind, SectionSchema

__all__ = [
    "RATES",
    "RATE_POSITION",
    "START_RESOLUTION_NS",
    "Rate",
    "RateRow",
    "RateTable",
    "Ratio",
    "memory_percent",
    "percent",
    "rates",
]

RateRow: TypeAlias = tuple[float | None, ...]

START_RESOLUTION_NS = 10_000_000
"""/proc/PID/stat gives the start time in ticks of 10 ms, rounded down."""


_Value: TypeAlias = Callable[[Row, Row, float], float | None]
"""A row's former and present state, and the seconds between the two samples of its section -> one rate."""

_NO_ROW: Row = ()
"""Stands for the former state of a row that has none to be compared with."""


def _compiled(section: str, rate: Rate | Ratio) -> _Value:
    """``rate`` with names resolved to positions; thousands of rows go through each of these in every frame."""
    schema = SECTIONS[section]
    for counter in rate.counters:
        if schema.columns[schema.position[counter]].kind is not Kind.COUNTER:
            raise ValueError(f"{section}.{counter} is no counter")
    return _compiled_ratio(schema, rate) if isinstance(rate, Ratio) else _compiled_rate(schema, rate)


def _compiled_ratio(schema: SectionSchema, ratio: Ratio) -> _Value:
    of, over = ([schema.position[counter] for counter in part] for part in (ratio.of, ratio.over))
    epoch = None if ratio.epoch is None else schema.position[ratio.epoch]
    flag = None if ratio.only_if is None else schema.position[ratio.only_if]
    factor = ratio.factor

    def value(before: Row, row: Row, _seconds: float) -> float | None:
        # 0: of what was born since the previous sample
        if epoch is not None and before[epoch] != row[epoch] and before[epoch] != 0:
            return None
        if flag is not None and not row[flag]:
            return None
        grown: float = 1
        by: float = 1
        for place in of:
            earlier, later = before[place], row[place]
            if earlier is None or later is None or later < earlier:  # type: ignore[operator]
                return None
            grown *= later - earlier  # type: ignore[operator]
        for place in over:
            earlier, later = before[place], row[place]
            if earlier is None or later is None or later <= earlier:  # type: ignore[operator]
                return None
            by *= later - earlier  # type: ignore[operator]
        return grown / by * factor

    return value


def _compiled_rate(schema: SectionSchema, rate: Rate) -> _Value:
    first, *others = (schema.position[counter] for counter in rate.counters)
    factor = rate.factor

    def of_one(before: Row, row: Row, seconds: float) -> float | None:
        earlier, later = before[first], row[first]
        if earlier is None or later is None or later < earlier:  # type: ignore[operator]
            return None
        return (later - earlier) * factor / seconds  # type: ignore[operator]

    def of_several(before: Row, row: Row, seconds: float) -> float | None:
        earlier, later = before[first], row[first]
        if earlier is None or later is None or later < earlier:  # type: ignore[operator]
            return None
        growth = later - earlier  # type: ignore[operator]
        for place in others:
            earlier, later = before[place], row[place]
            if earlier is None or later is None or later < earlier:  # type: ignore[operator]
                return None
            growth += later - earlier  # type: ignore[operator]
        return growth * factor / seconds

    value = of_several if others else of_one
    if rate.clock is None:
        return value
    clock = schema.position[rate.clock]

    def by_clock(before: Row, row: Row, _seconds: float) -> float | None:
        earlier, later = before[clock], row[clock]
        if not isinstance(earlier, int) or not isinstance(later, int) or later <= earlier:
            return None
        return value(before, row, (later - earlier) / SECOND)

    return by_clock


_VALUES = {section: tuple(_compiled(section, rate) for rate in rates) for section, rates in RATES.items()}
_NOTHING = {section: (None,) * len(rates) for section, rates in RATES.items()}
_CLOCKS = {
    section: frozenset(SECTIONS[section].position[rate.clock] for rate in rates if rate.clock is not None)
    for section, rates in RATES.items()
}


def _counters(section: str, *rates: Rate | Ratio) -> Callable[[Row], tuple[Cell, ...]]:
    places = sorted({SECTIONS[section].position[counter] for rate in rates for counter in rate.counters})
    # never a single place, so that it always gives a tuple
    return itemgetter(*places, places[0])


_COUNTERS = {section: _counters(section, *rates) for section, rates in RATES.items()}


class RateTable:
    """The rates of one section between two frames, each computed when it is asked for.

    A screen wants one rate of every row, to sort by, and the others of the few rows that it shows.
    """

    __slots__ = ("_born", "_born_after", "_old_rows", "_rows", "_seconds", "_section", "_start", "_values")

    def __init__(self, previous: Frame | None, current: Frame, section: str) -> None:
        now = current.sections.get(section)
        then = None if previous is None or previous.boot_id != current.boot_id else previous.sections.get(section)
        self._section = section
        self._values = _VALUES[section]
        self._rows: Mapping[Key, Row] = {} if now is None else now.rows
        self._old_rows: Mapping[Key, Row] | None = None
        if now is None or then is None or now.sampled_boottime_ns <= then.sampled_boottime_ns:
            return
        then_ns = then.sampled_boottime_ns
        self._old_rows = then.rows
        self._seconds = (now.sampled_boottime_ns - then_ns) / SECOND
        schema = SECTIONS[section]
        self._start = schema.position.get("start_boottime_ns")
        self._born_after = then_ns - START_RESOLUTION_NS
        # what was born since counts from 0, and from the time of the previous sample on
        self._born: Row = tuple(then_ns if place in _CLOCKS[section] else 0 for place in range(len(schema.names)))

    def cell(self, key: Key, place: int) -> float | None:
        """The rate ``RATES[section][place]`` of a row; None too where there is no such row."""
        row = self._rows.get(key)
        if row is None or self._old_rows is None:
            return None
        before = self._old_rows.get(key) or self._unseen(row)
        return None if before is _NO_ROW else self._values[place](before, row, self._seconds)

    def get(self, key: Key) -> RateRow | None:
        """All rates of a row; None where there is no such row."""
        if key not in self._rows:
            return None
        return tuple([self.cell(key, place) for place in range(len(self._values))])

    def column(self, place: int) -> dict[Key, float | None]:
        """The rate ``RATES[section][place]`` of every row, by key."""
        if self._old_rows is None:
            return dict.fromkeys(self._rows)
        value, seconds, old_row, unseen = self._values[place], self._seconds, self._old_rows.get, self._unseen
        rate = RATES[self._section][place]
        counters = _counters(self._section, rate)
        at_rest = 0.0 if isinstance(rate, Rate) and rate.clock is None else None
        result: dict[Key, float | None] = {}
        for key, row in self._rows.items():
            before = old_row(key)
            if before is row:
                result[key] = None if None in counters(row) else at_rest
                continue
            if before is None:
                before = unseen(row)
            result[key] = None if before is _NO_ROW else value(before, row, seconds)
        return result

    def rows(self) -> dict[Key, RateRow]:
        """All rates of every row, by key."""
        nothing = _NOTHING[self._section]
        if self._old_rows is None:
            return dict.fromkeys(self._rows, nothing)
        values, seconds, old_row, counters = self._values, self._seconds, self._old_rows.get, _COUNTERS[self._section]
        result: dict[Key, RateRow] = {}
        idle: dict[int, RateRow] = {}
        for key, row in self._rows.items():
            before = old_row(key)
            if before is row:
                # rows at rest share one tuple per pattern of absent counters; two and more absent are computed
                cells = counters(row)
                absent = cells.count(None)
                pattern = -1 if absent == 0 else cells.index(None) if absent == 1 else None
                still = None if pattern is None else idle.get(pattern)
                if still is None:
                    still = tuple([value(row, row, seconds) for value in values])
                    if pattern is not None:
                        idle[pattern] = still
                result[key] = still
                continue
            if before is None:
                before = self._unseen(row)
            result[key] = nothing if before is _NO_ROW else tuple([value(before, row, seconds) for value in values])
        return result

    def _unseen(self, row: Row) -> Row:
        """What a row that the previous frame did not have is compared with."""
        born = self._start is not None and row[self._start] > self._born_after  # type: ignore[operator]
        return self._born if born else _NO_ROW


def rates(previous: Frame | None, current: Frame, section: str) -> Mapping[Key, RateRow]:
    """The rates of every row of ``section`` in ``current``, by key; cells follow ``RATES[section]``."""
    return RateTable(previous, current, section).rows()


def percent(part: Cell, whole: Cell) -> float | None:
    """``part`` of ``whole`` in percent; None where either is unknown or there is no whole."""
    if part is None or not whole:
        return None
    return 100 * float(part) / float(whole)


def memory_percent(frame: Frame, rss_bytes: Cell) -> float | None:
    """A process's resident memory as a percentage of the machine's."""
    return percent(rss_bytes, frame.cell("memory", "total_bytes"))
