"""The system call: the attribute's bytes, and errors as the kernel gives them."""

import ctypes
import errno
import os
import struct

import pytest

from tests.ztopd.collectors.perf.fake_kernel import unpacked
from ztopd.collectors.perf.events import Counting, Event, groups
from ztopd.collectors.perf.syscall import MAX_READING_BYTES, NO_GROUP, LinuxKernel, attribute

CONTEXT_SWITCHES = Event("cycles", 1, 3)


class _Beginning(ctypes.Structure):
    """struct perf_event_attr up to the bits, as include/uapi/linux/perf_event.h has it; bit fields from the lowest."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("disabled", ctypes.c_uint64, 1),
        ("inherit", ctypes.c_uint64, 1),
        ("pinned", ctypes.c_uint64, 1),
        ("exclusive", ctypes.c_uint64, 1),
        ("exclude_user", ctypes.c_uint64, 1),
        ("exclude_kernel", ctypes.c_uint64, 1),
        ("exclude_hv", ctypes.c_uint64, 1),
        ("others", ctypes.c_uint64, 28),
        ("inherit_thread", ctypes.c_uint64, 1),
        ("rest", ctypes.c_uint64, 28),
    )


@pytest.mark.parametrize("kernel_mode", [True, False])
@pytest.mark.parametrize("inherits", [True, False])
@pytest.mark.parametrize(("pmu_type", "config"), [(None, 3), (10, 10 << 32 | 3)])
def test_the_attribute(kernel_mode: bool, inherits: bool, pmu_type: int | None, config: int) -> None:
    data = attribute(CONTEXT_SWITCHES, pmu_type, kernel_mode=kernel_mode, inherits=inherits)
    assert len(data) == 64
    fields = _Beginning.from_buffer_copy(data)
    assert (fields.type, fields.size, fields.config, fields.read_format) == (1, 64, config, 11)
    assert fields.exclude_kernel == (not kernel_mode)
    assert fields.inherit == fields.inherit_thread == inherits
    assert (fields.disabled, fields.pinned, fields.exclusive, fields.exclude_user, fields.exclude_hv) == (0, 0, 0, 0, 1)
    assert (fields.others, fields.rest) == (0, 0)
    assert unpacked(data).pmu_type == (pmu_type or 0)


def test_the_kernel_takes_it_and_answers_as_it_is_read() -> None:
    kernel = LinuxKernel()
    data = attribute(CONTEXT_SWITCHES, None, kernel_mode=False, inherits=False)
    leader = kernel.open(data, 0, NO_GROUP)
    member = kernel.open(data, 0, leader)
    try:
        assert not os.get_inheritable(leader)
        events, enabled_ns, running_ns, _, _ = struct.unpack("=5Q", kernel.read(leader, MAX_READING_BYTES))
        assert events == 2
        assert enabled_ns == running_ns > 0
    finally:
        kernel.close(member)
        kernel.close(leader)


def test_errors_keep_their_numbers() -> None:
    kernel = LinuxKernel()
    data = attribute(CONTEXT_SWITCHES, None, kernel_mode=False, inherits=False)
    with pytest.raises(ProcessLookupError):
        kernel.open(data, 2**22 + 1, NO_GROUP)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        kernel.open(data, 0, 999_999)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="Argument list too long"):
        kernel.open(data[:4] + struct.pack("=I", 1) + data[8:], 0, NO_GROUP)


def test_another_architecture_has_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "m68k")
    with pytest.raises(OSError, match="not implemented") as caught:
        LinuxKernel().open(b"", 0, NO_GROUP)
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.parametrize("counting", [Counting.HARDWARE, Counting.SOFTWARE])
@pytest.mark.parametrize("is_intel", [True, False])
def test_the_groups_fit_any_pmu_and_no_column_is_counted_twice(counting: Counting, is_intel: bool) -> None:
    found = groups(counting, is_intel=is_intel)
    assert all(len(group.events) == 2 for group in found)
    columns = [event.column for group in found for event in group.events]
    assert columns[:2] == ["cycles", "instructions"]
    assert len(set(columns)) == len(columns) == 8
    assert all(group.is_hardware == (counting is Counting.HARDWARE) for group in found)


def test_the_last_level_cache_goes_by_the_vendor() -> None:
    """Generic cache events are the last level's on Intel's alone; the others' are PERF_COUNT_HW_CACHE_LL, read."""
    (intel, others) = (groups(Counting.HARDWARE, is_intel=one)[1].events for one in (True, False))
    assert [(event.type, event.config) for event in intel] == [(0, 2), (0, 3)]
    assert [(event.type, event.config) for event in others] == [(3, 2), (3, 2 | 1 << 16)]
