"""The form of a recording: an SQLite file with the segments of a timeline. docs/recording.md describes it.

Columns are an index only: every blob names what it is of and carries a checksum, and is believed alone. A segment grows
as *chunks*, some frames each; when it is complete it is written again as a *head* (boot, times) and one track
per section, and its chunks go.
"""

import os
import sqlite3
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import msgpack

from ztop_protocol.codec import MAX_FRAME_BYTES, Malformed, Wire, unpack
from ztop_protocol.segment import (
    EncodedFrame,
    SealedSegment,
    Segment,
    Stamp,
    are_of_stamp,
    is_interval,
    seal,
    stamps_as_lists,
    stamps_from,
    unseal,
)

APPLICATION_ID = 0x5A544F50
"""``ZTOP``: byte 68 of the file."""
FORMAT_VERSION = 1

TABLES: dict[str, str] = {
    "segments": (
        "CREATE TABLE segments (id INTEGER PRIMARY KEY, first_seq INTEGER, first_time_ns INTEGER,"
        " first_boottime_ns INTEGER, last_seq INTEGER, last_time_ns INTEGER, last_boottime_ns INTEGER,"
        " interval_ns INTEGER, boot_id TEXT, size_bytes INTEGER, head BLOB)"
    ),
    "tracks": "CREATE TABLE tracks (id INTEGER PRIMARY KEY, segment INTEGER, section TEXT, body BLOB)",
    "tracks_of_segment": "CREATE INDEX tracks_of_segment ON tracks (segment)",
    "chunks": "CREATE TABLE chunks (id INTEGER PRIMARY KEY, first_seq INTEGER, body BLOB)",
    "runs": "CREATE TABLE runs (id INTEGER PRIMARY KEY, sampler TEXT, seq_offset INTEGER)",
}
"""Everything in the file, by name; in a stranger's file nothing else is read."""

TABLES_OF_VERSIONS: dict[int, dict[str, str]] = {FORMAT_VERSION: TABLES}
"""What files of the formats that can be read have."""

MAX_HEAD_BYTES = 1 << 20
MAX_CHUNK_BYTES = 8 * MAX_FRAME_BYTES
_MARK = struct.Struct(">QI")
"""The first frame's number of the segment, and a CRC-32 of that, the blob's name and the rest."""


class RecordingError(Exception):
    """A recording cannot be used; the sentence is for a person."""


class NotARecording(RecordingError):
    """The file is something else."""


class NewerFormat(RecordingError):
    """A newer version wrote the file."""


def mark(first_seq: int, name: str, sealed: bytes) -> bytes:
    """A blob that says what it is of."""
    return _MARK.pack(first_seq, _checksum(first_seq, name, sealed)) + sealed


def unmark(blob: object, first_seq: int | None, name: str) -> tuple[int, bytes]:
    """The first frame's number and the sealed bytes. Raises :exc:`Malformed` where it is another blob, or damaged."""
    if not isinstance(blob, bytes) or len(blob) < _MARK.size:
        raise Malformed(f"{name}: not a blob of a recording")
    seq, checksum = _MARK.unpack_from(blob)
    sealed = blob[_MARK.size :]
    if first_seq not in (None, seq) or checksum != _checksum(seq, name, sealed):
        raise Malformed(f"{name}: damaged")
    return seq, sealed


def _checksum(first_seq: int, name: str, sealed: bytes) -> int:
    return zlib.crc32(sealed, zlib.crc32(f"{first_seq}:{name}".encode("utf-8", "surrogateescape")))


@dataclass(frozen=True, slots=True)
class Head:
    """What a segment is: its boot, its times, and which tracks it has."""

    boot_id: str
    interval_ns: int
    stamps: tuple[Stamp, ...]
    names: frozenset[str]


def pack_head(segment: SealedSegment) -> bytes:
    """The head of a segment: ``[boot_id, interval_ns, stamps, names]``."""
    made: bytes = msgpack.packb(
        (segment.boot_id, segment.interval_ns, stamps_as_lists(segment.stamps), list(segment.tracks))
    )
    return mark(segment.first.seq, "head", seal(made))


def unpack_head(blob: object) -> Head:
    """Raises :exc:`Malformed`."""
    first_seq, sealed = unmark(blob, None, "head")
    head = unpack(unseal(sealed, MAX_HEAD_BYTES), MAX_HEAD_BYTES)
    if not isinstance(head, list) or len(head) != 4 or not isinstance(head[0], str) or not is_interval(head[1]):
        raise Malformed("the head of a segment is its boot, its interval, its stamps and the names of its tracks")
    if not isinstance(head[3], list) or not all(isinstance(name, str) for name in head[3]):
        raise Malformed("the names of a segment's tracks are text")
    stamps = stamps_from(head[2])
    if stamps[0].seq != first_seq:
        raise Malformed("the head of another segment")
    return Head(head[0], head[1], stamps, frozenset(head[3]))


def pack_chunk(segment: Segment, frames: Iterable[EncodedFrame]) -> bytes:
    """Frames of a growing segment."""
    made: bytes = msgpack.packb([segment.interval_ns, [_frame_as_list(frame) for frame in frames]])
    return mark(segment.first.seq, "chunk", seal(made))


def unpack_chunk(blob: object) -> tuple[int, int, list[EncodedFrame]]:
    """The number of the segment's first frame, its interval, and frames. Raises :exc:`Malformed`."""
    first_seq, sealed = unmark(blob, None, "chunk")
    chunk = unpack(unseal(sealed, MAX_CHUNK_BYTES), MAX_CHUNK_BYTES)
    if not isinstance(chunk, list) or len(chunk) != 2 or not is_interval(chunk[0]) or not isinstance(chunk[1], list):
        raise Malformed("a chunk is an interval and frames")
    return first_seq, chunk[0], [_frame_from(item) for item in chunk[1]]


def _frame_as_list(frame: EncodedFrame) -> list[Wire]:
    return [
        *(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id),
        *(frame.base_seq, dict(frame.changes), list(frame.gone_sections)),
        None if frame.keyframe is None else dict(frame.keyframe),
    ]


def _frame_from(value: Wire) -> EncodedFrame:
    if not isinstance(value, list) or len(value) != 8:
        raise Malformed("a frame is a list of 8")
    seq, time_ns, boottime_ns, boot_id, base_seq, changes, gone, keyframe = value
    if not are_of_stamp(seq, time_ns, boottime_ns) or not isinstance(boot_id, str):
        raise Malformed("a frame has a number, times and a boot")
    if type(base_seq) not in (int, type(None)) or not _are_parts(changes) or not isinstance(gone, list):
        raise Malformed("a frame has a base, changes and gone sections")
    if not all(isinstance(name, str) for name in gone) or not (keyframe is None or _are_parts(keyframe)):
        raise Malformed("a frame's sections are named, and bytes")
    return EncodedFrame(seq, time_ns, boottime_ns, boot_id, base_seq, changes, tuple(gone), keyframe)


def _are_parts(value: Wire) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(part, bytes) for name, part in value.items()
    )


def check_is_file(path: str) -> int:
    """The size of a regular file, in bytes. Raises :exc:`RecordingError` for anything else."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise RecordingError(f"{path!a} is no path") from None
    if not stat.S_ISREG(found.st_mode):
        raise NotARecording(f"{path} is no file")
    return found.st_size


@contextmanager
def reading_schema() -> Iterator[None]:
    """What reads the schema first. Raises :exc:`sqlite3.DatabaseError` where Python cannot say what SQLite does."""
    try:
        yield
    except UnicodeDecodeError:
        # SQLite's own words about a damaged schema have its bytes in them
        raise sqlite3.DatabaseError("malformed database schema") from None


def check_header(connection: sqlite3.Connection, path: str) -> None:
    """Raises :exc:`NotARecording` or :exc:`NewerFormat`; :exc:`sqlite3.Error` where SQLite cannot read it."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotARecording(f"{path} is no recording of ztop")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT_VERSION:
        raise NewerFormat(f"{path} was written by a newer ztop: format {version}, this version reads {FORMAT_VERSION}")
    with reading_schema():
        found = dict(connection.execute("SELECT name, sql FROM sqlite_master LIMIT 100"))
    if found != TABLES_OF_VERSIONS.get(version):
        raise NotARecording(f"{path} does not have the tables of a recording")
