"""What the machine as a whole does: read off a frame and the one before it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ztop_client.gpu.device import Gpu, gpus
from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.rates import RATE_POSITION, RateTable
from ztop_protocol.schema import SECTIONS
from ztop_protocol.traffic import outer_networks, physical_disks

_CPU = RATE_POSITION["cpus"]
_BUSY = _CPU["busy_percent"]
CPU_PARTS: tuple[tuple[str, tuple[int, ...]], ...] = tuple(
    (name, tuple(_CPU[f"{state}_percent"] for state in states))
    for name, states in (
        ("cpu_user", ("user",)),
        ("cpu_nice", ("nice",)),
        ("cpu_system", ("system",)),
        ("cpu_irq", ("irq", "softirq")),
        ("cpu_steal", ("steal",)),
        ("cpu_iowait", ("iowait",)),
    )
)
"""The parts of a core's time in the order in which they are drawn; the names are those of their colours."""

Parts: TypeAlias = tuple[tuple[str, float], ...]
"""What a whole is made of: the name of a colour, and a size in the whole's unit."""


@dataclass(frozen=True, slots=True)
class Core:
    """A core's time in percent; ``busy`` is None where no interval is known, and ``parts`` are empty then."""

    number: Cell
    busy: float | None
    parts: Parts


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. ``parts`` do not overlap; ``used`` is what cannot be reclaimed: shared memory too, but no cache."""

    total: Cell
    used: float | None
    parts: Parts


@dataclass(frozen=True, slots=True)
class Swap:
    """Bytes. ``compressed``: how much of it lies in memory, and in how little: zram's or zswap's, by name."""

    total: Cell
    used: float | None
    compressed: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Pressure:
    """The share of this interval in which some, and in which all tasks waited for a resource, in percent."""

    resource: str
    some: float | None
    full: float | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What goes in and out in bytes per second: read and received, written and sent. ``busy`` is of disks alone."""

    name: str
    inward: float | None
    outward: float | None
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class Temperature:
    """The hottest of the CPU's sensors, or of all where none is the CPU's. ``high`` is where it becomes too much."""

    name: str
    celsius: float
    high: float | None


@dataclass(frozen=True, slots=True)
class Battery:
    """All batteries together. ``watts`` go in where it is charging; None where the kernel does not say."""

    percent: float
    charging: bool
    discharging: bool
    watts: float | None


@dataclass(frozen=True, slots=True)
class Machine:
    """One moment of the machine. Totals are None where no part of them is known."""

    frame: Frame
    total: Core
    cores: tuple[Core, ...]
    memory: Memory
    swap: Swap
    pressures: tuple[Pressure, ...]
    """Empty where the kernel has no pressure-stall information."""
    disks: tuple[Traffic, ...]
    """Physical ones."""
    networks: tuple[Traffic, ...]
    """Those that lead out of the machine."""
    temperature: Temperature | None
    battery: Battery | None
    gpus: tuple[Gpu, ...] = ()


def machine(previous: Frame | None, current: Frame) -> Machine:
    """Everything of ``current`` but its processes; rates are those since ``previous``."""
    cores = _cores(previous, current)
    return Machine(
        current, _mean(cores), cores, _memory(current), _swap(current), _pressures(previous, current),
        _disks(previous, current), _networks(previous, current), _temperature(current), _battery(current),
        gpus(previous, current),
    )  # fmt: skip


def _cores(previous: Frame | None, current: Frame) -> tuple[Core, ...]:
    rates = RateTable(previous, current, "cpus").rows()
    return tuple(
        Core(
            key[0],
            row[_BUSY],
            ()
            if row[_BUSY] is None
            else tuple((name, sum(row[at] or 0.0 for at in places)) for name, places in CPU_PARTS),
        )
        for key, row in sorted(rates.items())
    )


def _mean(cores: tuple[Core, ...]) -> Core:
    known = [core for core in cores if core.busy is not None]
    if not known:
        return Core(None, None, ())
    sums = [
        sum(sizes) / len(known) for sizes in zip(*([size for _, size in core.parts] for core in known), strict=True)
    ]
    parts = tuple((name, size) for (name, _), size in zip(CPU_PARTS, sums, strict=True))
    return Core(None, sum(core.busy or 0.0 for core in known) / len(known), parts)


def _number(frame: Frame, name: str) -> float | None:
    value = frame.cell("memory", f"{name}_bytes")
    return None if value is None else float(value)


def _memory(frame: Frame) -> Memory:
    names = ("total", "free", "buffers", "cached")
    values = [_number(frame, name) for name in names]
    total_cell = frame.cell("memory", "total_bytes")
    if any(value is None for value in values):
        return Memory(total_cell, None, ())
    total, free, buffers, cached = (value for value in values if value is not None)
    # the kernel counts shared memory as cache, and what ZFS would give back as used
    shared = min(_number(frame, "shared") or 0.0, cached)
    cache = cached - shared + (_number(frame, "slab_reclaimable") or 0.0)
    arc = max((_number(frame, "arc") or 0.0) - (_number(frame, "arc_minimum") or 0.0), 0.0)
    own = max(total - free - buffers - cache - shared - arc, 0.0)
    parts = (
        ("memory_used", own), ("memory_shared", shared), ("memory_buffers", buffers), ("memory_cache", cache),
        ("memory_arc", arc),
    )  # fmt: skip
    return Memory(total_cell, own + shared, parts)


def _swap(frame: Frame) -> Swap:
    total, free = _number(frame, "swap_total"), _number(frame, "swap_free")
    compressed = [
        (name, stored, packed)
        for name, stored, packed in (
            ("zram", _number(frame, "zram_stored"), _number(frame, "zram_used")),
            ("zswap", _number(frame, "zswap_stored"), _number(frame, "zswap_pool")),
        )
        if stored and packed is not None
    ]
    used = None if total is None or free is None else total - free
    return Swap(frame.cell("memory", "swap_total_bytes"), used, tuple(compressed))


_PRESSURE = RATE_POSITION["pressure"]


def _pressures(previous: Frame | None, current: Frame) -> tuple[Pressure, ...]:
    rates = RateTable(previous, current, "pressure")
    return tuple(
        Pressure(
            resource,
            rates.cell((resource,), _PRESSURE["some_percent"]),
            rates.cell((resource,), _PRESSURE["full_percent"]),
        )
        for resource in ("cpu", "memory", "io")
        if (resource,) in current.rows("pressure")
    )


def _traffic(
    previous: Frame | None, current: Frame, section: str, inward: str, outward: str, keys: Iterable[Key]
) -> tuple[Traffic, ...]:
    rates, places = RateTable(previous, current, section), RATE_POSITION[section]
    busy = places.get("busy_percent")
    return tuple(
        Traffic(
            str(key[0]),
            rates.cell(key, places[inward]),
            rates.cell(key, places[outward]),
            None if busy is None else rates.cell(key, busy),
        )
        for key in keys
    )


def _disks(previous: Frame | None, current: Frame) -> tuple[Traffic, ...]:
    keys = physical_disks(current.rows("disks"))
    return _traffic(previous, current, "disks", "read_bytes_per_second", "write_bytes_per_second", keys)


def _networks(previous: Frame | None, current: Frame) -> tuple[Traffic, ...]:
    keys = outer_networks(current.rows("networks"))
    return _traffic(previous, current, "networks", "receive_bytes_per_second", "transmit_bytes_per_second", keys)


def together(name: str, parts: tuple[Traffic, ...]) -> Traffic:
    """The sums of what is known, and the busiest."""

    def known(values: Iterable[float | None]) -> list[float]:
        return [value for value in values if value is not None]

    inward, outward, busy = (
        known(one.inward for one in parts),
        known(one.outward for one in parts),
        known(one.busy for one in parts),
    )
    return Traffic(name, sum(inward) if inward else None, sum(outward) if outward else None, max(busy, default=None))


_SENSOR = SECTIONS["sensors"].position
_CPU_CHIPS = frozenset(
    ("coretemp", "k10temp", "k8temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "x86_pkg_temp")
)


def _temperature(frame: Frame) -> Temperature | None:
    rows = [row for row in frame.rows("sensors").values() if row[_SENSOR["temperature_celsius"]] is not None]
    rows = [row for row in rows if row[_SENSOR["chip"]] in _CPU_CHIPS] or rows
    if not rows:
        return None
    hottest = max(rows, key=lambda row: float(row[_SENSOR["temperature_celsius"]] or 0))
    high = hottest[_SENSOR["high_temperature_celsius"]] or hottest[_SENSOR["critical_temperature_celsius"]]
    return Temperature(
        str(hottest[_SENSOR["label"]] or hottest[_SENSOR["chip"]] or hottest[_SENSOR["device"]]),
        float(hottest[_SENSOR["temperature_celsius"]] or 0),
        None if high is None else float(high),
    )


def _battery(frame: Frame) -> Battery | None:
    def numbers(rows: Iterable[Row], column: str) -> list[float]:
        return [float(value) for row in rows if (value := row[_SENSOR[column]]) is not None]

    # a mouse's battery has no energy, and does not keep the machine running
    rows = [
        row
        for row in frame.rows("sensors").values()
        if row[_SENSOR["battery_percent"]] is not None
        and (row[_SENSOR["battery_full_energy_milliwatt_hours"]] is not None or str(row[0]).startswith("BAT"))
    ]
    if not rows:
        return None
    energy, full = (numbers(rows, f"battery_{name}energy_milliwatt_hours") for name in ("", "full_"))
    percents = numbers(rows, "battery_percent")
    known = len(energy) == len(full) == len(rows) and sum(full) > 0
    states = {str(row[_SENSOR["battery_status"]]).casefold() for row in rows}
    power = numbers(rows, "power_milliwatts")
    return Battery(
        100 * sum(energy) / sum(full) if known and len(rows) > 1 else sum(percents) / len(percents),
        "charging" in states,
        "discharging" in states,
        sum(power) / 1000 if power else None,
    )
