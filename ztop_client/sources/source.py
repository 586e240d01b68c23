"""What every source of frames offers, whatever is behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Frame, Section


@dataclass(frozen=True, slots=True)
class Pair:
    """A frame and what its rates are computed against: ``rates(pair.previous, pair.current, section)``.

    ``previous`` is None at first, and after a boot. Its sections may be of several frames: each is the newest
    one sampled before the section of ``current``, so that sections sampled less often than frames are made keep
    the rates of their own interval. Only its sections mean something.
    """

    previous: Frame | None
    current: Frame
    newer: Mapping[str, Section] = field(default_factory=dict)
    """Sections that were sampled after ``current`` and are in no frame: they are drawn, and nothing else."""

    @property
    def drawn(self) -> Frame:
        """``current`` as it is drawn.

        Rates of what is newer are still those against ``previous``: over more than an interval, by their own clock.
        """
        return replace(self.current, sections={**self.current.sections, **self.newer}) if self.newer else self.current

    @property
    def kept(self) -> "Pair":
        """What anybody remembers of it: two frames."""
        return replace(self, newer={}) if self.newer else self

    def followed_by(self, frame: Frame) -> "Pair":
        """The pair with ``frame`` as the current one; this pair where the frame is not newer."""
        before = self.current
        if before.boot_id != frame.boot_id:
            return Pair(None, frame)
        if frame.boottime_ns <= before.boottime_ns:
            # a new subscription begins with the frame before the newest
            return self
        older = {} if self.previous is None else self.previous.sections
        sections = {}
        for name, section in frame.sections.items():
            last = before.sections.get(name)
            if last is not None and last.sampled_boottime_ns >= section.sampled_boottime_ns:
                last = older.get(name)
            if last is not None:
                sections[name] = last
        return Pair(Frame(before.seq, before.time_ns, before.boottime_ns, before.boot_id, sections), frame)

    def renewed_by(self, first: Frame, second: Frame) -> "Pair":
        """The pair after a new subscription, which gave these two frames: their sections count, whatever had come."""
        new = Pair(None, first).followed_by(second)
        if new.previous is None or self.previous is None or self.current.boot_id != first.boot_id:
            return new
        previous = new.previous
        # a section that is sampled seldom is the same in both
        sections = {name: section for name, section in self.previous.sections.items() if name in second.sections}
        sections |= previous.sections
        return Pair(
            Frame(previous.seq, previous.time_ns, previous.boottime_ns, previous.boot_id, sections),
            *(new.current, self.newer if self.current.seq == second.seq else {}),
        )


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Whether there is a connection, since when that is so (``time.monotonic()``), and if not, why, in words.

    ``past`` says in a few words that what is shown was, and is not; None for what is.
    """

    live: bool
    since_monotonic: float
    reason: str | None = None
    past: str | None = None
    tick_seconds: float | None = None
    """The daemon's time between two frames, as its newest one says it; None where it says nothing of it."""


class RequestFailed(Exception):
    """There is no answer; the sentence says why."""


class Source(Protocol):
    """A stream of frames that never makes its reader wait. Watch ``fileno()`` for reading."""

    @property
    def title(self) -> str:
        """What is read, for a title line: ``ztopd /run/ztopd/ztopd.sock``, ``private ztopd``."""

    def latest(self) -> Pair | None:
        """The newest frame and the one before it; None until the first arrives. Kept while not connected.

        With ``newer`` where something was sampled since: then ``receive()`` is true for another reason than a frame.
        """

    def fileno(self) -> int | None:
        """The descriptor to watch; another one after each reconnection, None while not connected."""

    def receive(self) -> bool:
        """Takes what has arrived, without waiting. True if ``latest()`` changed. To be called when readable."""

    def maintain(self) -> None:
        """Tries to connect, with a back-off, where not connected. To be called about four times a second."""

    def status(self) -> SourceStatus:
        """Whether there is a connection; whether frames come is to be seen by their age."""

    def set_interval(self, ticks: int) -> None:
        """From now on a frame every so many ticks of the daemon."""

    def set_sections(self, sections: Sequence[str]) -> None:
        """From now on frames of these sections; what ``latest()`` gives has them when the daemon has answered."""

    def set_paused(self, paused: bool) -> None:
        """The reader takes a rest, or goes on: a recording waits for it, a machine does not."""

    def ask(self, method: str, arguments: Arguments, done: Callable[[Wire | RequestFailed], None]) -> None:
        """Asks the daemon without waiting: ``done`` is given the answer while :meth:`receive` runs, or a reason."""

    def close(self) -> None:
        """Ends it; nothing may be called afterwards."""
