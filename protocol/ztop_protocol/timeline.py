"""The timeline: which frame was the machine's state at a moment.

People ask by wall time, which may step; frames are ordered by boot time. So the segments are gathered in *clock spans*:
of one boot, with wall time and boot time advancing together. Within a span wall time is monotone and a bisection is
right; of what the spans answer, the frame with the greatest time counts, the later one of equals.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ztop_protocol.frame import Frame
from ztop_protocol.segment import Piece, SegmentReader, Stamp, is_same_clock

MILLISECOND_NS = 1_000_000
GAP_INTERVALS = 2.5
"""A frame that is older than so many intervals when it is asked for was not followed by the next one in time."""

P = TypeVar("P", bound=Piece)


@dataclass(frozen=True, slots=True)
class Place(Generic[P]):
    """One frame: its segment and its index there."""

    piece: P
    index: int

    @property
    def stamp(self) -> Stamp:
        """Number and time of the frame."""
        return self.piece.stamps[self.index]

    def age_ns(self, time_ns: int) -> int:
        """How much older the frame is than a wall time, in whole milliseconds."""
        return (milliseconds(time_ns) - milliseconds(self.stamp.time_ns)) * MILLISECOND_NS

    def is_before_gap(self, time_ns: int) -> bool:
        """Whether nothing was kept between the frame and that wall time although something was due."""
        return self.age_ns(time_ns) > GAP_INTERVALS * self.piece.interval_ns


def milliseconds(time_ns: int) -> int:
    """Times compare in whole milliseconds: not every client's numbers hold nanoseconds."""
    return time_ns // MILLISECOND_NS


@dataclass(slots=True)
class _Span(Generic[P]):
    pieces: list[P] = field(default_factory=list)

    def at(self, time_ms: int, counts: Callable[[P], bool]) -> P | None:
        """The last piece that began by then, of those that count."""
        found = bisect_right(self.pieces, time_ms, key=lambda piece: milliseconds(piece.first.time_ns))
        return next((piece for piece in reversed(self.pieces[:found]) if counts(piece)), None)


def _every(_: object) -> bool:
    return True


class Timeline(Generic[P]):
    """Segments in the order in which they were recorded. The last one may still grow."""

    def __init__(self) -> None:
        self._pieces: list[P] = []
        self._spans: list[_Span[P]] = []

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[P]:
        return iter(self._pieces)

    @property
    def newest(self) -> P | None:
        """The last segment."""
        return self._pieces[-1] if self._pieces else None

    def append(self, piece: P) -> None:
        """Adds a segment that was recorded after all others."""
        last = self.newest
        if last is None or last.boot_id != piece.boot_id or not is_same_clock(last.last, piece.first):
            self._spans.append(_Span())
        self._spans[-1].pieces.append(piece)
        self._pieces.append(piece)

    def replace(self, old: P, new: P) -> None:
        """Puts another form of the same segment in the place of one. Raises :exc:`ValueError` where it is not there."""
        self._pieces[self._pieces.index(old)] = new
        for span in self._spans:
            if old in span.pieces:
                span.pieces[span.pieces.index(old)] = new

    def remove(self, piece: P) -> None:
        """Forgets a segment. Raises :exc:`ValueError` where it is not there."""
        self._pieces.remove(piece)
        for span in self._spans:
            if piece in span.pieces:
                span.pieces.remove(piece)
        self._spans = [span for span in self._spans if span.pieces]

    def oldest(self) -> Place[P] | None:
        """The first frame recorded."""
        return Place(self._pieces[0], 0) if self._pieces else None

    def last(self) -> Place[P] | None:
        """The last frame recorded."""
        return Place(self._pieces[-1], len(self._pieces[-1].stamps) - 1) if self._pieces else None

    def at_time(self, time_ns: int) -> Place[P] | None:
        """The frame with the greatest wall time that is not after ``time_ns``; None where all are later."""
        return place_at(self.candidates(time_ns), time_ns)

    def candidates(self, time_ns: int, counts: Callable[[P], bool] = _every) -> list[P]:
        """The segments among which is the one of :meth:`at_time`, of those that count; no stamps are read.

        There is at most one per clock span, and hardly ever more than one in all.
        """
        time_ms = milliseconds(time_ns)
        found = [piece for span in self._spans if (piece := span.at(time_ms, counts)) is not None]
        # what its last frame cannot reach need not be read
        reached_ms = max((milliseconds(piece.first.time_ns) for piece in found), default=0)
        return [piece for piece in found if milliseconds(min(time_ns, piece.last.time_ns)) >= reached_ms]

    def at_seq(self, seq: int) -> Place[P] | None:
        """The frame of that number; None where it is not kept."""
        piece = self.up_to_seq(seq)
        place = None if piece is None or piece.last.seq < seq else place_up_to(piece, seq)
        return None if place is None or place.stamp.seq != seq else place

    def up_to_seq(self, seq: int, counts: Callable[[P], bool] = _every) -> P | None:
        """The last segment that began by that frame, of those that count; no stamps are read."""
        found = bisect_right(self._pieces, seq, key=lambda piece: piece.first.seq)
        return next((piece for piece in reversed(self._pieces[:found]) if counts(piece)), None)

    def before(self, place: Place[P]) -> Place[P] | None:
        """The frame recorded before that one."""
        if place.index:
            return Place(place.piece, place.index - 1)
        number = bisect_right(self._pieces, place.piece.first.seq, key=lambda piece: piece.first.seq) - 1
        if number <= 0:
            return None
        piece = self._pieces[number - 1]
        return Place(piece, len(piece.stamps) - 1)

    def after(self, place: Place[P]) -> Place[P] | None:
        """The frame recorded after that one."""
        if place.index + 1 < len(place.piece.stamps):
            return Place(place.piece, place.index + 1)
        number = bisect_right(self._pieces, place.piece.first.seq, key=lambda piece: piece.first.seq)
        return Place(self._pieces[number], 0) if number < len(self._pieces) else None

    def between(self, from_ns: int, to_ns: int) -> list[P]:
        """The segments that have frames of that wall time, both ends included, in the order of their recording."""
        low, high = milliseconds(from_ns), milliseconds(to_ns)
        return [
            piece
            for piece in self._pieces
            if milliseconds(piece.last.time_ns) >= low and milliseconds(piece.first.time_ns) <= high
        ]


def place_at(pieces: Iterable[P], time_ns: int) -> Place[P] | None:
    """Of segments in the order of their recording, the frame with the greatest wall time that is not after that."""
    time_ms = milliseconds(time_ns)
    best: Place[P] | None = None
    best_ms = -1
    for piece in pieces:
        stamps = piece.stamps
        index = bisect_right(stamps, time_ms, key=lambda stamp: milliseconds(stamp.time_ns)) - 1
        if index >= 0 and (found_ms := milliseconds(stamps[index].time_ns)) >= best_ms:
            best, best_ms = Place(piece, index), found_ms
    return best


def place_up_to(piece: P, seq: int) -> Place[P] | None:
    """The last frame of a segment that is not later than that number."""
    index = bisect_right(piece.stamps, seq, key=lambda stamp: stamp.seq) - 1
    return None if index < 0 else Place(piece, index)


def place_from(piece: P, seq: int) -> Place[P] | None:
    """The first frame of a segment that is not earlier than that number."""
    index = bisect_left(piece.stamps, seq, key=lambda stamp: stamp.seq)
    return None if index == len(piece.stamps) else Place(piece, index)


def frames(pieces: Iterable[Piece], from_ns: int, to_ns: int, names: Collection[str] | None = None) -> Iterator[Frame]:
    """Every frame of that wall time, both ends included, in the order of their recording, with these sections or all.

    Raises :exc:`ztop_protocol.codec.Malformed` where a segment is damaged.
    """
    low, high = milliseconds(from_ns), milliseconds(to_ns)
    for piece in pieces:
        if milliseconds(piece.last.time_ns) < low or milliseconds(piece.first.time_ns) > high:
            continue
        reader = SegmentReader(piece.opened(names))
        for index, stamp in enumerate(piece.stamps):
            if low <= milliseconds(stamp.time_ns) <= high:
                yield reader.frame(index, names)
