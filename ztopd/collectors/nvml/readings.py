"""What is read of a GPU, each group as often as it is worth. Fields are named after the columns of ``gpus``."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class ProcessType(StrEnum):
    """What a process uses a GPU for."""

    COMPUTE = "compute"
    GRAPHICS = "graphics"
    BOTH = "both"
    MPS = "mps"


@dataclass(frozen=True, slots=True)
class Facts:
    """What hardly changes: every 30 s."""

    name: str | None = None
    bus_id: str | None = None
    driver_version: str | None = None
    temperature_slowdown_celsius: float | None = None
    temperature_shutdown_celsius: float | None = None
    temperature_maximum_celsius: float | None = None
    power_limit_milliwatts: int | None = None
    maximum_clocks_hertz: tuple[int | None, ...] = (None,) * 4
    """Graphics, SM, memory, video."""
    pcie_generation_maximum: int | None = None
    pcie_width_maximum: int | None = None
    remapped_rows: tuple[int | None, ...] = (None,) * 4
    """Corrected, uncorrected; whether some are pending, whether one failed."""


@dataclass(frozen=True, slots=True)
class Slow:
    """What changes seldom: every 5 s."""

    fan_percent: float | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    ecc_errors: tuple[int | None, ...] = (None,) * 4
    """Volatile corrected and uncorrected, aggregate corrected and uncorrected."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What takes long to read: every 2 s."""

    pcie_receive_bytes_per_second: int | None = None
    pcie_transmit_bytes_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is shown to move: every second."""

    sm_activity_percent: float | None = None
    tensor_activity_percent: float | None = None
    encoder_utilization_percent: float | None = None
    decoder_utilization_percent: float | None = None
    temperature_celsius: float | None = None
    memory_temperature_celsius: float | None = None
    energy_millijoules: int | None = None
    clocks_hertz: tuple[int | None, ...] = (None,) * 4
    """Graphics, SM, memory, video."""
    performance_state: int | None = None
    throttle_reasons: str | None = None
    nvlink_receive_bytes: int | None = None
    nvlink_transmit_bytes: int | None = None


class Activity(NamedTuple):
    """What is looked at first: twice a second."""

    gpu_utilization_percent: float | None = None
    memory_utilization_percent: float | None = None
    power_milliwatts: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: at every poll. ``reserved`` is None where the driver counts it as used."""

    total: int | None = None
    used: int | None = None
    free: int | None = None
    reserved: int | None = None


@dataclass(frozen=True, slots=True)
class Xid:
    """A critical error of the driver's (docs.nvidia.com/deploy/xid-errors), and when it was told."""

    number: int
    boottime_ns: int


class ProcessUse(NamedTuple):
    """What one process uses of one GPU; ``vram_bytes`` is None where NVML does not know."""

    type: ProcessType
    vram_bytes: int | None


Utilization = tuple[float | None, float | None, float | None, float | None]
"""SM, memory, encoder, decoder, in percent."""
