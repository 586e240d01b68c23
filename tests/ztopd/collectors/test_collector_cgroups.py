import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ztop_protocol.frame import Cell
from ztop_protocol.schema import SourceState
from ztopd.collectors import cgroups as module
from ztopd.collectors.cgroup_tree import hierarchies, walk
from ztopd.collectors.cgroups import COST_SHARE, PERIOD_NS, TURNS, Cgroups
from ztopd.collectors.mountinfo import parse_mountinfo
from ztopd.collectors.source import Roots, Sample, Withheld

Named = Callable[[Sample, str], list[dict[str, Cell]]]

MIB = 1 << 20
ID = "4c1f6e1f0a9d4f3c8d3a5b7e9f00112233445566778899aabbccddeeff001122"
V2 = "32 22 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
IDLE_PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0"


class Machine:
    """One that a test can change, with the cgroup mounts that it names."""

    def __init__(self, folder: Path, *mounts: str) -> None:
        self.roots = Roots(str(folder / "proc"), str(folder / "sys"))
        self.top = folder / "sys/fs/cgroup"
        self.top.mkdir(parents=True)
        mountinfo = folder / "proc/self/mountinfo"
        mountinfo.parent.mkdir(parents=True)
        mountinfo.write_text("".join(f"{mount}\n" for mount in mounts))

    def add(self, cgroup: str, **files: object) -> None:
        folder = self.top / cgroup.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def unified(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, V2)
    machine.add("/", cpu__stat="usage_usec 1000")
    return machine


def _by_path(sample: Sample, named: Named) -> dict[Cell, dict[str, Cell]]:
    return {row["path"]: row for row in named(sample, "cgroups")}


def test_every_machine_follows_the_schema(machine: Roots, assert_follows_schema: Callable[[Sample], None]) -> None:
    sample = Cgroups(machine).collect()
    assert sample.problem is None
    assert ("/",) in sample.sections["cgroups"]
    assert_follows_schema(sample)


def test_v2(roots_of: Callable[[str], Roots], named: Named) -> None:
    rows = _by_path(Cgroups(roots_of("laptop-6.8-hybrid")).collect(), named)
    (docker,) = (row for row in rows.values() if row["container_runtime"] == "docker")
    assert str(docker["container_id"]).startswith("9f8e7d6c5b4a")
    assert docker["cpu_time_ns"] == 81_234_567_000
    assert docker["user_time_ns"] + docker["system_time_ns"] == docker["cpu_time_ns"]
    assert (docker["throttled_periods"], docker["throttled_time_ns"]) == (1234, 98_765_432_000)
    assert (docker["memory_bytes"], docker["memory_limit_bytes"]) == (300 * MIB, 512 * MIB)
    assert (docker["memory_anonymous_bytes"], docker["memory_file_bytes"]) == (210 * MIB, 60 * MIB)
    assert (docker["swap_bytes"], docker["oom_kills"], docker["pids"], docker["pids_limit"]) == (8 * MIB, 2, 17, 256)
    # the disk and the encrypted device on it, each of which the kernel counts
    assert (docker["io_read_bytes"], docker["io_write_bytes"]) == (2 * 200 * MIB, 2 * 50 * MIB)
    assert docker["cpu_pressure_time_ns"] == 9_123_456_000
    root = rows["/"]
    assert root["memory_bytes"] is root["memory_limit_bytes"] is root["pids"] is None
    assert root["cpu_time_ns"] == 71_651_210_000_000
    assert rows["/user.slice"]["memory_limit_bytes"] is None
    pod = next(path for path in rows if str(path).endswith("/container"))
    assert rows[pod]["container_runtime"] == "podman"


def test_v1_merges_the_hierarchies(roots_of: Callable[[str], Roots], named: Named) -> None:
    rows = _by_path(Cgroups(roots_of("server-5.10-192cpu")).collect(), named)
    (pod,) = (row for row in rows.values() if row["container_runtime"] == "containerd")
    assert pod["cpu_time_ns"] == 812300_123456789
    assert (pod["throttled_periods"], pod["throttled_time_ns"]) == (91230, 81234567890000)
    assert (pod["memory_bytes"], pod["memory_limit_bytes"], pod["oom_kills"]) == (7 << 30, 8 << 30, 3)
    assert (pod["memory_anonymous_bytes"], pod["memory_file_bytes"]) == (6 << 30, 1 << 30)
    assert (pod["pids"], pod["pids_limit"]) == (63, 1024)
    # with the cgroups below it
    assert (pod["io_read_bytes"], pod["io_write_bytes"]) == (3 * 40 << 30, 3 * 30 << 30)
    assert pod["cpu_pressure_time_ns"] is None
    assert rows["/system.slice"]["memory_limit_bytes"] is None
    assert rows["/"]["io_read_bytes"] is None


def test_v1_of_4_4_counts_no_oom_kills(roots_of: Callable[[str], Roots], named: Named) -> None:
    rows = _by_path(Cgroups(roots_of("ancient-4.4")).collect(), named)
    (docker,) = (row for row in rows.values() if row["container_runtime"] == "docker")
    assert docker["oom_kills"] is None
    assert docker["swap_bytes"] == MIB
    assert docker["system_time_ns"] % 10_000_000 == 0


def test_hybrid_takes_from_each_tree_what_it_has(roots_of: Callable[[str], Roots], named: Named) -> None:
    """The captured machine: v1 controllers beside a v2 tree without any."""
    rows = _by_path(Cgroups(roots_of("vm-6.18-2cpu")).collect(), named)
    (docker,) = (row for row in rows.values() if row["container_runtime"] == "docker")
    assert docker["cpu_time_ns"] == 1620540
    assert docker["memory_bytes"] == 262144
    assert docker["throttled_periods"] == 0
    assert docker["cpu_pressure_time_ns"] == 0


def test_v1_controllers_win_over_the_bare_v2_tree(tmp_path: Path, named: Named) -> None:
    machine = Machine(
        tmp_path,
        "2 1 0:3 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct",
        "1 1 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    )
    machine.add("unified/a", cpu__stat="usage_usec 5", cpu__pressure=IDLE_PRESSURE.format(9))
    machine.add("cpu/a", cpuacct__usage=7000, cpu__stat="nr_periods 4\nnr_throttled 3\nthrottled_time 2")
    row = _by_path(Cgroups(machine.roots).collect(), named)["/a"]
    assert (row["cpu_time_ns"], row["throttled_time_ns"], row["cpu_pressure_time_ns"]) == (7000, 2, 9000)


def test_cgroups_of_which_nothing_is_known_are_left_out_unless_they_are_containers(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "1 1 0:2 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd")
    machine.add(f"systemd/docker/{ID}")
    machine.add("systemd/system.slice/cron.service")
    rows = Cgroups(machine.roots).collect().sections["cgroups"]
    assert list(rows) == [(f"/docker/{ID}",)]
    assert rows[(f"/docker/{ID}",)][1:3] == (ID, "docker")
    assert set(rows[(f"/docker/{ID}",)][3:]) == {None}


def test_a_hierarchy_mounted_twice_counts_once_and_as_a_whole(tmp_path: Path) -> None:
    mounts = parse_mountinfo(
        b"1 1 0:2 /docker/x /container/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        b"2 1 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        b"3 1 0:2 / /var/lib/longer rw - cgroup2 cgroup2 rw\n"
        b"4 1 0:9 / /cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    )
    found = hierarchies(mounts, Roots(sys="/fixture/sys"))
    assert [hierarchy.folder for hierarchy in found] == ["/fixture/sys/fs/cgroup", "/cgroup/cpu"]


def test_names_are_kept_as_they_are(unified: Machine) -> None:
    folder = os.fsencode(unified.top) + b"/\xff\x1b]0;x\n"
    os.mkdir(folder)
    with open(folder + b"/cpu.stat", "wb") as file:
        file.write(b"usage_usec 3\n")
    assert ("/\udcff\x1b]0;x\n",) in Cgroups(unified.roots).collect().sections["cgroups"]


def test_a_bad_file_loses_its_own_cells_only(unified: Machine, named: Named) -> None:
    unified.add("/a\nb", memory__current="what", pids__current=3)
    unified.add("/c", memory__current=7)
    sample = Cgroups(unified.roots).collect()
    rows = _by_path(sample, named)
    assert (rows["/a\nb"]["memory_bytes"], rows["/a\nb"]["pids"], rows["/c"]["memory_bytes"]) == (None, 3, 7)
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    assert "memory.current" in sample.problem.reason
    assert sample.problem.reason.isprintable()


def test_a_cgroup_at_rest_is_read_in_turn_only(unified: Machine, named: Named) -> None:
    still = {"cpu__stat": "usage_usec 5", "io__stat": "", "io__pressure": IDLE_PRESSURE.format(0)}
    unified.add("/a", **still, memory__current=100)
    cgroups = Cgroups(unified.roots)
    row = cgroups.collect().sections["cgroups"][("/a",)]
    unified.add("/a", memory__current=200)
    seen = [_by_path(cgroups.collect(), named)["/a"]["memory_bytes"] for _ in range(TURNS)]
    assert seen[-1] == 200
    assert seen == sorted(seen)
    assert row[8] == 100
    same = cgroups.collect().sections["cgroups"][("/a",)]
    assert all(cgroups.collect().sections["cgroups"][("/a",)] == same for _ in range(2 * TURNS))


@pytest.mark.parametrize(
    "moved",
    [{"cpu__stat": "usage_usec 6"}, {"io__stat": "8:0 wbytes=4096 wios=1"}, {"io__pressure": IDLE_PRESSURE.format(7)}],
)
def test_one_in_which_something_moved_is_read_at_once(unified: Machine, named: Named, moved: dict[str, str]) -> None:
    still = {"cpu__stat": "usage_usec 5", "io__stat": "", "io__pressure": IDLE_PRESSURE.format(0)}
    for turn in range(TURNS):
        cgroup = f"/{turn}"
        unified.add(cgroup, **still, memory__current=100)
        cgroups = Cgroups(unified.roots)
        cgroups.collect()
        unified.add(cgroup, **moved, memory__current=200)
        assert _by_path(cgroups.collect(), named)[cgroup]["memory_bytes"] == 200


def test_without_cpu_time_nothing_shows_rest(tmp_path: Path, named: Named) -> None:
    machine = Machine(tmp_path, "1 1 0:2 / /sys/fs/cgroup rw - cgroup cgroup rw,memory,blkio")
    machine.add("/a", memory__usage_in_bytes=1, blkio__throttle__io_service_bytes="Total 0")
    cgroups = Cgroups(machine.roots)
    for usage in range(2 * TURNS):
        machine.add("/a", memory__usage_in_bytes=usage)
        assert _by_path(cgroups.collect(), named)["/a"]["memory_bytes"] == usage


def test_cgroups_come_and_go(unified: Machine) -> None:
    cgroups = Cgroups(unified.roots)
    unified.add(f"/docker/{ID}", cpu__stat="usage_usec 1")
    assert (f"/docker/{ID}",) in cgroups.collect().sections["cgroups"]
    shutil.rmtree(unified.top / "docker")
    unified.add("/b/c/d", cpu__stat="usage_usec 1")
    assert set(cgroups.collect().sections["cgroups"]) == {("/",), ("/b/c/d",)}
    assert set(cgroups._readings) == {"/", "/b", "/b/c", "/b/c/d"}


def test_more_than_are_wanted_are_counted(unified: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CGROUPS", 10)
    for number in range(15):
        unified.add(f"/c{number}", cpu__stat="usage_usec 1")
    sample = Cgroups(unified.roots).collect()
    assert len(sample.sections["cgroups"]) == 10
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    assert "at least 6 cgroups are left out" in sample.problem.reason


def test_a_walk_goes_level_by_level(tmp_path: Path) -> None:
    for path in ("a/b/c", "d", "a/e"):
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = walk(str(tmp_path), 100)
    assert set(found.paths) == {"/", "/a", "/d", "/a/b", "/a/e", "/a/b/c"}
    assert [path.count("/") for path in found.paths[1:]] == [1, 1, 2, 2, 3]
    assert found.left_out == 0
    with pytest.raises(FileNotFoundError):
        walk(str(tmp_path / "nothing"), 100)


def test_many_cgroups_stretch_the_period(unified: Machine) -> None:
    cgroups = Cgroups(unified.roots)
    assert cgroups.period_ns == PERIOD_NS
    cgroups._cost_ns = 50_000_000
    assert cgroups.period_ns == COST_SHARE * 50_000_000
    cgroups.collect()
    assert cgroups.period_ns == max(PERIOD_NS, COST_SHARE * cgroups._cost_ns)


def test_a_hierarchy_that_another_mount_hides_is_left_out(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        "1 1 0:2 / /sys/fs/cgroup/gone rw - cgroup2 cgroup2 rw",
        "2 1 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    )
    machine.add("/", cpu__stat="usage_usec 5")
    assert set(Cgroups(machine.roots).collect().sections["cgroups"]) == {("/",)}


def test_a_machine_without_cgroups(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "1 1 8:1 / / rw - ext4 /dev/sda1 rw")
    with pytest.raises(Withheld) as withheld:
        Cgroups(machine.roots).collect()
    assert withheld.value.problem.state is SourceState.ABSENT
    assert withheld.value.problem.fix == "mount -t cgroup2 none /sys/fs/cgroup"


def test_the_living_machine(assert_follows_schema: Callable[[Sample], None]) -> None:
    cgroups = Cgroups(Roots())
    try:
        first, second = cgroups.collect(), cgroups.collect()
    except Withheld as withheld:
        pytest.skip(withheld.problem.reason)
    assert_follows_schema(second)
    place = 3
    for key, row in second.sections["cgroups"].items():
        before = first.sections["cgroups"].get(key)
        if before is not None and before[place] is not None:
            assert row[place] >= before[place]
