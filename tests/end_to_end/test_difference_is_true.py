"""A difference against the kernel's own figures: a real daemon, and a process that burns CPU time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon, until
from ztop_client.channel import Channel
from ztop_client.comparing import frames_between
from ztop_client.daemon import SocketDaemon
from ztop_client.difference.compare import difference
from ztop_client.sources.past import RememberedPast

SECOND = 1_000_000_000
TICK_NS = SECOND // os.sysconf("SC_CLK_TCK")
BUSY = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq and steal in a line of /proc/stat, see proc_stat(5)."""
BURN = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: pass"


def busy_ns() -> int:
    """CPU time that all cores spent, as the sum of what the kernel rounds for each."""
    lines = Path("/proc/stat").read_text().splitlines()
    cores = [line.split()[1:] for line in lines if line.startswith("cpu") and line[3].isdigit()]
    return sum(int(core[state]) for core in cores for state in BUSY) * TICK_NS


def read_at_a_frame(daemon: Daemon) -> tuple[int, int, int]:
    """/proc/stat within a few ms of a frame: the frame's time, the figure, how long after it that was read."""
    with daemon.session() as session:
        frames = session.frames(sections=["cpus"])
        # the first is of the past
        next(frames), next(frames)
        frame = next(frames)
        figure = busy_ns()
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        frames.close()  # type: ignore[attr-defined]
    return frame.time_ns, figure, now_ns - frame.sections["cpus"].sampled_boottime_ns


@pytest.mark.slow
def test_the_sums_are_the_kernels_and_the_culprit_is_on_top(start: Callable[..., Daemon]) -> None:
    daemon = start("--store", "off")
    from_ns, busy_before, late_before = read_at_a_frame(daemon)
    burner = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        _, status, used = os.wait4(burner.pid, 0)
    except BaseException:
        burner.kill()
        raise
    burner.returncode = os.waitstatus_to_exitcode(status)
    assert burner.returncode == 0
    until(lambda: not Path(f"/proc/{burner.pid}").exists(), "the process is gone")
    to_ns, busy_after, late_after = read_at_a_frame(daemon)

    past = RememberedPast(Channel(SocketDaemon(str(daemon.path)).connect()), "the daemon")
    try:
        found = difference(frames_between(past, from_ns, to_ns))
    finally:
        past.close()
    assert (found.from_time_ns // 1_000_000, found.to_time_ns // 1_000_000) == (
        from_ns // 1_000_000,
        to_ns // 1_000_000,
    )
    machine, rest = found.machine, found.remainder
    kernels = busy_after - busy_before
    # all cores may have worked between a frame and its reading here
    apart = machine.cpu_count * (max(late_before, 0) + max(late_after, 0))
    assert machine.cpu_busy_time_ns == pytest.approx(kernels, abs=max(0.02 * kernels, 50_000_000) + apart)

    (culprit,) = (one for one in found.processes if one.pid == burner.pid)
    assert culprit.is_born and culprit.is_ended
    assert culprit.use.cpu_time_ns is not None
    # the kernel told the test as well; what it used after the last frame that shows it is nobody's
    burned_ns = (used.ru_utime + used.ru_stime) * SECOND
    assert culprit.ended_before_time_ns is not None and culprit.ended_after_time_ns is not None
    unseen_ns = culprit.ended_before_time_ns - culprit.ended_after_time_ns
    assert burned_ns - unseen_ns - 50_000_000 <= culprit.use.cpu_time_ns <= burned_ns + 50_000_000
    # others' programs may be busier; of the test's own, none is
    own = {os.getpid(), daemon.process.pid, *(process.pid for process in daemon.family())}
    ours = [one for one in found.processes if one.pid in own]
    assert ours and all((one.use.cpu_time_ns or 0) < culprit.use.cpu_time_ns for one in ours)
    # what the parts make up, with nothing left out
    seen = sum(one.use.cpu_time_ns or 0 for one in found.processes)
    assert rest.unseen_cpu_time_ns is not None and rest.interrupt_time_ns is not None and rest.steal_time_ns is not None
    assert seen + rest.unseen_cpu_time_ns + rest.interrupt_time_ns + rest.steal_time_ns == machine.cpu_busy_time_ns
