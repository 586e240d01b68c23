"""When a GPU's memory will be full, and when to warn of it. Pure; docs/gpus.md has the rule for people."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from ztopd.collectors.nvml.velocity import HORIZON_SECONDS, SECOND_NS, TOLERANCE_NS, Eta, Velocity, eta

LEAST_RISE_NS = 5 * SECOND_NS
"""A rise that is shorter has no end yet that could be told."""
LEAST_SUSTAINED_NS = 20 * SECOND_NS
"""Loading a model is over by then, mostly."""
NEARING_NS = 10 * SECOND_NS
NEARING = 0.5
"""In the last 10 s the end must have come nearer by half of that: where it recedes, growth comes to rest."""
REMEMBERED_NS = 600 * SECOND_NS
"""So long a level counts from which memory came back."""
RELEASE_SHARE = 0.01
"""Of all memory: what comes back at least, for a release."""
OVER_SHARE = 0.25
"""Of the fall: by so much memory must be over its old top before growth is news."""
NEARLY_FULL_SHARE = 0.05
"""Of all memory: a top with less free is no proof that it would stop there."""
CLEAR_SHARE = 2
CLEARED_NS = 10 * SECOND_NS
"""A warning is over when for so long the end was further away than twice what is warned of."""
TOPS = 4
"""So many tops of a sawtooth, each over the one before, make a trend of their own."""


@dataclass(slots=True)
class _Top:
    """A level from which memory came back, how far, and when it was left."""

    level: int
    bottom: int
    at_ns: int

    @property
    def bar(self) -> float:
        return self.level + OVER_SHARE * (self.level - self.bottom)


class Tops:
    """The levels of the last minutes from which memory came back."""

    def __init__(self) -> None:
        self._highest = 0
        self._last: deque[_Top] = deque(maxlen=TOPS)
        self._survived: _Top | None = None
        """The highest that did not end in want of memory."""

    def add(self, time_ns: int, used_bytes: int, whole_bytes: int) -> None:
        """Follows the level."""
        survived = self._survived
        if survived is not None and time_ns - survived.at_ns > REMEMBERED_NS:
            self._survived = survived = None
        self._highest = max(self._highest, used_bytes)
        for top in (survived, self._last[-1] if self._last else None):
            if top is not None:
                top.bottom = min(top.bottom, used_bytes)
        if self._highest - used_bytes < RELEASE_SHARE * whole_bytes:
            return
        top = _Top(self._highest, used_bytes, time_ns)
        if not self._last or self._is_new(top):
            self._last.append(top)
        is_full = whole_bytes - top.level < NEARLY_FULL_SHARE * whole_bytes
        if not is_full and (survived is None or top.level >= survived.level):
            self._survived = top
        self._highest = used_bytes

    def _is_new(self, top: _Top) -> bool:
        """Whether memory had come up again since the last one: a fall may take several samples."""
        last = self._last[-1]
        return top.level - last.bottom > (last.level - last.bottom) / 2

    def is_known(self, used_bytes: int) -> bool:
        """Whether memory has been about there, and came back."""
        return self._survived is not None and used_bytes <= self._survived.bar

    def end(self, time_ns: int, used_bytes: int, whole_bytes: int) -> Eta | None:
        """When the tops of a sawtooth that rises will reach the end; None where there is none, or it left its trend."""
        tops = self._last
        if len(tops) < TOPS or used_bytes > tops[-1].bar:
            return None
        steps = [(later.at_ns - earlier.at_ns, later.level - earlier.level) for earlier, later in pairwise(tops)]
        if min(rise for _, rise in steps) <= 0 or time_ns - tops[-1].at_ns > 2 * max(pause for pause, _ in steps):
            return None
        ends = [(whole_bytes - tops[-1].level) * pause / rise for pause, rise in steps]
        whole_ns, whole_rise = tops[-1].at_ns - tops[0].at_ns, tops[-1].level - tops[0].level
        mean = (whole_bytes - tops[-1].level) * whole_ns / whole_rise
        since_ns = time_ns - tops[-1].at_ns
        seconds, low, high = (max(0.0, (end - since_ns) / SECOND_NS) for end in (mean, min(ends), max(ends)))
        return Eta(seconds, low, high) if seconds <= HORIZON_SECONDS else None


class Approach:
    """Follows the memory of one GPU: ``stands`` while a warning does."""

    def __init__(self, warn_seconds: float) -> None:
        self._warn_seconds = warn_seconds
        self._tops = Tops()
        self._rise_ns: int | None = None
        self._etas: deque[tuple[int, float]] = deque()
        self._reason_ns: int | None = None
        self.stands = False

    def add(self, time_ns: int, used_bytes: int, free_bytes: int, velocity: Velocity | None) -> tuple[Eta | None, bool]:
        """The time until memory is full, and whether a warning begins with this sample."""
        whole_bytes = used_bytes + free_bytes
        self._tops.add(time_ns, used_bytes, whole_bytes)
        of_rise = self._end_of_rise(time_ns, free_bytes, velocity)
        of_tops = self._tops.end(time_ns, used_bytes, whole_bytes)
        forecast = of_tops or of_rise
        begins = False
        if forecast is not None and forecast.seconds <= self._warn_seconds * (CLEAR_SHARE if self.stands else 1):
            if self.stands or of_tops is not None or self._is_news(time_ns, used_bytes, forecast):
                self._reason_ns = time_ns
                begins, self.stands = not self.stands, True
        elif self._reason_ns is None or time_ns - self._reason_ns >= CLEARED_NS:
            self.stands = False
        return forecast, begins

    def _end_of_rise(self, time_ns: int, free_bytes: int, velocity: Velocity | None) -> Eta | None:
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
        # as long as it rose already, and no longer, it is believed to go on
        sustained_ns = max(LEAST_SUSTAINED_NS, forecast.seconds * SECOND_NS)
        if self._rise_ns is None or time_ns - self._rise_ns < sustained_ns:
            return False
        then_ns, then = self._etas[0]
        if then - forecast.seconds < NEARING * (time_ns - then_ns) / SECOND_NS:
            return False
        return not self._tops.is_known(used_bytes)
