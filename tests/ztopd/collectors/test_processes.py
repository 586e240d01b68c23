"""The process table against living processes, each made for what it is to show."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.ztopd.collectors.immediate_reader import ImmediateReader
from tests.ztopd.collectors.process_table import WAIT, Table, python, ready, wait_for
from ztop_protocol.schema import MAX_TEXT_BYTES, PROCESS_EXECUTABLES, PROCESS_IO, PROCESSES, SourceState
from ztopd.collectors import processes as module
from ztopd.collectors.blocking import Question
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.process_entry import Process
from ztopd.collectors.processes import Processes
from ztopd.collectors.source import Roots


def test_rows_have_the_schemas_columns(table: Table) -> None:
    assert {len(row) for row in table.rows.values()} == {len(PROCESSES.columns)}
    assert {len(row) for row in table.sample.sections["process_io"].values()} == {len(PROCESS_IO.columns)}
    assert {len(row) for row in table.sample.sections["process_executables"].values()} == {
        len(PROCESS_EXECUTABLES.columns)
    }


def test_the_whole_table_agrees_with_psutil(table: Table) -> None:
    """Lags: what rests is read in turn, so only what an idle process cannot change is compared exactly."""
    compared = 0
    table.scan()
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                uids, memory, parent = process.uids(), process.memory_info(), process.ppid()
                name, command_line, cpu = process.name(), process.cmdline(), process.cpu_times()
                threads, nice, created = process.num_threads(), process.nice(), process.create_time()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if table.row(process.pid) is None:
            assert time.time() - created < 2, f"{process} is missing"
            continue
        compared += 1
        pid = process.pid
        assert table.cell(pid, "ppid") == parent
        assert (table.cell(pid, "uid"), table.cell(pid, "effective_uid")) == (uids.real, uids.effective)
        assert table.cell(pid, "nice") == nice
        comm, start_ns = table.cell(pid, "comm"), table.cell(pid, "start_boottime_ns")
        assert isinstance(comm, str) and isinstance(start_ns, int)
        # psutil completes a name of 15 bytes from the command line
        assert name.encode("utf-8", "surrogateescape").startswith(comm.encode("utf-8", "surrogateescape")[:15])
        boot_time = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        assert abs(boot_time + start_ns / 1e9 - created) < 1.5
        line = table.cell(pid, "command_line")
        if command_line and len(" ".join(command_line)) < MAX_TEXT_BYTES:
            assert line == " ".join(command_line).rstrip("\0")
        busy = table.cell(pid, "user_time_ns"), table.cell(pid, "system_time_ns")
        assert isinstance(busy[0], int) and isinstance(busy[1], int)
        assert abs(sum(busy) / 1e9 - (cpu.user + cpu.system)) < 0.5
        rss = table.cell(pid, "rss_bytes")
        assert isinstance(rss, int)
        assert abs(rss - memory.rss) < max(8 << 20, memory.rss / 10)
        assert abs(int(table.cell(pid, "threads") or 0) - threads) <= 2
    assert compared >= 5


def test_a_busy_process_counts_its_cpu_time(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    child = start(
        *python("import time", "end = time.process_time() + 0.4", "while time.process_time() < end: pass", WAIT)
    )
    ready(child)
    table.scan()
    total = int(table.cell(child.pid, "user_time_ns") or 0) + int(table.cell(child.pid, "system_time_ns") or 0)
    assert 0.39 <= total / 1e9 < 0.8


@pytest.mark.parametrize(
    "name",
    [
        b"two\nlines",
        b"\x1b]52;c;aGk=\x07",
        b"evil) S 1 (",
        b"\xff\xfe\xfd\x80\x81\x82\x83\xc0\xc1\xf5\xf6\xf7\xf8\xf9\xfa",
    ],
)
def test_hostile_names(name: bytes, table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    child = start(*python("import ctypes", f"ctypes.CDLL(None).prctl(15, {name!r})", WAIT))
    ready(child)
    table.scan()
    comm = table.cell(child.pid, "comm")
    assert isinstance(comm, str)
    assert comm.encode("utf-8", "surrogateescape") == name
    assert table.cell(child.pid, "ppid") == os.getpid()


def test_kernel_threads_are_told_apart(table: Table) -> None:
    if not os.path.exists("/proc/2/stat") or psutil.Process(2).name() != "kthreadd":
        pytest.skip("this pid namespace shows no kernel threads")
    assert table.cell(2, "kernel_thread") is True
    assert table.cell(os.getpid(), "kernel_thread") is False
    assert table.cell(2, "command_line") is None


@pytest.mark.parametrize("length", [128 << 10, 2 << 20])
def test_long_command_lines_are_cut_and_said_to_be(
    length: int, table: Table, start: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    # one argument may have 128 KiB at most (MAX_ARG_STRLEN), all together a quarter of the stack's limit
    child = start(
        *python(
            "import os, resource, sys",
            "hard = resource.getrlimit(resource.RLIMIT_STACK)[1]",
            "resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))",
            f"os.execv(sys.executable, [sys.executable, '-c', {WAIT!r}] + ['\u00e4' * 1000] * {length // 2001})",
        )
    )
    ready(child)
    table.scan()
    line = table.cell(child.pid, "command_line")
    assert isinstance(line, str)
    assert table.cell(child.pid, "command_line_truncated") is True
    assert MAX_TEXT_BYTES - 4 < len(line.encode()) <= MAX_TEXT_BYTES


def test_a_hundred_long_command_lines(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    children = [start("/bin/sh", "-c", "read x", "x" * (127 << 10)) for _ in range(100)]
    wait_for(lambda: all(psutil.Process(child.pid).name() == "sh" for child in children))
    table.scan()
    table.scan()
    lines = [table.cell(child.pid, "command_line") for child in children]
    assert {len(str(line)) for line in lines} == {MAX_TEXT_BYTES}


def kept_of(pids: set[int]) -> int:
    """How many files of these processes are open here."""
    descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    links = [os.readlink(descriptor) for descriptor in descriptors if os.path.lexists(descriptor)]
    return sum(link.startswith(tuple(f"/proc/{pid}/" for pid in pids)) for link in links)


def test_descriptors_are_let_go(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    children = [start("/bin/sleep", "100") for _ in range(20)]
    pids = {child.pid for child in children}
    table.scan()
    assert kept_of(pids) >= 20
    for child in children:
        child.kill()
        child.communicate()
    table.scan()
    assert kept_of(pids) == 0


def test_without_descriptors_the_table_is_the_same() -> None:
    few = Table(kept_descriptors=1)
    try:
        few.scan()
        few.scan()
        assert few.cell(os.getpid(), "ppid") == os.getppid()
        problem = few.sample.problem
        assert problem is not None and problem.state is SourceState.DEGRADED and "descriptor" in problem.reason
        descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        links = [os.readlink(descriptor) for descriptor in descriptors if os.path.lexists(descriptor)]
        assert sum(link.endswith(("/stat", "/schedstat")) for link in links) == 1
    finally:
        few.collector.close()


def test_a_reader_that_never_answers_costs_the_command_lines_alone() -> None:
    table = Table()
    table.reader.silent = True
    try:
        table.scan()
        assert table.cell(os.getpid(), "command_line") is None
        assert table.cell(os.getpid(), "user") is None
        assert table.cell(os.getpid(), "comm") is not None
    finally:
        table.collector.close()


def test_rows_at_rest_are_the_same_objects(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    child = start("/bin/sleep", "100")
    wait_for(lambda: psutil.Process(child.pid).name() == "sleep")
    time.sleep(0.05)
    table.scan()
    table.scan()
    table.scan()
    before = table.row(child.pid)
    state_of_it = table.reader.asked.count((Question.COMMAND_LINE, child.pid))
    table.scan()
    assert table.cell(child.pid, "comm") == "sleep"
    assert table.reader.asked.count((Question.COMMAND_LINE, child.pid)) == state_of_it
    assert before is not None


def test_a_process_that_rests_keeps_the_clock_of_its_last_reading(
    table: Table, start: Callable[..., "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_NS", 200_000_000)
    child = start("/bin/sleep", "100")
    wait_for(lambda: psutil.Process(child.pid).name() == "sleep")
    for _ in range(4):
        table.scan()
        time.sleep(0.1)
    first = table.owner_row("process_io", child.pid)
    row = table.row(child.pid)
    time.sleep(0.3)
    table.scan()
    assert table.owner_row("process_io", child.pid) == first
    assert table.row(child.pid) == row


def test_stopped_processes_are_counted(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    child = start("/bin/sleep", "100")
    child.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
    table.scan()
    assert table.cell(child.pid, "state") == "T"
    states = table.collector.states()
    assert states is not None and states.stopped >= 1
    assert states.total == len(table.rows)


def test_all_command_lines_together_are_bounded(
    table: Table, start: Callable[..., "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMAND_LINES_BYTES", 0)
    child = start(*python(WAIT), "x" * 1000)
    ready(child)
    table.scan()
    table.scan()
    assert len(str(table.cell(child.pid, "command_line"))) == module.LEAST_COMMAND_LINE_BYTES
    assert table.cell(child.pid, "command_line_truncated") is True


def test_one_process_that_is_refused_leaves_the_others(
    table: Table, start: Callable[..., "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A security module may refuse the files of a process that it showed before."""
    child = start("/bin/sleep", "100")
    table.scan()
    look = table.collector._look

    def refuse(process: Process, now: int) -> bool:
        if process.pid == child.pid:
            raise PermissionError(13, "Permission denied")
        return look(process, now)

    monkeypatch.setattr(table.collector, "_look", refuse)
    table.scan()
    assert table.row(os.getpid()) is not None
    assert table.sample.problem is not None and "Permission denied" in table.sample.problem.reason


def test_hidden_processes_are_said_to_be(tmp_path: Path) -> None:
    """Where /proc is mounted with hidepid, not even the first process is shown."""
    collector = Processes(Roots(str(tmp_path)), ImmediateReader(), Descriptors(10))
    try:
        problem = collector.collect().problem
        assert problem is not None and "hidepid" in problem.reason
    finally:
        collector.close()


def test_the_first_table_is_as_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """To find thousands of processes takes longer than the first interval; the rates count from the last look."""
    collector = Processes(Roots(), ImmediateReader(), Descriptors(1000))
    try:
        times: list[int] = []
        scan = collector._scan

        def slow(now: int) -> None:
            scan(now)
            times.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME))

        monkeypatch.setattr(collector, "_scan", slow)
        sampled = collector.collect().sampled_boottime_ns
        assert sampled is not None and times[0] <= sampled <= times[1]
    finally:
        collector.close()
