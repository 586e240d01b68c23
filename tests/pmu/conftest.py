"""What the programs in the emulated machine found, each run once for all tests."""

import pickle
from typing import Any

import pytest

from tests.pmu.guest.findings import Counts, Rights
from tests.pmu.image import NoMachine
from tests.pmu.machine import run


def found(module: str, shift: int) -> Any:
    """What a program reports. Skips where there can be no such machine here; fails where the program does."""
    try:
        outcome = run(module, shift=shift)
    except NoMachine as why:
        pytest.skip(str(why))
    assert outcome.status == 0, outcome.errors
    assert not outcome.errors
    return pickle.loads(outcome.output)


@pytest.fixture(scope="session", params=[1, 2])
def shift(request: pytest.FixtureRequest) -> int:
    """An instruction takes ``2**shift`` cycles."""
    return int(request.param)


@pytest.fixture(scope="session")
def counts(shift: int) -> Counts:
    """Known loops in processes and threads of all kinds."""
    return found("tests.pmu.guest.counts", shift)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def rights() -> Rights:
    """A daemon of an ordinary user at several levels of perf_event_paranoid."""
    return found("tests.pmu.guest.rights", 1)  # type: ignore[no-any-return]
