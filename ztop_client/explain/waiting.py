"""Who waited, and for what: pressure, idle cores that wait for disks, blocked processes, throttled cgroups."""

from collections.abc import Iterator

from ztop_client.difference.result import Waiting
from ztop_client.explain.finding import Case, Finding, finding, group, percent, seconds, share, verb, who

WAITING_SHARE = 0.1
IOWAIT_SHARE = 0.1
THROTTLED_SHARE = 0.05
NAMED = 5

_WORDS = {"cpu": "a core", "memory": "memory", "io": "disks"}


def pressure(case: Case) -> Iterator[Finding]:
    """How long tasks waited for each resource, and whom the kernel shows waiting."""
    before = {} if case.before is None else {one.resource: one for one in case.before.waiting}
    for waiting in case.span.waiting:
        some = share(waiting.some_time_ns, waiting.interval_ns)
        if some is None or some < WAITING_SHARE:
            continue
        full = share(waiting.full_time_ns, waiting.interval_ns)
        all_at_once = "" if full is None or waiting.resource == "cpu" else f", all at once {percent(full)}"
        resource = _WORDS.get(waiting.resource, waiting.resource)
        usual = _usual(before.get(waiting.resource))
        yield finding(
            f"Tasks waited for {resource} {percent(some)} of the time{all_at_once}{usual}",
            _blocked(case) if waiting.resource == "io" else [],
            53 + 40 * max(some, full or 0.0),
        )


def _usual(before: Waiting | None) -> str:
    usual = None if before is None else share(before.some_time_ns, before.interval_ns)
    return "" if usual is None else f"; before it {percent(usual)}"


def _blocked(case: Case) -> list[str]:
    """The processes that waited for disks: measured where the kernel does so, else as they were seen."""
    interval_ns = case.span.span_ns
    delayed = [
        (delay, process)
        for process in case.span.processes
        if (delay := share(process.use.block_io_delay_ns, interval_ns)) is not None and delay >= WAITING_SHARE
    ]
    if delayed:
        delayed.sort(key=lambda pair: -pair[0])
        return [f"{who(process)} waited {percent(delay)} of the time" for delay, process in delayed[:NAMED]]
    seen = sorted((one for one in case.span.processes if one.blocked_frames), key=lambda one: -one.blocked_frames)
    frames = case.span.frames
    return [f"{who(one)} was blocked (state D) in {one.blocked_frames} of {frames} frames" for one in seen[:NAMED]]


def iowait(case: Case) -> Iterator[Finding]:
    """Cores that had nothing to do but to wait for disks."""
    machine = case.span.machine
    if machine.cpu_interval_ns is None:
        return
    waited = share(machine.cpu_iowait_time_ns, machine.cpu_interval_ns * machine.cpu_count)
    if waited is None or waited < IOWAIT_SHARE:
        return
    # where there is pressure, who waited stands there
    has_pressure = any(one.resource == "io" and one.some_time_ns is not None for one in case.span.waiting)
    yield finding(
        f"The cores were idle and waited for disks {percent(waited)} of their time (iowait)",
        [] if has_pressure else _blocked(case),
        52 + 40 * waited,
    )


def throttled(case: Case) -> Iterator[Finding]:
    """Cgroups that had used up their quota of CPU time."""
    found = [
        (fraction, one)
        for one in case.span.cgroups
        if (fraction := share(one.throttled_time_ns, one.counted_interval_ns)) is not None
        and fraction >= THROTTLED_SHARE
    ]
    found.sort(key=lambda pair: -pair[0])
    for fraction, one in found[:NAMED]:
        details = []
        used = share(one.counted_cpu_time_ns, one.counted_interval_ns)
        if used is not None:
            details.append(f"it used {used:.2f} cores meanwhile")
        members = sorted(
            (process for process in case.span.processes if process.cgroup == one.name and process.use.cpu_time_ns),
            key=lambda process: -(process.use.cpu_time_ns or 0),
        )
        details += [f"{who(process)} used {seconds(process.use.cpu_time_ns or 0)}" for process in members[:3]]
        held_back, interval = seconds(one.throttled_time_ns or 0), seconds(one.counted_interval_ns or 0)
        yield finding(
            f"{group('cgroup', one)} wanted more CPU than its quota: "
            f"throttled for {held_back} in {interval}, all cores added",
            details,
            62 + 35 * min(fraction, 1),
        )


def blocked(case: Case) -> Iterator[Finding]:
    """Processes that waited for a device in most frames, where neither pressure nor iowait speaks of them."""
    if any(pressure(case)) or any(iowait(case)):
        return
    frames = case.span.frames
    stuck = [one for one in case.span.processes if 2 * one.blocked_frames > frames]
    if stuck:
        number = len(stuck)
        yield finding(
            f"{number} {verb(number, 'process was', 'processes were')} blocked (state D) in most frames",
            [f"{who(one)}: in {one.blocked_frames} of {frames}" for one in stuck[:NAMED]],
            52,
        )
