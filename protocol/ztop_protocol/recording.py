"""Writing a recording: what ``ztop --record`` and the daemon's store are made by."""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from ztop_protocol.recording_format import (
    APPLICATION_ID,
    FORMAT_VERSION,
    TABLES,
    check_header,
    check_is_file,
    mark,
    pack_chunk,
    pack_head,
    reading_schema,
)
from ztop_protocol.recording_reader import unfinished
from ztop_protocol.segment import EncodedFrame, SealedSegment, Segment

WRITE_SECONDS = 1.0
"""Frames are written together, at most this long after the first of them."""
SEGMENT_FRAMES = 300
SEGMENT_BYTES = 16 << 20
"""A segment whose steps came to so much ends early."""
_BUSY_SECONDS = 5.0


class RecordingWriter:
    """Appends frames to a file, which is made where there is none. All methods raise :exc:`sqlite3.Error`.

    One thread at a time may use it. ``wal``: for a store that others read while it is written; without, the file alone
    is the whole recording at any moment.
    """

    def __init__(
        self,
        path: str,
        interval_ns: int,
        *,
        wal: bool = False,
        segment_frames: int = SEGMENT_FRAMES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Raises :exc:`ztop_protocol.recording_format.RecordingError` for a file of another kind, :exc:`OSError`."""
        self.on_sealed: Callable[[int, SealedSegment], None] | None = None
        """Told of every segment that is complete, and its id in the file."""
        self._wal = wal
        self._interval_ns = interval_ns
        self._segment_frames = segment_frames
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._waiting: list[EncodedFrame] = []
        self._waits_since = 0.0
        self.connection = _open(path, wal)
        try:
            for segment in unfinished(self.connection):
                self._write_sealed(segment)
            self.connection.execute("DELETE FROM chunks")
            self.connection.commit()
        except BaseException:
            self.connection.close()
            raise

    @property
    def needs_keyframe(self) -> bool:
        """Whether a segment is to begin: the next frame should have a keyframe."""
        return self._segment is None or self._is_full(self._segment)

    @property
    def write_due(self) -> float | None:
        """When what waits is to be written, on the monotonic clock; None: nothing waits."""
        return self._waits_since + WRITE_SECONDS if self._waiting else None

    def _is_full(self, segment: Segment) -> bool:
        return len(segment.stamps) >= self._segment_frames or segment.size_bytes >= self._segment_bytes

    def leads_to(self, frame: EncodedFrame) -> bool:
        """Whether the frame needs no keyframe: it follows in the segment that grows."""
        return self._segment is not None and self._segment.leads_to(frame)

    def add(self, frame: EncodedFrame) -> None:
        """Takes the next frame. Raises :exc:`ValueError` for one that follows nothing and has no keyframe."""
        segment = self._segment
        if segment is not None and segment.leads_to(frame) and not (frame.keyframe and self._is_full(segment)):
            segment.add(frame)
            frame = replace(frame, keyframe=None)
        else:
            if frame.keyframe is None:
                raise ValueError(f"frame {frame.seq} follows nothing that was recorded, and is no keyframe")
            self._seal()
            self._segment = Segment.begun_by(frame, self._interval_ns)
            frame = replace(frame, base_seq=None, changes={}, gone_sections=())
        now = time.monotonic()
        if not self._waiting:
            self._waits_since = now
        self._waiting.append(frame)
        if now - self._waits_since >= WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        if not self._waiting:
            return
        assert self._segment is not None
        chunk = pack_chunk(self._segment, self._waiting)
        with self.connection:
            self.connection.execute(
                "INSERT INTO chunks (first_seq, body) VALUES (?, ?)", (self._segment.first.seq, chunk)
            )
        self._waiting.clear()

    def close(self) -> None:
        """Completes the last segment."""
        try:
            self._seal()
            if not self._wal:
                # removes the empty journal that lies beside it
                self.connection.execute("PRAGMA journal_mode = DELETE")
        finally:
            self.connection.close()

    def _seal(self) -> None:
        if self._segment is None:
            return
        sealed = self._segment.sealed()
        with self.connection:
            number = self._write_sealed(sealed)
            self.connection.execute("DELETE FROM chunks")
        self._waiting.clear()
        self._segment = None
        if self.on_sealed is not None:
            self.on_sealed(number, sealed)

    def _write_sealed(self, segment: SealedSegment) -> int:
        return write_segment(self.connection, segment)


def write_segment(connection: sqlite3.Connection, segment: SealedSegment) -> int:
    """Writes a complete segment, in the transaction that is open; returns its id."""
    first, last = segment.first, segment.last
    cursor = connection.execute(
        "INSERT INTO segments (first_seq, first_time_ns, first_boottime_ns, last_seq, last_time_ns, last_boottime_ns,"
        " interval_ns, boot_id, size_bytes, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(first.seq, first.time_ns, first.boottime_ns, last.seq, last.time_ns, last.boottime_ns),
            *(segment.interval_ns, segment.boot_id, segment.size_bytes, pack_head(segment)),
        ),
    )
    number = cursor.lastrowid
    assert number is not None
    connection.executemany(
        "INSERT INTO tracks (segment, section, body) VALUES (?, ?, ?)",
        [(number, name, mark(first.seq, name, body)) for name, body in segment.tracks.items()],
    )
    return number


def _open(path: str, wal: bool) -> sqlite3.Connection:
    is_new = not os.path.exists(path)
    if is_new:
        # SQLite would make it readable to all
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    else:
        is_new = check_is_file(path) == 0
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode=rw", uri=True, timeout=_BUSY_SECONDS, check_same_thread=False
    )
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        # one that was killed before it had made its tables left an empty database
        is_new = is_new or _is_empty(connection)
        if is_new:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        else:
            check_header(connection, path)
        connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'TRUNCATE'}")
        # a store outlives the machine's power; a recording is synced less often
        connection.execute(f"PRAGMA synchronous = {'FULL' if wal else 'NORMAL'}")
        if is_new:
            with connection:
                connection.execute("BEGIN")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
                for sql in TABLES.values():
                    connection.execute(sql)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    with reading_schema():
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    return bool(tables == application_id == 0)
