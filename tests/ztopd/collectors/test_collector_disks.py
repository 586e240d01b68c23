import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell
from ztop_protocol.schema import SourceState
from ztopd.collectors import disks as module
from ztopd.collectors.disks import DiskCounters, Disks, parse_diskstats_line
from ztopd.collectors.source import ParseError, Roots, Sample, Withheld

Named = Callable[[Sample, str], list[dict[str, Cell]]]


def test_a_line_of_linux_5_5_has_discards_and_flushes() -> None:
    line = b" 254       0 vda 33933 9826 3288002 9455 5215 13726 815264 2355 1 5556 12583 3356 87 76232 632 459 140"
    assert parse_diskstats_line(line) == DiskCounters(
        *(254, 0, "vda", 33933, 3288002 * 512, 9455_000_000, 5215, 815264 * 512, 2355_000_000),
        *(1, 5556_000_000, 12583_000_000, 3356, 76232 * 512, 459),
    )


@pytest.mark.parametrize(("fields", "discards", "flushes"), [(14, None, None), (18, 3356, None), (20, 3356, 459)])
def test_shorter_lines_of_older_kernels(fields: int, discards: int | None, flushes: int | None) -> None:
    words = b"8 0 sda 33933 9826 3288002 9455 5215 13726 815264 2355 0 5556 12583 3356 87 76232 632 459 140".split()
    disk = parse_diskstats_line(b" ".join(words[:fields]))
    assert (disk.discard_operations, disk.flush_operations) == (discards, flushes)
    assert disk.discard_bytes == (None if discards is None else 76232 * 512)
    assert disk.queue_time_ns == 12583_000_000


def test_a_partition_before_2_6_25_has_no_times() -> None:
    disk = parse_diskstats_line(b"   8    1 sda1 35486 38030 38030 76060")
    assert (disk.read_operations, disk.read_bytes) == (35486, 38030 * 512)
    assert (disk.write_operations, disk.write_bytes) == (38030, 76060 * 512)
    assert disk.read_time_ns is disk.busy_time_ns is disk.operations_in_flight is disk.discard_bytes is None


@pytest.mark.parametrize(
    "line", [b"", b"8 0 sda", b"8 0 sda 1 2 3 4 5", b"8 0 sda 1 2 3 4 5 6 7 8 9 10 x", b"x 0 sda 1 2 3 4"]
)
def test_a_line_that_is_none_of_them_is_named(line: bytes) -> None:
    with pytest.raises(ParseError, match=r"^diskstats: the line"):
        parse_diskstats_line(line)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_line_or_a_parse_error(line: bytes) -> None:
    try:
        assert parse_diskstats_line(line).name
    except ParseError:
        pass


def test_every_machine_follows_the_schema(machine: Roots, assert_follows_schema: Callable[[Sample], None]) -> None:
    sample = Disks(machine).collect()
    assert sample.problem is None
    assert sample.sections["disks"]
    assert_follows_schema(sample)


def test_the_server(roots_of: Callable[[str], Roots], named: Named) -> None:
    by_name = {row["name"]: row for row in named(Disks(roots_of("server-5.10-192cpu")).collect(), "disks")}
    disk = by_name["nvme0n1"]
    assert (disk["whole_disk"], disk["model"]) == (True, "SAMSUNG MZQL2960HCJR-00A07")
    assert disk["size_bytes"] == 1875385008 * 512
    assert by_name["nvme0n1p1"]["whole_disk"] is False
    assert by_name["nvme0n1p1"]["model"] is None
    assert by_name["dm-0"]["whole_disk"] is True


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("vm-6.18-2cpu", "loop0"), ("vm-6.18-2cpu", "zram0"), ("ancient-4.4", "ram0"), ("laptop-6.8-hybrid", "sda")],
)
def test_what_nobody_used_is_left_out(roots_of: Callable[[str], Roots], name: str, left_out: str) -> None:
    roots = roots_of(name)
    assert f" {left_out} ".encode() in Path(roots.proc, "diskstats").read_bytes()
    assert (left_out,) not in Disks(roots).collect().sections["disks"]


def test_a_used_loop_is_shown(roots_of: Callable[[str], Roots]) -> None:
    assert ("loop0",) in Disks(roots_of("laptop-6.8-hybrid")).collect().sections["disks"]


class Machine:
    """One that a test can change, with one disk of so many sectors."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots(str(folder / "proc"), str(folder / "sys"))
        self.proc, self.sys = folder / "proc", folder / "sys"
        self.proc.mkdir()
        self.sys.mkdir()
        self.lines: dict[str, str] = {}

    def add(self, name: str, sectors: int, reads: int = 7) -> None:
        in_sys = name.replace("/", "!")
        (self.sys / "block" / in_sys).mkdir(parents=True, exist_ok=True)
        (self.sys / "class/block" / in_sys).mkdir(parents=True, exist_ok=True)
        (self.sys / "class/block" / in_sys / "size").write_text(f"{sectors}\n")
        self.lines[name] = f"   8       0 {name} {reads} 0 16 5 1 0 8 2 0 3 7 0 0 0 0 1 1\n"
        self.write()

    def remove(self, name: str) -> None:
        shutil.rmtree(self.sys / "block" / name)
        shutil.rmtree(self.sys / "class/block" / name)
        del self.lines[name]
        self.write()

    def write(self, extra: str = "") -> None:
        (self.proc / "diskstats").write_text("".join(self.lines.values()) + extra)


@pytest.fixture
def changing(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_slash_in_a_name_is_another_sign_in_sys(changing: Machine, named: Named) -> None:
    changing.add("cciss/c0d0", 100)
    (row,) = named(Disks(changing.roots).collect(), "disks")
    assert (row["name"], row["whole_disk"], row["size_bytes"]) == ("cciss/c0d0", True, 51200)


def test_one_bad_line_loses_itself_only(changing: Machine) -> None:
    changing.add("sda", 100)
    changing.write("8 16 sdb what\n")
    sample = Disks(changing.roots).collect()
    assert list(sample.sections["disks"]) == [("sda",)]
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    assert "sdb" in sample.problem.reason


def test_a_disk_at_rest_keeps_its_row(changing: Machine) -> None:
    changing.add("sda", 100)
    changing.add("sdb", 100)
    disks = Disks(changing.roots)
    first = disks.collect().sections["disks"]
    changing.add("sdb", 100, reads=8)
    second = disks.collect().sections["disks"]
    assert second[("sda",)] is first[("sda",)]
    assert second[("sdb",)][6] == 8


def test_disks_come_and_go(changing: Machine) -> None:
    changing.add("sda", 100)
    disks = Disks(changing.roots)
    disks.collect()
    changing.add("sdb", 200)
    assert list(disks.collect().sections["disks"]) == [("sda",), ("sdb",)]
    changing.remove("sda")
    changing.add("sdc", 300)
    rows = disks.collect().sections["disks"]
    assert {key: row[5] for key, row in rows.items()} == {("sdb",): 102400, ("sdc",): 153600}
    changing.remove("sdc")
    disks.collect()
    assert len(disks._facts) == 1


def test_size_is_read_again_in_turn(changing: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    changing.add("sda", 100)
    disks = Disks(changing.roots)
    disks.collect()
    changing.add("sda", 200)
    assert disks.collect().sections["disks"][("sda",)][5] == 51200
    monkeypatch.setattr(module.time, "clock_gettime_ns", lambda clock: time.monotonic_ns() + (1 << 60))
    assert disks.collect().sections["disks"][("sda",)][5] == 102400


def test_without_sys_the_facts_are_none(roots_of: Callable[[str], Roots], named: Named) -> None:
    roots = Roots(roots_of("server-5.10-192cpu").proc, "/nonexistent")
    for row in named(Disks(roots).collect(), "disks"):
        assert row["whole_disk"] is row["model"] is row["size_bytes"] is None
        assert row["read_bytes"] is not None


@pytest.mark.parametrize("content", [None, ""])
def test_a_machine_without_block_devices(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "diskstats").write_text(content)
    with pytest.raises(Withheld) as withheld:
        Disks(Roots(str(tmp_path), str(tmp_path))).collect()
    assert withheld.value.problem.state is SourceState.ABSENT
    assert "no block devices" in withheld.value.problem.reason


def test_against_psutil(named: Named) -> None:
    """The counters lie between what psutil read before and after."""
    try:
        before = psutil.disk_io_counters(perdisk=True)
        rows = {row["name"]: row for row in named(Disks(Roots()).collect(), "disks")}
        after = psutil.disk_io_counters(perdisk=True)
    except Withheld as withheld:
        pytest.skip(withheld.problem.reason)
    used = {name for name, io in before.items() if io.read_count or io.write_count}
    assert used <= set(rows)
    for name in used:
        for column, theirs in (
            ("read_operations", "read_count"),
            ("write_operations", "write_count"),
            ("read_bytes", "read_bytes"),
            ("write_bytes", "write_bytes"),
        ):
            assert getattr(before[name], theirs) <= rows[name][column] <= getattr(after[name], theirs)
        assert before[name].read_time * 1_000_000 <= rows[name]["read_time_ns"] <= after[name].read_time * 1_000_000
