"""A source that is read beside what shows it: a terminal or a pipe that stands still must not hold up the frames."""

import os
import select
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from ztop_client.sources.source import Pair, RequestFailed, Source, SourceStatus
from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments

_MAINTAIN_SECONDS = 0.25


class SourceBeside:
    """A :class:`ztop_client.sources.source.Source` whose frames are received in a thread; it takes the source over."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.RLock()
        """Held by whoever uses the source."""
        self._seen = source.latest()
        self._answers: list[Callable[[], None]] = []
        self._ends = False
        self._readable, self._news = os.pipe()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._news, False)
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()

    @property
    def title(self) -> str:
        """The source's."""
        return self._source.title

    def latest(self) -> Pair | None:
        """The newest pair at the last :meth:`receive`."""
        return self._seen

    def fileno(self) -> int | None:
        """Readable where there is something to receive."""
        return self._readable

    def receive(self) -> bool:
        """Takes what the thread has received; of several frames the newest."""
        with self._lock:
            if select.select([self._readable], [], [], 0)[0]:
                os.read(self._readable, 1 << 16)
            answers, self._answers = self._answers, []
            before, self._seen = self._seen, self._source.latest()
        for answer in answers:
            answer()
        return self._seen is not before

    def maintain(self) -> None:
        """The thread does it."""

    def status(self) -> SourceStatus:
        """The source's."""
        with self._lock:
            return self._source.status()

    def set_interval(self, ticks: int) -> None:
        """A frame every so many ticks from now on."""
        with self._lock:
            self._source.set_interval(ticks)

    def set_sections(self, sections: Sequence[str]) -> None:
        """Frames of these sections from now on."""
        with self._lock:
            self._source.set_sections(sections)

    def set_paused(self, paused: bool) -> None:
        """Frames come all the same."""
        with self._lock:
            self._source.set_paused(paused)

    def ask(self, method: str, arguments: Arguments, done: Callable[[Wire | RequestFailed], None]) -> None:
        """The answer is given by a later :meth:`receive`."""

        def answered(answer: Wire | RequestFailed) -> None:
            self._answers.append(partial(done, answer))
            self._tell()

        with self._lock:
            self._source.ask(method, arguments, answered)

    def close(self) -> None:
        """Ends the thread, and closes the source."""
        if self._ends:
            return
        self._ends = True
        os.write(self._wake, b"x")
        self._thread.join()
        self._source.close()
        for descriptor in (self._readable, self._news, self._woken, self._wake):
            os.close(descriptor)

    def _run(self) -> None:
        while not self._ends:
            poll = select.poll()
            poll.register(self._woken, select.POLLIN)
            descriptor = self._source.fileno()
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
            poll.poll(_MAINTAIN_SECONDS * 1000)
            with self._lock:
                was_live = self._source.status().live
                self._source.maintain()
                if self._source.receive() or self._source.status().live is not was_live:
                    self._tell()

    def _tell(self) -> None:
        # a pipe that is full tells it already
        with suppress(BlockingIOError):
            os.write(self._news, b"x")
