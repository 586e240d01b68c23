"""The machine's clocks, read at one moment."""

import time
from dataclasses import dataclass

_CLOSE_NS = 1_000_000
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Clocks:
    """``monotonic_ns`` stands still while the machine sleeps, ``boottime_ns`` does not; ``time_ns`` may be set."""

    boottime_ns: int
    time_ns: int
    monotonic_ns: int


def read_clocks() -> Clocks:
    """The clocks of now. Read again where something came between: that would look like a step of one of them."""
    for _ in range(_TRIES):
        clocks = Clocks(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns(), time.monotonic_ns())
        if time.clock_gettime_ns(time.CLOCK_BOOTTIME) - clocks.boottime_ns < _CLOSE_NS:
            break
    return clocks
