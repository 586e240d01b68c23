"""One GPU or MIG instance over time: what was read of it last, how its memory grows, and who makes it grow."""

from dataclasses import dataclass

from ztopd.collectors.nvml.approach import Approach
from ztopd.collectors.nvml.device import Device
from ztopd.collectors.nvml.library import DriverGone, GpuLost
from ztopd.collectors.nvml.reading import Identity, Reading, Users
from ztopd.collectors.nvml.readings import Activity, Facts, Gauges, Memory, Slow, Throughput, Xid
from ztopd.collectors.nvml.velocity import GAP_NS, Eta, Polls, Series, Velocity

FACTS_NS = 30_000_000_000
SLOW_NS = 5_000_000_000
THROUGHPUT_NS = 2_000_000_000
INSTANCES_NS = 2_000_000_000
PROCESSES_NS = 1_000_000_000
"""The lists of processes where the memory in use is what it was: nobody took any."""
GAUGES_NS = 1_000_000_000
ACTIVITY_NS = 500_000_000
_EARLY_NS = 50_000_000
"""Polls come a little early or late: what is due that soon is due now."""


class Turn:
    """When something that is not read at every poll is due."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._due_ns = 0

    def comes(self, now_ns: int) -> bool:
        """Whether it is due; if so, it is next due a period after it was due now."""
        if now_ns < self._due_ns - _EARLY_NS:
            return False
        self._due_ns += self._period_ns
        if self._due_ns <= now_ns:
            self._due_ns = now_ns + self._period_ns
        return True


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


class Card:
    """Reads a device, each group when it is due. A card that is divided has no processes and no end of its own."""

    def __init__(self, device: Device, identity: Identity, warn_seconds: float, xid: Xid | None = None) -> None:
        """``xid`` is the last error that was told, where it was read before."""
        self.device = device
        self.identity = identity
        self.divided: bool | None = None
        self.instances_turn = Turn(INSTANCES_NS)
        """When to look whether it is divided, and into what."""
        self._facts, self._facts_turn = Facts(), Turn(FACTS_NS)
        self._slow, self._slow_turn = Slow(), Turn(SLOW_NS)
        self._throughput, self._throughput_turn = Throughput(), Turn(THROUGHPUT_NS)
        self._gauges, self._gauges_turn = Gauges(), Turn(GAUGES_NS)
        self._counters_ns: int | None = None
        self._activity, self._activity_turn = Activity(), Turn(ACTIVITY_NS)
        self._memory = Memory()
        self._xid = xid
        self._sampled_ns: int | None = None
        self._polls = Polls()
        self._series = Series(self._polls)
        self._approach = Approach(warn_seconds)
        self._velocity: Velocity | None = None
        self._eta: Eta | None = None
        self._processes_turn = Turn(PROCESSES_NS)
        self._of_process: dict[int, Series] = {}
        self._users = self._nobody = Users(identity.uuid, {}, 0, {}, {}, None, 0.0)
        self.warning: VramLow | None = None
        """The one that began with the last poll."""

    def poll_memory(self, now_ns: int) -> None:
        """What must be read at every poll. Raises :exc:`GpuLost`, :exc:`DriverGone`."""
        before = self._memory.used
        self._memory, self._sampled_ns, self.warning = self.device.read_memory(), now_ns, None
        used, free = self._memory.used, self._memory.free
        if not self._polls.add(now_ns):
            self._series.forget()
            self._of_process.clear()
        self._series.add(used)
        self._velocity, self._eta = self._series.velocity(), None
        if self.divided:
            self._forget_processes()
        elif (is_turn := self._processes_turn.comes(now_ns)) or used is None or used != before:
            self._poll_processes(now_ns, is_turn)
        if used is not None and free is not None and not self.divided:
            self._eta, begins = self._approach.add(now_ns, used, free, self._velocity)
            if begins and self._eta is not None and self._velocity is not None:
                who, speed = self.identity, self._velocity.value
                self.warning = VramLow(
                    *(who.uuid, self._facts.name, who.parent_uuid is not None, who.index),
                    *(self._eta, speed, free, self._culprit()),
                )
        self._weigh()

    def _poll_processes(self, now_ns: int, whole: bool) -> None:
        uses, known = self.device.read_processes(whole), self._users
        if uses is None:
            if now_ns - known.sampled_boottime_ns > GAP_NS:
                self._forget_processes()
            return
        if now_ns - known.sampled_boottime_ns > GAP_NS:
            self._of_process.clear()
        if uses is not known.uses or not self._of_process:
            self._of_process = {pid: self._of_process.get(pid) or Series(self._polls) for pid in uses}
            for pid, use in uses.items():
                self._of_process[pid].add(use.vram_bytes)
        self._users = known._replace(uses=uses, sampled_boottime_ns=now_ns)

    def _forget_processes(self) -> None:
        """Nobody is known to use it any more."""
        if self._users is not self._nobody:
            self._users = self._nobody
            self._of_process.clear()

    def _estimate(self) -> None:
        """The slopes of the processes: many, and so less often than that of the GPU."""
        velocities = {pid: series.velocity() for pid, series in self._of_process.items()}
        if velocities != self._users.velocities:
            self._users = self._users._replace(velocities=velocities)

    def _weigh(self) -> None:
        """What all growth comes to, and to what end."""
        users, seconds, growth = self._users, None, 0.0
        if self._eta is not None and self._velocity is not None:
            # the driver grows too, and what NVML does not show
            growths = [one.value for one in users.velocities.values() if one is not None and one.grows]
            seconds, growth = self._eta.seconds, max(sum(growths), self._velocity.value)
        if seconds != users.oom_eta_seconds or growth != users.growth:
            self._users = users._replace(oom_eta_seconds=seconds, growth=growth)

    def _culprit(self) -> int | None:
        self._estimate()
        growing = {pid: one.value for pid, one in self._users.velocities.items() if one is not None and one.grows}
        return max(growing, key=lambda pid: growing[pid], default=None)

    def poll_rest(self, now_ns: int) -> None:
        """What is due of the rest. Raises :exc:`GpuLost`, :exc:`DriverGone`."""
        device, is_instance = self.device, self.identity.parent_uuid is not None
        if self._facts_turn.comes(now_ns):
            self._facts = device.read_facts()
        if self._activity_turn.comes(now_ns):
            self._estimate()
            self._weigh()
            if not is_instance:
                self._activity = device.read_activity()
        is_turn = self._gauges_turn.comes(now_ns)
        if is_turn:
            self._gauges, self._counters_ns = device.read_gauges(), now_ns
        if is_instance:
            return
        if is_turn:
            self._xid = device.read_xid() or self._xid
            if not self.divided:
                utilizations = device.read_utilizations(now_ns)
                if utilizations != self._users.utilizations:
                    self._users = self._users._replace(utilizations=utilizations)
        if self._slow_turn.comes(now_ns):
            self._slow = device.read_slow()
        if self._throughput_turn.comes(now_ns):
            self._throughput = device.read_throughput()

    def last_xid(self) -> Xid | None:
        """The last critical error, and be it the one that came with the end: who falls off the bus tells it."""
        try:
            self._xid = self.device.read_xid() or self._xid
        except (GpuLost, DriverGone):
            pass
        return self._xid

    def reading(self) -> Reading:
        """What is known now."""
        return Reading(
            self.identity,
            self.device.withheld,
            self._sampled_ns,
            self.divided,
            self._facts,
            self._activity,
            self._gauges,
            self._throughput,
            self._slow,
            self._memory,
            self._xid,
            self._velocity,
            self._eta,
            self._approach.stands,
            self._users,
            self._counters_ns,
        )
