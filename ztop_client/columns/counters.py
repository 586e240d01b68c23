"""What hardware counters say about a process, as colours; docs/counters.md states the thresholds for people."""

from ztop_client.columns.column import ProcessTable
from ztop_protocol.event_kinds import AlertKind
from ztop_protocol.frame import Cell, Key

MEMORY_BOUND_IPC = 0.5
COMPUTE_BOUND_IPC = 2.0
MISSES_PER_KILO_INSTRUCTION = (1.0, 10.0)
LLC_MISS_PERCENT = (20.0, 50.0)
L1D_MISS_PERCENT = (5.0, 15.0)
BRANCH_MISS_PERCENT = (2.0, 5.0)
WELL_MEASURED_PERCENT = 90.0
HARDLY_MEASURED_PERCENT = 20.0

COUNTER_SECTIONS = frozenset({"processes", "process_counters", "alerts"})
"""What the tab is drawn from."""


def ipc_attribute(value: Cell) -> str:
    """Whether it waits, most likely for memory, or computes."""
    if not isinstance(value, (int, float)):
        return "dim"
    return "memory_bound" if value < MEMORY_BOUND_IPC else "compute_bound" if value >= COMPUTE_BOUND_IPC else "text"


def measured_attribute(value: Cell) -> str:
    """How far the others can be believed."""
    if not isinstance(value, (int, float)):
        return "dim"
    return "hot" if value < HARDLY_MEASURED_PERCENT else "warm" if value < WELL_MEASURED_PERCENT else "text"


def drop_mark(table: ProcessTable, key: Key) -> str | None:
    """The style of the IPC of a process that gets half as far as usual; None for the others."""
    return "ipc_drop" if (*key, str(AlertKind.IPC_DROP)) in table.rows["alerts"] else None
