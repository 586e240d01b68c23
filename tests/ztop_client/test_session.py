"""The Python API against a daemon that says what the test tells it to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon, Refused
from tests.ztop_client.fake_source import SECOND, frame, process
from ztop_client import DaemonUnreachable, RemoteError, Session, connect
from ztop_protocol.frame import Frame


def machine(seq: int) -> Frame:
    return frame(seq, [process(1, comm="bad\udcff\x1b"), process(100 + seq)])


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon([machine(1), machine(2)], path=str(tmp_path / "socket")) as made:
        yield made.in_background()


@pytest.fixture
def session(daemon: FakeDaemon, tmp_path: Path) -> Iterator[Session]:
    with connect(str(tmp_path / "socket")) as made:
        yield made


def test_questions_and_answers(session: Session, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["status"] = lambda _: {"clients": 1}
    assert session.title == f"ztopd {tmp_path}/socket"
    assert session.hello()["interval_ns"] == SECOND
    assert session.status() == {"clients": 1}
    assert session.ping() == 2
    assert session.snapshot() == machine(2)
    assert session.snapshot().rows("processes")[(1, SECOND)][-3] == "bad\udcff\x1b"


def test_top(session: Session, daemon: FakeDaemon) -> None:
    asked: list[dict[str, Any]] = []

    def top(arguments: dict[str, Any]) -> Any:
        asked.append(arguments)
        return {"sections": {"processes": {"columns": ["pid", "comm"], "rows": [[1, b"\xff"], [2, "x"]]}}}

    daemon.answers["top"] = top
    assert session.top("rss_bytes", 5, "na\udcffme", ["comm"], descending=False) == [
        {"pid": 1, "comm": "\udcff"},
        {"pid": 2, "comm": "x"},
    ]
    session.top(filter={"comm": "\udcff", "pid": 1})
    assert asked == [
        {"sort": "rss_bytes", "limit": 5, "filter": b"na\xffme", "columns": ["comm"], "descending": False},
        {"sort": "cpu_percent", "limit": 20, "filter": {"comm": b"\xff", "pid": 1}},
    ]


def test_an_error_of_the_daemon(session: Session, daemon: FakeDaemon) -> None:
    def threads(_: dict[str, Any]) -> None:
        raise Refused("process 5 does not exist")

    daemon.answers["threads"] = threads
    with pytest.raises(RemoteError, match="process 5 does not exist"):
        session.threads(5)
    assert session.ping() == 2


def test_frames_as_they_come(session: Session, daemon: FakeDaemon) -> None:
    seen = []
    for one in session.frames():
        seen.append(one)
        if len(seen) == 4:
            break
        daemon.publish(machine(len(daemon.frames) + 1))
    assert [one.seq for one in seen] == [1, 2, 3, 4]
    assert seen[3] == machine(4)
    session.ping()
    assert "unsubscribe" in daemon.peers[-1].methods()


def test_pairs_have_rates(session: Session) -> None:
    pair = next(session.pairs())
    assert (pair.previous and pair.previous.seq, pair.current.seq) == (1, 2)


def test_one_iteration_at_a_time(session: Session) -> None:
    first = session.frames()
    assert next(first).seq == 1
    second = session.frames(3, ["cpus"])
    assert next(second).seq == 1
    assert list(first) == []
    assert next(second).seq == 2


def test_a_daemon_that_goes_away(session: Session, daemon: FakeDaemon) -> None:
    frames = session.frames()
    next(frames), next(frames)
    daemon.drop()
    with pytest.raises(DaemonUnreachable):
        next(frames)
    with pytest.raises(DaemonUnreachable):
        session.ping()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match=r"^no daemon at .*/none: No such file or directory$"):
        connect(str(tmp_path / "none"))
