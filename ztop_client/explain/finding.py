"""What an explanation is made of, and the words that its sentences have in common."""

from collections.abc import Iterable
from dataclasses import dataclass

from ztop_client.difference.lives import ProcessUse
from ztop_client.difference.result import Difference, GroupUse
from ztop_client.text import fit, printable, width

REMARKABLE = 50.0
"""From this weight on a finding stands out; what is under it is told to be complete."""

_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, the figures it rests on, and how much it matters (0 to 100). All text is fit for a terminal."""

    headline: str
    details: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Case:
    """The span to be explained, and a while before it; None where nothing of that is known."""

    span: Difference
    before: Difference | None


def finding(headline: str, details: Iterable[str], weight: float) -> Finding:
    """The texts with nothing in them that could steer a terminal."""
    return Finding(printable(headline), tuple(map(printable, details)), min(max(weight, 0.0), 100.0))


def short(text: str | None) -> str:
    """A stranger's text, cut; ``?`` where there is none."""
    if not text:
        return "?"
    cut = fit(text, _LONGEST_NAME)
    return cut if width(cut) < _LONGEST_NAME else f"{fit(text, _LONGEST_NAME - 3)}..."


def who(process: ProcessUse) -> str:
    """``pid 812 (python3, alice)``."""
    if process.pid is None:
        return f"{process.processes} x {short(process.name)} ({short(process.user)})"
    return f"pid {process.pid} ({short(process.name)}, {short(process.user)})"


def group(kind: str, group: GroupUse) -> str:
    """``user alice``, ``cgroup /user.slice``."""
    return f"{kind} {short(group.name)}"


def share(part: int | None, whole: int | None) -> float | None:
    """``part`` of ``whole``; None where either is unknown or there is no whole."""
    return None if part is None or not whole else part / whole


def cores(time_ns: int, interval_ns: int) -> str:
    """CPU time in a span as cores: ``0.35``, ``3.2``, ``17``."""
    number = time_ns / interval_ns
    return f"{number:.2f}" if number < 0.995 else f"{number:.1f}" if number < 9.95 else f"{number:.0f}"


def percent(fraction: float) -> str:
    """``0.4 %``, ``87 %``."""
    hundredths = 100 * fraction
    return f"{hundredths:.1f} %" if abs(hundredths) < 9.95 else f"{hundredths:.0f} %"


def seconds(time_ns: int) -> str:
    """``0.25 s``, ``3.0 s``, ``61 s``."""
    number = time_ns / 1e9
    return f"{number:.2f} s" if number < 0.995 else f"{number:.1f} s" if number < 9.95 else f"{number:.0f} s"


def verb(number: int, one: str, more: str) -> str:
    """``one`` where there is one, else ``more``."""
    return one if number == 1 else more
