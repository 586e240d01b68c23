"""From readings to counts that never go back. Pure.

A group that shares the PMU with others counts for a part of the time only: its counts are scaled to the time enabled,
per interval. To scale totals would go back: 1000 counted in 10 of 100 make 10000, 1010 in 110 of 200 make 1836.

This runs for every thread in every tick. So a reading is not taken apart but is one number, with 64 bits for each
value: to subtract and to add such numbers is to do it with all their values, as long as none of them goes below 0 or
reaches 2**63. Only what is to be scaled, and what is to be shown, is taken apart.
"""

import struct
from collections.abc import Callable, Sequence
from operator import add, itemgetter
from typing import TypeAlias

from ztop_protocol.frame import Cell
from ztopd.collectors.perf.probe import COUNTS, Countable, place_of

Reading: TypeAlias = int
"""Of one thread, the first value in the lowest bits, as on every machine that ztopd can count on.

For each group, for each core PMU: how many events there are, time enabled, time running (ns), and their counts.
"""

_Picker: TypeAlias = Callable[[Sequence[int]], tuple[int, ...]]

_BITS = 64
_ALL = (1 << _BITS) - 1


def scaled(count: int, enabled_ns: int, running_ns: int) -> int:
    """What would have been counted in all of the time enabled, to the nearest."""
    if enabled_ns == running_ns:
        return count
    return (count * enabled_ns + running_ns // 2) // running_ns


class Layout:
    """Where everything stands: in a reading, in the totals of a process, and in its row."""

    def __init__(self, countable: Countable) -> None:
        self.countable = countable
        form = "<"
        self._groups: list[tuple[list[int], int, bool]] = []
        """Of each group: where its part on each PMU begins, how many events it has, and whether its time is kept."""
        places: list[int] = []
        enabled: list[int] = []
        plain: list[int] = []
        position = read = enabled_values = 0
        for group in countable.groups:
            events = len(group.places)
            starts = []
            for _ in group.attributes:
                starts.append(position)
                # before them, how many events there are
                form += f"8x{2 + events}Q"
                position += 2 + events
                enabled_values |= _ALL << (read + 1) * _BITS
                read += 3 + events
            self._groups.append((starts, events, group.time_place is not None))
            enabled.append(starts[0])
            places += group.places
            plain += range(starts[0] + 2, starts[0] + 2 + events)
            if group.time_place is not None:
                places.append(group.time_place)
                plain.append(starts[0])
        self._form = struct.Struct(form)
        self.bytes = self._form.size
        self._mask = (1 << 8 * self.bytes) - 1
        self.enabled_values = enabled_values
        """All bits of each time enabled."""
        self.signs = sum(1 << (place + 1) * _BITS - 1 for place in range(read))
        """The highest bit of each value."""
        places += (place_of("enabled_time_ns"), place_of("running_time_ns"))
        self.size = len(places)
        self.is_hybrid = any(len(starts) > 1 for starts, _, _ in self._groups)
        self._enabled = _picker(enabled)
        # behind the reading stands the time that all groups were enabled, and running
        self._plain = _picker([*plain, position, position])
        where = {place: index for index, place in enumerate(places)}
        # behind the totals stands what is not counted
        self.cells = itemgetter(*(where.get(place, self.size) for place in range(COUNTS)))

    def plain_amounts(self, grown: Reading) -> Sequence[int]:
        """What plain intervals add to the totals."""
        values = self._values(grown)
        return self._plain((*values, sum(self._enabled(values))))

    def scaled_amounts(self, grown: Reading) -> Sequence[int]:
        """What an interval adds to the totals where groups took turns, or were on several PMUs.

        A thread is on one kind of core at a time, while the groups of all kinds are enabled: so the time enabled is
        that of one of them, and the times running add up. Where none was running, nothing is known and nothing added
        but the time enabled.
        """
        values = self._values(grown)
        amounts: list[int] = []
        all_enabled_ns = all_running_ns = 0
        for starts, events, keeps_time in self._groups:
            enabled_ns = max(values[start] for start in starts)
            running_ns = sum(values[start + 1] for start in starts)
            for event in range(2, 2 + events):
                count = sum(values[start + event] for start in starts)
                amounts.append(scaled(count, enabled_ns, running_ns) if running_ns else 0)
            if keeps_time:
                amounts.append(enabled_ns if running_ns else 0)
            all_enabled_ns += enabled_ns
            all_running_ns += running_ns
        return (*amounts, all_enabled_ns, all_running_ns)

    def _values(self, reading: Reading) -> tuple[int, ...]:
        """What stands in it, but for how many events there are."""
        # 2**64 cycles are half a year of 192 cores
        return self._form.unpack((reading & self._mask).to_bytes(self.bytes, "little"))


def _picker(places: Sequence[int]) -> _Picker:
    if len(places) == 1:
        (place,) = places
        return lambda row: (row[place],)
    return itemgetter(*places)


class Counts:
    """The counted cells of one process's row. An event that nobody counts is None, all else begins at 0."""

    __slots__ = ("_layout", "_plain", "_scaled")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._plain: Reading = 0
        """What came about in intervals that are not to be scaled."""
        self._scaled: Sequence[int] | None = None

    def add(self, before: Reading, after: Reading) -> None:
        """What one thread did in between. What went back is none, and adds nothing."""
        grown = after - before
        layout = self._layout
        if grown & layout.signs:
            return
        # each time running stands above the time enabled, and is the same where the group counted all the time
        if (grown ^ grown >> _BITS) & layout.enabled_values == 0 and not layout.is_hybrid:
            self._plain += grown
        elif self._scaled is None:
            self._scaled = layout.scaled_amounts(grown)
        else:
            self._scaled = tuple(map(add, self._scaled, layout.scaled_amounts(grown)))

    def _totals(self) -> Sequence[int]:
        plain = self._layout.plain_amounts(self._plain)
        return plain if self._scaled is None else tuple(map(add, plain, self._scaled))

    @property
    def enabled_time_ns(self) -> int:
        """Of all groups."""
        return self._totals()[-2]

    @property
    def cells(self) -> tuple[int | None, ...]:
        """In the order of the schema."""
        return self._layout.cells((*self._totals(), None))  # type: ignore[no-any-return]

    def row(self, head: tuple[Cell, ...]) -> tuple[Cell, ...]:
        """The row of ``process_counters`` that begins with ``head``."""
        return head + self.cells
