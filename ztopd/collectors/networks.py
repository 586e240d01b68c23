"""Network interfaces: /proc/net/dev, and what /sys/class/net says of each (ABI/testing/sysfs-class-net)."""

import time
from dataclasses import dataclass

from ztop_protocol.frame import Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read, read_if_there, read_int, text
from ztopd.collectors.rotation import Rotation
from ztopd.collectors.source import ParseError, Problem, Roots, Rows, Sample, Withheld

FACTS_PERIOD_NS = 5_000_000_000
FACTS_AT_A_TIME = 50

_HEADER_LINES = 2
_NUMBERS = 16
_BITS_PER_MEGABIT = 1_000_000
_NO_SPEED = 0xFFFF_FFFF
"""What older kernels print for -1: not known."""


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """One line of /proc/net/dev, of its sixteen numbers those that the schema has."""

    interface: str
    receive_bytes: int
    receive_packets: int
    receive_errors: int
    receive_drops: int
    multicast_packets: int
    transmit_bytes: int
    transmit_packets: int
    transmit_errors: int
    transmit_drops: int
    collisions: int


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """What /sys says of an interface; None where it says nothing (no link, a virtual device, another namespace)."""

    operational_state: str | None
    speed_bits_per_second: int | None
    mtu_bytes: int | None


def parse_net_dev_line(line: bytes) -> InterfaceCounters:
    """``name:numbers``, with or without spaces about the colon. Raises :exc:`ParseError`."""
    # a name may hold any bytes but space and slash; nothing after it holds a colon
    name, colon, rest = line.rpartition(b":")
    try:
        numbers = [int(field) for field in rest.split()]
    except ValueError as error:
        raise ParseError(f"net/dev: the line {line!r}: {error}") from error
    if not colon or len(numbers) < _NUMBERS:
        raise ParseError(f"net/dev: the line {line!r} is not a name, a colon and {_NUMBERS} numbers")
    return InterfaceCounters(
        text(name.strip(b" ")),
        *(numbers[0], numbers[1], numbers[2], numbers[3], numbers[7]),
        *(numbers[8], numbers[9], numbers[10], numbers[11], numbers[13]),
    )


class Networks:
    """The section ``networks``."""

    name = "networks"
    period_ns = 0

    def __init__(self, roots: Roots) -> None:
        self._proc = roots.proc
        self._sys = roots.sys
        self._facts = Rotation(self._read_facts, FACTS_PERIOD_NS, FACTS_AT_A_TIME)
        # an interface at rest has the same line as before
        self._of_line: dict[bytes, Row] = {}

    def collect(self) -> Sample:
        """Raises :exc:`Withheld` where the kernel has no network."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        changed = self._facts.turn(now_ns)
        before = self._of_line
        of_line: dict[bytes, Row] = {}
        rows: Rows = {}
        error: ParseError | None = None
        for line in self._read_lines():
            row = before.get(line)
            if row is None or row[0] in changed:
                try:
                    row = self._row(line, now_ns)
                except ParseError as failed:
                    error = error or failed
                    continue
            of_line[line] = row
            rows[row[:1]] = row
        if len(self._facts) > len(rows):
            self._facts.forget_others({interface for (interface,) in rows})
        self._of_line = of_line
        problem = None if error is None else Problem(SourceState.DEGRADED, str(error))
        return Sample({self.name: rows}, problem, shares_rows=not changed)

    def _read_lines(self) -> list[bytes]:
        try:
            data = read(f"{self._proc}/net/dev")
        except FileNotFoundError:
            try:
                data = read(f"{self._proc}/self/net/dev")
            except FileNotFoundError:
                raise Withheld(Problem(SourceState.ABSENT, "no /proc/net/dev: this kernel shows no network")) from None
        return data.removesuffix(b"\n").split(b"\n")[_HEADER_LINES:]

    def _row(self, line: bytes, now_ns: int) -> Row:
        counters = parse_net_dev_line(line)
        facts = self._facts.fact(counters.interface, now_ns)
        return (
            *(counters.interface, facts.operational_state, facts.speed_bits_per_second, facts.mtu_bytes),
            *(counters.receive_bytes, counters.receive_packets, counters.receive_errors, counters.receive_drops),
            counters.multicast_packets,
            *(counters.transmit_bytes, counters.transmit_packets, counters.transmit_errors, counters.transmit_drops),
            counters.collisions,
        )

    def _read_facts(self, interface: str) -> InterfaceFacts:
        folder = f"{self._sys}/class/net/{interface}"
        state = read_if_there(f"{folder}/operstate")
        # refused with EINVAL where there is no link or no such thing
        speed = read_int(f"{folder}/speed")
        return InterfaceFacts(
            None if state is None else text(state).strip() or None,
            None if speed is None or speed <= 0 or speed == _NO_SPEED else speed * _BITS_PER_MEGABIT,
            read_int(f"{folder}/mtu"),
        )
