"""kill -9 of each of the processes in turn: what goes on, what comes again, and that nothing is left behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.real_daemon import SECONDS, Daemon, cells_of, frame_where, is_running, pids, until
from ztop_client.daemon import SocketDaemon
from ztop_client.sources.live import LiveSource
from ztop_protocol.frame import Frame


@pytest.fixture
def sources(daemon: Daemon) -> Iterator[list[LiveSource]]:
    """Two clients as the screen is one."""
    made = [LiveSource(SocketDaemon(str(daemon.path))) for _ in range(2)]
    for source in made:
        next_frame(source)
    yield made
    for source in made:
        source.close()


def next_frame(source: LiveSource, newer_than_ns: int = 0) -> Frame:
    """Follows the source until it has a frame that was made after that."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        pair = source.latest()
        if pair is not None and pair.current.boottime_ns > newer_than_ns and source.status().live:
            return pair.current
        source.maintain()
        descriptor = source.fileno()
        if descriptor is None:
            time.sleep(0.02)
        elif select.select([descriptor], [], [], 0.1)[0]:
            source.receive()
    raise AssertionError(f"no frame came: {source.status()}")


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def made_ns(path: Path) -> int:
    """When the file was made: its inode's number may be another's that is gone."""
    return path.stat().st_mtime_ns


def test_the_server(daemon: Daemon, sources: list[LiveSource]) -> None:
    before = [next_frame(source) for source in sources]
    server, socket_file = daemon.server(), made_ns(daemon.path)
    assert server is not None
    server.kill()
    # the socket listens still: who comes meanwhile waits for the next server
    with daemon.session() as session:
        assert session.ping() is not None
        status = session.status()
    killed_ns = boottime_ns()
    after = [next_frame(source, killed_ns) for source in sources]
    assert status["sampler_pid"] == daemon.process.pid
    assert status["server_pid"] != server.pid
    assert made_ns(daemon.path) == socket_file
    for first, second in zip(before, after, strict=True):
        passed = (second.boottime_ns - first.boottime_ns) / 0.2e9
        assert first.seq < second.seq <= first.seq + passed + 1, "seq goes on with the sampler"
    assert "the server process ended with status -9" in daemon.stop()


def test_the_sampler_with_everything_under_it(daemon: Daemon) -> None:
    source = LiveSource(SocketDaemon(str(daemon.path)))
    try:
        before = next_frame(source)
        until(lambda: daemon.reader() is not None, "there is a reader")
        family = daemon.family()
        assert {"ztopd.server", "ztopd.sampler.reader_child"} <= {part for one in family for part in one.cmdline()}
        daemon.process.kill()
        daemon.process.wait()
        until(lambda: not any(map(is_running, family)), "its processes end with it", seconds=5)
        stale = made_ns(daemon.path)
        while source.status().live:
            source.receive()
        second = Daemon(daemon.path)
        try:
            assert made_ns(daemon.path) != stale
            after = next_frame(source, boottime_ns())
            assert (after.boot_id, after.boottime_ns > before.boottime_ns) == (before.boot_id, True)
            assert after.seq < before.seq + 100
            pair = source.latest()
            assert pair is not None and pair.previous is not None
        finally:
            second.stop()
        assert not daemon.path.exists()
    finally:
        source.close()


@pytest.mark.slow
def test_the_reader(daemon: Daemon) -> None:
    with daemon.session() as session:
        until(lambda: daemon.reader() is not None, "there is a reader")
        first = daemon.reader()
        assert first is not None
        frames = session.frames()
        next(frames)
        first.kill()
        times = [next(frames).boottime_ns for _ in range(5)]
        assert max(later - earlier for earlier, later in pairwise(times)) < 1_000_000_000
        with subprocess.Popen([sys.executable, "-S", "-c", "input()", "look"], stdin=subprocess.PIPE) as child:
            # it is started again after a pause, with what was asked meanwhile
            frame = frame_where(
                session, lambda frame: child.pid in pids(frame, "processes") and command_line(frame, child.pid)
            )
            assert command_line(frame, child.pid) == f"{sys.executable} -S -c input() look"
            assert child.stdin is not None
            child.stdin.close()
        second = daemon.reader()
        assert second is not None and second.pid != first.pid
        assert daemon.process.poll() is None
    assert "the reader child went away" in daemon.stop()


def command_line(frame: Frame, pid: int) -> str | None:
    (line,) = cells_of(frame, pid, "command_line")
    # while it was forked and had not yet become what it is, it looked like us
    return line if isinstance(line, str) and line.endswith("look") else None


def test_a_client(daemon: Daemon) -> None:
    code = (
        "import sys, ztop_client\nfor frame in ztop_client.connect(sys.argv[1]).frames(): print(frame.seq, flush=True)"
    )
    command = [sys.executable, "-P", "-c", code, str(daemon.path)]
    with daemon.session() as session:
        frames = session.frames()
        seqs = [next(frames).seq]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            assert int(client.stdout.readline()) > 0
            with daemon.session() as other:
                assert other.status()["subscriptions"] == 2
                client.kill()
                until(lambda: other.status()["subscriptions"] == 1, "the dead one is forgotten")
                assert other.status()["clients"] == 2
        seqs += [next(frames).seq for _ in range(10)]
        assert seqs == list(range(seqs[0], seqs[0] + 11))


def test_a_private_one_that_is_stopped_in_every_way_leaves_nothing() -> None:
    """Killed in the middle of its start as well."""
    environment = os.environ | {"ZTOP_SOCKET": "", "XDG_RUNTIME_DIR": ""}
    code = "import ztop_client.sources.private as p; s = p.PrivateDaemon(0.2).connect(); print(flush=True); s.recv(1)"
    for pause in (0.0, 0.1, 0.3, 0.8):
        with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, env=environment) as client:
            assert client.stdout is not None
            client.stdout.readline()
            family = set(psutil.Process(client.pid).children(recursive=True))
            time.sleep(pause)
            family.update(psutil.Process(client.pid).children(recursive=True))
            assert family
            client.send_signal(signal.SIGKILL)
        until(lambda family=family: not any(map(is_running, family)), "it ended")
