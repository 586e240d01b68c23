"""The server process, as the sampler keeps it."""

import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ztop_protocol.frame import Frame
from ztopd.configuration import STORE_OFF, Configuration, HistoryConfiguration
from ztopd.feed import TAKEN
from ztopd.sampler import own, server_child
from ztopd.sampler.server_child import HUNG_S, STARTING_S, Server
from ztopd.socket_path import ListeningSocket

SETTINGS = replace(Configuration(), history=HistoryConfiguration(store=STORE_OFF))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    listening = ListeningSocket(str(tmp_path / "z.sock"))
    made = Server(SETTINGS, None, listening.socket, None)
    made.start_if_due(time.monotonic())
    yield made
    made.stop()
    listening.close()


def frame(seq: int) -> Frame:
    return Frame(seq, seq * 10**9, seq * 10**9, "boot", {})


def wait_for_answer(server: Server) -> None:
    assert server.wishes_fd is not None
    poll = select.poll()
    poll.register(server.wishes_fd, select.POLLIN)
    assert poll.poll(30_000)
    assert TAKEN in os.read(server.wishes_fd, 64)
    server.answered()


def test_one_that_hangs_is_started_again(server: Server) -> None:
    server.offer(frame(1))
    wait_for_answer(server)
    hung = server.pidfd
    assert hung is not None
    signal.pidfd_send_signal(hung, signal.SIGSTOP)
    now = time.monotonic()
    server.offer(frame(2))
    # the machine stood still
    server.end_if_hung(now + 1000)
    server.offer(frame(3))
    server.end_if_hung(now + HUNG_S - 1)
    assert server.pidfd == hung
    server.end_if_hung(now + HUNG_S + 1)
    assert server.pidfd is None
    server.start_if_due(server.start_due)
    # it is given what the other one did not take
    wait_for_answer(server)


def test_one_that_waits_for_a_cpu_does_not_hang(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine where hundreds want to run it would be started again and again, and its clients with it."""
    server.offer(frame(1))
    wait_for_answer(server)
    waiting = server.pidfd
    assert waiting is not None
    signal.pidfd_send_signal(waiting, signal.SIGSTOP)
    waited_ns = 5 * 10**9
    monkeypatch.setattr(own, "cpu_wait_ns", lambda _pid: waited_ns)
    now = time.monotonic()
    for seq in (2, 3, 4):
        server.offer(frame(seq))
    waited_ns += 30 * 10**9
    server.end_if_hung(now + HUNG_S + 29)
    assert server.pidfd == waiting
    server.end_if_hung(now + HUNG_S + 31)
    assert server.pidfd is None


def test_no_tick_waits_for_one_that_cannot_be_killed(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits for a dead disk: here, one that nobody kills."""
    child = server._child
    assert child is not None
    monkeypatch.setattr(server_child, "KILLED_S", 0.01)
    monkeypatch.setattr(child, "kill", lambda: None)
    server.ended(time.monotonic())
    assert "hangs in the kernel, and cannot be killed; it is started again" in caplog.text
    server.start_if_due(server.start_due)
    server.offer(frame(1))
    wait_for_answer(server)
    # it is waited for when it ends after all
    child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while child.returncode is None:
        assert time.monotonic() < deadline
        server.start_if_due(time.monotonic())
        time.sleep(0.01)


def test_what_is_waited_for_is_counted() -> None:
    told = own.cpu_wait_ns(os.getpid())
    assert 0 <= told <= int(Path("/proc/self/schedstat").read_text().split()[1])
    assert own.cpu_wait_ns(1 << 30) == 0


def test_one_that_starts_has_more_time(server: Server) -> None:
    now, starting = time.monotonic(), server.pidfd
    assert starting is not None
    signal.pidfd_send_signal(starting, signal.SIGSTOP)
    for seq in (1, 2):
        server.offer(frame(seq))
    server.end_if_hung(now + STARTING_S - 1)
    assert server.pidfd == starting
    server.end_if_hung(now + STARTING_S + 1)
    assert server.pidfd is None
