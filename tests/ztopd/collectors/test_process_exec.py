"""Processes between two programs are told by a file that can be read without waiting for them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ztopd.collectors.process_entry import Process
from ztopd.collectors.process_exec import Execs, is_in_exec
from ztopd.collectors.process_stat import parse_stat
from ztopd.collectors.threads import NoSuchProcess, read_threads

BETWEEN, RUNNING, KERNEL_THREAD = b"1 1 0 0 0 1 0\n", b"700 200 180 12 0 90 0\n", b"0 0 0 0 0 0 0\n"


def put(proc: Path, pid: int, statm: bytes | None) -> str:
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    if statm is not None:
        (folder / "statm").write_bytes(statm)
    return str(folder)


@pytest.mark.parametrize(
    ("statm", "is_between"), [(BETWEEN, True), (RUNNING, False), (KERNEL_THREAD, False), (b"", False), (None, False)]
)
def test_a_memory_without_a_program(tmp_path: Path, statm: bytes | None, is_between: bool) -> None:
    assert is_in_exec(put(tmp_path, 7, statm)) is is_between


def test_this_process_is_not() -> None:
    assert not is_in_exec("/proc/self")


@pytest.fixture
def execs(tmp_path: Path) -> Iterator[Execs]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield Execs(str(tmp_path), descriptor)
    os.close(descriptor)


def test_every_exec_is_there_for_a_moment_and_one_that_stays_is_said(
    execs: Execs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("ztopd.collectors.process_exec.time.monotonic", lambda: now)
    for pid in (7, 8):
        put(tmp_path, pid, BETWEEN)
    assert set(execs.among(["7", "8"])) == {"7", "8"}
    assert execs.holds("7") and execs.holds("8")
    assert execs.problem() is None
    # they are looked at again though nobody lists them
    put(tmp_path, 8, RUNNING)
    assert set(execs.among(["1"])) == {"1", "7", "8"}
    assert execs.holds("7") and not execs.holds("8")
    assert execs.problem() is None
    now += 0.3
    problem = execs.problem()
    assert problem is not None and "process 7:" in problem.reason
    put(tmp_path, 7, RUNNING)
    assert set(execs.among(["1"])) == {"1", "7"}
    assert not execs.holds("7")
    assert execs.problem() is None
    assert execs.among(["1"]) == ["1"]


def test_one_with_several_threads_is_asked_when_it_has_one_left(execs: Execs, tmp_path: Path) -> None:
    data = Path("/proc/self/stat").read_bytes()
    process = Process(7, data, parse_stat(data)._replace(threads=2), 0)
    put(tmp_path, 7, BETWEEN)
    for tid in (7, 8):
        (tmp_path / "7" / "task" / str(tid)).mkdir(parents=True)
    if (tmp_path / "7" / "task").stat().st_nlink != 4:
        pytest.skip("folders are not counted here")
    assert not execs.took(process)
    (tmp_path / "7" / "task" / "8").rmdir()
    process.schedstat = b"before"
    assert execs.took(process)
    # so that it is looked at until it goes on
    assert process.schedstat == b""


def test_its_threads_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, 7, BETWEEN)
    with pytest.raises(NoSuchProcess, match="between two programs"):
        read_threads(str(tmp_path), 7, 10)
