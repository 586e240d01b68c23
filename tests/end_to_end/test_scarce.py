"""What ztopd needs and does not get: descriptors and memory."""

import contextlib
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.real_daemon import Daemon, frame_where, until
from tests.end_to_end.test_kills import boottime_ns, next_frame
from ztop_client import DaemonUnreachable
from ztop_client.daemon import SocketDaemon
from ztop_client.sources.live import LiveSource
from ztop_protocol.connection import pack_request
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SOURCES

LIMITED = "import os, resource, sys\nwhat, many = int(sys.argv[1]), int(sys.argv[2])\n"
LIMITED += "resource.setrlimit(what, (many, many))\nos.execv(sys.argv[3], sys.argv[3:])"

SNAPSHOTS = b"".join(pack_request(id, "snapshot") for id in range(200))
"""Questions whose answers nobody reads."""


def limited(what: int, many: int) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", LIMITED, str(what), str(many))


def test_few_descriptors(start: Callable[..., Daemon]) -> None:
    """No more than for itself: every process is there, files are opened anew at every tick, and that is said."""
    daemon = start(before=limited(resource.RLIMIT_NOFILE, 128))
    with daemon.session() as session:
        frame = frame_where(
            session, lambda frame: "descriptors" in str(frame.cell("sources", "reason", ("processes",)))
        )
        assert any(key[0] == os.getpid() for key in frame.rows("processes"))
        assert frame.cell("sources", "fix", ("processes",)) == "raise LimitNOFILE of the unit, or ulimit -n"


def reasons(frame: Frame) -> str:
    return " ".join(str(row[SOURCES.position["reason"]]) for row in frame.rows("sources").values())


def test_no_descriptors(daemon: Daemon) -> None:
    """What a tick cannot open is said by its source; the others go on, and all is well when there are some again."""
    with daemon.session() as session:
        usual = limit(daemon.process.pid, resource.RLIMIT_NOFILE, 3)
        frame = frame_where(session, lambda frame: "Too many open files" in reasons(frame))
        seq = frame.seq
        frame_where(session, lambda frame: frame.seq > seq + 3)
        limit(daemon.process.pid, resource.RLIMIT_NOFILE, usual)
        frame_where(session, lambda frame: "Too many open files" not in reasons(frame))


def test_no_descriptors_for_the_server(daemon: Daemon) -> None:
    """Who comes waits, or is sent away; who is there is served, and the next ones come in when there are some again."""
    server = daemon.server()
    assert server is not None
    with daemon.session() as session:
        session.ping()
        usual = limit(server.pid, resource.RLIMIT_NOFILE, server.num_fds())
        frame_where(session, lambda frame: True)
        seq = session.snapshot(["host"]).seq
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(str(daemon.path))
        frame_where(session, lambda frame: frame.seq > seq + 3)
        limit(server.pid, resource.RLIMIT_NOFILE, usual)
        waiting.close()

        def is_let_in() -> bool:
            with contextlib.suppress(DaemonUnreachable), daemon.session() as other:
                return other.ping() is not None
            return False

        until(is_let_in, "others are let in again")
        assert daemon.server() == server


def test_no_memory_for_the_sampler(daemon: Daemon) -> None:
    """What is there suffices for what it does at every tick."""
    with daemon.session() as session:
        first = frame_where(session, lambda frame: frame.seq > 2)
        usual = limit(daemon.process.pid, resource.RLIMIT_AS, 1 << 20)
        frame_where(session, lambda frame: frame.seq > first.seq + 5)
        limit(daemon.process.pid, resource.RLIMIT_AS, usual)


def test_no_memory_for_the_server(folder: Path) -> None:
    """It ends, and another one is started, which clients find again."""
    daemon = Daemon(folder / "s")
    with contextlib.ExitStack() as stack:
        stack.callback(daemon.errors)
        stack.callback(daemon.process.terminate)
        source = LiveSource(SocketDaemon(str(daemon.path)))
        stack.callback(source.close)
        before, server = next_frame(source), daemon.server()
        assert server is not None
        limit(server.pid, resource.RLIMIT_AS, 1 << 20)

        def is_another_there_for_who_wants_much() -> bool:
            # what it has suffices for a while where nobody wants more of it
            if (now := daemon.server()) == server:
                greedy = stack.enter_context(socket.socket(socket.AF_UNIX))
                # a server that hangs lets nobody in
                greedy.setblocking(False)
                with contextlib.suppress(OSError):
                    greedy.connect(str(daemon.path))
                    greedy.send(SNAPSHOTS)
            return now not in (None, server)

        until(is_another_there_for_who_wants_much, "another server")
        assert next_frame(source, boottime_ns()).seq > before.seq
    errors = daemon.errors()
    assert "the server process ended with status" in errors
    assert errors.count("MemoryError") < 10, "it is not said over and over"


def limit(pid: int, what: int, many: int) -> int:
    """Sets the soft limit; returns the one before."""
    soft, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (many, hard))
    return soft
