"""How busy the cores were, who used them, and what no process accounts for."""

from collections.abc import Iterator, Sequence

from ztop_client.difference.result import GroupUse, MachineUse
from ztop_client.explain.finding import Case, Finding, cores, finding, group, percent, seconds, share, who

BUSY_SHARE = 0.5
MORE_CORES = 0.7
"""As much more than before, and half as much again, stands out; as ztopd's rule of a spike has it."""
NAMED_SHARE = 0.1
NAMED_CORES = 0.05
GROUP_SHARE = 0.5
TAKEN_SHARE = 0.05
NAMED = 5
"""So many are named at most."""


def busy(case: Case) -> Iterator[Finding]:
    """How many cores were busy, in what, and how many before."""
    machine = case.span.machine
    total, interval_ns = machine.cpu_busy_time_ns, machine.cpu_interval_ns
    if total is None or interval_ns is None or not machine.cpu_count:
        return
    fraction = total / (interval_ns * machine.cpu_count)
    usual = _busy_cores(None if case.before is None else case.before.machine)
    more = 0.0 if usual is None else total / interval_ns - usual
    stands_out = fraction >= BUSY_SHARE or (usual is not None and more >= max(MORE_CORES, usual / 2))
    before = "" if usual is None else f"; before it {usual:.2f}"
    of_all = machine.cpu_count * interval_ns
    parts = [
        f"{percent(part / of_all)} {name}"
        for name, part in (
            ("user", machine.cpu_user_time_ns),
            ("system", machine.cpu_system_time_ns),
            ("interrupts", machine.cpu_interrupt_time_ns),
            ("steal", machine.cpu_steal_time_ns),
            ("iowait", machine.cpu_iowait_time_ns),
        )
        if part is not None
    ]
    yield finding(
        f"{cores(total, interval_ns)} of {machine.cpu_count} cores were busy, {percent(fraction)}{before}",
        [f"of the cores' time: {', '.join(parts)}", f"{seconds(total)} of CPU time in {seconds(interval_ns)}"],
        60 + 35 * fraction if stands_out else 40 * fraction,
    )


def _busy_cores(machine: MachineUse | None) -> float | None:
    return None if machine is None else share(machine.cpu_busy_time_ns, machine.cpu_interval_ns)


def users(case: Case) -> Iterator[Finding]:
    """The processes that used most, or the user or cgroup whose many processes did."""
    span, machine = case.span, case.span.machine
    total, interval_ns = machine.cpu_busy_time_ns, machine.cpu_interval_ns
    if not total or interval_ns is None:
        return
    least = max(NAMED_SHARE * total, NAMED_CORES * interval_ns)
    named = [
        (process, time_ns)
        for process in span.processes
        if (time_ns := process.use.cpu_time_ns) is not None and time_ns >= least
    ][:NAMED]
    greatest = max((process.use.cpu_time_ns or 0 for process in span.processes), default=0)
    lines = [
        f"{who(process)}: {percent(time_ns / interval_ns)} of a core, {percent(time_ns / total)} of what was used"
        for process, time_ns in named
    ]
    weight = 55 + 40 * min(total / (interval_ns * max(machine.cpu_count, 1)), 1.0)
    groups = _greatest_group(span.users, "user", total, greatest) or _greatest_group(
        span.cgroups, "cgroup", total, greatest
    )
    if groups is not None:
        kind, found, time_ns = groups
        yield finding(
            f"{group(kind, found)} used {cores(time_ns, interval_ns)} cores, {percent(time_ns / total)} of what was "
            f"used, with {found.processes} processes",
            lines or [f"none of them used {percent(least / total)} of it"],
            weight - 1,
        )
    elif named:
        process, time_ns = named[0]
        yield finding(
            f"{who(process)} used {percent(time_ns / interval_ns)} of a core, {percent(time_ns / total)} of what was "
            "used",
            [*_about(process.command_line, process.cgroup), *lines[1:]],
            (weight if time_ns >= 3 * least else weight - 10) - 1,
        )


def _about(command_line: str | None, cgroup: str | None) -> list[str]:
    lines = [] if not command_line else [f"command: {command_line[:200]}"]
    return [*lines, *([] if not cgroup else [f"cgroup: {cgroup[:200]}"])]


def _greatest_group(
    groups: Sequence[GroupUse], kind: str, total_ns: int, greatest_ns: int
) -> tuple[str, GroupUse, int] | None:
    """The group that says more than its greatest process; the whole machine in one group says nothing."""
    if len(groups) < 2:
        return None
    found, time_ns = max(((one, one.use.cpu_time_ns or 0) for one in groups), key=lambda pair: pair[1])
    if found.name is None or found.processes < 2 or time_ns < GROUP_SHARE * total_ns or 2 * greatest_ns >= time_ns:
        return None
    return kind, found, time_ns


def unseen(case: Case) -> Iterator[Finding]:
    """CPU time of processes that no frame shows, and where it was used, as far as cgroups count it."""
    span, machine = case.span, case.span.machine
    left, total, interval_ns = span.remainder.unseen_cpu_time_ns, machine.cpu_busy_time_ns, machine.cpu_interval_ns
    if left is None or not total or interval_ns is None or left < max(NAMED_SHARE * total, NAMED_CORES * interval_ns):
        return
    details = []
    if machine.forks is not None:
        details.append(
            f"{machine.forks} processes and threads were started, frames show {machine.processes_born} processes"
        )
    if span.remainder.unknown_processes:
        details.append(f"of {span.remainder.unknown_processes} processes that were seen the CPU time is not known")
    counted = [
        (one, more)
        for one in span.cgroups
        if one.counted_cpu_time_ns is not None
        and not _has_below(one.name, span.cgroups)
        and (more := one.counted_cpu_time_ns - _seen_in(one.name, span.cgroups)) >= NAMED_SHARE * left
    ]
    for one, more in sorted(counted, key=lambda pair: -pair[1])[:NAMED]:
        details.append(f"{group('cgroup', one)} counts {seconds(more)} more than its processes that were seen")
    yield finding(
        f"{cores(left, interval_ns)} cores, {percent(left / total)} of what was used, went to processes that ended or "
        "were too short-lived to be seen",
        details,
        54 + 40 * left / total,
    )


def _below(name: str | None, groups: Sequence[GroupUse]) -> Iterator[GroupUse]:
    """The cgroups that lie below it: their time is in its count."""
    prefix = f"{name or ''}".rstrip("/") + "/"
    return (
        other for other in groups if other.name is not None and other.name != name and other.name.startswith(prefix)
    )


def _has_below(name: str | None, groups: Sequence[GroupUse]) -> bool:
    """Whether cgroups below it are counted: what is said of them is more exact."""
    return any(other.counted_cpu_time_ns for other in _below(name, groups))


def _seen_in(name: str | None, groups: Sequence[GroupUse]) -> int:
    """CPU time of the processes that were seen, of those in it and in all below it."""
    own = (one for one in groups if one.name == name)
    return sum(one.use.cpu_time_ns or 0 for one in (*own, *_below(name, groups)))


def taken(case: Case) -> Iterator[Finding]:
    """Time that the host kept from this machine, and that interrupts took."""
    machine = case.span.machine
    if machine.cpu_interval_ns is None or not machine.cpu_count:
        return
    whole = machine.cpu_interval_ns * machine.cpu_count
    steal = share(machine.cpu_steal_time_ns, whole)
    if steal is not None and steal >= TAKEN_SHARE:
        yield finding(
            f"The host kept {percent(steal)} of the cores' time from this machine (steal)",
            ["programs could have run then, and the host ran something else"],
            58 + 40 * steal,
        )
    interrupts = share(machine.cpu_interrupt_time_ns, whole)
    if interrupts is not None and interrupts >= TAKEN_SHARE:
        yield finding(f"Interrupts took {percent(interrupts)} of the cores' time", [], 52 + 40 * interrupts)
