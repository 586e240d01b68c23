"""The section ``memory``: what memory and swap are used for, and what was paged and swapped.

Sources: /proc/meminfo and /proc/vmstat (Documentation/filesystems/proc.rst), zram's mm_stat
(Documentation/admin-guide/blockdev/zram.rst), OpenZFS's arcstats.
"""

import os
from typing import TypeAlias

from ztop_protocol.frame import Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read, read_if_there, read_int, text
from ztopd.collectors.kept import Kept
from ztopd.collectors.process_stat import PAGE_BYTES
from ztopd.collectors.source import ParseError, Problem, Roots, Sample, by_key

_ZRAM_LIST_NS = 10_000_000_000

Fields: TypeAlias = tuple[tuple[str, str, int], ...]
"""Column of the schema, the name in the kernel's file, and what its value is multiplied with."""

MEMINFO: Fields = (
    ("total_bytes", "MemTotal", 1024),
    ("free_bytes", "MemFree", 1024),
    ("available_bytes", "MemAvailable", 1024),
    ("buffers_bytes", "Buffers", 1024),
    ("cached_bytes", "Cached", 1024),
    ("shared_bytes", "Shmem", 1024),
    ("slab_reclaimable_bytes", "SReclaimable", 1024),
    ("slab_unreclaimable_bytes", "SUnreclaim", 1024),
    ("active_bytes", "Active", 1024),
    ("inactive_bytes", "Inactive", 1024),
    ("dirty_bytes", "Dirty", 1024),
    ("writeback_bytes", "Writeback", 1024),
    ("anonymous_bytes", "AnonPages", 1024),
    ("mapped_bytes", "Mapped", 1024),
    ("page_tables_bytes", "PageTables", 1024),
    ("kernel_stack_bytes", "KernelStack", 1024),
    ("unevictable_bytes", "Unevictable", 1024),
    ("locked_bytes", "Mlocked", 1024),
    ("committed_bytes", "Committed_AS", 1024),
    ("commit_limit_bytes", "CommitLimit", 1024),
    ("swap_total_bytes", "SwapTotal", 1024),
    ("swap_free_bytes", "SwapFree", 1024),
    ("swap_cached_bytes", "SwapCached", 1024),
    ("zswap_pool_bytes", "Zswap", 1024),
    ("zswap_stored_bytes", "Zswapped", 1024),
    ("anonymous_huge_pages_bytes", "AnonHugePages", 1024),
    ("huge_page_size_bytes", "Hugepagesize", 1024),
    ("huge_pages_total", "HugePages_Total", 1),
    ("huge_pages_free", "HugePages_Free", 1),
)
ZRAM = ("zram_stored_bytes", "zram_compressed_bytes", "zram_used_bytes")
"""The first three numbers of mm_stat."""
ARCSTATS: Fields = (
    ("arc_bytes", "size", 1),
    ("arc_target_bytes", "c", 1),
    ("arc_minimum_bytes", "c_min", 1),
    ("arc_maximum_bytes", "c_max", 1),
)
VMSTAT: Fields = (
    ("swap_in_bytes", "pswpin", PAGE_BYTES),
    ("swap_out_bytes", "pswpout", PAGE_BYTES),
    ("page_in_bytes", "pgpgin", 1024),
    ("page_out_bytes", "pgpgout", 1024),
    ("page_faults", "pgfault", 1),
    ("major_page_faults", "pgmajfault", 1),
    ("oom_kills", "oom_kill", 1),
)


class _Values:
    """Some values of a file that has one on each line: found, not split, since most lines are of no use."""

    def __init__(self, file: str, fields: Fields, after_name: str, place: int = 0) -> None:
        """``place``: which word after the name holds the value."""
        self._file = file
        self._places = tuple((f"\n{name}{after_name}".encode(), factor) for _, name, factor in fields)
        self._place = place
        self.nothing: tuple[int | None, ...] = (None,) * len(fields)

    def of(self, data: bytes) -> tuple[int | None, ...]:
        """The values in the order of the fields, None for a line that is not there. Raises :exc:`ParseError`."""
        data = b"\n%b\n" % data
        values: list[int | None] = []
        for label, factor in self._places:
            at = data.find(label)
            if at < 0:
                values.append(None)
                continue
            start = at + len(label)
            line = data[start : data.find(b"\n", start)]
            try:
                values.append(int(line.split(None, self._place + 1)[self._place]) * factor)
            except (ValueError, IndexError):
                raise ParseError(f"{self._file}, line {text(label.strip())}: no number in {line[:40]!r}") from None
        return tuple(values)


_MEMINFO = _Values("/proc/meminfo", MEMINFO, ":")
_VMSTAT = _Values("/proc/vmstat", VMSTAT, " ")
_ARCSTATS = _Values("/proc/spl/kstat/zfs/arcstats", ARCSTATS, " ", place=1)


def parse_meminfo(data: bytes) -> tuple[int | None, ...]:
    """/proc/meminfo -> the cells of :data:`MEMINFO`. Raises :exc:`ParseError`."""
    return _MEMINFO.of(data)


def parse_vmstat(data: bytes) -> tuple[int | None, ...]:
    """/proc/vmstat -> the cells of :data:`VMSTAT`. Raises :exc:`ParseError`."""
    return _VMSTAT.of(data)


def parse_arcstats(data: bytes) -> tuple[int | None, ...]:
    """/proc/spl/kstat/zfs/arcstats -> the cells of :data:`ARCSTATS`. Raises :exc:`ParseError`."""
    return _ARCSTATS.of(data)


def parse_zram(data: bytes) -> tuple[int, ...]:
    """The mm_stat of one zram device -> the cells of :data:`ZRAM`. Raises :exc:`ParseError`."""
    try:
        stored, compressed, used = (int(number) for number in data.split()[: len(ZRAM)])
    except ValueError:
        raise ParseError(f"mm_stat of a zram device: not three numbers at the beginning of {data[:80]!r}") from None
    return (stored, compressed, used)


class Memory:
    """Gives the one row of ``memory``. What the machine does not have (zram, an ARC, older kernels' lines) is None."""

    name = "memory"
    period_ns = 0

    def __init__(self, roots: Roots) -> None:
        self._meminfo = f"{roots.proc}/meminfo"
        self._vmstat = f"{roots.proc}/vmstat"
        self._arcstats = f"{roots.proc}/spl/kstat/zfs/arcstats"
        self._block = f"{roots.sys}/block"
        self._zram_devices = Kept(self._list_zram_devices, _ZRAM_LIST_NS)

    def collect(self) -> Sample:
        """Reads the machine's memory. Raises :exc:`OSError` where meminfo cannot be read, :exc:`ParseError`."""
        meminfo, arcstats = read(self._meminfo), read_if_there(self._arcstats)
        vmstat, problem = None, None
        try:
            vmstat = read(self._vmstat)
        except OSError as error:
            problem = Problem(SourceState.DEGRADED, f"cannot read {self._vmstat}: {error.strerror}")
        row: Row = (
            *parse_meminfo(meminfo),
            *self._zram(),
            *(_ARCSTATS.nothing if arcstats is None else parse_arcstats(arcstats)),
            *(_VMSTAT.nothing if vmstat is None else parse_vmstat(vmstat)),
        )
        return Sample({self.name: by_key(self.name, [row])}, problem)

    def _zram(self) -> tuple[int | None, ...]:
        devices = [
            parse_zram(data)
            for device in self._zram_devices.value()
            if (data := read_if_there(f"{self._block}/{device}/mm_stat")) is not None
        ]
        return tuple(map(sum, zip(*devices, strict=True))) if devices else (None,) * len(ZRAM)

    def _list_zram_devices(self) -> list[str]:
        """The devices that are set up: the others have no size."""
        try:
            names = os.listdir(self._block)
        except OSError:
            return []
        return [name for name in names if name.startswith("zram") and read_int(f"{self._block}/{name}/disksize")]
