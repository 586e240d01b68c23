"""A real ztopd of several processes, and what talks to it from another user's side."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ztop_client import DaemonUnreachable, Session, connect
from ztop_client.daemon import SocketDaemon
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Frame

SECONDS = 20.0
"""How long anything may take on a busy machine."""
STRANGER = 12345
"""A uid that nobody here has."""
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Waits until it holds; fails with ``what`` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


class Daemon:
    """``python -P -m ztopd`` on a socket of its own. ``before`` are programs that start it, such as unshare."""

    def __init__(self, path: Path, *arguments: str, interval: float = 0.2, before: tuple[str, ...] = ()) -> None:
        self.path = path
        command = [
            *(*before, sys.executable, "-P", "-W", "error", "-m", "ztopd", "--config", os.devnull),
            *("--socket", str(path), "--interval", f"{interval:g}", *arguments),
            *(() if "--store" in arguments else ("--store", "off")),
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._errors: str | None = None
        self._family: set[psutil.Process] = set()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.process.kill()
            self.errors()
            raise
        self.family()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                with self.session() as session:
                    session.snapshot([])
                return
            except (DaemonUnreachable, RemoteError):
                # not there yet, or without a frame for longer than it lets one wait
                assert self.process.poll() is None, self.errors()
                assert time.monotonic() < deadline, "ztopd does not answer"
                time.sleep(0.02)

    def session(self) -> Session:
        """A conversation, as whoever runs the tests."""
        return connect(str(self.path))

    def family(self) -> set[psutil.Process]:
        """The processes under the one that was started; they are remembered, and must be gone in the end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._family.update(psutil.Process(self.process.pid).children(recursive=True))
        return {process for process in self._family if is_running(process)}

    def child(self, module: str) -> psutil.Process | None:
        """The living process that runs a module of ours."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                if module in process.cmdline():
                    return process
        return None

    def server(self) -> psutil.Process | None:
        """The process that clients talk to."""
        return self.child("ztopd.server")

    def reader(self) -> psutil.Process | None:
        """The process that does what may block."""
        return self.child("ztopd.sampler.reader_child")

    def errors(self) -> str:
        """What it logged, once it has ended."""
        if self._errors is None:
            _, self._errors = self.process.communicate(timeout=SECONDS)
        return self._errors

    def stop(self) -> str:
        """Ends it. Fails unless it ends well, with everything that it started. Returns what it logged."""
        self.family()
        if self.process.poll() is None:
            # not unshare, which has it in its command line too
            for process in [psutil.Process(self.process.pid), *self.family()]:
                # those that ended with the first one are gone
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.cmdline()[:4] == [sys.executable, "-P", "-W", "error"]:
                        process.send_signal(signal.SIGTERM)
        errors = self.errors()
        assert "Traceback" not in errors
        assert self.process.returncode in (0, -signal.SIGKILL), errors
        until(lambda: not self.family(), f"all ended: {self.family()}")
        return errors


def is_running(process: psutil.Process) -> bool:
    """Whether it is there and no zombie: an orphan may never be waited for."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class DaemonAs:
    """The daemon at a path, connected to by a process of another user: a :class:`ztop_client.daemon.Daemon`."""

    def __init__(self, path: Path, uid: int) -> None:
        self.title = f"ztopd {path}"
        self._path = path
        self._uid = uid

    def connect(self) -> socket.socket:
        """The socket counts as the user's who connected it, whoever holds it later."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            pid = os.fork()
            if pid == 0:
                try:
                    become(self._uid)
                    connected = SocketDaemon(str(self._path)).connect()
                    socket.send_fds(theirs, [b"x"], [connected.fileno()])
                    os._exit(0)
                except BaseException as error:
                    os.write(2, f"as uid {self._uid}: {error!r}\n".encode())
                    os._exit(1)
            theirs.close()
            data, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            os.waitpid(pid, 0)
        if not data:
            raise DaemonUnreachable(f"uid {self._uid} cannot connect")
        return socket.socket(fileno=descriptors[0])

    def last_words(self) -> None:
        """It is somebody else's."""

    def close(self) -> None:
        """There is nothing to end."""


def become(uid: int) -> None:
    """Gives up root for good; to be called in a child."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def pids(frame: Frame, section: str) -> set[object]:
    """The pids that have a row."""
    return {key[0] for key in frame.rows(section)}


def cells_of(frame: Frame, pid: int, *names: str) -> tuple[object, ...]:
    """The cells of a process's row; None for all of them where it has none."""
    for key in frame.rows("processes"):
        if key[0] == pid:
            return tuple(frame.cell("processes", name, key) for name in names)
    return (None,) * len(names)


def frame_where(session: Session, condition: Callable[[Frame], bool]) -> Frame:
    """The first frame of which that is true."""
    deadline = time.monotonic() + SECONDS
    frames = session.frames()
    try:
        for frame in frames:
            if condition(frame):
                return frame
            assert time.monotonic() < deadline, "no such frame came"
    finally:
        frames.close()  # type: ignore[attr-defined]
    raise AssertionError("the frames ended")
