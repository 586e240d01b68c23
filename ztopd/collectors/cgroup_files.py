"""The files of a cgroup: Documentation/admin-guide/cgroup-v2.rst and Documentation/admin-guide/cgroup-v1/."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ztopd.collectors.source import ParseError

_NS_PER_USEC = 1000
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_NO_LIMIT = 1 << 62
"""v1 writes no limit as the largest multiple of the page size below 2^63 (9223372036854771712 with pages of 4 KiB)."""
_SOME_TOTAL = re.compile(rb"some [^\n]*\btotal=(\d{1,20})\b")


@dataclass(slots=True)
class CgroupValues:
    """The cells of a row of ``cgroups`` after its labels, in the schema's order, as its files fill them in."""

    cpu_time_ns: int | None = None
    user_time_ns: int | None = None
    system_time_ns: int | None = None
    throttled_periods: int | None = None
    throttled_time_ns: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_anonymous_bytes: int | None = None
    memory_file_bytes: int | None = None
    swap_bytes: int | None = None
    oom_kills: int | None = None
    pids: int | None = None
    pids_limit: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    io_read_operations: int | None = None
    io_write_operations: int | None = None
    cpu_pressure_time_ns: int | None = None
    memory_pressure_time_ns: int | None = None
    io_pressure_time_ns: int | None = None


Fill: TypeAlias = Callable[[CgroupValues, bytes], None]
"""Fills in what a file says. Raises :exc:`ParseError`."""


def parse_number(data: bytes, file: str) -> int:
    """A file of one number. Raises :exc:`ParseError`."""
    try:
        return int(data)
    except ValueError as error:
        raise ParseError(f"{file}: {data[:80]!r} is no number") from error


def parse_limit(data: bytes, file: str) -> int | None:
    """A file of one number or ``max``; None: no limit. Raises :exc:`ParseError`."""
    if data.strip() == b"max":
        return None
    limit = parse_number(data, file)
    return limit if limit < _NO_LIMIT else None


def parse_flat_keyed(data: bytes, file: str) -> dict[bytes, int]:
    """``KEY VALUE`` in each line. Raises :exc:`ParseError`."""
    fields = data.split()
    try:
        return dict(zip(fields[::2], map(int, fields[1::2]), strict=True))
    except ValueError as error:
        raise ParseError(f"{file}: not lines of a key and a number: {error}") from error


def parse_io_stat(data: bytes) -> tuple[int, int, int, int]:
    """v2's ``MAJOR:MINOR KEY=VALUE…`` lines, summed: bytes read, bytes written, reads, writes.

    A stacked device (dm on a disk) is counted at each level, as the kernel counts it. Raises :exc:`ParseError`.
    """
    sums = {b"rbytes": 0, b"wbytes": 0, b"rios": 0, b"wios": 0}
    try:
        for field in data.split():
            key, _, value = field.partition(b"=")
            if key in sums:
                sums[key] += int(value)
    except ValueError as error:
        raise ParseError(f"io.stat: {error}") from error
    return sums[b"rbytes"], sums[b"wbytes"], sums[b"rios"], sums[b"wios"]


def parse_blkio(data: bytes, file: str) -> tuple[int | None, int | None]:
    """v1's ``MAJOR:MINOR Read|Write|… VALUE`` lines, summed: read, written. Raises :exc:`ParseError`.

    None where no device is named: the root's I/O is not counted in v1, and its file looks the same.
    """
    sums: dict[bytes, int | None] = {b"Read": None, b"Write": None}
    try:
        for line in data.splitlines():
            fields = line.split()
            if len(fields) == 3 and fields[1] in sums:
                sums[fields[1]] = (sums[fields[1]] or 0) + int(fields[2])
    except ValueError as error:
        raise ParseError(f"{file}: {error}") from error
    return sums[b"Read"], sums[b"Write"]


def parse_some_total(data: bytes, file: str) -> int:
    """The time for which some task waited, in ns. Raises :exc:`ParseError`."""
    match = _SOME_TOTAL.search(data)
    if match is None:
        raise ParseError(f"{file}: no line some … total=: {data[:80]!r}")
    return int(match[1]) * _NS_PER_USEC


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one controller.

    ``moving`` ones show whether anything happened in the cgroup, and can change while nothing runs in it;
    the ``resting`` ones need not be read where all of the moving ones stand still.
    """

    moving: tuple[tuple[str, Fill], ...]
    resting: tuple[tuple[str, Fill], ...]


def _cpu_stat(values: CgroupValues, data: bytes) -> None:
    numbers = parse_flat_keyed(data, "cpu.stat")
    values.cpu_time_ns = _usec(numbers.get(b"usage_usec"))
    values.user_time_ns = _usec(numbers.get(b"user_usec"))
    values.system_time_ns = _usec(numbers.get(b"system_usec"))
    values.throttled_periods = numbers.get(b"nr_throttled")
    values.throttled_time_ns = _usec(numbers.get(b"throttled_usec"))


def _io_stat(values: CgroupValues, data: bytes) -> None:
    (*(values.io_read_bytes, values.io_write_bytes, values.io_read_operations, values.io_write_operations),) = (
        parse_io_stat(data)
    )


def _io_pressure(values: CgroupValues, data: bytes) -> None:
    values.io_pressure_time_ns = parse_some_total(data, "io.pressure")


def _cpu_pressure(values: CgroupValues, data: bytes) -> None:
    values.cpu_pressure_time_ns = parse_some_total(data, "cpu.pressure")


def _memory_pressure(values: CgroupValues, data: bytes) -> None:
    values.memory_pressure_time_ns = parse_some_total(data, "memory.pressure")


def _memory_current(values: CgroupValues, data: bytes) -> None:
    values.memory_bytes = parse_number(data, "memory.current")


def _memory_max(values: CgroupValues, data: bytes) -> None:
    values.memory_limit_bytes = parse_limit(data, "memory.max")


def _memory_stat(values: CgroupValues, data: bytes) -> None:
    numbers = parse_flat_keyed(data, "memory.stat")
    values.memory_anonymous_bytes, values.memory_file_bytes = numbers.get(b"anon"), numbers.get(b"file")


def _swap_current(values: CgroupValues, data: bytes) -> None:
    values.swap_bytes = parse_number(data, "memory.swap.current")


def _memory_events(values: CgroupValues, data: bytes) -> None:
    values.oom_kills = parse_flat_keyed(data, "memory.events").get(b"oom_kill")


def _pids_current(values: CgroupValues, data: bytes) -> None:
    values.pids = parse_number(data, "pids.current")


def _pids_max(values: CgroupValues, data: bytes) -> None:
    values.pids_limit = parse_limit(data, "pids.max")


def _cpuacct_usage(values: CgroupValues, data: bytes) -> None:
    values.cpu_time_ns = parse_number(data, "cpuacct.usage")


def _cpuacct_stat(values: CgroupValues, data: bytes) -> None:
    numbers = parse_flat_keyed(data, "cpuacct.stat")
    values.user_time_ns, values.system_time_ns = _ticks(numbers.get(b"user")), _ticks(numbers.get(b"system"))


def _v1_cpu_stat(values: CgroupValues, data: bytes) -> None:
    numbers = parse_flat_keyed(data, "cpu.stat")
    values.throttled_periods, values.throttled_time_ns = numbers.get(b"nr_throttled"), numbers.get(b"throttled_time")


def _usage_in_bytes(values: CgroupValues, data: bytes) -> None:
    values.memory_bytes = parse_number(data, "memory.usage_in_bytes")


def _limit_in_bytes(values: CgroupValues, data: bytes) -> None:
    values.memory_limit_bytes = parse_limit(data, "memory.limit_in_bytes")


def _v1_memory_stat(values: CgroupValues, data: bytes) -> None:
    # total_* includes the cgroups below, as everything in v2 does
    numbers = parse_flat_keyed(data, "memory.stat")
    values.memory_anonymous_bytes = numbers.get(b"total_rss", numbers.get(b"rss"))
    values.memory_file_bytes = numbers.get(b"total_cache", numbers.get(b"cache"))
    values.swap_bytes = numbers.get(b"total_swap", numbers.get(b"swap"))


def _oom_control(values: CgroupValues, data: bytes) -> None:
    # since Linux 4.13
    values.oom_kills = parse_flat_keyed(data, "memory.oom_control").get(b"oom_kill")


def _io_service_bytes(values: CgroupValues, data: bytes) -> None:
    values.io_read_bytes, values.io_write_bytes = parse_blkio(data, "blkio.throttle.io_service_bytes")


def _io_serviced(values: CgroupValues, data: bytes) -> None:
    values.io_read_operations, values.io_write_operations = parse_blkio(data, "blkio.throttle.io_serviced")


def _usec(value: int | None) -> int | None:
    return None if value is None else value * _NS_PER_USEC


def _ticks(value: int | None) -> int | None:
    return None if value is None else value * _NS_PER_TICK


V2_FILES = Files(
    moving=(("cpu.stat", _cpu_stat), ("io.stat", _io_stat), ("io.pressure", _io_pressure)),
    resting=(
        ("memory.current", _memory_current),
        ("memory.max", _memory_max),
        ("memory.stat", _memory_stat),
        ("memory.swap.current", _swap_current),
        ("memory.events", _memory_events),
        ("pids.current", _pids_current),
        ("pids.max", _pids_max),
        ("cpu.pressure", _cpu_pressure),
        ("memory.pressure", _memory_pressure),
    ),
)
V1_FILES = {
    "cpuacct": Files(moving=(("cpuacct.usage", _cpuacct_usage),), resting=(("cpuacct.stat", _cpuacct_stat),)),
    "cpu": Files(moving=(), resting=(("cpu.stat", _v1_cpu_stat),)),
    "memory": Files(
        moving=(),
        resting=(
            ("memory.usage_in_bytes", _usage_in_bytes),
            ("memory.limit_in_bytes", _limit_in_bytes),
            ("memory.stat", _v1_memory_stat),
            ("memory.oom_control", _oom_control),
        ),
    ),
    "pids": Files(moving=(), resting=(("pids.current", _pids_current), ("pids.max", _pids_max))),
    "blkio": Files(
        # the second, where there is one, counts the cgroups below too, as everything in v2 does
        moving=(
            ("blkio.throttle.io_service_bytes", _io_service_bytes),
            ("blkio.throttle.io_service_bytes_recursive", _io_service_bytes),
        ),
        resting=(
            ("blkio.throttle.io_serviced", _io_serviced),
            ("blkio.throttle.io_serviced_recursive", _io_serviced),
        ),
    ),
}
