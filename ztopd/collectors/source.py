"""What a collector is, and how it says what the machine withholds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ztop_protocol.frame import Key, Row
from ztop_protocol.schema import SECTIONS, SourceState

Rows = dict[Key, Row]


@dataclass(frozen=True, slots=True)
class Roots:
    """Where /proc and /sys are; a fixture tree replaces them in tests. No trailing slash."""

    proc: str = "/proc"
    sys: str = "/sys"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a source gives nothing, or less than it could: words for a person, and what to type about it."""

    state: SourceState
    reason: str
    fix: str | None = None


class Withheld(Exception):
    """The machine does not have this source, or does not show it to us: an outcome, not an error of ours."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


class ParseError(ValueError):
    """The kernel wrote what the parser does not understand; the sentence names the file and the place."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one collection gave: the rows of each section, and what was missing all the same.

    ``further`` holds other sources that came out of the same reading, each with its own row in ``sources``.
    """

    sections: Mapping[str, Rows]
    problem: Problem | None = None
    further: Mapping[str, Problem | None] = field(default_factory=dict)
    shares_rows: bool = False
    """Whether rows that did not change are the same objects as last time already."""
    sampled_boottime_ns: int | None = None
    """When it was read, where that is not about when the collection began."""


class Collector(Protocol):
    """One source of truth.

    ``collect`` may raise :exc:`Withheld`, and its sections are gone; or :exc:`OSError` or :exc:`ParseError`, and
    they keep their last rows, whose age grows. ``sources`` says why.
    """

    @property
    def name(self) -> str:
        """Its row in ``sources``."""

    @property
    def period_ns(self) -> int:
        """How old its data may get before it is due again; 0: due at every tick."""

    def collect(self) -> Sample:
        """Reads the machine."""


def by_key(section: str, rows: Iterable[Row]) -> Rows:
    """Rows under their keys."""
    length = SECTIONS[section].key_length
    return {row[:length]: row for row in rows}
