"""Ways in which the memory of a GPU grows, or seems to: each a function of time, for tests and bench/oom_eta.py.

The card has 24 GiB. ``end_s`` is when the memory that is asked for is no longer there; None: there is always enough.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ztopd.collectors.nvml.approach import Approach
from ztopd.collectors.nvml.velocity import Eta, Polls, Series

MIB, GIB = 1 << 20, 1 << 30
TOTAL_BYTES = 24 * GIB
GRAIN_BYTES = 2 * MIB
"""Drivers hand out memory in pages of 2 MiB."""
POLL_S = 0.2
WARN_S = 60.0

Level = Callable[[float], float]
"""Seconds -> bytes asked for."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One script. ``holes`` are spans in which nothing could be read."""

    name: str
    level: Level
    seconds: float
    ends: bool
    holes: tuple[tuple[float, float], ...] = ()

    @property
    def end_s(self) -> float | None:
        """When memory ran out; found by walking, to a poll."""
        if not self.ends:
            return None
        return next(at for at in _times(self, 0.01) if self.level(at) >= TOTAL_BYTES)


def _times(pattern: Pattern, step_s: float) -> Iterator[float]:
    for number in range(int(pattern.seconds / step_s)):
        yield number * step_s


@dataclass(slots=True)
class Outcome:
    """What the rule made of a pattern: the ETA at every poll, and when warnings began."""

    pattern: Pattern
    end_s: float | None
    etas: list[tuple[float, Eta | None]] = field(default_factory=list)
    warnings_s: list[float] = field(default_factory=list)

    def error_at(self, before_s: float) -> float | None:
        """The ETA less the truth, in seconds, so long before the end; None: none was given, or it began later."""
        if self.end_s is None:
            return None
        at = self.end_s - before_s
        place = bisect_right(self.etas, at, key=lambda one: one[0]) - 1
        found = self.etas[place][1] if place >= 0 else None
        return None if found is None else found.seconds - (self.end_s - self.etas[place][0])

    @property
    def lead_s(self) -> float | None:
        """How long before the end the last warning began."""
        before = [self.end_s - at for at in self.warnings_s if self.end_s is not None and at <= self.end_s]
        return min(before, default=None)

    @property
    def is_missed(self) -> bool:
        """Whether memory ran out without a warning."""
        return self.end_s is not None and self.lead_s is None

    @property
    def false_alarms(self) -> int:
        """Warnings after which memory did not run out within three times what was warned of."""
        end = math.inf if self.end_s is None else self.end_s
        return sum(1 for at in self.warnings_s if end - at > 3 * WARN_S or at > end)


def play(pattern: Pattern) -> Outcome:
    """Runs a pattern through the rule, poll by poll. Polls come up to 20 ms late."""
    outcome = Outcome(pattern, pattern.end_s)
    polls, approach, late = Polls(), Approach(WARN_S), random.Random(7)
    series = Series(polls)
    for planned in _times(pattern, POLL_S):
        at = planned + late.random() * 0.02
        if any(begin <= at < end for begin, end in pattern.holes):
            continue
        used = max(0, min(TOTAL_BYTES, int(pattern.level(at)) // GRAIN_BYTES * GRAIN_BYTES))
        now_ns = int(at * 1e9)
        if not polls.add(now_ns):
            series.forget()
        series.add(used)
        found, begins = approach.add(now_ns, used, TOTAL_BYTES - used, series.velocity())
        outcome.etas.append((at, found))
        if begins:
            outcome.warnings_s.append(at)
        if outcome.end_s is not None and at >= outcome.end_s:
            break
    return outcome


def _rise(begin_gib: float, mib_per_second: float, at_s: float = 30.0) -> Level:
    return lambda t: begin_gib * GIB + max(0.0, t - at_s) * mib_per_second * MIB


def _stairs(begin_gib: float, step_mib: float, every_s: float) -> Level:
    return lambda t: begin_gib * GIB + max(0, int((t - 30) / every_s)) * step_mib * MIB


def _noisy(level: Level, mib: float, seed: int = 1) -> Level:
    def noisy(t: float) -> float:
        # the same at every call for the same time
        return level(t) + random.Random(int(t * 5) * 1_000_003 + seed).uniform(-mib, mib) * MIB

    return noisy


def _until(level: Level, end_s: float, after: Level | None = None) -> Level:
    """As it is until then; afterwards as it was at the end, or another."""
    return lambda t: level(t) if t < end_s else level(end_s) if after is None else after(t)


def _sawtooth(bottom_gib: float, height_gib: float, period_s: float, leak_mib: float = 0.0) -> Level:
    return lambda t: (
        bottom_gib * GIB + height_gib * GIB * (t % period_s) / period_s + int(t / period_s) * period_s * leak_mib * MIB
    )


def _poisson(begin_gib: float, mean_mib: float, per_second: float, seconds: float, seed: int = 3) -> Level:
    source = random.Random(seed)
    times, levels = [30.0], [begin_gib * GIB]
    while times[-1] < seconds:
        times.append(times[-1] + source.expovariate(per_second))
        levels.append(levels[-1] + source.expovariate(1 / mean_mib) * MIB)
    return lambda t: levels[max(0, bisect_right(times, t) - 1)]


def _walk(low_gib: float, high_gib: float, step_mib: float, seconds: float, seed: int = 5) -> Level:
    source, level = random.Random(seed), (low_gib + high_gib) / 2 * GIB
    levels = []
    for _ in range(int(seconds / POLL_S) + 2):
        level = min(high_gib * GIB, max(low_gib * GIB, level + source.gauss(0, step_mib) * MIB))
        levels.append(level)
    return lambda t: levels[int(t / POLL_S)]


def _paused(begin_gib: float, mib_per_second: float, rise_s: float, pause_s: float) -> Level:
    def level(t: float) -> float:
        rounds, rest = divmod(max(0.0, t - 30), rise_s + pause_s)
        return begin_gib * GIB + (rounds * rise_s + min(rest, rise_s)) * mib_per_second * MIB

    return level


PATTERNS = (
    Pattern("leak, 200 MiB/s", _rise(12, 200), 120, True),
    Pattern("leak, 20 MiB/s", _rise(21, 20), 240, True),
    Pattern("leak, 2 MiB/s", _rise(23.5, 2), 400, True),
    Pattern("leak, 0.5 MiB/s, in pages", _rise(23.9, 0.5), 400, True),
    Pattern("100 MiB every 1 s", _stairs(12, 100, 1), 200, True),
    Pattern("512 MiB every 3 s", _stairs(10, 512, 3), 200, True),
    Pattern("1 GiB every 8 s", _stairs(10, 1024, 8), 200, True),
    Pattern("faster and faster", lambda t: 4 * GIB + max(0.0, t - 30) ** 2 * 2 * MIB, 200, True),
    Pattern("slower and slower", lambda t: 4 * GIB + math.sqrt(max(0.0, t - 30)) * 2 * GIB, 200, True),
    Pattern("100 MiB/s, noise of 100 MiB", _noisy(_rise(12, 100), 100), 240, True),
    Pattern("10 MiB/s, noise of 100 MiB", _noisy(_rise(22, 10), 100), 300, True),
    Pattern("allocations at random, 100 MiB/s", _poisson(12, 50, 2, 240), 240, True),
    Pattern("leak, 50 MiB/s, and 2 GiB at once", lambda t: _rise(12, 50)(t) + (2 * GIB if t > 100 else 0), 300, True),
    Pattern("two that grow, 30 and 120 MiB/s", lambda t: _rise(6, 30)(t) + _rise(6, 120, 60)(t), 240, True),
    Pattern("rises 20 s, rests 5 s", _paused(10, 150, 20, 5), 240, True),
    Pattern("2 GiB/s to the end", _rise(1, 2048), 60, True),
    Pattern("500 MiB/s, ended by lack of memory, again", _until(_rise(2, 500), 74, _rise(2, 500, 90)), 200, True),
    Pattern("leak, 100 MiB/s, 6 s unread", _rise(14, 100), 200, True, ((80, 86),)),
    Pattern("sawtooth of 2 GiB, leaks 50 MiB/s", _sawtooth(14, 2, 10, 50), 300, True),
    Pattern("steady", lambda t: 20 * GIB, 300, False),
    Pattern("steady, nearly full", lambda t: 23.9 * GIB, 300, False),
    Pattern("steady, noise of 100 MiB", _noisy(lambda t: 20 * GIB, 100), 600, False),
    Pattern("plateau: 10 GiB at 1 GiB/s", _until(_rise(1, 1024), 40), 200, False),
    Pattern("plateau: 20 GiB at 2 GiB/s", _until(_rise(1, 2048), 40), 200, False),
    Pattern("plateau: 12 GiB at 500 MiB/s", _until(_rise(0.5, 500), 53), 200, False),
    Pattern("plateau, nears 22 GiB slowly", lambda t: 22 * GIB * (1 - math.exp(-max(0, t - 30) / 40)), 400, False),
    Pattern("14 GiB at 2 GiB/s, then 8 GiB at once", lambda t: _rise(0, 2048)(min(t, 37)) + (8 * GIB if t > 45 else 0),
            200, False),
    Pattern("one allocation of 8 GiB", lambda t: (8 if t < 60 else 16) * GIB, 200, False),
    Pattern("sawtooth of 6 GiB, 20 s", _sawtooth(14, 6, 20), 600, False),
    Pattern("sawtooth of 8 GiB, 40 s", _sawtooth(14, 8, 40), 600, False),
    Pattern("release of 15 GiB", lambda t: (20 if t < 60 else 5) * GIB, 200, False),
    Pattern("restart: 18 GiB at 1 GiB/s, twice", lambda t: _rise(0, 1024)(min(t, 48) if t < 100 else min(t - 75, 48)),
            300, False),
    Pattern("wanders from 10 to 20 GiB", _walk(10, 20, 60, 900), 900, False),
    Pattern("evaluation: 3 GiB up for 20 s of every 60", lambda t: (15 + (3 if t % 60 < 20 else 0)) * GIB, 600, False),
    Pattern("stops short: 200 MiB/s up to 22 GiB", _until(_rise(2, 200), 132), 300, False),
)  # fmt: skip
