"""A source that is read beside what shows it."""

import select
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon
from tests.ztop_client.test_live_source import machine
from ztop_client.channel import DaemonUnreachable
from ztop_client.sources.beside import SourceBeside
from ztop_client.sources.live import LiveSource
from ztop_client.sources.source import RequestFailed, Source


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon([machine(1), machine(2)]) as made:
        yield made.in_background()


@pytest.fixture
def taken() -> list[int]:
    return []


@pytest.fixture
def source(daemon: FakeDaemon, taken: list[int]) -> Iterator[Source]:
    live = LiveSource(daemon)
    live.maintain()
    live.hand_frames_to(lambda frame: not taken.append(frame.seq))  # type: ignore[func-returns-value]
    beside = SourceBeside(live)
    yield beside
    beside.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def shown(source: Source) -> int | None:
    pair = source.latest()
    return None if pair is None else pair.current.seq


def receive(source: Source) -> bool:
    descriptor = source.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], 10)[0]
    return source.receive()


def test_frames_come_while_nobody_looks(source: Source, daemon: FakeDaemon, taken: list[int]) -> None:
    # nobody receives: a terminal that stands still
    for seq in range(3, 60):
        until(lambda seq=seq: taken[-1:] == [seq - 1])  # type: ignore[misc]
        daemon.publish(machine(seq))
    until(lambda: taken[-1:] == [59])
    assert taken == list(range(1, 60))
    assert shown(source) is None
    assert receive(source)
    assert shown(source) == 59
    pair = source.latest()
    assert pair is not None and pair.previous is not None and pair.previous.seq == 58
    assert not source.receive()


def test_answers_are_given_while_it_is_received(source: Source, daemon: FakeDaemon) -> None:
    daemon.answers["threads"] = lambda _: {"x": 1}
    answers: list[Any] = []
    source.ask("threads", {"pid": 1}, answers.append)
    deadline = time.monotonic() + 10
    while not answers:
        assert time.monotonic() < deadline
        source.receive()
    assert answers == [{"x": 1}]


def test_a_daemon_that_comes_and_goes(source: Source, daemon: FakeDaemon) -> None:
    until(lambda: source.receive() and shown(source) == 2)
    answers: list[Any] = []
    daemon.answers["threads"] = lambda _: None
    daemon.refuse = DaemonUnreachable("gone for lunch")
    source.ask("threads", {"pid": 1}, answers.append)
    daemon.drop()
    until(lambda: not source.status().live)
    until(lambda: source.receive() or bool(answers))
    assert isinstance(answers[0], RequestFailed)
    daemon.refuse = None
    until(lambda: source.status().live)
    daemon.publish(machine(3))
    until(lambda: source.receive() and shown(source) == 3)


def test_what_is_chosen_is_passed_on(source: Source, daemon: FakeDaemon) -> None:
    source.set_sections(["host", "threads"])
    peer = daemon.peers[0]
    until(lambda: any("threads" in asked.arguments.get("sections", ()) for asked in peer.requests))
    assert source.title == "fake ztopd"


def test_it_may_be_closed_twice(source: Source) -> None:
    source.close()
    source.close()
