"""How the store is, as the server tells the sampler, which says it in ``sources``."""

from enum import Enum

from ztop_protocol.schema import SourceState
from ztopd.collectors.source import Problem


class StoreState(Enum):
    """One byte each through the pipe from the server to the sampler; no text, since the sampler trusts nobody."""

    OK = b"o"
    OFF = b"-"
    CANNOT_OPEN = b"c"
    READ_ONLY = b"r"
    FULL = b"f"
    SLOW = b"s"
    IN_USE = b"u"
    DAMAGED = b"d"
    NEWER = b"n"
    FAILED = b"e"


_DEGRADED = {
    StoreState.CANNOT_OPEN: ("the directory of the store cannot be made or opened", "see --store in ztopd --help"),
    StoreState.READ_ONLY: ("the store cannot be written: read-only", "make its directory writable to ztopd"),
    StoreState.FULL: ("the store's disk is full: nothing new is kept", "make room on that disk"),
    StoreState.SLOW: (
        "the store's disk is too slow: some frames were not kept",
        "a faster disk, or a longer --interval",
    ),
    StoreState.IN_USE: ("another ztopd writes this store: this one keeps nothing on disk", "end the other, or --store"),
    StoreState.DAMAGED: ("a damaged store was set aside, a new one begun", "see the *.damaged files beside it"),
    StoreState.NEWER: ("the store was written by a newer ztopd: it is left alone", "use that version, or --store"),
    StoreState.FAILED: ("the store failed; the daemon's log says why", "see the log of ztopd"),
}


def problem_of(state: StoreState) -> Problem | None:
    """What is to be said in ``sources``; None where all is well."""
    if state is StoreState.OK:
        return None
    if state is StoreState.OFF:
        return Problem(SourceState.ABSENT, "switched off, or without a state directory", "ztopd --store DIR")
    reason, fix = _DEGRADED[state]
    return Problem(SourceState.DEGRADED, reason, fix)
