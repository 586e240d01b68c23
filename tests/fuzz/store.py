"""The store's file, damaged: the daemon begins, keeps what comes, and says how its history is."""

import random
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

from tests.fuzz.machine import filled_frame
from tests.fuzz.mutation import HOSTILE, bytes_mutated
from tests.fuzz.recording import SECTIONS, scratch
from tests.fuzz.target import Target
from ztop_protocol import recording
from ztop_protocol.codec import Malformed
from ztop_protocol.recording_format import RecordingError
from ztop_protocol.recording_reader import RecordingReader, StoredSegment
from ztop_protocol.segment import EncodedFrame, encode_step
from ztop_protocol.timeline import Timeline, frames
from ztopd.history.inbox import Inbox
from ztopd.history.keeper import Keeper, StoreSettings
from ztopd.history.retention import Limits
from ztopd.history.state import StoreState
from ztopd.history.store_file import FILE_NAME

SECOND = 10**9
FRAMES = 6
_ALWAYS = (0, (1 << 63) - 1)
_LIMITS = Limits(1 << 62, 1 << 29)


class _Told:
    """What the keeper tells of the store."""

    def __init__(self) -> None:
        self.timeline: Timeline[StoredSegment] = Timeline()
        self.states: list[StoreState] = []

    def renewed(self, timeline: Timeline[StoredSegment]) -> None:
        self.timeline = timeline

    def appended(self, segment: StoredSegment) -> None:
        self.timeline.append(segment)

    def replaced(self, old: StoredSegment, new: StoredSegment) -> None:
        self.timeline.replace(old, new)

    def removed(self, segment: StoredSegment) -> None:
        self.timeline.remove(segment)

    def is_now(self, state: StoreState) -> None:
        self.states.append(state)


@lru_cache(64)
def _frames(offset: int) -> list[EncodedFrame]:
    """What the sampler sends, numbered on."""
    made = [filled_frame(seq, names=SECTIONS) for seq in range(1, FRAMES + 1)]
    steps = [encode_step(None if place == 0 else made[place - 1], made[place], whole=place % 4 == 0)
             for place in range(FRAMES)]  # fmt: skip
    return [
        EncodedFrame(
            *(step.seq + offset, step.time_ns, step.boottime_ns, step.boot_id),
            *(None if step.base_seq is None else step.base_seq + offset, step.changes, step.gone_sections),
            step.keyframe,
        )
        for step in steps
    ]


def run(data: bytes) -> None:
    """The bytes are the file that a daemon finds when it begins."""
    folder = scratch() / "store"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(0o700)
    (folder / FILE_NAME).write_bytes(data)
    told = _Told()
    keeper = Keeper(StoreSettings(str(folder), "a run", _LIMITS), SECOND, told)
    keeper.open()
    for piece in told.timeline:
        with suppress(Malformed, sqlite3.Error):
            list(frames([piece], *_ALWAYS))
    assert told.states, "nobody knows how the store is"
    offset = keeper.seq_offset if keeper.seq_offset is not None else 1 << 40
    keeper.seq_offset = offset
    given = _frames(offset)
    inbox = Inbox()
    for frame in given:
        inbox.put(frame)
    inbox.close()
    # what comes is written as soon as it does: at the end there is no more to be told of
    with patch.object(recording, "WRITE_SECONDS", 0.0):
        keeper.run(inbox)
    if told.states[-1] in (StoreState.OK, StoreState.DAMAGED):
        kept = _kept(folder / FILE_NAME)
        assert kept is None or given[-1].seq in kept, f"{told.states}: what came is lost"


def _kept(path: Path) -> set[int] | None:
    """The numbers of its frames. None for a file with damage where neither the daemon nor SQLite had to look."""
    try:
        reader = RecordingReader(str(path))
    except RecordingError:
        return None
    try:
        return None if reader.notes else {stamp.seq for piece in reader.timeline for stamp in piece.stamps}
    finally:
        reader.close()


@lru_cache(1)
def _seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "store")
        keeper = Keeper(StoreSettings(str(folder), "a run before", _LIMITS), SECOND, _Told())
        keeper.open()
        inbox = Inbox()
        for frame in _frames(0):
            inbox.put(frame)
        inbox.close()
        keeper.run(inbox)
        whole = (folder / FILE_NAME).read_bytes()
        connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
        connection.execute("INSERT INTO runs (sampler, seq_offset) VALUES ('a run', 100)")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA page_size = 512")
        connection.execute("VACUUM")
        connection.close()
        small = (folder / FILE_NAME).read_bytes()
    return (small, whole, small[: len(small) // 2], b"")


_PLACES = (
    *("segments SET first_seq", "segments SET last_seq", "segments SET first_time_ns", "segments SET last_time_ns"),
    *("segments SET first_boottime_ns", "segments SET interval_ns", "segments SET boot_id", "segments SET size_bytes"),
    *("segments SET head", "segments SET id", "tracks SET body", "tracks SET segment", "tracks SET section"),
    *("runs SET seq_offset", "runs SET sampler"),
)


def mutated(data: bytes, chosen: random.Random) -> bytes:
    """Other values in its tables, or other bytes."""
    if data and chosen.random() < 0.5:
        connection = sqlite3.connect(":memory:")
        # what is no database cannot be changed so
        with suppress(sqlite3.Error, UnicodeError):
            connection.deserialize(data)
            for _ in range(chosen.choice((1, 2))):
                value = chosen.choice((*(one for one in HOSTILE if not isinstance(one, list | dict)), "a run", 7))
                value = value if type(value) is not int else max(-(1 << 63), min(value, (1 << 63) - 1))
                connection.execute(f"UPDATE {chosen.choice(_PLACES)} = ? WHERE random() % 3 = 0", (value,))
                connection.commit()
            made: bytes = connection.serialize()
            connection.close()
            return made
        connection.close()
    return bytes_mutated(data, chosen)


TARGET = Target(
    "store", "the store's file, damaged, when the daemon begins", _seeds, run, mutated, seconds=3.0,
    memory_bytes=256 << 20,
)  # fmt: skip
