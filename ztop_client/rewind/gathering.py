"""A span of the past taken frame by frame for something that takes long, while the screen goes on.

Segments are asked for as they are needed; a thread decodes them and does the work.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ztop_client.rewind.control import Span
from ztop_client.rewind.walk import Ask
from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import Malformed, Wire
from ztop_protocol.frame import Frame
from ztop_protocol.segment import SealedSegment, segment_from
from ztop_protocol.timeline import frames

T = TypeVar("T")

_MOST_WAITING = 32
"""Segments that came and were not decoded yet; no more are asked for then."""
_LONGEST_WAIT_SECONDS = 0.2


class Watching(Protocol):
    """The part of an event loop that is needed."""

    def watch_file(self, descriptor: int, callback: Callable[[], object]) -> object: ...
    def remove_watch_file(self, handle: object) -> bool: ...


class GivenUp(Exception):
    """Raised where the frames are taken: nobody wants the result any more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the span was taken: a share (0 to 1), and frames."""

    share: float
    frames: int


class Gathering(Generic[T]):
    """Does ``work`` with the frames of a span; :meth:`give_up` ends it."""

    def __init__(
        self,
        ask: Ask,
        loop: Watching,
        span: Span,
        sections: Collection[str] | None,
        work: Callable[[Iterator[Frame]], T],
        done: Callable[[T | RequestFailed], None],
        progressed: Callable[[Progress], None],
    ) -> None:
        """``sections``: those that the frames have; None: all.

        ``done`` and ``progressed`` are called in the event loop; after :meth:`give_up` neither is.
        """
        self._ask = ask
        self._loop = loop
        self._span = span
        self._sections = sections
        self._work = work
        self._done = done
        self._progressed = progressed
        self._segments: queue.Queue[SealedSegment | RequestFailed | None] = queue.Queue()
        self._cursor: Wire = None
        self._begin_ns: int | None = None
        self._is_asked = self._is_whole = self._is_over = self._is_finished = False
        self._progress = Progress(0.0, 0)
        self._result: T | RequestFailed | None = None
        self._error: BaseException | None = None
        self._readable, self._signal = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._watch = loop.watch_file(self._readable, self._told)
        self._ask_for_more()
        self._thread = threading.Thread(target=self._run, name="gathering", daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        """Ends it; the thread stops at the next frame."""
        if not self._is_over:
            self._end()

    # in the event loop

    def _ask_for_more(self) -> None:
        if self._is_asked or self._is_whole or self._is_over or self._segments.qsize() > _MOST_WAITING:
            return
        self._is_asked = True
        asked: dict[str, Wire] = {"from_ns": self._span.from_ns, "to_ns": self._span.to_ns}
        if self._sections is not None:
            asked["sections"] = sorted(self._sections)
        if self._cursor is not None:
            asked["cursor"] = self._cursor
        self._ask("segments", asked, self._answered)

    def _answered(self, answer: Wire | RequestFailed) -> None:
        self._is_asked = False
        if self._is_over:
            return
        try:
            if isinstance(answer, RequestFailed):
                raise answer
            bodies = answer.get("segments") if isinstance(answer, dict) else None
            if not isinstance(bodies, list):
                raise Malformed("segments: a list was expected")
            for body in bodies:
                self._segments.put(segment_from(body))
            before, self._cursor = self._cursor, answer.get("cursor")
            if self._cursor is not None and self._cursor == before:
                raise Malformed("segments: the cursor stands still")
        except (Malformed, RequestFailed) as error:
            self._is_whole = True
            self._segments.put(error if isinstance(error, RequestFailed) else RequestFailed(str(error)))
            return
        if self._cursor is None:
            self._is_whole = True
            self._segments.put(None)
        self._ask_for_more()

    def _told(self) -> None:
        os.read(self._readable, 4096)
        if self._is_over:
            return
        self._ask_for_more()
        self._progressed(self._progress)
        if not self._is_finished:
            return
        self._end()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        self._done(self._result)

    def _end(self) -> None:
        self._is_over = True
        self._loop.remove_watch_file(self._watch)
        os.close(self._readable)

    # in the thread

    def _run(self) -> None:
        try:
            self._result = self._work(self._frames())
        except RequestFailed as failed:
            self._result = failed
        except GivenUp:
            pass
        except Malformed as error:
            self._result = RequestFailed(f"what the daemon remembers cannot be read: {error}")
        except BaseException as error:
            # raised again where somebody sees it
            self._error = error
        self._is_finished = True
        self._tell()
        os.close(self._signal)

    def _tell(self) -> None:
        try:
            os.write(self._signal, b"x")
        except (BlockingIOError, BrokenPipeError):
            # enough was told, or nobody listens any more
            pass

    def _frames(self) -> Iterator[Frame]:
        last_seq, count = -1, 0
        while (segment := self._next()) is not None:
            for frame in frames([segment], self._span.from_ns, self._span.to_ns):
                if self._is_over:
                    raise GivenUp
                # segments may overlap
                if frame.seq > last_seq:
                    last_seq, count = frame.seq, count + 1
                    yield frame
            self._progress = Progress(self._share(segment), count)
            self._tell()

    def _share(self, segment: SealedSegment) -> float:
        """How much of the span ends with that segment; of everything that is remembered nobody knows how much it is."""
        if self._begin_ns is None:
            self._begin_ns = max(self._span.from_ns, segment.first.time_ns)
        end_ns = min(self._span.to_ns, time.time_ns())
        return (min(segment.last.time_ns, end_ns) - self._begin_ns) / max(end_ns - self._begin_ns, 1)

    def _next(self) -> SealedSegment | None:
        while True:
            if self._is_over:
                raise GivenUp
            try:
                found = self._segments.get(timeout=_LONGEST_WAIT_SECONDS)
            except queue.Empty:
                continue
            if isinstance(found, RequestFailed):
                raise found
            return found
