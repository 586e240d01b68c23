"""A recording as a source for the screen: it is played."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from ztop_client.moments import moment_text
from ztop_client.sources.kept import threads_kept
from ztop_client.sources.past import NothingThen, RecordedPast, pairs
from ztop_client.sources.recorded_answers import answer
from ztop_client.sources.source import Pair, RequestFailed, SourceStatus
from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Frame
from ztop_protocol.schema import THREADS
from ztop_protocol.timeline import GAP_INTERVALS

_LONGEST_STEP_NS = 60_000_000_000
"""No daemon samples less often."""
_END_OF_TIME_NS = (1 << 63) - 1


class ReplaySource:
    """A recording as a :class:`ztop_client.sources.source.Source`, at the pace at which it was recorded.

    A thread reads it. A gap is passed over as if the next frame had been in time. After the last frame nothing comes.
    """

    def __init__(self, past: RecordedPast, from_ns: int = 0) -> None:
        """Begins with the first frame of that time that has rates. Closes ``past`` at the end.

        Raises :exc:`NothingThen` where there is no frame of that time.
        """
        self._past = past
        self._playing = pairs(past, from_ns, _END_OF_TIME_NS)
        first = next(self._playing, None)
        if first is None:
            raise NothingThen(f"{past.title} has no frame from {moment_text(from_ns)} on")
        if first.previous is None:
            first = next(self._playing, first)
        self._pair = self._arrived = first
        self._since_monotonic = time.monotonic()
        self._turn = threading.Condition()
        self._paused = self._closed = self._ended = False
        self._error: BaseException | None = None
        self._readable, self._signal = os.pipe()
        for descriptor in (self._readable, self._signal):
            os.set_blocking(descriptor, False)
        self._thread = threading.Thread(target=self._play, name="replay", daemon=True)
        self._thread.start()

    @property
    def title(self) -> str:
        """The recording's."""
        return f"{self._past.title} (damaged)" if self._past.notes else self._past.title

    def latest(self) -> Pair | None:
        """The frame that was due last."""
        return self._pair

    def fileno(self) -> int | None:
        """Readable when a frame is due, and at the end."""
        return self._readable

    def receive(self) -> bool:
        """Takes the frame that is due. Raises what broke the reading."""
        with suppress(BlockingIOError):
            os.read(self._readable, 4096)
        if self._error is not None:
            raise self._error
        before, self._pair = self._pair, self._arrived
        return self._pair is not before

    def maintain(self) -> None:
        """There is nothing to connect to."""

    def status(self) -> SourceStatus:
        """Whether it is at its end."""
        past = "end of recording" if self._ended and self._pair is self._arrived else "recorded"
        return SourceStatus(True, self._since_monotonic, past=past)

    def set_interval(self, ticks: int) -> None:
        """The pace is the recording's."""

    def set_sections(self, sections: Sequence[str]) -> None:
        """Its frames have all that were kept."""

    def set_paused(self, paused: bool) -> None:
        """Stands still, or goes on."""
        with self._turn:
            self._paused = paused
            self._turn.notify()

    def ask(self, method: str, arguments: Arguments, done: Callable[[Wire | RequestFailed], None]) -> None:
        """Answers from the recording, or from the frame."""
        if method == THREADS.name:
            done(threads_kept(self._pair.current, arguments))
        else:
            done(answer(self._past.timeline, method, arguments))

    def close(self) -> None:
        """Ends the thread, and closes the recording."""
        with self._turn:
            self._closed = True
            self._turn.notify()
        self._thread.join()
        self._past.close()
        os.close(self._readable)
        os.close(self._signal)

    def _play(self) -> None:
        try:
            for pair, pause_ns in _paced(self._pair, self._playing):
                if not self._waited(pause_ns / 1e9):
                    return
                self._arrived = pair
                self._tell()
            self._ended = True
        except BaseException as error:
            # raised again where somebody sees it
            self._error = error
        self._tell()

    def _tell(self) -> None:
        # where it is full, enough was told
        with suppress(BlockingIOError):
            os.write(self._signal, b"x")

    def _waited(self, seconds: float) -> bool:
        """Waits, not counting pauses; False where it was closed."""
        with self._turn:
            due = time.monotonic() + seconds
            while not self._closed:
                if self._paused:
                    self._turn.wait()
                    due = time.monotonic() + seconds
                    continue
                left = due - time.monotonic()
                if left <= 0:
                    return True
                self._turn.wait(left)
        return False


def _paced(first: Pair, following: Iterator[Pair]) -> Iterator[tuple[Pair, int]]:
    """Each frame, and how long after the one before it it is due, in ns."""
    before = first.current
    usual_ns = (None if first.previous is None else _step_ns(first.previous, before)) or _LONGEST_STEP_NS
    for pair in following:
        step_ns = _step_ns(before, pair.current)
        if step_ns is not None and step_ns <= GAP_INTERVALS * usual_ns:
            usual_ns = step_ns
        yield pair, usual_ns
        before = pair.current


def _step_ns(before: Frame, frame: Frame) -> int | None:
    """The time between two frames of one boot; None across a boot."""
    return None if before.boot_id != frame.boot_id else min(frame.boottime_ns - before.boottime_ns, _LONGEST_STEP_NS)
