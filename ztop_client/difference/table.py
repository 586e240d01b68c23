"""The tables of a difference as data: columns of processes, users and cgroups, and the words about the machine.

The page of ``ztop --diff`` and the screen's dialog are both made of them. Nothing here is fit for a terminal yet.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ztop_client.columns.column import Align
from ztop_client.columns.gpus import OF_ANOTHER_NAMESPACE
from ztop_client.difference.gpus import GpuProcessUse, GpuUse
from ztop_client.difference.lives import ProcessUse
from ztop_client.difference.result import Difference, GroupUse
from ztop_client.formats import ABSENT, bytes_text, count_text, label_text, percent_text, span_text, time_text
from ztop_client.moments import moment_text

Told = TypeVar("Told", ProcessUse, GroupUse, GpuUse, GpuProcessUse)

UNSEEN = "ended or too short-lived to be seen"


@dataclass(frozen=True, slots=True)
class UseColumn(Generic[Told]):
    """One column. ``width`` in cells, 0: what is left of the line. ``is_extra``: only where there is room for it.

    ``sort`` is the column of :data:`ztop_client.difference.result.SORT_COLUMNS` that it shows, if it does.
    """

    title: str
    width: int
    align: Align
    text: Callable[[Difference, Told], str]
    sort: str | None = None
    is_extra: bool = False


def grown_text(size: int | None) -> str:
    """Bytes with a sign: ``+1.2G``, ``-300M``, ``0B``."""
    return f"+{bytes_text(size)}" if size is not None and size > 0 else bytes_text(size)


def _share(found: Difference, time_ns: int | None) -> str:
    return percent_text(found.cpu_share_percent(time_ns))


def _life(_: Difference, row: ProcessUse) -> str:
    """Whether it began and ended in between."""
    if row.is_born and row.is_ended:
        return "brief"
    return "born" if row.is_born else "ended" if row.is_ended else ""


def _stay(_: Difference, row: GpuProcessUse) -> str:
    """Whether it came to the GPU and left it in between."""
    if row.has_come and row.has_gone:
        return "brief"
    return "came" if row.has_come else "went" if row.has_gone else ""


def _command_on_gpu(_: Difference, row: GpuProcessUse) -> str:
    return OF_ANOTHER_NAMESPACE if row.foreign_pid else row.command_line or label_text(row.name)


def _command(_: Difference, row: ProcessUse) -> str:
    text = row.command_line or label_text(row.name)
    return text if row.pid is not None else f"{row.processes} x {text}"


_CPU_PROCESS: UseColumn[ProcessUse] = UseColumn(
    "CPU TIME", 8, Align.RIGHT, lambda _, row: time_text(row.use.cpu_time_ns), "cpu_time_ns"
)

PROCESS_COLUMNS: tuple[UseColumn[ProcessUse], ...] = (
    UseColumn("PID", 7, Align.RIGHT, lambda _, row: label_text(row.pid)),
    UseColumn("USER", 8, Align.LEFT, lambda _, row: label_text(row.user)),
    _CPU_PROCESS,
    UseColumn("SHARE%", 6, Align.RIGHT, lambda found, row: _share(found, row.use.cpu_time_ns)),
    UseColumn("READ", 5, Align.RIGHT, lambda _, row: bytes_text(row.use.io_read_bytes), "io_read_bytes"),
    UseColumn("WRITTEN", 7, Align.RIGHT, lambda _, row: bytes_text(row.use.io_write_bytes), "io_write_bytes"),
    UseColumn("MEM+", 6, Align.RIGHT, lambda _, row: grown_text(row.use.rss_grown_bytes), "rss_grown_bytes"),
    UseColumn("FROM", 5, Align.RIGHT, lambda _, row: bytes_text(row.use.rss_before_bytes), "rss_before_bytes", True),
    UseColumn("TO", 5, Align.RIGHT, lambda _, row: bytes_text(row.use.rss_after_bytes), "rss_after_bytes", True),
    UseColumn("MINFLT", 6, Align.RIGHT, lambda _, row: count_text(row.use.minor_faults), "minor_faults", True),
    UseColumn("MAJFLT", 6, Align.RIGHT, lambda _, row: count_text(row.use.major_faults), "major_faults", True),
    UseColumn("LIFE", 5, Align.LEFT, _life),
    UseColumn("COMMAND", 0, Align.LEFT, _command),
)

_GROUP_COLUMNS: tuple[UseColumn[GroupUse], ...] = (
    UseColumn("TASKS", 5, Align.RIGHT, lambda _, row: count_text(row.processes)),
    UseColumn("BORN", 5, Align.RIGHT, lambda _, row: count_text(row.born)),
    UseColumn("ENDED", 5, Align.RIGHT, lambda _, row: count_text(row.ended)),
    UseColumn("CPU TIME", 8, Align.RIGHT, lambda _, row: time_text(row.use.cpu_time_ns), "cpu_time_ns"),
    UseColumn("SHARE%", 6, Align.RIGHT, lambda found, row: _share(found, row.use.cpu_time_ns)),
    UseColumn("READ", 5, Align.RIGHT, lambda _, row: bytes_text(row.use.io_read_bytes), "io_read_bytes"),
    UseColumn("WRITTEN", 7, Align.RIGHT, lambda _, row: bytes_text(row.use.io_write_bytes), "io_write_bytes"),
    UseColumn("MEM+", 6, Align.RIGHT, lambda _, row: grown_text(row.use.rss_grown_bytes), "rss_grown_bytes"),
)

USER_COLUMNS: tuple[UseColumn[GroupUse], ...] = (
    *_GROUP_COLUMNS,
    UseColumn("USER", 0, Align.LEFT, lambda _, row: label_text(row.name)),
)
CGROUP_COLUMNS: tuple[UseColumn[GroupUse], ...] = (
    *_GROUP_COLUMNS,
    UseColumn("COUNTED", 8, Align.RIGHT, lambda _, row: time_text(row.counted_cpu_time_ns), is_extra=True),
    UseColumn("THROTTLED", 9, Align.RIGHT, lambda _, row: time_text(row.throttled_time_ns), is_extra=True),
    UseColumn("CGROUP", 0, Align.LEFT, lambda _, row: label_text(row.name)),
)
"""COUNTED is the kernel's own count, with what lies below it and was never seen."""

GPU_COLUMNS: tuple[UseColumn[GpuUse], ...] = (
    UseColumn("GPU", 4, Align.RIGHT, lambda _, row: row.index),
    UseColumn("VRAM+", 6, Align.RIGHT, lambda _, row: grown_text(row.vram.grown_bytes)),
    UseColumn("FROM", 5, Align.RIGHT, lambda _, row: bytes_text(row.vram.before_bytes)),
    UseColumn("TO", 5, Align.RIGHT, lambda _, row: bytes_text(row.vram.after_bytes)),
    UseColumn("MOST", 5, Align.RIGHT, lambda _, row: bytes_text(row.vram.most_bytes)),
    UseColumn("OF", 5, Align.RIGHT, lambda _, row: bytes_text(row.memory_total_bytes)),
    UseColumn("BUSY%", 5, Align.RIGHT, lambda _, row: percent_text(row.busy_percent)),
    UseColumn("LIFE", 5, Align.LEFT, lambda _, row: "gone" if row.is_gone else ""),
    UseColumn("NAME", 0, Align.LEFT, lambda _, row: label_text(row.name)),
)
GPU_PROCESS_COLUMNS: tuple[UseColumn[GpuProcessUse], ...] = (
    UseColumn("GPU", 4, Align.RIGHT, lambda _, row: row.gpu_index),
    UseColumn("PID", 7, Align.RIGHT, lambda _, row: label_text(row.pid)),
    UseColumn("USER", 8, Align.LEFT, lambda _, row: label_text(row.user)),
    UseColumn("VRAM+", 6, Align.RIGHT, lambda _, row: grown_text(row.vram.grown_bytes)),
    UseColumn("FROM", 5, Align.RIGHT, lambda _, row: bytes_text(row.vram.before_bytes)),
    UseColumn("TO", 5, Align.RIGHT, lambda _, row: bytes_text(row.vram.after_bytes)),
    UseColumn("MOST", 5, Align.RIGHT, lambda _, row: bytes_text(row.vram.most_bytes)),
    UseColumn("LIFE", 5, Align.LEFT, _stay),
    UseColumn("COMMAND", 0, Align.LEFT, _command_on_gpu),
)


def remainder_lines(found: Difference) -> Iterator[tuple[str, str, str]]:
    """CPU time, share of what was used, and whose it was: of what no process accounts for."""
    rest = found.remainder
    for time_ns, what in (
        (rest.unseen_cpu_time_ns, UNSEEN),
        (rest.interrupt_time_ns, "interrupts"),
        (rest.steal_time_ns, "taken by the host (steal)"),
    ):
        # rounded towards what the sum is, not away from it
        yield (
            ("-" if time_ns is not None and time_ns < 0 else "") + time_text(None if time_ns is None else abs(time_ns)),
            _share(found, time_ns),
            what,
        )


def headline(found: Difference) -> str:
    """From when to when, how long that is, and of how many frames it is known."""
    return (
        f"{moment_text(found.from_time_ns)} to {moment_text(found.to_time_ns)}: "
        f"{_length(found.span_ns)}, {found.frames} frames"
    )


def _length(span_ns: int) -> str:
    return f"{span_ns / 1e9:.1f}s" if span_ns < 60_000_000_000 else span_text(span_ns)


def notes(found: Difference) -> Iterator[str]:
    """What has to be known to read the rest: a start of the machine, gaps, what is not known."""
    if found.since_boot:
        yield "the machine was started in between: this is what happened since"
    if found.gap_count:
        lost_ns = sum(gap.span_ns for gap in found.gaps)
        least = "" if found.gap_count == len(found.gaps) else "at least "
        first = moment_text(found.gaps[0].after_time_ns)
        gaps = "1 gap" if found.gap_count == 1 else f"{found.gap_count} gaps"
        yield f"{gaps}, {least}{_length(lost_ns)} in all, the first after {first}"
    if found.remainder.unknown_processes:
        yield (
            "processes whose CPU time is not known, being there at first and seen only later: "
            f"{found.remainder.unknown_processes}"
        )


def machine_lines(found: Difference) -> Iterator[tuple[str, str]]:
    """The machine as a whole: a label of four letters, and words."""
    machine = found.machine
    busy = ABSENT
    if machine.cpu_busy_time_ns is not None and machine.cpu_interval_ns:
        busy = f"{machine.cpu_busy_time_ns / machine.cpu_interval_ns:.2f}"
    parts = ", ".join(
        f"{time_text(time_ns)} {name}"
        for name, time_ns in (
            ("user", machine.cpu_user_time_ns),
            ("system", machine.cpu_system_time_ns),
            ("interrupts", machine.cpu_interrupt_time_ns),
            ("steal", machine.cpu_steal_time_ns),
            ("iowait", machine.cpu_iowait_time_ns),
        )
    )
    yield "CPU", f"{busy} of {machine.cpu_count} cores busy, {time_text(machine.cpu_busy_time_ns)} in all: {parts}"
    yield "Mem", _from_to(machine.memory_used_before_bytes, machine.memory_used_after_bytes, machine.memory_total_bytes)
    swap = _from_to(machine.swap_used_before_bytes, machine.swap_used_after_bytes, machine.swap_total_bytes)
    yield "Swap", f"{swap}; {bytes_text(machine.swap_in_bytes)} in, {bytes_text(machine.swap_out_bytes)} out"
    yield (
        "I/O",
        (
            f"disks {bytes_text(machine.disk_read_bytes)} read, {bytes_text(machine.disk_write_bytes)} written; "
            f"networks {bytes_text(machine.network_receive_bytes)} received, "
            f"{bytes_text(machine.network_transmit_bytes)} sent"
        ),
    )
    yield (
        "Life",
        (
            f"{machine.processes_born} seen to be born, {machine.processes_ended} to end; "
            f"{count_text(machine.forks)} started, threads too; OOM kills {count_text(machine.oom_kills)}"
        ),
    )


def _from_to(before: int | None, after: int | None, total: int | None) -> str:
    grown = None if before is None or after is None else after - before
    return f"{bytes_text(before)} used, then {bytes_text(after)} of {bytes_text(total)}: {grown_text(grown)}"
