"""The real daemon for the tests of this folder."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon
from tests.end_to_end.sshd import Sshd


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What whoever runs the tests has chosen plays no part, and is not changed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ZTOP_SOCKET", raising=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can look into, as pytest's own cannot."""
    with tempfile.TemporaryDirectory(prefix="ztop-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons; afterwards nothing that they started is left."""
    daemons: list[Daemon] = []

    def make(*arguments: str, **how: object) -> Daemon:
        daemons.append(Daemon(folder / f"{len(daemons)}.sock", *arguments, **how))  # type: ignore[arg-type]
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.stop()


@pytest.fixture
def daemon(start: Callable[..., Daemon]) -> Daemon:
    """One that makes a frame every 0.2 s."""
    return start()


@pytest.fixture
def sshd(folder: Path) -> Iterator[Sshd]:
    """One that lets in whoever runs the tests; afterwards no client has left anything."""
    place = folder / "ssh"
    place.mkdir()
    running = Sshd(place)
    yield running
    running.close()
    assert list(running.runtime.iterdir()) == []


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether what is found is to become what is expected."""
    return bool(request.config.getoption("--update-golden"))
