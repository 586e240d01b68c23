"""One GPU or MIG instance over time: what was read of it last, how its memory grows, and who makes it grow."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ztop_protocol.frame import Row
from ztopd.collectors.nvml.approach import Approach
from ztopd.collectors.nvml.device import Device
from ztopd.collectors.nvml.readings import Facts, Gauges, Memory, ProcessUse, Slow, Utilization, Xid
from ztopd.collectors.nvml.velocity import Eta, Series, Velocity

FACTS_NS = 30_000_000_000
SLOW_NS = 1_000_000_000
PROCESSES_NS = 1_000_000_000
"""The lists of processes where the memory in use is what it was: nobody took any."""
GAUGES_NS = 500_000_000
_EARLY_NS = 50_000_000
"""Polls come a little early or late: what is due that soon is due now."""


class Turn:
    """When something that is not read at every poll is due."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._due_ns = 0

    def comes(self, now_ns: int) -> bool:
        """Whether it is due; if so, it is next due a period later."""
        if now_ns < self._due_ns - _EARLY_NS:
            return False
        self._due_ns = now_ns + self._period_ns
        return True


class GpuState(StrEnum):
    """How a GPU is, as the column ``state`` of ``gpus`` tells it."""

    OK = "ok"
    HUNG = "hung"
    """A call does not return: all that is known is old."""
    LOST = "lost"
    FAILED = "failed"
    """It answers, but does not even say which it is."""


@dataclass(frozen=True, slots=True)
class VramLow:
    """A warning: at this growth the memory of a GPU or MIG instance will be full soon."""

    uuid: str
    name: str | None
    is_instance: bool
    index: int
    eta: Eta
    velocity_bytes_per_second: float
    free_bytes: int
    pid: int | None
    """Of the process that grows most, where one does."""

    @property
    def title(self) -> str:
        """What a person calls it."""
        kind = "MIG instance" if self.is_instance else "GPU"
        return f"{kind} {self.index}" if self.name is None else f"{kind} {self.index} ({self.name})"


class GpuProcess(NamedTuple):
    """A row of ``gpu_processes`` without what /proc says of the process."""

    gpu_uuid: str
    pid: int
    use: ProcessUse
    sampled_boottime_ns: int
    utilization: Utilization
    velocity: Velocity | None
    oom_eta_seconds: float | None
    oom_share_percent: float | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which GPU or MIG instance."""

    uuid: str
    parent_uuid: str | None
    index: int


class Card:
    """Reads a device, each group when it is due. A card that is divided has no processes and no end of its own."""

    def __init__(self, device: Device, identity: Identity, warn_seconds: float) -> None:
        self.device = device
        self.identity = identity
        self.divided: bool | None = None
        self.facts, self._gauges, self._slow, self._memory = Facts(), Gauges(), Slow(), Memory()
        self._xid: Xid | None = None
        self._facts_turn, self._slow_turn, self._gauges_turn = Turn(FACTS_NS), Turn(SLOW_NS), Turn(GAUGES_NS)
        self._processes_turn = Turn(PROCESSES_NS)
        self._sampled_ns: int | None = None
        self._series = Series()
        self._approach = Approach(warn_seconds)
        self._velocity: Velocity | None = None
        self._eta: Eta | None = None
        self._uses: dict[int, ProcessUse] = {}
        self._of_process: dict[int, Series] = {}
        self._velocities: dict[int, Velocity | None] = {}
        self._utilizations: dict[int, Utilization] = {}
        self._processes_ns = 0
        self.warning: VramLow | None = None
        """The one that began with the last poll."""

    def poll_memory(self, now_ns: int) -> None:
        """What must be read at every poll. Raises :exc:`GpuLost`, :exc:`DriverGone`."""
        before = self._memory.used
        self._memory, self._sampled_ns, self.warning = self.device.read_memory(), now_ns, None
        used, free = self._memory.used, self._memory.free
        self._series.add(now_ns, used)
        self._velocity, self._eta = self._series.velocity(), None
        if not self.divided:
            is_turn = self._processes_turn.comes(now_ns)
            self._poll_processes(now_ns, is_turn or used is None or used != before)
        if used is None or free is None or self.divided:
            return
        self._eta, begins = self._approach.add(now_ns, used, free, self._velocity)
        if begins and self._eta is not None and self._velocity is not None:
            who, speed = self.identity, self._velocity.value
            self.warning = VramLow(
                *(who.uuid, self.facts.name, who.parent_uuid is not None, who.index),
                *(self._eta, speed, free, self._culprit()),
            )

    def _poll_processes(self, now_ns: int, anew: bool) -> None:
        """A sample of each process: read ``anew``, or what it held, for it holds that still."""
        uses = self.device.read_processes() if anew else self._uses
        if uses is None:
            return
        if anew:
            self._uses, self._processes_ns = uses, now_ns
        self._of_process = {pid: self._of_process.get(pid) or Series() for pid in uses}
        for pid, use in uses.items():
            self._of_process[pid].add(now_ns, use.vram_bytes)

    def _estimate(self) -> None:
        """The slopes of the processes: many, and so less often than that of the GPU."""
        self._velocities = {pid: series.velocity() for pid, series in self._of_process.items()}

    def _culprit(self) -> int | None:
        self._estimate()
        growing = {pid: one.value for pid, one in self._velocities.items() if one is not None and one.grows}
        return max(growing, key=lambda pid: growing[pid], default=None)

    def poll_rest(self, now_ns: int) -> None:
        """What is due of the rest. Raises :exc:`GpuLost`, :exc:`DriverGone`."""
        if self._facts_turn.comes(now_ns):
            self.facts = self.device.read_facts()
        is_turn = self._gauges_turn.comes(now_ns)
        if is_turn:
            self._estimate()
        if self.identity.parent_uuid is not None:
            if is_turn:
                self._gauges = self.device.read_activity()
            return
        if is_turn:
            self._gauges = self.device.read_gauges()
            self._xid = self.device.read_xid() or self._xid
            if not self.divided:
                self._utilizations = self.device.read_utilizations(now_ns)
        if self._slow_turn.comes(now_ns):
            self._slow = self.device.read_slow()

    def row(self) -> Row:
        """The row of ``gpus``."""
        names, facts, gauges, slow, memory = self.identity, self.facts, self._gauges, self._slow, self._memory
        velocity, found, xid = self._velocity, self._eta, self._xid
        return (
            *(names.uuid, names.parent_uuid, names.index, str(GpuState.OK), None, self.device.withheld),
            *(self._sampled_ns, facts.name, facts.bus_id, facts.driver_version, self.divided),
            *(*gauges.utilization_percent, gauges.sm_activity_percent, gauges.tensor_activity_percent),
            *(memory.total, memory.used, memory.free, memory.reserved),
            *(gauges.temperature_celsius, gauges.memory_temperature_celsius),
            *(facts.temperature_slowdown_celsius, facts.temperature_shutdown_celsius),
            facts.temperature_maximum_celsius,
            *(gauges.power_milliwatts, facts.power_limit_milliwatts, gauges.energy_millijoules),
            *(*gauges.clocks_hertz, *facts.maximum_clocks_hertz),
            *(gauges.performance_state, gauges.throttle_reasons, gauges.fan_percent),
            *(gauges.pcie_generation, gauges.pcie_width),
            *(facts.pcie_generation_maximum, facts.pcie_width_maximum),
            *(slow.pcie_receive_bytes_per_second, slow.pcie_transmit_bytes_per_second),
            *(gauges.nvlink_receive_bytes, gauges.nvlink_transmit_bytes),
            *(*slow.ecc_errors, *facts.remapped_rows),
            *((None, None) if xid is None else (xid.number, xid.boottime_ns)),
            None if velocity is None else round(velocity.value),
            *((None, None, None) if found is None else (found.seconds, found.low, found.high)),
            None if self.divided or memory.used is None else self._approach.stands,
        )

    def processes(self) -> list[GpuProcess]:
        """Those that use it; each one that grows has its part in when memory will be full."""
        growth = sum(one.value for one in self._velocities.values() if one is not None and one.grows)
        if self._velocity is not None:
            # the driver grows too, and what NVML does not show
            growth = max(growth, self._velocity.value)
        found = []
        for pid, use in self._uses.items():
            velocity = self._velocities.get(pid)
            grows = self._eta is not None and velocity is not None and velocity.grows
            found.append(
                GpuProcess(
                    *(self.identity.uuid, pid, use, self._processes_ns),
                    self._utilizations.get(pid, (None, None, None, None)),
                    velocity,
                    self._eta.seconds if grows and self._eta is not None else None,
                    100 * velocity.value / growth if grows and velocity is not None else None,
                )
            )
        return found
