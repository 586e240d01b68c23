"""What a ztopd of the user nobody counts, with and without CAP_PERFMON, at three levels of perf_event_paranoid."""

import os
import tempfile
from pathlib import Path

from tests.pmu.guest.daemon import SECTION, WARMING_UP, Daemon, growth, key_of
from tests.pmu.guest.findings import Right, Rights, report
from tests.pmu.guest.known_loop import loop_program
from tests.pmu.guest.worker import Where, Worker

NOBODY = ("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PERFMON = ("--inh-caps=+perfmon", "--ambient-caps=+perfmon")
LEVEL = Path("/proc/sys/kernel/perf_event_paranoid")
INSTRUCTIONS = 100_000_000


def main() -> None:
    """Reports what it finds."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        loop = Path(folder) / "loop"
        loop.write_bytes(loop_program())
        loop.chmod(0o755)
        with Worker(*NOBODY, str(loop)) as own, Worker(str(loop)) as root:
            plain, perfmon = {}, {}
            for level in ("3", "2", "1"):
                LEVEL.write_text(level)
                plain[level] = right(NOBODY, own, root)
                perfmon[level] = right((*NOBODY, *PERFMON), own, root)
        report(Rights(plain, perfmon))


def right(before: tuple[str, ...], own: Worker, root: Worker) -> Right:
    """What a daemon that ``before`` starts makes of two processes that run the same."""
    with Daemon(*before) as daemon:
        # which of them gets counters is the question, so it cannot be waited for
        for _ in range(4):
            for one in (own, root):
                one.run(Where.MAIN, WARMING_UP)
            first = daemon.sampled_now()
        for one in (own, root):
            one.run(Where.MAIN, INSTRUCTIONS)
        last = daemon.sampled_now()
        growths = [growth(first, last, one.pid, INSTRUCTIONS) for one in (own, root)]
        key = key_of(last, own.pid)
        kernel_mode = None if key is None else last.cell(SECTION, "kernel_mode", key)
        return Right(*growths, None if kernel_mode is None else bool(kernel_mode), daemon.source())


if __name__ == "__main__":
    main()
