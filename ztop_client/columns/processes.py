"""The tabs of the process screen: their columns, in their order."""

from collections.abc import Callable

from ztop_client.columns.column import (
    Align,
    Attribute,
    Column,
    Mark,
    ProcessTable,
    Tab,
    Value,
    cell,
    memory_share,
    rate,
    rate_total,
    tab,
    total,
)
from ztop_client.columns.counters import (
    BRANCH_MISS_PERCENT,
    COUNTER_SECTIONS,
    L1D_MISS_PERCENT,
    LLC_MISS_PERCENT,
    MISSES_PER_KILO_INSTRUCTION,
    drop_mark,
    ipc_attribute,
    measured_attribute,
)
from ztop_client.columns.gpus import with_gpus
from ztop_client.formats import (
    bytes_text,
    count_text,
    gigahertz_text,
    label_text,
    percent_text,
    ratio_text,
    time_text,
)
from ztop_protocol.frame import Cell, Key

_PROCESSES = frozenset({"processes"})
_WITH_MEMORY = frozenset({"processes", "memory"})
_IO = frozenset({"processes", "process_io"})

_GIBIBYTE = 1 << 30
_MEBIBYTE = 1 << 20
_STATES = {"R": "running", "D": "blocked", "T": "stopped", "t": "stopped", "Z": "zombie", "X": "zombie"}


def _plain(_value: Cell) -> str:
    return "text"


def _always(name: str) -> Attribute:
    return lambda _value: name


def _heat(warm: float, hot: float) -> Attribute:
    def attribute(value: Cell) -> str:
        if not value:
            return "dim"
        return "hot" if float(value) >= hot else "warm" if float(value) >= warm else "text"

    return attribute


def _size(value: Cell) -> str:
    if not value:
        return "dim"
    return "large" if float(value) >= _GIBIBYTE else "text"


def _flow(value: Cell) -> str:
    if not value:
        return "dim"
    return "warm" if float(value) >= _MEBIBYTE else "text"


def _nice(value: Cell) -> str:
    if not value:
        return "dim"
    return "high_priority" if float(value) < 0 else "low_priority"


def _state(value: Cell) -> str:
    return _STATES.get(str(value), "dim")


def _user(own: str) -> Attribute:
    def attribute(value: Cell) -> str:
        return "own_user" if value == own else "root_user" if value == "root" else "other_user"

    return attribute


def _priority_text(value: Cell) -> str:
    # the kernel gives -100 for the highest real-time priority
    return "RT" if isinstance(value, int) and value <= -100 else label_text(value)


def _column(
    name: str, title: str, width: int, value: Value, form: Callable[[Cell], str], attribute: Attribute, text: str,
    *, align: Align = Align.RIGHT, descending: bool = True, sections: frozenset[str] = _PROCESSES,
    mark: Mark | None = None, is_spare: bool = False,
) -> Column:  # fmt: skip
    return Column(
        name, title, width, align, value, form, attribute, descending, sections, text, mark, is_spare=is_spare
    )


def _of(name: str) -> Value:
    return cell("processes", name)


def tabs(own_user: str = "") -> tuple[Tab, ...]:
    """What the key Tab switches between. ``own_user`` is told apart in the column USER."""
    return (
        tab("Main", with_gpus(main_columns(own_user)), "cpu_percent"),
        tab("I/O", io_columns(own_user), "io_bytes_per_second"),
        tab("Counters", counter_columns(own_user), "cpu_percent"),
    )


def _pid_and_user(own_user: str) -> tuple[Column, ...]:
    return (
        _column("pid", "PID", 7, _of("pid"), label_text, _always("pid"), "process id", descending=False),
        _column("user", "USER", 9, _of("user"), label_text, _user(own_user), "effective user",
                align=Align.LEFT, descending=False),
    )  # fmt: skip


def _cpu() -> Column:
    return _column("cpu_percent", "CPU%", 5, rate("processes", "cpu_percent"), percent_text, _heat(25, 75),
                   "CPU time, 100 is one core")  # fmt: skip


def _command() -> Column:
    return _column("command_line", "Command", 0, command, label_text, _plain, "command line",
                   align=Align.LEFT, descending=False)  # fmt: skip


def main_columns(own_user: str = "") -> tuple[Column, ...]:
    """The tab Main."""
    return (
        *_pid_and_user(own_user),
        _column("priority", "PRI", 3, _of("priority"), _priority_text, _always("dim"), "kernel priority",
                descending=False),
        _column("nice", "NI", 3, _of("nice"), label_text, _nice, "nice value", descending=False),
        _column("virtual_bytes", "VIRT", 5, _of("virtual_bytes"), bytes_text, _always("dim"), "virtual memory",
                is_spare=True),
        _column("rss_bytes", "RES", 5, _of("rss_bytes"), bytes_text, _size, "resident memory"),
        _column("shared_bytes", "SHR", 5, _of("shared_bytes"), bytes_text, _always("dim"),
                "shared resident memory", is_spare=True),
        _column("state", "S", 1, _of("state"), label_text, _state, "state: the kernel's letter",
                align=Align.LEFT, descending=False),
        _cpu(),
        _column("memory_percent", "MEM%", 5, memory_share("rss_bytes"), percent_text, _heat(10, 30),
                "resident memory, of the machine's", sections=_WITH_MEMORY),
        _column("cpu_time_ns", "TIME+", 8, total("processes", "user_time_ns", "system_time_ns"), time_text, _plain,
                "CPU time since it started"),
        _command(),
    )  # fmt: skip


def io_columns(own_user: str = "") -> tuple[Column, ...]:
    """The tab I/O. Of other users' processes the kernel tells root alone."""
    return (
        *_pid_and_user(own_user),
        _flow_column("io_bytes", "DISK/s", 6, "bytes from and to disks", "io_read_bytes", "io_write_bytes"),
        _flow_column("io_read_bytes", "READ/s", 6, "bytes from disks", "io_read_bytes"),
        _flow_column("io_write_bytes", "WRITE/s", 7, "bytes to disks", "io_write_bytes"),
        _flow_column("io_logical_read_bytes", "LREAD/s", 7, "bytes read, from disks, caches, pipes and sockets",
                     "io_logical_read_bytes"),
        _flow_column("io_logical_write_bytes", "LWRITE/s", 8, "bytes written, to files, pipes and sockets",
                     "io_logical_write_bytes"),
        _column("io_syscalls_per_second", "CALLS/s", 7, _io_rate("io_read_syscalls", "io_write_syscalls"),
                count_text, _heat(10_000, 100_000), "system calls that read or write", sections=_IO),
        _column("block_io_delay_percent", "WAIT%", 5, rate("processes", "block_io_delay_percent"), percent_text,
                _heat(10, 50), "time spent waiting for disks; needs kernel.task_delayacct=1"),
        _column("swap_bytes", "SWAP", 5, _of("swap_bytes"), bytes_text, _size, "memory that is swapped out"),
        _command(),
    )  # fmt: skip


def counter_columns(own_user: str = "") -> tuple[Column, ...]:
    """The tab Counters: what a process's threads did while counters were attached, in user mode at least."""
    return (
        *_pid_and_user(own_user),
        _cpu(),
        _counted("ipc", "IPC", 4, ratio_text, ipc_attribute, "instructions per cycle", drop_mark),
        _counted("instructions_per_second", "INS/s", 5, count_text, _plain, "instructions per second of CPU time"),
        _counted("effective_hertz", "GHz", 4, gigahertz_text, _plain, "cycles per second of CPU time, in GHz"),
        _counted("llc_miss_percent", "LLC%", 5, percent_text, _heat(*LLC_MISS_PERCENT),
                 "misses of the last-level cache, of its references"),
        _counted("l1d_miss_percent", "L1D%", 5, percent_text, _heat(*L1D_MISS_PERCENT),
                 "misses of the first-level data cache, of all loads"),
        _counted("branch_miss_percent", "BR%", 4, ratio_text, _heat(*BRANCH_MISS_PERCENT),
                 "branches that were predicted wrongly"),
        _counted("llc_misses_per_kilo_instruction", "MPKI", 4, ratio_text, _heat(*MISSES_PER_KILO_INSTRUCTION),
                 "misses of the last-level cache per 1000 instructions"),
        _counted("counters_share_percent", "MEAS%", 5, percent_text, measured_attribute,
                 "share of the time in which the counters really counted"),
        _command(),
    )  # fmt: skip


def _counted(
    name: str, title: str, width: int, form: Callable[[Cell], str], attribute: Attribute, text: str,
    mark: Mark | None = None,
) -> Column:  # fmt: skip
    return _column(
        name, title, width, rate("process_counters", name), form, attribute, text, sections=COUNTER_SECTIONS, mark=mark
    )


def _flow_column(name: str, title: str, width: int, text: str, *counters: str) -> Column:
    return _column(f"{name}_per_second", title, width, _io_rate(*counters), bytes_text, _flow, text, sections=_IO)


def _io_rate(*counters: str) -> Value:
    """The growth of counters of the section ``process_io``, each second.

    What is readable and was not read since the last frame is of a process that did not run: it did nothing.
    """
    growth = rate_total("process_io", *(f"{counter}_per_second" for counter in counters))

    def value(table: ProcessTable, key: Key) -> Cell:
        result = growth(table, key)
        if result is None and key in table.rows["process_io"] and _cpu_percent(table, key) == 0:
            return 0.0
        return result

    return value


_cpu_percent = rate("processes", "cpu_percent")
_command_line = cell("processes", "command_line")
_comm = cell("processes", "comm")


def command(table: ProcessTable, key: Key) -> Cell:
    """The command line; the name where there is none (kernel threads, zombies)."""
    return _command_line(table, key) or _comm(table, key)
