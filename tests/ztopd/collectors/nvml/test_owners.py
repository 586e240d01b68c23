"""Whose a pid of NVML's is, on the machine itself and in a container."""

import os
from pathlib import Path

import pytest

from ztopd.collectors.nvml.owners import Owner, Owners
from ztopd.collectors.process_stat import TICK_NS
from ztopd.collectors.source import Roots

STRANGER = 4711


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc of the first namespace, with one process."""
    add(tmp_path, 2, "kthreadd", 0x00200000)
    add(tmp_path, STRANGER, "python3", 0)
    return tmp_path


def add(proc: Path, pid: int, comm: str, flags: int, start: int = 500) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    rest = f"S 0 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0 " + "0 " * 30
    (proc / str(pid) / "stat").write_text(f"{pid} ({comm}) {rest}\n")


def test_on_the_machine_every_pid_is_what_it_is(proc: Path) -> None:
    owners = Owners(Roots(str(proc)))
    assert owners.owner(STRANGER) == Owner(500 * TICK_NS, os.geteuid(), False)
    assert owners.owner(9999) == Owner(None, None, False), "it ended, and may hold memory all the same"


def test_in_a_container_a_number_proves_nothing(proc: Path) -> None:
    (proc / "2" / "stat").write_text((proc / "2" / "stat").read_text().replace("kthreadd", "bash"))
    owners = Owners(Roots(str(proc)))
    assert owners.owner(STRANGER) == Owner(None, None, True)
    assert owners.owner(9999) == Owner(None, None, True)


@pytest.mark.parametrize("target", ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/dxg"])
def test_in_a_container_a_file_of_the_drivers_does(proc: Path, target: str) -> None:
    (proc / "2" / "stat").unlink()
    (proc / str(STRANGER) / "fd" / "3").symlink_to("/tmp/nvidia0.log")
    (proc / str(STRANGER) / "fd" / "4").symlink_to(target)
    assert Owners(Roots(str(proc))).owner(STRANGER) == Owner(500 * TICK_NS, os.geteuid(), False)


def test_another_life_of_the_pid_is_asked_anew(proc: Path) -> None:
    (proc / "2" / "stat").unlink()
    link = proc / str(STRANGER) / "fd" / "4"
    link.symlink_to("/dev/nvidia0")
    owners = Owners(Roots(str(proc)))
    assert not owners.owner(STRANGER).foreign
    link.unlink()
    stat = proc / str(STRANGER) / "stat"
    stat.write_text(stat.read_text().replace(" 500 ", " 600 "))
    assert owners.owner(STRANGER).foreign
    owners.forget_others(set())
    assert owners.owner(STRANGER).foreign
