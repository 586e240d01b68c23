"""perf_event_open(2) by its number, for which the C library has no function; struct perf_event_attr packed by hand.

The layout is that of include/uapi/linux/perf_event.h, PERF_ATTR_SIZE_VER0: every kernel that has the call takes it.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Protocol

from ztopd.collectors.perf.events import Event

# arch/*/entry/syscalls and include/uapi/asm-generic/unistd.h
_NUMBERS = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_PERF_FLAG_FD_CLOEXEC = 8
_ANY_CPU = -1

MAX_READING_BYTES = 64
"""The most that a read of one group gives: how many events there are, time enabled, time running, and the counts."""
NO_GROUP = -1
"""In the place of a leader's descriptor: the event is one."""

# type, size, config, sample_period, sample_type, read_format, the bits, wakeup_events, bp_type, config1
_ATTRIBUTE = struct.Struct("=IIQQQQQIIQ")
# PERF_FORMAT_TOTAL_TIME_ENABLED, _TOTAL_TIME_RUNNING and _GROUP. The values come in the order in which the events
# were opened, so there is no need of _ID.
_READ_FORMAT = 1 | 2 | 8
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR, _INHERIT_THREAD = 1 << 1, 1 << 5, 1 << 6, 1 << 35
_PMU_TYPE_SHIFT = 32


def attribute(event: Event, pmu_type: int | None, *, kernel_mode: bool, inherits: bool) -> bytes:
    """A struct perf_event_attr that counts ``event`` in user mode, and in kernel mode where that is wanted.

    ``pmu_type`` names one of several core PMUs (the extended type, Linux 5.13). What ``inherits`` counts the threads
    that the thread starts later as well, but no child process (inherit_thread, Linux 5.13: EINVAL before).
    """
    config = event.config if pmu_type is None else event.config | pmu_type << _PMU_TYPE_SHIFT
    bits = _EXCLUDE_HYPERVISOR
    if not kernel_mode:
        bits |= _EXCLUDE_KERNEL
    if inherits:
        bits |= _INHERIT | _INHERIT_THREAD
    return _ATTRIBUTE.pack(event.type, _ATTRIBUTE.size, config, 0, 0, _READ_FORMAT, bits, 0, 0, 0)


class Kernel(Protocol):
    """The calls that counters need; a recording fake stands in for them in tests. Each raises :exc:`OSError`."""

    def open(self, attribute: bytes, tid: int, group: int, /) -> int:
        """A descriptor of the event on that thread (0: the calling one), in the group of that leader's descriptor."""

    def read(self, descriptor: int, size: int, /) -> bytes:
        """The state of the leader's group."""

    def close(self, descriptor: int, /) -> None:
        """Ends the counting of that event."""


class LinuxKernel:
    """The kernel that we run on."""

    read = staticmethod(os.read)
    close = staticmethod(os.close)

    def __init__(self) -> None:
        # the numbers are those of 64-bit programs
        self._number = _NUMBERS.get(platform.machine()) if sys.maxsize > 1 << 32 else None
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        self._syscall.argtypes = (
            *(ctypes.c_long, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ulong),
        )

    def open(self, attribute: bytes, tid: int, group: int, /) -> int:
        if self._number is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        descriptor = self._syscall(self._number, attribute, tid, _ANY_CPU, group, _PERF_FLAG_FD_CLOEXEC)
        if descriptor < 0:
            number = ctypes.get_errno()
            # the subclass that goes with the number, as PermissionError
            raise OSError(number, os.strerror(number))
        return int(descriptor)
