"""``ztop --record``: every frame of a daemon goes into a file, by a thread that nobody waits for."""

import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.daemon import Daemon
from ztop_client.formats import bytes_text
from ztop_client.incident import redacted
from ztop_client.moments import parse_moment
from ztop_client.options import Options
from ztop_client.sources.beside import SourceBeside
from ztop_client.sources.opening import Opened
from ztop_client.sources.past import NothingThen, RememberedPast
from ztop_client.sources.source import Source
from ztop_protocol.codec import Malformed
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Frame
from ztop_protocol.recording import WRITE_SECONDS, RecordingWriter
from ztop_protocol.recording_format import RecordingError, check_is_file, unpack_head
from ztop_protocol.segment import Stamp, encode_step, may_follow

_MOST_WAITING = 256
"""Frames that wait for a disk; those that come when there are so many are lost."""
_GRACE_SECONDS = 1.0
"""A recording of some duration ends so much later at the latest, where no frame comes to end it."""

_END_OF_TIME_NS = (1 << 63) - 1

Before = Callable[[Frame], Iterable[Frame]]
"""Gives the frames before the first one of a recording, in order; raises :exc:`RecordingError`."""


class Recorder:
    """A recording in the making; use it in a ``with`` statement, at whose end everything is in the file.

    The numbers of the frames are the daemon's. Where they do not go on (it was started anew) they are counted on from
    the last one recorded.
    """

    def __init__(
        self,
        path: str,
        interval_ns: int,
        *,
        duration_ns: int | None = None,
        before: Before | None = None,
        redact: bool = False,
    ) -> None:
        """Goes on with a recording that is there. Raises :exc:`RecordingError`.

        ``interval_ns``: between two frames of the daemon. ``duration_ns``: the first frame that is so much later than
        the first one is the last one. ``redact``: names nobody, as :func:`ztop_client.incident.redacted` has it.
        """
        self.path = path
        self.problem: str | None = None
        """Why the recording lacks something or stopped, in one sentence."""
        self._duration_ns = duration_ns
        self._before = before
        self._redact = redact
        self._first: tuple[Frame, float] | None = None
        self._final: Frame | None = None
        self._told: str | None = None
        self._is_end_told = False
        self._is_complete = False
        self._has_stopped = False
        self._waiting: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._last: Frame | None = None
        self._offset = 0
        with ExitStack() as opened:
            self._descriptor = _locked(path)
            opened.callback(os.close, self._descriptor)
            try:
                self._writer = RecordingWriter(path, interval_ns)
                opened.callback(self._writer.connection.close)
                self._end = _end_of(self._writer, path)
            except (sqlite3.Error, OSError) as error:
                raise RecordingError(f"{path} cannot be recorded to: {_words(error)}") from None
            self._opened = opened.pop_all()
        self._found = self._end
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Writes what has been taken, and no more; to be called while the daemon can still be asked what was before."""
        self._waiting.put(None)
        self._thread.join()

    @property
    def is_complete(self) -> bool:
        """Whether the duration is over."""
        if self._first is not None and self._duration_ns is not None and not self._is_complete:
            self._end_if(time.monotonic() - self._first[1] > self._duration_ns / 1e9 + _GRACE_SECONDS)
        return self._is_complete

    def _end_if(self, is_complete: bool) -> None:
        if is_complete:
            self._is_complete = True
            self._waiting.put(None)

    @property
    def mark(self) -> str | None:
        """For a title: the size of what is recorded; None once that is complete."""
        if not self._has_stopped:
            return f"REC {bytes_text(self.size_bytes)}"
        return None if self.problem is None else "REC stopped"

    def new_problem(self) -> str | None:
        """The problem, the first time that there is one to be told."""
        if self._told == self.problem:
            return None
        self._told = self.problem
        return self.problem

    def news(self) -> str | None:
        """As :meth:`new_problem`; also that the recording is complete."""
        if self.is_complete and self._has_stopped and self.problem is None and not self._is_end_told:
            self._is_end_told = True
            return f"{self.path} is complete: {bytes_text(self.size_bytes)}."
        return self.new_problem()

    @property
    def size_bytes(self) -> int:
        """Of the file; 0 where somebody removed it."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    def take(self, frame: Frame) -> bool:
        """The next frame; whether more are wanted. Never waits."""
        if self.is_complete or self._has_stopped:
            return False
        if self._waiting.qsize() >= _MOST_WAITING:
            self.problem = f"{self.path} lacks frames: the disk was too slow"
        else:
            self._waiting.put(frame)
        if self._first is None:
            self._first = frame, time.monotonic()
        if self._duration_ns is not None:
            self._end_if(frame.boottime_ns - self._first[0].boottime_ns >= self._duration_ns)
        if self._is_complete:
            self._final = frame
        return not self._is_complete

    def is_after_end(self, frame: Frame) -> bool:
        """Whether the duration was over before the frame was made."""
        return self._final is not None and frame.boottime_ns > self._final.boottime_ns

    def _run(self) -> None:
        try:
            self._write()
            self._writer.close()
        except RecordingError as error:
            self.problem = str(error)
        except (sqlite3.Error, OSError) as error:
            self.problem = f"recording to {self.path} stopped: {_words(error)}"
        except BaseException:
            self.problem = f"recording to {self.path} stopped: a fault of ztop's"
            raise
        finally:
            self._has_stopped = True
            self._opened.close()

    def _write(self) -> None:
        for frame in self._arriving():
            if self._last is None:
                _check_follows(self._found, frame, self.path)
                self._write_before(frame)
            self._add(frame)

    def _write_before(self, first: Frame) -> None:
        if self._before is None:
            return
        known_boot, known_ns = (None, -1) if self._found is None else (self._found[0], self._found[1].time_ns)
        try:
            for frame in self._before(first):
                # of the same boot what is known is passed over by boot time: the clock may have been set back since
                if frame.boot_id == known_boot or frame.time_ns > known_ns:
                    self._add(frame)
        except RecordingError as error:
            # what happens now is recorded all the same
            self.problem = f"{self.path} begins with the present: {error}"

    def _arriving(self) -> Iterator[Frame]:
        """What comes, to the end. What was added is written soon, whether more comes or not."""
        flush_at: float | None = None
        while True:
            try:
                frame = self._waiting.get(timeout=None if flush_at is None else max(0, flush_at - time.monotonic()))
            except queue.Empty:
                self._writer.flush()
                flush_at = None
                continue
            if frame is None:
                return
            yield frame
            flush_at = flush_at or time.monotonic() + WRITE_SECONDS

    def _add(self, frame: Frame) -> None:
        last = self._last
        if self._end is not None:
            boot_id, end = self._end
            if frame.boot_id == boot_id and frame.boottime_ns <= end.boottime_ns:
                # a subscription begins with frames that came before
                return
            if frame.seq + self._offset <= end.seq:
                self._offset = end.seq + 1 - frame.seq
        if self._offset:
            frame = replace(frame, seq=frame.seq + self._offset)
        if self._redact:
            frame = redacted(frame)
        if last is not None and not may_follow(last, frame):
            last = None
        self._writer.add(encode_step(last, frame, whole=self._writer.needs_keyframe))
        self._last, self._end = frame, (frame.boot_id, _stamp(frame))


@contextmanager
def recording(path: str, options: Options, opened: Opened) -> Iterator[tuple[Recorder, Source]]:
    """A recording, as ``options`` have it, and the source to be shown in place of the one that was opened.

    It loses nothing while what shows it stands still. Raises :exc:`RecordingError`.
    """
    duration_ns = None if options.duration_seconds is None else round(options.duration_seconds * 1e9)
    before = None
    if options.from_text is not None:
        before = partial(_remembered, opened.daemon, parse_moment(options.from_text, time.time_ns()))
    with Recorder(path, opened.tick_ns, duration_ns=duration_ns, before=before, redact=options.redact) as recorder:
        opened.source.hand_frames_to(recorder.take)
        with closing(SourceBeside(opened.source)) as source:
            try:
                yield recorder, source
            finally:
                recorder.end()


def _remembered(daemon: Daemon, from_ns: int, first: Frame) -> Iterator[Frame]:
    """What the daemon remembers of the time from ``from_ns`` to its frame ``first``."""
    # imported where it is needed: most recordings are of a daemon that runs
    from ztop_client.sources.private import PrivateDaemon

    if isinstance(daemon, PrivateDaemon):
        raise RecordingError("a private ztopd remembers nothing of the time before it was started")
    try:
        past = RememberedPast(Channel(daemon.connect()), daemon.title)
        with closing(past):
            # by number: the clock may have been set back
            for frame in past.frames(from_ns, _END_OF_TIME_NS):
                if frame.seq >= first.seq:
                    return
                yield frame
    except (NothingThen, DaemonUnreachable, RemoteError) as error:
        raise RecordingError(str(error)) from error


def _locked(path: str) -> int:
    """The file, made if missing, which nobody else records to: a descriptor. Raises :exc:`RecordingError`."""
    try:
        if os.path.exists(path):
            check_is_file(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be recorded to: {_words(error)}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        busy = isinstance(error, BlockingIOError)
        reason = "another ztop records to it" if busy else f"it cannot be locked: {error.strerror}"
        raise RecordingError(f"{path}: {reason}") from None
    return descriptor


def _end_of(writer: RecordingWriter, path: str) -> tuple[str, Stamp] | None:
    """Boot and stamp of the last frame of a recording that is there. Raises :exc:`RecordingError`."""
    found = writer.connection.execute("SELECT head FROM segments ORDER BY id DESC LIMIT 1").fetchone()
    if found is None:
        return None
    try:
        head = unpack_head(found[0])
    except Malformed:
        raise RecordingError(f"the end of {path} is damaged: --record another file") from None
    return head.boot_id, head.stamps[-1]


def _check_follows(end: tuple[str, Stamp] | None, frame: Frame, path: str) -> None:
    """Within a boot all that is later follows. Raises :exc:`RecordingError`."""
    if end is None:
        return
    boot_id, stamp = end
    if boot_id != frame.boot_id and frame.seq <= stamp.seq:
        raise RecordingError(f"{path} is a recording of another boot, or another machine: --record another file")


def _stamp(frame: Frame) -> Stamp:
    return Stamp(frame.seq, frame.time_ns, frame.boottime_ns)


def _words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
