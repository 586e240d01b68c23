"""docs/events.md has every kind and every column, and the numbers of the rules."""

from pathlib import Path

import pytest

from ztop_protocol.event_kinds import AlertKind, EventKind, ProcessEventKind
from ztop_protocol.schema import ALERTS, EVENTS, PROCESS_EVENTS
from ztopd.sampler import events, happenings, ipc_drops, process_events, spikes

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text("utf-8")
SECOND, MS = 10**9, 10**6


@pytest.mark.parametrize("kind", [*EventKind, *ProcessEventKind, *AlertKind])
def test_every_kind_is_described(kind: EventKind | ProcessEventKind | AlertKind) -> None:
    assert f"| `{kind}` |" in PAGE if isinstance(kind, EventKind) else f"`{kind}`" in PAGE


@pytest.mark.parametrize("column", [*EVENTS.names, *PROCESS_EVENTS.names, *ALERTS.names])
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
        f"{ipc_drops.FRAMES} frames in a row were below {ipc_drops.DROP * 100:.0f} % of their mean",
        f"to e^-1 in {ipc_drops.MEAN_NS // SECOND} s",
        f"within {ipc_drops.CPU_WITHIN * 100:.0f} % of its mean",
        f"at least {ipc_drops.LEAST_CPU_PERCENT:.0f} % of a core",
        f"{ipc_drops.WARM_UP_NS // SECOND} s of work",
        f"{ipc_drops.FRAMES} frames in a row were over {ipc_drops.OVER * 100:.0f} % of",
        f"or it is {ipc_drops.USUAL_NS // SECOND} s old",
        f"rested for {ipc_drops.FORGET_NS // SECOND} s",
        f"at most {ipc_drops.MAX_FOLLOWED} processes",
    ],
)
def test_the_numbers_are_those_of_the_rules(words: str) -> None:
    assert words in PAGE
