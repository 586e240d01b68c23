"""Known loops in processes and threads of all kinds: what ztopd's counters make of them, and what perf does."""

import os
import tempfile
from itertools import pairwise
from pathlib import Path

from tests.pmu.guest.daemon import (
    SECTION,
    Daemon,
    acting_as,
    cell_of,
    counted_pids,
    growth,
    measured,
    run_until_counted,
)
from tests.pmu.guest.findings import Counts, Growth, report
from tests.pmu.guest.known_loop import loop_program
from tests.pmu.guest.perf import PerfStat
from tests.pmu.guest.worker import Where, Worker
from ztop_client import connect
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS

INSTRUCTIONS = 500_000_000
STRANGER = 12345
RIVALS = 18
"""More events than an arm64 core has counters."""


def main() -> None:
    """Reports what it finds."""
    with tempfile.TemporaryDirectory() as folder, Daemon() as daemon:
        os.chmod(folder, 0o755)
        loop = Path(folder) / "loop"
        loop.write_bytes(loop_program())
        loop.chmod(0o755)
        report(find(daemon, str(loop)))


def find(daemon: Daemon, loop: str) -> Counts:
    """Everything, one after the other; the processes live on, and sleep."""
    as_stranger = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", loop)
    stranger = Worker(*as_stranger)
    with Worker(loop) as child, Worker.python(loop) as worker, stranger:
        run_until_counted(daemon, child.pid, lambda count: child.run(Where.MAIN, count))
        run_until_counted(daemon, stranger.pid, lambda count: stranger.run(Where.MAIN, count))
        run_until_counted(daemon, worker.pid, lambda count: worker.run(Where.EARLY, count))

        def in_worker(where: Where) -> Growth:
            return measured(daemon, worker.pid, INSTRUCTIONS, lambda count: worker.run(where, count))

        of_child = measured(daemon, child.pid, INSTRUCTIONS, lambda count: child.run(Where.MAIN, count))
        main, early, later = (in_worker(where) for where in (Where.MAIN, Where.EARLY, Where.LATER))
        with PerfStat(child.pid, "instructions", "cycles") as perf:
            beside_perf = measured(daemon, child.pid, INSTRUCTIONS, lambda count: child.run(Where.MAIN, count))
            perf_instructions, perf_cycles = perf.counts()
        with PerfStat(child.pid, *["instructions"] * RIVALS):
            contended = contention(daemon, child)
        frame = daemon.sampled_now()
        forked, parent = fork(daemon, worker)
        worker.tell(Where.EXEC)
        another_owners, total, truth = change_owner(daemon, as_stranger)
        return Counts(
            child=of_child,
            main_thread=main,
            early_thread=early,
            later_thread=later,
            forked=forked,
            parent_meanwhile=parent,
            after_exec=in_worker(Where.MAIN),
            beside_perf=beside_perf,
            perf_instructions=perf_instructions,
            perf_cycles=perf_cycles,
            contended=contended,
            another_owners=another_owners,
            another_owners_total=total,
            another_owners_truth=truth,
            absent=absent(frame),
            source=daemon.source(),
            root_sees=counted_pids(frame),
            stranger_sees=counted_pids(as_user(STRANGER, daemon)),
            roots_pid=child.pid,
            strangers_pid=stranger.pid,
        )


def contention(daemon: Daemon, child: Worker) -> list[Growth]:
    """Growths that follow each other without a gap."""
    frames = [daemon.sampled_now()]
    for _ in range(4):
        child.run(Where.MAIN, INSTRUCTIONS)
        frames.append(daemon.sampled_now())
    return [growth(*pair, child.pid, INSTRUCTIONS) for pair in pairwise(frames)]


def fork(daemon: Daemon, worker: Worker) -> tuple[Growth, Growth]:
    """Of a child and its parent, over a loop that runs in the child."""
    before_fork = daemon.sampled_now()
    pid = worker.tell(Where.FORK)
    total = 0

    def work(count: int) -> None:
        nonlocal total
        worker.run(Where.MAIN, count)
        total += count

    run_until_counted(daemon, pid, work)
    in_child = measured(daemon, pid, INSTRUCTIONS, work)
    # counts of children may come to their parents when they end
    worker.tell(Where.END)
    return in_child, growth(before_fork, daemon.sampled_now(), worker.pid, total)


def change_owner(daemon: Daemon, command: tuple[str, ...]) -> tuple[Growth, int, int]:
    """Of a process that becomes another user's by exec: over a loop then, all that its row has, and the truth of it."""
    total = 0

    def work(count: int) -> None:
        nonlocal total
        worker.run(Where.MAIN, count)
        total += count

    with Worker.python(*command) as worker:
        run_until_counted(daemon, worker.pid, work)
        work(INSTRUCTIONS)
        daemon.sampled_now()
        worker.tell(Where.EXEC)
        total = 0
        run_until_counted(daemon, worker.pid, work, "owner_uid", STRANGER)
        grown = measured(daemon, worker.pid, INSTRUCTIONS, work)
        counted = cell_of(daemon.sampled_now(), worker.pid, "instructions")
        assert isinstance(counted, int)
        return grown, counted, total


def absent(frame: Frame) -> list[str]:
    """The columns without any value."""
    rows = frame.rows(SECTION).values()
    return [name for place, name in enumerate(SECTIONS[SECTION].names) if all(row[place] is None for row in rows)]


def as_user(uid: int, daemon: Daemon) -> Frame:
    """A frame as another user gets it."""
    with acting_as(uid), connect(str(daemon.path)) as session:
        return session.snapshot([SECTION])


if __name__ == "__main__":
    main()
