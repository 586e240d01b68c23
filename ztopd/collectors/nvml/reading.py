"""What one poll published of a GPU or MIG instance: immutable, so that the tick can make rows of it in its own time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ztop_protocol.frame import Row
from ztopd.collectors.nvml.owners import Owner
from ztopd.collectors.nvml.readings import (
    Activity,
    Facts,
    Gauges,
    Memory,
    ProcessUse,
    Slow,
    Throughput,
    Utilization,
    Xid,
)
from ztopd.collectors.nvml.velocity import Eta, Velocity


class GpuState(StrEnum):
    """How a GPU is, as the column ``state`` of ``gpus`` tells it."""

    OK = "ok"
    HUNG = "hung"
    """A call does not return: all that is known is old."""
    LOST = "lost"
    FAILED = "failed"
    """It answers, but does not even say which it is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which GPU or MIG instance."""

    uuid: str
    parent_uuid: str | None
    index: int


_NO_UTILIZATION: Utilization = (None, None, None, None)


class Users(NamedTuple):
    """The processes of a GPU or MIG instance, by pid. The same object as long as none of it was read anew."""

    gpu_uuid: str
    uses: Mapping[int, ProcessUse]
    sampled_boottime_ns: int
    utilizations: Mapping[int, Utilization]
    velocities: Mapping[int, Velocity | None]
    oom_eta_seconds: float | None
    growth: float
    """In bytes a second: of all that grows, whoever it is."""

    def rows(self, owners: Iterable[Owner]) -> Iterator[Row]:
        """The rows of ``gpu_processes``, with ``owners`` in the order of ``uses``.

        Each one that grows has its part in when memory will be full.
        """
        uuid, uses, sampled_ns, utilizations, velocities, seconds, growth = self
        for (pid, (kind, vram_bytes)), owner in zip(uses.items(), owners, strict=True):
            velocity = velocities.get(pid)
            grows = seconds is not None and velocity is not None and velocity.grows
            yield (
                *(uuid, pid, *owner, kind.value, sampled_ns, vram_bytes),
                *utilizations.get(pid, _NO_UTILIZATION),
                None if velocity is None else round(velocity.value),
                *((seconds, 100 * velocity.value / growth) if grows and velocity is not None else (None, None)),
            )


class Reading(NamedTuple):
    """All that is known of it."""

    identity: Identity
    withheld: str | None
    sampled_boottime_ns: int | None
    divided: bool | None
    facts: Facts
    activity: Activity
    gauges: Gauges
    throughput: Throughput
    slow: Slow
    memory: Memory
    xid: Xid | None
    velocity: Velocity | None
    eta: Eta | None
    is_low: bool
    users: Users
    counters_boottime_ns: int | None

    def row(self) -> Row:
        """The row of ``gpus``."""
        names, facts, gauges, slow, memory = self.identity, self.facts, self.gauges, self.slow, self.memory
        activity = self.activity
        velocity, found, xid = self.velocity, self.eta, self.xid
        return (
            *(names.uuid, names.parent_uuid, names.index, GpuState.OK.value, None, self.withheld),
            *(self.sampled_boottime_ns, facts.name, facts.bus_id, facts.driver_version, self.divided),
            *(activity.gpu_utilization_percent, activity.memory_utilization_percent),
            *(gauges.encoder_utilization_percent, gauges.decoder_utilization_percent),
            *(gauges.sm_activity_percent, gauges.tensor_activity_percent),
            *(memory.total, memory.used, memory.free, memory.reserved),
            *(gauges.temperature_celsius, gauges.memory_temperature_celsius),
            *(facts.temperature_slowdown_celsius, facts.temperature_shutdown_celsius),
            facts.temperature_maximum_celsius,
            *(activity.power_milliwatts, facts.power_limit_milliwatts, gauges.energy_millijoules),
            *(*gauges.clocks_hertz, *facts.maximum_clocks_hertz),
            *(gauges.performance_state, gauges.throttle_reasons, slow.fan_percent),
            *(slow.pcie_generation, slow.pcie_width),
            *(facts.pcie_generation_maximum, facts.pcie_width_maximum),
            self.throughput.pcie_receive_bytes_per_second,
            self.throughput.pcie_transmit_bytes_per_second,
            *(gauges.nvlink_receive_bytes, gauges.nvlink_transmit_bytes),
            *(*slow.ecc_errors, *facts.remapped_rows),
            *((None, None) if xid is None else (xid.number, xid.boottime_ns)),
            None if velocity is None else round(velocity.value),
            *((None, None, None) if found is None else (found.seconds, found.low, found.high)),
            None if self.divided or memory.used is None else self.is_low,
            self.counters_boottime_ns,
        )
