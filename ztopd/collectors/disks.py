"""Block devices: /proc/diskstats (Documentation/admin-guide/iostats.rst) and what /sys says of each."""

import os
import time
from dataclasses import dataclass

from ztop_protocol.frame import Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read, read_if_there, read_int, text
from ztopd.collectors.rotation import Rotation
from ztopd.collectors.source import ParseError, Problem, Roots, Rows, Sample, Withheld

SECTOR_BYTES = 512
"""The unit of /proc/diskstats and of size, whatever the device's own sector is."""
FACTS_PERIOD_NS = 30_000_000_000
FACTS_AT_A_TIME = 50

_NS_PER_MS = 1_000_000
_FIELDS_OF_OLD_PARTITIONS = 7
_RAM_MAJOR = 1


@dataclass(frozen=True, slots=True)
class DiskCounters:
    """One line of /proc/diskstats, in its order; None where this kernel's lines end earlier."""

    major: int
    minor: int
    name: str
    read_operations: int
    read_bytes: int
    read_time_ns: int | None
    write_operations: int
    write_bytes: int
    write_time_ns: int | None
    operations_in_flight: int | None
    busy_time_ns: int | None
    queue_time_ns: int | None
    discard_operations: int | None
    discard_bytes: int | None
    flush_operations: int | None


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """What /sys says of a device; None where it says nothing."""

    whole_disk: bool | None
    model: str | None
    size_bytes: int | None


def parse_diskstats_line(line: bytes) -> DiskCounters:
    """A line of 20 fields (Linux 5.5), 18 (4.18), 14, or 7 (partitions before 2.6.25); more are ignored.

    Raises :exc:`ParseError`.
    """
    fields = line.split()
    try:
        major, minor, name = int(fields[0]), int(fields[1]), text(fields[2])
        numbers = [int(field) for field in fields[3:]]
    except (ValueError, IndexError) as error:
        raise ParseError(f"diskstats: the line {line!r}: {error}") from error
    if len(fields) == _FIELDS_OF_OLD_PARTITIONS:
        reads, sectors_read, writes, sectors_written = numbers
        return DiskCounters(
            *(major, minor, name, reads, sectors_read * SECTOR_BYTES, None, writes, sectors_written * SECTOR_BYTES),
            *(None, None, None, None, None, None, None),
        )
    if len(numbers) < 11:
        raise ParseError(f"diskstats: the line {line!r} has {len(fields)} fields, neither 7 nor at least 14")
    with_discards, with_flushes = len(numbers) >= 15, len(numbers) >= 17
    return DiskCounters(
        *(major, minor, name),
        *(numbers[0], numbers[2] * SECTOR_BYTES, numbers[3] * _NS_PER_MS),
        *(numbers[4], numbers[6] * SECTOR_BYTES, numbers[7] * _NS_PER_MS),
        *(numbers[8], numbers[9] * _NS_PER_MS, numbers[10] * _NS_PER_MS),
        *(numbers[11] if with_discards else None, numbers[13] * SECTOR_BYTES if with_discards else None),
        numbers[15] if with_flushes else None,
    )


class Disks:
    """The section ``disks``: whole disks and partitions, without loops and ram disks that nobody has used."""

    name = "disks"
    period_ns = 0

    def __init__(self, roots: Roots) -> None:
        self._diskstats = f"{roots.proc}/diskstats"
        self._sys = roots.sys
        self._facts = Rotation(self._read_facts, FACTS_PERIOD_NS, FACTS_AT_A_TIME)
        # a device at rest has the same line as before: its name and row, None for one that is left out
        self._of_line: dict[bytes, tuple[str, Row | None]] = {}

    def collect(self) -> Sample:
        """Raises :exc:`Withheld` where there are no block devices."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        changed = self._facts.turn(now_ns)
        before = self._of_line
        of_line: dict[bytes, tuple[str, Row | None]] = {}
        rows: Rows = {}
        error: ParseError | None = None
        for line in self._read_lines():
            known = before.get(line)
            if known is None or known[0] in changed:
                try:
                    known = self._row(line, now_ns)
                except ParseError as failed:
                    error = error or failed
                    continue
            of_line[line] = known
            name, row = known
            if row is not None:
                rows[(name,)] = row
        if len(self._facts) > len(of_line):
            self._facts.forget_others({name for name, _ in of_line.values()})
        self._of_line = of_line
        problem = None if error is None else Problem(SourceState.DEGRADED, str(error))
        return Sample({self.name: rows}, problem, shares_rows=not changed)

    def _read_lines(self) -> list[bytes]:
        try:
            lines = read(self._diskstats).splitlines()
        except FileNotFoundError:
            lines = []
        if not lines:
            raise Withheld(
                Problem(SourceState.ABSENT, "no block devices in /proc/diskstats (a container may hide them)")
            )
        return lines

    def _row(self, line: bytes, now_ns: int) -> tuple[str, Row | None]:
        disk = parse_diskstats_line(line)
        facts = self._facts.fact(disk.name, now_ns)
        untouched = not disk.read_operations and not disk.write_operations
        if untouched and (not facts.size_bytes or disk.major == _RAM_MAJOR):
            return disk.name, None
        return disk.name, (
            *(disk.name, disk.major, disk.minor, facts.whole_disk, facts.model, facts.size_bytes),
            *(disk.read_operations, disk.read_bytes, disk.read_time_ns),
            *(disk.write_operations, disk.write_bytes, disk.write_time_ns),
            *(disk.operations_in_flight, disk.busy_time_ns, disk.queue_time_ns),
            *(disk.discard_operations, disk.discard_bytes, disk.flush_operations),
        )

    def _read_facts(self, name: str) -> DiskFacts:
        # cciss/c0d0 is cciss!c0d0 there
        name = name.replace("/", "!")
        whole = os.path.exists(f"{self._sys}/block/{name}")
        sectors = read_int(f"{self._sys}/class/block/{name}/size")
        model = read_if_there(f"{self._sys}/block/{name}/device/model") if whole else None
        return DiskFacts(
            True if whole else None if sectors is None else False,
            None if model is None else text(model).strip() or None,
            None if sectors is None else sectors * SECTOR_BYTES,
        )
