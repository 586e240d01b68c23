"""What a spike is: a simple rule over one quantity's shares of time. Pure; docs/events.md says it for people.

The value of a frame is in percent: of one core for CPU time, of the time for pressure. It is compared with the mean
of the last :data:`WINDOW_NS` before this frame, and a spike begins where it is over it by a threshold. It is told
once, and is over when :data:`SETTLED_FRAMES` frames in a row were nearer to the mean before it than half of the
threshold, or when it filled the window, so that it is what is usual now. None begins before :data:`WARM_UP_NS`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_NS = 60_000_000_000
WARM_UP_NS = 10_000_000_000
SETTLED_FRAMES = 3
_MAX_FRAMES = 600
"""A minute of the shortest interval that ztopd takes."""


def cpu_threshold(mean_percent: float) -> float:
    """0.7 of a core, or half of what is usual."""
    return max(70.0, mean_percent / 2)


def pressure_threshold(mean_percent: float) -> float:
    """15 points, and at least 20 % in all."""
    return max(15.0, 20.0 - mean_percent)


@dataclass(frozen=True, slots=True)
class Spike:
    """The value at its beginning, and the mean before it."""

    percent: float
    mean_percent: float


class SpikeDetector:
    """Follows one quantity from frame to frame."""

    def __init__(self, threshold: Callable[[float], float]) -> None:
        """``threshold``: how much over a mean is too much, in percent."""
        self._threshold = threshold
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forgets everything: what was before says nothing about what follows."""
        self._history: deque[tuple[int, int]] = deque()
        self._interval_ns = self._time_ns = 0
        self._over_below: float | None = None
        """The value under which the spike that lasts would be over; None: there is none."""
        self._lasts_ns = self._settled = 0

    def take(self, interval_ns: int, time_ns: int) -> Spike | None:
        """The spike that begins with this frame, if one does.

        ``time_ns``: how much of the counted time fell into this frame's interval, which must not be 0.
        """
        percent = 100 * time_ns / interval_ns
        begins = None
        if self._over_below is not None:
            self._lasts_ns += interval_ns
            self._settled = self._settled + 1 if percent < self._over_below else 0
            if self._settled == SETTLED_FRAMES or self._lasts_ns >= WINDOW_NS:
                self._over_below = None
        elif self._interval_ns >= WARM_UP_NS:
            mean = 100 * self._time_ns / self._interval_ns
            threshold = self._threshold(mean)
            if percent >= mean + threshold:
                begins = Spike(percent, mean)
                self._over_below, self._lasts_ns, self._settled = mean + threshold / 2, interval_ns, 0
        self._remember(interval_ns, time_ns)
        return begins

    def _remember(self, interval_ns: int, time_ns: int) -> None:
        self._history.append((interval_ns, time_ns))
        self._interval_ns += interval_ns
        self._time_ns += time_ns
        while self._interval_ns - self._history[0][0] >= WINDOW_NS or len(self._history) > _MAX_FRAMES:
            oldest_interval_ns, oldest_time_ns = self._history.popleft()
            self._interval_ns -= oldest_interval_ns
            self._time_ns -= oldest_time_ns
