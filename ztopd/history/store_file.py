"""The store's directory and its file: whose they are, who writes, and what becomes of a file that is damaged."""

import errno
import fcntl
import logging
import os
import sqlite3
import stat
from contextlib import suppress
from urllib.parse import quote

from ztop_protocol.codec import Malformed
from ztop_protocol.recording import SEGMENT_BYTES, RecordingWriter, write_segment
from ztop_protocol.recording_format import NewerFormat, RecordingError
from ztop_protocol.recording_reader import (
    Database,
    RecordingReader,
    StoredSegment,
    can_count_on_from,
    connect_to_read,
    index_of,
)
from ztopd.history.retention import SEGMENT_SHARE
from ztopd.history.state import StoreState

_log = logging.getLogger(__name__)

FILE_NAME = "timeline.ztop"
WAL_BYTES = 4 << 20
"""SQLite takes the write-ahead log into the file when it has grown so much, and cuts it back to that."""
_LITTLE_ROOM_BYTES = 64 << 10
_RUNS_REMEMBERED = 100

_STATES_BY_ERRNO = {
    errno.ENOSPC: StoreState.FULL,
    errno.EDQUOT: StoreState.FULL,
    errno.EROFS: StoreState.READ_ONLY,
    errno.EIO: StoreState.FAILED,
}
_DAMAGED_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StoreUnusable(Exception):
    """The store cannot be used; the state is for ``sources``, the sentence for the log."""

    def __init__(self, state: StoreState, sentence: str) -> None:
        super().__init__(sentence)
        self.state = state


def is_damage(error: Exception) -> bool:
    """Whether the file itself is broken, not the disk, nor the rights."""
    # SQLite's own errors say their code
    return isinstance(error, sqlite3.DatabaseError) and _code(error) in _DAMAGED_CODES


def _code(error: sqlite3.Error) -> int:
    if type(error) is sqlite3.DatabaseError and not hasattr(error, "sqlite_errorcode"):
        return sqlite3.SQLITE_CORRUPT
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def unusable(error: sqlite3.Error | OSError, directory: str) -> StoreUnusable:
    """What an error means for the store."""
    if isinstance(error, OSError):
        is_shut = error.errno == errno.EACCES and os.path.isdir(directory) and not os.access(directory, os.W_OK)
        usual = StoreState.READ_ONLY if is_shut else StoreState.CANNOT_OPEN
        state = _STATES_BY_ERRNO.get(error.errno or 0, usual)
        return StoreUnusable(state, f"{error.filename or directory}: {error.strerror or error}")
    return StoreUnusable(_state_of(_code(error), directory), f"{os.path.join(directory, FILE_NAME)}: {error}")


def _state_of(code: int, directory: str) -> StoreState:
    if code == sqlite3.SQLITE_FULL:
        return StoreState.FULL
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        # the same words for several causes: look at the place
        with suppress(OSError):
            room = os.statvfs(directory)
            if room.f_flag & os.ST_RDONLY or not os.access(directory, os.W_OK):
                return StoreState.READ_ONLY
            if room.f_bavail * room.f_frsize < _LITTLE_ROOM_BYTES:
                return StoreState.FULL
    if code == sqlite3.SQLITE_READONLY:
        return StoreState.READ_ONLY
    return StoreState.CANNOT_OPEN if code == sqlite3.SQLITE_CANTOPEN else StoreState.FAILED


def make_directory(path: str) -> None:
    """Makes a directory that is missing. Raises as :func:`check_directory`."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    check_directory(path)


def check_directory(path: str) -> None:
    """Raises :exc:`StoreUnusable` for a directory that is not ours alone, :exc:`OSError`."""
    link, found = os.lstat(path), os.stat(path)
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise StoreUnusable(StoreState.CANNOT_OPEN, f"{path} is another user's symbolic link")
    if not stat.S_ISDIR(found.st_mode):
        raise StoreUnusable(StoreState.CANNOT_OPEN, f"{path} is no directory")
    if found.st_uid != os.geteuid():
        raise StoreUnusable(StoreState.CANNOT_OPEN, f"the directory {path} belongs to another user")
    if found.st_mode & 0o022:
        raise StoreUnusable(StoreState.CANNOT_OPEN, f"others may write to the directory {path}: chmod go-w it")


class StoreLock:
    """One daemon per store: held for as long as it is open."""

    def __init__(self, directory: str) -> None:
        """Raises :exc:`StoreUnusable` where another holds it, :exc:`OSError`."""
        self._path = os.path.join(directory, f"{FILE_NAME}.lock")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _check_ours(os.fstat(self._descriptor), self._path)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StoreUnusable(StoreState.IN_USE, f"another ztopd writes the store in {directory}") from None
        except BaseException:
            os.close(self._descriptor)
            raise

    def is_in_place(self) -> bool:
        """Whether who comes later will meet this lock."""
        return _inode(self._path) == _inode(self._descriptor)

    def close(self) -> None:
        """Gives it back. Its file stays: whoever opened it meanwhile would hold the lock of a file that is gone."""
        os.close(self._descriptor)


def _check_ours(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise StoreUnusable(StoreState.CANNOT_OPEN, f"{path} is not a file of ours")


def _inode(file: str | int) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class StoreFile:
    """The file, open: ``database`` to read, ``writer`` to write where that is possible."""

    def __init__(self, directory: str, writer: RecordingWriter | None, database: Database) -> None:
        """Takes over both. Raises :exc:`sqlite3.Error`."""
        self.writer = writer
        self.database = database
        self.segments: list[tuple[StoredSegment, int]] = index_of(database)
        """What was complete when it was opened, each with the bytes that it takes."""
        self._path = os.path.join(directory, FILE_NAME)
        self._opened = _inode(self._path)

    @property
    def last_seq(self) -> int:
        """Of the last frame, when it was opened; 0: there was none."""
        return self.segments[-1][0].last.seq if self.segments else 0

    def is_in_place(self) -> bool:
        """Whether the file was neither removed nor replaced."""
        return _inode(self._path) == self._opened

    def offset_of(self, run: str) -> int | None:
        """What a run's numbers were moved by; None for a run that is new."""
        found = self.database.rows("SELECT seq_offset FROM runs WHERE sampler = ? ORDER BY id DESC LIMIT 1", run)
        return found[0][0] if found and type(found[0][0]) is int and can_count_on_from(found[0][0]) else None

    def note_run(self, run: str, seq_offset: int) -> None:
        """Remembers it for the next one who opens this file in the same run. Raises :exc:`sqlite3.Error`."""
        if self.writer is None or self.offset_of(run) == seq_offset:
            return
        with self.writer.connection as connection:
            connection.execute("INSERT INTO runs (sampler, seq_offset) VALUES (?, ?)", (run, seq_offset))
            connection.execute("DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - ?", (_RUNS_REMEMBERED,))

    def stop_writing(self) -> None:
        """After an error; what is there can still be read."""
        if self.writer is not None:
            with suppress(sqlite3.Error):
                self.writer.connection.close()
            self.writer = None

    def close(self) -> None:
        """Nothing can be read any more."""
        self.stop_writing()
        self.database.close()


def open_to_write(directory: str, interval_ns: int, size_bytes: int) -> StoreFile:
    """The store's file, begun where there is none; nothing in it can grow beyond ``size_bytes``.

    Raises :exc:`StoreUnusable`, :exc:`OSError`, and :exc:`sqlite3.Error`: :func:`is_damage` then says whether it must
    be set aside.
    """
    path = os.path.join(directory, FILE_NAME)
    with suppress(FileNotFoundError):
        _check_ours(os.lstat(path), path)
    segment_bytes = min(SEGMENT_BYTES, round(SEGMENT_SHARE * size_bytes))
    try:
        writer = RecordingWriter(path, interval_ns, wal=True, segment_bytes=segment_bytes)
    except NewerFormat as error:
        raise StoreUnusable(StoreState.NEWER, str(error)) from None
    except RecordingError as error:
        # something else lies there, or half of a recording
        raise sqlite3.DatabaseError(str(error)) from None
    try:
        connection = writer.connection
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // page_bytes}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        connection.execute(f"PRAGMA max_page_count = {size_bytes // page_bytes}")
        return StoreFile(directory, writer, Database(_readable(path)))
    except BaseException:
        writer.connection.close()
        raise


def open_to_read(directory: str) -> StoreFile:
    """What a store has that cannot be written. Raises :exc:`RecordingError`, :exc:`sqlite3.Error`, :exc:`OSError`."""
    path = os.path.join(directory, FILE_NAME)
    _check_ours(os.lstat(path), path)
    # without a log beside it the file is whole: SQLite need not make one, which it could not
    has_log = os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal") > 0
    return StoreFile(directory, None, Database(_readable(path, "" if has_log else "&immutable=1")))


def _readable(path: str, more: str = "") -> sqlite3.Connection:
    return connect_to_read(f"file:{quote(os.fsencode(path))}?mode=ro{more}", path)


def set_aside(directory: str, interval_ns: int, size_bytes: int) -> StoreFile:
    """Moves a damaged file out of the way and begins a new one with what is intact. Raises as :func:`open_to_write`."""
    path = os.path.join(directory, FILE_NAME)
    number = 1
    while os.path.lexists(f"{path}.damaged-{number}"):
        number += 1
    damaged = f"{path}.damaged-{number}"
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(path + end, damaged + end)
    file = open_to_write(directory, interval_ns, size_bytes)
    saved = 0
    try:
        assert file.writer is not None
        saved = _copy_intact(damaged, file.writer.connection)
        file.segments = index_of(file.database)
    except BaseException:
        file.close()
        raise
    finally:
        _log.warning("the store is damaged, and was set aside as %s; %d segments could be read", damaged, saved)
    return file


def _copy_intact(damaged: str, connection: sqlite3.Connection) -> int:
    """Copies what can be read; returns how many segments that were."""
    try:
        reader = RecordingReader(damaged)
    except RecordingError:
        return 0
    copied = 0
    try:
        for piece in reader.timeline:
            try:
                segment = piece.sealed()
            except (Malformed, sqlite3.Error):
                continue
            with connection:
                write_segment(connection, segment)
            copied += 1
    finally:
        reader.close()
    return copied
