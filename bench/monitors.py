#!/usr/bin/env python3
"""What watching costs: ztopd + ztop beside htop, btop, top and atop, all at 1 s in 200x50 terminals, in one run.

    bench/monitors.py [--processes 1000] [--seconds 30]

Figures are the kernel's accounting of each monitor's processes over the same seconds: CPU in % of one core, its ratio
to btop's, RSS and PSS, and what goes to the terminal. Needs a C compiler; peers that are not installed are left out.
Run it with the Python that has ztop's dependencies, e.g. .venv/bin/python.
"""

import argparse
import fcntl
import os
import pty
import selectors
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, LINES = 200, 50
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Monitor:
    """A program in a terminal of its own, and what was counted of it."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    in_terminal: bool = True
    pid: int = 0
    terminal: int | None = None
    output_bytes: int = 0
    slab_bytes: int = 0
    """By how much the kernel's own memory grew while it started: noisy, but kept descriptors show there alone."""

    def start(self) -> None:
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        environment |= self.environment
        if not self.in_terminal:
            self.pid = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL).pid
            return
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(self.command[0], self.command, environment)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def stop(self) -> None:
        os.kill(self.pid, 15)
        for _ in range(50):
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                break
            time.sleep(0.1)
        else:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)


@dataclass
class Usage:
    """What a monitor's processes used up to now."""

    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int = 0
    write_calls: int = 0
    write_bytes: int = 0


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def usage(pid: int) -> Usage:
    total = Usage()
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        # the children that ended count too
        total.cpu_seconds += sum(map(int, fields[11:15])) / TICKS_PER_SECOND
        total.rss_bytes += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        total.pss_bytes += int(rollup.partition("\nPss:")[2].split(None, 1)[0]) << 10
        io = dict(line.split(": ") for line in Path(f"/proc/{member}/io").read_text().splitlines())
        total.write_calls += int(io["syscw"])
        total.write_bytes += int(io["wchar"])
    return total


def slab_bytes() -> int:
    """The kernel's slab memory, all of it: it is charged to nobody."""
    return int(Path("/proc/meminfo").read_text().partition("\nSlab:")[2].split(None, 1)[0]) << 10


def drain(monitors: list[Monitor], seconds: float) -> None:
    """Reads what the terminals get, as a terminal emulator would."""
    with selectors.DefaultSelector() as selector:
        for monitor in monitors:
            if monitor.terminal is not None:
                selector.register(monitor.terminal, selectors.EVENT_READ, monitor)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                try:
                    key.data.output_bytes += len(os.read(key.fd, 1 << 16))
                except OSError:
                    sys.exit(f"{key.data.name} ended before its time")


def peers(folder: Path) -> list[Monitor]:
    (folder / "btop").mkdir()
    (folder / "btop" / "btop.conf").write_text("update_ms = 1000\n")
    candidates = [
        Monitor("btop", ["btop", "--utf-force"], {"XDG_CONFIG_HOME": str(folder)}),
        Monitor("htop", ["htop", "-d", "10"], {"HTOPRC": str(folder / "htoprc")}),
        Monitor("top", ["top", "-d", "1"]),
        Monitor("atop", ["atop", "1"]),
    ]
    for missing in [monitor.name for monitor in candidates if shutil.which(monitor.command[0]) is None]:
        print(f"{missing} is not installed: left out", file=sys.stderr)
    return [monitor for monitor in candidates if shutil.which(monitor.command[0])]


def ours(folder: Path) -> list[Monitor]:
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}", "XDG_CONFIG_HOME": str(folder / "config")}
    path = str(folder / "ztopd.sock")
    return [
        Monitor(
            "ztopd",
            [sys.executable, "-P", "-m", "ztopd", "--socket", path, "--store", str(folder / "store")],
            environment,
            in_terminal=False,
        ),
        Monitor("ztop", [sys.executable, "-P", "-m", "ztop_client", "--socket", path], environment),
    ]


def start_load(folder: Path, processes: int, threads: int = 0) -> "subprocess.Popen[bytes]":
    program = folder / "load"
    subprocess.run(["cc", "-O1", "-pthread", "-o", program, ROOT / "bench" / "load.c"], check=True)
    load = subprocess.Popen([program, str(processes), str(threads)], stdout=subprocess.PIPE)
    assert load.stdout is not None
    load.stdout.readline()
    return load


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--processes", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=30)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = start_load(folder, options.processes)
        monitors: list[Monitor] = []
        try:
            for monitor in [*ours(folder), *peers(folder)]:
                slab = slab_bytes()
                monitor.start()
                monitors.append(monitor)
                drain(monitors, 4.0)
                monitor.slab_bytes = slab_bytes() - slab
            # until everyone has found the load and its first screens are drawn
            drain(monitors, 12.0)
            before = {monitor.name: usage(monitor.pid) for monitor in monitors}
            outputs = {monitor.name: monitor.output_bytes for monitor in monitors}
            started = time.monotonic()
            drain(monitors, options.seconds)
            seconds = time.monotonic() - started
            after = {monitor.name: usage(monitor.pid) for monitor in monitors}
            outputs = {monitor.name: monitor.output_bytes - outputs[monitor.name] for monitor in monitors}
        finally:
            for monitor in monitors:
                monitor.stop()
            load.kill()
            load.communicate()
    slabs = {monitor.name: monitor.slab_bytes for monitor in monitors}
    report(before, after, outputs, slabs, seconds, options.processes)


def report(
    before: dict[str, Usage],
    after: dict[str, Usage],
    outputs: dict[str, int],
    slabs: dict[str, int],
    seconds: float,
    processes: int,
) -> None:
    cpu = {name: 100 * (after[name].cpu_seconds - before[name].cpu_seconds) / seconds for name in after}
    rows = {name: (cpu[name], after[name].rss_bytes, after[name].pss_bytes, slabs[name]) for name in after}
    rows["ztopd + ztop"] = (
        rows["ztopd"][0] + rows["ztop"][0],
        rows["ztopd"][1] + rows["ztop"][1],
        rows["ztopd"][2] + rows["ztop"][2],
        rows["ztopd"][3] + rows["ztop"][3],
    )
    reference = cpu.get("btop")
    print(f"{processes} processes, {seconds:.0f} s at 1 s, {COLUMNS}x{LINES}; CPU in % of one core, memory in MiB")
    print(f"{'':14}{'CPU %':>8}{'of btop':>9}{'RSS':>7}{'PSS':>7}{'slab':>7}{'KiB/s out':>11}{'writes/s':>10}")
    for name, (percent, rss, pss, slab) in rows.items():
        ratio = f"{percent / reference:9.2f}" if reference else f"{'-':>9}"
        line = f"{name:14}{percent:8.2f}{ratio}{rss / 2**20:7.1f}{pss / 2**20:7.1f}{slab / 2**20:7.1f}"
        if name in outputs and name != "ztopd":
            calls = (after[name].write_calls - before[name].write_calls) / seconds
            line += f"{outputs[name] / 1024 / seconds:11.1f}{calls:10.1f}"
        print(line)


if __name__ == "__main__":
    main()
