"""The store: what is remembered on disk, across restarts of the daemon and of the machine."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.segment import EncodedFrame
from ztop_protocol.timeline import Timeline
from ztopd.history.inbox import Inbox
from ztopd.history.keeper import Keeper, StoreSettings
from ztopd.history.state import StoreState
from ztopd.history.store_file import FILE_NAME

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.5
"""A disk that does not answer is not waited for any longer."""
_NUMBERS_PER_SECOND = 10
"""No sampler makes more frames."""


class Store:
    """Keeps frames on disk in a thread of its own.

    What is wrong with the disk degrades the store alone: ``tell`` is told the state, what is there is still read, and
    writing is tried again every 10 s. All methods are the event loop's; ``timeline`` changes in its thread only.
    """

    def __init__(
        self,
        settings: StoreSettings,
        interval_ns: int,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        tell: Callable[[StoreState], None],
    ) -> None:
        """Opens it.

        ``call_soon``, called in any thread, has something done in the event loop's; there ``tell`` is called.
        """
        self.timeline: Timeline[StoredSegment] = Timeline()
        """Its complete segments; another object when the file was opened again."""
        self.state = StoreState.OFF
        self._path = os.path.join(settings.directory, FILE_NAME)
        self._call_soon: Callable[[Callable[[], None]], object] = _at_once
        self._tell = tell
        self._inbox = Inbox()
        self._keeper = Keeper(settings, interval_ns, self)
        self._keeper.open()
        if self._keeper.seq_offset is None:
            # what is on disk cannot be read: a number that none of it has reached, should it be there again later
            self._keeper.seq_offset = time.time_ns() * _NUMBERS_PER_SECOND // 1_000_000_000
        self.seq_offset: int = self._keeper.seq_offset
        """What is added to the sampler's numbers, so that they go on from those that are stored."""
        self._call_soon = call_soon
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    @property
    def size_bytes(self) -> int:
        """Of the files on disk."""
        total = 0
        for end in ("", "-wal"):
            with suppress(OSError):
                total += os.stat(self._path + end).st_size
        return total

    def take(self, frame: EncodedFrame) -> None:
        """Keeps the frame, as it is numbered; never waits. Where the disk is too slow the frame is lost."""
        self._inbox.put(frame)

    def close(self) -> None:
        """Writes what is left, and gives the file back."""
        self._inbox.close()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            _log.warning("the store's disk does not answer: what was not written is lost")

    def _run(self) -> None:
        try:
            self._keeper.run(self._inbox)
        except BaseException:
            self._inbox.close()
            self.is_now(StoreState.FAILED)
            raise

    def renewed(self, timeline: Timeline[StoredSegment]) -> None:
        """The file was opened."""

        def change() -> None:
            self.timeline = timeline

        self._call_soon(change)

    def appended(self, segment: StoredSegment) -> None:
        """A segment was completed."""
        self._call_soon(lambda: self.timeline.append(segment))

    def replaced(self, old: StoredSegment, new: StoredSegment) -> None:
        """A segment was thinned."""
        self._call_soon(lambda: self.timeline.replace(old, new))

    def removed(self, segment: StoredSegment) -> None:
        """A segment was deleted."""
        self._call_soon(lambda: self.timeline.remove(segment))

    def is_now(self, state: StoreState) -> None:
        """How the store is."""

        def change() -> None:
            if state is not self.state:
                self.state = state
                self._tell(state)

        self._call_soon(change)


def _at_once(change: Callable[[], None]) -> None:
    """While it is opened, the event loop waits."""
    change()
