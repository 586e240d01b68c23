"""Stores to begin with."""

from pathlib import Path

import pytest

import ztopd.history.keeper
from tests.ztopd.history.storing import Keeping, Sampler


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    monkeypatch.setattr(ztopd.history.keeper, "RETRY_SECONDS", 0.05)


@pytest.fixture
def filled(directory: Path) -> Path:
    """The file of a store with 700 frames in three segments."""
    keeping = Keeping(directory, "before")
    keeping.take(Sampler(), 700)
    keeping.close()
    return keeping.path
