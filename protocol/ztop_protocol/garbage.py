"""How often Python looks for reference cycles."""

import gc

_ALLOCATIONS = 100_000


def collect_seldom() -> None:
    """For a process whose data are frames: tens of thousands of tuples without a cycle, freed by their counts.

    By default the collector walks through them at every frame, a fifth of a frame's cost at 5000 processes. What cycles
    there are (a closed dialog) waits for the next hundred thousand allocations.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
