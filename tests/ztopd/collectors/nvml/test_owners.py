"""Whose a pid of NVML's is, on the machine itself and in a container."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ztopd.collectors.nvml.owners import ASKED_AGAIN_NS, Owner, Owners
from ztopd.collectors.process_entry import Process
from ztopd.collectors.process_stat import TICK_NS, parse_stat
from ztopd.collectors.source import Roots

STRANGER = 4711


@dataclass
class Scan:
    """What the scan of the processes tells."""

    that_ran: list[Process] = field(default_factory=list)
    that_ended: list[Process] = field(default_factory=list)

    def ran(self) -> list[Process]:
        return self.that_ran

    def ended(self) -> list[Process]:
        return self.that_ended


def owner(owners: Owners, pid: int) -> Owner:
    return owners.of({pid})[pid]


def process(proc: Path, pid: int, owner_uid: int) -> Process:
    data = (proc / str(pid) / "stat").read_bytes()
    return Process(pid, data, parse_stat(data), owner_uid)


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
    owners = Owners(Roots(str(proc)), Scan())
    assert owner(owners, STRANGER) == Owner(500 * TICK_NS, os.geteuid(), False)
    assert owner(owners, 9999) == Owner(None, None, False), "it ended, and may hold memory all the same"


def test_in_a_container_a_number_proves_nothing(proc: Path) -> None:
    (proc / "2" / "stat").write_text((proc / "2" / "stat").read_text().replace("kthreadd", "bash"))
    owners = Owners(Roots(str(proc)), Scan())
    assert owner(owners, STRANGER) == Owner(None, None, True)
    assert owner(owners, 9999) == Owner(None, None, True)


@pytest.mark.parametrize("target", ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/dxg"])
def test_in_a_container_a_file_of_the_drivers_does(proc: Path, target: str) -> None:
    (proc / "2" / "stat").unlink()
    (proc / str(STRANGER) / "fd" / "3").symlink_to("/tmp/nvidia0.log")
    (proc / str(STRANGER) / "fd" / "4").symlink_to(target)
    assert owner(Owners(Roots(str(proc)), Scan()), STRANGER) == Owner(500 * TICK_NS, os.geteuid(), False)


def test_another_life_of_the_pid_is_asked_anew(proc: Path) -> None:
    (proc / "2" / "stat").unlink()
    link = proc / str(STRANGER) / "fd" / "4"
    link.symlink_to("/dev/nvidia0")
    scan = Scan()
    owners = Owners(Roots(str(proc)), scan)
    assert not owner(owners, STRANGER).foreign
    link.unlink()
    scan.that_ended = [process(proc, STRANGER, os.geteuid())]
    stat = proc / str(STRANGER) / "stat"
    stat.write_text(stat.read_text().replace(" 500 ", " 600 "))
    assert owner(owners, STRANGER).foreign


def test_what_neither_ran_nor_ended_is_not_read_again(proc: Path) -> None:
    scan = Scan()
    owners = Owners(Roots(str(proc)), scan)
    before = owner(owners, STRANGER)
    stat = proc / str(STRANGER) / "stat"
    stat.write_text("nonsense")
    assert owner(owners, STRANGER) == before
    stat.unlink()
    add(proc, 7, "setuid", 0, start=500)
    scan.that_ran = [process(proc, 7, 1234)]
    scan.that_ran[0].pid = STRANGER
    assert owner(owners, STRANGER) == Owner(500 * TICK_NS, 1234, False), "it became another's"
    scan.that_ran, scan.that_ended = [], scan.that_ran
    assert owner(owners, STRANGER) == Owner(None, None, False), "it is gone"


def test_what_the_scan_does_not_follow_is_read_again_after_a_while(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 0
    monkeypatch.setattr("ztopd.collectors.nvml.owners.time.monotonic_ns", lambda: now_ns)
    owners = Owners(Roots(str(proc)), Scan())
    owner(owners, STRANGER)
    stat = proc / str(STRANGER) / "stat"
    stat.write_text(stat.read_text().replace(" 500 ", " 600 "))
    now_ns = ASKED_AGAIN_NS
    assert owner(owners, STRANGER).start_boottime_ns == 600 * TICK_NS


def test_others_are_forgotten(proc: Path) -> None:
    owners = Owners(Roots(str(proc)), Scan())
    owner(owners, STRANGER)
    stat = proc / str(STRANGER) / "stat"
    stat.write_text(stat.read_text().replace(" 500 ", " 600 "))
    assert owners.of(set()) == {}
    assert owner(owners, STRANGER).start_boottime_ns == 600 * TICK_NS
