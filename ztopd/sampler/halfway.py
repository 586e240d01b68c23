"""Halfway between two ticks, while somebody asks for what is sampled then."""

import math

WANTED_SECONDS = 5.0
"""How long a wish holds; who watches repeats it with every frame."""
LATE_SHARE = 1 / 8
"""So much of an interval late it is left out: the next tick is near, and comes in time."""


class Halfway:
    """When it is due: never but while it is wanted, nor where nothing new can be there so soon. By time.monotonic()."""

    def __init__(self, interval_seconds: float, poll_seconds: float) -> None:
        """Ticks come every ``interval_seconds``; what is sampled between them is read every ``poll_seconds``."""
        self._interval_seconds = interval_seconds
        self._poll_seconds = poll_seconds
        self._wanted_until = -math.inf
        self._next = math.inf

    def ticks_every(self, interval_seconds: float) -> None:
        """Ticks come at another interval, from the next one on."""
        self._interval_seconds = interval_seconds

    def want(self, now: float) -> None:
        """Somebody asks for it, for a while and a few ticks."""
        self._wanted_until = now + WANTED_SECONDS + 2 * self._interval_seconds

    def ticked(self, now: float, next_tick: float) -> None:
        """A tick ended now; the next one comes at ``next_tick``."""
        half = self._interval_seconds / 2
        halfway = next_tick - half
        # the second frame comes sooner than that
        self._next = halfway if half >= self._poll_seconds and halfway >= now else math.inf

    @property
    def due(self) -> float:
        """The next time; infinite where there is none."""
        return self._next if self._next < self._wanted_until else math.inf

    def passed(self, now: float) -> bool:
        """It was due, and is over: whether that is in time."""
        is_in_time = now - self._next <= LATE_SHARE * self._interval_seconds
        self._next = math.inf
        return is_in_time
