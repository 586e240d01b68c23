"""The store's thread: writes what comes, makes room, and tries again where the disk refused."""

import logging
import sqlite3
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from ztop_protocol.codec import encode_section
from ztop_protocol.recording_format import RecordingError
from ztop_protocol.recording_reader import StoredSegment, indexed
from ztop_protocol.segment import EncodedFrame, SealedSegment, Segment, SegmentReader
from ztop_protocol.timeline import Timeline
from ztopd.history.inbox import Inbox
from ztopd.history.retention import Limits, Retention
from ztopd.history.state import StoreState
from ztopd.history.store_file import (
    StoreFile,
    StoreLock,
    StoreUnusable,
    is_damage,
    make_directory,
    open_to_read,
    open_to_write,
    set_aside,
    unusable,
)

_log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""After an error the store is tried again every so often, and where all is well its file is looked for."""
SLOW_SECONDS = 60.0
"""So long is it said that frames were lost because the disk was slow."""
_WORK_SECONDS = 5.0
"""Whether there is any is looked for every so often, and when a segment was completed."""
_SLICE_PAUSE_SECONDS = 0.02
"""Between two slices of what can wait: the interpreter is the clients' too."""


class Audience(Protocol):
    """Who is told what became of the store; called from the store's thread."""

    def renewed(self, timeline: Timeline[StoredSegment]) -> None: ...
    def appended(self, segment: StoredSegment) -> None: ...
    def replaced(self, old: StoredSegment, new: StoredSegment) -> None: ...
    def removed(self, segment: StoredSegment) -> None: ...
    def is_now(self, state: StoreState) -> None: ...


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the store is, who fills it, and what it may hold."""

    directory: str
    run: str
    """Names the sampler's life, in which frames are numbered from 1."""
    limits: Limits


class Keeper:
    """Everything that touches the store's disk to write. Used by one thread at a time."""

    def __init__(self, settings: StoreSettings, interval_ns: int, audience: Audience) -> None:
        self._settings = settings
        self._interval_ns = interval_ns
        self._audience = audience
        self._lock: StoreLock | None = None
        self._file: StoreFile | None = None
        self._former: StoreFile | None = None
        """What was open before: somebody may still be reading it."""
        self._retention: Retention | None = None
        self._work: Generator[None, None, None] | None = None
        self._work_due = 0.0
        self._check_due = 0.0
        self._slow_until: float | None = None
        self._usual = StoreState.OK
        """What it is when nothing is wrong now."""
        self._said: str | None = None
        self._since_keyframe: Segment | None = None
        """From the sampler's last keyframe on, as long as no frame is missing."""
        self._last_seq = 0
        self.seq_offset: int | None = None

    def open(self) -> None:
        """Opens the store, or says why not."""
        self._check_due = time.monotonic() + RETRY_SECONDS
        directory = self._settings.directory
        try:
            make_directory(directory)
            self._take_lock()
            self._use(self._opened())
        except StoreUnusable as error:
            self._is_unusable(error)
        except (sqlite3.Error, OSError) as error:
            self._is_unusable(unusable(error, directory))
        else:
            self._said = None
            self._audience.is_now(self._usual)

    def _take_lock(self) -> None:
        if self._lock is not None and not self._lock.is_in_place():
            self._lock.close()
            self._lock = None
        if self._lock is None:
            self._lock = StoreLock(self._settings.directory)

    def _opened(self) -> StoreFile:
        directory, size_bytes = self._settings.directory, self._settings.limits.size_bytes
        try:
            return open_to_write(directory, self._interval_ns, size_bytes)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
        file = set_aside(directory, self._interval_ns, size_bytes)
        self._usual = StoreState.DAMAGED
        return file

    def _use(self, file: StoreFile) -> None:
        try:
            if self.seq_offset is None:
                known = file.offset_of(self._settings.run)
                self.seq_offset = file.last_seq if known is None else known
            file.note_run(self._settings.run, self.seq_offset)
            if file.writer is not None:
                file.writer.on_sealed = self._sealed
                self._retention = Retention(
                    file.writer.connection, file.database, file.segments, self._settings.limits, self._audience
                )
        except BaseException:
            file.close()
            raise
        if self._former is not None:
            self._former.close()
        self._former, self._file = self._file, file
        self._last_seq = max(self._last_seq, file.last_seq)
        timeline: Timeline[StoredSegment] = Timeline()
        for segment, _ in file.segments:
            timeline.append(segment)
        file.segments = []
        self._audience.renewed(timeline)

    def _is_unusable(self, error: StoreUnusable) -> None:
        if str(error) != self._said:
            self._said = str(error)
            _log.warning("the store keeps nothing: %s", error)
        if self._file is None and error.state is not StoreState.IN_USE:
            with suppress(RecordingError, sqlite3.Error, OSError, StoreUnusable):
                self._use(open_to_read(self._settings.directory))
        self._audience.is_now(error.state)

    def _failed(self, error: sqlite3.Error | OSError) -> None:
        """Writing is over until it is tried again; what was not written is lost."""
        assert self._file is not None
        self._work = self._retention = None
        self._file.stop_writing()
        self._check_due = time.monotonic() + RETRY_SECONDS
        if is_damage(error):
            _log.warning("the store: %s", error)
            self._usual = StoreState.DAMAGED
            self._begin_anew()
        else:
            self._is_unusable(unusable(error, self._settings.directory))

    def _begin_anew(self) -> None:
        directory, size_bytes = self._settings.directory, self._settings.limits.size_bytes
        try:
            self._use(set_aside(directory, self._interval_ns, size_bytes))
        except StoreUnusable as error:
            self._is_unusable(error)
        except (sqlite3.Error, OSError) as error:
            self._is_unusable(unusable(error, directory))
        else:
            self._audience.is_now(self._usual)

    def run(self, inbox: Inbox) -> None:
        """Works until the inbox is closed and empty, and closes the store."""
        while True:
            post = inbox.next(self._pause_seconds())
            if post.lost:
                self._is_slow()
            if post.frame is not None:
                self._take(post.frame)
            elif post.is_closed:
                break
            self._do_what_is_due()
        self._close()

    def _is_slow(self) -> None:
        if self._slow_until is None:
            _log.warning("the store's disk is too slow: frames are lost")
        self._slow_until = time.monotonic() + SLOW_SECONDS
        if self._writes:
            self._audience.is_now(StoreState.SLOW)

    @property
    def _writes(self) -> bool:
        return self._file is not None and self._file.writer is not None

    def _pause_seconds(self) -> float:
        """Until something is due."""
        due = self._check_due
        if self._file is not None and self._file.writer is not None:
            due = min(due, self._work_due)
            if self._file.writer.write_due is not None:
                due = min(due, self._file.writer.write_due)
        return max(0.0, due - time.monotonic())

    def _take(self, frame: EncodedFrame) -> None:
        self._follow(frame)
        writer = None if self._file is None else self._file.writer
        # after the server was started anew the sampler sends its newest frame once more
        if writer is None or frame.seq <= self._last_seq:
            return
        if frame.keyframe is None and not writer.leads_to(frame):
            if self._since_keyframe is None:
                return
            frame = replace(frame, keyframe=_whole(self._since_keyframe))
        try:
            writer.add(frame)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
        else:
            self._last_seq = frame.seq

    def _follow(self, frame: EncodedFrame) -> None:
        followed = self._since_keyframe
        if frame.keyframe is not None:
            self._since_keyframe = Segment.begun_by(frame, self._interval_ns)
        elif followed is not None and followed.leads_to(frame):
            followed.add(frame)
        else:
            self._since_keyframe = None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._slow_until is not None and now >= self._slow_until:
            self._slow_until = None
            if self._writes:
                self._audience.is_now(self._usual)
        if now >= self._check_due:
            self._check()
        file = self._file
        if file is None or file.writer is None or self._retention is None:
            return
        try:
            if file.writer.write_due is not None and now >= file.writer.write_due:
                file.writer.flush()
            if now >= self._work_due:
                self._work_a_little(self._retention)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)

    def _work_a_little(self, retention: Retention) -> None:
        retention.make_room()
        if self._work is None:
            self._work = retention.work()
        pause = _SLICE_PAUSE_SECONDS
        try:
            next(self._work)
        except StopIteration:
            self._work, pause = None, _WORK_SECONDS
        self._work_due = time.monotonic() + pause

    def _check(self) -> None:
        self._check_due = time.monotonic() + RETRY_SECONDS
        if self._writes and self._is_in_place():
            return
        if self._file is not None:
            self._work = self._retention = None
            self._file.stop_writing()
        self.open()

    def _is_in_place(self) -> bool:
        return (
            self._file is not None and self._file.is_in_place() and self._lock is not None and self._lock.is_in_place()
        )

    def _sealed(self, id: int, segment: SealedSegment) -> None:
        assert self._file is not None and self._retention is not None
        stored = indexed(self._file.database, id, segment)
        self._retention.add(stored, segment.size_bytes)
        self._audience.appended(stored)
        self._work_due = 0.0

    def _close(self) -> None:
        if self._former is not None:
            self._former.close()
        if self._file is not None:
            # who closes the file last takes the log into it: only a writer can
            self._file.database.close()
            if self._file.writer is not None:
                try:
                    self._file.writer.close()
                except (sqlite3.Error, OSError) as error:
                    _log.warning("the end of what the store was given is lost: %s", error)
        if self._lock is not None:
            self._lock.close()


def _whole(segment: Segment) -> dict[str, bytes]:
    """The last frame of a segment as a keyframe."""
    frame = SegmentReader(segment).frame(len(segment.stamps) - 1)
    return {name: encode_section(name, section) for name, section in frame.sections.items()}
