import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell
from ztop_protocol.schema import SourceState
from ztopd.collectors.host import (
    Host,
    KernelCounts,
    LoadAverages,
    ProcessStates,
    parse_hidepid,
    parse_kernel_counts,
    parse_load_averages,
    parse_namespace,
    parse_uptime,
    read_boot_id,
)
from ztopd.collectors.source import ParseError, Roots, Sample

Named = Callable[[Sample, str], list[dict[str, Cell]]]
RootsOf = Callable[[str], Roots]

STATES = ProcessStates(total=12, running=1, sleeping=5, blocked=2, stopped=1, zombie=1, idle=2, kernel_threads=3)


def test_every_machine_gives_one_row_of_the_schema(
    machine: Roots, assert_follows_schema: Callable[[Sample], None]
) -> None:
    sample = Host(machine, lambda: STATES).collect()
    assert_follows_schema(sample)
    assert list(sample.sections["host"]) == [()]
    assert sample.problem is None
    assert None not in sample.sections["host"][()]


def test_the_cells_of_a_server(roots_of: RootsOf, named: Named) -> None:
    (row,) = named(Host(roots_of("server-5.10-192cpu"), lambda: STATES).collect(), "host")
    assert row == {
        "hostname": "server-5.10-192cpu",
        "kernel_release": "5.10.0-28-amd64",
        "machine": os.uname().machine,
        "pid_namespace": 4026531836,
        "hidepid": 2,
        "uptime_ns": 8_123_456_780_000_000,
        "load_average_1m": 71.42,
        "load_average_5m": 68.03,
        "load_average_15m": 66.97,
        "threads_runnable": 75,
        "threads_total": 14210,
        "processes_total": 12,
        "processes_running": 1,
        "processes_sleeping": 5,
        "processes_blocked": 2,
        "processes_stopped": 1,
        "processes_zombie": 1,
        "processes_idle": 2,
        "kernel_threads": 3,
        "context_switches": 912_345_678_901,
        "interrupts": row["interrupts"],
        "forks": 3_912_345,
        "boot_time_ns": 1_700_000_000_000_000_000,
    }
    stat = Path(roots_of("server-5.10-192cpu").proc, "stat").read_text()
    assert re.search(rf"^intr {row['interrupts']} ", stat, re.MULTILINE)


def test_before_the_first_scan_the_states_are_unknown(roots_of: RootsOf, named: Named) -> None:
    (row,) = named(Host(roots_of("laptop-6.8-hybrid"), lambda: None).collect(), "host")
    states = [cell for name, cell in row.items() if name.startswith("processes_") or name == "kernel_threads"]
    assert states == [None] * 8
    assert row["threads_total"] == 1834


def test_a_missing_file_is_named_and_the_rest_is_there(tmp_path: Path, roots_of: RootsOf, named: Named) -> None:
    proc = tmp_path / "proc"
    shutil.copytree(roots_of("ancient-4.4").proc, proc, symlinks=True)
    for name in ("loadavg", "stat", "self/ns/pid", "self/mountinfo"):
        (proc / name).unlink()
    sample = Host(Roots(str(proc), ""), lambda: None).collect()
    (row,) = named(sample, "host")
    assert (row["uptime_ns"], row["hostname"]) == (41_234_567_010_000_000, "ancient-4.4")
    assert row["load_average_1m"] is row["threads_total"] is row["forks"] is row["boot_time_ns"] is None
    assert row["pid_namespace"] is row["hidepid"] is None
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    for name in ("loadavg", "stat", "self/ns/pid"):
        assert f"{proc}/{name}: No such file or directory" in sample.problem.reason
    assert sample.problem.fix is not None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rw", 0),
        ("rw,hidepid=0", 0),
        ("rw,hidepid=1", 1),
        ("rw,gid=4,hidepid=2", 2),
        ("rw,hidepid=off", 0),
        ("rw,hidepid=noaccess", 1),
        ("rw,hidepid=invisible,gid=4", 2),
        ("rw,hidepid=ptraceable", 4),
        ("rw,hidepid=something", None),
    ],
)
def test_hidepid(option: str, value: int | None) -> None:
    assert parse_hidepid(f"25 1 0:23 / /proc rw shared:1 - proc proc {option}\n".encode(), "/proc") == value


def test_hidepid_is_of_the_mount_that_is_on_top_and_read() -> None:
    mounts = (
        b"25 1 0:23 / /proc rw - proc proc rw,hidepid=2\n"
        b"26 1 0:24 / /host/proc rw - proc proc rw,hidepid=1\n"
        b"27 25 0:25 / /proc rw - proc proc rw,hidepid=ptraceable\n"
        b"28 1 0:26 / /proc rw - tmpfs tmpfs rw\n"
    )
    assert parse_hidepid(mounts, "/proc") == 4
    assert parse_hidepid(mounts, "/host/proc") == 1
    assert parse_hidepid(b"", "/proc") is None


def test_loadavg_and_uptime() -> None:
    assert parse_load_averages(b"0.00 12.50 100.05 3/1234 99999\n") == LoadAverages(0.0, 12.5, 100.05, 3, 1234)
    assert parse_uptime(b"41234567.01 3.00\n") == 41_234_567_010_000_000
    assert parse_namespace("pid:[4026531836]") == 4026531836


def test_lines_that_are_not_there_are_none() -> None:
    assert parse_kernel_counts(b"cpu 1\nctxt 5\n") == KernelCounts(5, None, None, None)


@pytest.mark.parametrize(
    ("parse", "data", "message"),
    [
        (parse_uptime, b"", "/proc/uptime: "),
        (parse_uptime, b"12 13\n", "/proc/uptime: "),
        (parse_load_averages, b"0.1 0.2 0.3\n", "/proc/loadavg: "),
        (parse_kernel_counts, b"cpu 1\nbtime soon\n", "/proc/stat, line btime: "),
        (parse_kernel_counts, b"cpu 1\nctxt ", "/proc/stat, line ctxt: "),
        (parse_namespace, "mnt:[1]", "/proc/self/ns/pid: "),
        # what Python makes no integer, or infinity, of
        (parse_namespace, f"pid:[{'9' * 5000}]", "/proc/self/ns/pid: "),
        (parse_uptime, b"9" * 5000 + b".00 1.00\n", "/proc/uptime: "),
        (parse_load_averages, b"9" * 400 + b".00 0.00 0.00 1/2 3\n", "/proc/loadavg: "),
        (parse_load_averages, b"0.00 0.00 0.00 1/" + b"9" * 5000 + b" 3\n", "/proc/loadavg: "),
    ],
)
def test_the_error_names_file_and_place(parse: Callable[[object], object], data: object, message: str) -> None:
    with pytest.raises(ParseError, match=re.escape(message)):
        parse(data)


@given(st.binary(max_size=200), st.sampled_from([b"", b"cpu 1\nintr ", b"1.00 ", b"cpu 1\nbtime 5"]))
def test_any_bytes_give_a_value_or_a_parse_error(data: bytes, start: bytes) -> None:
    with suppress(ParseError):
        assert parse_uptime(start + data) >= 0
    with suppress(ParseError):
        assert parse_load_averages(start + data).threads_total >= 0
    with suppress(ParseError):
        assert isinstance(parse_kernel_counts(start + data), KernelCounts)


def test_boot_id(roots_of: RootsOf, tmp_path: Path) -> None:
    assert read_boot_id(roots_of("ancient-4.4")) == "d3b07384-d9a0-4c9b-8f1e-2a3b4c5d6e7f"
    shutil.copy(Path(roots_of("ancient-4.4").proc, "stat"), tmp_path / "stat")
    assert read_boot_id(Roots(str(tmp_path), "")) == "btime-1600000000"
    (tmp_path / "stat").unlink()
    computed = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert abs(int(read_boot_id(Roots(str(tmp_path), "")).removeprefix("btime-")) - computed) < 2


def test_this_machine_agrees_with_psutil(named: Named) -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("this /proc has no stat")
    (row,) = named(Host(Roots(), lambda: None).collect(), "host")
    boot_time = row["boot_time_ns"]
    assert isinstance(boot_time, int)
    # psutil too reads btime, which moves with the wall clock
    assert abs(boot_time / 1e9 - psutil.boot_time()) <= 1
    assert row["kernel_release"] == os.uname().release
    assert row["hostname"] == os.uname().nodename
    switches, interrupts = row["context_switches"], row["interrupts"]
    after = psutil.cpu_stats()
    assert isinstance(switches, int)
    assert isinstance(interrupts, int)
    assert 0 <= after.ctx_switches - switches < 1_000_000
    assert 0 <= after.interrupts - interrupts < 1_000_000
