"""Batch mode against a daemon that says what the test tells it to."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon
from tests.ztop_client.fake_source import SECOND, frame, process
from ztop_client.batch import chosen
from ztop_client.cli import main
from ztop_client.json_lines import SECTION_NAMES, document, json_line, names
from ztop_client.moments import moment_text
from ztop_client.options import Options
from ztop_client.sources.source import Pair
from ztop_client.text_page import text_page
from ztop_protocol.frame import Frame
from ztop_protocol.processes import COLUMNS, Order
from ztop_protocol.schema import SECTIONS

HOSTILE = "a\x1b]52;c;x\x07\nb\u202e\udcff漢"


def machine(seq: int) -> Frame:
    return frame(
        seq,
        [
            process(1, comm="init", user="root", effective_uid=0),
            process(7, comm="busy", user_time_ns=seq * SECOND // 4, rss_bytes=4 << 30, nice=None),
            process(8, comm=HOSTILE, command_line=HOSTILE, effective_uid=0, user_time_ns=seq * SECOND // 2),
            process(9, comm="kworker/0:1", command_line=None, kernel_thread=True),
        ],
    )


PAIR = Pair(machine(1), machine(2))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@pytest.fixture
def daemon(path: str) -> Iterator[FakeDaemon]:
    with FakeDaemon([machine(1), machine(2)], path=path) as made:
        yield made.in_background()


def pids(**options: object) -> list[object]:
    return [row[0] for row in chosen(PAIR, Options(**options))]  # type: ignore[arg-type]


def test_which_processes() -> None:
    assert pids() == [8, 7, 1, 9]
    assert pids(limit=1) == [8]
    assert pids(order=Order("rss_bytes"))[0] == 7
    assert pids(order=Order("pid", False)) == [1, 7, 8, 9]
    assert pids(pids=frozenset({9, 1, 55})) == [1, 9]
    assert pids(uid=0) == [8, 1]
    assert pids(filter_text="BUSY") == [7]
    assert pids(filter_text="nobody like this") == []
    assert pids(filter_text="cpu > 20 and rss > 1G") == [7]
    assert pids(filter_text="not (cpu > 20 or user == root)") == [9]
    assert pids(filter_text="'kworker' or cpu == 50%") == [8, 9]
    assert pids(filter_text="read == none", limit=2) == [8, 7]


def test_json_names_are_those_of_the_schema() -> None:
    made = document(PAIR, chosen(PAIR, Options()))
    assert list(made) == ["seq", "time_ns", "boottime_ns", "boot_id", *SECTION_NAMES]
    assert made["disks"] is None
    host, cpus, processes = made["host"], made["cpus"], made["processes"]
    assert isinstance(host, dict)
    assert isinstance(cpus, list)
    assert isinstance(processes, list)
    assert tuple(host) == names("host")
    assert all(tuple(cpu) == names("cpus") for cpu in cpus)
    assert cpus[1]["busy_percent"] == pytest.approx(50, abs=10)
    assert all(tuple(one) == COLUMNS for one in processes)
    assert processes[1]["cpu_percent"] == 25.0
    assert processes[1]["memory_percent"] == 25.0
    assert processes[1]["nice"] is None
    assert processes[1]["io_read_bytes_per_second"] is None
    # a rate never hides a column of the schema
    assert all(len(set(names(section))) == len(names(section)) for section in SECTION_NAMES)
    assert set(SECTIONS) - set(SECTION_NAMES) == {"process_io", "process_counters", "process_executables", "threads"}


def test_a_json_line_loses_nothing_and_steers_nothing() -> None:
    line = json_line(PAIR, chosen(PAIR, Options()), ("pid", "comm"))
    assert line.isascii()
    assert line[:-1].isprintable()
    assert line[-1] == "\n"
    assert json.loads(line)["processes"][0] == {"pid": 8, "comm": HOSTILE}


def test_a_page() -> None:
    page = text_page(PAIR, chosen(PAIR, Options()), (), None)
    lines = page.splitlines()
    # the same whether it is of a daemon or of a recording: nothing but what is in the frame
    assert lines[0] == f"ztop {moment_text(PAIR.current.time_ns)}  box  up 0:16  load 0.25 0.50 1.00"
    assert lines[1] == "Tasks 4, 12 threads: 1 running, 0 sleeping, 0 blocked, 0 stopped, 0 zombie"
    assert lines[2].startswith("CPU%  37.5 user, 7.5 system, 7.5 nice, 25.0 idle, ")
    assert lines[2].endswith(" 7.5 steal (mean of 2 CPUs)")
    assert lines[3] == "Mem   16.0G total, 5.0G used, 11.0G available, 6.0G free, 4.0G cached"
    assert lines[4:6] == ["Swap  2.0G total, 1.0G used", ""]
    assert lines[6].split() == [
        "PID",
        "USER",
        "PRI",
        "NI",
        "VIRT",
        "RES",
        "SHR",
        "S",
        "CPU%",
        "MEM%",
        "TIME+",
        "Command",
    ]
    assert lines[7].endswith("a?]52;c;x??b??漢")
    assert lines[8].split()[3:11] == ["-", "100M", "4.0G", "5.0M", "S", "25.0", "25.0", "0:00.50"]
    assert lines[10].endswith(" kworker/0:1")
    # right-aligned columns end where their titles do
    assert {line.index(" S ") for line in lines[6:11]} == {lines[6].index(" S ")}


def test_a_page_on_a_terminal_is_cut() -> None:
    page = text_page(PAIR, chosen(PAIR, Options()), ("comm", "pid", "start_boottime_ns"), 20)
    assert max(map(len, page.splitlines())) == 20
    assert "\x1b" not in page


def test_columns_of_a_page_have_their_units() -> None:
    rows = chosen(PAIR, Options(pids=frozenset({7})))
    wanted = ("rss_bytes", "user_percent", "minor_faults_per_second", "io_read_bytes_per_second", "kernel_thread")
    title, cells = text_page(PAIR, rows, wanted, None).splitlines()[-2:]
    assert title.split() == ["RES", *(name.upper() for name in wanted[1:])]
    assert cells.split() == ["4.0G", "25.0", "0", "-", "no"]


def test_a_machine_of_which_nothing_is_known() -> None:
    bare = Frame(1, 0, 5, "boot", {})
    pair = Pair(bare, replace(bare, boottime_ns=6))
    assert "Mem   - total, - used" in text_page(pair, [], (), None)
    assert json.loads(json_line(pair, []))["processes"] is None


def test_so_many_frames(daemon: FakeDaemon, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    def publish() -> None:
        for seq in (3, 4):
            time.sleep(0.1)
            daemon.publish(machine(seq))

    thread = threading.Thread(target=publish)
    thread.start()
    assert main(["-b", "-n", "3", "--json", "--columns", "pid,cpu_percent", "--socket", path]) == 0
    thread.join()
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["seq"] for line in lines] == [2, 3, 4]
    assert all(line["processes"][0] == {"pid": 8, "cpu_percent": 50.0} for line in lines)
    assert captured.err == ""


def test_pages_are_apart(daemon: FakeDaemon, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    thread = threading.Timer(0.2, lambda: daemon.publish(machine(3)))
    thread.start()
    assert main(["-b", "-n", "2", "--limit", "1", "--socket", path]) == 0
    thread.join()
    first, second = capsys.readouterr().out.split("\n\nztop ")
    assert first.startswith("ztop ")
    assert first.count("\n") == second.count("\n") - 1 == 7


def test_an_interval_that_is_no_whole_tick(daemon: FakeDaemon, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-b", "-n", "1", "-d", "2.6", "--json", "--socket", path]) == 0
    assert capsys.readouterr().err == "ztop: the daemon samples every 1 s: a frame every 3 s instead of every 2.6 s\n"
    assert main(["-b", "-n", "1", "-d", "0.1", "--json", "--socket", path]) == 0
    assert capsys.readouterr().err == "ztop: the daemon samples every 1 s: a frame every 1 s instead of every 0.1 s\n"
    assert main(["-b", "-n", "1", "-d", "3", "--json", "--socket", path]) == 0
    assert capsys.readouterr().err == ""


def test_a_daemon_that_comes_back(daemon: FakeDaemon, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    def restart() -> None:
        daemon.frames = [machine(5), machine(6)]
        daemon.drop()

    timer = threading.Timer(0.3, restart)
    timer.start()
    assert main(["-b", "-n", "2", "--json", "--socket", path]) == 0
    timer.join()
    captured = capsys.readouterr()
    assert [json.loads(line)["seq"] for line in captured.out.splitlines()] == [2, 6]
    assert captured.err.endswith(": reconnecting\n")
    assert captured.err.count("\n") == 1


def ztop(path: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "ztop_client", "-b", "--socket", path, *arguments]


def test_a_closed_pipe_is_no_error(daemon: FakeDaemon, path: str) -> None:
    """Noticed at once, not only when the next frame is written."""
    command = ztop(path, "-d", "60")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("ztop ")
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("redirection", ["/dev/full", "closed"])
def test_an_output_that_takes_nothing(daemon: FakeDaemon, path: str, redirection: str) -> None:
    target = ">&-" if redirection == "closed" else f"> {redirection}"
    shell = ["sh", "-c", f'exec "$@" {target}', "sh", *ztop(path, "-n", "2", "--json")]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr in (
        "ztop: the output cannot be written: No space left on device\n",
        "ztop: there is no standard output to print to\n",
    )


def test_ctrl_c(daemon: FakeDaemon, path: str) -> None:
    # a shell's background job would ignore SIGINT
    code = "import signal, sys, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += f"sys.argv = {['ztop', *ztop(path)[4:]]!r}; runpy.run_module('ztop_client', run_name='__main__')"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("ztop ")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""


def test_an_ascii_locale(daemon: FakeDaemon, path: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(ztop(path, "-n", "1"), capture_output=True, env=environment, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"a?]52;c;x??b???\n" in done.stdout
