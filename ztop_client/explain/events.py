"""Who came and went, and what happened to the clock, the machine and its sources."""

from collections import Counter
from collections.abc import Iterator

from ztop_client.explain.finding import Case, Finding, finding, seconds, short, verb
from ztop_client.moments import moment_text
from ztop_protocol.event_kinds import EventKind

MANY = 10
NAMED = 5

_SAID_ELSEWHERE = (EventKind.OOM_KILL, EventKind.CPU_SPIKE, EventKind.PRESSURE_SPIKE)


def came_and_went(case: Case) -> Iterator[Finding]:
    """How many processes began and ended, and the names that did so often."""
    span = case.span
    born, ended = span.machine.processes_born, span.machine.processes_ended
    if not born and not ended:
        return
    short_lived: Counter[str] = Counter()
    for process in span.processes:
        if process.is_born and process.is_ended:
            short_lived[short(process.name)] += process.processes
    often = [(name, number) for name, number in short_lived.most_common(NAMED) if number >= MANY]
    details = [f"{number} short-lived {name}" for name, number in often]
    if span.machine.forks is not None:
        details.append(f"the kernel started {span.machine.forks} processes and threads")
    headline = f"{born} {verb(born, 'process', 'processes')} began and {ended} ended, of those that frames show"
    yield finding(headline, details, 55 if often else 20)


def happenings(case: Case) -> Iterator[Finding]:
    """Clock steps, sleep, starts of ztopd, sources that were lost: as the events of the frames say it."""
    for event in case.span.events:
        if event.kind not in _SAID_ELSEWHERE:
            yield finding(f"At {moment_text(event.time_ns)}: {event.detail}", [], 51)
    left_out = case.span.event_count - len(case.span.events)
    if left_out:
        yield finding(f"{left_out} more events are not listed here", [], 10)


def gaps(case: Case) -> Iterator[Finding]:
    """Time of which nothing is known."""
    span = case.span
    if span.since_boot:
        yield finding(
            f"The machine was started at {moment_text(span.from_time_ns)}: this is what happened since", [], 90
        )
    if span.gap_count:
        lost = sum(gap.span_ns for gap in span.gaps)
        listed = "" if span.gap_count == len(span.gaps) else " at least"
        yield finding(
            f"Of{listed} {seconds(lost)} in it no frame was kept",
            [f"{seconds(gap.span_ns)} after {moment_text(gap.after_time_ns)}" for gap in span.gaps[:NAMED]],
            56,
        )
