"""The ring: the newest frames, in memory, as the segments that the sampler's keyframes begin."""

import asyncio

from ztop_protocol.segment import EncodedFrame, SealedSegment, Segment
from ztop_protocol.timeline import Timeline

FRAMES = 1800
SIZE_BYTES = 64 << 20
_SEALED_AT_ONCE_BYTES = 96 << 10
"""Compressing so much takes about 3 ms; a larger segment is compressed in a thread."""


class Ring:
    """At least the last ``frames`` frames, as far as they fit into ``size_bytes``. Whole segments are forgotten."""

    def __init__(self, interval_ns: int, frames: int = FRAMES, size_bytes: int = SIZE_BYTES) -> None:
        self.timeline: Timeline[Segment | SealedSegment] = Timeline()
        self.frames = 0
        """How many there are."""
        self.size_bytes = 0
        """What their bytes come to; a segment that is complete counts compressed."""
        self._interval_ns = interval_ns
        self._most_frames = frames
        self._most_bytes = size_bytes
        self._growing: Segment | None = None

    def take(self, frame: EncodedFrame) -> None:
        """Takes the next frame. Raises :exc:`ValueError` for one that follows nothing and has no keyframe."""
        segment = self._growing
        if segment is not None and frame.keyframe is None:
            before = segment.size_bytes
            segment.add(frame)
            self.size_bytes += segment.size_bytes - before
        else:
            begun = Segment.begun_by(frame, self._interval_ns)
            self._growing = begun
            if segment is not None:
                self._seal(segment)
            self.timeline.append(begun)
            self.size_bytes += begun.size_bytes
        self.frames += 1
        self._forget()

    def _seal(self, segment: Segment) -> None:
        if segment.size_bytes > _SEALED_AT_ONCE_BYTES and (loop := _running_loop()) is not None:

            def done(sealing: asyncio.Future[SealedSegment]) -> None:
                if not sealing.cancelled():
                    self._replace(segment, sealing.result())

            loop.run_in_executor(None, segment.sealed).add_done_callback(done)
        else:
            self._replace(segment, segment.sealed())

    def _replace(self, segment: Segment, sealed: SealedSegment) -> None:
        # it may have been forgotten meanwhile
        if any(piece is segment for piece in self.timeline):
            self.timeline.replace(segment, sealed)
            self.size_bytes += sealed.size_bytes - segment.size_bytes

    def _forget(self) -> None:
        while (oldest := next(iter(self.timeline))) is not self._growing and (
            self.frames - len(oldest.stamps) >= self._most_frames or self.size_bytes > self._most_bytes
        ):
            self.timeline.remove(oldest)
            self.frames -= len(oldest.stamps)
            self.size_bytes -= oldest.size_bytes


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that must not be held up; None where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
