"""The frames of one segment, each with what its rates are computed against, decoded as far as somebody looks."""

from bisect import bisect_left, bisect_right

from ztop_client.sources.source import Pair
from ztop_protocol.frame import Frame
from ztop_protocol.segment import SealedSegment, SegmentReader, Stamp


class SegmentPairs:
    """A segment that was fetched. Going on costs what changed, going back nothing: what was decoded stays."""

    def __init__(self, segment: SealedSegment) -> None:
        """Raises :exc:`ztop_protocol.codec.Malformed`, as every method does, for a damaged one."""
        self.stamps = segment.stamps
        self.boot_id = segment.boot_id
        self.interval_ns = segment.interval_ns
        self._reader = SegmentReader(segment.opened())
        self._frames: list[Frame] = []
        self._pairs: list[Pair] = []
        self._follows: SegmentPairs | None = None

    @property
    def first(self) -> Stamp:
        """Of its first frame."""
        return self.stamps[0]

    @property
    def last(self) -> Stamp:
        """Of its last frame."""
        return self.stamps[-1]

    def follow(self, before: "SegmentPairs") -> None:
        """Its first frames' rates are against what the segment before it ends with."""
        if self._follows is not before:
            self._follows = before
            self._pairs.clear()

    def forget(self) -> None:
        """Frees what was decoded."""
        self._frames.clear()
        self._pairs.clear()
        self._follows = None

    def holds(self, seq: int) -> bool:
        """Whether that frame is among its frames, or would be if it were kept."""
        return self.first.seq <= seq <= self.last.seq

    def up_to(self, seq: int) -> int:
        """The index of its last frame that is not later than that number; -1 where all are later."""
        return bisect_right(self.stamps, seq, key=lambda stamp: stamp.seq) - 1

    def from_(self, seq: int) -> int:
        """The index of its first frame that is not earlier than that number; its length where all are earlier."""
        return bisect_left(self.stamps, seq, key=lambda stamp: stamp.seq)

    def pair(self, index: int) -> Pair:
        """The frame at an index, and what its rates are computed against."""
        self.decode(index + 1 - len(self._frames))
        while len(self._pairs) <= index:
            frame = self._frames[len(self._pairs)]
            if self._pairs:
                self._pairs.append(self._pairs[-1].followed_by(frame))
            elif self._follows is not None:
                self._pairs.append(self._follows.pair(len(self._follows.stamps) - 1).followed_by(frame))
            else:
                self._pairs.append(Pair(None, frame))
        return self._pairs[index]

    def decode(self, frames: int) -> bool:
        """Decodes so many more of them; whether there are others still."""
        for index in range(len(self._frames), min(len(self._frames) + frames, len(self.stamps))):
            self._frames.append(self._reader.frame(index))
        return len(self._frames) < len(self.stamps)

    def decoded_up_to(self, seq: int, count: int) -> list[Pair]:
        """At most so many pairs that are at hand, up to that of a frame, the last first; those before its first too."""
        last = min(self.up_to(seq), len(self._pairs) - 1)
        found = self._pairs[max(last + 1 - count, 0) : last + 1][::-1]
        if len(found) < count and self._follows is not None:
            found += self._follows.decoded_up_to(self._follows.last.seq, count - len(found))
        return found
