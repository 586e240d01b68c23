"""What happened between two moments: the machine, its processes, users and cgroups. Pure, one frame at a time.

The frames between the moments show what two alone cannot: processes that began and ended in between, and the last
state of those that ended. So :func:`difference` takes them all, and works with the two alone where there are no more.
Its memory does not grow with their number.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import TypeAlias

from ztop_client.difference.gpus import OnGpus
from ztop_client.difference.growth import Growth
from ztop_client.difference.lives import Lives, ProcessUse, Use, sum_of_known, together
from ztop_client.difference.result import (
    Difference,
    Gap,
    GroupUse,
    Happening,
    MachineUse,
    Remainder,
    Traffic,
    Waiting,
    in_order,
)
from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.schema import EVENTS
from ztop_protocol.timeline import GAP_INTERVALS
from ztop_protocol.traffic import outer_networks, physical_disks

SECTIONS = frozenset((
    *("host", "cpus", "memory", "pressure", "disks", "networks", "cgroups", "processes", "process_io", "events"),
    *("gpus", "gpu_processes"),
))  # fmt: skip
"""What a difference is made of."""
MOST_TOLD = 100
"""So many gaps, and so many events, are kept; more are only counted."""
MOST_APART = 0.1
"""By how much the times may differ in which the machine's CPU time and that of processes were counted."""


class NoTwoMoments(ValueError):
    """There are no two frames, one after the other, to be compared."""


def difference(frames: Iterable[Frame]) -> Difference:
    """What happened from the first of the frames to the last; those that are not newer than one before are left out.

    Rows are in the order of their CPU time. Raises :exc:`NoTwoMoments` where there are no two.
    """
    span: _Span | None = None
    for frame in frames:
        if span is None:
            span = _Span(frame, since_boot=False)
        elif span.last.boot_id != frame.boot_id:
            span = _Span(frame, since_boot=True)
        elif frame.boottime_ns > span.last.boottime_ns:
            span.take(frame)
    if span is None or (span.frames < 2 and not span.since_boot):
        raise NoTwoMoments("there are no two frames of that time to compare")
    return span.difference()


_BUSY = (
    ("user_time_ns", "nice_time_ns"),
    ("system_time_ns",),
    ("irq_time_ns", "softirq_time_ns"),
    ("steal_time_ns",),
)
"""User, system, interrupt and steal time, as :class:`MachineUse` has them."""
_CPU_COUNTERS = tuple(counter for counters in _BUSY for counter in counters)

_Which: TypeAlias = Callable[[Mapping[Key, Row]], list[Key]]


class _Gaps:
    """Finds intervals that are longer than :data:`GAP_INTERVALS` times the one before and the one after.

    So time that is kept at longer intervals, because it is long ago, is no gap.
    """

    def __init__(self) -> None:
        self._count = 0
        self._gaps: list[Gap] = []
        self._before_ns: int | None = None
        self._open: Gap | None = None

    def take(self, interval: Gap) -> None:
        """The next interval between two frames."""
        if self._open is not None:
            if self._is_gap(self._open, interval.span_ns):
                self._count += 1
                self._gaps += [self._open][: MOST_TOLD - len(self._gaps)]
            self._before_ns = self._open.span_ns
        self._open = interval

    def _is_gap(self, interval: Gap, after_ns: int | None = None) -> bool:
        neighbours = [ns for ns in (self._before_ns, after_ns) if ns is not None]
        return bool(neighbours) and interval.span_ns > GAP_INTERVALS * max(neighbours)

    def found(self) -> tuple[int, tuple[Gap, ...]]:
        """How many there are so far, and the first of them."""
        last = [self._open] if self._open is not None and self._is_gap(self._open) else []
        return self._count + len(last), tuple([*self._gaps, *last][:MOST_TOLD])


class _Span:
    """The frames of one boot, from the first one taken, or from the start of the machine."""

    def __init__(self, frame: Frame, *, since_boot: bool) -> None:
        def growth(section: str, *counters: str, signed: tuple[str, ...] = ()) -> Growth:
            return Growth(section, counters, since_boot=since_boot, signed=signed)

        self.since_boot = since_boot
        self.first = self.last = frame
        self.frames = 0
        self._lives = Lives(since_boot=since_boot)
        self._on_gpus = OnGpus(since_boot=since_boot)
        self._cpus = growth("cpus", *_CPU_COUNTERS, "iowait_time_ns", signed=("iowait_time_ns",))
        self._host = growth("host", "forks")
        self._memory = growth("memory", "swap_in_bytes", "swap_out_bytes", "major_page_faults", "oom_kills")
        self._pressure = growth("pressure", "some_time_ns", "full_time_ns")
        self._disks = growth("disks", "read_bytes", "write_bytes", "busy_time_ns")
        self._networks = growth("networks", "receive_bytes", "transmit_bytes")
        self._cgroups = growth("cgroups", "cpu_time_ns", "throttled_time_ns")
        self._growths = (
            *(self._cpus, self._host, self._memory, self._pressure, self._disks, self._networks, self._cgroups),
        )
        self._gaps = _Gaps()
        self._events: list[Happening] = []
        self._event_count = 0
        self.take(frame)

    def take(self, frame: Frame) -> None:
        """The next frame, which is newer than the last."""
        self._lives.take(frame)
        self._on_gpus.take(frame)
        for growth in self._growths:
            growth.take(frame.sections.get(growth.section))
        if self.frames:
            self._gaps.take(Gap(self.last.time_ns, frame.boottime_ns - self.last.boottime_ns))
            # those of the first frame happened before it
            self._take_events(frame)
        self.last = frame
        self.frames += 1

    def _take_events(self, frame: Frame) -> None:
        for row in frame.rows("events").values():
            self._event_count += 1
            if len(self._events) < MOST_TOLD:
                kind, subject, value, detail = row[EVENTS.key_length :]
                self._events.append(
                    Happening(
                        frame.time_ns,
                        str(kind),
                        subject if isinstance(subject, str) else None,
                        value if isinstance(value, float) else None,
                        "" if detail is None else str(detail),
                    )
                )

    def difference(self) -> Difference:
        """What happened so far."""
        processes = in_order(self._lives.rows())
        machine = self._machine()
        began_ns = 0 if self.since_boot else self.first.boottime_ns
        gap_count, gaps = self._gaps.found()
        return Difference(
            from_time_ns=self.first.time_ns - (self.first.boottime_ns - began_ns),
            to_time_ns=self.last.time_ns,
            span_ns=self.last.boottime_ns - began_ns,
            since_boot=self.since_boot,
            frames=self.frames,
            gap_count=gap_count,
            gaps=gaps,
            machine=machine,
            processes=tuple(processes),
            users=tuple(in_order(_groups(processes, attrgetter("user")))),
            cgroups=tuple(self._cgroups_of(processes)),
            remainder=_remainder(machine, self._lives.interval_ns, processes),
            waiting=tuple(self._waiting()),
            disks=tuple(self._traffic(self._disks, physical_disks)),
            networks=tuple(self._traffic(self._networks, outer_networks)),
            gpus=tuple(self._on_gpus.gpus()),
            gpu_processes=tuple(self._on_gpus.processes()),
            event_count=self._event_count,
            events=tuple(self._events),
        )

    def _machine(self) -> MachineUse:
        cpus, memory = self._cpus, self._memory
        user, system, interrupt, steal = (
            _sum_of_all(cpus.total(counter) for counter in counters) for counters in _BUSY
        )
        read, write = self._totals(self._disks, physical_disks)
        receive, transmit = self._totals(self._networks, outer_networks)
        memory_before, memory_after = self._used("total_bytes", "available_bytes")
        swap_before, swap_after = self._used("swap_total_bytes", "swap_free_bytes")
        return MachineUse(
            cpu_count=len(cpus.rows),
            cpu_interval_ns=cpus.interval_ns,
            cpu_busy_time_ns=_sum_of_all((user, system, interrupt, steal)),
            cpu_user_time_ns=user,
            cpu_system_time_ns=system,
            cpu_interrupt_time_ns=interrupt,
            cpu_steal_time_ns=steal,
            cpu_iowait_time_ns=cpus.total("iowait_time_ns"),
            disk_read_bytes=read,
            disk_write_bytes=write,
            network_receive_bytes=receive,
            network_transmit_bytes=transmit,
            memory_total_bytes=_number(self.last.cell("memory", "total_bytes")),
            memory_used_before_bytes=memory_before,
            memory_used_after_bytes=memory_after,
            swap_total_bytes=_number(self.last.cell("memory", "swap_total_bytes")),
            swap_used_before_bytes=swap_before,
            swap_used_after_bytes=swap_after,
            swap_in_bytes=memory.of((), "swap_in_bytes"),
            swap_out_bytes=memory.of((), "swap_out_bytes"),
            major_page_faults=memory.of((), "major_page_faults"),
            oom_kills=memory.of((), "oom_kills"),
            forks=self._host.of((), "forks"),
            processes_born=self._lives.born,
            processes_ended=self._lives.ended,
        )

    def _used(self, whole: str, rest: str) -> tuple[int | None, int | None]:
        """Memory in use at both ends; what was in use when the machine was started is not known."""
        before = None if self.since_boot else _less(self.first, whole, rest)
        return before, _less(self.last, whole, rest)

    def _totals(self, growth: Growth, which: _Which) -> list[int | None]:
        keys = which({key: growth.row(key) for key in growth})
        return [growth.total(counter, keys) for counter in growth.counters[:2]]

    def _traffic(self, growth: Growth, which: _Which) -> list[Traffic]:
        inward, outward, *busy = growth.counters
        return [
            Traffic(
                str(key[0]),
                growth.of(key, inward),
                growth.of(key, outward),
                growth.of(key, busy[0]) if busy else None,
                growth.interval_ns,
            )
            for key in which({key: growth.row(key) for key in growth})
        ]

    def _waiting(self) -> list[Waiting]:
        return [
            Waiting(
                str(key[0]),
                self._pressure.of(key, "some_time_ns"),
                self._pressure.of(key, "full_time_ns"),
                self._pressure.interval_ns,
            )
            for key in self._pressure
        ]

    def _cgroups_of(self, processes: list[ProcessUse]) -> list[GroupUse]:
        """Those of the processes, and those in which something ran that no frame shows."""
        counted = self._cgroups
        by_name = {group.name: group for group in _groups(processes, attrgetter("cgroup"))}
        for key in counted:
            name, cpu_time_ns, throttled_ns = str(key[0]), *(counted.of(key, counter) for counter in counted.counters)
            group = by_name.get(name)
            if group is None and (cpu_time_ns or throttled_ns):
                group = GroupUse(name, 0, 0, 0, Use())
            if group is not None:
                by_name[name] = replace(
                    group,
                    counted_cpu_time_ns=cpu_time_ns,
                    throttled_time_ns=throttled_ns,
                    counted_interval_ns=counted.interval_ns,
                )
        return in_order(by_name.values())


def _groups(processes: Iterable[ProcessUse], name_of: Callable[[ProcessUse], str | None]) -> list[GroupUse]:
    members: dict[str | None, list[ProcessUse]] = {}
    for process in processes:
        members.setdefault(name_of(process), []).append(process)
    return [
        GroupUse(
            name,
            sum(one.processes for one in group),
            sum(one.processes for one in group if one.is_born),
            sum(one.processes for one in group if one.is_ended),
            together(map(_as_member, group)),
        )
        for name, group in members.items()
    ]


def _as_member(process: ProcessUse) -> Use:
    """What its group used by it: one that ended has given its memory back."""
    use = process.use
    if not process.is_ended:
        return use
    before = use.rss_before_bytes
    return replace(use, rss_after_bytes=0, rss_grown_bytes=None if before is None else -before)


def _remainder(machine: MachineUse, interval_ns: int | None, processes: Iterable[ProcessUse]) -> Remainder:
    times = [process.use.cpu_time_ns for process in processes]
    of_machine = _sum_of_all((machine.cpu_user_time_ns, machine.cpu_system_time_ns))
    of_processes = sum_of_known(times) if times else 0
    unseen = None if of_machine is None or of_processes is None else of_machine - of_processes
    machine_ns = machine.cpu_interval_ns
    # a source that was late was counted over another time
    if machine_ns is None or interval_ns is None or abs(machine_ns - interval_ns) > MOST_APART * interval_ns:
        unseen = None
    return Remainder(unseen, machine.cpu_interrupt_time_ns, machine.cpu_steal_time_ns, times.count(None))


def _sum_of_all(numbers: Iterable[int | None]) -> int | None:
    """None where one of them is."""
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


def _less(frame: Frame, whole: str, rest: str) -> int | None:
    minuend, subtrahend = _number(frame.cell("memory", whole)), _number(frame.cell("memory", rest))
    return None if minuend is None or subtrahend is None else minuend - subtrahend


def _number(cell: Cell) -> int | None:
    return cell if isinstance(cell, int) else None
