"""The rate columns, as data: what is divided by what. :mod:`ztop_protocol.rates` computes them."""

from dataclasses import dataclass

from ztop_protocol.schema import SECTIONS

SECOND = 1e9


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

    @property
    def formula(self) -> str:
        """What it is made of, for a person."""
        return " + ".join(self.counters)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A rate column: the product of the growths of ``of`` by that of the growths of ``over``, times ``factor``.

    ``epoch`` is the column that holds when the counts began: where it changed they began anew. ``only_if`` is a flag
    without which the ratio would say something else.
    """

    name: str
    of: tuple[str, ...]
    over: tuple[str, ...]
    factor: float = 1.0
    unit: str = "percent"
    epoch: str | None = None
    only_if: str | None = None

    @property
    def counters(self) -> tuple[str, ...]:
        """All that it is made of."""
        return (*self.of, *self.over)

    @property
    def clock(self) -> None:
        """None: no interval is in it."""
        return None

    @property
    def formula(self) -> str:
        """What it is made of, for a person."""
        over = " * ".join(self.over)
        return f"{' * '.join(self.of)} / {over if len(self.over) == 1 else f'({over})'}"


def _share(name: str, *counters: str) -> Rate:
    """Counters of time, as a percentage of the interval (of one core, for CPU time)."""
    return Rate(name, counters, 100 / SECOND, "percent")


def _per_second(section: str, *counters: str, clock: str | None = None) -> tuple[Rate, ...]:
    schema = SECTIONS[section]
    return tuple(
        Rate(f"{name}_per_second", (name,), 1.0, f"{schema.columns[schema.position[name]].unit} per second", clock)
        for name in counters
    )


def _counted(
    name: str,
    of: str | tuple[str, ...],
    over: str | tuple[str, ...],
    factor: float,
    unit: str = "percent",
    only_if: str | None = None,
) -> Ratio:
    """A ratio of ``process_counters``."""
    parts = (of if isinstance(of, tuple) else (of,), over if isinstance(over, tuple) else (over,))
    return Ratio(name, *parts, factor, unit, "epoch_boottime_ns", only_if)


_CPU_STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")

RATES: dict[str, tuple[Rate | Ratio, ...]] = {
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
    "process_counters": (
        _counted("ipc", "instructions", "cycles", 1, "instructions per cycle"),
        _counted("instructions_per_second", "instructions", "cycles_time_ns", SECOND, "count per second of CPU time"),
        # in user mode alone the cycles of the kernel would be missing, its time would not
        _counted("effective_hertz", "cycles", "cycles_time_ns", SECOND, "hertz", only_if="kernel_mode"),
        _counted("llc_miss_percent", "llc_misses", "llc_references", 100),
        _counted("l1d_miss_percent", "l1d_misses", "l1d_loads", 100),
        _counted("branch_miss_percent", "branch_misses", "branches", 100),
        # two groups, which need not have counted for the same time
        _counted(
            "llc_misses_per_kilo_instruction",
            ("llc_misses", "cycles_time_ns"),
            ("instructions", "llc_time_ns"),
            1000,
            "count per 1000 instructions",
        ),
        _counted("counters_share_percent", "running_time_ns", "enabled_time_ns", 100),
    ),
    "threads": (_share("cpu_percent", "user_time_ns", "system_time_ns"),),
    "gpus": _per_second(
        "gpus",
        *("energy_millijoules", "nvlink_receive_bytes", "nvlink_transmit_bytes"),
        clock="counters_boottime_ns",
    ),
    "summary": (
        _share("cpu_busy_percent", "cpu_busy_time_ns"),
        _share("cpu_pressure_percent", "cpu_pressure_time_ns"),
        _share("memory_pressure_percent", "memory_pressure_time_ns"),
        _share("io_pressure_percent", "io_pressure_time_ns"),
        *_per_second("summary", "disk_read_bytes", "disk_write_bytes"),
        *_per_second("summary", "network_receive_bytes", "network_transmit_bytes"),
    ),
    "sources": (_share("cpu_percent", "cpu_time_ns"),),
}  # fmt: skip
"""The rate columns of every section that has any."""

RATE_POSITION: dict[str, dict[str, int]] = {
    section: {rate.name: place for place, rate in enumerate(rates)} for section, rates in RATES.items()
}
