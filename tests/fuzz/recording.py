"""Recordings: the file as bytes, and what is in it with every checksum right and everything else not."""

import os
import random
import shutil
import sqlite3
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgpack

from tests.fuzz.machine import filled_frame
from tests.fuzz.mutation import HOSTILE, MOST_BYTES, bytes_mutated, packed, unpacked, value_mutated
from tests.fuzz.target import Target, sentence
from ztop_client.sources import recorded_answers
from ztop_client.sources.past import NothingThen, RecordedPast, pairs
from ztop_client.sources.source import Pair, RequestFailed
from ztop_protocol import recording_reader
from ztop_protocol.frame import Frame
from ztop_protocol.processes import joined
from ztop_protocol.rates import RATES, rates
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_format import MAX_HEAD_BYTES, TABLES, RecordingError, mark, unmark
from ztop_protocol.segment import encode_step, pack_steps, seal, segment_from, unpack_steps, unseal

SECOND = 10**9
SECTIONS = ("host", "processes", "process_io", "summary", "events", "process_events", "alerts")
FRAMES = 11
SEGMENT_FRAMES = 4
_LATEST_NS = (1 << 63) - 1
_MOMENTS_NS = (0, 1_700_000_006 * SECOND, _LATEST_NS)
_MOST_FRAMES = 100
"""A stranger's recording may have any number of them; those looked at cost the same each."""


@lru_cache(1)
def scratch() -> Path:
    """A folder for the files that are read."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="ztop-fuzz-recording-", dir=memory))


def forget() -> None:
    """Removes what runs have left."""
    if scratch.cache_info().currsize:
        shutil.rmtree(scratch(), ignore_errors=True)
        scratch.cache_clear()


def _looked_at(path: str) -> None:
    """Everything that a reader does with it. A recording may be refused, and moments may have nothing."""
    try:
        past = RecordedPast(path)
    except RecordingError as error:
        sentence(error)
        return
    try:
        span = past.span()
        assert span is not None, "there is no recording without a frame"
        for time_ns in _MOMENTS_NS:
            try:
                _worked_out(past.at(time_ns).pair)
            except NothingThen as error:
                sentence(error)
        for number, pair in enumerate(pairs(past, 0, _LATEST_NS)):
            _worked_out(pair)
            if number == _MOST_FRAMES:
                break
        _asked(past, *span)
        assert all(isinstance(note, str) for note in past.notes)
    finally:
        past.close()


def _worked_out(pair: Pair) -> None:
    assert isinstance(pair.current, Frame)
    joined(pair.previous, pair.current)
    for name in RATES:
        if name in pair.current.sections:
            rates(pair.previous, pair.current, name)


def _asked(past: RecordedPast, first_ns: int, last_ns: int) -> None:
    between = {"from_ns": first_ns, "to_ns": last_ns}
    for method, arguments in (
        ("segment", {"time_ns": last_ns}),
        ("segment", {"after_seq": 2}),
        ("segments", between),
        ("series", {**between, "points": 50}),
        ("events", {**between, "limit": 100}),
        ("status", {}),
        ("ping", {}),
    ):
        answer = recorded_answers.answer(past.timeline, method, arguments)
        if not isinstance(answer, RequestFailed):
            # it goes to whoever asks a daemon, too
            msgpack.packb(answer, unicode_errors="surrogateescape")
            for segment in answer.get("segments", ()):
                segment_from(segment)


def run_file(data: bytes) -> None:
    """The bytes are the file."""
    path = scratch() / "x.ztop"
    path.write_bytes(data)
    _looked_at(str(path))


def run_blobs(data: bytes) -> None:
    """``[[index, head, [[section, steps], …]], …], chunks``: what a file holds that somebody made to do harm."""
    value = unpacked(data)
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(part, list) for part in value):
        return
    connection = _database(*value)
    path = scratch() / "there"
    path.write_bytes(b"x")
    try:
        with patch.object(recording_reader, "connect_to_read", lambda uri, path, **_: connection):
            _looked_at(str(path))
    finally:
        connection.close()


def _database(segments: list[Any], chunks: list[Any]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    for sql in TABLES.values():
        connection.execute(sql)
    for number, segment in enumerate(segments[:20], 1):
        if not isinstance(segment, list) or len(segment) != 3 or not isinstance(segment[2], list):
            continue
        seq, head, tracks = segment
        seq = seq if type(seq) is int and 0 <= seq < 1 << 63 else 0
        connection.execute(
            "INSERT INTO segments (id, head) VALUES (?, ?)", (number, mark(seq, "head", seal(packed(head))))
        )
        for track in tracks[:50]:
            if isinstance(track, list) and len(track) == 2 and isinstance(track[0], str):
                name = track[0].encode("utf-8", "replace").decode()
                body = mark(seq, name, seal(_steps(track[1])))
                connection.execute("INSERT INTO tracks (segment, section, body) VALUES (?, ?, ?)", (number, name, body))
    for chunk in chunks[:20]:
        if isinstance(chunk, list) and len(chunk) == 2 and type(chunk[0]) is int and 0 <= chunk[0] < 1 << 63:
            body = mark(chunk[0], "chunk", seal(packed(_with_parts(chunk[1]))))
            connection.execute("INSERT INTO chunks (body) VALUES (?)", (body,))
    return connection


def _steps(value: Any) -> bytes:
    """A track of steps whose bodies are given as values."""
    if not isinstance(value, list):
        return packed(value)
    return packed([[step[0], _body(step[1])] if isinstance(step, list) and len(step) == 2 else step for step in value])


def _body(value: Any) -> Any:
    return packed(value) if isinstance(value, dict | list) else value


def _with_parts(chunk: Any) -> Any:
    """A chunk whose frames' sections are given as values."""
    if not isinstance(chunk, list) or len(chunk) != 2 or not isinstance(chunk[1], list):
        return chunk
    return [chunk[0], [[_parts(field) for field in frame] if isinstance(frame, list) else frame for frame in chunk[1]]]


def _parts(field: Any) -> Any:
    return {name: _body(part) for name, part in field.items()} if isinstance(field, dict) else field


@lru_cache(1)
def _files() -> tuple[bytes, ...]:
    """A recording of several segments that was closed, one that was not, one that is larger, and one that is empty."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, frames, names, is_closed in (
            ("closed", FRAMES, SECTIONS, True),
            ("growing", FRAMES, SECTIONS, False),
            ("one frame", 1, SECTIONS, True),
            ("other sections", 6, ("host", "cpus", "memory", "gpus", "process_counters"), True),
            ("empty", 0, (), True),
        ):
            path = str(Path(folder, name))
            writer = RecordingWriter(path, SECOND, segment_frames=SEGMENT_FRAMES)
            previous = None
            for seq in range(1, frames + 1):
                frame = filled_frame(seq, names=names)
                writer.add(encode_step(previous, frame, whole=writer.needs_keyframe))
                writer.flush()
                previous = frame
            if is_closed:
                writer.close()
            else:
                writer.connection.close()
            connection = sqlite3.connect(path, isolation_level=None)
            # small pages: whatever is hit means something
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA page_size = 512")
            connection.execute("VACUUM")
            connection.close()
            found.append(Path(path).read_bytes())
    return tuple(found)


@lru_cache(1)
def _file_seeds() -> tuple[bytes, ...]:
    closed, growing, *others = _files()
    return (closed, growing, *others, closed[: len(closed) // 2], closed[:4096] + growing[4096:], b"SQLite format 3\0")


@lru_cache(1)
def _blob_seeds() -> tuple[bytes, ...]:
    """What the seeds of the files hold, as values."""
    found = []
    for data in _files():
        connection = sqlite3.connect(":memory:")
        connection.deserialize(data)
        segments = []
        for id, seq, head in connection.execute("SELECT id, first_seq, head FROM segments").fetchall():
            value = unpacked(unseal(unmark(head, None, "head")[1], MAX_HEAD_BYTES))
            tracks = connection.execute("SELECT section, body FROM tracks WHERE segment = ?", (id,)).fetchall()
            segments.append([seq, value, [[name, _values(body, seq, name, len(value[2]))] for name, body in tracks]])
        chunks = []
        for seq, body in connection.execute("SELECT first_seq, body FROM chunks").fetchall():
            interval_ns, frames = unpacked(unseal(unmark(body, None, "chunk")[1]))
            chunks.append([seq, [interval_ns, [[_opened(field) for field in frame] for frame in frames]]])
        connection.close()
        found.append(packed([segments, chunks]))
    # the first segment alone: small inputs are many
    segments, _ = unpacked(found[0])
    return (packed([segments[:1], []]), packed([[], unpacked(found[1])[1]]), *found)


def _values(body: bytes, seq: int, name: str, frames: int) -> list[Any]:
    steps = unpack_steps(unseal(unmark(body, seq, name)[1]), frames)
    assert pack_steps(steps)
    return [[index, None if step is None else unpacked(step)] for index, step in steps]


def _opened(field: Any) -> Any:
    return {name: unpacked(part) for name, part in field.items()} if isinstance(field, dict) else field


_LEAVES = (*HOSTILE, *SECTIONS, 4, 5, 1_700_000_004 * SECOND, 1004 * SECOND, "pid", ["pid", "start_boottime_ns"])


def blobs_mutated(data: bytes, chosen: random.Random) -> bytes:
    """Something else in one to four places."""
    value = unpacked(data)
    if value is None or chosen.random() < 0.1:
        return bytes_mutated(data, chosen)
    for _ in range(chosen.choice((1, 1, 2, 4))):
        value = value_mutated(value, chosen, _LEAVES)
    made = packed(value)
    return made if len(made) <= MOST_BYTES else data


FILE = Target(
    "recording-file", "a recording that is damaged, or somebody's who means harm: its bytes",
    _file_seeds, run_file, bytes_mutated, seconds=2.0, memory_bytes=256 << 20,
)  # fmt: skip
BLOBS = Target(
    "recording", "what a recording holds, whole by its checksums and nothing else",
    _blob_seeds, run_blobs, blobs_mutated, seconds=2.0, memory_bytes=256 << 20,
)  # fmt: skip
