"""The tick: runs the collectors that are due and makes the next frame of what they gave."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ztop_protocol.codec import MAX_FRAME_BYTES
from ztop_protocol.frame import Frame, Row, Section
from ztop_protocol.schema import SECTIONS, SourceState
from ztopd.collectors.blocking import BlockingReader
from ztopd.collectors.nvml.card import VramLow
from ztopd.collectors.source import Collector, ParseError, Problem, Rows, Sample, Withheld, by_key
from ztopd.sampler import own
from ztopd.sampler.clocks import read_clocks
from ztopd.sampler.events import Events
from ztopd.sampler.summary import Summary

_log = logging.getLogger(__name__)

SKIPS_REMEMBERED_NS = 60_000_000_000


@dataclass(slots=True)
class _Health:
    """One row of ``sources`` in the making."""

    problem: Problem | None = None
    cost_ns: int | None = None
    duration_ns: int | None = None
    period_ns: int | None = None
    cpu_time_ns: int | None = None
    rss_bytes: int | None = None
    sampled_boottime_ns: int | None = None
    tried_boottime_ns: int | None = None
    sections: tuple[str, ...] = ()
    """What it gave last."""
    skipped: int = 0
    failures: int = 0

    def row(self, source: str) -> Row:
        state, reason, fix = (
            (SourceState.OK, None, None)
            if self.problem is None
            else (self.problem.state, self.problem.reason, self.problem.fix)
        )
        return (
            *(source, str(state), reason, fix, self.cost_ns, self.sampled_boottime_ns, self.skipped, self.failures),
            *(self.duration_ns, self.period_ns, self.cpu_time_ns, self.rss_bytes),
        )


class Sampler:
    """Makes frames. Every collector degrades alone: what it cannot give is said in ``sources``."""

    def __init__(
        self,
        collectors: Sequence[Collector],
        reader: BlockingReader,
        boot_id: str,
        strict: bool = False,
        take_warnings: Callable[[], Iterable[VramLow]] = tuple,
    ) -> None:
        """``strict`` lets errors of ours through, for tests; in production they are logged once and said.

        ``take_warnings`` gives those of the GPUs that came since its last call.
        """
        self._reader = reader
        self._boot_id = boot_id
        self._strict = strict
        self._seq = 0
        self._sections: dict[str, Section] = {}
        self._events = Events(self._sections, self._problems, take_warnings=take_warnings)
        self._collectors = (*collectors, Summary(self._sections), self._events)
        self._health: dict[str, _Health] = {collector.name: _Health() for collector in self._collectors}
        self._health["reader"] = _Health()
        self._health["sampler"] = _Health()
        self._logged: set[tuple[str, str]] = set()
        self._skipped_boottime_ns = 0
        self._skips: Problem | None = None
        self._left_out: Problem | None = None

    def skip(self, ticks: int) -> None:
        """Takes note of ticks that did not take place because one before them took too long."""
        for health in self._health.values():
            health.skipped += ticks
        self._events.skip(ticks)
        self._skipped_boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._skips = Problem(
            SourceState.DEGRADED,
            f"ticks were skipped because one took too long, {ticks} at once",
            "a longer --interval",
        )

    def note_cost(self, cost_ns: int, duration_ns: int) -> None:
        """Takes note of the CPU time of the last tick and of what came before it, and how long the tick took.

        Encoding and sending included.
        """
        self._health["sampler"].cost_ns, self._health["sampler"].duration_ns = cost_ns, duration_ns

    def note_process(self, source: str, pid: int | None) -> int:
        """Takes note of what ``sampler``, ``reader`` or ``server``, a process of ztopd's, has cost; its CPU time in ns.

        ``pid`` is None where it is not there now.
        """
        health = self._health.setdefault(source, _Health())
        health.cpu_time_ns = None if pid is None else own.cpu_time_ns(pid)
        health.rss_bytes = None if pid is None else own.rss_bytes(pid)
        return health.cpu_time_ns or 0

    def note_interval(self, interval_seconds: float, problem: Problem | None) -> None:
        """Takes note of how often the next frames come; the problem: less often than it was set."""
        self._health["sampler"].period_ns = round(interval_seconds * 1e9)
        self._health.setdefault("bound", _Health()).problem = problem

    def note_store(self, problem: Problem | None) -> None:
        """Takes note of how the store is; it has a row in ``sources`` from then on."""
        self._health.setdefault("store", _Health()).problem = problem

    def note_service(self, problem: Problem | None) -> None:
        """Takes note of what a service has of what its unit asks for; likewise."""
        self._health.setdefault("service", _Health()).problem = problem

    def note_left_out(self, sections: Sequence[str], processes: int = 0) -> None:
        """Takes note of the sections, and of how many processes, that the last frame had no room for."""
        self._left_out = None
        if processes:
            self._left_out = Problem(
                SourceState.DEGRADED,
                f"{processes} processes left out, those that used least CPU time in their lives: a frame holds at most "
                f"{MAX_FRAME_BYTES >> 20} MiB",
                "see what makes so many processes, or so long command lines",
            )
        if sections:
            self._left_out = Problem(
                SourceState.DEGRADED,
                f"{', '.join(sections)} left out: a frame holds at most {MAX_FRAME_BYTES >> 20} MiB",
                "see what makes so many processes, or so long names and paths; ztopd's log, if it has an error of that",
            )

    def sample(self) -> Frame:
        """The next frame."""
        clocks = read_clocks()
        boottime_ns = clocks.boottime_ns
        for collector in self._collectors:
            health = self._health[collector.name]
            age = None if health.tried_boottime_ns is None else boottime_ns - health.tried_boottime_ns
            # a tick comes a little early or late: what is due within a tenth of its period is due now
            if age is None or age >= collector.period_ns * 0.9:
                self._collect(collector, health)
        self._tell_sources(boottime_ns)
        self._seq += 1
        return Frame(self._seq, clocks.time_ns, boottime_ns, self._boot_id, dict(self._sections))

    def between(self, collector: Collector) -> dict[str, Section]:
        """What a collector that gave something at the last tick gives now. No frame has it, and nothing is kept of it.

        What fails is for the next tick to say.
        """
        if not self._health[collector.name].sections:
            return {}
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            sample = collector.collect()
            for name, rows in sample.sections.items():
                _check_widths(name, rows)
        except (Withheld, OSError, ParseError):
            return {}
        except Exception as error:
            if self._strict:
                raise
            self._log_once(collector.name, error)
            return {}
        sampled_ns = sample.sampled_boottime_ns or now_ns
        return {name: Section(sampled_ns, rows) for name, rows in sample.sections.items()}

    def _collect(self, collector: Collector, health: _Health) -> None:
        started, began_ns = time.thread_time_ns(), time.monotonic_ns()
        health.tried_boottime_ns = sampled_boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            sample = collector.collect()
            sampled_boottime_ns = sample.sampled_boottime_ns or sampled_boottime_ns
            self._keep(sample, sampled_boottime_ns)
        except Withheld as withheld:
            health.problem = withheld.problem
            for name in health.sections:
                del self._sections[name]
            health.sections = ()
        except (OSError, ParseError) as error:
            health.problem = Problem(SourceState.DEGRADED, _sentence(error))
            health.failures += 1
        except Exception as error:
            if self._strict:
                raise
            self._log_once(collector.name, error)
            health.problem = Problem(SourceState.DEGRADED, f"an error in ztopd, see its log: {error!r}")
            health.failures += 1
        else:
            health.problem, health.sections = sample.problem, tuple(sample.sections)
            health.sampled_boottime_ns = sampled_boottime_ns
        # many have a longer one where a collection was dear
        health.period_ns = collector.period_ns or None
        health.cost_ns, health.duration_ns = time.thread_time_ns() - started, time.monotonic_ns() - began_ns

    def _keep(self, sample: Sample, sampled_boottime_ns: int) -> None:
        """Raises whatever comes of a sample that is none; nothing of it is kept then."""
        for name, rows in sample.sections.items():
            _check_widths(name, rows)
        for name, rows in sample.sections.items():
            old = self._sections.get(name)
            if old is not None and not sample.shares_rows:
                rows = _shared(old, rows)
            self._sections[name] = Section(sampled_boottime_ns, rows)
        for source, problem in sample.further.items():
            further = self._health.setdefault(source, _Health())
            further.problem, further.sampled_boottime_ns = problem, sampled_boottime_ns

    def _problems(self) -> dict[str, Problem | None]:
        """Of every source but the sampler itself, whose own are events of another kind."""
        return {source: health.problem for source, health in self._health.items() if source != "sampler"}

    def _tell_sources(self, boottime_ns: int) -> None:
        self._health["reader"].problem = self._reader.problem()
        sampler = self._health["sampler"]
        sampler.sampled_boottime_ns = boottime_ns
        if boottime_ns - self._skipped_boottime_ns > SKIPS_REMEMBERED_NS:
            self._skips = None
        sampler.problem = self._left_out or self._skips
        rows = by_key("sources", (health.row(source) for source, health in self._health.items()))
        self._sections["sources"] = Section(boottime_ns, rows)

    def _log_once(self, name: str, error: Exception) -> None:
        if (name, repr(error)) not in self._logged and len(self._logged) < 100:
            self._logged.add((name, repr(error)))
            _log.exception("the collector %s failed", name)


def _check_widths(name: str, rows: Rows) -> None:
    """A row of another width would be read as other columns. All at once, since it is done at every tick."""
    widths = set(map(len, rows.values()))
    if widths - {len(SECTIONS[name].columns)}:
        raise ValueError(f"{name}: rows of {sorted(widths)} cells")


def _shared(old: Section, rows: Rows) -> Rows:
    """The rows, with those that did not change as the same objects as before: a delta then skips them at once."""
    known = old.rows
    for key, row in rows.items():
        before = known.get(key)
        if before is not row and before == row:
            rows[key] = before
    return rows


def _sentence(error: OSError | ParseError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
