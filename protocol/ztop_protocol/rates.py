"""Rates: what a machine did between two frames. Pure; live screens, rewind, batch and exporters share it.

The contract, cell by cell:

* The interval is the difference of the two *sections'* sample times, never the nominal one. Some columns are not
  read at every tick in every row (what /proc/PID/io and /proc/PID/status say of a process that rests is read
  within 10 s); such rows carry the time of their last reading, and the interval is the difference of those.
* A row born after the previous sample counts from 0, and from the time of that sample on.
* None where there is no honest answer: the row was not seen before, another boot, the sample time did not
  advance, a counter is absent or went back. Nothing is clamped: iowait, for one, may really go back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.schema import SECTIONS, Kind

RateRow: TypeAlias = tuple[float | None, ...]

START_RESOLUTION_NS = 10_000_000
"""/proc/PID/stat gives the start time in ticks of 10 ms, rounded down."""

_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate column: the sum of the growth of ``counters``, times ``factor``, per second.

    ``clock`` is the column that holds when this row's counters were read, where that is not the section's time.
    """

    name: str
    counters: tuple[str, ...]
    factor: float = 1.0
    unit: str = "per second"
    clock: str | None = None


def _share(name: str, *counters: str) -> Rate:
    """Counters of time, as a percentage of the interval (of one core, for CPU time)."""
    return Rate(name, counters, 100 / _SECOND, "percent")


def _per_second(section: str, *counters: str, clock: str | None = None) -> tuple[Rate, ...]:
    schema = SECTIONS[section]
    return tuple(
        Rate(f"{name}_per_second", (name,), 1.0, f"{schema.columns[schema.position[name]].unit} per second", clock)
        for name in counters
    )


_CPU_STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")

RATES: dict[str, tuple[Rate, ...]] = {
    "host": _per_second("host", "context_switches", "interrupts", "forks"),
    "cpus": (
        _share(
            "busy_percent",
            *(f"{state}_time_ns" for state in ("user", "nice", "system", "irq", "softirq", "steal")),
        ),
        *(_share(f"{state}_percent", f"{state}_time_ns") for state in _CPU_STATES),
    ),
    "memory": _per_second(
        "memory",
        *("swap_in_bytes", "swap_out_bytes", "page_in_bytes", "page_out_bytes", "page_faults", "major_page_faults"),
    ),
    "pressure": (_share("some_percent", "some_time_ns"), _share("full_percent", "full_time_ns")),
    "disks": (
        *_per_second("disks", "read_bytes", "write_bytes", "read_operations", "write_operations", "discard_bytes"),
        _share("busy_percent", "busy_time_ns"),
    ),
    "networks": _per_second(
        "networks",
        *("receive_bytes", "transmit_bytes", "receive_packets", "transmit_packets"),
        *("receive_errors", "transmit_errors", "receive_drops", "transmit_drops"),
    ),
    "cgroups": (
        _share("cpu_percent", "cpu_time_ns"),
        _share("throttled_percent", "throttled_time_ns"),
        *_per_second("cgroups", "io_read_bytes", "io_write_bytes", "io_read_operations", "io_write_operations"),
        _share("cpu_pressure_percent", "cpu_pressure_time_ns"),
        _share("memory_pressure_percent", "memory_pressure_time_ns"),
        _share("io_pressure_percent", "io_pressure_time_ns"),
    ),
    "processes": (
        _share("cpu_percent", "user_time_ns", "system_time_ns"),
        _share("user_percent", "user_time_ns"),
        _share("system_percent", "system_time_ns"),
        *_per_second("processes", "minor_faults", "major_faults"),
        *_per_second(
            "processes", "voluntary_context_switches", "involuntary_context_switches", clock="status_boottime_ns"
        ),
        _share("block_io_delay_percent", "block_io_delay_ns"),
    ),
    "process_io": _per_second(
        "process_io",
        *("io_read_bytes", "io_write_bytes", "io_logical_read_bytes", "io_logical_write_bytes"),
        *("io_read_syscalls", "io_write_syscalls"),
        clock="sampled_boottime_ns",
    ),
    "threads": (_share("cpu_percent", "user_time_ns", "system_time_ns"),),
}  # fmt: skip
"""The rate columns of every section that has any."""

RATE_POSITION: dict[str, dict[str, int]] = {
    section: {rate.name: place for place, rate in enumerate(rates)} for section, rates in RATES.items()
}


class _Plan:
    """One section's rates, with names resolved to positions."""

    def __init__(self, section: str) -> None:
        schema = SECTIONS[section]
        places = sorted({schema.position[counter] for rate in RATES[section] for counter in rate.counters})
        # never a single place, so that it always gives a tuple
        self.counters = itemgetter(*places, places[0])
        self.rates = tuple(
            (
                tuple(schema.position[counter] for counter in rate.counters),
                rate.factor,
                None if rate.clock is None else schema.position[rate.clock],
            )
            for rate in RATES[section]
        )
        self.start = schema.position.get("start_boottime_ns")
        for rate in RATES[section]:
            for counter in rate.counters:
                if schema.columns[schema.position[counter]].kind is not Kind.COUNTER:
                    raise ValueError(f"{section}.{counter} is no counter")

    def of_row(self, before: Row | None, row: Row, then_ns: int, now_ns: int) -> RateRow:
        """``then_ns`` and ``now_ns`` are the sections' times; a row without ``before`` was born after ``then_ns``."""
        seconds = (now_ns - then_ns) / _SECOND
        values: list[float | None] = []
        for places, factor, clock in self.rates:
            interval: float | None = seconds
            if clock is not None:
                interval = _seconds_between(then_ns if before is None else before[clock], row[clock])
            growth: float = 0
            for place in places:
                after = row[place]
                earlier = 0 if before is None else before[place]
                if after is None or earlier is None or after < earlier:  # type: ignore[operator]
                    values.append(None)
                    break
                growth += after - earlier  # type: ignore[operator]
            else:
                values.append(None if interval is None else growth * factor / interval)
        return tuple(values)


def _seconds_between(earlier: Cell, later: Cell) -> float | None:
    if not isinstance(earlier, int) or not isinstance(later, int) or later <= earlier:
        return None
    return (later - earlier) / _SECOND


_PLANS = {section: _Plan(section) for section in RATES}
_NOTHING = {section: (None,) * len(rates) for section, rates in RATES.items()}


def rates(previous: Frame | None, current: Frame, section: str) -> Mapping[Key, RateRow]:
    """The rates of every row of ``section`` in ``current``, by key; cells follow ``RATES[section]``."""
    now = current.sections.get(section)
    if now is None:
        return {}
    plan, nothing = _PLANS[section], _NOTHING[section]
    then = None if previous is None or previous.boot_id != current.boot_id else previous.sections.get(section)
    if then is None or now.sampled_boottime_ns <= then.sampled_boottime_ns:
        return dict.fromkeys(now.rows, nothing)
    then_ns, now_ns = then.sampled_boottime_ns, now.sampled_boottime_ns
    born_after = then_ns - START_RESOLUTION_NS
    old_rows, start, of_row = then.rows, plan.start, plan.of_row
    result: dict[Key, RateRow] = {}
    idle: dict[int, RateRow] = {}
    for key, row in now.rows.items():
        before = old_rows.get(key)
        if before is row:
            # rows at rest share one tuple per pattern of absent counters; two and more absent are computed
            counters = plan.counters(row)
            absent = counters.count(None)
            pattern = -1 if absent == 0 else counters.index(None) if absent == 1 else None
            still = None if pattern is None else idle.get(pattern)
            if still is None:
                still = of_row(row, row, then_ns, now_ns)
                if pattern is not None:
                    idle[pattern] = still
            result[key] = still
        elif before is not None or (start is not None and row[start] > born_after):  # type: ignore[operator]
            result[key] = of_row(before, row, then_ns, now_ns)
        else:
            result[key] = nothing
    return result


def percent(part: Cell, whole: Cell) -> float | None:
    """``part`` of ``whole`` in percent; None where either is unknown or there is no whole."""
    if part is None or not whole:
        return None
    return 100 * float(part) / float(whole)


def memory_percent(frame: Frame, rss_bytes: Cell) -> float | None:
    """A process's resident memory as a percentage of the machine's."""
    return percent(rss_bytes, frame.cell("memory", "total_bytes"))
