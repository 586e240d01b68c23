"""The bound on what ztopd itself costs: over a share of a core it samples less often, and says so.

Every :data:`WINDOW_SECONDS`, and after three ticks at the least, the CPU time of that window is looked at. Over the
share the interval is doubled, up to :data:`MOST_SECONDS`; under two fifths of it, it is halved again, down to what was
set: half as often costs no less than half, so that the interval does not go to and fro.
"""

from dataclasses import dataclass

from ztop_protocol.schema import SourceState
from ztopd.collectors.source import Problem

WINDOW_SECONDS = 10.0
WINDOW_TICKS = 3
MOST_SECONDS = 60.0
"""The interval grows no longer than this; one that was set longer stays as it is."""
BACK_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU time of ztopd's processes since each was started, in ns; 0 of one that is not there."""

    sampler_ns: int
    reader_ns: int
    server_ns: int

    def since(self, before: "Spent") -> int:
        """What counts of the time since then: what sampling took, and of the server no more than as much again.

        The server works for whoever asks, and nobody may slow down the sampling by asking much. A process that was
        started anew counts nothing once.
        """
        sampling = max(0, self.sampler_ns - before.sampler_ns) + max(0, self.reader_ns - before.reader_ns)
        return sampling + min(sampling, max(0, self.server_ns - before.server_ns))


class Bound:
    """Decides about the interval by what was spent. By time.monotonic()."""

    def __init__(self, interval_seconds: float, most_percent: float) -> None:
        """``interval_seconds`` is what was set, ``most_percent`` the share of one core."""
        self.interval_seconds = interval_seconds
        """Between two frames, now."""
        self._usual = interval_seconds
        self._most_percent = most_percent
        self._percent = 0.0
        """What it was when the interval was changed last."""
        self._window: tuple[float, Spent] | None = None
        self._ticks = 0

    def ticked(self, now: float, spent: Spent) -> bool:
        """A tick ended: whether the next ones come at another interval."""
        if self._window is None:
            self._window = now, spent
            return False
        self._ticks += 1
        began, before = self._window
        if now - began < WINDOW_SECONDS or self._ticks < WINDOW_TICKS:
            return False
        percent = spent.since(before) / (now - began) / 1e7
        self._window, self._ticks = (now, spent), 0
        interval = self._judged(percent)
        if interval == self.interval_seconds:
            return False
        self.interval_seconds, self._percent = interval, percent
        return True

    def _judged(self, percent: float) -> float:
        if percent > self._most_percent and self.interval_seconds * 2 <= MOST_SECONDS:
            return self.interval_seconds * 2
        if percent < BACK_SHARE * self._most_percent and self.interval_seconds > self._usual:
            return self.interval_seconds / 2
        return self.interval_seconds

    def problem(self) -> Problem | None:
        """For ``sources``, while the interval is longer than it was set."""
        if self.interval_seconds == self._usual:
            return None
        return Problem(
            SourceState.DEGRADED,
            f"a frame every {self.interval_seconds:g} s, not every {self._usual:g} s: sampling may take "
            f"{self._most_percent:g} % of a core, and took {self._percent:.1f} % when that was changed last",
            "raise cpu_percent in ztopd.toml, or see which source costs so much",
        )
