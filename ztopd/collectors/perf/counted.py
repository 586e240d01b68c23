"""What is kept of one process between ticks for the sake of its counters."""

from ztop_protocol.frame import Row
from ztopd.collectors.perf.accumulate import Counts, Layout
from ztopd.collectors.perf.attached import Attached
from ztopd.collectors.process_entry import Process


class Counted:
    """One life of one process that has, had, or may get counters."""

    __slots__ = (
        "attached",
        "attached_boottime_ns",
        "counts",
        "cpu_time_ns",
        "head",
        "missed_cpu_ns",
        "missed_enabled_ns",
        "not_before_ns",
        "owner_uid",
        "process",
        "ran_boottime_ns",
        "ran_tick",
        "refused",
        "row",
        "waits_since_ns",
    )

    def __init__(self, process: Process, layout: Layout) -> None:
        self.process = process
        self.attached: Attached | None = None
        self.attached_boottime_ns = 0
        self.row: Row | None = None
        self.cpu_time_ns = cpu_time_ns(process)
        self.ran_boottime_ns = 0
        self.ran_tick = -1
        self.begin(layout)

    def begin(self, layout: Layout) -> None:
        """Counts of a new owner."""
        self.owner_uid = self.process.owner_uid
        self.counts = Counts(layout)
        self.refused = False
        self.not_before_ns = 0
        self.waits_since_ns: int | None = None
        self.missed_cpu_ns, self.missed_enabled_ns = self.cpu_time_ns, 0
        self.row = None
        self.head: Row = ()

    def begin_epoch(self, boottime_ns: int, kernel_mode: bool) -> None:
        """There are counters from now on, and a row."""
        self.head = (*self.process.key, self.owner_uid, boottime_ns, kernel_mode)
        self.make_row()

    def make_row(self) -> None:
        """Makes the row anew."""
        self.row = self.counts.row(self.head)


def cpu_time_ns(process: Process) -> int:
    """What it used in its life, in user and kernel mode."""
    return process.stat.user_time_ns + process.stat.system_time_ns
