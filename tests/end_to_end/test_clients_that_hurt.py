"""Every kind of harm at once, for seconds, while somebody else follows the machine."""

import contextlib
import itertools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgpack
import psutil
import pytest

from tests.end_to_end.real_daemon import STRANGER, Daemon, become
from tests.ztopd.server.test_server_process import VIOLATIONS
from ztop_client import Session

INTERVAL_NS = 250_000_000
FRAMES = 32
PINGS = b"".join(msgpack.packb([0, number, "ping", []]) for number in range(100_000))
SUBSCRIBE = b"".join(msgpack.packb([0, number, "subscribe", []]) for number in range(8))
SNAPSHOTS = b"".join(msgpack.packb([0, number, "snapshot", []]) for number in range(1000))
PAST = b"".join(
    msgpack.packb([0, number, *request])
    for number in range(100)
    for request in (
        ("asof", [{"time_ns": (1 << 63) - 1, "previous": True}]),
        ("segments", []),
        ("events", []),
        ("series", [{"from_ns": number, "to_ns": 1 << 62, "points": 2000}]),
        ("top", [{"time_ns": (1 << 63) - 1}]),
    )
)
THREADS = b"".join(msgpack.packb([0, number, "threads", [{"pid": os.getpid()}]]) for number in range(1000))
WISHES = b"".join(
    msgpack.packb([0, number, *request])
    for number in range(1, 3000)
    for request in (
        ("subscribe", [{"sections": ["threads", "processes"], "interval": number, "between": True}]),
        ("unsubscribe", [{"subscription": number}]),
    )
)
HALF = b"\x94\x00\x01\xa4pi"


class Attacker:
    """Connections that are used as they should not be, all from one process."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self.held = [self._connect() for _ in range(5)]
        for connection, data in zip(self.held, (PINGS, SUBSCRIBE, SNAPSHOTS, HALF, b""), strict=True):
            send(connection, data)
        self._violations = itertools.cycle(VIOLATIONS.values())
        self._floods = [_Flood(self._connect(), data) for data in (PINGS, PAST, PAST, THREADS, WISHES)]

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        connection.setblocking(False)
        return connection

    def turn(self) -> None:
        """Breaks the protocol once, floods on, and reads the floods' answers only."""
        with self._connect() as bad:
            send(bad, next(self._violations))
        for flood in self._floods:
            flood.turn()
        with contextlib.suppress(BlockingIOError):
            self.held[0].send(PINGS[:900])


class _Flood:
    """Requests without end."""

    def __init__(self, connection: socket.socket, requests: bytes) -> None:
        self._connection = connection
        self._requests = requests
        self._sent = 0

    def turn(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._sent += self._connection.send(self._requests[self._sent :])
            self._sent %= len(self._requests)
        with contextlib.suppress(BlockingIOError):
            self._connection.recv(1 << 20)


def send(connection: socket.socket, data: bytes) -> None:
    """As much as is taken."""
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        while data:
            data = data[connection.send(data) :]


@contextlib.contextmanager
def attacked(path: Path) -> Iterator[None]:
    """The attacker is a process of its own, of another user where that can be."""
    ready, ready_here = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                become(STRANGER)
            attacker = Attacker(path)
            os.write(ready_here, b"x")
            while True:
                attacker.turn()
        except BaseException as error:
            os.write(2, f"the attacker failed: {error!r}\n".encode())
        finally:
            os._exit(1)
    os.close(ready_here)
    try:
        assert os.read(ready, 1) == b"x"
        yield
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it went on until now"
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.mark.slow
def test_others_get_every_frame_on_time(start: Callable[..., Daemon]) -> None:
    daemon = start(interval=INTERVAL_NS / 1e9)
    server = daemon.server()
    assert server is not None
    with daemon.session() as good, daemon.session() as other:
        frames = good.frames()
        first = [next(frames) for _ in range(4)]
        rss_before = server.memory_info().rss
        with attacked(daemon.path):
            seen, rss = [first[-1]], [rss_before]
            for frame in itertools.islice(frames, FRAMES):
                seen.append(frame)
                rss.append(server.memory_info().rss)
                started = time.monotonic()
                other.ping()
                assert time.monotonic() - started < 2
            status = other.status()
        assert status["protocol_violations"] > len(VIOLATIONS)
        assert status["dropped_deltas"] > 0
        assert [frame.seq for frame in seen] == list(range(seen[0].seq, seen[0].seq + FRAMES + 1))
        assert max(rss) - rss_before < 64 << 20
        skipped = [frame.cell("sources", "skipped", ("sampler",)) for frame in (seen[0], seen[-1])]
        distances = [later.boottime_ns - earlier.boottime_ns for earlier, later in pairwise(seen)]
        on_time = sum(abs(distance - INTERVAL_NS) < 0.3 * INTERVAL_NS for distance in distances)
        assert skipped[0] == skipped[1] or on_time >= 0.95 * len(distances), distances
        # it is over, and nothing of it stays
        wait_until_alone(other, server)
    errors = daemon.stop()
    assert errors.count("was disconnected") <= 20, "the log is limited"


def wait_until_alone(session: Session, server: psutil.Process) -> None:
    deadline = time.monotonic() + 10
    while (status := session.status())["clients"] > 2:
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    assert status["subscriptions"] == 1
    assert server.num_fds() < 20
