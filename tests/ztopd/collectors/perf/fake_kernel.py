"""A kernel with PMUs as a test wants them: it records what is opened and closed, and says no when told to."""

import errno
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ztopd.collectors.perf.events import Counting, groups
from ztopd.collectors.perf.syscall import NO_GROUP

_ATTRIBUTE = struct.Struct("=IIQQQQQIIQ")


class Attribute(NamedTuple):
    """struct perf_event_attr as the kernel reads it."""

    type: int
    config: int
    pmu_type: int
    inherits: bool
    inherits_threads_alone: bool
    kernel_mode: bool
    read_format: int


def unpacked(attribute: bytes) -> Attribute:
    """The attribute's fields."""
    kind, size, config, period, samples, read_format, bits, *rest = _ATTRIBUTE.unpack(attribute)
    assert (size, period, samples, rest) == (64, 0, 0, [0, 0, 0])
    known = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 35
    assert bits & ~known == 0
    return Attribute(
        kind,
        config & 0xFFFFFFFF,
        config >> 32,
        bool(bits >> 1 & 1),
        bool(bits >> 35 & 1),
        not bits >> 5 & 1,
        read_format,
    )


def named_events(*pmu_types: int) -> dict[tuple[int, int, int], int]:
    """For :attr:`FakeKernel.refused_on`: what kernels say that let no event name one of these PMUs."""
    events = [event for group in groups(Counting.HARDWARE, is_intel=False) for event in group.events]
    return {(pmu_type, event.type, event.config): errno.ENOENT for pmu_type in pmu_types for event in events}


@dataclass(slots=True)
class Opened:
    """One descriptor."""

    attribute: Attribute
    tid: int
    leader: int
    count: int = 0
    enabled_ns: int = 0
    running_ns: int = 0


@dataclass(slots=True)
class FakeKernel:
    """Implements :class:`ztopd.collectors.perf.syscall.Kernel`. Descriptors are numbers that nobody else knows."""

    refused: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """(type, config) -> the error that opening it gives."""
    refused_on: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    """The same on one PMU: (PMU's type, type, config)."""
    refuses_all: int | None = None
    refuses_kernel_mode: int | None = None
    is_before_inherit_thread: bool = False
    refused_tids: dict[int, int] = field(default_factory=dict)
    open_descriptors: dict[int, Opened] = field(default_factory=dict)
    opened: int = 0
    reads: int = 0
    read_error: int | None = None
    is_at_end: bool = False
    """As of a group that is in an error: a read gives nothing."""
    before_open: Callable[[], object] = lambda: None

    def open(self, attribute: bytes, tid: int, group: int, /) -> int:
        self.before_open()
        asked = unpacked(attribute)
        error = self._error(asked, tid)
        if error is not None:
            raise OSError(error, os.strerror(error))
        assert group == NO_GROUP or self.open_descriptors[group].leader == NO_GROUP
        self.opened += 1
        descriptor = 1_000_000 + self.opened
        self.open_descriptors[descriptor] = Opened(asked, tid, group)
        return descriptor

    def _error(self, asked: Attribute, tid: int) -> int | None:
        if self.refuses_all is not None:
            return self.refuses_all
        if self.is_before_inherit_thread and asked.inherits_threads_alone:
            return errno.EINVAL
        if asked.kernel_mode and self.refuses_kernel_mode is not None:
            return self.refuses_kernel_mode
        assert asked.inherits == asked.inherits_threads_alone
        event = (asked.type, asked.config)
        return self.refused_tids.get(tid) or self.refused.get(event) or self.refused_on.get((asked.pmu_type, *event))

    def read(self, descriptor: int, size: int, /) -> bytes:
        self.reads += 1
        if self.read_error is not None:
            raise OSError(self.read_error, os.strerror(self.read_error))
        if self.is_at_end:
            return b""
        leader = self.open_descriptors[descriptor]
        assert leader.leader == NO_GROUP
        group = [descriptor, *(other for other, one in self.open_descriptors.items() if one.leader == descriptor)]
        counts = [self.open_descriptors[one].count for one in group]
        data = struct.pack(f"={3 + len(counts)}Q", len(counts), leader.enabled_ns, leader.running_ns, *counts)
        assert len(data) <= size
        return data

    def close(self, descriptor: int, /) -> None:
        del self.open_descriptors[descriptor]

    def run(self, tid: int, time_ns: int, share: float = 1.0, pmu_type: int = 0, **counts: int) -> None:
        """That thread was on a CPU for so long; ``share`` of it, the groups on that PMU were really counting.

        ``counts`` are by the letter and number of the event: ``h0`` hardware event 0, ``c2`` cache event 2.
        """
        for one in self.open_descriptors.values():
            if one.tid != tid:
                continue
            one.enabled_ns += time_ns
            if one.attribute.pmu_type == pmu_type:
                one.running_ns += round(time_ns * share)
                letter = {0: "h", 1: "s", 3: "c"}[one.attribute.type]
                one.count += counts.get(f"{letter}{one.attribute.config}", 0)

    def tids(self) -> set[int]:
        """The threads that have counters."""
        return {one.tid for one in self.open_descriptors.values()}
