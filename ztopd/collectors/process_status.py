"""/proc/PID/status, /proc/PID/io and /proc/PID/cgroup: see proc_pid_status(5), proc_pid_io(5), cgroups(7)."""

import re
from typing import NamedTuple

from ztopd.collectors.files import text
from ztopd.collectors.source import ParseError


class Status(NamedTuple):
    """What ztop keeps of /proc/PID/status. Memory is None for kernel threads and zombies."""

    uid: int
    effective_uid: int
    shared_bytes: int | None
    swap_bytes: int | None
    voluntary_context_switches: int | None
    involuntary_context_switches: int | None
    namespace_pid: int | None
    """The pid in the innermost pid namespace; None where that is the one /proc shows."""


def parse_status(data: bytes) -> Status:
    """Looks up its few lines instead of splitting all sixty; the name's line is the first and cannot hold a newline."""
    uids = _line(data, b"\nUid:\t").split()
    if len(uids) != 4:
        raise ParseError("/proc/PID/status: no four uids")
    file_kib, shmem_kib = _number(data, b"\nRssFile:\t"), _number(data, b"\nRssShmem:\t")
    swap_kib = _number(data, b"\nVmSwap:\t")
    pids = _line(data, b"\nNSpid:\t").split()
    try:
        return Status(
            int(uids[0]),
            int(uids[1]),
            None if file_kib is None or shmem_kib is None else (file_kib + shmem_kib) << 10,
            None if swap_kib is None else swap_kib << 10,
            _number(data, b"\nvoluntary_ctxt_switches:\t"),
            _number(data, b"\nnonvoluntary_ctxt_switches:\t"),
            int(pids[-1]) if len(pids) > 1 else None,
        )
    except ValueError as error:
        raise ParseError(f"/proc/PID/status: {error}") from error


def _line(data: bytes, label: bytes) -> bytes:
    start = data.find(label)
    if start < 0:
        return b""
    start += len(label)
    end = data.find(b"\n", start)
    return data[start : end if end >= 0 else len(data)]


def _number(data: bytes, label: bytes) -> int | None:
    words = _line(data, label).split(None, 1)
    try:
        return int(words[0]) if words else None
    except ValueError as error:
        raise ParseError(f"/proc/PID/status: {label.decode().strip()} {error}") from error


class Io(NamedTuple):
    """/proc/PID/io in the order of the section ``process_io``."""

    read_bytes: int
    write_bytes: int
    cancelled_write_bytes: int
    logical_read_bytes: int
    logical_write_bytes: int
    read_syscalls: int
    write_syscalls: int


_USUAL_IO = re.compile(
    rb"rchar: (?P<rchar>\d{1,20})\nwchar: (?P<wchar>\d{1,20})\n"
    rb"syscr: (?P<syscr>\d{1,20})\nsyscw: (?P<syscw>\d{1,20})\n"
    rb"read_bytes: (?P<read_bytes>\d{1,20})\nwrite_bytes: (?P<write_bytes>\d{1,20})\n"
    rb"cancelled_write_bytes: (?P<cancelled_write_bytes>-?\d{1,20})\n"
)
"""The order that every kernel has so far; a third of the time of looking at the labels."""
_IO_LABELS = (
    *(b"read_bytes", b"write_bytes", b"cancelled_write_bytes"),
    *(b"rchar", b"wchar", b"syscr", b"syscw"),
)
_IO_NAMES = tuple(label.decode() for label in _IO_LABELS)


def parse_io(data: bytes) -> Io:
    """The seven lines ``label: number``."""
    if (usual := _USUAL_IO.fullmatch(data)) is not None:
        return Io(*map(int, usual.group(*_IO_NAMES)))
    values = dict(line.split(b": ", 1) for line in data.splitlines() if b": " in line)
    try:
        return Io(*(int(values[label]) for label in _IO_LABELS))
    except (KeyError, ValueError) as error:
        raise ParseError(f"/proc/PID/io: {error!r}") from error


def parse_cgroup(data: bytes) -> str | None:
    """The process's cgroup: its path in the v2 tree, unless that is the root and a v1 hierarchy says more.

    Of the v1 hierarchies systemd's own (``name=systemd``) comes first, then cpu, then any.
    """
    paths: dict[bytes, bytes] = {}
    for line in data.splitlines():
        parts = line.split(b":", 2)
        if len(parts) != 3:
            raise ParseError(f"/proc/PID/cgroup: {line[:80]!r}")
        for controller in parts[1].split(b","):
            paths[controller] = parts[2]
    if not paths:
        return None
    candidates = [paths.get(name) for name in (b"", b"name=systemd", b"cpu")]
    for path in (*candidates, *paths.values()):
        if path not in (None, b"/"):
            return text(path)
    return "/"
