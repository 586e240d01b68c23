"""Memory, disks and networks: what grew, and what went in and out."""

from collections.abc import Iterator, Sequence

from ztop_client.difference.lives import ProcessUse
from ztop_client.difference.result import Traffic
from ztop_client.explain.finding import Case, Finding, finding, percent, share, short, verb, who
from ztop_client.formats import bytes_text, rate_text

MEMORY_SHARE = 0.02
MEMORY_BYTES = 64 << 20
LITTLE_LEFT_SHARE = 0.05
TRAFFIC_BYTES = 1 << 20
"""A second."""
DISK_BUSY_SHARE = 0.5
NAMED = 5

_SECOND = 1_000_000_000


def memory(case: Case) -> Iterator[Finding]:
    """What memory was used more at the end, by whom, and whether little is left."""
    machine = case.span.machine
    total, before, after = (
        machine.memory_total_bytes, machine.memory_used_before_bytes, machine.memory_used_after_bytes,
    )  # fmt: skip
    if not total:
        return
    least = max(MEMORY_SHARE * total, MEMORY_BYTES)
    growing = [
        (process, grown)
        for process in case.span.processes
        if (grown := process.use.rss_grown_bytes) is not None and grown >= least and not process.is_ended
    ]
    growing.sort(key=lambda pair: -pair[1])
    lines = [
        f"{who(process)} grew by {bytes_text(grown)}, from {bytes_text(process.use.rss_before_bytes)} to "
        f"{bytes_text(process.use.rss_after_bytes)}"
        for process, grown in growing[:NAMED]
    ]
    grown = None if before is None or after is None else after - before
    if grown is not None and grown >= least:
        yield finding(
            f"Memory in use grew by {bytes_text(grown)}, from {bytes_text(before)} to {bytes_text(after)} of "
            f"{bytes_text(total)}",
            lines or ["no single process grew that much"],
            55 + 40 * grown / total,
        )
    elif growing:
        process, most = growing[0]
        yield finding(
            f"{who(process)} grew by {bytes_text(most)}, {percent(most / total)} of the machine's memory",
            lines,
            53 + 40 * most / total,
        )
    if after is not None and total - after < LITTLE_LEFT_SHARE * total:
        yield finding(
            f"Only {bytes_text(total - after)} of {bytes_text(total)} of memory was available at the end", [], 75
        )


def swapping(case: Case) -> Iterator[Finding]:
    """Memory that went to swap, and came back from it."""
    machine, span_ns = case.span.machine, case.span.span_ns
    out, back = machine.swap_out_bytes, machine.swap_in_bytes
    if (out or 0) + (back or 0) < TRAFFIC_BYTES * span_ns / _SECOND:
        return
    parts = [f"{bytes_text(size)} {where}" for size, where in ((out, "out"), (back, "in")) if size is not None]
    used = (
        f"; swap in use went from {bytes_text(machine.swap_used_before_bytes)} to "
        f"{bytes_text(machine.swap_used_after_bytes)}"
        if machine.swap_used_before_bytes is not None and machine.swap_used_after_bytes is not None
        else ""
    )
    yield finding(f"Memory was swapped: {', '.join(parts)}{used}", [], 72)


def killed(case: Case) -> Iterator[Finding]:
    """Processes that the kernel ended because memory ran out."""
    kills = case.span.machine.oom_kills
    if kills:
        details = [event.detail for event in case.span.events if event.kind == "oom_kill"]
        killed = f"{kills} {verb(kills, 'process', 'processes')}"
        yield finding(f"The kernel killed {killed}: memory ran out", details[:NAMED], 99)


def disks(case: Case) -> Iterator[Finding]:
    """Disks that were busy, and who read and wrote, as far as it is visible."""
    for disk in case.span.disks:
        busy = share(disk.busy_time_ns, disk.interval_ns)
        rate = _rate(disk)
        if (busy is None or busy < DISK_BUSY_SHARE) and (rate is None or rate < TRAFFIC_BYTES):
            continue
        of_time = "" if busy is None else f", busy {percent(busy)} of the time"
        weight = 45.0 if busy is None else 30 + 60 * min(busy, 1.0)
        yield finding(
            f"Disk {short(disk.name)}: {_in_and_out(disk, 'read', 'written')}{of_time}{_usual(case, disk)}",
            _readers_and_writers(case.span.processes, disk.interval_ns),
            weight,
        )


def _usual(case: Case, disk: Traffic) -> str:
    earlier = () if case.before is None else case.before.disks
    rate = next((_rate(one) for one in earlier if one.name == disk.name), None)
    return "" if rate is None else f"; before it {rate_text(rate)}"


def networks(case: Case) -> Iterator[Finding]:
    """Networks with much traffic. Whose it was the frames do not show."""
    for network in case.span.networks:
        rate = _rate(network)
        if rate is not None and rate >= TRAFFIC_BYTES:
            yield finding(f"Network {short(network.name)}: {_in_and_out(network, 'received', 'sent')}", [], 40)


def _rate(traffic: Traffic) -> float | None:
    if traffic.in_bytes is None or traffic.out_bytes is None or not traffic.interval_ns:
        return None
    return (traffic.in_bytes + traffic.out_bytes) * _SECOND / traffic.interval_ns


def _in_and_out(traffic: Traffic, inward: str, outward: str) -> str:
    interval_ns = traffic.interval_ns
    parts = [
        f"{rate_text(size * _SECOND / interval_ns)} {word}"
        for size, word in ((traffic.in_bytes, inward), (traffic.out_bytes, outward))
        if size is not None and interval_ns
    ]
    return ", ".join(parts)


def _readers_and_writers(processes: Sequence[ProcessUse], interval_ns: int | None) -> list[str]:
    visible = [(process, size) for process in processes if (size := process.use.io_bytes) is not None]
    if not visible:
        return ["whose it was the frames do not show"]
    least = TRAFFIC_BYTES / 10 * (interval_ns or 0) / _SECOND
    visible.sort(key=lambda pair: -pair[1])
    found = [
        f"{who(process)} read {bytes_text(use.io_read_bytes)} and wrote {bytes_text(use.io_write_bytes)}"
        for process, size in visible[:NAMED]
        if size >= least and (use := process.use)
    ]
    return found if found or len(visible) == len(processes) else ["whose it was the frames do not show"]
