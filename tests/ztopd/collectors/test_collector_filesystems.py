import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell
from ztop_protocol.schema import SourceState
from ztopd.collectors import filesystems as module
from ztopd.collectors.blocking import Answer, Argument, Question
from ztopd.collectors.filesystems import (
    NO_SPACE_KNOWN,
    PERIOD_NS,
    Filesystems,
    Space,
    parse_statvfs,
    real_mounts,
)
from ztopd.collectors.mountinfo import Mount, parse_mountinfo
from ztopd.collectors.source import ParseError, Roots, Sample, Withheld

Named = Callable[[Sample, str], list[dict[str, Cell]]]

SECOND = 1_000_000_000


class Clock:
    """Stands in for the module ``time`` of the collector."""

    CLOCK_BOOTTIME = 7

    def __init__(self) -> None:
        self.now_ns = 1000 * SECOND

    def clock_gettime_ns(self, clock: int) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)


class Said:
    """Implements BlockingReader with answers by mount point; one that has no answer is silent."""

    def __init__(self, clock: Clock, answers: Mapping[str, str]) -> None:
        self.clock = clock
        self.answers = dict(answers)
        self.refusals: dict[str, str] = {}
        self.asked: list[str] = []

    def ask(self, question: Question, argument: Argument) -> None:
        assert question is Question.FILESYSTEM
        assert isinstance(argument, bytes)
        self.asked.append(os.fsdecode(argument))

    def take(self, question: Question) -> Mapping[Argument, Answer]:
        taken: dict[Argument, Answer] = {}
        for mount_point in self.asked:
            key = os.fsencode(mount_point)
            if mount_point in self.refusals:
                taken[key] = Answer(None, self.refusals[mount_point], self.clock.now_ns)
            elif mount_point in self.answers:
                taken[key] = Answer(self.answers[mount_point].encode(), None, self.clock.now_ns)
        self.asked = [mount_point for mount_point in self.asked if os.fsencode(mount_point) not in taken]
        return taken

    def settle(self) -> None:
        """There is nothing to wait for."""

    def problem(self) -> None:
        """It has none."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Machine:
    """One that a test can change: a root and a network file system."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.roots = Roots(str(folder), str(folder))
        self.mountinfo = folder / "self/mountinfo"
        self.mountinfo.parent.mkdir()
        self.mount("1 0 8:1 / / rw - ext4 /dev/sda1 rw", "2 1 0:50 / /mnt/x ro - nfs4 filer:/x rw,hard")
        self.said = Said(clock, {"/": "4096 4096 1000 400 300 100 40 30 0 255", "/mnt/x": "512 512 9 9 9 9 9 9 0 255"})
        self.filesystems = Filesystems(self.roots, self.said)

    def mount(self, *lines: str) -> None:
        self.mountinfo.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def nfs(tmp_path: Path, clock: Clock) -> Machine:
    return Machine(tmp_path, clock)


def _mounts(*lines: str) -> list[Mount]:
    return parse_mountinfo("".join(f"{line}\n" for line in lines).encode())


def test_sizes() -> None:
    assert parse_statvfs(b"4096 512 1000 400 300 100 40 30 4096 255") == Space(
        *(1000 * 512, 600 * 512, 300 * 512, 100, 60, 30)
    )


def test_btrfs_has_no_inodes_to_count() -> None:
    space = parse_statvfs(b"4096 4096 1000 400 300 0 0 0 4096 255")
    assert (space.inodes_total, space.inodes_used, space.inodes_available) == (None, None, None)
    assert space.size_bytes == 4096000


def test_a_file_system_without_blocks_has_no_size() -> None:
    assert parse_statvfs(b"4096 4096 0 0 0 0 0 0 4096 255") == NO_SPACE_KNOWN


def test_the_block_is_the_unit_where_no_fragment_is_said() -> None:
    assert parse_statvfs(b"1024 0 10 5 5 0 0 0 0 255").size_bytes == 10240


def test_what_a_fuse_file_system_made_up_fits_a_cell_or_is_none() -> None:
    huge = 2**64 - 1
    assert parse_statvfs(f"{huge} {huge} {huge} 0 0 {huge} 0 0 0 255".encode()) == NO_SPACE_KNOWN


@pytest.mark.parametrize("data", [b"", b"1 2 3", b"1 2 3 4 5 6 7 8 9 x", b"1 2 3 4 5 6 7 8 9 10 11"])
def test_an_answer_that_is_none(data: bytes) -> None:
    with pytest.raises(ParseError, match="statvfs"):
        parse_statvfs(data)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=10, max_size=10))
def test_every_number_fits_the_wire(numbers: list[int]) -> None:
    space = parse_statvfs(" ".join(map(str, numbers)).encode())
    for value in (space.size_bytes, space.used_bytes, space.available_bytes, space.inodes_total, space.inodes_used):
        assert value is None or -(2**63) <= value < 2**63


def test_pseudo_file_systems_are_left_out() -> None:
    mounts = _mounts(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        "2 1 0:4 / /proc rw - proc proc rw",
        "3 1 0:5 / /sys rw - sysfs sysfs rw",
        "4 1 0:6 / /efi rw - autofs systemd-1 rw",
        "5 1 0:7 / /run rw - tmpfs tmpfs rw",
        "6 1 0:8 / /home/a/remote rw - fuse.sshfs a@b: rw",
        "7 1 7:0 / /snap/x/1 ro - squashfs /dev/loop0 ro",
        "8 1 0:9 / /var/lib/docker/overlay2/1/merged rw - overlay overlay rw",
    )
    assert [mount.type for mount in real_mounts(mounts)] == ["ext4", "tmpfs", "fuse.sshfs", "squashfs", "overlay"]


def test_of_a_tree_mounted_twice_the_shortest_path_stays() -> None:
    mounts = _mounts(
        "1 0 8:1 / /var/long rw - ext4 /dev/sda1 rw",
        "2 1 8:1 / /data rw - ext4 /dev/sda1 rw",
        "3 1 8:1 /sub /other/sub rw - ext4 /dev/sda1 rw",
    )
    assert [mount.mount_point for mount in real_mounts(mounts)] == ["/data", "/other/sub"]


def test_of_two_on_one_mount_point_the_topmost_stays() -> None:
    mounts = _mounts("1 0 0:1 / /mnt rw - tmpfs below rw", "2 1 0:2 / /mnt rw - tmpfs above rw")
    assert [mount.source for mount in real_mounts(mounts)] == ["above"]
    hidden = _mounts("1 0 0:1 / /mnt rw - tmpfs below rw", "2 1 0:2 / /mnt rw - autofs above rw")
    assert real_mounts(hidden) == []


def test_what_systemd_mounts_for_its_service_is_no_file_system() -> None:
    mounts = _mounts(
        "1 0 8:1 / / ro - ext4 /dev/sda1 rw",
        "2 1 8:2 / /home rw - ext4 /dev/sda2 rw",
        "3 1 0:5 / /run rw - tmpfs tmpfs rw",
        "4 1 0:6 / /tmp rw - tmpfs tmpfs rw",
        # ProtectHome=, ProtectKernelLogs=, PrivateTmp=, StateDirectory=, and how systemd passes mounts on
        "5 1 0:5 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw",
        "6 1 0:5 /systemd/inaccessible/reg /proc/kmsg ro - tmpfs tmpfs rw",
        "7 4 0:6 /systemd-private-5d-ztopd.service-IN/tmp /tmp rw - tmpfs tmpfs rw",
        "8 1 8:1 /var/tmp/systemd-private-5d-ztopd.service-Gc/tmp /var/tmp rw - ext4 /dev/sda1 rw",
        "9 1 8:1 /var/lib/ztopd /var/lib/ztopd rw - ext4 /dev/sda1 rw",
        "10 3 0:5 /systemd/propagate/ztopd.service /run/systemd/incoming ro - tmpfs tmpfs rw",
        # these only look alike
        "11 1 8:1 /inaccessible/dir /a ro - ext4 /dev/sda1 rw",
        "12 1 8:3 /b /b rw - ext4 /dev/sda3 rw",
    )
    assert [mount.mount_point for mount in real_mounts(mounts)] == ["/", "/run", "/tmp", "/a", "/b"]


def test_every_machine(machine: Roots, clock: Clock, assert_follows_schema: Callable[[Sample], None]) -> None:
    answers: dict[str, str] = json.loads(Path(machine.proc).with_name("filesystems.json").read_text())
    filesystems = Filesystems(machine, Said(clock, answers))
    sample = filesystems.collect()
    assert_follows_schema(sample)
    rows = {key[0]: row for key, row in sample.sections["filesystems"].items()}
    assert answers.keys() <= rows.keys()
    for mount_point in answers:
        assert rows[mount_point][4] is not None
        assert rows[mount_point][-1] == clock.now_ns


def test_the_laptop(roots_of: Callable[[str], Roots], clock: Clock, named: Named) -> None:
    roots = roots_of("laptop-6.8-hybrid")
    answers = json.loads(Path(roots.proc).with_name("filesystems.json").read_text())
    rows = {row["mount_point"]: row for row in named(Filesystems(roots, Said(clock, answers)).collect(), "filesystems")}
    assert (rows["/home"]["device"], rows["/home"]["type"]) == ("/dev/mapper/luks-root", "btrfs")
    assert rows["/home"]["size_bytes"] == 249789184 * 4096
    assert rows["/home"]["inodes_total"] is None
    assert rows["/snap/core22/1612"]["read_only"] is True
    assert rows["/"]["read_only"] is False
    assert "/run/user/1000/doc" not in rows
    assert "/var/lib/docker/overlay2/1f2e3d/merged" in rows


def test_the_first_collection_asks_and_the_next_tick_has_the_answers(nfs: Machine, clock: Clock, named: Named) -> None:
    answers, nfs.said.answers = nfs.said.answers, {}
    first = nfs.filesystems.collect()
    assert first.problem is None
    for row in named(first, "filesystems"):
        assert row["size_bytes"] is row["inodes_total"] is row["answered_boottime_ns"] is None
    assert nfs.filesystems.period_ns == 0
    clock.advance(1)
    nfs.said.answers = answers
    second = {row["mount_point"]: row for row in named(nfs.filesystems.collect(), "filesystems")}
    assert second["/"]["used_bytes"] == 600 * 4096
    assert (second["/mnt/x"]["read_only"], second["/mnt/x"]["device"]) == (True, "filer:/x")
    assert second["/"]["answered_boottime_ns"] == clock.now_ns
    assert nfs.filesystems.period_ns == PERIOD_NS


def test_within_a_period_nothing_is_asked_again(nfs: Machine, clock: Clock) -> None:
    nfs.filesystems.collect()
    asked: list[Argument] = []
    nfs.said.ask = lambda question, argument: asked.append(argument)  # type: ignore[method-assign]
    clock.advance(1)
    nfs.filesystems.collect()
    assert asked == []
    clock.advance(9.5)
    nfs.filesystems.collect()
    assert asked == [b"/", b"/mnt/x"]


def test_a_silent_server_keeps_its_last_numbers_and_is_named(nfs: Machine, clock: Clock) -> None:
    answered_ns = clock.now_ns
    nfs.filesystems.collect()
    del nfs.said.answers["/mnt/x"]
    clock.advance(10)
    assert nfs.filesystems.collect().problem is None
    assert nfs.filesystems.period_ns == 0
    clock.advance(2)
    assert nfs.filesystems.collect().problem is None
    clock.advance(10)
    sample = nfs.filesystems.collect()
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    assert sample.problem.reason == "/mnt/x has not answered for 12 s"
    assert sample.problem.fix is not None
    rows = sample.sections["filesystems"]
    assert (rows[("/mnt/x",)][4], rows[("/mnt/x",)][-1]) == (9 * 512, answered_ns)
    assert rows[("/",)][-1] == clock.now_ns
    # every tick need not look for it any more
    assert nfs.filesystems.period_ns == PERIOD_NS
    nfs.said.answers["/mnt/x"] = "512 512 9 8 8 9 9 9 0 255"
    clock.advance(10)
    sample = nfs.filesystems.collect()
    assert sample.problem is None
    assert sample.sections["filesystems"][("/mnt/x",)][-1] == clock.now_ns


@pytest.mark.parametrize("refusal", ["it blocks", "Permission denied"])
def test_a_refusal_is_said_at_once_and_does_not_hurry_the_ticks(nfs: Machine, clock: Clock, refusal: str) -> None:
    nfs.said.refusals["/mnt/x"] = refusal
    sample = nfs.filesystems.collect()
    assert sample.problem is not None
    assert sample.problem.reason == f"/mnt/x cannot be read: {refusal}"
    assert nfs.filesystems.period_ns == PERIOD_NS
    assert sample.sections["filesystems"][("/",)][4] is not None


def test_an_answer_that_makes_no_sense_is_said_too(nfs: Machine) -> None:
    nfs.said.answers["/mnt/x"] = "what"
    sample = nfs.filesystems.collect()
    assert sample.problem is not None
    assert "statvfs" in sample.problem.reason
    assert sample.sections["filesystems"][("/mnt/x",)][4] is None


def test_many_silent_ones_are_counted(nfs: Machine) -> None:
    nfs.mount(*(f"{number} 0 0:{number} / /mnt/{number} rw - nfs a:/{number} rw" for number in range(9)))
    nfs.said.refusals = {f"/mnt/{number}": "it blocks" for number in range(9)}
    problem = nfs.filesystems.collect().problem
    assert problem is not None
    assert problem.reason.endswith("; and 6 more")
    assert problem.reason.count("it blocks") == 3


def test_a_hostile_mount_point_reaches_no_terminal(nfs: Machine) -> None:
    nfs.mount("1 0 0:1 / /mnt/\x1b]52;c;x\x07 rw - nfs a:/ rw")
    nfs.said.refusals["/mnt/\x1b]52;c;x\x07"] = "it blocks"
    problem = nfs.filesystems.collect().problem
    assert problem is not None
    assert problem.reason.isprintable()


def test_a_new_mount_is_asked_at_once_and_one_that_is_gone_forgotten(nfs: Machine, clock: Clock) -> None:
    nfs.filesystems.collect()
    nfs.mount("1 0 8:1 / / rw - ext4 /dev/sda1 rw", "3 1 8:2 / /new rw - ext4 /dev/sda2 rw")
    nfs.said.answers["/new"] = "512 512 5 1 1 5 1 1 0 255"
    clock.advance(1)
    rows = nfs.filesystems.collect().sections["filesystems"]
    assert set(rows) == {("/",), ("/new",)}
    assert rows[("/new",)][4] == 5 * 512
    assert nfs.said.asked == []


def test_a_machine_that_mounts_nothing(nfs: Machine) -> None:
    nfs.mount("1 0 0:4 / /proc rw - proc proc rw")
    with pytest.raises(Withheld) as withheld:
        nfs.filesystems.collect()
    assert withheld.value.problem.state is SourceState.ABSENT


def test_against_psutil(clock: Clock, named: Named) -> None:
    """The size is the same; used and available may move by 64 MiB between the two looks."""
    mounts = real_mounts(parse_mountinfo(Path("/proc/self/mountinfo").read_bytes()))
    answers: dict[str, str] = {}
    for mount in mounts:
        try:
            answers[mount.mount_point] = " ".join(map(str, os.statvfs(mount.mount_point)[:10]))
        except OSError:
            continue
    rows = {
        row["mount_point"]: row for row in named(Filesystems(Roots(), Said(clock, answers)).collect(), "filesystems")
    }
    assert rows
    physical = {partition.mountpoint for partition in psutil.disk_partitions(all=False)}
    roots_of_trees = {mount.mount_point for mount in mounts}
    assert physical & roots_of_trees <= rows.keys()
    for mount_point in answers:
        theirs = psutil.disk_usage(mount_point)
        if not theirs.total:
            continue
        row = rows[mount_point]
        assert row["size_bytes"] == theirs.total
        assert abs(row["used_bytes"] - theirs.used) <= 64 << 20
        assert abs(row["available_bytes"] - theirs.free) <= 64 << 20
