"""What a span of time was about. Pure; nothing is said that the frames do not show.

:func:`explain` looks at the difference between the span's ends, and at that of a while before it. Every rule speaks
where its figures are known and large enough; a figure that is None is in no sentence. docs/rewind.md has the
thresholds for people:

* CPU stands out at half of the cores (``cpu.BUSY_SHARE``), or at 0.7 cores and half as much again as before.
* A process is named from 10 % of the busy time and 5 % of a core on; a user or cgroup in its place where it used half
  of all, its greatest process less than half of that, and there are others. Time that no process accounts for: alike.
* Waiting for a resource, iowait and a process's waiting for disks from 10 % of the time on; steal, interrupts and the
  throttling of a cgroup from 5 %.
* Memory from 2 % of the machine's and 64 MiB on, less than 5 % of it available, swapping and traffic of 1 MiB/s, a
  disk that was busy for half of the time.
* A name of which 10 processes both began and ended.
* OOM kills, gaps, a start of the machine, and the frames' other events always.
"""

from collections.abc import Iterable
from itertools import chain

from ztop_client.difference.compare import NoTwoMoments, difference
from ztop_client.difference.result import Difference
from ztop_client.explain import cpu, events, resources, waiting
from ztop_client.explain.finding import REMARKABLE, Case, Finding, finding, seconds
from ztop_protocol.frame import Frame

BASELINE_NS = 60_000_000_000
"""So long before a span is looked at, to know what was usual."""
LEAST_BASELINE_NS = 5_000_000_000
"""Of less than that nothing usual is known."""

_RULES = (
    *(cpu.busy, cpu.users, cpu.unseen, cpu.taken),
    *(waiting.pressure, waiting.iowait, waiting.throttled, waiting.blocked),
    *(resources.memory, resources.swapping, resources.killed, resources.disks, resources.networks),
    *(events.came_and_went, events.happenings, events.gaps),
)


def explain(span: Difference, before: Difference | None = None) -> list[Finding]:
    """What stands out first, the rest after it; the first says so where nothing does.

    ``before``: what happened in a while before the span, where that is known.
    """
    case = Case(span, before)
    found = sorted(chain.from_iterable(rule(case) for rule in _RULES), key=lambda one: -one.weight)
    if any(one.weight >= REMARKABLE for one in found):
        return found
    looked_at = f"{span.frames} frames over {seconds(span.span_ns)}, {len(span.processes)} processes"
    return [finding("Nothing stands out", [looked_at], REMARKABLE), *found]


def difference_before(frames: Iterable[Frame]) -> Difference | None:
    """What happened in the frames before a span; None where it is too short, or the machine was started in it."""
    try:
        found = difference(frames)
    except NoTwoMoments:
        return None
    return None if found.since_boot or found.span_ns < LEAST_BASELINE_NS else found
