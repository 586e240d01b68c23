"""Temperatures, fans, voltages, currents, power, batteries.

Documentation/hwmon/sysfs-interface.rst, Documentation/driver-api/thermal/sysfs-api.rst and
Documentation/ABI/testing/sysfs-class-power. What a channel refuses (EIO, ENODATA of a sleeping device) is None
in its row; the other channels live on.
"""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ztop_protocol.frame import Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read_if_there, read_int, text
from ztopd.collectors.source import Problem, Roots, Sample, Withheld, by_key

PERIOD_NS = 5_000_000_000
DEAR_NS = 20_000_000
"""A collection that takes longer (a chip behind a slow i2c bus) is done seldom."""
DEAR_PERIOD_NS = 30_000_000_000
LISTING_NS = 60_000_000_000
"""How often the devices, their labels and limits are looked up anew; only values are read in between."""

_INPUT = re.compile(r"(temp|fan|in|curr|power)(\d+)_(input|average)", re.ASCII)
_PLAUSIBLE = range(-273_150, 1_000_001)
"""In thousandths of a degree. Outside stands what means nothing: thermal's -274000, or 65535 K as an NVMe's limit."""


class Kind(StrEnum):
    """What a channel measures; hwmon's prefixes of its files."""

    TEMPERATURE = "temp"
    FAN = "fan"
    VOLTAGE = "in"
    CURRENT = "curr"
    POWER = "power"


@dataclass(frozen=True, slots=True)
class Channel:
    """One value of hwmon or of a thermal zone, and what does not change about it."""

    device: str
    name: str
    kind: Kind
    chip: str | None
    label: str | None
    high_celsius: float | None
    critical_celsius: float | None
    path: str


@dataclass(frozen=True, slots=True)
class PowerSupply:
    """A battery, or the mains."""

    device: str
    label: str | None
    is_battery: bool
    folder: str


def parse_celsius(data: bytes) -> float | None:
    """Thousandths of a degree. None for what is no number or no temperature."""
    try:
        value = int(data)
    except ValueError:
        return None
    return value / 1000 if value in _PLAUSIBLE else None


def input_files(names: Iterable[str]) -> dict[str, tuple[Kind, str]]:
    """Of a hwmon folder's file names: channel -> its kind and the file of its value, in the order of a chip's manual.

    The average of a power counts only where there is no momentary value.
    """
    found: dict[str, tuple[Kind, str]] = {}
    matches = [match for name in names if (match := _INPUT.fullmatch(name))]
    # "input" comes after "average" here, and so replaces it
    for match in sorted(matches, key=lambda match: (match[1], int(match[2]), match[3])):
        if match[3] == "input" or match[1] == Kind.POWER:
            found[match[1] + match[2]] = (Kind(match[1]), match[0])
    return found


class Sensors:
    """The section ``sensors``: hwmon, thermal zones where hwmon knows no temperature, power supplies."""

    name = "sensors"

    def __init__(self, roots: Roots) -> None:
        self._class = f"{roots.sys}/class"
        self._channels: list[Channel] = []
        self._supplies: list[PowerSupply] = []
        self._listed_ns: int | None = None
        self._is_dear = False

    @property
    def period_ns(self) -> int:
        """Five seconds; thirty where the last collection took long."""
        return DEAR_PERIOD_NS if self._is_dear else PERIOD_NS

    def collect(self) -> Sample:
        """Raises :exc:`Withheld` where there is none of them."""
        started_ns = time.monotonic_ns()
        if self._listed_ns is None or started_ns - self._listed_ns >= LISTING_NS:
            had_any = bool(self._channels or self._supplies)
            self._list()
            if not self._channels and not self._supplies:
                problem = Problem(
                    SourceState.ABSENT, "no hwmon, thermal or power_supply devices (usual in a virtual machine)"
                )
                if had_any:
                    # the rows of what was unplugged go
                    return Sample({self.name: {}}, problem)
                raise Withheld(problem)
            self._listed_ns = started_ns
        rows = [_channel_row(channel) for channel in self._channels]
        rows += [_supply_row(supply) for supply in self._supplies]
        self._is_dear = time.monotonic_ns() - started_ns > DEAR_NS
        return Sample({self.name: by_key(self.name, rows)})

    def _list(self) -> None:
        self._channels = [channel for folder in self._folders("hwmon") for channel in _hwmon_channels(folder)]
        if not any(channel.kind is Kind.TEMPERATURE for channel in self._channels):
            zones = (folder for folder in self._folders("thermal") if _name(folder).startswith("thermal_zone"))
            self._channels += map(_thermal_channel, zones)
        self._supplies = [
            supply for folder in self._folders("power_supply") if (supply := _power_supply(folder)) is not None
        ]

    def _folders(self, device_class: str) -> list[str]:
        names = _listing(f"{self._class}/{device_class}")
        return [f"{self._class}/{device_class}/{name}" for name in sorted(names, key=_natural)]


def _hwmon_channels(folder: str) -> list[Channel]:
    inputs = input_files(_listing(folder))
    if not inputs:
        # drivers written before hwmon_device_register_with_groups
        device = f"{folder}/device"
        inputs = input_files(_listing(device))
        if not inputs:
            return []
        chip, files = _word(f"{folder}/name") or _word(f"{device}/name"), device
    else:
        chip, files = _word(f"{folder}/name"), folder
    return [
        Channel(
            *(_name(folder), channel, kind, chip, _word(f"{files}/{channel}_label")),
            *(
                (_celsius(f"{files}/{channel}_max"), _celsius(f"{files}/{channel}_crit"))
                if kind is Kind.TEMPERATURE
                else (None, None)
            ),
            f"{files}/{file}",
        )
        for channel, (kind, file) in inputs.items()
    ]


def _thermal_channel(folder: str) -> Channel:
    limits: dict[str, float | None] = {}
    number = 0
    while (kind := _word(f"{folder}/trip_point_{number}_type")) is not None:
        limits[kind] = _celsius(f"{folder}/trip_point_{number}_temp")
        number += 1
    return Channel(
        *(_name(folder), "temp", Kind.TEMPERATURE, _word(f"{folder}/type"), None),
        *(limits.get("hot"), limits.get("critical"), f"{folder}/temp"),
    )


def _power_supply(folder: str) -> PowerSupply | None:
    kind = _word(f"{folder}/type")
    if kind == "Battery" or kind == "UPS":
        return PowerSupply(_name(folder), _word(f"{folder}/model_name"), True, folder)
    # a USB port that feeds something else has the scope of that device
    if read_int(f"{folder}/online") is not None and _word(f"{folder}/scope") != "Device":
        return PowerSupply(_name(folder), None, False, folder)
    return None


def _channel_row(channel: Channel) -> Row:
    celsius = value = None
    if channel.kind is Kind.TEMPERATURE:
        celsius = _celsius(channel.path)
    else:
        value = read_int(channel.path)
    return (
        *(channel.device, channel.name, channel.chip, channel.label),
        *(celsius, channel.high_celsius, channel.critical_celsius),
        value if channel.kind is Kind.FAN else None,
        value if channel.kind is Kind.VOLTAGE else None,
        value if channel.kind is Kind.CURRENT else None,
        _thousandth(value) if channel.kind is Kind.POWER else None,
        *(None, None, None, None),
    )


def _supply_row(supply: PowerSupply) -> Row:
    if not supply.is_battery:
        online = read_int(f"{supply.folder}/online")
        status = None if online is None else "online" if online else "offline"
        return (
            *(supply.device, "mains", supply.device, supply.label),
            *(None, None, None, None, None, None, None, None, status, None, None),
        )

    def value(name: str) -> int | None:
        return read_int(f"{supply.folder}/{name}")

    microvolts, microamperes = value("voltage_now"), _magnitude(value("current_now"))
    microwatts = _magnitude(value("power_now"))
    energy = _thousandth(value("energy_now"))
    full_energy = _thousandth(value("energy_full"))
    if energy is None:
        energy = _milli_product(value("charge_now"), microvolts)
        full_energy = _milli_product(value("charge_full"), microvolts)
    percent = value("capacity")
    if percent is None and energy is not None and full_energy:
        percent = round(100 * energy / full_energy)
    return (
        *(supply.device, "battery", supply.device, supply.label, None, None, None, None),
        *(_thousandth(microvolts), _thousandth(microamperes)),
        _thousandth(microwatts) if microwatts is not None else _milli_product(microamperes, microvolts),
        *(percent, _word(f"{supply.folder}/status"), energy, full_energy),
    )


def _thousandth(value: int | None) -> int | None:
    return None if value is None else round(value / 1000)


def _magnitude(value: int | None) -> int | None:
    # some drivers give a discharge as a negative number; the status says the direction everywhere
    return None if value is None else abs(value)


def _milli_product(micro: int | None, microvolts: int | None) -> int | None:
    """µA x µV in mW, or µAh x µV in mWh."""
    return None if micro is None or microvolts is None else round(micro * microvolts / 1_000_000_000)


def _celsius(path: str) -> float | None:
    data = read_if_there(path)
    return None if data is None else parse_celsius(data)


def _word(path: str) -> str | None:
    data = read_if_there(path)
    return None if data is None else text(data).strip() or None


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _name(folder: str) -> str:
    return folder.rpartition("/")[2]


def _natural(name: str) -> tuple[str, int]:
    """hwmon10 comes after hwmon9."""
    word = name.rstrip("0123456789")
    return word, int(name[len(word) :] or 0)
