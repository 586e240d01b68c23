"""Recordings and exports of a real ztopd, by the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas
import psutil
import pytest

from tests.end_to_end.real_daemon import SECONDS, Daemon, needs_root, until
from tests.ztop_client.terminal_driver import Driver
from ztop_client import RecordingError, open_recording
from ztop_client.batch import chosen
from ztop_client.json_lines import json_line
from ztop_client.options import Options
from ztop_protocol.schema import SECTIONS

ZTOP = (sys.executable, "-P", "-W", "error", "-m", "ztop_client")


def ztop(daemon: Daemon, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*ZTOP, "--socket", str(daemon.path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 10)


def numbers(path: Path) -> list[int]:
    with open_recording(str(path)) as recording:
        assert not recording.notes
        return [frame.seq for frame in recording.frames(["host"])]


def assert_whole(path: Path, at_least: int) -> None:
    """Every frame from the first to the last is there."""
    found = numbers(path)
    assert found == list(range(found[0], found[0] + len(found)))
    assert len(found) >= at_least


def test_what_is_printed_live_is_what_is_printed_again(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ztop"
    live = ztop(daemon, "-b", "--json", "-d", 0.2, "-n", 20, "--record", path)
    assert (live.returncode, live.stderr) == (0, "")
    again = subprocess.run(
        [*ZTOP, "-b", "--json", "--replay", str(path)], capture_output=True, text=True, timeout=SECONDS
    )
    assert (again.returncode, again.stderr) == (0, "")
    printed, replayed = live.stdout.splitlines(), again.stdout.splitlines()
    assert len(printed) == 20
    # on a busy machine a frame may have been recorded that was not printed, or came after the last one
    assert [line for line in replayed if line in printed] == printed
    assert json.loads(printed[0])["processes"]
    with open_recording(str(path)) as recording:
        made = [json_line(pair, chosen(pair, Options())).rstrip("\n") for pair in recording.pairs()]
    assert made == replayed
    assert_whole(path, 21)


def test_every_frame_is_kept_whatever_is_shown(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ztop"
    done = ztop(daemon, "-b", "--json", "-d", 1, "--record", path, "--duration", "3s")
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(path, 14)
    shown = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
    assert 3 <= len(shown) <= 6
    with open_recording(str(path)) as recording:
        assert {"filesystems", "process_io", "cgroups"} <= next(recording.frames(since="-1s")).sections.keys()


def test_a_reader_that_stands_still_costs_no_frame(start: Callable[..., Daemon], tmp_path: Path) -> None:
    path, daemon = tmp_path / "x.ztop", start(interval=0.1)
    command = [*ZTOP, "--socket", str(daemon.path), "-b", "--json", "-d", "0.1", "--record", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        until(lambda: readable(path) >= 60, "as many frames as no buffer holds", 60)
        child.send_signal(signal.SIGTERM)
        assert child.wait(SECONDS) == 128 + signal.SIGTERM
        assert child.stderr.read() == b""
    assert_whole(path, 60)
    assert sorted(os.listdir(tmp_path)) == [path.name]


def readable(path: Path) -> int:
    """The frames in a recording that is being written; at first there are none."""
    try:
        with open_recording(str(path)) as recording:
            return len(list(recording.frames(["host"])))
    except RecordingError:
        return 0


def test_the_incident_file(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ztop"
    begun_ns = time.time_ns()

    def newest_ns() -> int:
        with daemon.session() as session:
            return session.snapshot(["host"]).time_ns

    until(lambda: newest_ns() > begun_ns + 2 * 10**9, "two seconds to be remembered")
    done = ztop(daemon, "-b", "--record", path, "--from", f"@{begun_ns / 1e9:.3f}", "--duration", "1s")
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(path, 14)
    with open_recording(str(path)) as recording:
        assert abs(recording.first_ns - begun_ns) < 10**9
        assert recording.last_ns > begun_ns + 2 * 10**9
    only = tmp_path / "only.ztop"
    assert ztop(daemon, "-b", "--record", only, "--from", "-10m", "--duration", "0s").stdout == ""
    assert_whole(only, 14)
    # and it goes on in the same file
    before = numbers(path)
    assert ztop(daemon, "-b", "--record", path, "-n", 1).returncode == 0
    assert numbers(path)[: len(before)] == before


def test_the_screen_says_that_it_records(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ztop"
    command = [*ZTOP, "--socket", str(daemon.path), "-d", "1", "--record", str(path), "--duration", "2s"]
    with Driver(command, 160, 30) as driver:
        driver.wait(" REC ")
        driver.wait("x.ztop is complete")
        driver.wait("live")
        driver.send("q")
        assert driver.ended() == 0
    assert_whole(path, 9)
    before = numbers(path)
    with Driver([*ZTOP, "--socket", str(daemon.path), "--record", str(path)], 160, 30) as driver:
        driver.wait(" REC ")
        driver.send("q")
        assert driver.ended() == 0
    assert numbers(path)[: len(before)] == before


@needs_root
def test_a_full_disk(daemon: Daemon, tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    mount = f"mount -t tmpfs -o size=128k none {tmp_path} 2>/dev/null || exit 77"
    command = f"{mount}; exec {' '.join(ZTOP)} --socket {daemon.path} -b --json -d 0.2 -n 50 --record {tmp_path}/x.ztop"
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=60)
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip("nothing may be mounted here")
    assert done.stderr == f"ztop: recording to {tmp_path}/x.ztop stopped: database or disk is full\n"
    assert done.returncode == 1
    # what is shown goes on
    assert len(done.stdout.splitlines()) == 50


BUSY = """
import time
kept = bytearray(b"x") * (64 << 20)
print("ready", flush=True)
end = time.monotonic() + 2.5
while time.monotonic() < end:
    pass
input()
"""


@pytest.mark.parametrize("kind", [".parquet", ".csv", ".jsonl"])
def test_duckdb_and_pandas_agree_with_psutil(daemon: Daemon, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"out{kind}"
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        process = psutil.Process(child.pid)
        measured: list[tuple[int, float, int]] = []
        for _ in range(8):
            time.sleep(0.3)
            before_ns = time.time_ns()
            times, memory = process.cpu_times(), process.memory_info()
            measured.append(((before_ns + time.time_ns()) // 2, times.user + times.system, memory.rss))

        def is_kept() -> bool:
            with daemon.session() as session:
                return session.snapshot(["host"]).time_ns > measured[-1][0] + 10**9

        until(is_kept, "a frame after the last measurement")
        done = ztop(daemon, "--export", out, "--from", "-1m")
        assert (done.returncode, done.stderr) == (0, "")
        child.communicate(b"\n")
    found = duckdb.sql(
        f"select time_ns, (user_time_ns + system_time_ns) / 1e9, rss_bytes, cpu_percent from '{out}' "
        f"where pid = {child.pid} order by seq"
    ).fetchall()
    for moment_ns, seconds, rss_bytes in measured:
        before = max(row for row in found if row[0] <= moment_ns)
        after = min(row for row in found if row[0] >= moment_ns)
        assert before[1] - 0.1 <= seconds <= after[1] + 0.1
        assert before[2] == pytest.approx(rss_bytes, rel=0.03)
    read: dict[str, Callable[[], pandas.DataFrame]] = {
        ".parquet": lambda: pandas.read_parquet(out),
        ".csv": lambda: pandas.read_csv(out),
        ".jsonl": lambda: pandas.read_json(out, lines=True),
    }
    table = read[kind]()
    mine = table[table["pid"] == child.pid].sort_values("seq")
    assert list(mine["time_ns"]) == [row[0] for row in found]
    assert list(mine["rss_bytes"]) == [row[2] for row in found]
    assert mine["cpu_percent"].max() == pytest.approx(max(row[3] or 0 for row in found))
    assert mine["cpu_percent"].max() > 5


def test_cells_are_of_the_types_that_the_schema_says(daemon: Daemon) -> None:
    wrong = set()
    # a process on a terminal has a cell that others have not
    with Driver([sys.executable, "-c", "print('ready'); input()"], 80, 24) as driver, daemon.session() as session:
        driver.wait("ready")
        begun_ns = time.time_ns()
        for frame in session.frames(sections=list(SECTIONS)):
            for name, section in frame.sections.items():
                for row in section.rows.values():
                    cells = zip(SECTIONS[name].columns, row, strict=True)
                    wrong |= {
                        (name, one.name) for one, cell in cells if cell is not None and type(cell) is not one.type
                    }
            if frame.time_ns > begun_ns + 3 * 10**9:
                break
        assert any(row[SECTIONS["processes"].position["tty"]] for row in frame.rows("processes").values())
    assert wrong == set()
