"""What the store keeps and what it gives up.

What is older than the newest by more than the age is deleted, the oldest first. When nine tenths of the size are used,
room is made: the oldest segment of full resolution is thinned to a frame every 10 s while such segments take more than
half of what all take; else the oldest of those thinned to 10 s is thinned to 60 s while they take more than a quarter;
else the oldest of all is deleted. So about half of the size is of full resolution, a quarter of 10 s, the rest of 60 s.

The work is done in slices of a few milliseconds. A segment that was thinned or deleted stays in the file for some
seconds more: somebody may be reading it. Beyond 93 % of the size the oldest goes at once.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from ztop_protocol.codec import Malformed
from ztop_protocol.recording import write_segment
from ztop_protocol.recording_reader import Database, StoredSegment, indexed
from ztop_protocol.segment import SealedSegment
from ztopd.history.thinning import thinned

SECOND_NS = 1_000_000_000
LEVELS_NS = (10 * SECOND_NS, 60 * SECOND_NS)
"""The resolutions that segments are thinned to."""
GRACE_SECONDS = 5.0
"""So long is what was given up still there for who began to read it."""
SEGMENT_SHARE = 1 / 16
"""What a segment's steps, not yet compressed, may take of the size."""
_LEVEL_SHARES = (0.5, 0.25)
"""What full resolution and the first level may take of what all segments take."""
_USED_SHARE = 0.9
_URGENT_SHARE = 0.93
"""What is left must do for the largest segment that may come: see :data:`SEGMENT_SHARE`."""
_VACUUM_SHARE = 0.95
_VACUUM_PAGES = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What a store may hold."""

    age_ns: int
    size_bytes: int
    """Of the file; the log beside it takes some more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One segment of the store and the bytes that it takes."""

    segment: StoredSegment
    size_bytes: int
    is_unreadable: bool = False
    """It cannot be thinned, being damaged; its turn to be deleted comes with the oldest."""

    @property
    def level(self) -> int:
        """0: full resolution; 1 and 2: thinned, or recorded that seldom."""
        return 2 if self.is_unreadable else sum(self.segment.interval_ns >= level_ns for level_ns in LEVELS_NS)


@dataclass(frozen=True, slots=True)
class Step:
    """The next thing to do: thin a segment, or delete it."""

    kept: Kept
    interval_ns: int | None
    """To which resolution; None: delete."""


def age_ns(kept: Sequence[Kept]) -> int:
    """How much older the end of the oldest segment is than that of the newest.

    Within a boot by boot time: a clock that was set a year ahead for a minute must not end everything. From one boot to
    the next wall time is all there is.
    """
    age = 0
    for before, after in pairwise(one.segment for one in kept):
        if before.boot_id == after.boot_id:
            age += after.last.boottime_ns - before.last.boottime_ns
        else:
            age += max(after.last.time_ns - before.last.time_ns, 0)
    return age


def next_step(kept: Sequence[Kept], used_bytes: int, limits: Limits) -> Step | None:
    """What the rule asks for; None: nothing. ``kept`` is in the order of recording."""
    if not kept:
        return None
    if age_ns(kept) > limits.age_ns:
        return Step(kept[0], None)
    if used_bytes <= _USED_SHARE * limits.size_bytes:
        return None
    total = sum(one.size_bytes for one in kept)
    for level, (share, interval_ns) in enumerate(zip(_LEVEL_SHARES, LEVELS_NS, strict=True)):
        of_level = [one for one in kept if one.level == level]
        if sum(one.size_bytes for one in of_level) > share * total:
            return Step(of_level[0], interval_ns)
    return Step(kept[0], None)


_OLDER_FORMS = (
    "SELECT old.id FROM segments AS old JOIN segments AS new ON new.first_seq = old.first_seq"
    " AND new.last_seq = old.last_seq AND new.id > old.id"
)
"""Left by a daemon that ended before it deleted what it had thinned."""


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """A segment that is to be deleted, from some monotonic time on."""

    due: float
    id: int
    size_bytes: int


class Listener(Protocol):
    """Who is told what became of segments."""

    def replaced(self, old: StoredSegment, new: StoredSegment) -> None: ...
    def removed(self, segment: StoredSegment) -> None: ...


class Retention:
    """Keeps the rule in one open file. Every method raises :exc:`sqlite3.Error`, but for :meth:`add`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        database: Database,
        segments: Sequence[tuple[StoredSegment, int]],
        limits: Limits,
        listener: Listener,
    ) -> None:
        """``connection`` writes, ``database`` reads."""
        self._connection = connection
        self._database = database
        self._kept = [Kept(segment, size_bytes) for segment, size_bytes in segments]
        self._limits = limits
        self._listener = listener
        self._given_up: deque[_GivenUp] = deque(_GivenUp(0.0, id, 0) for (id,) in connection.execute(_OLDER_FORMS))
        (self._page_bytes,) = connection.execute("PRAGMA page_size").fetchone()

    def add(self, segment: StoredSegment, size_bytes: int) -> None:
        """A segment was completed."""
        self._kept.append(Kept(segment, size_bytes))

    def work(self) -> Generator[None, None, None]:
        """Everything that is to be done now, in slices."""
        yield from self._delete_due()
        while step := next_step(self._kept, self._used_bytes(), self._limits):
            if step.interval_ns is None:
                self._give_up(step.kept)
            else:
                yield from self._thin(step.kept, step.interval_ns)
            yield
            yield from self._delete_due()
        while self._pages("page_count") > _VACUUM_SHARE * self._limits.size_bytes and self._pages("freelist_count"):
            self._connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            yield

    def _delete_due(self) -> Generator[None, None, None]:
        while self._given_up and self._given_up[0].due <= time.monotonic():
            self._delete(self._given_up.popleft().id)
            yield

    def make_room(self) -> None:
        """Deletes at once what must go for the file to stay within its size."""
        while self._pages("page_count") - self._pages("freelist_count") > _URGENT_SHARE * self._limits.size_bytes:
            if not self._given_up:
                if not self._kept:
                    return
                self._give_up(self._kept[0])
            self._delete(self._given_up.popleft().id)

    def _pages(self, pragma: str) -> int:
        """In bytes."""
        (pages,) = self._connection.execute(f"PRAGMA {pragma}").fetchone()
        return int(pages) * int(self._page_bytes)

    def _used_bytes(self) -> int:
        waiting = sum(one.size_bytes for one in self._given_up)
        return self._pages("page_count") - self._pages("freelist_count") - waiting

    def _thin(self, kept: Kept, interval_ns: int) -> Generator[None, None, None]:
        try:
            sealed = yield from self._thinned(kept.segment, interval_ns)
        except (Malformed, sqlite3.DatabaseError):
            if kept in self._kept:
                self._kept[self._kept.index(kept)] = replace(kept, is_unreadable=True)
            return
        self.make_room()
        if kept not in self._kept:
            # to make room, now or meanwhile
            return
        with self._connection:
            id = write_segment(self._connection, sealed)
        new = Kept(indexed(self._database, id, sealed), sealed.size_bytes)
        self._kept[self._kept.index(kept)] = new
        self._listener.replaced(kept.segment, new.segment)
        self._delete_later(kept)

    def _thinned(self, segment: StoredSegment, interval_ns: int) -> Generator[None, None, SealedSegment]:
        opened = segment.opened()
        segment.forget_head()
        yield
        return (yield from thinned(opened, interval_ns))

    def _give_up(self, kept: Kept) -> None:
        self._kept.remove(kept)
        self._listener.removed(kept.segment)
        self._delete_later(kept)

    def _delete_later(self, kept: Kept) -> None:
        self._given_up.append(_GivenUp(time.monotonic() + GRACE_SECONDS, kept.segment.id, kept.size_bytes))

    def _delete(self, id: int) -> None:
        with self._connection:
            self._connection.execute("DELETE FROM tracks WHERE segment = ?", (id,))
            self._connection.execute("DELETE FROM segments WHERE id = ?", (id,))
