"""What stands for a daemon that remembers: the method ``segment`` over segments in memory."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Frame
from ztop_protocol.segment import SealedSegment, Segment, encode_step, segment_as_map
from ztop_protocol.timeline import Place, Timeline, place_up_to

Done = Callable[[Wire | RequestFailed], None]


class Remembering:
    """Answers at once, or, where ``waits``, when :meth:`answer` is called."""

    def __init__(self, frames: Sequence[Frame], breaks: Sequence[int], interval_ns: int = 10**9) -> None:
        """``breaks``: the indices of frames with which a segment begins."""
        self.timeline: Timeline[SealedSegment] = Timeline()
        self.waits = False
        self.asked: list[tuple[str, Arguments]] = []
        self._waiting: list[tuple[Arguments, Done]] = []
        edges = sorted({0, len(frames), *breaks})
        for start, end in pairwise(edges):
            segment = Segment.begun_by(encode_step(None, frames[start], whole=True), interval_ns)
            for before, after in pairwise(frames[start:end]):
                segment.add(encode_step(before, after, whole=False))
            self.timeline.append(segment.sealed())

    def ask(self, method: str, arguments: Arguments, done: Done) -> None:
        assert method == "segment"
        self.asked.append((method, arguments))
        self._waiting.append((arguments, done))
        if not self.waits:
            self.answer()

    def answer(self) -> None:
        """Everything that waits."""
        while self._waiting:
            arguments, done = self._waiting.pop(0)
            place = self._place(arguments)
            if place is None:
                done(RequestFailed("nothing is kept of that"))
            else:
                done({"segment": segment_as_map(place.piece), "seq": place.stamp.seq})

    def _place(self, arguments: Arguments) -> Place[SealedSegment] | None:
        [(name, value)] = arguments.items()
        if name == "time_ns":
            return self.timeline.at_time(value)
        if name == "before_seq":
            piece = self.timeline.up_to_seq(value - 1)
            return None if piece is None else place_up_to(piece, value - 1)
        assert name == "after_seq"
        for piece in self.timeline:
            for index, stamp in enumerate(piece.stamps):
                if stamp.seq > value:
                    return Place(piece, index)
        return None
