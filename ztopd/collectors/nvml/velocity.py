"""How fast memory grows, and when it will be full. Pure; docs/gpus.md has the rules for people, and a backtest."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt
from operator import mul, sub

SECOND_NS = 1_000_000_000
WINDOWS_NS = (5 * SECOND_NS, 10 * SECOND_NS, 20 * SECOND_NS, 30 * SECOND_NS)
"""The slope is that of the shortest one in which memory moved often enough to have one."""
LEAST_MOVES = 4
STEP_SHARE = 0.4
STEP_MEDIANS = 10
"""A move that is more than this part of all moves in the window, or so many times the median one, is an allocation and
no trend: it is taken out."""
SIGNIFICANCE = 3.0
"""In standard errors: a slope that is less is noise."""
RANGE_ERRORS = 2.0
LEAST_QUIET_NS = SECOND_NS
QUIET_GAPS = 2
"""A trend is over when nothing moved for this many times the longest pause that it had, and for a second at least."""
GAP_NS = 2 * SECOND_NS
"""After a pause in the samples they begin anew: what happened in it is not known."""
TOLERANCE_NS = 100_000_000
"""Polls come a little early or late: a window is full where this much is missing."""

HORIZON_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Velocity:
    """Bytes per second, negative where memory comes back, and the range in which it is likely to be.

    ``began_ns`` is when the first move came that the slope is made of; None where it is no slope: steady, or noise.
    """

    value: float
    low: float
    high: float
    began_ns: int | None

    @property
    def grows(self) -> bool:
        """Whether there is a slope, and upward."""
        return self.began_ns is not None and self.value > 0


STEADY = Velocity(0.0, 0.0, 0.0, None)


class Polls:
    """When the last samples were read, of all the memory that is read together."""

    def __init__(self) -> None:
        self.times: deque[int] = deque()

    def add(self, time_ns: int) -> bool:
        """A new poll. False: it begins anew, and so must every series of it; what was before the pause is over."""
        times = self.times
        goes_on = not times or 0 < time_ns - times[-1] <= GAP_NS
        if not goes_on:
            times.clear()
        times.append(time_ns)
        while time_ns - times[0] > WINDOWS_NS[-1] + TOLERANCE_NS:
            times.popleft()
        return goes_on


class Series:
    """One amount of memory at the times of ``polls``. Its moves alone are kept: what rests costs nothing."""

    def __init__(self, polls: Polls) -> None:
        self._polls = polls
        self._since_ns: int | None = None
        self._level = 0
        self._moves: deque[tuple[int, int]] = deque()

    def add(self, used_bytes: int | None) -> None:
        """The amount at the newest poll; a poll without one found what was there before.

        None: not known, and so nothing is known of what was before.
        """
        if used_bytes is None:
            self.forget()
            return
        now_ns = self._polls.times[-1]
        if self._since_ns is None:
            self._since_ns = now_ns
        elif used_bytes != self._level:
            self._moves.append((now_ns, used_bytes - self._level))
        self._level = used_bytes

    def forget(self) -> None:
        """Begins anew with the next sample."""
        self._since_ns = None
        self._moves.clear()

    def velocity(self) -> Velocity | None:
        """The slope now; None until the shortest window is full."""
        if self._since_ns is None:
            return None
        times, moves = self._polls.times, self._moves
        now_ns, begin_ns = times[-1], max(times[0], self._since_ns)
        if now_ns - begin_ns < WINDOWS_NS[0] - TOLERANCE_NS:
            return None
        while moves and moves[0][0] <= begin_ns:
            moves.popleft()
        if not moves:
            return STEADY
        polled = list(times)
        for window_ns in WINDOWS_NS:
            since_ns = now_ns - window_ns - TOLERANCE_NS
            found = _slope(polled[bisect_left(polled, max(since_ns, begin_ns)) :], moves)
            if found is not None:
                return found
            if since_ns <= begin_ns:
                break
        return STEADY


def _slope(times: list[int], moves: Iterable[tuple[int, int]]) -> Velocity | None:
    """The least-squares slope without what are steps; None where too little moved, or the slope is noise."""
    begin_ns, now_ns = times[0], times[-1]
    kept = _without_steps({at: move for at, move in moves if at > begin_ns})
    if len(kept) < LEAST_MOVES:
        return None
    moved = list(kept)
    pause_ns = max(map(sub, moved[1:], moved))
    if now_ns - moved[-1] > max(LEAST_QUIET_NS, QUIET_GAPS * pause_ns):
        return STEADY
    levels = list(accumulate([kept.get(at, 0) for at in times]))
    offsets = [at - begin_ns for at in times]
    slope, error = _fit(offsets, levels)
    if abs(slope) <= SIGNIFICANCE * error or slope * levels[-1] <= 0:
        return None
    half = len(times) // 2
    latest, _ = _fit(offsets[half:], levels[half:])
    margin = RANGE_ERRORS * error
    return Velocity(slope, min(slope - margin, latest), max(slope + margin, latest), moved[0])


def _without_steps(moves: dict[int, int]) -> dict[int, int]:
    """The moves, by time, without those that are none of a trend."""
    total = sum(map(abs, moves.values()))
    while len(moves) >= LEAST_MOVES:
        sizes = sorted(map(abs, moves.values()))
        if sizes[-1] <= min(STEP_SHARE * total, STEP_MEDIANS * sizes[len(sizes) // 2]):
            break
        total -= abs(moves.pop(max(moves, key=lambda at: abs(moves[at]))))
    return moves


def _fit(times: list[int], levels: list[int]) -> tuple[float, float]:
    """The slope of least squares and its standard error, in bytes a second. Exact: in whole numbers, of nanoseconds."""
    count, time, level = len(times), sum(times), sum(levels)
    spread = count * sum(map(mul, times, times)) - time * time
    shared = count * sum(map(mul, times, levels)) - time * level
    rest = (count * sum(map(mul, levels, levels)) - level * level) * spread - shared * shared
    return SECOND_NS * shared / spread, SECOND_NS * sqrt(rest / max(1, count - 2)) / spread


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds until memory is full, and the range; ``high`` is None where it may never be."""

    seconds: float
    low: float
    high: float | None


def eta(velocity: Velocity, free_bytes: int) -> Eta | None:
    """When memory will be full at this velocity; None where it does not grow, or not within an hour."""
    if not velocity.grows or free_bytes > velocity.value * HORIZON_SECONDS:
        return None
    high = free_bytes / velocity.low if velocity.low > 0 else None
    return Eta(free_bytes / velocity.value, free_bytes / velocity.high, high)
