"""The process table: what did not run is not read.

What is read when:

* when the kernel gave out a pid since the last tick, and every ten seconds: the list of pids;
* every tick: of a process with one thread ``schedstat``, which is short and changes whenever that thread ran, be it for
  a nanosecond; of one with several threads, and where the kernel keeps no ``schedstat``, ``stat`` itself and its owner;
* when it ran: ``stat`` and its owner. What never ran since cannot have changed either, except by others (its nice
  value, memory taken from it): ``stat`` is read in turn within :data:`CLOSE_NS` all the same, and when its parent ends;
* every tick while ``stat`` changed within ``CLOSE_NS``, else in turn within ``CLOSE_NS`` if it ran: ``status`` and
  ``io``;
* at birth, at the next tick, when comm, the owner or the virtual size changes, and in turn within :data:`FACTS_NS`:
  what only an exec or a person changes (cgroup, exe, command line, OOM score).

The owner is that of the file ``stat``: root for what may not be dumped (setuid programs, keepers of secrets), as for
all files that the kernel guards by ptrace; the folder /proc/PID itself would always show the effective uid
(task_dump_owner in fs/proc/base.c).

Identity is (pid, start time). The command line can block for ever and is asked of the reader child.
"""

import os
import time
from collections.abc import Sequence

from ztop_protocol.schema import MAX_TEXT_BYTES
from ztopd.collectors import process_problems
from ztopd.collectors.blocking import BlockingReader, Question
from ztopd.collectors.container import container_of
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.files import read_if_there, read_int, read_record, text
from ztopd.collectors.host import ProcessStates
from ztopd.collectors.kept import Kept
from ztopd.collectors.process_entry import Process, count_states
from ztopd.collectors.process_exec import Execs
from ztopd.collectors.process_listing import Listing
from ztopd.collectors.process_stat import TICK_NS, counts_block_io, parse_stat
from ztopd.collectors.process_status import parse_cgroup, parse_io, parse_status
from ztopd.collectors.source import ParseError, Problem, Roots, Rows, Sample
from ztopd.collectors.users import Users

CLOSE_NS = 10_000_000_000
FACTS_NS = 120_000_000_000
VIRTUAL_SIZE_NS = 5_000_000_000
"""A change of the virtual size alone has the facts read again no sooner than this."""

COMMAND_LINES_BYTES = 3 << 20
"""What all command lines may come to, so that ten thousand long ones fit into a frame."""
LEAST_COMMAND_LINE_BYTES = 128
"""Beyond that each one is cut here."""

_STAT_BYTES, _SCHEDSTAT_BYTES = 2048, 64


class Processes:
    """Gives ``processes``, ``process_io`` and ``process_executables`` out of one scan."""

    name = "processes"
    period_ns = 0

    def __init__(self, roots: Roots, reader: BlockingReader, descriptors: Descriptors) -> None:
        """``descriptors`` is the budget of files that may stay open."""
        self._proc = roots.proc
        self._folder = os.open(roots.proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._reader = reader
        self._descriptors = descriptors
        self._processes: dict[str, Process] = {}
        """By the name of their folder."""
        self._listing = Listing(roots.proc, self._folder)
        self._has_schedstat = read_if_there(f"{roots.proc}/self/schedstat") not in (None, b"", b"0 0 0\n")
        self._users = Users(reader)
        self._block_io_is_counted = False
        self._delay_accounting = Kept(lambda: counts_block_io(roots.proc), CLOSE_NS)
        self._execs = Execs(roots.proc, self._folder)
        self._unreadable: str | None = None
        self._refused = 0
        self._ran: list[Process] = []
        self._ended: list[Process] = []
        self._states: ProcessStates | None = None
        self._executables: Rows = {}

    def states(self) -> ProcessStates | None:
        """How many processes are in which state, as of the last scan."""
        return self._states

    def with_several_threads(self) -> list[int]:
        """The pids of the processes that have more than one thread, as of the last scan."""
        return [process.pid for process in self._processes.values() if process.stat.threads > 1]

    def ran(self) -> Sequence[Process]:
        """Those that ran between the last two scans, as far as their files tell; a newborn counts from its second."""
        return self._ran

    def ended(self) -> Sequence[Process]:
        """Those that the last collection found gone, or replaced by another life under their pid."""
        return self._ended

    def close(self) -> None:
        """Lets go of every descriptor."""
        for process in self._processes.values():
            self._let_go(process)
        self._processes.clear()
        os.close(self._folder)

    def collect(self) -> Sample:
        """One scan. A process that ends meanwhile is left out, so is one whose files cannot be parsed."""
        is_first = not self._processes
        self._ended = []
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._block_io_is_counted = self._delay_accounting.value()
        self._take_answers()
        self._scan(now)
        if is_first:
            # to find thousands takes long, and what counted meanwhile would count as of the beginning
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._scan(now)
        self._reader.settle()
        self._take_answers()
        return self._sample(now)

    def _scan(self, now: int) -> None:
        # the hot path: a process at rest costs one pread of a few bytes and two comparisons
        self._unreadable, self._refused, self._ran = None, 0, []
        known, alive, pread = self._processes, {}, os.pread
        for name in self._execs.among(self._listing.names(known, now)):
            process = known.get(name)
            if process is not None:
                descriptor = process.schedstat_descriptor
                try:
                    if (
                        descriptor is not None
                        and now < process.turn_boottime_ns
                        and pread(descriptor, _SCHEDSTAT_BYTES, 0) == process.schedstat
                    ) or self._look(process, now):
                        alive[name] = process
                        continue
                except (ProcessLookupError, FileNotFoundError):
                    pass
                except (OSError, ParseError) as error:
                    # refused by a security module, say: the others live on
                    self._unreadable = f"{process.stat_path}: {error}"
                self._let_go(process)
            elif not name.isdigit():
                continue
            process = self._find(name, now)
            if process is not None:
                alive[name] = process
        self._processes = alive
        if ended := known.keys() - alive.keys():
            for name in ended:
                self._let_go(known[name])
            pids = {known[name].pid for name in ended}
            for process in alive.values():
                if process.stat.ppid in pids:
                    process.turn_boottime_ns = 0

    def _look(self, process: Process, now: int) -> bool:
        """Reads what is due of a known process. False where it is another life under the same pid."""
        # before the stat file, so that what runs in between is looked at again
        if process.schedstat_descriptor is not None:
            schedstat = os.pread(process.schedstat_descriptor, _SCHEDSTAT_BYTES, 0)
            ran = schedstat != process.schedstat
            process.schedstat = schedstat
        else:
            ran = True
        if ran:
            process.ran = process.ran_since_facts = True
            if self._execs.took(process):
                return True
        if process.stat_descriptor is not None:
            data = os.pread(process.stat_descriptor, _STAT_BYTES, 0)
        else:
            data = read_record(f"{self._proc}/{process.stat_path}", _STAT_BYTES)
        if data != process.stat_bytes or (ran and process.schedstat_descriptor is not None):
            self._ran.append(process)
        since_facts = now - process.facts_boottime_ns
        if data == process.stat_bytes and not process.ran and since_facts < FACTS_NS:
            process.turn_boottime_ns = min(now + CLOSE_NS, process.facts_boottime_ns + FACTS_NS)
            return True
        owner_uid = os.stat(process.stat_path, dir_fd=self._folder).st_uid
        if data == process.stat_bytes and owner_uid == process.owner_uid and now < process.turn_boottime_ns:
            return True
        old = process.stat
        if data != process.stat_bytes:
            stat = parse_stat(data)
            if stat.start_boottime_ns != old.start_boottime_ns:
                return False
            process.stat, process.stat_bytes, process.busy_boottime_ns = stat, data, now
        owner_changed = owner_uid != process.owner_uid
        if owner_changed:
            process.owner_uid, process.io_refused, process.ran_since_facts = owner_uid, False, True
        if (
            since_facts >= FACTS_NS
            or process.stat.comm != old.comm
            or owner_changed
            or (process.stat.virtual_bytes != old.virtual_bytes and since_facts >= VIRTUAL_SIZE_NS)
        ):
            self._read_facts(process, now)
            if process.stat.comm != old.comm:  # an exec sets the command line after the name: once more
                process.facts_boottime_ns = now - FACTS_NS
        is_busy = now - process.busy_boottime_ns < CLOSE_NS
        if is_busy or owner_changed or (process.ran and now - process.looked_boottime_ns >= CLOSE_NS):
            self._read_closely(process, now, is_busy)
        process.turn_boottime_ns = 0 if is_busy else min(now + CLOSE_NS, process.facts_boottime_ns + FACTS_NS)
        self._confirm_owner(process, now)
        self._keep_descriptors(process, is_busy)
        process.make_row(self._block_io_is_counted)
        return True

    def _confirm_owner(self, process: Process, now: int) -> None:
        """What was read while the owner changed is nobody's: it is read again at the next tick."""
        owner_uid = os.stat(process.stat_path, dir_fd=self._folder).st_uid
        if owner_uid != process.owner_uid:
            process.owner_uid, process.ran_since_facts = owner_uid, True
            process.exe, process.io, process.io_refused = None, None, False
            process.make_exe_row()
            process.make_io_row()
            process.facts_boottime_ns = now - FACTS_NS
            process.looked_boottime_ns = process.turn_boottime_ns = 0

    def _keep_descriptors(self, process: Process, is_busy: bool) -> None:
        """Of what rests only the file that is read every tick stays open."""
        by_schedstat = self._has_schedstat and process.stat.threads == 1
        if not by_schedstat:
            self._close(process.schedstat_descriptor)
            process.schedstat_descriptor = None
        elif process.schedstat_descriptor is None:
            process.schedstat_descriptor = self._open(f"{process.pid}/schedstat")
            # what it said at the last look is not known: the next one reads everything
            process.schedstat = b""
        if by_schedstat and process.schedstat_descriptor is not None and not is_busy:
            self._close(process.stat_descriptor)
            process.stat_descriptor = None
        elif process.stat_descriptor is None:
            process.stat_descriptor = self._open(process.stat_path)

    def _open(self, path: str) -> int | None:
        """A descriptor to keep; None where there are enough, or the process is gone."""
        if not self._descriptors.take():
            return None
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            self._descriptors.give_back()
            return None

    def _close(self, descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)
            self._descriptors.give_back()

    def _let_go(self, process: Process) -> None:
        self._close(process.schedstat_descriptor)
        self._close(process.stat_descriptor)
        process.schedstat_descriptor = process.stat_descriptor = None
        self._ended.append(process)

    def _find(self, name: str, now: int) -> Process | None:
        """A process not known before; None where it is gone already, or cannot be read yet."""
        if self._execs.holds(name):
            return None
        descriptor = self._open(f"{name}/schedstat") if self._has_schedstat else None
        try:
            # before the stat file, so that what runs in between is looked at again
            schedstat = b"" if descriptor is None else os.pread(descriptor, _SCHEDSTAT_BYTES, 0)
            data = read_record(f"{self._proc}/{name}/stat", _STAT_BYTES)
            owner_uid = os.stat(f"{name}/stat", dir_fd=self._folder).st_uid
            process = Process(int(name), data, parse_stat(data), owner_uid)
            process.schedstat_descriptor, process.schedstat = descriptor, schedstat
            self._read_facts(process, now)
            self._read_closely(process, now, True)
            self._confirm_owner(process, now)
        except (OSError, ParseError) as error:
            self._close(descriptor)
            if isinstance(error, PermissionError):
                self._refused += 1
            elif isinstance(error, ParseError):
                self._unreadable = str(error)
            return None
        # looked at once more at the next tick, when an exec or a move to a cgroup that follow a fork are done; those
        # that were there before us take their turns, spread over the period
        if now - process.stat.start_boottime_ns < CLOSE_NS:
            process.facts_boottime_ns = now - FACTS_NS
        else:
            process.facts_boottime_ns = now - process.pid * 7_919_000_000 % FACTS_NS
            process.turn_boottime_ns = now + process.pid * 7_919_000_000 % CLOSE_NS
        self._keep_descriptors(process, False)
        process.make_row(self._block_io_is_counted)
        return process

    def _read_closely(self, process: Process, now: int, keep_clock: bool) -> None:
        """Reads status and io. With ``keep_clock`` they are said to be of now even where they did not change."""
        process.looked_boottime_ns, process.ran = now, False
        try:
            data = read_record(f"{self._proc}/{process.pid}/status", 8192)
        except PermissionError:
            data = b""
        if data:
            status = parse_status(data)
            if keep_clock or status != process.status:
                process.status, process.status_boottime_ns = status, now
                process.user = self._users.name(status.effective_uid, now)
        if not process.io_refused:
            self._read_io(process, now, keep_clock)

    def _read_io(self, process: Process, now: int, keep_clock: bool) -> None:
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
                process.busy_boottime_ns = now
            if keep_clock or io != process.io:
                process.io, process.io_boottime_ns = io, now
        process.make_io_row()

    def _read_facts(self, process: Process, now: int) -> None:
        process.facts_boottime_ns = now
        may_be_another_program, process.ran_since_facts = process.ran_since_facts, False
        cgroup = read_if_there(f"{self._proc}/{process.pid}/cgroup")
        process.cgroup = None if cgroup is None else parse_cgroup(cgroup)
        process.container = None if process.cgroup is None else container_of(process.cgroup)
        process.oom_score = read_int(f"{self._proc}/{process.pid}/oom_score")
        if process.status is not None:
            process.user = self._users.name(process.status.effective_uid, now)
        if process.stat.kernel_thread or not may_be_another_program:
            return
        try:
            process.exe = text(os.readlink(f"{self._proc}/{process.pid}/exe".encode()))
        except OSError:
            process.exe = None
        process.make_exe_row()
        self._reader.ask(Question.COMMAND_LINE, process.pid)

    def _take_answers(self) -> None:
        answers = self._reader.take(Question.COMMAND_LINE)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        room = COMMAND_LINES_BYTES
        if answers:
            room -= sum([process.command_line_bytes for process in self._processes.values()])
        for pid, answer in answers.items():
            process = self._processes.get(str(pid))
            if process is None or answer.data is None:
                continue
            started = process.stat.start_boottime_ns
            # a start in the future is of another machine's /proc, whose clock is not ours
            if answer.boottime_ns < started + TICK_NS and started <= now:
                # it may be of the pid's life before: start times are rounded down
                self._reader.ask(Question.COMMAND_LINE, process.pid)
                if answer.boottime_ns < started:
                    continue
            room += process.command_line_bytes
            process.set_command_line(answer.data, min(MAX_TEXT_BYTES, max(LEAST_COMMAND_LINE_BYTES, room)))
            room -= process.command_line_bytes
            process.make_row(self._block_io_is_counted)
        if renamed := set(self._users.renamed()):
            for process in self._processes.values():
                if process.status is not None and process.status.effective_uid in renamed:
                    process.user = self._users.name(process.status.effective_uid, now)
                    process.make_row(self._block_io_is_counted)

    def _sample(self, now: int) -> Sample:
        processes = self._processes.values()
        executables: Rows = {process.key: process.exe_row for process in processes if process.exe_row is not None}
        if executables != self._executables:
            self._executables = executables
        io_rows: Rows = {process.key: process.io_row for process in processes if process.io_row is not None}
        refused = sum([process.io_refused for process in processes])
        self._states = count_states(processes)
        return Sample(
            {
                "processes": {process.key: process.row for process in processes},
                "process_io": io_rows,
                # the same object while nothing changed: a delta passes it over
                "process_executables": self._executables,
            },
            self._problem(),
            {"process_io": process_problems.withheld_io(refused, len(io_rows))},
            shares_rows=True,
            sampled_boottime_ns=now,
        )

    def _problem(self) -> Problem | None:
        if self._unreadable is not None:
            return process_problems.left_out(self._unreadable)
        if stuck := self._execs.problem():
            return stuck
        if self._descriptors.left <= 0 and any(
            process.schedstat_descriptor is process.stat_descriptor is None for process in self._processes.values()
        ):
            return process_problems.few_descriptors(self._descriptors.limit)
        if self._refused or "1" not in self._processes:
            return process_problems.hidden_processes()
        return None
