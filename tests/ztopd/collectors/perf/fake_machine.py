"""A /proc of a few processes, and the scan of it, without any real process."""

import os
from collections.abc import Iterable
from pathlib import Path

from ztopd.collectors.process_entry import Process
from ztopd.collectors.process_stat import TICK_NS, parse_stat


def stat_line(pid: int, *, cpu_ticks: int = 0, threads: int = 1, start_ticks: int = 100, flags: int = 0) -> bytes:
    """A line of /proc/PID/stat."""
    fields = ["0"] * 50
    fields[0], fields[6], fields[11] = "R", str(flags), str(cpu_ticks)
    fields[17], fields[19] = str(threads), str(start_ticks)
    return f"{pid} (name) {' '.join(fields)}\n".encode()


class Machine:
    """Processes that do what the test says. Implements :class:`ztopd.collectors.perf.process_counters.Scan`."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.sys = folder / "sys"
        self.proc.mkdir()
        (self.proc / "self").symlink_to(str(os.getpid()))
        self._ran: list[Process] = []
        self._ended: list[Process] = []

    def ran(self) -> list[Process]:
        """Those that ran since the last tick."""
        return self._ran

    def ended(self) -> list[Process]:
        """Those that ended since the last tick."""
        return self._ended

    def start(self, pid: int, *more_tids: int, start_ticks: int = 100, flags: int = 0) -> Process:
        """A process with those threads."""
        folder = self.proc / str(pid)
        (folder / "task").mkdir(parents=True)
        self.set_threads(pid, pid, *more_tids)
        line = stat_line(pid, threads=1 + len(more_tids), start_ticks=start_ticks, flags=flags)
        (folder / "stat").write_bytes(line)
        process = Process(pid, line, parse_stat(line), os.stat(folder / "stat").st_uid)
        # as of one that the scan knows to rest when it rests
        process.schedstat_descriptor = None if more_tids else -1
        return process

    def set_threads(self, pid: int, *tids: int) -> None:
        """These are its threads from now on."""
        folder = self.proc / str(pid) / "task"
        there = {int(path.name) for path in folder.iterdir()}
        for tid in there - set(tids):
            (folder / str(tid)).rmdir()
        for tid in set(tids) - there:
            (folder / str(tid)).mkdir()

    def end(self, *processes: Process) -> None:
        """They are gone, which the next tick tells."""
        for process in processes:
            self.set_threads(process.pid)
            folder = self.proc / str(process.pid)
            (folder / "stat").unlink()
            (folder / "task").rmdir()
            folder.rmdir()
        self._ended = list(processes)

    def tick(self, ran: Iterable[Process] = (), cpu_ns: int = 0) -> None:
        """A scan: these ran, each for so long."""
        self._ran = list(ran)
        for process in self._ran:
            stat = process.stat
            process.stat = stat._replace(user_time_ns=stat.user_time_ns + cpu_ns)

    def settle(self) -> None:
        """What ended is known by now."""
        self._ended = []


START_NS = 100 * TICK_NS
"""When the processes of :meth:`Machine.start` started."""
