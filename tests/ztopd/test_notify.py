"""What systemd is told, as it would read it."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ztopd.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def silent(manager: socket.socket) -> bool:
    manager.setblocking(False)
    try:
        manager.recv(4096)
    except BlockingIOError:
        return True
    return False


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_the_first_frame_makes_it_ready_and_every_frame_feeds_the_watchdog(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager, WATCHDOG_USEC="20000000", WATCHDOG_PID=str(os.getpid())), 1, "so it is")
    assert notifier.is_service
    notifier.alive()
    assert told(manager) == ["READY=1", "STATUS=so it is"]
    assert told(manager) == ["WATCHDOG=1"]
    notifier.alive()
    assert told(manager) == ["WATCHDOG=1"]
    assert silent(manager)


def test_a_long_interval_lengthens_the_watchdog(manager: socket.socket) -> None:
    Notifier(environment(manager, WATCHDOG_USEC="20000000"), 60, "")
    assert told(manager) == ["WATCHDOG_USEC=180000000"]


def test_the_watchdog_is_given_more_patience_when_frames_come_less_often_and_never_less(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager, WATCHDOG_USEC="20000000"), 1, "")
    for seconds in (2.0, 4.0, 8.0, 4.0, 8.0):
        notifier.ticks_every(seconds)
    assert told(manager) == ["WATCHDOG_USEC=24000000"]
    assert silent(manager)


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_nobody_watches(manager: socket.socket, more: dict[str, str]) -> None:
    notifier = Notifier(environment(manager, **more), 60, "x")
    notifier.alive()
    assert told(manager) == ["READY=1", "STATUS=x"]
    assert silent(manager)


def test_a_configuration_that_stays_is_no_failure(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager), 1, "so it is")
    notifier.reloading()
    first, second = told(manager)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.kept("z.toml: wrong\nWATCHDOG=trigger")
    ready, status = told(manager)
    assert ready == "READY=1"
    assert status == "STATUS=so it is; the configuration was not read again: z.toml: wrong WATCHDOG=trigger"
    notifier.stopping()
    assert told(manager) == ["STOPPING=1"]


def test_an_address_in_the_abstract_namespace() -> None:
    name = f"ztop-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}, 1, "x").alive()
        assert told(listening) == ["READY=1", "STATUS=x"]


def test_without_systemd_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"WATCHDOG_USEC": "20000000"}, 1, "x")
    assert not notifier.is_service
    notifier.alive()
    assert not caplog.records


def test_a_manager_that_is_gone_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 1, "x").stopping()
    assert "systemd cannot be told STOPPING=1" in caplog.text
