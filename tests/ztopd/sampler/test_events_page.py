"""docs/events.md has every kind and every column, and the numbers of the rules."""

from pathlib import Path

import pytest

from ztop_protocol.event_kinds import EventKind, ProcessEventKind
from ztop_protocol.schema import EVENTS, PROCESS_EVENTS
from ztopd.sampler import events, happenings, process_events, spikes

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text("utf-8")
SECOND, MS = 10**9, 10**6


@pytest.mark.parametrize("kind", [*EventKind, *ProcessEventKind])
def test_every_kind_is_described(kind: EventKind | ProcessEventKind) -> None:
    assert f"| `{kind}` |" in PAGE if isinstance(kind, EventKind) else f"`{kind}`" in PAGE


@pytest.mark.parametrize("column", [*EVENTS.names, *PROCESS_EVENTS.names])
def test_every_column_is_described(column: str) -> None:
    assert f"`{column}`" in PAGE


@pytest.mark.parametrize(
    "words",
    [
        f"moved by {happenings.CLOCK_STEP_NS // MS} ms or more",
        f"grew by {happenings.SUSPEND_NS // MS} ms or more",
        f"at most {happenings.CGROUPS_AWAITED_NS // SECOND} s after it",
        f"in the first {events.BEGINNING_NS // SECOND} s of a run",
        f"the mean of the last {spikes.WINDOW_NS // SECOND} s before it",
        f"once there are {spikes.WARM_UP_NS // SECOND} s",
        f"is `ok` for {spikes.SETTLED_FRAMES} frames",
        f"for {spikes.SETTLED_FRAMES} frames in a row; or after {spikes.WINDOW_NS // SECOND} s",
        f"at most {process_events.MAX_ROWS} rows",
    ],
)
def test_the_numbers_are_those_of_the_rules(words: str) -> None:
    assert words in PAGE
