"""What the page of one process says: facts of the frame in words, its family, its threads."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from ztop_client.absence import counters_problem, io_problem
from ztop_client.columns.column import ProcessTable
from ztop_client.formats import (
    bytes_text,
    count_text,
    hertz_text,
    label_text,
    percent_text,
    rate_text,
    ratio_text,
    span_text,
    time_text,
)
from ztop_client.inspection import Block, Entry
from ztop_client.sources.source import RequestFailed
from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.rates import RATE_POSITION, memory_percent, rates
from ztop_protocol.schema import PROCESSES, SECTIONS

STATES: Mapping[str, str] = {
    "R": "running, or ready to run",
    "S": "sleeping: waits for something to happen",
    "D": "blocked: waits for a device; no signal gets through until then",
    "T": "stopped by a signal",
    "t": "stopped by a debugger",
    "Z": "zombie: has ended, and its parent has not taken notice",
    "X": "dead",
    "I": "idle (kernel thread)",
}
_POLICIES = {"other": "normal", "fifo": "realtime, first in first out", "rr": "realtime, round robin"}
_MOST_CHILDREN = 200
_DETAIL = SECTIONS["alerts"].position["detail"]


class Facts:
    """The cells and rates of one process, by name."""

    def __init__(self, table: ProcessTable, key: Key) -> None:
        self._table = table
        self.key = key

    def __getitem__(self, name: str) -> Cell:
        return self._table.processes[self.key][PROCESSES.position[name]]

    def of(self, section: str, name: str) -> Cell:
        """A cell of another section; None where this user does not see it."""
        return self._table.frame.cell(section, name, self.key)

    def rate(self, section: str, name: str) -> Cell:
        """A rate; None where there is none yet."""
        row = self._table.rates[section].get(self.key)
        return None if row is None else row[RATE_POSITION[section][name]]


def overview(table: ProcessTable, key: Key) -> list[Block]:
    """The first chapter. ``key`` is in ``table``."""
    facts = Facts(table, key)
    return [
        Block("What it is", tuple(_identity(table, facts))),
        Block("What it uses", tuple(_use(table, facts))),
        Block("What started it", tuple(_ancestors(table, key)), one_line=True),
        _children(table, key),
    ]


def _identity(table: ProcessTable, facts: Facts) -> Iterator[Entry]:
    frame = table.frame
    yield "Name", label_text(facts["comm"])
    command = facts["command_line"]
    cut = " (cut: the whole of it is in 4 Environment)" if facts["command_line_truncated"] else ""
    yield "Command", "- (it has none)" if command is None else f"{command}{cut}"
    if (exe := facts.of("process_executables", "exe")) is not None:
        yield "Program", label_text(exe)
    yield "User", _user(facts)
    yield "State", STATES.get(str(facts["state"]), label_text(facts["state"]))
    if isinstance(start := facts["start_boottime_ns"], int):
        age = frame.boottime_ns - start
        begun = datetime.fromtimestamp((frame.time_ns - age) / 1e9)
        yield "Started", f"{begun:%Y-%m-%d %H:%M:%S}, {span_text(age)} ago{_starter(table, facts)}"
    yield "Terminal", "none" if facts["tty"] is None else label_text(facts["tty"])
    yield "Session", f"{label_text(facts['session'])}, process group {label_text(facts['process_group'])}"
    yield "Control group", label_text(facts["cgroup"])
    if facts["container_id"] is not None:
        yield "Container", f"{label_text(facts['container_runtime'])} {facts['container_id']}"
    if facts["namespace_pid"] not in (None, facts["pid"]):
        yield "Pid inside", f"{facts['namespace_pid']} in its own pid namespace"
    if facts["kernel_thread"]:
        yield "Kind", "a thread of the kernel: it has no program, and no signal ends it"


def _starter(table: ProcessTable, facts: Facts) -> str:
    chain = list(_chain(table, facts.key))
    return f", by {chain[0][0]} {label_text(chain[0][PROCESSES.position['comm']])}" if chain else ""


def _user(facts: Facts) -> str:
    name, effective, real = label_text(facts["user"]), facts["effective_uid"], facts["uid"]
    return f"{name} (uid {label_text(effective)}{f', started as uid {real}' if real != effective else ''})"


def _use(table: ProcessTable, facts: Facts) -> Iterator[Entry]:
    def share(name: str) -> str:
        return percent_text(facts.rate("processes", name))

    def cpu_time(*names: str) -> str:
        return time_text(sum(value for name in names if isinstance(value := facts[name], (int, float))))

    parts = f"{share('user_percent')} user, {share('system_percent')} system"
    yield "CPU", f"{share('cpu_percent')} % of a core ({parts}); last on CPU {label_text(facts['last_cpu'])}"
    spent = cpu_time("user_time_ns", "system_time_ns")
    yield "CPU time", f"{spent} ({cpu_time('user_time_ns')} user, {cpu_time('system_time_ns')} system)"
    resident = percent_text(memory_percent(table.frame, facts["rss_bytes"]))
    yield "Memory", f"{bytes_text(facts['rss_bytes'])} resident, {resident} % of the machine's"
    yield (
        "",
        (
            f"{bytes_text(facts['shared_bytes'])} of it shared, {bytes_text(facts['swap_bytes'])} swapped out, "
            f"{bytes_text(facts['virtual_bytes'])} virtual"
        ),
    )
    yield "Threads", label_text(facts["threads"])
    policy = label_text(facts["policy"])
    nice, priority = label_text(facts["nice"]), label_text(facts["priority"])
    yield "Scheduling", f"{_POLICIES.get(policy, policy)}, nice {nice}, priority {priority}"
    for label, name in (("Disk reads", "io_read_bytes"), ("Disk writes", "io_write_bytes")):
        now = facts.rate("process_io", f"{name}_per_second")
        yield label, f"{rate_text(now)}, {bytes_text(facts.of('process_io', name))} so far"
    if facts.of("process_io", "io_read_bytes") is None:
        # what ztopd has and does not show to us, ? says how to be shown
        yield "", io_problem(table.frame) or "ztopd shows these to the process's user, to root and to its group alone"
    delay = facts.rate("processes", "block_io_delay_percent")
    if delay is not None:
        yield "Waits for disks", f"{percent_text(delay)} % of the time"
    faults = [count_text(facts.rate("processes", f"{kind}_faults_per_second")) for kind in ("minor", "major")]
    yield "Page faults", f"{faults[0]}/s from memory, {faults[1]}/s from disks"
    switches = [
        count_text(facts.rate("processes", f"{kind}_context_switches_per_second"))
        for kind in ("voluntary", "involuntary")
    ]
    yield "Switches", f"{switches[0]}/s by itself, {switches[1]}/s forced"
    yield "OOM score", f"{label_text(facts['oom_score'])} (the highest is ended first when memory runs out)"


def counted(table: ProcessTable, key: Key) -> Block:
    """What hardware counters say of the time since the frame before, or why nothing. ``key`` is in ``table``."""
    problem = counters_problem(table.frame)
    facts = Facts(table, key)

    def now(name: str) -> Cell:
        return facts.rate("process_counters", name)

    if facts.of("process_counters", "epoch_boottime_ns") is None:
        return Block(
            "Hardware counters", reason=problem or "it has not worked since ztopd counts, or is not yours to see"
        )
    speed = f"{count_text(now('instructions_per_second'))} instructions/s at {hertz_text(now('effective_hertz'))}"
    per_kilo = f"{ratio_text(now('llc_misses_per_kilo_instruction'))} per 1000 instructions"
    entries = (
        ("IPC", f"{ratio_text(now('ipc'))} instructions per cycle, {speed}"),
        ("Cache misses", f"last level {percent_text(now('llc_miss_percent'))} % of references, {per_kilo}"),
        ("", f"first level {percent_text(now('l1d_miss_percent'))} % of loads"),
        ("Branches", f"{ratio_text(now('branch_miss_percent'))} % predicted wrongly"),
        ("Measured", f"{percent_text(now('counters_share_percent'))} % of the time, {_modes(facts)}"),
        *(("Unusual", label_text(row[_DETAIL])) for row in table.frame.rows("alerts").values() if row[:2] == key),
    )
    return Block("Hardware counters", entries, problem)


def _modes(facts: Facts) -> str:
    return "user and kernel mode" if facts.of("process_counters", "kernel_mode") else "user mode alone"


def _line(row: Row) -> str:
    position = PROCESSES.position
    command = row[position["command_line"]]
    return f"{label_text(row[position['user']])}  {label_text(row[position['comm']] if command is None else command)}"


def _chain(table: ProcessTable, key: Key) -> Iterator[Row]:
    """The parent, its parent, and so on."""
    by_pid = {row[0]: row for known, row in table.processes.items() if known not in table.process_of}
    parent, start = PROCESSES.position["ppid"], PROCESSES.position["start_boottime_ns"]
    row = table.processes[key]
    while (above := by_pid.pop(row[parent], None)) is not None:
        # a pid that was taken over since is no parent
        if above[start] > row[start]:  # type: ignore[operator]
            return
        yield above
        row = above


def _ancestors(table: ProcessTable, key: Key) -> Iterator[Entry]:
    chain = list(_chain(table, key))
    if not chain:
        of_kernel = table.processes[key][PROCESSES.position["ppid"]] in (0, 2)
        yield "", "the kernel" if of_kernel else "a process that has ended"
    for ancestor in reversed(chain):
        yield label_text(ancestor[0]), _line(ancestor)


def _children(table: ProcessTable, key: Key) -> Block:
    parent, start = PROCESSES.position["ppid"], PROCESSES.position["start_boottime_ns"]
    own = table.processes[key]
    rows = sorted(
        (
            row
            for known, row in table.processes.items()
            if row[parent] == own[0] and known not in table.process_of and row[start] >= own[start]  # type: ignore[operator]
        ),
        key=lambda row: (row[start], row[0]),
    )
    entries = [(label_text(row[0]), _line(row)) for row in rows[:_MOST_CHILDREN]]
    if len(rows) > _MOST_CHILDREN:
        entries.append(("", f"and {len(rows) - _MOST_CHILDREN} more"))
    return Block("What it started, and runs still", tuple(entries), None if entries else "nothing", one_line=True)


_THREADS = SECTIONS["threads"].position


def threads(previous: Frame | None, current: Frame) -> Block:
    """The threads of one process, the busiest first; the frames hold those of that process alone."""
    shares = rates(previous, current, "threads")
    lines: list[tuple[float, Cell, Entry]] = []
    for key, row in current.rows("threads").items():
        share = shares[key][0]
        spent = sum(
            value
            for name in ("user_time_ns", "system_time_ns")
            if isinstance(value := row[_THREADS[name]], (int, float))
        )
        cells = (
            f"{label_text(row[_THREADS['state']])}  {percent_text(share):>5} {time_text(spent):>8} "
            f"{label_text(row[_THREADS['nice']]):>3} {label_text(row[_THREADS['last_cpu']]):>3}  "
            f"{label_text(row[_THREADS['comm']])}"
        )
        lines.append((-(share or 0.0), row[_THREADS["tid"]], (label_text(row[_THREADS["tid"]]), cells)))
    lines.sort(key=lambda line: line[:2])
    heading: Entry = ("TID", f"S  {'CPU%':>5} {'TIME+':>8} {'NI':>3} {'CPU':>3}  NAME")
    return Block(f"Threads: {len(lines)}", (heading, *(entry for _, _, entry in lines)))


ThreadsRead = Callable[[Frame | RequestFailed], None]
ThreadReader = Callable[[Key, ThreadsRead], None]
"""Reads the threads of a process and gives them to the second argument, sooner or later."""
