"""A real ztopd, started the way systemd starts one: a listening socket as descriptor 3, a socket to notify."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import until
from ztop_client import DaemonUnreachable, Session, connect

# what systemd does between fork and exec: the pid is not known before
START = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Service:
    """Started by ``with``; ended by its pid."""

    def __init__(self, folder: Path, *arguments: str, sockets: int = 1, watchdog_usec: int = 20_000_000) -> None:
        self.path = folder / "z.sock"
        self.configuration = folder / "z.toml"
        self.configuration.write_text("interval_seconds = 0.2\n")
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.path))
        self.listening.listen()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.settimeout(30)
        self._told: list[str] = []
        command = [sys.executable, "-P", "-c", START, "-P", "-W", "error", "-m", "ztopd"]
        command += ["--config", str(self.configuration), "--store", "off", *arguments]
        environment = os.environ | {
            "LISTEN_FDS": str(sockets),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(watchdog_usec),
        }
        third = os.dup(3) if os.path.exists("/proc/self/fd/3") else None
        os.dup2(self.listening.fileno(), 3, inheritable=True)
        try:
            self.process = subprocess.Popen(command, env=environment, pass_fds=(3,), stderr=subprocess.PIPE, text=True)
        finally:
            if third is None:
                os.close(3)
            else:
                os.dup2(third, 3, inheritable=False)
                os.close(third)

    def wait_for(self, line: str) -> str:
        """The message with that line; fails where the watchdog is fed before a frame made it ready."""
        while True:
            message = self.manager.recv(4096).decode()
            if any(one.startswith(line) for one in message.split("\n")):
                return message

    def session(self) -> Session:
        return connect(str(self.path))

    def interval_ns(self) -> int:
        try:
            with self.session() as session:
                found = session.status()["interval_ns"]
        except DaemonUnreachable:
            return 0
        assert isinstance(found, int)
        return found

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.errors()

    def errors(self) -> str:
        _, errors = self.process.communicate(timeout=30)
        return errors


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    one = Service(tmp_path)
    yield one
    if one.process.returncode is None:
        one.process.kill()
        one.errors()
    one.listening.close()
    one.manager.close()


def test_it_is_ready_and_alive_by_frames_that_the_server_took(service: Service) -> None:
    assert service.manager.recv(4096).decode().startswith("READY=1\nSTATUS=a frame every 0.2 s")
    with service.session() as session:
        status = session.status()
        assert status["sampler_pid"] == service.process.pid
        frame = session.snapshot(["sources"])
        (state, reason) = (frame.cell("sources", name, ("service",)) for name in ("state", "reason"))
        assert (state, "system calls" in str(reason)) == ("degraded", True)
    # a server that hangs is no life, though the sampler ticks on
    os.kill(status["server_pid"], signal.SIGSTOP)
    service.manager.settimeout(0.5)
    with pytest.raises(TimeoutError):
        service.wait_for("nothing that is ever told")
    service.manager.settimeout(30)
    os.kill(status["server_pid"], signal.SIGCONT)
    service.wait_for("WATCHDOG=1")
    assert service.end() == ""
    service.wait_for("STOPPING=1")
    assert service.path.exists(), "the file is systemd's"
    assert not os.path.exists(f"{service.path}.lock")


def test_a_new_configuration_is_taken_over_by_the_same_process(service: Service) -> None:
    service.wait_for("READY=1")
    service.configuration.write_text("interval_seconds = 0.4\n")
    service.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in service.wait_for("RELOADING=1")
    assert "a frame every 0.4 s" in service.wait_for("READY=1")
    until(lambda: service.interval_ns() == 400_000_000, "the new interval")
    with service.session() as session:
        assert session.status()["sampler_pid"] == service.process.pid
    # and again: nothing of the first time is in the way
    service.configuration.write_text("interval_seconds = 0.3\n")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("RELOADING=1")
    assert "a frame every 0.3 s" in service.wait_for("READY=1")
    assert service.end() == ""
    assert service.process.returncode == 0


def test_a_bad_configuration_is_refused_and_the_old_one_stays(service: Service) -> None:
    service.wait_for("READY=1")
    with service.session() as session:
        server = session.status()["server_pid"]
    service.configuration.write_text("interval_seconds = 1000\n")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("RELOADING=1")
    assert "interval_seconds: the interval must be" in service.wait_for("READY=1")
    with service.session() as session:
        assert session.status()["server_pid"] == server
    assert service.interval_ns() == 200_000_000
    errors = service.end()
    assert errors.count("\n") == 1
    assert f"the configuration stays as it was: {service.configuration}: interval_seconds" in errors


def test_a_daemon_by_hand_reads_its_file_again_too(tmp_path: Path) -> None:
    path, configuration = tmp_path / "own.sock", tmp_path / "own.toml"
    configuration.write_text("interval_seconds = 0.2\n")
    command = [sys.executable, "-P", "-m", "ztopd", "--config", str(configuration), "--socket", str(path)]
    daemon = subprocess.Popen([*command, "--store", "off"])

    def interval_ns() -> object:
        try:
            with connect(str(path)) as session:
                return session.status()["interval_ns"]
        except DaemonUnreachable:
            return None

    try:
        until(lambda: interval_ns() == 200_000_000, "the daemon answers")
        configuration.write_text("interval_seconds = 0.5\n")
        daemon.send_signal(signal.SIGHUP)
        until(lambda: interval_ns() == 500_000_000, "the new interval")
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0
    assert not path.exists()


@pytest.mark.parametrize(("sockets", "words"), [(2, "not '2'"), (0, "not '0'")])
def test_another_number_of_sockets_is_refused(tmp_path: Path, sockets: int, words: str) -> None:
    service = Service(tmp_path, sockets=sockets)
    errors = service.errors()
    service.listening.close()
    service.manager.close()
    assert service.process.returncode == 1
    assert words in errors
    assert errors.count("\n") == 1
