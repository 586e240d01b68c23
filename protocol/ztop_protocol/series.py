"""Curves of hours out of the section ``summary``: what each step of time was like, all frames of it counted.

A segment is reduced to its steps by itself, so that what was made of it serves again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ztop_protocol.frame import Frame
from ztop_protocol.rates import RATE_POSITION, RateTable, percent
from ztop_protocol.segment import Segment, SegmentReader
from ztop_protocol.timeline import GAP_INTERVALS

COLUMNS = (
    *("cpu_percent", "cpu_max_percent", "memory_percent", "swap_percent"),
    *("cpu_pressure_percent", "memory_pressure_percent", "io_pressure_percent"),
    *("disk_bytes_per_second", "network_bytes_per_second", "gpu_percent"),
)
"""Percentages of the whole machine, and rates: means over a step; ``cpu_max_percent`` is the greatest of a frame.

``gpu_percent`` is of the GPU that is the busiest in a frame.
"""

SECTION = "summary"
_CPU_MAX = COLUMNS.index("cpu_max_percent")
_RATE = RATE_POSITION[SECTION]
_SECOND = 1_000_000_000
_NICE_STEPS_NS = (
    *(tenths * _SECOND // 10 for tenths in (1, 2, 5)),
    *(seconds * _SECOND for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)),
    *(hours * 3600 * _SECOND for hours in (2, 3, 6, 12, 24)),
)
_DAY_NS = _NICE_STEPS_NS[-1]
_MOST_STEPS = 2000
"""So many the longest interval between frames may be of the shortest; a stranger's recording may say anything."""


def step_for(from_ns: int, to_ns: int, points: int, at_least_ns: int) -> int:
    """The step with which that time has at most so many points: a round one, so that it stays while a window moves."""
    for step_ns in (at_least_ns, *_NICE_STEPS_NS):
        if step_ns >= at_least_ns and to_ns // step_ns - from_ns // step_ns < points:
            return step_ns
    days = (to_ns - from_ns) // _DAY_NS
    return _DAY_NS * (days // max(points - 1, 1) + 1)


class _Step:
    """What the frames of one step come to."""

    __slots__ = ("cpu_max", "sums", "weights")

    def __init__(self) -> None:
        self.sums = [0.0] * len(COLUMNS)
        self.weights = [0] * len(COLUMNS)
        self.cpu_max: float | None = None

    def add(self, values: Sequence[float | None], weight: int) -> None:
        for place, value in enumerate(values):
            if value is not None:
                self.sums[place] += value * weight
                self.weights[place] += weight
        self._raise_to(values[_CPU_MAX])

    def merge(self, other: "_Step") -> None:
        self.sums = [one + two for one, two in zip(self.sums, other.sums, strict=True)]
        self.weights = [one + two for one, two in zip(self.weights, other.weights, strict=True)]
        self._raise_to(other.cpu_max)

    def _raise_to(self, value: float | None) -> None:
        if value is not None and (self.cpu_max is None or value > self.cpu_max):
            self.cpu_max = value

    def values(self) -> list[float | None]:
        means = [total / weight if weight else None for total, weight in zip(self.sums, self.weights, strict=True)]
        means[_CPU_MAX] = self.cpu_max
        return means


@dataclass(frozen=True, slots=True)
class Part:
    """What one segment comes to, but for its first frame: what that one says depends on the frame before."""

    interval_ns: int
    first: Frame | None
    last: Frame | None
    steps: dict[int, _Step] = field(default_factory=dict)
    """By number: wall time divided by the step."""


def part_of(segment: Segment, step_ns: int, after_seq: int) -> Part:
    """The segment's frames later than that number. Raises :exc:`ztop_protocol.codec.Malformed`."""
    reader = SegmentReader(segment)
    steps: dict[int, _Step] = {}
    first: Frame | None = None
    last: Frame | None = None
    # frames in which it was not sampled have nothing to say
    for index, body in segment.tracks.get(SECTION, ()):
        if body is None or segment.stamps[index].seq <= after_seq:
            continue
        frame = reader.frame(index, (SECTION,))
        if last is None:
            first = frame
        else:
            _add(steps, step_ns, last, frame, segment.interval_ns)
        last = frame
    return Part(segment.interval_ns, first, last, steps)


def rows_of(parts: Iterable[Part], step_ns: int, first_step: int, last_step: int) -> list[list[float | None]]:
    """A row for each step: its beginning, then :data:`COLUMNS`. ``parts`` are in the order of their recording."""
    steps: dict[int, _Step] = {}
    before: Part | None = None
    for part in parts:
        for number, step in part.steps.items():
            if first_step <= number <= last_step:
                steps.setdefault(number, _Step()).merge(step)
        if part.first is not None:
            interval_ns = part.interval_ns if before is None else max(part.interval_ns, before.interval_ns)
            _add(steps, step_ns, None if before is None else before.last, part.first, interval_ns)
            before = part
    nothing: list[float | None] = [None] * len(COLUMNS)
    return [
        [number * step_ns, *(steps[number].values() if number in steps else nothing)]
        for number in range(first_step, last_step + 1)
    ]


def _add(steps: dict[int, _Step], step_ns: int, before: Frame | None, frame: Frame, interval_ns: int) -> None:
    """Adds what a frame says of the time since the one before, to each step as much as falls into it."""
    length_ns = 0 if before is None or before.boot_id != frame.boot_id else frame.boottime_ns - before.boottime_ns
    if not 0 < length_ns <= GAP_INTERVALS * interval_ns:
        before, length_ns = None, interval_ns
    values = _values(before, frame)
    begin_ns, end_ns = frame.time_ns - length_ns, frame.time_ns
    last = (end_ns - 1) // step_ns
    for number in range(max(begin_ns // step_ns, last - _MOST_STEPS), last + 1):
        overlap_ns = min(end_ns, (number + 1) * step_ns) - max(begin_ns, number * step_ns)
        steps.setdefault(number, _Step()).add(values, overlap_ns)


def _values(before: Frame | None, frame: Frame) -> list[float | None]:
    rates = RateTable(before, frame, SECTION)

    def rate(name: str) -> float | None:
        return rates.cell((), _RATE[name])

    busy, cpus = rate("cpu_busy_percent"), frame.cell(SECTION, "cpu_count")
    gpu = frame.cell(SECTION, "gpu_utilization_percent")
    cpu = busy / cpus if busy is not None and isinstance(cpus, int) and cpus > 0 else None
    return [
        *(cpu, cpu),
        percent(frame.cell(SECTION, "memory_used_bytes"), frame.cell(SECTION, "memory_total_bytes")),
        percent(frame.cell(SECTION, "swap_used_bytes"), frame.cell(SECTION, "swap_total_bytes")),
        *(rate(f"{resource}_pressure_percent") for resource in ("cpu", "memory", "io")),
        _sum(rate("disk_read_bytes_per_second"), rate("disk_write_bytes_per_second")),
        _sum(rate("network_receive_bytes_per_second"), rate("network_transmit_bytes_per_second")),
        None if gpu is None or isinstance(gpu, str) else float(gpu),
    ]


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
