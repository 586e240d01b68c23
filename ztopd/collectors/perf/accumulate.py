"""From readings to counts that never go back. Pure.

A group that shares the PMU with others counts for a part of the time only: its counts are scaled to the time enabled,
per interval. To scale totals would go back: 1000 counted in 10 of 100 make 10000, 1010 in 110 of 200 make 1836.
"""

from collections.abc import Sequence
from operator import sub
from typing import TypeAlias

from ztop_protocol.frame import Cell
from ztopd.collectors.perf.probe import COUNTS, CountedGroup, place_of

Reading: TypeAlias = tuple[int, ...]
"""Of one group on one PMU: time enabled, time running (ns), and the count of each event."""

_ENABLED, _RUNNING = place_of("enabled_time_ns"), place_of("running_time_ns")


def growth(before: Reading, after: Reading) -> Reading | None:
    """What came about in between; None where anything went back, so that there is no interval to speak of."""
    grown = tuple(map(sub, after, before))
    return None if min(grown) < 0 else grown


def scaled(count: int, enabled_ns: int, running_ns: int) -> int:
    """What would have been counted in all of the time enabled, to the nearest."""
    if enabled_ns == running_ns:
        return count
    return (count * enabled_ns + running_ns // 2) // running_ns


class Counts:
    """The counted cells of one process's row. An event that nobody counts is None, all else begins at 0."""

    __slots__ = ("cells",)

    def __init__(self, groups: Sequence[CountedGroup]) -> None:
        self.cells: list[int | None] = [None] * COUNTS
        counted = {_ENABLED, _RUNNING}
        for group in groups:
            counted.update(group.places)
            if group.time_place is not None:
                counted.add(group.time_place)
        for place in counted:
            self.cells[place] = 0

    def add(self, group: CountedGroup, growths: Sequence[Reading]) -> None:
        """What one thread did in an interval, as each core PMU saw it.

        A thread is on one kind of core at a time, while the groups of all kinds are enabled: so the time enabled is
        that of one of them, and the times running add up. Where none was running, nothing is known and nothing added
        but the time enabled.
        """
        if len(growths) == 1:
            enabled_ns, running_ns, *counted = growths[0]
        else:
            enabled_ns = max(one[0] for one in growths)
            running_ns, *counted = map(sum, zip(*(one[1:] for one in growths), strict=True))
        self._add(_ENABLED, enabled_ns)
        if not running_ns:
            return
        self._add(_RUNNING, running_ns)
        if group.time_place is not None:
            self._add(group.time_place, enabled_ns)
        for place, count in zip(group.places, counted, strict=True):
            self._add(place, scaled(count, enabled_ns, running_ns))

    @property
    def enabled_time_ns(self) -> int:
        """Of all groups."""
        return self.cells[_ENABLED] or 0

    def _add(self, place: int, amount: int) -> None:
        self.cells[place] += amount  # type: ignore[operator]

    def row(self, head: tuple[Cell, ...]) -> tuple[Cell, ...]:
        """The row of ``process_counters`` that begins with ``head``."""
        return (*head, *self.cells)
