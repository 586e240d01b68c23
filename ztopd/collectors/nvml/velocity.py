"""How fast memory grows, and when it will be full. Pure; docs/gpus.md has the rules for people, and a backtest."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

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


class Series:
    """The last samples of one amount of memory."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque()
        self._moved_ns: int | None = None

    def add(self, time_ns: int, used_bytes: int | None) -> None:
        """A new sample; None: not known, and so nothing is known of what was before."""
        samples = self._samples
        if used_bytes is None or (samples and not 0 < time_ns - samples[-1][0] <= GAP_NS):
            samples.clear()
            self._moved_ns = None
        if used_bytes is None:
            return
        if samples and samples[-1][1] != used_bytes:
            self._moved_ns = time_ns
        samples.append((time_ns, used_bytes))
        while time_ns - samples[0][0] > WINDOWS_NS[-1] + TOLERANCE_NS:
            samples.popleft()

    def velocity(self) -> Velocity | None:
        """The slope now; None until the shortest window is full."""
        samples = self._samples
        if not samples or samples[-1][0] - samples[0][0] < WINDOWS_NS[0] - TOLERANCE_NS:
            return None
        now_ns, begin_ns = samples[-1][0], samples[0][0]
        if self._moved_ns is None or self._moved_ns <= begin_ns:
            return STEADY
        everything = list(samples)
        for window_ns in WINDOWS_NS:
            since_ns = now_ns - window_ns - TOLERANCE_NS
            found = _slope([sample for sample in everything if sample[0] >= since_ns])
            if found is not None:
                return found
            if since_ns <= begin_ns:
                break
        return STEADY


def _slope(samples: list[tuple[int, int]]) -> Velocity | None:
    """The least-squares slope without what are steps; None where too little moved, or the slope is noise."""
    begin_ns, now_ns = samples[0][0], samples[-1][0]
    moves = [(at, level - before) for (_, before), (at, level) in pairwise(samples)]
    kept = _without_steps({at: move for at, move in moves if move})
    if len(kept) < LEAST_MOVES:
        return None
    times = list(kept)
    pause_ns = max(later - earlier for earlier, later in pairwise(times))
    if now_ns - times[-1] > max(LEAST_QUIET_NS, QUIET_GAPS * pause_ns):
        return STEADY
    level = 0
    points = [(0.0, 0.0)]
    for at, _ in moves:
        level += kept.get(at, 0)
        points.append(((at - begin_ns) / SECOND_NS, float(level)))
    slope, error = _fit(points)
    if abs(slope) <= SIGNIFICANCE * error or slope * level <= 0:
        return None
    latest, _ = _fit(points[len(points) // 2 :])
    margin = RANGE_ERRORS * error
    return Velocity(slope, min(slope - margin, latest), max(slope + margin, latest), times[0])


def _without_steps(moves: dict[int, int]) -> dict[int, int]:
    """The moves, by time, without those that are none of a trend."""
    total = sum(map(abs, moves.values()))
    while len(moves) >= LEAST_MOVES:
        sizes = sorted(map(abs, moves.values()))
        if sizes[-1] <= min(STEP_SHARE * total, STEP_MEDIANS * sizes[len(sizes) // 2]):
            break
        total -= abs(moves.pop(max(moves, key=lambda at: abs(moves[at]))))
    return moves


def _fit(points: list[tuple[float, float]]) -> tuple[float, float]:
    """The slope of least squares, and its standard error."""
    count = len(points)
    mean_x = sum([x for x, _ in points]) / count
    mean_y = sum([y for _, y in points]) / count
    spread = sum([(x - mean_x) ** 2 for x, _ in points])
    slope = sum([(x - mean_x) * (y - mean_y) for x, y in points]) / spread
    rest = sum([(y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points])
    return slope, sqrt(rest / max(1, count - 2) / spread)


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
