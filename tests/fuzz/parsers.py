"""The parsers of /proc and /sys: whatever a file says, rows or a ParseError."""

import random
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import isfinite
from typing import Any

from tests.fuzz.machine import FIXTURES
from tests.fuzz.mutation import text_mutated
from tests.fuzz.target import Target
from ztop_protocol.codec import encode_table
from ztopd.collectors import cgroup_files, filesystems, host, memory, mountinfo, process_stat, process_status, sensors
from ztopd.collectors.cgroup_files import CgroupValues
from ztopd.collectors.container import container_of
from ztopd.collectors.cpus import parse_cpu_times, parse_cpuinfo_frequencies
from ztopd.collectors.disks import parse_diskstats_line
from ztopd.collectors.files import text
from ztopd.collectors.networks import parse_net_dev_line
from ztopd.collectors.pressure import parse_pressure
from ztopd.collectors.source import ParseError
from ztopd.collectors.threads import thread_row


def _filled(fill: Callable[[CgroupValues, bytes], None]) -> Callable[[bytes], Any]:
    def parse(data: bytes) -> CgroupValues:
        values = CgroupValues()
        fill(values, data)
        return values

    return parse


def _cgroup(data: bytes) -> Any:
    path = process_status.parse_cgroup(data)
    return path, None if path is None else container_of(path)


_CGROUP_FILES = {
    name: _filled(fill)
    for files in (cgroup_files.V2_FILES, *cgroup_files.V1_FILES.values())
    for name, fill in (*files.moving, *files.resting)
}
PARSERS: tuple[tuple[str, Callable[[bytes], Any]], ...] = (
    ("proc/stat", parse_cpu_times),
    ("proc/stat", host.parse_kernel_counts),
    ("proc/cpuinfo", parse_cpuinfo_frequencies),
    ("proc/uptime", host.parse_uptime),
    ("proc/loadavg", host.parse_load_averages),
    ("proc/self/mountinfo", lambda data: host.parse_hidepid(data, "/proc")),
    ("proc/self/mountinfo", lambda data: filesystems.real_mounts(mountinfo.parse_mountinfo(data))),
    ("proc/meminfo", memory.parse_meminfo),
    ("proc/vmstat", memory.parse_vmstat),
    ("proc/spl/kstat/zfs/arcstats", memory.parse_arcstats),
    ("sys/block/*/mm_stat", memory.parse_zram),
    ("proc/diskstats", lambda data: [parse_diskstats_line(line) for line in data.splitlines()]),
    ("proc/self/net/dev", lambda data: [parse_net_dev_line(line) for line in data.splitlines()]),
    ("proc/pressure/*", lambda data: parse_pressure("cpu", data)),
    ("proc/[0-9]*/stat", process_stat.parse_stat),
    ("proc/[0-9]*/stat", lambda data: thread_row(1, 2, 0, data)),
    ("proc/[0-9]*/status", process_status.parse_status),
    ("proc/[0-9]*/io", process_status.parse_io),
    ("proc/[0-9]*/cgroup", _cgroup),
    ("sys/class/hwmon/*/temp*_input", sensors.parse_celsius),
    ("statvfs", filesystems.parse_statvfs),
    ("namespace", lambda data: host.parse_namespace(text(data))),
    *((f"sys/fs/cgroup/**/{name}", parse) for name, parse in _CGROUP_FILES.items()),
)
"""Which files of a machine a parser reads, and the parser."""

_BY_HAND: dict[str, tuple[bytes, ...]] = {
    "statvfs": (b"4096 4096 1000 500 400 100 50 50 0 255", b"0 0 0 0 0 0 0 0 0 0"),
    "namespace": (b"pid:[4026531836]",),
    "sys/block/*/mm_stat": (b"  4096  74  12288  0 12288 0 0 0 0\n",),
    "sys/class/hwmon/*/temp*_input": (b"45000\n",),
}
_MOST_SEEDS = 3
_MOST_SEED_BYTES = 6000


def run(data: bytes) -> None:
    """The first byte is a parser, the rest is its file."""
    if not data:
        return
    _, parse = PARSERS[data[0] % len(PARSERS)]
    try:
        found = parse(data[1:])
    except ParseError as error:
        # it is shown, and sent
        encode_table(("reason",), 0, [(str(error),)])
        return
    for cell in _cells(found):
        if cell is None or isinstance(cell, (int, float, str)):
            assert not isinstance(cell, float) or isfinite(cell), "no frame may hold such a number"
            encode_table(("cell",), 0, [(cell,)])


def _cells(found: Any) -> Iterable[Any]:
    """What of it comes to stand in rows."""
    of_all: Iterable[Any] = found.values() if isinstance(found, dict) else (found,)
    for one in of_all:
        yield from one if isinstance(one, tuple) else (one,)


@lru_cache(1)
def _seeds() -> tuple[bytes, ...]:
    found = []
    for number, (pattern, _) in enumerate(PARSERS):
        files = [
            path for machine in sorted(FIXTURES.iterdir()) if machine.is_dir() for path in sorted(machine.glob(pattern))
        ]
        known = sorted({path.read_bytes() for path in files if path.is_file()}, key=len)
        # the shortest, the longest and one between
        chosen = {known[place] for place in (0, len(known) // 2, -1)} if known else set()
        for data in (*sorted(chosen), *_BY_HAND.get(pattern, ())):
            found.append(bytes((number,)) + data[:_MOST_SEED_BYTES])
        if not known and pattern not in _BY_HAND:
            found.append(bytes((number,)) + b"1\n")
    return tuple(found)


_WORDS = (
    *(b"cpu", b"intr", b"max", b"some", b"full", b"total=", b"avg10=", b"kB", b"Uid:\t", b"0::/", b"rbytes=", b"Read"),
    *(b"processor\t: 0\n", b"cpu MHz\t\t: ", b"(", b")", b"\\040", b" - ", b":", b"hidepid=2", b"pts", b"\xff\xc3"),
)
_rest_mutated = text_mutated(_WORDS, _seeds)


def mutated(data: bytes, chosen: random.Random) -> bytes:
    """The file changes; now and then another parser reads it."""
    number = chosen.randrange(len(PARSERS)) if not data or chosen.random() < 0.03 else data[0]
    return bytes((number,)) + _rest_mutated(data[1:], chosen)


TARGET = Target("parsers", "the parsers of /proc and /sys", _seeds, run, mutated)
