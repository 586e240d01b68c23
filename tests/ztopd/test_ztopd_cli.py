"""The command line of ztopd: what it runs, what it prints, with what status it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

import ztopd.cli as cli
import ztopd.sampler.check
import ztopd.sampler.run
from ztop_protocol.schema import SECTIONS
from ztop_protocol.version import VERSION
from ztopd.collectors.source import Roots
from ztopd.configuration import Configuration

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}"}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """What the sampler would have been started with."""
    found: list[tuple[Any, ...]] = []

    def run(configuration: Any, listening: socket.socket | None, private_fd: int | None, *_: object) -> bool:
        found.append((configuration, None if listening is None else listening.getsockname(), private_fd))
        return False

    monkeypatch.setattr(ztopd.sampler.run, "run", run)
    monkeypatch.setattr(cli, "DEFAULT_FILE", str(tmp_path / "default.toml"))
    return found


def status_of(*arguments: str) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as exit:
        return int(exit.code or 0)


def test_options_come_before_the_file_and_the_file_before_the_defaults(
    runs: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    here, there = str(tmp_path / "a.sock"), str(tmp_path / "b.sock")
    (tmp_path / "default.toml").write_text(f'socket = "{here}"\ninterval_seconds = 5\n')
    other = tmp_path / "other.toml"
    other.write_text("interval_seconds = 7\n")
    assert status_of() == 0
    assert status_of("--socket", there, "--interval", "0.5") == 0
    assert status_of("--config", str(other), "--socket", there) == 0
    assert runs == [
        (Configuration(here, 5.0), here, None),
        (Configuration(there, 0.5), there, None),
        (Configuration(there, 7.0), there, None),
    ]
    runs.clear()
    other.write_text("[history]\nstore = '/var/tmp/a'\nage_days = 3\n")
    assert status_of("--config", str(other), "--socket", there) == 0
    assert status_of("--config", str(other), "--socket", there, "--store", "off") == 0
    assert status_of("--config", str(other), "--socket", there, "--store", f"{tmp_path}/x/../b") == 0
    kept = [run[0].history for run in runs]
    assert [one.store for one in kept] == ["/var/tmp/a", "off", f"{tmp_path}/b"]
    assert {one.age_days for one in kept} == {3}
    assert not os.path.exists(here), "the socket is removed at the end"


def test_a_private_daemon_has_no_socket_and_no_system_file(runs: list[tuple[Any, ...]], tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text("wrong = 1")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert status_of("--private-fd", str(theirs.fileno()), "--interval", "2") == 0
        assert runs == [(Configuration(None, 2.0), None, theirs.fileno())]


def test_the_kernel_may_be_mounted_elsewhere(
    runs: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proc, sys_ = tmp_path / "proc", tmp_path / "sys"
    proc.mkdir()
    sys_.mkdir()
    monkeypatch.chdir(tmp_path)
    assert status_of("--socket", str(tmp_path / "a.sock"), "--proc", "proc/", "--sys", str(sys_)) == 0
    checked: list[Any] = []
    monkeypatch.setattr(ztopd.sampler.check, "check", lambda configuration: checked.append(configuration.roots) or [])
    assert status_of("--check", "--proc", str(proc)) == 0
    assert runs[0][0].roots == Roots(str(proc), str(sys_))
    assert checked == [Roots(str(proc), "/sys")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--interval", "0.05"], "from 0.1 to 60 seconds, not 0.05"),
        (["--interval", "61"], "from 0.1 to 60 seconds, not 61"),
        (["--interval", "nan"], "from 0.1 to 60 seconds, not nan"),
        (["--interval", "soon\x1b"], r"not 'soon\x1b'"),
        (["--intervall", "1"], "--intervall"),
        (["more"], "more"),
        (["--json"], "--json goes with --check"),
        (["--store", ""], "a directory or off was expected, not ''"),
        (["--private-fd", "5", "--store", "off"], "--private-fd goes with"),
        (["--private-fd", "5", "--check"], "--private-fd goes with"),
        (["--private-fd", "987654"], "987654 is no open descriptor"),
        (["--proc", "/nonexistent\n"], r"'/nonexistent\n' is no directory"),
        (["--sys", os.devnull], "'/dev/null' is no directory"),
        (["--config", "/nonexistent/z.toml"], "/nonexistent/z.toml cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    runs: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert status_of(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("ztopd: ")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert not runs


def test_a_wrong_file_is_named_with_its_key(
    runs: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "z.toml"
    for content, words in (
        ("colour = 1", "unknown key 'colour'"),
        ("interval_seconds = 100", "interval_seconds: the interval must be"),
        ("group = 'no such group'", "group: there is no group 'no such group'"),
    ):
        file.write_text(content)
        assert status_of("--config", str(file)) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"ztopd: {file}: {words}")
        assert err.count("\n") == 1


def test_a_socket_that_is_refused_is_status_1(
    runs: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert status_of("--socket", str(tmp_path / "file")) == 1
    assert capsys.readouterr().err == f"ztopd: {tmp_path}/file is there already, and is no socket\n"
    assert not runs


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--version") == 0
    assert capsys.readouterr().out == f"ztopd {VERSION}\n"
    assert status_of("--help") == 0
    text = capsys.readouterr().out
    assert "exit status:" in text
    assert "private" not in text


def source(
    name: str, state: str, reason: str | None = None, fix: str | None = None, cost_ns: int | None = None
) -> tuple[Any, ...]:
    cells = {"source": name, "state": state, "reason": reason, "fix": fix, "failures": 0, "cost_ns": cost_ns}
    return tuple(cells.get(column) for column in SECTIONS["sources"].names)


def test_check_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        source("cpus", "ok", cost_ns=1_250_000),
        source("sensors", "absent", "no hwmon\x1b]52;c\x07 \udcff", "modprobe x"),
    ]
    monkeypatch.setattr(ztopd.sampler.check, "check", lambda configuration: rows)
    assert status_of("--check") == 0
    header, cpus, sensors = capsys.readouterr().out.splitlines()
    assert header.split() == ["SOURCE", "STATE", "CPU", "MS", "REASON", "FIX"]
    assert cpus == "cpus     ok        1.25"
    assert sensors == "sensors  absent          no hwmon?]52;c? ?  modprobe x"
    rows.append(source("disks", "degraded"))
    assert status_of("--check") == 1


def test_check_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [source("disks", "degraded", "why\x1b\udcff", "how")]
    monkeypatch.setattr(ztopd.sampler.check, "check", lambda configuration: rows)
    assert status_of("--check", "--json") == 1
    (disks,) = json.loads(capsys.readouterr().out)
    assert (disks["source"], disks["reason"], disks["fix"], disks["cost_ns"]) == ("disks", "why\x1b\udcff", "how", None)


class Daemon:
    """A real one."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        command = [sys.executable, "-P", "-m", "ztopd", "--config", os.devnull, "--interval", "0.2", *arguments]
        if "--socket" in arguments:
            command += ["--store", "off"]
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, **options)

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


def ask(path: Path | socket.socket, method: str, seconds: float = 20) -> Any:
    """One request; tries until there is an answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if isinstance(path, socket.socket):
                return _ask(path, method)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(seconds)
                connection.connect(str(path))
                return _ask(connection, method)
        except (FileNotFoundError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _ask(connection: socket.socket, method: str) -> Any:
    connection.sendall(msgpack.packb([0, 1, method, []]))
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 26)
    while data := connection.recv(1 << 20):
        unpacker.feed(data)
        for message in unpacker:
            assert message[2] is None
            return message[3]
    raise ConnectionResetError


def is_running(pid: int) -> bool:
    """Whether it is there and no zombie: who is left an orphan may never be waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] != b"Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("--socket", str(tmp_path / "z.sock"))
    yield made
    if made.process.returncode is None:
        made.end(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_measures_serves_and_stops(daemon: Daemon, tmp_path: Path, number: int) -> None:
    path = tmp_path / "z.sock"
    answer = ask(path, "top")
    assert answer["seq"] >= 2
    assert answer["sections"]["processes"]["rows"]
    assert ask(path, "status")["sampler_pid"] == daemon.process.pid
    second = Daemon("--socket", str(path))
    assert second.process.wait(20) == 1
    assert second.end(0) == (1, f"ztopd: another ztopd (pid {daemon.process.pid}) serves {path} already\n")
    assert daemon.end(number) == (0, "")
    assert not path.exists()


def test_a_server_that_dies_is_started_again(daemon: Daemon, tmp_path: Path) -> None:
    first = ask(tmp_path / "z.sock", "status")
    os.kill(first["server_pid"], signal.SIGKILL)
    again = ask(tmp_path / "z.sock", "status")
    while again["server_pid"] == first["server_pid"]:
        again = ask(tmp_path / "z.sock", "status")
    assert ask(tmp_path / "z.sock", "snapshot")["seq"] > 1
    status, errors = daemon.end(signal.SIGTERM)
    assert status == 0
    assert "the server process ended with status -9" in errors


def test_what_a_killed_daemon_leaves_is_taken_over(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "z.sock"
    server = ask(path, "status")["server_pid"]
    assert daemon.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert path.exists()
    second = Daemon("--socket", str(path))
    try:
        assert ask(path, "status")["sampler_pid"] == second.process.pid
        assert not is_running(server), "the first one's server ended with it"
    finally:
        assert second.end(signal.SIGTERM) == (0, "")


def test_a_private_daemon_ends_with_its_client() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            daemon = Daemon("--private-fd", str(theirs.fileno()), pass_fds=(theirs.fileno(),))
        ours.settimeout(20)
        assert ask(ours, "hello")["sees"]["all"] is True
        server = ask(ours, "status")["server_pid"]
    _, errors = daemon.process.communicate(timeout=20)
    assert (daemon.process.returncode, errors) == (0, "")
    assert not os.path.exists(f"/proc/{server}")


def test_check_runs_for_real() -> None:
    command = [sys.executable, "-P", "-m", "ztopd", "--check", "--json"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    sources = {row["source"]: row for row in json.loads(done.stdout)}
    assert {"host", "cpus", "memory", "processes"} <= sources.keys()
    assert all(row["reason"] for row in sources.values() if row["state"] != "ok")
    assert done.returncode == any(row["state"] == "degraded" for row in sources.values())
    assert done.stderr == ""


def test_a_reader_of_check_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-P", "-m", "ztopd", "--check"]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) in (0, 1)
