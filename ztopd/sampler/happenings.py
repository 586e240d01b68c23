"""What may happen from one frame to the next, each with its own rule: clocks, sources, memory, spikes.

Pure, or of a state of its own that frames go through; docs/events.md says the rules for people.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ztop_protocol.event_kinds import EventKind
from ztop_protocol.frame import Key, Row, Section
from ztop_protocol.schema import CGROUPS, MEMORY, SUMMARY
from ztopd.collectors.nvml.card import VramLow
from ztopd.collectors.nvml.warnings import sentence
from ztopd.collectors.source import Problem
from ztopd.sampler.clocks import Clocks
from ztopd.sampler.spikes import SETTLED_FRAMES, Spike, SpikeDetector, cpu_threshold, pressure_threshold

CLOCK_STEP_NS = 50_000_000
"""As much parts two spans of the timeline."""
SUSPEND_NS = 100_000_000
CGROUPS_AWAITED_NS = 3_000_000_000
"""So long an OOM kill waits for the cgroups to be read, which say where it was."""

_SECOND = 1e9
_KILLS, _CGROUP_KILLS = MEMORY.position["oom_kills"], CGROUPS.position["oom_kills"]
_PRESSURES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Event:
    """A row of ``events`` without its number."""

    kind: EventKind
    detail: str
    subject: str | None = None
    value: float | None = None


def clock_events(before: Clocks, now: Clocks) -> Iterator[Event]:
    """Steps of the wall clock, and sleep."""
    step_ns = (now.time_ns - now.boottime_ns) - (before.time_ns - before.boottime_ns)
    if abs(step_ns) >= CLOCK_STEP_NS:
        where = "forward" if step_ns > 0 else "back"
        detail = f"the wall clock was set {where} by {abs(step_ns) / _SECOND:.3f} s"
        yield Event(EventKind.CLOCK_STEP, detail, value=step_ns / _SECOND)
    slept_ns = (now.boottime_ns - now.monotonic_ns) - (before.boottime_ns - before.monotonic_ns)
    if slept_ns >= SUSPEND_NS:
        yield Event(EventKind.SUSPEND, f"the machine slept for {slept_ns / _SECOND:.1f} s", value=slept_ns / _SECOND)


def vram_event(warning: VramLow, about: str) -> Event:
    """A GPU's memory will be full soon; ``about`` says who makes it grow."""
    return Event(EventKind.VRAM_LOW, sentence(warning) + about, warning.uuid, warning.eta.seconds)


class SourceWatch:
    """Tells at once that a source is lost, and that it is back when it was whole for some frames."""

    def __init__(self) -> None:
        self._whole_frames: dict[str, int] = {}
        """For how many frames each source has been whole; no more are counted than it takes to be back."""

    def begin(self, problems: Mapping[str, Problem | None]) -> None:
        """Takes these as they are: what is found out at the beginning is no change."""
        for source, problem in problems.items():
            self._whole_frames[source] = SETTLED_FRAMES if problem is None else 0

    def take(self, problems: Mapping[str, Problem | None]) -> Iterator[Event]:
        """What changed. The state in which a source is first seen is no change either."""
        known = self._whole_frames
        for source, problem in problems.items():
            frames = known.setdefault(source, SETTLED_FRAMES if problem is None else 0)
            if problem is not None:
                known[source] = 0
                if frames == SETTLED_FRAMES:
                    yield Event(EventKind.SOURCE_LOST, problem.reason, source)
            elif frames < SETTLED_FRAMES:
                known[source] = frames + 1
                if known[source] == SETTLED_FRAMES:
                    yield Event(EventKind.SOURCE_BACK, "it gives again what it should", source)


class OomWatch:
    """Tells that the kernel killed for want of memory, and in which cgroup.

    Cgroups are read less often than memory, so the telling waits until they are.
    """

    def __init__(self) -> None:
        self._kills: int | None = None
        self._untold = 0
        self._since_ns = 0
        self._cgroups: Section | None = None
        self._places: tuple[str | None, str | None] = (None, None)
        """The cgroups in which kills were seen in the frame before and in this one: they may be ahead of memory."""

    def take(self, boottime_ns: int, memory: Section | None, cgroups: Section | None) -> Iterator[Event]:
        """The kills that have not been told, once their place is known or not to be known."""
        is_new = cgroups is not None and cgroups is not self._cgroups
        self._places = (self._places[1], _killed_in(self._cgroups, cgroups) if is_new else None)
        self._cgroups = cgroups
        self._count(boottime_ns, memory)
        place = self._places[1] or self._places[0]
        if self._untold and (place or is_new or cgroups is None or boottime_ns - self._since_ns >= CGROUPS_AWAITED_NS):
            killed = "1 process was" if self._untold == 1 else f"{self._untold} processes were"
            yield Event(EventKind.OOM_KILL, f"{killed} killed because memory ran out", place, float(self._untold))
            self._untold, self._places = 0, (None, None)

    def _count(self, boottime_ns: int, memory: Section | None) -> None:
        kills = None if memory is None else memory.rows[()][_KILLS]
        if not isinstance(kills, int):
            return
        if self._kills is not None and kills > self._kills:
            self._since_ns = self._since_ns if self._untold else boottime_ns
            self._untold += kills - self._kills
        self._kills = kills


def _killed_in(before: Section | None, now: Section | None) -> str | None:
    """The deepest cgroup whose kills grew, of several the one with most: those above it count them too."""
    if before is None or now is None:
        return None
    grown: dict[Key, int] = {}
    for key, row in now.rows.items():
        old = before.rows.get(key)
        if old is not row and (growth := _kills(row) - (0 if old is None else _kills(old))) > 0:
            grown[key] = growth
    if not grown:
        return None
    return str(max(grown, key=lambda key: (_depth(str(key[0])), grown[key]))[0])


def _kills(row: Row) -> int:
    kills = row[_CGROUP_KILLS]
    return kills if isinstance(kills, int) else 0


def _depth(path: str) -> int:
    return sum(1 for name in path.split("/") if name)


class SpikeWatch:
    """Tells where a spike of CPU or pressure begins."""

    def __init__(self) -> None:
        self._cpu = SpikeDetector(cpu_threshold)
        self._pressures = {resource: SpikeDetector(pressure_threshold) for resource in _PRESSURES}
        self._summary: Section | None = None

    def begin_anew(self) -> None:
        """The machine slept: what was usual before is not known to be so now, and this interval is no measure."""
        self._summary = None
        for detector in (self._cpu, *self._pressures.values()):
            detector.begin_anew()

    def take(self, summary: Section | None, who: Callable[[], str]) -> Iterator[Event]:
        """The spikes that begin. ``who`` is asked for whom it may be, in words."""
        before, self._summary = self._summary, summary
        if before is None or summary is None or summary.sampled_boottime_ns <= before.sampled_boottime_ns:
            return
        if spike := _spike(self._cpu, before, summary, "cpu_busy_time_ns"):
            detail = f"{spike.percent / 100:.1f} cores were busy, usually {spike.mean_percent / 100:.1f}"
            yield Event(EventKind.CPU_SPIKE, detail + who(), "cpu", spike.percent)
        for resource, detector in self._pressures.items():
            if spike := _spike(detector, before, summary, f"{resource}_pressure_time_ns"):
                waited = f"tasks waited for {resource} {spike.percent:.0f} % of the time"
                detail = f"{waited}, usually {spike.mean_percent:.0f} %"
                yield Event(EventKind.PRESSURE_SPIKE, detail + who(), resource, spike.percent)


def _spike(detector: SpikeDetector, before: Section, now: Section, column: str) -> Spike | None:
    """What the detector makes of a counter's growth; it does not hear of one that is absent or went back."""
    place = SUMMARY.position[column]
    earlier, later = before.rows[()][place], now.rows[()][place]
    if not isinstance(earlier, int) or not isinstance(later, int) or later < earlier:
        return None
    return detector.take(now.sampled_boottime_ns - before.sampled_boottime_ns, later - earlier)
