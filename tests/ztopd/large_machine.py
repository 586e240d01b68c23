"""A /proc and a /sys of a machine far larger than any that tests run on, made under a folder of the caller's.

What is alike is one file with many names: all processes have the same threads, whose numbers are the first one's.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ztopd.collectors.source import Roots

CGROUP_FILES = {
    "cpu.stat": "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 0\nnr_throttled 0\n"
    "throttled_usec 0\n",
    "memory.current": "104857600\n",
    "memory.max": "max\n",
    "memory.stat": "anon 1048576\nfile 2097152\n",
    "pids.current": "7\n",
    "pids.max": "max\n",
    "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is of everything. Each process has ``threads`` threads."""

    processes: int
    threads: int
    cpus: int
    disks: int
    networks: int
    cgroups: int


LARGE = Size(processes=1000, threads=400, cpus=512, disks=2000, networks=2000, cgroups=5000)
"""400,000 threads."""


def make(folder: Path, size: Size) -> Roots:
    """The trees, below ``folder``."""
    proc, sys = folder / "proc", folder / "sys"
    _machine(proc, size)
    _processes(proc, size)
    _disks_and_networks(proc, sys, size)
    _cgroups(proc, sys, size)
    return Roots(str(proc), str(sys))


def work(roots: Roots, seconds: int) -> None:
    """Everything goes on by so many seconds; the first process works."""
    stat = Path(roots.proc, "stat")
    lines = stat.read_text().splitlines()
    for place, line in enumerate(lines):
        if line.startswith("cpu"):
            name, *numbers = line.split()
            numbers[0] = str(int(numbers[0]) + 50 * seconds)
            numbers[3] = str(int(numbers[3]) + 50 * seconds)
            lines[place] = " ".join([name, *numbers])
    stat.write_text("\n".join(lines) + "\n")
    # a new file: the old one may have many names
    of_first = Path(roots.proc, "1000", "stat")
    fields = of_first.read_text().split()
    fields[13] = str(int(fields[13]) + 90 * seconds)
    of_first.unlink()
    of_first.write_text(" ".join(fields) + "\n")
    schedstat = Path(roots.proc, "1000", "schedstat")
    schedstat.unlink()
    schedstat.write_text(f"{int(fields[13]) * 10_000_000} 0 1\n")


def _machine(proc: Path, size: Size) -> None:
    proc.mkdir(parents=True)
    cpu_lines = [f"cpu{n} 1000 0 500 90000 10 0 5 0 0 0" for n in range(size.cpus)]
    interrupts = " ".join(["0"] * 5000)
    _write(
        proc / "stat",
        "\n".join(["cpu 1000 0 500 90000 10 0 5 0 0 0", *cpu_lines, f"intr 12345 {interrupts}", "ctxt 99999",
                   "btime 1700000000", "processes 400000", "procs_running 9", "procs_blocked 0"]) + "\n",
    )  # fmt: skip
    _write(proc / "uptime", "123456.78 9999999.00\n")
    _write(proc / "loadavg", f"12.34 23.45 34.56 9/{size.processes * size.threads} 33333\n")
    _write(
        proc / "meminfo",
        "MemTotal: 4294967296 kB\nMemFree: 1000000000 kB\nMemAvailable: 2000000000 kB\nBuffers: 1000 kB\n"
        "Cached: 900000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    )
    _write(proc / "sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
    _write(proc / "sys/kernel/hostname", "large\n")
    _write(proc / "sys/kernel/osrelease", "6.8.0\n")
    (proc / "self/ns").mkdir(parents=True)
    (proc / "self/ns/pid").symlink_to("pid:[4026531836]")


def _processes(proc: Path, size: Size) -> None:
    alike = proc / "1000"
    for number in range(size.processes):
        pid = 1000 + number * size.threads
        folder = proc / str(pid)
        folder.mkdir()
        _write(folder / "stat", _stat(pid, f"worker{number}", size.threads, number))
        _write(folder / "cmdline", f"/usr/bin/worker{number}\0--of=a large machine\0--number\0{number}\0")
        for name, content in (
            ("status", "Name:\tworker\nUid:\t1000\t1000\t1000\t1000\nRssFile:\t100 kB\nRssShmem:\t0 kB\nVmSwap:\t0 kB\n"
             "NSpid:\t7\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t1\n"),
            ("schedstat", "1000000 0 1\n"),
            ("io", "rchar: 1\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"),
            ("cgroup", "0::/tenant0/service0\n"),
            ("oom_score", "666\n"),
        ):  # fmt: skip
            if number:
                os.link(alike / name, folder / name)
            else:
                _write(folder / name, content)
        if number:
            os.symlink(alike / "task", folder / "task")
            continue
        for tid in range(pid, pid + size.threads):
            (folder / "task" / str(tid)).mkdir(parents=True)
            os.link(folder / "stat", folder / "task" / str(tid) / "stat")


def _stat(pid: int, comm: str, threads: int, used: int) -> str:
    return (
        f"{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194304 100 0 0 0 {used} 10 0 0 20 0 {threads} 0 5000 100000000 2500"
        " 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    )


def _disks_and_networks(proc: Path, sys: Path, size: Size) -> None:
    lines = []
    for number in range(size.disks):
        name = f"sd{number:04}"
        lines.append(f"{8 + number // 256} {number % 256} {name} 100 0 800 10 200 0 1600 20 0 30 30 0 0 0 0 0 0")
        (sys / "block" / name / "device").mkdir(parents=True)
        _write(sys / "class/block" / name / "size", "2097152\n")
        _write(sys / "block" / name / "device/model", "LARGE DISK\n")
    _write(proc / "diskstats", "\n".join(lines) + "\n")
    lines = ["Inter-|   Receive  |  Transmit", " face |bytes packets |bytes packets"]
    for number in range(size.networks):
        name = f"veth{number:04}"
        lines.append(f"{name}: 1000 10 0 0 0 0 0 0 2000 20 0 0 0 0 0 0")
        for file, content in (("operstate", "up\n"), ("speed", "10000\n"), ("mtu", "1500\n")):
            _write(sys / "class/net" / name / file, content)
    _write(proc / "net/dev", "\n".join(lines) + "\n")


def _cgroups(proc: Path, sys: Path, size: Size) -> None:
    top = sys / "fs/cgroup"
    top.mkdir(parents=True)
    _write(proc / "self/mountinfo", "30 20 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    for name, content in CGROUP_FILES.items():
        _write(top / name, content)
    tenants = max(1, size.cgroups // 100)
    folders = [top / f"tenant{number}" for number in range(tenants)]
    folders += [folders[number % tenants] / f"service{number}" for number in range(size.cgroups - tenants - 1)]
    for folder in folders:
        folder.mkdir(parents=True)
        for name in CGROUP_FILES:
            os.link(top / name, folder / name)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
