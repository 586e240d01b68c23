"""What the programs in the machine find, and its way out of there to the tests."""

import pickle
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Growth:
    """What a process's row of ``process_counters`` grew by while a known loop ran."""

    truth: int
    """How many instructions the loop took."""
    instructions: int | None
    cycles: int | None
    cycles_time_ns: int | None
    enabled_time_ns: int | None
    running_time_ns: int | None
    ipc: float | None
    """As :func:`ztop_protocol.rates.rates` has it of the two frames."""


@dataclass(frozen=True, slots=True)
class Source:
    """A row of the section ``sources``."""

    state: str
    reason: str | None
    fix: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """What ``guest.counts`` finds. Every growth is over one run of a known loop."""

    child: Growth
    """In a child that does nothing else."""
    main_thread: Growth
    early_thread: Growth
    """In a thread that was there before any counter."""
    later_thread: Growth
    """In a thread that began when its process had counters, and ended before they were read."""
    forked: Growth
    """In a child by fork of a process with counters, once it has a row of its own."""
    parent_meanwhile: Growth
    """Of its parent, which slept."""
    after_exec: Growth
    """In the same process, which became another program."""
    beside_perf: Growth
    perf_instructions: int
    """What `perf stat -p` says of the same process at the same time."""
    perf_cycles: int
    contended: list[Growth]
    """One after the other, while more groups of events want counters than there are."""
    another_owners: Growth
    """In such a process again, after an exec by which it became another user's."""
    another_owners_total: int
    """All that its row has then."""
    another_owners_truth: int
    """The instructions of all loops since that exec; it ran one before."""
    absent: list[str]
    """The columns that are None in every row."""
    source: Source
    root_sees: list[int]
    stranger_sees: list[int]
    """The pids with a row in a frame for root, and in one for the user of ``strangers_pid``."""
    roots_pid: int
    strangers_pid: int


@dataclass(frozen=True, slots=True)
class Right:
    """What a daemon could count with some rights at some level of ``perf_event_paranoid``."""

    own: Growth
    """Of a process of the daemon's own user; None in it where nothing is counted."""
    root: Growth
    """Of root's."""
    own_kernel_mode: bool | None
    source: Source


@dataclass(frozen=True, slots=True)
class Rights:
    """What ``guest.rights`` finds of an ordinary user's daemon, by level."""

    plain: dict[str, Right]
    """Without any capability."""
    perfmon: dict[str, Right]
    """With CAP_PERFMON."""


def report(findings: Counts | Rights) -> None:
    """Writes it to stdout, where the tests read it with pickle: they have the same classes."""
    sys.stdout.buffer.write(pickle.dumps(findings))
