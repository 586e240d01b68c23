"""Reading a recording, also a stranger's, one that is being written, and what is left of a damaged one."""

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from ztop_protocol.codec import Malformed
from ztop_protocol.recording_format import (
    Head,
    NotARecording,
    RecordingError,
    check_header,
    check_is_file,
    unmark,
    unpack_chunk,
    unpack_head,
)
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import SealedSegment, Segment, Stamp, are_of_stamp, is_interval
from ztop_protocol.timeline import Timeline

_BUSY_SECONDS = 5.0
_MOST_MISSES = 1000
"""So many damaged rows in a row end the search for further ones."""


class Database:
    """A connection to read with, that several threads may ask, one after the other."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def rows(self, sql: str, *values: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()


class StoredSegment:
    """A complete segment in a file: a :class:`ztop_protocol.segment.Piece`. Its stamps and tracks are read on demand.

    ``stamps`` and ``opened`` raise :exc:`Malformed` for what is damaged, :exc:`sqlite3.Error` where the file is.
    """

    __slots__ = ("_database", "_head", "boot_id", "first", "id", "interval_ns", "last")

    def __init__(
        self,
        database: Database,
        id: int,
        boot_id: str,
        interval_ns: int,
        first: Stamp,
        last: Stamp,
    ) -> None:
        self._database = database
        self._head: Head | None = None
        self.id = id
        self.boot_id = boot_id
        self.interval_ns = interval_ns
        self.first = first
        self.last = last

    @property
    def stamps(self) -> Sequence[Stamp]:
        """Of all its frames."""
        return self._head_now().stamps

    def _head_now(self) -> Head:
        if self._head is None:
            heads = self._database.rows("SELECT head FROM segments WHERE id = ?", self.id)
            if not heads:
                raise Malformed(f"segment {self.id} is gone")
            head = unpack_head(heads[0][0])
            if (head.stamps[0], head.stamps[-1]) != (self.first, self.last):
                raise Malformed(f"segment {self.id}: its index and its head differ")
            self._head = head
        return self._head

    def is_as_indexed(self) -> bool:
        """Whether its head says so, which has a checksum. Raises :exc:`sqlite3.Error`."""
        try:
            self._head_now()
        except Malformed:
            return False
        finally:
            self.forget_head()
        return True

    def forget_head(self) -> None:
        """Frees memory: the head is read again when it is asked for."""
        self._head = None

    def sealed(self, names: Collection[str] | None = None) -> SealedSegment:
        """With the tracks of these sections, or all, as they lie in the file."""
        head = self._head_now()
        wanted = {name for name in head.names if name in SECTIONS and (names is None or name in names)}
        found = dict(self._database.rows("SELECT section, body FROM tracks WHERE segment = ? LIMIT 200", self.id))
        if not wanted <= found.keys():
            raise Malformed(f"segment {self.id}: tracks are missing")
        tracks = {name: unmark(found[name], self.first.seq, name)[1] for name in SECTIONS if name in wanted}
        return SealedSegment(self.boot_id, self.interval_ns, head.stamps, tracks)

    def opened(self, names: Collection[str] | None = None) -> Segment:
        """With the tracks of these sections, or all."""
        return self.sealed(names).opened(names)


def indexed(database: Database, id: int, segment: SealedSegment) -> StoredSegment:
    """The segment that was written under this id."""
    return StoredSegment(database, id, segment.boot_id, segment.interval_ns, segment.first, segment.last)


def index_of(database: Database) -> list[tuple[StoredSegment, int]]:
    """Every complete segment and what its tracks take, in bytes, in the order of their frames.

    By the index alone, but for the last one's head: half a gigabyte opens at once. What is damaged shows when it is
    read; a segment that contradicts others, or with numbers that none has, is left out at once. Of two forms of the
    same frames the one that was written later counts. Raises :exc:`sqlite3.Error`.
    """
    found: list[tuple[StoredSegment, int]] = []
    for *numbers, boot_id in database.rows(
        "SELECT id, interval_ns, size_bytes, first_seq, first_time_ns, first_boottime_ns, last_seq, last_time_ns,"
        " last_boottime_ns, boot_id FROM segments ORDER BY first_seq, id"
    ):
        if not all(type(number) is int for number in numbers) or not isinstance(boot_id, str):
            continue
        id, interval_ns, size_bytes, *stamps = numbers
        if not is_interval(interval_ns) or not are_of_stamp(*stamps) or not can_count_on_from(stamps[3]):
            continue
        segment = StoredSegment(database, id, boot_id, interval_ns, Stamp(*stamps[:3]), Stamp(*stamps[3:]))
        if found and is_same_time(found[-1][0], segment):
            found.pop()
        while found and segment.first.seq <= found[-1][0].last.seq and not found[-1][0].is_as_indexed():
            found.pop()
        if not found or segment.first.seq > found[-1][0].last.seq:
            found.append((segment, size_bytes))
    # from the last number on frames are numbered
    while found and not found[-1][0].is_as_indexed():
        found.pop()
    return found


def can_count_on_from(seq: int) -> bool:
    """Whether frames may be numbered on from there: numbers have 63 bits, and no life comes near half of them."""
    return 0 <= seq < 1 << 62


def is_same_time(one: StoredSegment, other: StoredSegment) -> bool:
    """Whether one is another form of the other: thinning keeps the first and the last frame."""
    return (one.boot_id, one.first, one.last) == (other.boot_id, other.first, other.last)


def unfinished(connection: sqlite3.Connection) -> list[SealedSegment]:
    """What chunks hold of segments that were never completed; of each one as much as is intact."""
    found = connection.execute("SELECT body FROM chunks ORDER BY id")
    return [segment.sealed() for segment in _grown(body for (body,) in found)]


def _grown(blobs: Iterator[object]) -> Iterator[Segment]:
    segment: Segment | None = None
    is_broken = False
    for blob in blobs:
        try:
            first_seq, interval_ns, frames = unpack_chunk(blob)
        except Malformed:
            # what follows in its segment has lost its base
            is_broken = True
            continue
        for frame in frames:
            if frame.keyframe is not None and frame.seq == first_seq:
                if segment is not None:
                    yield segment
                segment, is_broken = Segment.begun_by(frame, interval_ns), False
            elif segment is not None and not is_broken and segment.first.seq == first_seq and segment.leads_to(frame):
                segment.add(frame)
            else:
                is_broken = True
    if segment is not None:
        yield segment


class RecordingReader:
    """A recording, read-only. What is damaged is left out and told in ``notes``; the rest is the timeline."""

    def __init__(self, path: str) -> None:
        """Raises :exc:`RecordingError`, one sentence, where there is nothing to be read."""
        self.path = path
        self.notes: list[str] = []
        self.timeline: Timeline[StoredSegment | Segment] = Timeline()
        self._last_id = 0
        self._growing: list[Segment] = []
        size = check_is_file(path)
        if size == 0:
            raise NotARecording(f"{path} is empty")
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._database: Database | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            self._use(connect_to_read(_uri_to_read(self.path), self.path))
            self.refresh()
        except sqlite3.Error as error:
            self._forget()
            self._salvage(error)
        if not len(self.timeline):
            why = f": {self.notes[0]}" if self.notes else ""
            raise RecordingError(f"{self.path} holds no frame{why}")

    def _use(self, connection: sqlite3.Connection) -> None:
        self._database = Database(connection)

    def _forget(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self.timeline, self._last_id, self._growing = Timeline(), 0, []

    def close(self) -> None:
        """Closes the file."""
        self._forget()
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def refresh(self) -> bool:
        """Takes in what was written since; True where there was anything. Raises :exc:`sqlite3.Error`."""
        assert self._database is not None
        before = self.timeline.last()
        for segment in self._growing:
            self.timeline.remove(segment)
        self._growing = []
        rows = self._database.rows(f"SELECT {_INDEX} FROM segments WHERE id > ? ORDER BY id", self._last_id)
        self._take_all(iter(rows))
        blobs = self._database.rows("SELECT body FROM chunks ORDER BY id")
        self._take_growing(blob for (blob,) in blobs)
        after = self.timeline.last()
        return after is not None and (before is None or before.stamp != after.stamp)

    def _take_all(self, rows: Iterator[tuple[object, ...]]) -> None:
        # thinned segments were written later than those that follow them
        for segment in sorted(filter(None, map(self._intact, rows)), key=lambda segment: segment.first.seq):
            last = self.timeline.newest
            if last is None or segment.first.seq > last.last.seq:
                self.timeline.append(segment)
                continue
            for piece in self.timeline:
                if isinstance(piece, StoredSegment) and is_same_time(piece, segment):
                    self.timeline.replace(piece, segment)
                    break
            else:
                self.notes.append(f"a segment was left out: its frames from {segment.first.seq} on are not in order")

    def _intact(self, row: tuple[object, ...]) -> StoredSegment | None:
        assert self._database is not None
        id, head = row[0], row[-1]
        if not isinstance(id, int):
            return None
        self._last_id = max(self._last_id, id)
        try:
            known = unpack_head(head)
            segment = StoredSegment(
                self._database, id, known.boot_id, known.interval_ns, known.stamps[0], known.stamps[-1]
            )
            # every blob is looked at: what the timeline has can be shown
            segment.sealed()
            segment.forget_head()
        except (Malformed, sqlite3.Error) as error:
            self.notes.append(f"a segment was left out: {error}")
            return None
        return segment

    def _take_growing(self, blobs: Iterator[object]) -> None:
        for segment in _grown(blobs):
            last = self.timeline.newest
            if last is None or segment.first.seq > last.last.seq:
                self.timeline.append(segment)
                self._growing.append(segment)

    def _salvage(self, error: sqlite3.Error) -> None:
        """Reads what can be read of a copy, row by row: one page that is lost is not the end of the others."""
        self.notes.append(f"the file is damaged ({error}): what is intact is shown")
        try:
            self._copy = tempfile.TemporaryDirectory(prefix="ztop-salvage-")
            copy = os.path.join(self._copy.name, "recording")
            shutil.copyfile(self.path, copy)
            # left by a writer that was killed: SQLite takes back what was half written, or finds what is not there yet
            for name in ("journal", "wal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{self.path}-{name}", f"{copy}-{name}")
            connection = connect_to_read(f"file:{quote(os.fsencode(copy))}?mode=rw", self.path, damaged=True)
        except OSError as problem:
            raise RecordingError(f"{self.path} is damaged, and cannot be copied: {problem.strerror}") from None
        except sqlite3.Error as problem:
            raise RecordingError(f"{self.path} cannot be read: {problem}") from None
        self._use(connection)
        self._take_all(self._each(_INDEX, "segments"))
        self._take_growing(blob for (_, blob) in self._each("id, body", "chunks"))

    def _each(self, columns: str, table: str) -> Iterator[tuple[object, ...]]:
        assert self._database is not None
        id, misses = 0, 0
        while misses < _MOST_MISSES:
            try:
                found = self._database.rows(f"SELECT {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT 1", id)
                if not found:
                    return
                next_id = found[0][0]
            except (sqlite3.Error, OverflowError):
                id, misses = id + 1, misses + 1
                with suppress(sqlite3.Error, OverflowError):
                    yield from self._database.rows(f"SELECT {columns} FROM {table} WHERE id = ?", id)
                continue
            if not isinstance(next_id, int) or next_id <= id:
                return
            id = next_id
            yield found[0]


_INDEX = "id, head"


def _uri_to_read(path: str) -> str:
    try:
        has_log = os.path.getsize(f"{path}-wal") > 0
    except OSError:
        has_log = False
    # a store's file: SQLite would make files beside it to share it with a writer, of which there can be none there
    is_still = not has_log and not os.access(os.path.dirname(path) or ".", os.W_OK)
    return f"file:{quote(os.fsencode(path))}?mode=ro{'&immutable=1' if is_still else ''}"


def connect_to_read(uri: str, path: str, *, damaged: bool = False) -> sqlite3.Connection:
    """Raises :exc:`RecordingError` for a file of another kind, :exc:`sqlite3.Error`."""
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA mmap_size = 0")
        if damaged:
            # SQLite then opens a file that is shorter than its header says
            connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA query_only = ON")
        check_header(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection
