"""The section ``cpus``: the time that every CPU spent in each state, and its frequency.

Sources: /proc/stat (Documentation/filesystems/proc.rst), cpufreq's scaling_cur_freq
(Documentation/admin-guide/pm/cpufreq.rst), /proc/cpuinfo.
"""

import time
from collections.abc import Iterable

from ztop_protocol.frame import Row
from ztopd.collectors.files import read, read_if_there, read_int
from ztopd.collectors.kept import Kept
from ztopd.collectors.process_stat import TICK_NS
from ztopd.collectors.source import ParseError, Roots, Sample, by_key

_TIMES = 10
_CPUFREQ_NS = 2_000_000_000
_CPUINFO_NS = 5_000_000_000
_SLOW_NS = 20_000_000
_SLOW_RETRY_NS = 60_000_000_000

Times = tuple[int | None, ...]


def parse_cpu_times(data: bytes) -> dict[int, Times]:
    """/proc/stat -> for every CPU that is online the ten times in ns, in the schema's order.

    A column that an older kernel does not have is None. Raises :exc:`ParseError`.
    """
    start, end = data.find(b"\ncpu") + 1, data.find(b"\nintr ")
    if not start:
        raise ParseError(f"/proc/stat: no line of a CPU after {data[:80]!r}")
    times: dict[int, Times] = {}
    missing = (None,) * _TIMES
    # the lines of the CPUs stand together, after the one of all of them, before a very long one
    for line in data[start : end if end > 0 else len(data)].splitlines():
        fields = line.split()
        try:
            known = [int(ticks) * TICK_NS for ticks in fields[1 : _TIMES + 1]]
            times[int(fields[0][3:])] = (*known, *missing[len(known) :])
        except (ValueError, IndexError):
            raise ParseError(f"/proc/stat, line {len(times) + 2}: {line[:80]!r}") from None
    return times


def parse_cpuinfo_frequencies(data: bytes) -> dict[int, int]:
    """/proc/cpuinfo -> hertz by CPU, of the CPUs that have a line ``cpu MHz``. Raises :exc:`ParseError`."""
    frequencies: dict[int, int] = {}
    for block in data.split(b"\n\n"):
        # other architectures name neither in this form, or one of them only
        at = block.find(b"\ncpu MHz\t")
        if at < 0 or not block.startswith(b"processor\t"):
            continue
        cpu, megahertz = block[: block.index(b"\n")], block[at + 1 :].split(b"\n", 1)[0]
        try:
            frequencies[int(_value(cpu))] = round(float(_value(megahertz)) * 1_000_000)
        except (ValueError, OverflowError):
            raise ParseError(f"/proc/cpuinfo: {cpu[:40]!r}, {megahertz[:40]!r}") from None
    return frequencies


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2]


class Frequencies:
    """The CPUs' frequencies, read seldom: both sources may interrupt every CPU.

    From Linux 4.13 to 5.17 cpufreq's file on x86 may even sleep for 10 ms, for each CPU. Where it does,
    /proc/cpuinfo, which sleeps once for all of them, stands in for it.
    """

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._cpus: tuple[int, ...] = ()
        self._cpufreq = Kept(self._read_cpufreq, _CPUFREQ_NS)
        self._cpuinfo = Kept(self._read_cpuinfo, _CPUINFO_NS)
        self._slow_until_ns = 0

    def hertz(self, cpus: Iterable[int]) -> list[int | None]:
        """The frequency of each of ``cpus``, None where nothing tells."""
        self._cpus = tuple(cpus)
        frequencies = self._cpufreq.value()
        if len(frequencies) < len(self._cpus):
            frequencies = self._cpuinfo.value() | frequencies
        return [frequencies.get(cpu) for cpu in self._cpus]

    def _read_cpufreq(self) -> dict[int, int]:
        frequencies: dict[int, int] = {}
        started_ns = time.monotonic_ns()
        if started_ns < self._slow_until_ns:
            return frequencies
        for cpu in self._cpus:
            kilohertz = read_int(f"{self._roots.sys}/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq")
            if kilohertz is not None:
                frequencies[cpu] = kilohertz * 1000
            now_ns = time.monotonic_ns()
            if now_ns - started_ns > _SLOW_NS:
                self._slow_until_ns = now_ns + _SLOW_RETRY_NS
                return {}
        return frequencies

    def _read_cpuinfo(self) -> dict[int, int]:
        data = read_if_there(f"{self._roots.proc}/cpuinfo")
        return {} if data is None else parse_cpuinfo_frequencies(data)


class Cpus:
    """Gives a row of ``cpus`` for every CPU that is online."""

    name = "cpus"
    period_ns = 0

    def __init__(self, roots: Roots) -> None:
        self._stat = f"{roots.proc}/stat"
        self._frequencies = Frequencies(roots)

    def collect(self) -> Sample:
        """Reads the CPUs. Raises :exc:`OSError`, :exc:`ParseError`."""
        times = parse_cpu_times(read(self._stat))
        hertz = self._frequencies.hertz(times)
        rows: list[Row] = [(cpu, *row, frequency) for (cpu, row), frequency in zip(times.items(), hertz, strict=True)]
        return Sample({self.name: by_key(self.name, rows)})
