"""Where the machine cannot be built that is said in a sentence, and nothing half-made stays."""

import os
from pathlib import Path

import pytest

from tests.pmu.image import PROGRAMS, NoMachine, built


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache without a machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    built.cache_clear()
    return tmp_path / "cache"


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Puts programs first that do as these scripts say; those that are not named do nothing."""
    folder.mkdir()
    for program in PROGRAMS:
        path = folder / program
        path.write_text(f"#!/bin/sh\n{scripts.get(program.replace('-', '_'), '')}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_without_qemu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoMachine, match="there is no qemu-system-aarch64 here"):
        built()


def test_without_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, apt_get="echo 'E: Failed to fetch' >&2; exit 100")
    with pytest.raises(NoMachine, match=r"^apt-get update -qq: E: Failed to fetch$"):
        built()
    assert [path.name for path in (cache / "ztop-pmu").iterdir()] == ["lock"]


def test_in_a_cache_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    programs(tmp_path / "bin", monkeypatch)
    cache.write_text("a file")
    with pytest.raises(NoMachine, match="the machine cannot be built in"):
        built()
