"""Everything that is remembered: ring and store as one timeline.

What takes long, above all reading the store, is done in one thread, piece by piece, in the order in which it was asked
for: so the event loop never waits for a disk, and several users take turns. What is damaged is left out.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, TypeVar

from ztop_protocol.codec import Malformed
from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.segment import EncodedFrame, SealedSegment, Segment, Stamp
from ztop_protocol.timeline import (
    GAP_INTERVALS,
    MILLISECOND_NS,
    Place,
    Timeline,
    milliseconds,
    place_at,
    place_from,
    place_up_to,
)
from ztopd.history.command_lines import CommandLines, remembered
from ztopd.history.ring import Ring

Kept: TypeAlias = Segment | SealedSegment | StoredSegment
PieceName: TypeAlias = tuple[int, int, int]
T = TypeVar("T")

_MOST_DAMAGED = 1000

_log = logging.getLogger(__name__)


class Store(Protocol):
    """What is remembered on disk. Its timeline changes in the event loop's thread only."""

    @property
    def timeline(self) -> Timeline[StoredSegment]: ...
    @property
    def seq_offset(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def take(self, frame: EncodedFrame) -> None: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame that is remembered: number and time, and the segment and its index there."""

    stamp: Stamp
    piece: Kept
    index: int

    def age_ns(self, time_ns: int) -> int:
        """How much older it is than a wall time, in whole milliseconds."""
        return (milliseconds(time_ns) - milliseconds(self.stamp.time_ns)) * MILLISECOND_NS

    def is_before_gap(self, time_ns: int) -> bool:
        """Whether nothing was kept between it and that wall time although something was due."""
        return self.age_ns(time_ns) > GAP_INTERVALS * self.piece.interval_ns


class Damaged(Exception):
    """A segment cannot be read, or is gone. It is not found again: search anew."""


class History:
    """Ring and store. All of it belongs to the event loop's thread, but for the work that :meth:`read` is given."""

    def __init__(self, ring: Ring, store: Store | None = None, command_lines: CommandLines = CommandLines.FULL) -> None:
        self.ring = ring
        self.store = store
        self._command_lines = command_lines
        self._reader = ThreadPoolExecutor(1, "history")
        self._damaged: set[StoredSegment] = set()

    def take(self, frame: EncodedFrame) -> EncodedFrame:
        """Numbers the sampler's next frame on from what the store has, and keeps it.

        Raises :exc:`ValueError` for one that follows nothing and has no keyframe.
        """
        if self.store is not None and (offset := self.store.seq_offset):
            base_seq = None if frame.base_seq is None else frame.base_seq + offset
            frame = replace(frame, seq=frame.seq + offset, base_seq=base_seq)
        kept = remembered(frame, self._command_lines)
        self.ring.take(kept)
        if self.store is not None:
            self.store.take(kept)
        return frame

    @property
    def ring_oldest(self) -> Stamp | None:
        """The first frame of the ring."""
        return next((piece.first for piece in self.ring.timeline), None)

    @property
    def store_oldest(self) -> Stamp | None:
        """The first frame of the store."""
        return None if self.store is None else next((piece.first for piece in self.store.timeline), None)

    @property
    def earliest(self) -> Stamp | None:
        """The frame with the earliest wall time."""
        return min((piece.first for piece in self._pieces()), key=lambda stamp: stamp.time_ns, default=None)

    async def at_time(self, time_ns: int) -> Moment | None:
        """The frame with the greatest wall time that is not after ``time_ns``; None where all are later.

        Times compare in whole milliseconds; the later of equals counts.
        """
        while True:
            in_ring = self.ring.timeline.at_time(time_ns)
            found = [] if in_ring is None else [_moment(in_ring)]
            ring_ms = -1 if in_ring is None else milliseconds(in_ring.stamp.time_ns)
            pieces = [] if self.store is None else self.store.timeline.candidates(time_ns, self._told_by_store())
            try:
                for piece in pieces:
                    # of equals the later one counts: the ring's
                    if milliseconds(min(time_ns, piece.last.time_ns)) > ring_ms:
                        found += await self.read(piece, lambda piece: _moments(place_at([piece], time_ns)))
            except Damaged:
                continue
            return max(found, key=lambda moment: (milliseconds(moment.stamp.time_ns), moment.stamp.seq), default=None)

    async def at_seq(self, seq: int) -> Moment | None:
        """The frame of that number; None where it is not remembered."""
        found = await self.up_to_seq(seq)
        return None if found is None or found.stamp.seq != seq else found

    async def before(self, moment: Moment) -> Moment | None:
        """The frame recorded before that one."""
        return await self.up_to_seq(moment.stamp.seq - 1)

    async def up_to_seq(self, seq: int) -> Moment | None:
        """The last frame that is not later than that number."""
        while True:
            in_ring = self.ring.timeline.up_to_seq(seq)
            if in_ring is not None:
                place = place_up_to(in_ring, seq)
                return None if place is None else _moment(place)
            piece = None if self.store is None else self.store.timeline.up_to_seq(seq, self._told_by_store())
            if piece is None:
                return None
            try:
                found = await self.read(piece, lambda piece: _moments(place_up_to(piece, seq)))
            except Damaged:
                continue
            return found[0] if found else None

    async def after_seq(self, seq: int) -> Moment | None:
        """The first frame that is later than that number."""
        while True:
            piece = next((piece for piece in self._pieces() if piece.last.seq > seq), None)
            if piece is None:
                return None
            try:
                found = await self.read(piece, lambda piece: _moments(place_from(piece, seq + 1)))
            except Damaged:
                continue
            return found[0] if found else None

    def pieces(self, from_ns: int, to_ns: int) -> list[Kept]:
        """The segments with frames of that wall time, both ends included, in the order of their recording.

        Where store and ring meet, one of the store's may end with frames that the ring has, too.
        """
        low, high = milliseconds(from_ns), milliseconds(to_ns)
        return [
            piece
            for piece in self._pieces()
            if milliseconds(piece.last.time_ns) >= low and milliseconds(piece.first.time_ns) <= high
        ]

    async def read(self, piece: Kept, work: Callable[[Kept], T]) -> T:
        """Does what reads and decodes one segment, in the thread. Raises :exc:`Damaged` for one of the store."""
        # the loop adds to the segment that grows
        still = _copied(piece) if isinstance(piece, Segment) else piece
        loop = asyncio.get_running_loop()
        if not isinstance(still, StoredSegment):
            return await loop.run_in_executor(self._reader, work, still)
        try:
            return await loop.run_in_executor(self._reader, _reading, still, work)
        except (Malformed, sqlite3.Error) as error:
            self._leave_out(still, error)
            raise Damaged from error

    async def opened(self, piece: Kept, names: Collection[str] | None = None) -> Segment:
        """The segment with the tracks of these sections, or all. Raises :exc:`Damaged`."""
        return await self.read(piece, lambda piece: piece.opened(names))

    async def aside(self, work: Callable[[], T]) -> T:
        """Does what takes long of what was read, in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    def _pieces(self) -> list[Kept]:
        stored = [] if self.store is None else filter(self._told_by_store(), self.store.timeline)
        return [*stored, *self.ring.timeline]

    def _told_by_store(self) -> Callable[[StoredSegment], bool]:
        """Which segments count of the store's: not those whose frames are all in the ring."""
        ring_oldest, damaged = self.ring_oldest, self._damaged
        if ring_oldest is None:
            return lambda piece: piece not in damaged
        first_seq = ring_oldest.seq
        return lambda piece: piece.first.seq < first_seq and piece not in damaged

    def _leave_out(self, piece: StoredSegment, error: Exception) -> None:
        if self.store is None or piece not in self.store.timeline:
            # the store gave it up meanwhile
            return
        if len(self._damaged) >= _MOST_DAMAGED:
            self._damaged.clear()
        self._damaged.add(piece)
        _log.warning("frames %d to %d cannot be read, and are left out: %s", piece.first.seq, piece.last.seq, error)


def name_of(piece: Kept) -> PieceName:
    """What tells a segment from others, and from what it was before it grew or was thinned."""
    return piece.first.seq, piece.last.seq, piece.interval_ns


def _reading(piece: StoredSegment, work: Callable[[Kept], T]) -> T:
    try:
        return work(piece)
    finally:
        piece.forget_head()


def _moment(place: Place[Segment | SealedSegment]) -> Moment:
    return Moment(place.stamp, place.piece, place.index)


def _moments(place: Place[Kept] | None) -> list[Moment]:
    return [] if place is None else [Moment(place.stamp, place.piece, place.index)]


def _copied(segment: Segment) -> Segment:
    tracks = {name: list(steps) for name, steps in segment.tracks.items()}
    return Segment(segment.boot_id, segment.interval_ns, list(segment.stamps), tracks, segment.size_bytes)
