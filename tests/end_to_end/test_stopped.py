"""SIGSTOP and SIGCONT of each of the processes: the others go on, and so does it when it is let go. And the state D."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil

from tests.end_to_end.real_daemon import Daemon, cells_of, frame_where, until
from tests.end_to_end.test_kills import boottime_ns, next_frame
from tests.ztop_client.terminal_driver import Driver
from ztop_client import Session
from ztop_client.daemon import SocketDaemon
from ztop_client.sources.live import LiveSource
from ztop_protocol.frame import Frame


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[psutil.Process]:
    """The process stands still inside, and goes on afterwards."""
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: process.status() == psutil.STATUS_STOPPED, "it stands still")
        yield process
    finally:
        # some are killed meanwhile, for standing still
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


def after(session: Session, ns: int) -> Frame:
    return frame_where(session, lambda frame: frame.boottime_ns > ns)


def test_the_server_and_the_pipe_to_it(start: Callable[..., Daemon]) -> None:
    """The sampler waits for nobody: what does not fit into the pipe is dropped, and then a whole frame follows."""
    daemon = start(interval=0.1)
    server = daemon.server()
    assert server is not None
    with daemon.session() as session:
        first = after(session, 0)
        sampler = psutil.Process(daemon.process.pid)
        with stopped(server.pid):
            spent = sum(sampler.cpu_times()[:2])
            until(lambda: sum(sampler.cpu_times()[:2]) > spent + 0.08, "the sampler goes on")
        later = after(session, boottime_ns())
        assert later.seq > first.seq + 2, "frames were made meanwhile"
        assert daemon.server() == server


def test_the_sampler(daemon: Daemon) -> None:
    source = LiveSource(SocketDaemon(str(daemon.path)))
    try:
        before = next_frame(source)
        with stopped(daemon.process.pid), daemon.session() as session:
            until(lambda: boottime_ns() - session.snapshot(["host"]).boottime_ns > 1_000_000_000, "no frame comes")
            # who asks is answered, with what there is
            assert session.ping() is not None
        frame = next_frame(source, boottime_ns())
        assert frame.boot_id == before.boot_id
        with daemon.session() as session:
            # what did not take place is counted
            frame_where(session, lambda frame: int(str(frame.cell("sources", "skipped", ("sampler",)))) >= 4)
    finally:
        source.close()


def test_the_reader(daemon: Daemon) -> None:
    until(lambda: daemon.reader() is not None, "there is a reader")
    reader = daemon.reader()
    assert reader is not None
    with daemon.session() as session, stopped(reader.pid):
        with subprocess.Popen(["sleep", "600"]) as asked_for:
            # it is given up, and another one answers what was asked
            frame_where(session, lambda frame: "reads block" in str(frame.cell("sources", "reason", ("reader",))))
            until(lambda: daemon.reader() not in (None, reader), "there is another reader")
            asked_for.kill()
        first = after(session, 0)
        assert after(session, first.boottime_ns + 400_000_000).seq > first.seq


def test_a_client(daemon: Daemon) -> None:
    """Its deltas are dropped, the others get theirs, and it goes on with a whole frame."""
    command = [sys.executable, "-P", "-m", "ztop_client", "--socket", str(daemon.path)]
    with Driver(command, columns=100) as driver, daemon.session() as session:
        driver.wait("live")
        with stopped(driver.pid):
            first = after(session, 0)
            after(session, first.boottime_ns + 1_000_000_000)
        driver.wait("live")
        before = len(driver.output)
        driver.wait(lambda: len(driver.output) > before)
        driver.send("q")
        assert driver.ended() == 0


def test_a_process_in_the_state_d(daemon: Daemon) -> None:
    """A parent in vfork(2): nothing but the end of its child, or a program in it, lets it go on."""
    code = "import ctypes, time\nif ctypes.CDLL(None).vfork() == 0:\n print(flush=True)\n time.sleep(600)"
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE) as parent:
        try:
            with daemon.session() as session:
                frame = frame_where(session, lambda frame: cells_of(frame, parent.pid, "state") == ("D",))
                assert int(str(frame.cell("host", "processes_blocked"))) >= 1
        finally:
            for child in psutil.Process(parent.pid).children():
                child.kill()
            parent.kill()
