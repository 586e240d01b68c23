"""What a ztopd of an ordinary user counts, with and without CAP_PERFMON, at three levels of perf_event_paranoid."""

import os
import tempfile
import time
from pathlib import Path

from tests.pmu.guest.daemon import WARMING_UP, Daemon, cell_of, growth
from tests.pmu.guest.findings import Right, Rights, report
from tests.pmu.guest.known_loop import loop_program
from tests.pmu.guest.worker import Where, Worker
from ztopd.collectors.perf.process_counters import PROBE_NS

UID = 1001
ORDINARY = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
PERFMON = ("--inh-caps=+perfmon", "--ambient-caps=+perfmon")
LEVELS = ("3", "2", "1")
LEVEL = Path("/proc/sys/kernel/perf_event_paranoid")
INSTRUCTIONS = 500_000_000


def main() -> None:
    """Reports what it finds."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        loop = Path(folder) / "loop"
        loop.write_bytes(loop_program())
        loop.chmod(0o755)
        with Worker(*ORDINARY, str(loop)) as own, Worker(str(loop)) as root:
            report(Rights(plain=at_levels(ORDINARY, own, root), perfmon=at_levels((*ORDINARY, *PERFMON), own, root)))


def at_levels(before: tuple[str, ...], own: Worker, root: Worker) -> dict[str, Right]:
    """What one daemon makes of two processes that run the same, while the level goes down."""
    found = {}
    LEVEL.write_text(LEVELS[0])
    with Daemon(*before, uid=UID, interval=5.0) as daemon:
        for level in LEVELS:
            LEVEL.write_text(level)
            # it looks again by itself
            time.sleep(PROBE_NS / 1e9)
            found[level] = right(daemon, own, root)
    return found


def right(daemon: Daemon, own: Worker, root: Worker) -> Right:
    """What it makes of them at the level that there is."""
    # which of them gets counters is the question, so it cannot be waited for
    for _ in range(2):
        daemon.sampled_now()
        for one in (own, root):
            one.run(Where.MAIN, WARMING_UP)
    first = daemon.sampled_now()
    for one in (own, root):
        one.run(Where.MAIN, INSTRUCTIONS)
    last = daemon.sampled_now()
    kernel_mode = cell_of(last, own.pid, "kernel_mode")
    return Right(
        own=growth(first, last, own.pid, INSTRUCTIONS),
        root=growth(first, last, root.pid, INSTRUCTIONS),
        own_kernel_mode=None if kernel_mode is None else bool(kernel_mode),
        source=daemon.source(),
    )


if __name__ == "__main__":
    main()
