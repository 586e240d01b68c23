"""The sections ``events``, ``process_events`` and ``alerts``: what happened, and lasts. docs/events.md has the rules.

It has the shape of a collector, so that it degrades alone as one; a tick runs it after all others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ztop_protocol.event_kinds import EventKind
from ztop_protocol.frame import Row, Section
from ztop_protocol.schema import GPU_PROCESSES, HOST, PROCESSES
from ztop_protocol.version import VERSION
from ztopd.collectors.nvml.card import VramLow
from ztopd.collectors.source import Problem, Rows, Sample, by_key
from ztopd.sampler.clocks import Clocks, read_clocks
from ztopd.sampler.happenings import Event, OomWatch, SourceWatch, SpikeWatch, clock_events, vram_event
from ztopd.sampler.ipc_drops import DropWatch
from ztopd.sampler.process_events import appeared_and_ended, busiest

BEGINNING_NS = 10_000_000_000
"""So long after the first frame sources are still being found, and what becomes of them is no change."""

_HIDEPID = HOST.position["hidepid"]
_COMM, _GPU_PROCESS_START = PROCESSES.position["comm"], GPU_PROCESSES.position["start_boottime_ns"]


class Events:
    """Gives ``events`` and ``process_events``. While nothing happens both stay as they are: empty, and of that time.

    Where there are counters it gives ``alerts`` too, anew when it has other rows than before.
    """

    name = "events"
    period_ns = 0

    def __init__(
        self,
        sections: Mapping[str, Section],
        problems: Callable[[], Mapping[str, Problem | None]],
        clocks: Callable[[], Clocks] = read_clocks,
        take_warnings: Callable[[], Iterable[VramLow]] = tuple,
    ) -> None:
        """``sections`` are those of the tick: they change from call to call, as do ``problems``, by source, and the
        warnings of the GPUs, each of which is given once.
        """
        self._sections = sections
        self._problems = problems
        self._read_clocks = clocks
        self._take_warnings = take_warnings
        self._clocks: Clocks | None = None
        self._began_ns: int | None = None
        self._skipped_ticks = 0
        self._sources, self._oom, self._spikes, self._drops = SourceWatch(), OomWatch(), SpikeWatch(), DropWatch()
        self._processes: Section | None = None
        """As last seen."""
        self._number = {"events": 0, "process_events": 0}
        self._told: dict[str, Rows] = {}

    def skip(self, ticks: int) -> None:
        """Takes note of ticks that did not take place."""
        self._skipped_ticks += ticks

    def collect(self) -> Sample:
        """What happened since the last call; at the first, that it is the first."""
        now, before = self._read_clocks(), self._clocks
        processes_before, processes = self._processes, self._sections.get("processes")
        happened = [*self._about_time(before, now), *self._about_sources(now)]
        happened += self._oom.take(now.boottime_ns, self._sections.get("memory"), self._sections.get("cgroups"))
        happened += self._spikes.take(self._sections.get("summary"), lambda: self._who(processes_before, processes))
        happened += [vram_event(one, self._about_culprit(one, processes)) for one in self._take_warnings()]
        of_processes: list[Row] = []
        if processes_before is not None and processes is not None and processes is not processes_before:
            of_processes, left_out = appeared_and_ended(processes_before.rows, processes.rows)
            if left_out:
                detail = f"{left_out} more processes appeared or ended than one frame has room for"
                happened.append(Event(EventKind.LEFT_OUT, detail, "process_events", float(left_out)))
        self._clocks, self._processes, self._skipped_ticks = now, processes or processes_before, 0
        sections = {
            **self._section("events", [(str(e.kind), e.subject, e.value, e.detail) for e in happened]),
            **self._section("process_events", of_processes),
            **self._alerts(),
        }
        return Sample(sections, shares_rows=True, sampled_boottime_ns=now.boottime_ns)

    def _about_time(self, before: Clocks | None, now: Clocks) -> Iterator[Event]:
        if before is None:
            yield Event(EventKind.STARTED, f"ztopd {VERSION} started")
            return
        for event in clock_events(before, now):
            if event.kind is EventKind.SUSPEND:
                self._spikes.begin_anew()
                self._drops.begin_anew()
            yield event
        if self._skipped_ticks:
            ticks = "1 tick was" if self._skipped_ticks == 1 else f"{self._skipped_ticks} ticks were"
            seconds = (now.boottime_ns - before.boottime_ns) / 1e9
            yield Event(EventKind.GAP, f"{ticks} skipped because one took too long", value=seconds)

    def _about_sources(self, now: Clocks) -> Iterator[Event]:
        if self._began_ns is None:
            self._began_ns = now.boottime_ns
        if now.boottime_ns - self._began_ns < BEGINNING_NS:
            self._sources.begin(self._problems())
        else:
            yield from self._sources.take(self._problems())

    def _who(self, before: Section | None, now: Section | None) -> str:
        """Who used most CPU, where everyone may know."""
        found = busiest(before, now)
        if found is None or self._hides_processes():
            return ""
        return f"; most CPU was used by {found}"

    def _hides_processes(self) -> bool:
        host = self._sections.get("host")
        return host is None or host.rows[()][_HIDEPID] != 0

    def _about_culprit(self, warning: VramLow, processes: Section | None) -> str:
        """Who makes a GPU's memory grow most, where everyone may know."""
        section = self._sections.get("gpu_processes")
        row = None if section is None else section.rows.get((warning.uuid, warning.pid))
        if warning.pid is None or self._hides_processes():
            return ""
        key = (warning.pid, None if row is None else row[_GPU_PROCESS_START])
        known = None if processes is None else processes.rows.get(key)
        return f"; pid {warning.pid}{'' if known is None else f' ({known[_COMM]})'} grows most"

    def _alerts(self) -> dict[str, Rows]:
        """The section where its rows are others than before."""
        rows = self._drops.take(self._sections.get("process_counters"), self._sections.get("processes"))
        if rows is None:
            return {}
        alerts = by_key("alerts", rows)
        if alerts == self._told.get("alerts"):
            return {}
        self._told["alerts"] = alerts
        return {"alerts": alerts}

    def _section(self, name: str, rows: Sequence[Row]) -> dict[str, Rows]:
        """The section with its rows, numbered; nothing where it stays as it was."""
        if not rows and self._told.get(name) == {}:
            return {}
        number = self._number[name]
        self._number[name] += len(rows)
        self._told[name] = by_key(name, ((number + place, *row) for place, row in enumerate(rows, 1)))
        return {name: self._told[name]}
