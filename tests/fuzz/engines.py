"""Where inputs come from: guided by coverage (atheris, which is libFuzzer), or by chance alone."""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.mutation import MOST_BYTES
from tests.fuzz.target import Target
from tests.fuzz.watch import Watch

_MOST_CHANGES = 4


def by_chance(target: Target, watch: Watch, goes_on: Callable[[], bool], seed: int) -> None:
    """The seeds, then what is made of them by one to four mutations."""
    chosen = random.Random(seed)
    seeds = list(target.seeds())
    for data in seeds:
        watch.run(data)
    while goes_on():
        data = chosen.choice(seeds)
        for _ in range(chosen.randint(1, _MOST_CHANGES)):
            data = target.mutated(data, chosen)
        watch.run(data)


def by_coverage(target: Target, watch: Watch, goes_on: Callable[[], bool], seed: int, ended: Callable[[], int]) -> None:
    """The seeds, then what libFuzzer makes of whatever led to new code. Does not return: exits as ``ended`` says."""
    import atheris

    folder = Path(tempfile.mkdtemp(prefix="ztop-fuzz-"))
    for place, data in enumerate(target.seeds()):
        (folder / f"{place:06}").write_bytes(data)

    def one_input(data: bytes) -> None:
        watch.run(data)
        if not goes_on():
            shutil.rmtree(folder)
            status = ended()
            sys.stdout.flush()
            # libFuzzer does not give control back
            os._exit(status)

    def mutated(data: bytes, most_bytes: int, number: int) -> bytes:
        chosen = random.Random(number)
        if chosen.random() < 0.2:
            made: bytes = atheris.Mutate(data, most_bytes)
            return made
        return target.mutated(data, chosen)[:most_bytes]

    arguments = [
        *("fuzz", f"-seed={seed or 1}", f"-max_len={MOST_BYTES}", "-len_control=0", "-verbosity=0"),
        *("-timeout=86400", "-rss_limit_mb=0", "-detect_leaks=0", str(folder)),
    ]
    atheris.Setup(arguments, one_input, custom_mutator=mutated)
    atheris.Fuzz()


def until(inputs: int | None, seconds: float | None, watch: Watch) -> Callable[[], bool]:
    """Whether there is more to be tried."""
    end = None if seconds is None else time.monotonic() + seconds
    return lambda: (inputs is None or watch.report.inputs < inputs) and (end is None or time.monotonic() < end)
