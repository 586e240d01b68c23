"""ztop-g against a real ztopd: on this machine, and over the stand-in for NVIDIA's library."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon, frame_where
from tests.nvml.stand_in import GIB, MIB, StandIn, growing, uuid
from tests.ztop_client.terminal_driver import Driver

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    shlex.split(line, comments=True)
    for line in (ROOT / "README.md").read_text().splitlines()
    if re.match(r"    ztop-g( |$)", line)
]

Start = Callable[..., Daemon]


@pytest.fixture
def nvml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Two GPUs of which one loses 200 MiB a second to this process."""
    stand_in = StandIn(folder / "nvml")
    stand_in.add_gpu()
    stand_in.add_gpu()
    stand_in.set("0", used=growing(12 * GIB, 200 * MIB))
    stand_in.set_process("0", os.getpid(), used=growing(4 * GIB, 200 * MIB), samples="70 20 1 2")
    stand_in.write()
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    return stand_in


def ztop_g(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "ztop_client.gpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_time_that_is_left_reaches_a_script(nvml: StandIn, start: Start) -> None:
    daemon = start()
    with daemon.session() as session:
        mine = (uuid("0"), os.getpid())
        frame_where(session, lambda frame: frame.cell("gpu_processes", "oom_share_percent", mine) is not None)
    result = ztop_g("-b", "-n", "1", "--json", "--socket", str(daemon.path))
    assert (result.returncode, result.stderr) == (0, "")
    line = json.loads(result.stdout)
    first, second = line["gpus"]
    assert first["vram_velocity_bytes_per_second"] == pytest.approx(200 * MIB, rel=0.05)
    assert first["oom_eta_seconds"] == pytest.approx(first["memory_free_bytes"] / (200 * MIB), rel=0.1)
    assert second["oom_eta_seconds"] is None
    (process,) = line["gpu_processes"]
    assert (process["gpu_index"], process["pid"], process["oom_share_percent"]) == (
        "0",
        os.getpid(),
        pytest.approx(100, abs=0.01),
    )
    assert process["comm"] == Path("/proc/self/comm").read_text().strip()
    assert process["rss_bytes"] > MIB


@pytest.mark.parametrize("command", COMMANDS, ids=shlex.join)
def test_what_the_readme_says(command: list[str], nvml: StandIn, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = start()
    monkeypatch.setenv("ZTOP_SOCKET", str(daemon.path))
    arguments = command[1:]
    if "--ssh" in arguments:
        # test_ssh.py has an sshd; here it is this machine's
        place = arguments.index("--ssh")
        arguments[place : place + 2] = ["--socket", str(daemon.path)]
    if "-b" in arguments:
        result = ztop_g(*arguments)
        assert (result.returncode, result.stderr) == (0, "")
        assert len(json.loads(result.stdout)["gpus"]) == 2
        return
    environ = {"ZTOP_SOCKET": str(daemon.path), "XDG_CONFIG_HOME": str(daemon.path.parent)}
    with Driver([sys.executable, "-P", "-m", "ztop_client.gpu", *arguments], 100, 30, environ) as driver:
        driver.wait("NVIDIA A100-SXM4-80GB")
        driver.wait(f" {os.getpid()} ")
        driver.send("q")
        assert driver.ended() == 0


def test_a_gpu_that_is_lost_and_comes_back_is_seen_to_be(nvml: StandIn, start: Start) -> None:
    daemon = start()
    environ = {"ZTOP_SOCKET": str(daemon.path), "XDG_CONFIG_HOME": str(daemon.path.parent)}
    with Driver([sys.executable, "-P", "-m", "ztop_client.gpu"], 100, 30, environ) as driver:
        driver.wait("NVIDIA A100-SXM4-80GB")
        nvml.set("1", lost=15)
        nvml.write()
        driver.wait(" LOST")
        nvml.unset("1", "lost")
        nvml.write()
        driver.wait(lambda: "LOST" not in driver.text and driver.text.count("NVIDIA A100") == 2)


def test_without_a_gpu_it_says_why(daemon: Daemon) -> None:
    """On a machine with a GPU this has nothing to say."""
    with daemon.session() as session:
        frame = frame_where(session, lambda frame: ("gpus",) in frame.rows("sources"))
        if frame.rows("gpus"):
            pytest.skip("this machine has a GPU")
    began = time.monotonic()
    result = ztop_g("-b", "--socket", str(daemon.path))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("ztop-g: There is no GPU to be shown: ") and result.stderr.count("\n") == 1
    assert time.monotonic() - began < 50, "it does not wait for one"
