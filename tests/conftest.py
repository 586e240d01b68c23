"""For all tests: the programs that they start find the packages of this checkout, however pytest itself was started."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "protocol")))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update-golden``: what the golden tests find becomes what they expect."""
    parser.addoption("--update-golden", action="store_true", help="write tests/end_to_end/golden anew")
