"""The machines of tests/fixtures: what they are and where they come from stands in the README there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ztopd.collectors.source import Roots

_FIXTURES = Path(__file__).parents[2] / "fixtures"
MACHINES = tuple(sorted(path.name for path in _FIXTURES.iterdir() if (path / "proc").is_dir()))


def _roots(name: str) -> Roots:
    return Roots(str(_FIXTURES / name / "proc"), str(_FIXTURES / name / "sys"))


@pytest.fixture
def roots_of() -> Callable[[str], Roots]:
    """The roots of the machine of that name."""
    return _roots


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Roots:
    """Every machine in turn."""
    return _roots(request.param)
