"""What README.md tells people to type works as it stands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon
from tests.end_to_end.sshd import HOST, Sshd
from tests.protocol.recorded_frames import made, record
from tests.ztop_client.fake_daemon import FakeDaemon, memory
from tests.ztop_client.terminal_driver import Driver
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SYSTEM_SOCKET = "/run/ztopd/ztopd.sock"
MODULES = {"ztop": "ztop_client", "ztop-g": "ztop_client.gpu", "ztopd": "ztopd"}


def indented() -> list[str]:
    """The lines of the README's code, without their indentation."""
    return [line[4:] for line in README.splitlines() if line.startswith("    ")]


COMMANDS = [shlex.split(line, comments=True) for line in indented() if re.match(r"(sudo )?ztopd?( |$)", line)]

LOOKING_BACK = [command for command in COMMANDS if {"--at", "--replay"} & set(command) and "--export" not in command]
FINDING = [command for command in COMMANDS if "--find" in command]
OVER_SSH = [command for command in COMMANDS if "--ssh" in command]
KEEPING = [command for command in COMMANDS if {"--record", "--export"} & set(command)]


def run_as_installed(command: list[str]) -> list[str]:
    """The command as it is run from a checkout."""
    name, *arguments = command
    return [sys.executable, "-P", "-m", MODULES[name], *arguments]


@pytest.fixture
def usual(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that is found without being named."""
    monkeypatch.setenv("ZTOP_SOCKET", str(daemon.path))


def test_the_programs_are_what_is_run_here() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {name: f"{module}.cli:main" for name, module in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
def test_version(name: str) -> None:
    done = subprocess.run(run_as_installed([name, "--version"]), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name} {VERSION}\n", "")


def test_every_command_is_tested_here() -> None:
    batch = [command for command in COMMANDS if command[:2] == ["ztop", "-b"]]
    with_path = [command for command in COMMANDS if "--socket" in command]
    found = (batch, with_path, LOOKING_BACK, KEEPING, FINDING, OVER_SSH)
    others = [command for command in COMMANDS if not any(command in those for those in found)]
    assert tuple(map(len, found)) == (4, 2, 4, 4, 1, 2)
    # test_ztopd_cli.py runs a daemon without options, but for the path
    assert sorted(others) == [["sudo", "ztopd"], ["ztop"], ["ztopd", "--check"]]


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c[:2] == ["ztop", "-b"]], ids=shlex.join)
def test_batch(command: list[str]) -> None:
    done = subprocess.run(run_as_installed(command), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    count = int(command[command.index("-n") + 1])
    if "--json" not in command:
        assert done.stdout.startswith("ztop ")
        assert "PID USER" in done.stdout
        return
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == count
    if "--columns" in command:
        names = command[command.index("--columns") + 1].split(",")
        assert all(list(process) == names for process in lines[0]["processes"])
        assert len(lines[0]["processes"]) <= int(command[command.index("--limit") + 1])
    else:
        assert all(line[section] for line in lines for section in ("host", "cpus", "memory", "processes", "sources"))


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize("command", FINDING, ids=shlex.join)
def test_finding(command: list[str]) -> None:
    question = command[command.index("--find") + 1]
    asked = [part.replace(question, "pid >= 1") for part in command]
    for arguments, statuses in ((command, (0, 1)), (asked, (0,))):
        done = subprocess.run(run_as_installed(arguments), capture_output=True, text=True, timeout=30)
        assert done.returncode in statuses, done.stderr
        assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[0].split()[:5] == ["FROM", "TO", "FOR", "PID", "USER"]


@pytest.mark.slow
@pytest.mark.parametrize("command", OVER_SSH, ids=shlex.join)
def test_over_ssh(command: list[str], daemon: Daemon, sshd: Sshd) -> None:
    host = command[command.index("--ssh") + 1]
    there = f"{sshd.user}@{HOST}" if "@" in host else HOST
    arguments = [there if part == host else part for part in command] + ["--socket", str(daemon.path)]
    if "-b" in command:
        environ = {**os.environ, **sshd.environ}
        done = subprocess.run(
            run_as_installed(arguments),
            capture_output=True,
            text=True,
            timeout=30,
            env=environ,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["processes"]
        return
    with Driver(run_as_installed(arguments), 160, 30, sshd.environ) as driver:
        driver.wait(f"ztopd on {there}", 30)
        driver.wait("live")
        driver.send("q")
        assert driver.ended() == 0


@pytest.mark.usefixtures("usual")
def test_the_screen_without_options() -> None:
    assert ["ztop"] in COMMANDS
    with Driver(run_as_installed(["ztop"]), 120, 30, {"ZTOP_SOCKET": os.environ["ZTOP_SOCKET"]}) as driver:
        driver.wait("Command")
        driver.wait("live")
        driver.send("q")
        assert driver.ended() == 0


@pytest.mark.parametrize("command", LOOKING_BACK, ids=shlex.join)
def test_looking_back(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording of ten minutes, and a daemon that remembers a frame of every hour of the last day."""
    writer = RecordingWriter(str(tmp_path / "incident.ztop"), 10**9)
    record(writer, 1, 600)
    writer.close()
    hour_ns = 3600 * 10**9
    since_ns = time.time_ns() - 25 * hour_ns
    hourly = [
        replace(made(seq), time_ns=since_ns + seq * hour_ns, boottime_ns=(100 + seq) * hour_ns) for seq in range(26)
    ]
    monkeypatch.setenv("ZTOP_SOCKET", str(tmp_path / "socket"))
    arguments = [str(tmp_path / part) if part.endswith(".ztop") else part for part in command]
    with FakeDaemon(hourly, path=str(tmp_path / "socket")) as daemon:
        daemon.answers |= memory(hourly)
        daemon.in_background()
        if "-b" not in command:
            with Driver(run_as_installed(arguments), 120, 30, dict(os.environ)) as driver:
                driver.wait("recorded" if "--replay" in command else "REWOUND")
                assert "live" not in driver.screen.display[0]
                driver.send("q")
                assert driver.ended() == 0
            return
        done = subprocess.run(run_as_installed(arguments), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    if "--replay" in command:
        assert done.stderr == ""
        assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == list(range(300, 601))
    else:
        assert "before what was asked for" in done.stderr
        assert len(done.stdout.splitlines()) == 7 + int(command[command.index("--limit") + 1])


@pytest.mark.usefixtures("usual")
def test_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The recordings and tables in their order, then what is made of them."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["PYTHONPATH"] = f"{ROOT}:{ROOT}/protocol"
    monkeypatch.chdir(tmp_path)
    screen, *others = KEEPING
    in_terminal = [part if part != "session.ztop" else str(tmp_path / part) for part in run_as_installed(screen)]
    with Driver(in_terminal, 120, 30, {"ZTOP_SOCKET": os.environ["ZTOP_SOCKET"]}) as driver:
        driver.wait(" REC ")
        driver.wait("live")
        driver.send("q")
        assert driver.ended() == 0
    for command in others:
        typed = shlex.join(run_as_installed(command)).replace("'>'", ">").replace(" 1m ", " 1s ")
        done = subprocess.run(typed, shell=True, env=environ, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr
    assert sorted(os.listdir(tmp_path)) == ["cpus.csv", "incident.ztop", "last_hour.parquet", "session.ztop"]
    blocks = re.findall(r"^    import (?:duckdb|pandas)\n(?:    .*\n)*", README, re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(textwrap.dedent(block), "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "max(cpu_percent)" in printed
    assert "root" in printed or "count" in printed


def test_a_daemon_of_ones_own_and_its_screen(folder: Path) -> None:
    (start,) = (command for command in COMMANDS if command[0] == "ztopd" and "--socket" in command)
    (show,) = (command for command in COMMANDS if command[0] == "ztop" and "--socket" in command)
    path = start[start.index("--socket") + 1]
    assert path == show[show.index("--socket") + 1]
    here = str(folder / "my.sock")
    environment = os.environ | {"STATE_DIRECTORY": str(folder / "state")}
    with subprocess.Popen(run_as_installed([part.replace(path, here) for part in start]), env=environment) as daemon:
        try:
            deadline = time.monotonic() + 20
            while not os.path.exists(here):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            with Driver(run_as_installed([part.replace(path, here) for part in show]), 120, 30) as driver:
                driver.wait(f"ztopd {here}")
                driver.wait("live")
                driver.send("q")
                assert driver.ended() == 0
        finally:
            daemon.terminate()
    assert daemon.returncode == 0


def test_check() -> None:
    assert ["ztopd", "--check"] in COMMANDS
    done = subprocess.run(run_as_installed(["ztopd", "--check"]), capture_output=True, text=True, timeout=30)
    assert done.stdout.split()[:6] == ["SOURCE", "STATE", "CPU", "MS", "REASON", "FIX"]
    assert done.returncode in (0, 1)
    assert done.stderr == ""


@pytest.mark.usefixtures("usual")
def test_the_python_snippet(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^    import ztop_client\n(?:    .*\n|\n)*", README, re.MULTILINE)
    exec(compile(textwrap.dedent(block), "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 5
    sizes = [int(line.split()[-1]) for line in printed]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0


@pytest.mark.skipif(shutil.which("nvim") is None, reason="there is no nvim")
def test_the_neovim_snippet(daemon: Daemon) -> None:
    typed = [line.removeprefix(":") for line in indented() if line.startswith(":lua ")]
    assert len(typed) == 2
    assert SYSTEM_SOCKET in typed[0]
    commands = [line.replace(SYSTEM_SOCKET, str(daemon.path)) for line in typed]
    arguments = [part for line in commands for part in ("-c", line)]
    done = subprocess.run(
        ["nvim", "--headless", "-u", "NONE", "-i", "NONE", *arguments, "-c", "qa!"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    answer = done.stdout + done.stderr
    assert done.returncode == 0
    assert "Error" not in answer
    for name in ("comm", "cpu_percent", "sections", "seq"):
        assert name in answer
