"""What the monitor itself costs and gives: the section ``sources`` in order, and what this program adds to it."""

import os
import time
from dataclasses import dataclass

from ztop_protocol.frame import Cell, Frame
from ztop_protocol.rates import RATE_POSITION, rates
from ztop_protocol.schema import SECTIONS, SourceState

PROCESSES = ("sampler", "server", "reader")
"""Sources that are processes of ztopd's: what they cost is CPU and memory, not that of a collection."""
_AFRESH_SECONDS = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Source:
    """One row of ``sources``. ``age_ns``: how much older its data is than the frame; None of what has none."""

    name: str
    state: str
    reason: str | None
    fix: str | None
    cost_ns: Cell
    duration_ns: Cell
    period_ns: Cell
    age_ns: int | None
    skipped: Cell
    failures: Cell
    cpu_percent: float | None
    rss_bytes: Cell

    @property
    def is_ok(self) -> bool:
        """Whether nothing is missing."""
        return self.state == SourceState.OK


def sources(previous: Frame | None, frame: Frame) -> list[Source]:
    """Every source of the frame: what is degraded first, then what is dearest. CPU shares are since ``previous``."""
    position, shares = SECTIONS["sources"].position, rates(previous, frame, "sources")
    found = []
    for key, row in frame.rows("sources").items():
        cells = {name: row[place] for name, place in position.items()}
        sampled_ns = cells["sampled_boottime_ns"]
        share = shares.get(key)
        found.append(
            Source(
                *(str(cells["source"]), str(cells["state"]), _text(cells["reason"]), _text(cells["fix"])),
                *(cells["cost_ns"], cells["duration_ns"], cells["period_ns"]),
                max(0, frame.boottime_ns - sampled_ns) if isinstance(sampled_ns, int) else None,
                *(cells["skipped"], cells["failures"]),
                None if share is None else share[RATE_POSITION["sources"]["cpu_percent"]],
                cells["rss_bytes"],
            )
        )
    return sorted(found, key=_urgency)


def _urgency(source: Source) -> tuple[bool, int, str]:
    cost_ns = source.cost_ns if isinstance(source.cost_ns, int) else -1
    return source.state != SourceState.DEGRADED, -cost_ns, source.name


def _text(cell: Cell) -> str | None:
    return None if cell is None else str(cell)


class OwnCost:
    """The share of a core that this process takes, over about the last second, in percent."""

    def __init__(self) -> None:
        self._since = time.monotonic(), time.process_time()
        self._percent: float | None = None

    def cpu_percent(self) -> float | None:
        """None until a second is over."""
        now, used = time.monotonic(), time.process_time()
        if now - self._since[0] >= _AFRESH_SECONDS:
            self._percent = 100 * (used - self._since[1]) / (now - self._since[0])
            self._since = now, used
        return self._percent

    def rss_bytes(self) -> int | None:
        """Its resident memory."""
        try:
            with open("/proc/self/statm", "rb") as statm:
                return int(statm.read().split()[1]) * _PAGE_BYTES
        except OSError:
            return None
