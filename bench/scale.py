#!/usr/bin/env python3
"""ztopd and ztop beside 10,000 processes of 25,000 threads: how often it samples, what it costs, what it says.

    python bench/scale.py [--processes 10000] [--threads 25000] [--seconds 30]

First ztopd with ztop on 200x50, then with a client that wants all threads, too. The processes rest, but for one in a
hundred. They end with this program. It asks /proc first whether there is room for them.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.monitors import Monitor, drain, ours, slab_bytes, start_load, usage  # noqa: E402
from ztop_client import DaemonUnreachable, Session, connect  # noqa: E402
from ztop_client.costs import sources  # noqa: E402
from ztop_protocol.connection import RemoteError  # noqa: E402
from ztop_protocol.frame import Frame  # noqa: E402
from ztop_protocol.schema import SECTIONS  # noqa: E402

_SPARE_TASKS = 2000
_MIB = 1 << 20


def check_room(tasks: int) -> None:
    """Ends the program where so many tasks are not to be had."""
    now = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    limits = {"kernel.pid_max": int(Path("/proc/sys/kernel/pid_max").read_text())}
    limits["kernel.threads-max"] = int(Path("/proc/sys/kernel/threads-max").read_text())
    if os.geteuid() != 0:
        limits["ulimit -u"] = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    for name, limit in limits.items():
        if limit >= 0 and now + tasks + _SPARE_TASKS > limit:
            sys.exit(f"{tasks} tasks beside {now} others: {name} is {limit}")


def session_of(path: Path) -> Session:
    """Waits until it answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            session = connect(str(path))
            session.snapshot([])
            return session
        except (DaemonUnreachable, RemoteError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def followed(path: Path, monitors: list[Monitor], seconds: float, names: list[str]) -> list[Frame]:
    """The frames of that time, while the terminals are read."""
    frames = []
    with session_of(path) as session:
        coming = session.frames(sections=names)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            drain(monitors, 0.01)
            frames.append(next(coming))
        coming.close()  # type: ignore[attr-defined]
    return frames


def report(what: str, frames: list[Frame], monitors: list[Monitor], before: dict[str, float], seconds: float) -> None:
    first, last = frames[0], frames[-1]
    print(f"\n{what}: {len(last.rows('processes'))} processes, {last.cell('host', 'threads_total')} threads", end="")
    print(f" ({len(last.rows('threads'))} read)" if last.rows("threads") else "")
    steps = [(b.boottime_ns - a.boottime_ns) / 1e9 for a, b in pairwise(frames)]
    print(f"  {len(frames)} frames in {(last.boottime_ns - first.boottime_ns) / 1e9:.1f} s, the longest step "
          f"{max(steps):.2f} s, the last {steps[-1]:.2f} s")  # fmt: skip
    for monitor in monitors:
        used = usage(monitor.pid)
        percent = 100 * (used.cpu_seconds - before[monitor.name]) / seconds
        print(f"  {monitor.name}: {percent:.1f} % of a core, RSS {used.rss_bytes / _MIB:.0f} MiB, "
              f"{monitor.output_bytes} bytes drawn")  # fmt: skip
    for one in sources(frames[-2], last):
        cost = f"{one.cost_ns / 1e6:7.1f} ms" if isinstance(one.cost_ns, int) else ""
        if (isinstance(one.cost_ns, int) and one.cost_ns > 1e6) or one.state == "degraded" or one.cpu_percent:
            share = "" if one.cpu_percent is None else f"{one.cpu_percent:.1f} % of a core"
            print(f"    {one.name:12} {one.state:9} {cost:>10} {share} {one.reason or ''}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--processes", type=int, default=10_000)
    arguments.add_argument("--threads", type=int, default=25_000, help="in all, the processes' own included")
    arguments.add_argument("--seconds", type=float, default=30)
    options = arguments.parse_args()
    check_room(options.threads)
    # whatever ends this program ends the load, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slab = slab_bytes()
        load = start_load(folder, options.processes, 2 * (options.threads - options.processes) // options.processes)
        print(f"the load takes {(slab_bytes() - slab) / _MIB:.0f} MiB of slab")
        monitors = ours(folder)
        try:
            slab = slab_bytes()
            began = time.monotonic()
            monitors[0].start()
            session_of(folder / "ztopd.sock").close()
            print(f"ztopd's first frame came after {time.monotonic() - began:.1f} s")
            monitors[1].start()
            drain(monitors, 5)
            every = [name for name in SECTIONS if name != "threads"]
            for what, names in (("ztop", every), ("ztop and all threads", list(SECTIONS))):
                before = {monitor.name: usage(monitor.pid).cpu_seconds for monitor in monitors}
                started = time.monotonic()
                frames = followed(folder / "ztopd.sock", monitors, options.seconds, names)
                report(what, frames, monitors, before, time.monotonic() - started)
            print(f"\nslab grew by {(slab_bytes() - slab) / _MIB:.0f} MiB")
        finally:
            for monitor in monitors:
                monitor.stop()
            load.kill()
            load.communicate()


if __name__ == "__main__":
    main()
