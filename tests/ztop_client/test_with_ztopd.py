"""The client against the real daemon: end to end."""

import json
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import ztop_client
from ztop_client import DaemonUnreachable, connect
from ztop_client import locate as locate_module
from ztop_client.cli import main
from ztop_client.json_lines import SECTION_NAMES, names
from ztop_client.sources.live import LiveSource
from ztop_client.sources.private import PrivateDaemon
from ztop_protocol.processes import COLUMNS
from ztop_protocol.schema import THREADS

ROOT = Path(__file__).resolve().parents[2]
BUSY = "import sys\nsys.stdout.write('r'); sys.stdout.flush()\nwhile True: pass"


def start_daemon(path: Path, interval: float = 0.25) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "ztopd", "--socket", str(path), "--interval", str(interval)]
    command += ["--store", "off"]
    daemon = subprocess.Popen(command, cwd=path.parent)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            connect(str(path)).close()
        except DaemonUnreachable:
            assert daemon.poll() is None
            time.sleep(0.02)
        else:
            return daemon
    raise AssertionError("ztopd does not answer")


def stop(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.terminate()
    daemon.wait(10)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    # what a socket lies in must belong to its owner alone
    tmp_path.chmod(0o700)
    daemon = start_daemon(tmp_path / "ztopd.sock")
    yield tmp_path / "ztopd.sock"
    stop(daemon)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No daemon is to be found."""
    monkeypatch.delenv("ZTOP_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(locate_module, "SYSTEM_SOCKET", str(tmp_path / "none"))


def ztop(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "ztop_client", "-b", *map(str, arguments)]


def test_json_of_a_real_machine(path: Path) -> None:
    done = subprocess.run(ztop("-n", 3, "-d", 0.25, "--json", "--socket", path), capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 3
    assert [line["seq"] - lines[0]["seq"] for line in lines] == [0, 1, 2]
    for line in lines:
        assert list(line) == ["seq", "time_ns", "boottime_ns", "boot_id", *SECTION_NAMES]
        assert tuple(line["host"]) == names("host")
        assert line["host"]["context_switches_per_second"] > 0
        assert line["memory"]["total_bytes"] == psutil.virtual_memory().total
        assert len(line["cpus"]) == psutil.cpu_count()
        assert all(tuple(one) == COLUMNS for one in line["processes"])
        me = next(one for one in line["processes"] if one["pid"] == os.getpid())
        assert me["effective_uid"] == os.geteuid()
        assert me["ppid"] == os.getppid()
        assert me["cpu_percent"] is not None
        assert {one["state"] for one in line["sources"]} <= {"ok", "degraded", "absent"}


def test_a_page_of_a_real_machine(path: Path) -> None:
    done = subprocess.run(
        ztop("-n", 1, "-p", os.getpid(), "--socket", path), capture_output=True, text=True, timeout=30
    )
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"ztop [0-9-]{10} [0-9:]{8}  .*  up .*  load [0-9.]+ [0-9.]+ [0-9.]+", lines[0])
    assert re.fullmatch(r"CPU%  [0-9.]+ user, .* \(mean of [0-9]+ CPUs\)", lines[2])
    assert lines[-1].split()[0] == str(os.getpid())
    assert len(lines) == 8


def test_a_busy_loop_beside_psutil(path: Path) -> None:
    """Both over the same seconds; psutil reads when a line arrives, a moment after the daemon did."""
    busy = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    batch = subprocess.Popen(
        ztop("-n", 5, "-d", 1, "--json", "-p", busy.pid, "--columns", "pid,cpu_percent", "--socket", path),
        stdout=subprocess.PIPE,
    )
    with busy, batch:
        assert busy.stdout is not None
        assert batch.stdout is not None
        assert busy.stdout.read(1) == b"r"
        process = psutil.Process(busy.pid)
        process.cpu_percent()
        differences = []
        for line in batch.stdout:
            theirs = process.cpu_percent()
            ours = json.loads(line)["processes"]
            differences.append(abs(ours[0]["cpu_percent"] - theirs) if ours else None)
        busy.kill()
    # the first line is of what was before; the second of a second that psutil saw whole
    seen = [one for one in differences[2:] if one is not None]
    assert len(seen) == 3
    assert statistics.median(seen) <= 3


def test_a_pipe_that_closes(path: Path) -> None:
    shell = ["sh", "-c", 'exec 3>&1; { "$@"; echo "status $?" >&3; } | head -n 1', "sh", *ztop("--socket", path)]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("ztop ")
    assert "status 0" in done.stdout


def test_a_daemon_killed_and_started_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "ztopd.sock"
    daemon = start_daemon(path)
    command = ztop("--json", "-d", 0.25, "--columns", "pid", "--limit", 1, "--socket", path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch:
        assert batch.stdout is not None
        assert batch.stderr is not None
        before = json.loads(batch.stdout.readline())
        daemon.kill()
        daemon.wait()
        said = batch.stderr.readline()
        daemon = start_daemon(path)
        # what was still in the pipe is of the first daemon; its frames ended before the second began
        while (after := json.loads(batch.stdout.readline()))["boottime_ns"] < before["boottime_ns"] + 500_000_000:
            pass
        batch.terminate()
        batch.wait(10)
    stop(daemon)
    assert said.startswith("ztop: ")
    assert said.endswith(": reconnecting\n")
    assert after["boot_id"] == before["boot_id"]
    assert after["host"]["context_switches_per_second"] > 0


@pytest.mark.usefixtures("alone")
def test_private_batch(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert main(["-b", "-n", "2", "-d", "0.3", "--limit", "1"]) == 0
    assert time.monotonic() - started < 10
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\nTasks ") == 2


@pytest.mark.usefixtures("alone")
def test_the_api_with_a_private_daemon() -> None:
    with connect(interval_seconds=0.2) as session:
        assert session.title == "private ztopd"
        assert session.hello()["interval_ns"] == 200_000_000
        assert session.top(limit=3, sort="rss_bytes", columns=["comm"])[0].keys() == {
            "pid",
            "start_boottime_ns",
            "comm",
        }
        threads = session.threads(os.getpid())
        assert {one["tid"] for one in threads} >= {os.getpid()}
        assert all(tuple(one) == THREADS.names for one in threads)
        snapshot = session.snapshot(["memory"])
        assert list(snapshot.sections) == ["memory"]
        frames = session.frames()
        seqs = [next(frames).seq for _ in range(4)]
        assert seqs == list(range(seqs[0], seqs[0] + 4))
        assert session.status()["subscriptions"] == 1
        frames.close()  # type: ignore[attr-defined]
        assert session.status()["subscriptions"] == 0
        me = session.top(filter={"pid": os.getpid()})
        assert [one["pid"] for one in me] == [os.getpid()]


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.usefixtures("alone")
def test_a_private_daemon_ends_with_its_client() -> None:
    code = (
        "import ztop_client, time; s = ztop_client.connect(); s.snapshot(); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, env=os.environ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        family = descendants(client.pid)
        if not family:
            pytest.skip("a daemon of the system runs here: there is no private one")
        client.kill()
    _, alive = psutil.wait_procs(family, 10)
    assert alive == []


def wait_for_frame(source: LiveSource, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        source.maintain()
        descriptor = source.fileno()
        if descriptor is None:
            time.sleep(0.05)
        elif select.select([descriptor], [], [], 0.2)[0] and source.receive():
            return True
    return False


def test_a_private_daemon_that_dies_is_started_again() -> None:
    source = LiveSource(PrivateDaemon(0.2))
    try:
        assert wait_for_frame(source)
        for process in descendants(os.getpid()):
            if "--private-fd" in process.cmdline() and "ztopd" in process.cmdline():
                process.send_signal(signal.SIGKILL)
        while source.fileno() is not None:
            select.select([source.fileno()], [], [], 5)
            source.receive()
        assert source.status().reason == "the private ztopd was killed by signal 9"
        assert wait_for_frame(source)
        assert source.status().live
    finally:
        source.close()
    assert [one for one in descendants(os.getpid()) if "--private-fd" in one.cmdline()] == []


@pytest.mark.usefixtures("alone")
def test_a_private_daemon_that_cannot_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = tmp_path / "ztopd"
    broken.mkdir()
    (broken / "__init__.py").write_text("")
    (broken / "__main__.py").write_text("import sys; sys.exit('first\\nno luck\\x1b[31m today')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    assert main(["-b"]) == 1
    sentence = "the private ztopd ended with status 1: no luck?[31m today"
    assert capsys.readouterr().err == f"ztop: {sentence}\n"
    with connect() as session, pytest.raises(DaemonUnreachable, match=re.escape(sentence)):
        session.ping()


@pytest.mark.usefixtures("alone")
def test_relative_entries_of_pythonpath_outlive_a_chdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", ".:protocol::")
    daemon = PrivateDaemon(0.2)
    monkeypatch.chdir(tmp_path)
    with ztop_client.Session(daemon) as session:
        assert session.snapshot(["host"]).cell("host", "uptime_ns") is not None


def examples() -> list[str]:
    page = (ROOT / "docs" / "python-api.md").read_text()
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def run_example(number: int) -> None:
    exec(compile(examples()[number], "docs/python-api.md", "exec"), {})


def test_every_documented_example_is_run_here() -> None:
    assert len(examples()) == 2


def test_the_documented_example(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZTOP_SOCKET", str(path))
    run_example(0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + (psutil.cpu_count() or 0)
    assert all(re.fullmatch(r"\d+ '.*' \d+", line) for line in lines[:3])
    assert all(re.fullmatch(r"CPU \d+: [0-9.]+ % busy", line) for line in lines[3:])


def test_the_documented_example_of_the_past(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("ZTOP_SOCKET", str(path))
    monkeypatch.chdir(tmp_path)
    assert main(["-b", "-d", "0.25", "-n", "4", "--record", "incident.ztop"]) == 0
    capsys.readouterr()
    run_example(1)
    lines = capsys.readouterr().out.splitlines()
    # it has run for less than the time that is asked for
    assert "remember" in lines[0] or "oldest" in lines[0]
    assert re.fullmatch(r"'.*' (None|[0-9.]+) % [0-9.]+ s before what was asked for", lines[1])
    assert len(lines) > 8
    assert all(re.fullmatch(r"\d+ \d+", line) for line in lines[-8:])


def test_the_documented_names_are_those_of_the_schema() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "batch-tables", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_neither_batch_nor_api_import_what_the_screen_needs() -> None:
    code = "import sys, ztop_client, ztop_client.batch, ztop_client.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"urwid", "psutil", "asyncio", "subprocess", "wcwidth", "ztop_client.app", "ztopd"} & set(loaded)
