"""The counters on one process: descriptors for each of its threads, opened a few at a time.

Every thread that is there when the counters come is attached by itself. Where the kernel can (Linux 5.13), it counts
the threads that they start from then on as well, and never a child process: so nothing is counted twice, and nothing
has to be looked for. On older kernels new threads are looked for at every tick and attached in their turn.

Who started a thread that appears while others are still being attached cannot be known; it may or may not be counted
already. So then all are attached anew, at most :data:`TRIES` times; after that such a thread is left out.
"""

import errno
import os
import time
from collections.abc import Iterable
from itertools import repeat

from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.files import read_record
from ztopd.collectors.perf.accumulate import Counts, Layout, Reading
from ztopd.collectors.perf.syscall import MAX_READING_BYTES, NO_GROUP, Kernel
from ztopd.collectors.process_exec import is_in_exec
from ztopd.collectors.process_stat import parse_stat
from ztopd.collectors.source import ParseError

TRIES = 3

_STAT_BYTES = 2048
_EACH_SIZE = repeat(MAX_READING_BYTES)


class NoDescriptors(Exception):
    """The budget does not hold the next thread."""


class _Thread:
    """The groups on one thread, and how they were last read."""

    __slots__ = ("descriptors", "leaders", "reading")

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self.leaders: list[int] = []
        self.reading: Reading = 0


class Attached:
    """The counters on one process. Whoever lets go of it calls :meth:`close`."""

    def __init__(
        self,
        kernel: Kernel,
        layout: Layout,
        descriptors: Descriptors,
        proc: str,
        pid: int,
        start_boottime_ns: int,
        owner_uid: int,
    ) -> None:
        self._kernel = kernel
        self._layout = layout
        self._countable = layout.countable
        self._descriptors = descriptors
        self._folder = f"{proc}/{pid}"
        self._life = (start_boottime_ns, owner_uid)
        self._threads: dict[int, _Thread] = {}
        self._pending: list[int] = []
        self._listed: set[int] = set()
        self._tries = 0

    @property
    def is_complete(self) -> bool:
        """Whether every thread is attached."""
        return self._tries > 0 and not self._pending

    @property
    def descriptors(self) -> int:
        """How many it holds."""
        return len(self._threads) * self._countable.descriptors

    def go_on(self, until_ns: int) -> None:
        """Attaches threads until the thread's CPU clock says ``until_ns``, one at least.

        Raises :exc:`ProcessLookupError` where the process is gone, or is another life or another owner's by now,
        :exc:`NoDescriptors`, and what :meth:`Kernel.open` raises. The caller then closes it.
        """
        if is_in_exec(self._folder):
            # to open a counter would wait for the new program, however long that takes
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if self._tries == 0:
            self._begin(self._tids())
        while True:
            opened = self._open_pending(until_ns)
            # what was opened between two looks at the same life is of that life
            there = self._tids()
            self._confirm()
            for tid in opened:
                if tid not in there:
                    self._close_thread(tid)
            if self._pending or there <= self._listed or self._tries >= TRIES:
                return
            if self._countable.inherits:
                self.close()
                self._begin(there)
            else:
                self._add_new(there)
            if time.thread_time_ns() >= until_ns:
                return

    def look_for_threads(self) -> None:
        """Where threads do not inherit: finds those that came and lets go of those that went."""
        if self._countable.inherits or not self.is_complete:
            return
        there = self._tids()
        for tid in self._threads.keys() - there:
            self._close_thread(tid)
        self._listed &= there
        self._tries = 1
        self._add_new(there)

    def read(self, counts: Counts) -> bool:
        """Adds what happened since the last call; returns whether anything did.

        Raises :exc:`OSError` where a group can be read no more; the caller then closes it.
        """
        kernel_read, size, changed = self._kernel.read, self._layout.bytes, False
        for thread in self._threads.values():
            data = b"".join(map(kernel_read, thread.leaders, _EACH_SIZE))
            if len(data) != size:
                raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
            reading = int.from_bytes(data, "little")
            if reading != thread.reading:
                counts.add(thread.reading, reading)
                thread.reading = reading
                changed = True
        return changed

    def close(self) -> None:
        """Lets go of every descriptor."""
        for tid in list(self._threads):
            self._close_thread(tid)
        self._pending.clear()

    def _begin(self, tids: Iterable[int]) -> None:
        self._tries += 1
        self._pending = sorted(tids, reverse=True)
        self._listed = set(self._pending)

    def _add_new(self, there: set[int]) -> None:
        new = there - self._listed
        self._pending += sorted(new, reverse=True)
        self._listed |= new

    def _open_pending(self, until_ns: int) -> list[int]:
        opened = []
        while self._pending:
            tid = self._pending[-1]
            try:
                self._open_thread(tid)
                opened.append(tid)
            except ProcessLookupError:
                # it ended meanwhile
                self._close_thread(tid)
            self._pending.pop()
            if time.thread_time_ns() >= until_ns:
                break
        return opened

    def _open_thread(self, tid: int) -> None:
        if not self._descriptors.take(self._countable.descriptors):
            raise NoDescriptors
        thread = self._threads[tid] = _Thread()
        for group in self._countable.groups:
            for attributes in group.attributes:
                leader = NO_GROUP
                for attribute in attributes:
                    descriptor = self._kernel.open(attribute, tid, leader)
                    thread.descriptors.append(descriptor)
                    if leader == NO_GROUP:
                        leader = descriptor
                        thread.leaders.append(leader)

    def _close_thread(self, tid: int) -> None:
        thread = self._threads.pop(tid, None)
        if thread is None:
            return
        # a leader after its group: without it the others would become groups of their own
        for descriptor in reversed(thread.descriptors):
            self._kernel.close(descriptor)
        self._descriptors.give_back(self._countable.descriptors)

    def _tids(self) -> set[int]:
        try:
            return {int(name) for name in os.listdir(f"{self._folder}/task")}
        except FileNotFoundError:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None

    def _confirm(self) -> None:
        """Raises :exc:`ProcessLookupError` unless it is the life, and the owner, that the counters are for."""
        path = f"{self._folder}/stat"
        try:
            life = (parse_stat(read_record(path, _STAT_BYTES)).start_boottime_ns, os.stat(path).st_uid)
        except (FileNotFoundError, ParseError):
            life = None
        if life != self._life:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
