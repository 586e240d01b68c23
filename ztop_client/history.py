"""What was seen of one figure in every second of the last minutes, such as how busy all CPUs were. Pure."""

from collections.abc import Callable
from typing import TypeAlias

from ztop_protocol.frame import Frame
from ztop_protocol.rates import RATE_POSITION, RateTable

SECOND_NS = 1_000_000_000
_MOST_SECONDS = 600
_GAP = 3
"""An interval so many times as long as the one before it is one in which nobody looked."""
_BUSY = RATE_POSITION["cpus"]["busy_percent"]

Figure: TypeAlias = Callable[[Frame | None, Frame], float | None]
"""A frame, and the one before it -> what is remembered of the time between them; None: it is not known."""


class History:
    """The seconds of one boot, by CLOCK_BOOTTIME, in whatever order their frames come. Bounded.

    ``section`` is the one that ``figure`` is made of: its sample times are those of the figure.
    """

    def __init__(self, section: str, figure: Figure) -> None:
        self._section = section
        self._figure = figure
        self._last: Frame | None = None
        self._length_ns: int | None = None
        self._seconds: dict[int, tuple[float, int]] = {}
        """Second -> the sum of the figure x ns, and how many ns of it are known."""
        self._ends: set[int] = set()
        self._means: dict[int, dict[int, float | None]] = {}
        """Length of spans -> the mean of each that was asked for: a screen asks for the same ones again and again."""

    def add(self, previous: Frame | None, current: Frame) -> None:
        """A frame, and the one that its rates are computed against. The same frame counts once."""
        sampled = current.sections.get(self._section)
        if sampled is None:
            return
        last = self._last
        if last is not None and last.boot_id != current.boot_id:
            last = self._length_ns = None
            self._seconds.clear()
            self._ends.clear()
            self._means.clear()
        self._last = current
        if sampled.sampled_boottime_ns in self._ends:
            return
        before = self._length_ns
        # of several frames that came at once only the last is seen
        for base in (last, previous):
            then = None if base is None else base.sections.get(self._section)
            length = 0 if then is None else sampled.sampled_boottime_ns - then.sampled_boottime_ns
            if length <= 0:
                continue
            self._length_ns = length
            if before is None or length <= _GAP * before:
                self._keep(base, current, length)
                return

    def until(self, end_ns: int, count: int, seconds: int) -> list[float | None]:
        """The means of the last ``count`` spans of so many seconds; the last one holds ``end_ns``. None: not seen.

        The seconds after that of ``end_ns``, which were seen where somebody went back, are left out. The spans are
        multiples of their length, so that nothing but the last one changes as time goes on.
        """
        last = (end_ns - 1) // SECOND_NS
        newest = last // seconds
        if seconds == 1:
            known_seconds = map(self._seconds.get, range(newest - count + 1, newest + 1))
            return [None if known is None else known[0] / known[1] for known in known_seconds]
        known_means = self._means.setdefault(seconds, {})
        for span in range(newest - count + 1, newest):
            if span not in known_means:
                known_means[span] = self._mean(range(span * seconds, (span + 1) * seconds))
        means = [known_means[span] for span in range(newest - count + 1, newest)]
        return [*means, self._mean(range(newest * seconds, last + 1))]

    def _mean(self, span: range) -> float | None:
        sums = [known for at in span if (known := self._seconds.get(at))]
        known_ns = sum(ns for _, ns in sums)
        return sum(value for value, _ in sums) / known_ns if known_ns else None

    def _keep(self, base: Frame | None, current: Frame, length_ns: int) -> None:
        value = self._figure(base, current)
        if value is None:
            return
        end_ns = current.sections[self._section].sampled_boottime_ns
        start_ns = max(end_ns - length_ns, end_ns - _MOST_SECONDS * SECOND_NS)
        self._ends.add(end_ns)
        for second in range(start_ns // SECOND_NS, (end_ns - 1) // SECOND_NS + 1):
            overlap = min(end_ns, (second + 1) * SECOND_NS) - max(start_ns, second * SECOND_NS)
            total, known_ns = self._seconds.get(second, (0.0, 0))
            self._seconds[second] = (total + value * overlap, known_ns + overlap)
            for seconds, means in self._means.items():
                means.pop(second // seconds, None)
        if len(self._seconds) > 2 * _MOST_SECONDS or len(self._ends) > 20 * _MOST_SECONDS:
            # seen from here, wherever a person went back to
            now = end_ns // SECOND_NS
            near = range(now - _MOST_SECONDS, now + _MOST_SECONDS)
            self._seconds = {second: sums for second, sums in self._seconds.items() if second in near}
            self._ends = {end for end in self._ends if end // SECOND_NS in near}
            self._means.clear()


class BusyHistory(History):
    """How busy all CPUs together were, in percent."""

    def __init__(self) -> None:
        super().__init__("cpus", _busy_percent)


def _busy_percent(base: Frame | None, current: Frame) -> float | None:
    known = [value for value in RateTable(base, current, "cpus").column(_BUSY).values() if value is not None]
    return sum(known) / len(known) if known else None
