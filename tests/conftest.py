"""For all tests: the programs that they start find the packages of this checkout, however pytest itself was started,
and nobody's settings."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "protocol")))


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test begins with what a person, or another test, has set on a screen."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / f"settings{os.urandom(8).hex()}"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update-golden``: what the golden tests find becomes what they expect."""
    parser.addoption("--update-golden", action="store_true", help="write tests/end_to_end/golden anew")
