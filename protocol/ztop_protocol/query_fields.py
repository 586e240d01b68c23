"""What may be asked of a process: the columns of :mod:`ztop_protocol.processes`, two that are computed, short names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import TypeAlias

from ztop_protocol.frame import Cell, Frame, Row
from ztop_protocol.on_gpus import ON_GPUS
from ztop_protocol.processes import COLUMNS, POSITION
from ztop_protocol.rates import RATES
from ztop_protocol.schema import PROCESS_COUNTERS, PROCESS_EXECUTABLES, PROCESS_IO, PROCESSES, Unit


class Measure(Enum):
    """What a field's values are, which says how a value of it is written."""

    TEXT = auto()
    FLAG = auto()
    NUMBER = auto()
    """A plain number: a pid, a nice value."""
    COUNT = auto()
    """Also hertz, and things per second."""
    RATIO = auto()
    """A decimal number: instructions per cycle."""
    PERCENT = auto()
    BYTES = auto()
    """Also bytes per second."""
    DURATION = auto()
    """Nanoseconds; written as ``10s``, ``1h30m``."""
    SECONDS = auto()
    """The same in seconds."""


@dataclass(frozen=True, slots=True)
class Field:
    """A name that an expression may use."""

    name: str
    measure: Measure


ALIASES: Mapping[str, str] = {
    "cpu": "cpu_percent",
    "mem": "memory_percent",
    "memory": "memory_percent",
    "rss": "rss_bytes",
    "res": "rss_bytes",
    "virt": "virtual_bytes",
    "shared": "shared_bytes",
    "swap": "swap_bytes",
    "command": "command_line",
    "name": "comm",
    "container": "container_id",
    "time": "cpu_time_ns",
    "age": "age_ns",
    "read": "io_read_bytes_per_second",
    "write": "io_write_bytes_per_second",
    "faults": "major_faults_per_second",
    "oom": "oom_score",
    "hertz": "effective_hertz",
    "llc": "llc_miss_percent",
    "l1d": "l1d_miss_percent",
    "branch": "branch_miss_percent",
    "mpki": "llc_misses_per_kilo_instruction",
    "measured": "counters_share_percent",
    "vram": "vram_bytes",
    "gpu": "sm_utilization_percent",
    "gpu_mem": "vram_percent",
    "vram_velocity": "vram_velocity_bytes_per_second",
    "oom_eta": "oom_eta_seconds",
    "oom_share": "oom_share_percent",
}
"""Short name -> name."""

_COMPUTED: Mapping[str, Measure] = {"cpu_time_ns": Measure.DURATION, "age_ns": Measure.DURATION}
_BY_UNIT: Mapping[str, Measure] = {
    Unit.BYTES: Measure.BYTES,
    Unit.COUNT: Measure.COUNT,
    Unit.NANOSECONDS: Measure.DURATION,
    Unit.PERCENT: Measure.PERCENT,
    "bytes per second": Measure.BYTES,
    Unit.BYTES_PER_SECOND: Measure.BYTES,
    Unit.SECONDS: Measure.SECONDS,
    "count per second": Measure.COUNT,
    "count per second of CPU time": Measure.COUNT,
    Unit.HERTZ: Measure.COUNT,
    "instructions per cycle": Measure.RATIO,
    "count per 1000 instructions": Measure.RATIO,
}


def _fields() -> dict[str, Field]:
    measures: dict[str, Measure] = {"memory_percent": Measure.PERCENT, **_COMPUTED}
    sections = (PROCESSES, PROCESS_IO, PROCESS_COUNTERS, PROCESS_EXECUTABLES)
    for column in (*chain.from_iterable(schema.columns for schema in sections), *ON_GPUS):
        plain = {str: Measure.TEXT, bool: Measure.FLAG}.get(column.type, Measure.NUMBER)
        measures[column.name] = _BY_UNIT.get(column.unit, plain)
    for schema in sections:
        for rate in RATES.get(schema.name, ()):
            measures[rate.name] = _BY_UNIT[rate.unit]
    return {name: Field(name, measures[name]) for name in (*COLUMNS, *_COMPUTED)}


FIELDS: Mapping[str, Field] = _fields()
"""Every field by its full name."""


def field_of(name: str) -> Field | None:
    """The field of a name or a short name."""
    return FIELDS.get(ALIASES.get(name, name))


RowValue: TypeAlias = Callable[[Row], Cell]

_USER_TIME, _SYSTEM_TIME = POSITION["user_time_ns"], POSITION["system_time_ns"]
_START, _COMMAND, _COMM = POSITION["start_boottime_ns"], POSITION["command_line"], POSITION["comm"]


def values_in(frame: Frame) -> Callable[[str], RowValue]:
    """Full name -> what gives the field's value in a joined row of that frame."""

    def age(row: Row) -> Cell:
        start = row[_START]
        return frame.boottime_ns - start if isinstance(start, int) else None

    computed: dict[str, RowValue] = {"age_ns": age, "cpu_time_ns": _cpu_time, "command_line": _command}

    def value_of(name: str) -> RowValue:
        if name in computed:
            return computed[name]
        place = POSITION[name]
        return lambda row: row[place]

    return value_of


def _cpu_time(row: Row) -> Cell:
    user, system = row[_USER_TIME], row[_SYSTEM_TIME]
    return user + system if isinstance(user, int) and isinstance(system, int) else None


def _command(row: Row) -> Cell:
    """The name where there is no command line, as the screen shows it."""
    command = row[_COMMAND]
    return row[_COMM] if command is None else command
