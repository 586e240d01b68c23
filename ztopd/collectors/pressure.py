"""The section ``pressure``: how long work waited for CPUs, memory and I/O.

Source: /proc/pressure (Documentation/accounting/psi.rst). ``cpu`` has no ``full`` line before Linux 5.13;
``irq`` (6.1, with CONFIG_IRQ_TIME_ACCOUNTING) has no ``some`` line.
"""

import errno
import os
import re

from ztop_protocol.frame import Cell, Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read_record
from ztopd.collectors.source import ParseError, Problem, Roots, Sample, Withheld, by_key

_ALWAYS = ("cpu", "memory", "io")
_WHERE_BUILT = ("irq",)
_FILE_BYTES = 4096
_AVERAGE = rb"(\d{1,20}\.\d{1,20})"
_LINE = re.compile(rb"(some|full) avg10=%b avg60=%b avg300=%b total=(\d{1,20})" % ((_AVERAGE,) * 3))

_MISSING = Problem(
    SourceState.ABSENT,
    "this kernel has no pressure stall information (/proc/pressure is missing)",
    "boot with psi=1 (Linux 4.20 or later, built with CONFIG_PSI)",
)
_TURNED_OFF = Problem(SourceState.ABSENT, "pressure stall information was turned off at boot", "boot with psi=1")


def parse_pressure(resource: str, data: bytes) -> Row:
    """One file of /proc/pressure -> the row of ``resource``; a line that is not there is four times None.

    Averages in percent, totals in ns. Raises :exc:`ParseError`.
    """
    some: tuple[Cell, ...] = (None,) * 4
    full: tuple[Cell, ...] = (None,) * 4
    for number, line in enumerate(data.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ParseError(f"/proc/pressure/{resource}, line {number}: {line[:80]!r}")
        cells = (float(match[2]), float(match[3]), float(match[4]), int(match[5]) * 1000)
        if match[1] == b"some":
            some = cells
        else:
            full = cells
    return (resource, *some, *full)


class Pressure:
    """Gives a row of ``pressure`` for each resource that the kernel watches."""

    name = "pressure"
    period_ns = 0

    def __init__(self, roots: Roots) -> None:
        self._folder = f"{roots.proc}/pressure"

    def collect(self) -> Sample:
        """Reads every resource; one that cannot be read is a problem.

        Raises :exc:`Withheld` where there is none at all, :exc:`ParseError`.
        """
        rows: list[Row] = []
        refusals: dict[str, OSError] = {}
        for resource in (*_ALWAYS, *_WHERE_BUILT):
            try:
                rows.append(parse_pressure(resource, read_record(f"{self._folder}/{resource}", _FILE_BYTES)))
            except OSError as error:
                if resource in _ALWAYS:
                    refusals[resource] = error
        if not rows:
            raise Withheld(self._why_nothing(next(iter(refusals.values()))))
        problem = None
        if refusals:
            reasons = "; ".join(f"{self._folder}/{name}: {error.strerror}" for name, error in refusals.items())
            problem = Problem(SourceState.DEGRADED, f"cannot read {reasons}")
        return Sample({self.name: by_key(self.name, rows)}, problem)

    def _why_nothing(self, refusal: OSError) -> Problem:
        if refusal.errno == errno.EOPNOTSUPP:
            return _TURNED_OFF
        if not os.path.isdir(self._folder):
            return _MISSING
        return Problem(SourceState.ABSENT, f"cannot read {self._folder}: {refusal.strerror}")
