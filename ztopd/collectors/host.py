"""The section ``host``: names, uptime, load, and what the kernel counts for the whole machine.

Sources: /proc/sys/kernel, /proc/uptime, /proc/loadavg and /proc/stat (Documentation/filesystems/proc.rst),
/proc/self/ns/pid (namespaces(7)), the mount options of /proc (proc(5)).
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ztop_protocol.frame import Cell
from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read, read_if_there, text
from ztopd.collectors.kept import Kept
from ztopd.collectors.mountinfo import parse_mountinfo
from ztopd.collectors.source import ParseError, Problem, Roots, Sample, by_key

_HIDEPID_NS = 60_000_000_000
_SECOND_NS = 1_000_000_000

_HIDEPID = {"0": 0, "1": 1, "2": 2, "4": 4, "off": 0, "noaccess": 1, "invisible": 2, "ptraceable": 4}
"""Linux 5.8 and later write the names."""

_NAMESPACE = re.compile(r"pid:\[(\d{1,20})\]", re.ASCII)
_UPTIME = re.compile(rb"(\d{1,20})\.(\d\d) ")
_LOAD_AVERAGES = re.compile(rb"(\d{1,20}\.\d\d) (\d{1,20}\.\d\d) (\d{1,20}\.\d\d) (\d{1,20})/(\d{1,20}) ")


@dataclass(frozen=True, slots=True)
class ProcessStates:
    """How many processes there are, and how many in which state: R S D T/t Z I of /proc/PID/stat."""

    total: int
    running: int
    sleeping: int
    blocked: int
    stopped: int
    zombie: int
    idle: int
    kernel_threads: int


@dataclass(frozen=True, slots=True)
class LoadAverages:
    """/proc/loadavg. The counts are of threads, which the kernel calls scheduling entities."""

    one_minute: float
    five_minutes: float
    fifteen_minutes: float
    threads_runnable: int
    threads_total: int


@dataclass(frozen=True, slots=True)
class KernelCounts:
    """The lines of /proc/stat that are not about a CPU; None for a line that is not there."""

    context_switches: int | None
    interrupts: int | None
    forks: int | None
    boot_time_ns: int | None


def parse_uptime(data: bytes) -> int:
    """/proc/uptime -> nanoseconds since boot. Raises :exc:`ParseError`."""
    match = _UPTIME.match(data)
    if match is None:
        raise ParseError(f"/proc/uptime: no seconds at the beginning of {data[:40]!r}")
    return int(match[1]) * _SECOND_NS + int(match[2]) * (_SECOND_NS // 100)


def parse_load_averages(data: bytes) -> LoadAverages:
    """/proc/loadavg. Raises :exc:`ParseError`."""
    match = _LOAD_AVERAGES.match(data)
    if match is None:
        raise ParseError(f"/proc/loadavg: not three averages and two counts in {data[:60]!r}")
    return LoadAverages(float(match[1]), float(match[2]), float(match[3]), int(match[4]), int(match[5]))


def parse_kernel_counts(data: bytes) -> KernelCounts:
    """What /proc/stat says of the whole machine. Raises :exc:`ParseError`."""
    boot_time = _number_after(data, b"\nbtime ")
    return KernelCounts(
        context_switches=_number_after(data, b"\nctxt "),
        interrupts=_number_after(data, b"\nintr "),
        forks=_number_after(data, b"\nprocesses "),
        boot_time_ns=None if boot_time is None else boot_time * _SECOND_NS,
    )


def _number_after(data: bytes, label: bytes) -> int | None:
    # the line of interrupts can be 100 kB long: nothing but the number is cut out
    at = data.find(label)
    if at < 0:
        return None
    start = at + len(label)
    try:
        return int(data[start : start + 24].split(None, 1)[0])
    except (ValueError, IndexError):
        raise ParseError(f"/proc/stat, line {text(label.strip())}: no number") from None


def parse_hidepid(data: bytes, proc: str) -> int | None:
    """What the mount of /proc hides, out of mountinfo: 0, 1, 2 or 4 as in proc(5).

    ``proc`` is where /proc is mounted. None where that mount, or its option, is not known. Raises :exc:`ParseError`.
    """
    mounts = [mount for mount in parse_mountinfo(data) if mount.type == "proc"]
    for point in (proc, "/proc"):
        for mount in reversed(mounts):
            if mount.mount_point == point:
                options = dict(option.partition("=")[::2] for option in mount.super_options)
                return _HIDEPID.get(options.get("hidepid", "off"))
    return None


def parse_namespace(link: str) -> int:
    """The target of /proc/self/ns/pid -> its inode number. Raises :exc:`ParseError`."""
    match = _NAMESPACE.fullmatch(link)
    if match is None:
        raise ParseError(f"/proc/self/ns/pid: {link[:40]!r} is no pid namespace")
    return int(match[1])


def read_boot_id(roots: Roots) -> str:
    """What tells this boot from every other: the kernel's boot id, or the boot time where that is withheld."""
    data = read_if_there(f"{roots.proc}/sys/kernel/random/boot_id")
    if data and data.strip():
        return text(data.strip())
    counts = read_if_there(f"{roots.proc}/stat")
    boot_time_ns = None if counts is None else parse_kernel_counts(counts).boot_time_ns
    if boot_time_ns is None:
        # what the kernel computes btime from
        boot_time_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return f"btime-{boot_time_ns // _SECOND_NS}"


class Host:
    """Gives the one row of ``host``."""

    name = "host"
    period_ns = 0

    def __init__(self, roots: Roots, process_states: Callable[[], ProcessStates | None]) -> None:
        """``process_states`` gives the counts of the last scan of the process table, None before the first."""
        self._proc = roots.proc
        self._process_states = process_states
        self._machine = os.uname().machine
        self._hidepid = Kept(self._read_hidepid, _HIDEPID_NS)
        self._missing: list[str] = []

    def collect(self) -> Sample:
        """Reads the machine. A file that is missing or refused gives None cells and a problem.

        Raises :exc:`ParseError`.
        """
        self._missing = []
        uptime, load, counts = self._read("uptime"), self._read("loadavg"), self._read("stat")
        hostname, release = self._read("sys/kernel/hostname"), self._read("sys/kernel/osrelease")
        row: tuple[Cell, ...] = (
            None if hostname is None else text(hostname.rstrip(b"\n")),
            None if release is None else text(release.rstrip(b"\n")),
            self._machine,
            self._read_namespace(),
            self._hidepid.value(),
            None if uptime is None else parse_uptime(uptime),
            *_load_cells(None if load is None else parse_load_averages(load)),
            *_state_cells(self._process_states()),
            *_count_cells(None if counts is None else parse_kernel_counts(counts)),
        )
        return Sample({self.name: by_key(self.name, [row])}, self._problem())

    def _read(self, name: str) -> bytes | None:
        try:
            return read(f"{self._proc}/{name}")
        except OSError as error:
            self._missing.append(f"{self._proc}/{name}: {error.strerror}")
            return None

    def _read_namespace(self) -> int | None:
        try:
            return parse_namespace(os.readlink(f"{self._proc}/self/ns/pid"))
        except OSError as error:
            self._missing.append(f"{self._proc}/self/ns/pid: {error.strerror}")
            return None

    def _read_hidepid(self) -> int | None:
        data = read_if_there(f"{self._proc}/self/mountinfo")
        return None if data is None else parse_hidepid(data, self._proc)

    def _problem(self) -> Problem | None:
        if not self._missing:
            return None
        return Problem(
            SourceState.DEGRADED,
            f"cannot read {'; '.join(self._missing)}",
            "let the daemon see all of /proc (in its systemd unit: ProcSubset=all)",
        )


def _load_cells(load: LoadAverages | None) -> tuple[Cell, ...]:
    if load is None:
        return (None,) * 5
    return (load.one_minute, load.five_minutes, load.fifteen_minutes, load.threads_runnable, load.threads_total)


def _state_cells(states: ProcessStates | None) -> tuple[Cell, ...]:
    if states is None:
        return (None,) * 8
    return (
        *(states.total, states.running, states.sleeping, states.blocked),
        *(states.stopped, states.zombie, states.idle, states.kernel_threads),
    )


def _count_cells(counts: KernelCounts | None) -> tuple[Cell, ...]:
    if counts is None:
        return (None,) * 4
    return (counts.context_switches, counts.interrupts, counts.forks, counts.boot_time_ns)
