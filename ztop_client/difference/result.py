"""What a comparison of two moments says, as data."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TypeAlias, TypeVar

from ztop_client.difference.gpus import GpuProcessUse, GpuUse
from ztop_client.difference.lives import ProcessUse, Use
from ztop_protocol.rates import percent


@dataclass(frozen=True, slots=True)
class Gap:
    """A time of which nothing was kept; the machine went on, unless it slept."""

    after_time_ns: int
    span_ns: int


@dataclass(frozen=True, slots=True)
class Happening:
    """A row of the section ``events`` and the wall time of its frame."""

    time_ns: int
    kind: str
    subject: str | None
    value: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class MachineUse:
    """The machine as a whole. Times are sums over all cores; ``cpu_interval_ns``: the boot time they were counted in.

    ``user`` includes nice, ``interrupt`` is irq and softirq; with system and steal they are ``busy``.
    """

    cpu_count: int
    cpu_interval_ns: int | None
    cpu_busy_time_ns: int | None
    cpu_user_time_ns: int | None
    cpu_system_time_ns: int | None
    cpu_interrupt_time_ns: int | None
    cpu_steal_time_ns: int | None
    cpu_iowait_time_ns: int | None
    disk_read_bytes: int | None
    disk_write_bytes: int | None
    network_receive_bytes: int | None
    network_transmit_bytes: int | None
    memory_total_bytes: int | None
    memory_used_before_bytes: int | None
    memory_used_after_bytes: int | None
    swap_total_bytes: int | None
    swap_used_before_bytes: int | None
    swap_used_after_bytes: int | None
    swap_in_bytes: int | None
    swap_out_bytes: int | None
    major_page_faults: int | None
    oom_kills: int | None
    forks: int | None
    """Processes and threads that were started."""
    processes_born: int
    """Of those that a frame shows."""
    processes_ended: int


@dataclass(frozen=True, slots=True)
class Remainder:
    """Busy CPU time that no process accounts for. With the processes' it is the machine's, exactly.

    ``unseen_cpu_time_ns``: user and system time less that of all processes: of what ended, after it was seen last, or
    was too short-lived to be seen. It may be a little negative. The kernel gives times in steps of 10 ms, rounded
    down, for every process and every core; and most kernels take the machine's by looking who runs at a tick, but
    measure a process's, interrupts that came meanwhile included.

    ``unknown_processes``: of so many processes that were seen the CPU time is not known, and is in there too.
    """

    unseen_cpu_time_ns: int | None
    interrupt_time_ns: int | None
    steal_time_ns: int | None
    unknown_processes: int


@dataclass(frozen=True, slots=True)
class GroupUse:
    """The processes of a user or of a cgroup, each counted where it was last, as far as it is known of them.

    Memory after is that of the second moment: what ended has none.

    The rest is of cgroups: what the kernel counted for the cgroup and all below it, those never seen included, over
    ``counted_interval_ns``.
    """

    name: str | None
    processes: int
    born: int
    ended: int
    use: Use
    counted_cpu_time_ns: int | None = None
    throttled_time_ns: int | None = None
    """How long it was held back because it had used up its quota, over all cores."""
    counted_interval_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long some tasks, and all at once, waited for a resource (cpu, memory, io)."""

    resource: str
    some_time_ns: int | None
    full_time_ns: int | None
    interval_ns: int | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a disk read and wrote, or what came in and went out through a network. ``busy_time_ns`` is of disks."""

    name: str
    in_bytes: int | None
    out_bytes: int | None
    busy_time_ns: int | None
    interval_ns: int | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What happened between two frames. ``since_boot``: the machine was started in between, and this is since then.

    ``frames`` includes both ends; ``gap_count`` those that are not in ``gaps`` too.
    """

    from_time_ns: int
    to_time_ns: int
    span_ns: int
    """In boot time, which goes on while the machine sleeps and is never set."""
    since_boot: bool
    frames: int
    gap_count: int
    gaps: tuple[Gap, ...]
    machine: MachineUse
    processes: tuple[ProcessUse, ...]
    users: tuple[GroupUse, ...]
    cgroups: tuple[GroupUse, ...]
    remainder: Remainder
    waiting: tuple[Waiting, ...]
    disks: tuple[Traffic, ...]
    networks: tuple[Traffic, ...]
    gpus: tuple[GpuUse, ...]
    gpu_processes: tuple[GpuProcessUse, ...]
    """In the order of their growth."""
    event_count: int
    events: tuple[Happening, ...]

    def cpu_share_percent(self, cpu_time_ns: int | None) -> float | None:
        """So much CPU time as a percentage of all that the machine used."""
        return percent(cpu_time_ns, self.machine.cpu_busy_time_ns)


Used = TypeVar("Used", ProcessUse, GroupUse)
_UseKey: TypeAlias = Callable[[Use], int | None]
SORT_COLUMNS: Mapping[str, _UseKey] = {
    **{field.name: attrgetter(field.name) for field in fields(Use)},
    "io_bytes": attrgetter("io_bytes"),
}
"""The columns of :class:`Use` by which rows may be sorted."""
DEFAULT_SORT = "cpu_time_ns"


def in_order(rows: Iterable[Used], column: str = DEFAULT_SORT) -> list[Used]:
    """The rows with the largest first, and those of which it is not known last. Raises :exc:`KeyError`."""
    value = SORT_COLUMNS[column]

    def place(row: Used) -> tuple[bool, int]:
        number = value(row.use)
        return number is None, -(number or 0)

    return sorted(rows, key=place)
