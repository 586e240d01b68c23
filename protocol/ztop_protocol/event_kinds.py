"""The kinds of rows in ``events``, ``process_events`` and ``alerts``. docs/events.md has the rule of each."""

from enum import StrEnum


class EventKind(StrEnum):
    """What an event is about, and the unit of its value."""

    STARTED = "started"
    """The first frame of a run of ztopd."""
    CLOCK_STEP = "clock_step"
    """The wall clock was set: by so many seconds, backward if negative."""
    SUSPEND = "suspend"
    """The machine slept: seconds."""
    GAP = "gap"
    """Ticks were skipped: seconds between the frame before and this one."""
    CPU_SPIKE = "cpu_spike"
    """More CPU than usual: percent of one core."""
    PRESSURE_SPIKE = "pressure_spike"
    """Tasks waited more than usual for the subject: percent of the time."""
    OOM_KILL = "oom_kill"
    """Memory ran out: processes killed."""
    VRAM_LOW = "vram_low"
    """At this growth a GPU's memory will be full soon: in so many seconds."""
    SOURCE_LOST = "source_lost"
    """A source of data is degraded or absent; no value."""
    SOURCE_BACK = "source_back"
    """It is whole again; no value."""
    LEFT_OUT = "left_out"
    """Rows of the subject's section that this frame has no room for: how many."""


class ProcessEventKind(StrEnum):
    """What became of a process since the frame before."""

    APPEARED = "appeared"
    ENDED = "ended"


class AlertKind(StrEnum):
    """What is unusual about a process, and the unit of its value."""

    IPC_DROP = "ipc_drop"
    """It runs as much as before and gets half as far: instructions per cycle."""
