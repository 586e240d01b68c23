"""The process table: one kept descriptor per process, parsed only where its bytes changed.

What is read when:

* every tick: the list of pids, each ``stat``, and its owner. That is root for what may not be dumped (setuid programs,
  keepers of secrets), as for all files that the kernel guards by ptrace; the folder /proc/PID itself would always
  show the effective uid (task_dump_owner in fs/proc/base.c);
* every tick for what runs (its ``stat`` changed within :data:`CLOSE_NS`), else in turn within ``CLOSE_NS``:
  ``status`` and ``io``;
* at birth, at the next tick, when comm, the owner or the virtual size changes, and in turn within :data:`FACTS_NS`:
  what only an exec or a person changes (cgroup, exe, command line, OOM score).

Identity is (pid, start time). The command line can block for ever and is asked of the reader child.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping

from ztop_protocol.schema import SourceState
from ztopd.collectors.blocking import BlockingReader, Question
from ztopd.collectors.container import container_of
from ztopd.collectors.files import read_if_there, read_int, read_record, text
from ztopd.collectors.host import ProcessStates
from ztopd.collectors.process_entry import Process
from ztopd.collectors.process_stat import parse_stat
from ztopd.collectors.process_status import parse_cgroup, parse_io, parse_status
from ztopd.collectors.source import ParseError, Problem, Roots, Rows, Sample

CLOSE_NS = 10_000_000_000
FACTS_NS = 60_000_000_000
VIRTUAL_SIZE_NS = 5_000_000_000
"""A change of the virtual size alone has the facts read again no sooner than this."""

_STAT_BYTES = 2048


class Processes:
    """Gives ``processes``, ``process_io`` and ``process_executables`` out of one scan."""

    name = "processes"
    period_ns = 0

    def __init__(self, roots: Roots, reader: BlockingReader, kept_descriptors: int) -> None:
        """``kept_descriptors`` is how many stat files may stay open."""
        self._proc = roots.proc
        self._folder = os.open(roots.proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._reader = reader
        self._kept_descriptors = kept_descriptors
        self._processes: dict[int, Process] = {}
        self._open_descriptors = 0
        self._users: dict[int, str | None] = {}
        self._block_io_is_counted = False
        self._checked_delays_ns = 0
        self._unreadable: str | None = None
        self._states: ProcessStates | None = None

    def states(self) -> ProcessStates | None:
        """How many processes are in which state, as of the last scan."""
        return self._states

    def close(self) -> None:
        """Lets go of every descriptor."""
        for process in self._processes.values():
            self._let_go(process)
        self._processes.clear()
        os.close(self._folder)

    def collect(self) -> Sample:
        """One scan. A process that ends meanwhile is left out; one whose files cannot be parsed is said and left out."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._unreadable = None
        self._check_delay_accounting(now)
        self._take_answers()
        self._scan(now)
        self._reader.settle()
        self._take_answers()
        return self._sample()

    def _scan(self, now: int) -> None:
        # the hot path: a process at rest costs one pread, one stat and a comparison
        known, alive = self._processes, {}
        folder, pread, stat = self._folder, os.pread, os.stat
        close_due, facts_due = now - CLOSE_NS, now - FACTS_NS
        for name in os.listdir(folder):
            if not name.isdigit():
                continue
            pid = int(name)
            process = known.get(pid)
            if process is not None:
                descriptor = process.descriptor
                try:
                    data = (
                        read_record(f"{self._proc}/{process.stat_path}", _STAT_BYTES)
                        if descriptor is None
                        else pread(descriptor, _STAT_BYTES, 0)
                    )
                    owner_uid = stat(process.stat_path, dir_fd=folder).st_uid
                    if (
                        data == process.stat_bytes
                        and owner_uid == process.owner_uid
                        and process.ran_boottime_ns <= close_due < process.looked_boottime_ns
                        and facts_due < process.facts_boottime_ns
                    ) or self._look(process, data, owner_uid, now):
                        alive[pid] = process
                        continue
                except (ProcessLookupError, FileNotFoundError):
                    pass
                except ParseError as error:
                    self._unreadable = str(error)
                self._let_go(process)
            process = self._find(pid, now)
            if process is not None:
                alive[pid] = process
        for pid in known.keys() - alive.keys():
            self._let_go(known[pid])
        self._processes = alive

    def _let_go(self, process: Process) -> None:
        if process.descriptor is not None:
            os.close(process.descriptor)
            process.descriptor = None
            self._open_descriptors -= 1

    def _look(self, process: Process, data: bytes, owner_uid: int, now: int) -> bool:
        """Something changed or is due. False where it is another life under the same pid."""
        old = process.stat
        if data != process.stat_bytes:
            stat = parse_stat(data)
            if stat.start_boottime_ns != old.start_boottime_ns:
                return False
            process.stat, process.stat_bytes, process.ran_boottime_ns = stat, data, now
        owner_changed = owner_uid != process.owner_uid
        if owner_changed:
            process.owner_uid = owner_uid
            process.io_refused = False
        since_facts = now - process.facts_boottime_ns
        if (
            since_facts >= FACTS_NS
            or process.stat.comm != old.comm
            or owner_changed
            or (process.stat.virtual_bytes != old.virtual_bytes and since_facts >= VIRTUAL_SIZE_NS)
        ):
            self._read_facts(process, now)
        self._read_closely(process, now)
        process.make_row(self._block_io_is_counted)
        return True

    def _find(self, pid: int, now: int) -> Process | None:
        """A process not known before; None where it is gone already."""
        try:
            descriptor = os.open(f"{pid}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return None
        try:
            data = os.pread(descriptor, _STAT_BYTES, 0)
            owner_uid = os.stat(f"{pid}/stat", dir_fd=self._folder).st_uid
            process = Process(pid, data, parse_stat(data), descriptor, owner_uid)
            self._read_facts(process, now)
            self._read_closely(process, now)
        except (OSError, ParseError) as error:
            os.close(descriptor)
            if isinstance(error, ParseError):
                self._unreadable = str(error)
            return None
        self._open_descriptors += 1
        if self._open_descriptors > self._kept_descriptors:
            self._let_go(process)
        # read once more at the next tick, when an exec or a move to a cgroup that follow a fork are done; those that
        # were there before us take their turns, spread over the period
        if now - process.stat.start_boottime_ns < CLOSE_NS:
            process.facts_boottime_ns = now - FACTS_NS
        else:
            process.facts_boottime_ns = now - pid * 7_919_000_000 % FACTS_NS
            process.looked_boottime_ns = now - pid * 7_919_000_000 % CLOSE_NS
        process.make_row(self._block_io_is_counted)
        return process

    def _read_closely(self, process: Process, now: int) -> None:
        """Reads status and io. What rests keeps its values together with the time at which they were read."""
        ran = process.ran_boottime_ns == now or now - process.ran_boottime_ns < CLOSE_NS
        process.looked_boottime_ns = now
        try:
            data = read_record(f"{self._proc}/{process.pid}/status", 8192)
        except PermissionError:
            data = b""
        if data:
            status = parse_status(data)
            if ran or status != process.status:
                process.status, process.status_boottime_ns = status, now
                process.user = self._user(status.effective_uid)
        if not process.io_refused:
            self._read_io(process, now, ran)

    def _read_io(self, process: Process, now: int, ran: bool) -> None:
        try:
            data = read_record(f"{self._proc}/{process.pid}/io", 1024)
        except PermissionError:
            process.io, process.io_refused = None, True
        except FileNotFoundError:
            # a kernel without CONFIG_TASK_IO_ACCOUNTING
            process.io = None
        else:
            io = parse_io(data)
            if process.io is not None and io != process.io:
                process.ran_boottime_ns = now
            if ran or io != process.io:
                process.io, process.io_boottime_ns = io, now
        process.make_io_row()

    def _read_facts(self, process: Process, now: int) -> None:
        process.facts_boottime_ns = now
        cgroup = read_if_there(f"{self._proc}/{process.pid}/cgroup")
        process.cgroup = None if cgroup is None else parse_cgroup(cgroup)
        process.container = None if process.cgroup is None else container_of(process.cgroup)
        process.oom_score = read_int(f"{self._proc}/{process.pid}/oom_score")
        if process.stat.kernel_thread:
            return
        try:
            process.exe = text(os.readlink(f"{self._proc}/{process.pid}/exe".encode()))
        except OSError:
            process.exe = None
        process.make_exe_row()
        self._reader.ask(Question.COMMAND_LINE, process.pid)

    def _user(self, uid: int) -> str | None:
        if uid not in self._users:
            self._users[uid] = None
            self._reader.ask(Question.USER_NAME, uid)
        return self._users[uid]

    def _take_answers(self) -> None:
        for pid, answer in self._reader.take(Question.COMMAND_LINE).items():
            process = self._processes.get(pid) if isinstance(pid, int) else None
            if process is not None and answer.data is not None:
                process.set_command_line(answer.data)
                process.make_row(self._block_io_is_counted)
        names: dict[int, str | None] = {}
        for uid, answer in self._reader.take(Question.USER_NAME).items():
            if isinstance(uid, int):
                names[uid] = None if answer.data is None else text(answer.data)
        if names:
            self._users |= names
            for process in self._processes.values():
                if process.status is not None and process.status.effective_uid in names:
                    process.user = names[process.status.effective_uid]
                    process.make_row(self._block_io_is_counted)

    def _check_delay_accounting(self, now: int) -> None:
        if self._checked_delays_ns and now - self._checked_delays_ns < CLOSE_NS:
            return
        self._checked_delays_ns = now
        # the switch is of Linux 5.14; before it, delays were counted unless the command line said nodelayacct
        data = read_if_there(f"{self._proc}/sys/kernel/task_delayacct")
        self._block_io_is_counted = data is None or data.strip() != b"0"

    def _sample(self) -> Sample:
        rows: Rows = {}
        io_rows: Rows = {}
        exe_rows: Rows = {}
        refused = 0
        for process in self._processes.values():
            key = process.key
            rows[key] = process.row
            if process.io_row is not None:
                io_rows[key] = process.io_row
            elif process.io_refused:
                refused += 1
            if process.exe_row is not None:
                exe_rows[key] = process.exe_row
        self._states = _count_states(self._processes)
        return Sample(
            {"processes": rows, "process_io": io_rows, "process_executables": exe_rows},
            self._problem(),
            {"process_io": _io_problem(refused, len(io_rows))},
            shares_rows=True,
        )

    def _problem(self) -> Problem | None:
        if self._unreadable is not None:
            return Problem(SourceState.DEGRADED, f"a process is left out: {self._unreadable}")
        without = len(self._processes) - self._kept_descriptors
        if without > 0:
            return Problem(
                SourceState.DEGRADED,
                f"{without} processes are read without a kept descriptor, which costs more",
                "raise LimitNOFILE of the unit, or ulimit -n",
            )
        return None


def _io_problem(refused: int, readable: int) -> Problem | None:
    if refused:
        state = SourceState.DEGRADED if readable else SourceState.ABSENT
        if os.geteuid() == 0:
            return Problem(state, f"the kernel refuses the I/O of {refused} processes even to root (other namespaces?)")
        return Problem(
            state,
            f"the I/O of {refused} processes of other users is withheld "
            "(it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)",
            "run ztopd as root to see it",
        )
    if not readable:
        return Problem(SourceState.ABSENT, "this kernel counts no I/O per process (CONFIG_TASK_IO_ACCOUNTING)")
    return None


def _count_states(processes: Mapping[int, Process]) -> ProcessStates:
    counts = Counter([process.stat.state for process in processes.values()])
    return ProcessStates(
        total=len(processes),
        running=counts["R"],
        sleeping=counts["S"],
        blocked=counts["D"],
        stopped=counts["T"] + counts["t"],
        zombie=counts["Z"],
        idle=counts["I"],
        kernel_threads=sum([process.stat.kernel_thread for process in processes.values()]),
    )
