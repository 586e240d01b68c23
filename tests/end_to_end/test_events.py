"""Events of a real ztopd: a process that comes and goes, a busy loop, and a machine that stands still."""

import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import SECONDS, Daemon
from ztop_client import Session
from ztop_protocol.frame import Cell, Frame
from ztop_protocol.rates import RATE_POSITION, RateTable
from ztop_protocol.schema import SECTIONS

STILL = Path(__file__).parents[1] / "fixtures" / "vm-6.18-2cpu"
WAITED_FOR_QUIET_S = 40.0


def told(frame: Frame, section: str) -> list[dict[str, Cell]]:
    """The section's rows by name."""
    return [dict(zip(SECTIONS[section].names, row, strict=True)) for row in frame.rows(section).values()]


def frames_of(session: Session, seconds: float = SECONDS) -> Iterator[Frame]:
    """Every frame of so many seconds."""
    deadline = time.monotonic() + seconds
    for frame in session.frames():
        yield frame
        if time.monotonic() > deadline:
            return


def of_process(frame: Frame, pid: int) -> list[dict[str, Cell]]:
    return [row for row in told(frame, "process_events") if row["pid"] == pid]


def test_a_process_that_comes_and_goes_is_told_with_its_name(daemon: Daemon, tmp_path: Path) -> None:
    program = tmp_path / "ztop-guest"
    shutil.copy(os.path.realpath("/bin/sh"), program)
    with daemon.session() as session:
        frames = frames_of(session)
        next(frames)
        with subprocess.Popen([program, "-c", "read line"], stdin=subprocess.PIPE) as guest:
            # its name is its parent's until the exec
            (appeared,) = next(rows for frame in frames if (rows := of_process(frame, guest.pid)))
            listed = next(f for f in frames if any(row["comm"] == "ztop-guest" for row in told(f, "processes")))
        (ended,) = next(rows for frame in frames if (rows := of_process(frame, guest.pid)))
    (seen,) = [row for row in told(listed, "processes") if row["pid"] == guest.pid]
    same = ("start_boottime_ns", "ppid", "owner_uid")
    assert [appeared[name] for name in same] == [ended[name] for name in same] == [seen[name] for name in same]
    assert (appeared["kind"], appeared["ppid"], appeared["rss_bytes"]) == ("appeared", os.getpid(), None)
    assert (ended["kind"], ended["comm"]) == ("ended", "ztop-guest")
    assert isinstance(ended["rss_bytes"], int) and ended["rss_bytes"] > 0
    assert isinstance(ended["cpu_time_ns"], int) and ended["cpu_time_ns"] >= 0


def test_a_row_is_there_for_one_frame_and_none_lacks(daemon: Daemon) -> None:
    numbers: list[int] = []
    with daemon.session() as session:
        frames = frames_of(session)
        next(frames)
        while len(numbers) < 8:
            # one lives through a tick at least
            with subprocess.Popen(["sleep", "60"]) as guest:
                seen = False
                while not seen:
                    frame = next(frames)
                    numbers += [int(str(row["number"])) for row in told(frame, "process_events")]
                    seen = bool(of_process(frame, guest.pid))
                guest.kill()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.slow
def test_nothing_is_told_when_nothing_happens(start: Callable[..., Daemon]) -> None:
    daemon = start("--proc", str(STILL / "proc"), "--sys", str(STILL / "sys"))
    with daemon.session() as session:
        for frame in frames_of(session, 13):
            assert told(frame, "process_events") == []
            # a busy machine may keep ztopd itself waiting
            assert {row["kind"] for row in told(frame, "events")} <= {"started", "gap"}
            assert frame.seq == 1 or "started" not in {row["kind"] for row in told(frame, "events")}


@pytest.mark.slow
def test_a_spike_of_a_made_up_machine(start: Callable[..., Daemon], tmp_path: Path) -> None:
    """After 10 s at rest its CPUs count 20 s more than before."""
    proc = tmp_path / "proc"
    shutil.copytree(STILL / "proc", proc, symlinks=True)
    daemon = start("--proc", str(proc), "--sys", str(STILL / "sys"))
    with daemon.session() as session:
        frames = frames_of(session, 2 * SECONDS)
        first = next(frames)
        rested = next(frame for frame in frames if frame.boottime_ns - first.boottime_ns > 10.5e9)
        assert rested.cell("summary", "cpu_busy_time_ns") == first.cell("summary", "cpu_busy_time_ns")
        text = (STILL / "proc" / "stat").read_text()
        assert "cpu0 1710 " in text
        (proc / "stat.new").write_text(text.replace("cpu0 1710 ", "cpu0 3710 "))
        (proc / "stat.new").replace(proc / "stat")
        before = rested
        for frame in frames:
            spikes = [row for row in told(frame, "events") if row["kind"] == "cpu_spike"]
            if spikes:
                break
            before = frame
        (spike,) = spikes
        assert spike["subject"] == "cpu"
        busy = RateTable(before, frame, "summary").cell((), RATE_POSITION["summary"]["cpu_busy_percent"])
        assert spike["value"] == pytest.approx(busy)
        after = [next(frames) for _ in range(10)]
        assert all(row["kind"] == "gap" for frame in after for row in told(frame, "events"))


@pytest.mark.slow
def test_busy_loops_are_a_spike_with_a_name(daemon: Daemon) -> None:
    """A loop for each CPU. Where others keep the machine busy it is tried again, or skipped."""
    with daemon.session() as session:
        for _ in range(3):
            if not is_quiet_in(frames_of(session, WAITED_FOR_QUIET_S)):
                pytest.skip("this machine is too busy for a busy loop to be out of the ordinary")
            if spike := spike_of_busy_loops(frames_of(session, 5)):
                assert isinstance(spike["value"], float) and spike["value"] >= 70
                return
    raise AssertionError("no spike was told")


def spike_of_busy_loops(frames: Iterator[Frame]) -> dict[str, Cell] | None:
    """The spike that names one of them; any, where /proc hides processes."""
    with ExitStack() as stack:
        pids = []
        for _ in range(os.cpu_count() or 1):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(loop.kill)
            pids.append(loop.pid)
        for frame in frames:
            for row in told(frame, "events"):
                named = any(f"pid {pid} (" in str(row["detail"]) for pid in pids)
                if row["kind"] == "cpu_spike" and (named or frame.cell("host", "hidepid")):
                    return row
    return None


def is_quiet_in(frames: Iterator[Frame]) -> bool:
    """Whether there come 11 s in which the CPUs are at rest for more than half on average, and at their end."""
    place = RATE_POSITION["summary"]["cpu_busy_percent"]
    before: Frame | None = None
    shares: deque[float] = deque(maxlen=55)
    for frame in frames:
        share = None if before is None else RateTable(before, frame, "summary").cell((), place)
        count = frame.cell("summary", "cpu_count")
        if share is not None and isinstance(count, int):
            shares.append(share / count)
        if len(shares) == shares.maxlen and sum(shares) / len(shares) < 40 and max(list(shares)[-5:]) < 40:
            return True
        before = frame
    return False
