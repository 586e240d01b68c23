"""A store that writes at once, in the caller's thread: a real file, and the segments that are complete in it."""

from pathlib import Path

from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_reader import Database, StoredSegment, indexed
from ztop_protocol.segment import EncodedFrame, SealedSegment
from ztop_protocol.timeline import Timeline


class StoreOfTests:
    """What :class:`ztopd.history.history.History` needs of a store."""

    def __init__(self, path: Path, interval_ns: int, segment_frames: int = 7) -> None:
        self.timeline: Timeline[StoredSegment] = Timeline()
        self.seq_offset = 0
        self.size_bytes = 4096
        self.writer = RecordingWriter(str(path), interval_ns, wal=True, segment_frames=segment_frames)
        self.writer.on_sealed = self._sealed

    def take(self, frame: EncodedFrame) -> None:
        self.writer.add(frame)

    def _sealed(self, number: int, segment: SealedSegment) -> None:
        self.timeline.append(indexed(Database(self.writer.connection), number, segment))

    def close(self) -> None:
        self.writer.close()
