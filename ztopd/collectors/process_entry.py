"""What is known of one process between ticks, and the rows that are made of it."""

from collections import Counter
from collections.abc import Iterable

from ztop_protocol.frame import Key, Row
from ztop_protocol.schema import MAX_TEXT_BYTES
from ztopd.collectors.container import Container
from ztopd.collectors.files import text
from ztopd.collectors.host import ProcessStates
from ztopd.collectors.process_stat import Stat
from ztopd.collectors.process_status import Io, Status


class Process:
    """One life of one pid. Mutable: the table refreshes it in place; its rows are immutable."""

    __slots__ = (
        "busy_boottime_ns",
        "cgroup",
        "command_line",
        "command_line_bytes",
        "command_line_truncated",
        "container",
        "exe",
        "exe_row",
        "facts_boottime_ns",
        "io",
        "io_boottime_ns",
        "io_refused",
        "io_row",
        "key",
        "looked_boottime_ns",
        "oom_score",
        "owner_uid",
        "pid",
        "ran",
        "ran_since_facts",
        "row",
        "schedstat",
        "schedstat_descriptor",
        "stat",
        "stat_bytes",
        "stat_descriptor",
        "stat_path",
        "status",
        "status_boottime_ns",
        "turn_boottime_ns",
        "user",
    )

    def __init__(self, pid: int, stat_bytes: bytes, stat: Stat, owner_uid: int) -> None:
        self.pid = pid
        self.stat_path = f"{pid}/stat"
        self.key: Key = (pid, stat.start_boottime_ns)
        self.stat_bytes = stat_bytes
        self.stat = stat
        self.stat_descriptor: int | None = None
        self.schedstat_descriptor: int | None = None
        """None where the process has several threads, the kernel keeps none, or the descriptors did not suffice."""
        self.schedstat = b""
        self.owner_uid = owner_uid
        self.status: Status | None = None
        self.status_boottime_ns: int | None = None
        self.io: Io | None = None
        self.io_boottime_ns: int | None = None
        self.io_refused = False
        self.exe: str | None = None
        self.cgroup: str | None = None
        self.container: Container | None = None
        self.oom_score: int | None = None
        self.command_line: str | None = None
        self.command_line_bytes = 0
        self.command_line_truncated: bool | None = None
        self.user: str | None = None
        self.ran = False
        """Whether it may have run since status and io were last read."""
        self.ran_since_facts = True
        """Whether it may have run, and so have become another program, since its facts were last read."""
        self.busy_boottime_ns = 0
        """When its stat or its I/O was last seen to change."""
        self.looked_boottime_ns = 0
        """When status and io were last read, changed or not."""
        self.turn_boottime_ns = 0
        """When it is looked at whether it ran or not."""
        self.facts_boottime_ns = 0
        """When the facts were last read."""
        self.row: Row = ()
        self.io_row: Row | None = None
        self.exe_row: Row | None = None

    def set_command_line(self, data: bytes, at_most: int = MAX_TEXT_BYTES) -> None:
        """From the bytes of /proc/PID/cmdline. A process that exits loses it before it is gone: the old one stays."""
        data = data.rstrip(b"\0")
        if not data and self.stat.state in ("Z", "X"):
            return
        self.command_line_truncated = len(data) > at_most
        self.command_line_bytes = min(len(data), at_most)
        line = text(data[:at_most].replace(b"\0", b" "))
        if self.command_line_truncated:
            line = _without_half_character(line)
        self.command_line = line or None

    def make_row(self, block_io_is_counted: bool) -> None:
        """Makes the row of ``processes`` anew."""
        stat, status, container = self.stat, self.status, self.container
        self.row = (
            *(self.pid, stat.start_boottime_ns, stat.ppid, stat.process_group, stat.session, stat.tty),
            *((None, None) if status is None else (status.uid, status.effective_uid)),
            *(self.owner_uid, self.user, stat.state),
            *(stat.nice, stat.priority, stat.realtime_priority, stat.policy, stat.threads),
            *(stat.user_time_ns, stat.system_time_ns, stat.rss_bytes, stat.virtual_bytes),
            *((None, None) if status is None else (status.shared_bytes, status.swap_bytes)),
            *(stat.minor_faults, stat.major_faults),
            *(
                (None, None)
                if status is None
                else (status.voluntary_context_switches, status.involuntary_context_switches)
            ),
            self.status_boottime_ns,
            stat.block_io_delay_ns if block_io_is_counted else None,
            *(stat.last_cpu, stat.kernel_thread, self.oom_score, self.cgroup),
            *((None, None) if container is None else (container.id, container.runtime)),
            None if status is None else status.namespace_pid,
            *(stat.comm, self.command_line, self.command_line_truncated),
        )

    def make_io_row(self) -> None:
        """Makes the row of ``process_io`` anew; None where the kernel withholds it."""
        self.io_row = None if self.io is None else (*self.key, self.owner_uid, self.io_boottime_ns, *self.io)

    def make_exe_row(self) -> None:
        """Makes the row of ``process_executables`` anew; None where there is none or the kernel withholds it."""
        self.exe_row = None if self.exe is None else (*self.key, self.owner_uid, self.exe)


def _without_half_character(line: str) -> str:
    # a cut in the middle of a UTF-8 character leaves up to three escaped bytes
    for _ in range(3):
        if line and "\udc80" <= line[-1] <= "\udcff":
            line = line[:-1]
    return line


def count_states(processes: Iterable[Process]) -> ProcessStates:
    """How many of them are in which state."""
    processes = tuple(processes)
    counts = Counter([process.stat.state for process in processes])
    return ProcessStates(
        total=len(processes),
        running=counts["R"],
        sleeping=counts["S"],
        blocked=counts["D"],
        stopped=counts["T"] + counts["t"],
        zombie=counts["Z"],
        idle=counts["I"],
        kernel_threads=sum([process.stat.kernel_thread for process in processes]),
    )
