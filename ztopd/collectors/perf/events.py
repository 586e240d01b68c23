"""The events, in groups so small that each fits any PMU, as data. A group counts together or not at all."""

from dataclasses import dataclass
from enum import StrEnum

# include/uapi/linux/perf_event.h: perf_type_id, perf_hw_id, perf_hw_cache_id, perf_sw_ids
_HARDWARE, _SOFTWARE, _HARDWARE_CACHE = 0, 1, 3
_CPU_CYCLES, _INSTRUCTIONS, _CACHE_REFERENCES, _CACHE_MISSES, _BRANCHES, _BRANCH_MISSES = range(6)
_TASK_CLOCK, _PAGE_FAULTS, _CONTEXT_SWITCHES, _MIGRATIONS = 1, 2, 3, 4
_MINOR_FAULTS, _MAJOR_FAULTS = 5, 6
_L1D, _LAST_LEVEL = 0, 2
_READ = 0
_ACCESS, _MISS = 0, 1


class Counting(StrEnum):
    """What a person may have counted: ``counters`` in ztopd.toml."""

    HARDWARE = "hardware"
    SOFTWARE = "software"
    """Events of the kernel in the place of the PMU's: for tests on machines without one."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: the column of ``process_counters`` that it counts for, and perf_event_attr's type and config."""

    column: str
    type: int
    config: int


@dataclass(frozen=True, slots=True)
class Group:
    """Events whose counts are divided by each other. ``time_column`` gets the time enabled that they stand for."""

    events: tuple[Event, ...]
    time_column: str | None = None

    @property
    def is_hardware(self) -> bool:
        """Whether a PMU counts it."""
        return self.events[0].type != _SOFTWARE


def _cache(cache: int, result: int) -> int:
    return cache | _READ << 8 | result << 16


def _hardware(*llc: Event) -> tuple[Group, ...]:
    return (
        Group(
            (Event("cycles", _HARDWARE, _CPU_CYCLES), Event("instructions", _HARDWARE, _INSTRUCTIONS)),
            "cycles_time_ns",
        ),
        Group(llc, "llc_time_ns"),
        Group(
            (
                Event("l1d_loads", _HARDWARE_CACHE, _cache(_L1D, _ACCESS)),
                Event("l1d_misses", _HARDWARE_CACHE, _cache(_L1D, _MISS)),
            )
        ),
        Group((Event("branches", _HARDWARE, _BRANCHES), Event("branch_misses", _HARDWARE, _BRANCH_MISSES))),
    )


_OF_INTEL = _hardware(
    Event("llc_references", _HARDWARE, _CACHE_REFERENCES), Event("llc_misses", _HARDWARE, _CACHE_MISSES)
)
_OF_OTHERS = _hardware(
    Event("llc_references", _HARDWARE_CACHE, _cache(_LAST_LEVEL, _ACCESS)),
    Event("llc_misses", _HARDWARE_CACHE, _cache(_LAST_LEVEL, _MISS)),
)

_STAND_INS = (
    # a clock of 1 GHz, and one instruction at each of its ticks
    Group((Event("cycles", _SOFTWARE, _TASK_CLOCK), Event("instructions", _SOFTWARE, _TASK_CLOCK)), "cycles_time_ns"),
    Group(
        (Event("llc_references", _SOFTWARE, _CONTEXT_SWITCHES), Event("llc_misses", _SOFTWARE, _MIGRATIONS)),
        "llc_time_ns",
    ),
    Group((Event("l1d_loads", _SOFTWARE, _PAGE_FAULTS), Event("l1d_misses", _SOFTWARE, _MAJOR_FAULTS))),
    Group((Event("branches", _SOFTWARE, _PAGE_FAULTS), Event("branch_misses", _SOFTWARE, _MINOR_FAULTS))),
)


def groups(counting: Counting, *, is_intel: bool) -> tuple[Group, ...]:
    """The groups to be counted, the most important first.

    Intel's PMUs count the last-level cache by the generic cache events, wherever they are. Elsewhere those are other
    caches' (AMD: L2, Arm: L1), and the last level has events of its own, or none.
    """
    if counting is Counting.SOFTWARE:
        return _STAND_INS
    return _OF_INTEL if is_intel else _OF_OTHERS
