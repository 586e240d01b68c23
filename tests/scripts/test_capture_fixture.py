"""scripts/capture-fixture on the machine that runs the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ztopd.collectors.cpus import Cpus
from ztopd.collectors.host import Host, read_boot_id
from ztopd.collectors.memory import Memory
from ztopd.collectors.source import Roots

SCRIPT = Path(__file__).parents[2] / "scripts" / "capture-fixture"


def capture(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captured")
    done = capture("somewhere", f"--into={folder}", "--processes=3", f"--pid={os.getpid()}", "--replace=meminfo=memory")
    assert done.returncode == 0, done.stderr
    return folder / "somewhere"


def test_what_was_captured_is_a_machine_to_the_collectors(captured: Path) -> None:
    roots = Roots(str(captured / "proc"), str(captured / "sys"))
    live = Roots()
    assert list(Cpus(roots).collect().sections["cpus"]) == list(Cpus(live).collect().sections["cpus"])
    sample = Host(roots, lambda: None).collect()
    assert sample.problem is None
    assert sample.sections["host"][()][:3] == ("somewhere", os.uname().release, os.uname().machine)


def test_names_and_contents_are_replaced(captured: Path) -> None:
    assert not (captured / "proc/meminfo").exists()
    (captured / "proc/meminfo").symlink_to("memory")
    roots = Roots(str(captured / "proc"), str(captured / "sys"))
    assert Memory(roots).collect().sections["memory"][()][0] == Memory(Roots()).collect().sections["memory"][()][0]


def test_nothing_tells_whose_machine_it_was(captured: Path) -> None:
    roots = Roots(str(captured / "proc"), str(captured / "sys"))
    assert read_boot_id(roots) != read_boot_id(Roots())
    process = captured / f"proc/{os.getpid()}"
    assert (process / "cmdline").read_bytes().count(b"\0") == 1
    assert {path.name for path in process.iterdir()} <= {
        *("stat", "status", "cmdline", "comm", "cgroup", "oom_score", "io", "exe", "task"),
    }


def test_a_replacement_without_a_sign_is_refused(tmp_path: Path) -> None:
    done = capture("somewhere", f"--into={tmp_path}", "--replace=abc")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "capture-fixture: error: --replace takes OLD=NEW")
    assert list(tmp_path.iterdir()) == []
