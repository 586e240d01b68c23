"""From readings to counts that never go back. Pure.

A group that shares the PMU with others counts for a part of the time only: its counts are scaled to the time enabled,
per interval. To scale totals would go back: 1000 counted in 10 of 100 make 10000, 1010 in 110 of 200 make 1836.

This runs for every thread in every tick: a reading is the bytes of all its groups, taken apart at once.
"""

import struct
from collections.abc import Callable, Sequence
from operator import add, itemgetter, sub
from typing import TypeAlias

from ztop_protocol.frame import Cell
from ztopd.collectors.perf.probe import COUNTS, Countable, place_of

Reading: TypeAlias = tuple[int, ...]
"""Of one thread: for each group, for each core PMU: time enabled, time running (ns), and the count of each event."""

_Picker: TypeAlias = Callable[[Sequence[int]], tuple[int, ...]]


def growth(before: Reading, after: Reading) -> Reading:
    """What came about in between."""
    return tuple(map(sub, after, before))


def scaled(count: int, enabled_ns: int, running_ns: int) -> int:
    """What would have been counted in all of the time enabled, to the nearest."""
    if enabled_ns == running_ns:
        return count
    return (count * enabled_ns + running_ns // 2) // running_ns


class Layout:
    """Where everything stands: in a reading, in the totals of a process, and in its row."""

    def __init__(self, countable: Countable) -> None:
        self.countable = countable
        form = "="
        self._groups: list[tuple[list[int], int, bool]] = []
        """Of each group: where its part on each PMU begins, how many events it has, and whether its time is kept."""
        places: list[int] = []
        enabled: list[int] = []
        plain: list[int] = []
        position = 0
        for group in countable.groups:
            events = len(group.places)
            starts = []
            for _ in group.attributes:
                starts.append(position)
                # before them, how many events there are
                form += f"8x{2 + events}Q"
                position += 2 + events
            self._groups.append((starts, events, group.time_place is not None))
            enabled.append(starts[0])
            places += group.places
            plain += range(starts[0] + 2, starts[0] + 2 + events)
            if group.time_place is not None:
                places.append(group.time_place)
                plain.append(starts[0])
        self.form = struct.Struct(form)
        self.nothing: Reading = (0,) * position
        places += (place_of("enabled_time_ns"), place_of("running_time_ns"))
        self.size = len(places)
        self._is_hybrid = any(len(starts) > 1 for starts, _, _ in self._groups)
        self._enabled = _picker(enabled)
        self._running = _picker([start + 1 for start in enabled])
        # behind the reading stands the time that all groups were enabled, and running
        self._plain = _picker([*plain, position, position])
        where = {place: index for index, place in enumerate(places)}
        # behind the totals stands what is not counted
        self.cells = itemgetter(*(where.get(place, self.size) for place in range(COUNTS)))

    def amounts(self, grown: Reading) -> Sequence[int]:
        """What an interval adds to the totals."""
        enabled = self._enabled(grown)
        if not self._is_hybrid and enabled == self._running(grown):
            return self._plain((*grown, sum(enabled)))
        return self._scaled(grown)

    def _scaled(self, grown: Reading) -> Sequence[int]:
        """The same where groups took turns, or were on several PMUs.

        A thread is on one kind of core at a time, while the groups of all kinds are enabled: so the time enabled is
        that of one of them, and the times running add up. Where none was running, nothing is known and nothing added
        but the time enabled.
        """
        amounts: list[int] = []
        all_enabled_ns = all_running_ns = 0
        for starts, events, keeps_time in self._groups:
            enabled_ns = max(grown[start] for start in starts)
            running_ns = sum(grown[start + 1] for start in starts)
            for event in range(2, 2 + events):
                count = sum(grown[start + event] for start in starts)
                amounts.append(scaled(count, enabled_ns, running_ns) if running_ns else 0)
            if keeps_time:
                amounts.append(enabled_ns if running_ns else 0)
            all_enabled_ns += enabled_ns
            all_running_ns += running_ns
        return (*amounts, all_enabled_ns, all_running_ns)


def _picker(places: Sequence[int]) -> _Picker:
    if len(places) == 1:
        (place,) = places
        return lambda row: (row[place],)
    return itemgetter(*places)


class Counts:
    """The counted cells of one process's row. An event that nobody counts is None, all else begins at 0."""

    __slots__ = ("_layout", "_totals")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._totals = [0] * layout.size

    def add(self, grown: Reading) -> None:
        """What one thread did in an interval. What went back is none, and adds nothing."""
        if min(grown) >= 0:
            self._totals = list(map(add, self._totals, self._layout.amounts(grown)))

    @property
    def enabled_time_ns(self) -> int:
        """Of all groups."""
        return self._totals[-2]

    @property
    def cells(self) -> tuple[int | None, ...]:
        """In the order of the schema."""
        return self._layout.cells((*self._totals, None))  # type: ignore[no-any-return]

    def row(self, head: tuple[Cell, ...]) -> tuple[Cell, ...]:
        """The row of ``process_counters`` that begins with ``head``."""
        return head + self._layout.cells((*self._totals, None))  # type: ignore[no-any-return]
