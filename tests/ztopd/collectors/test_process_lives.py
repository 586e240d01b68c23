"""The lives of a process in the table: exec, change of owner, death, and a pid that is used again."""

import os
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from tests.ztopd.collectors.process_table import WAIT, Table, python, ready, wait_for
from ztop_protocol.schema import PROCESS_EXECUTABLES, PROCESS_IO, PROCESSES
from ztopd.collectors.blocking import Answer, Question


def test_an_exec_is_noticed(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    child = start("/bin/sh", "-c", "echo ready; read x; exec sleep 100")
    ready(child)
    table.scan()
    table.scan()
    assert table.cell(child.pid, "comm") == "sh"
    before = table.cell(child.pid, "start_boottime_ns")
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    wait_for(lambda: psutil.Process(child.pid).name() == "sleep")
    table.scan()
    assert table.cell(child.pid, "comm") == "sleep"
    # the scan may have come while the exec was under way, after the name and before the command line
    time.sleep(0.05)
    table.scan()
    assert table.cell(child.pid, "command_line") == "sleep 100"
    assert table.cell(child.pid, "start_boottime_ns") == before
    executable = table.owner_row("process_executables", child.pid)
    assert executable is not None and str(executable[-1]).endswith(("sleep", "coreutils", "busybox"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its uid")
def test_the_owner_is_taken_every_tick(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    child = start(
        *python("import os, sys", "print('ready', flush=True); sys.stdin.readline()", "os.setuid(12345)", WAIT)
    )
    ready(child)
    table.scan()
    assert table.cell(child.pid, "owner_uid") == 0
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    ready(child)
    table.scan()
    # a process that changed its uid is not dumpable, and what is not dumpable is root's
    assert table.cell(child.pid, "owner_uid") == 0
    assert (table.cell(child.pid, "uid"), table.cell(child.pid, "effective_uid")) == (12345, 12345)
    io_row = table.owner_row("process_io", child.pid)
    assert io_row is not None and io_row[PROCESS_IO.position["owner_uid"]] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its uid")
def test_an_exec_by_another_user_changes_the_owner(
    table: Table, start: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    child = start(
        *python(
            "import os, sys",
            "print('ready', flush=True); sys.stdin.readline()",
            "os.setgid(12345); os.setuid(12345)",
            "os.execv('/bin/sleep', ['sleep', '100'])",
        )
    )
    ready(child)
    table.scan()
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    wait_for(lambda: psutil.Process(child.pid).name() == "sleep")
    table.scan()
    assert table.cell(child.pid, "owner_uid") == 12345
    io_row, executable = table.owner_row("process_io", child.pid), table.owner_row("process_executables", child.pid)
    assert io_row is not None and io_row[PROCESS_IO.position["owner_uid"]] == 12345
    assert executable is not None and executable[PROCESS_EXECUTABLES.position["owner_uid"]] == 12345


def test_a_zombie_keeps_its_command_line(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    child = start("/bin/sh", "-c", "echo ready; read x")
    ready(child)
    table.scan()
    line = table.cell(child.pid, "command_line")
    child.kill()
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    table.scan()
    table.scan()
    assert table.cell(child.pid, "state") == "Z"
    assert table.cell(child.pid, "command_line") == line
    states = table.collector.states()
    assert states is not None and states.zombie >= 1
    child.wait()
    table.scan()
    assert table.row(child.pid) is None


def test_a_reused_pid_is_another_process(table: Table, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    if os.geteuid() != 0 or not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        pytest.skip("choosing a pid takes root and /proc/sys/kernel/ns_last_pid")
    first = start("/bin/sleep", "100")
    table.scan()
    old = table.row(first.pid)
    assert old is not None
    first.kill()
    first.wait()
    time.sleep(0.05)
    for _ in range(50):
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(first.pid - 1))
        second = start("/bin/cat")
        if second.pid == first.pid:
            break
    else:
        pytest.skip("somebody else always took the pid first")
    table.scan()
    new = table.row(first.pid)
    assert new is not None
    assert new[:2] != old[:2]
    assert int(str(new[PROCESSES.position["start_boottime_ns"]])) > int(
        str(old[PROCESSES.position["start_boottime_ns"]])
    )

    table.scan()
    assert table.cell(second.pid, "command_line") == "/bin/cat"


def test_the_answer_about_an_earlier_life_of_a_pid_is_not_taken(
    table: Table, start: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    child = start(*python(WAIT))
    ready(child)
    table.scan()
    table.scan()
    process = table.collector._processes[str(child.pid)]
    own = process.command_line
    assert own is not None
    answers = table.reader._answers[Question.COMMAND_LINE]
    answers[child.pid] = Answer(b"another\0", None, process.stat.start_boottime_ns - 1)
    asked = len(table.reader.asked)
    table.collector._take_answers()
    assert process.command_line == own
    assert (Question.COMMAND_LINE, child.pid) in table.reader.asked[asked:]
    table.reader._answers[Question.COMMAND_LINE][child.pid] = Answer(
        b"its own\0", None, process.stat.start_boottime_ns + 10**9
    )
    table.collector._take_answers()
    assert process.command_line == "its own"
