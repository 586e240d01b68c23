"""When a GPU's memory runs full soon enough to warn, and not before. Pure; docs/gpus.md has the rule for people."""

from collections import deque
from dataclasses import dataclass

from ztopd.collectors.nvml.velocity import SECOND_NS, TOLERANCE_NS, Eta, Velocity, eta

LEAST_RISE_NS = 5 * SECOND_NS
"""A rise that is shorter has no end yet that could be told."""
LEAST_SUSTAINED_NS = 20 * SECOND_NS
"""Loading a model is over by then, mostly."""
NEARING_NS = 10 * SECOND_NS
NEARING = 0.5
"""In the last 10 s the end must have come nearer by half of that: where it recedes, growth comes to rest."""
REMEMBERED_NS = 600 * SECOND_NS
"""So long the level counts from which memory came back."""
RELEASE_SHARE = 0.01
"""Of all memory: what comes back at least, for a release."""
OVER_SHARE = 0.25
"""Of the fall: by so much memory must be over its old top before growth is news."""
NEARLY_FULL_SHARE = 0.05
"""Of all memory: a top with less free is no proof that it would stop there."""
CLEARED_NS = 10 * SECOND_NS
"""A warning is over when there was no reason for it for so long."""


@dataclass(slots=True)
class _Top:
    """A level from which memory came back, how far, and when."""

    level: int
    bottom: int
    at_ns: int

    @property
    def bar(self) -> float:
        return self.level + OVER_SHARE * (self.level - self.bottom)


class Approach:
    """Follows the memory of one GPU: ``stands`` while a warning does."""

    def __init__(self, warn_seconds: float) -> None:
        self._warn_seconds = warn_seconds
        self._highest = 0
        self._top: _Top | None = None
        self._rise_ns: int | None = None
        self._reason_ns: int | None = None
        self._etas: deque[tuple[int, float]] = deque()
        self.stands = False

    def add(self, time_ns: int, used_bytes: int, free_bytes: int, velocity: Velocity | None) -> tuple[Eta | None, bool]:
        """The time until memory is full, and whether a warning begins with this sample."""
        self._follow(time_ns, used_bytes, used_bytes + free_bytes)
        forecast = self._forecast(time_ns, free_bytes, velocity)
        if forecast is not None and self._is_news(time_ns, used_bytes, forecast):
            self._reason_ns = time_ns
            begins, self.stands = not self.stands, True
            return forecast, begins
        soon = forecast is not None and forecast.seconds <= self._warn_seconds
        if soon and self.stands:
            self._reason_ns = time_ns
        elif self._reason_ns is None or time_ns - self._reason_ns >= CLEARED_NS:
            self.stands = False
        return forecast, False

    def _forecast(self, time_ns: int, free_bytes: int, velocity: Velocity | None) -> Eta | None:
        if velocity is None or velocity.began_ns is None or not velocity.grows:
            self._rise_ns = None
            self._etas.clear()
            return None
        if self._rise_ns is None:
            self._rise_ns = velocity.began_ns
        if time_ns - self._rise_ns < LEAST_RISE_NS - 2 * TOLERANCE_NS:
            return None
        forecast = eta(velocity, free_bytes)
        if forecast is not None:
            self._etas.append((time_ns, forecast.seconds))
        while len(self._etas) > 1 and self._etas[1][0] <= time_ns - NEARING_NS:
            self._etas.popleft()
        return forecast

    def _is_news(self, time_ns: int, used_bytes: int, forecast: Eta) -> bool:
        if forecast.seconds > self._warn_seconds or self._rise_ns is None:
            return False
        # as long as it rose already, and no longer, it is believed to go on
        if time_ns - self._rise_ns < max(LEAST_SUSTAINED_NS, forecast.seconds * SECOND_NS):
            return False
        then_ns, then = self._etas[0]
        if then - forecast.seconds < NEARING * (time_ns - then_ns) / SECOND_NS:
            return False
        return self._top is None or used_bytes > self._top.bar

    def _follow(self, time_ns: int, used_bytes: int, whole_bytes: int) -> None:
        """Keeps the highest level from which memory came back of late."""
        top = self._top
        if top is not None and time_ns - top.at_ns > REMEMBERED_NS:
            self._top = top = None
        self._highest = max(self._highest, used_bytes)
        if top is not None:
            top.bottom = min(top.bottom, used_bytes)
        if self._highest - used_bytes < RELEASE_SHARE * whole_bytes:
            return
        survived = whole_bytes - self._highest >= NEARLY_FULL_SHARE * whole_bytes
        if survived and (top is None or self._highest >= top.level):
            self._top = _Top(self._highest, used_bytes, time_ns)
        self._highest = used_bytes
