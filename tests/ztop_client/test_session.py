"""The Python API against a daemon that says what the test tells it to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.recorded_frames import made, record
from tests.ztop_client.fake_daemon import FakeDaemon, Refused, memory
from tests.ztop_client.fake_source import SECOND, frame, process
from ztop_client import (
    DaemonUnreachable,
    NothingThen,
    QueryError,
    RecordingError,
    RemoteError,
    Session,
    connect,
    open_recording,
)
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter


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


@pytest.fixture
def remembering(daemon: FakeDaemon) -> FakeDaemon:
    """It remembers frames 1 to 20, which makes 20 its newest."""
    daemon.frames[:] = [machine(seq) for seq in range(1, 21)]
    # the answers look at the list when they are asked
    daemon.answers |= {
        name: lambda asked, name=name: memory(daemon.frames)[name](asked) for name in ("asof", "segments")
    }
    return daemon


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


def test_a_moment_as_text_number_and_datetime(session: Session, remembering: FakeDaemon) -> None:
    time_ns = machine(7).time_ns
    for when in (
        time_ns + 5_000_000,
        f"@{time_ns // SECOND}.005",
        datetime.fromtimestamp(time_ns / SECOND + 0.005, UTC),
    ):
        moment = session.asof(when)
        assert moment.pair.current == machine(7)
        assert moment.pair.previous == machine(6)
        assert (moment.age_ns, moment.gap) == (5_000_000, False)
    assert session.asof(time_ns, ["host"]).pair.current.sections.keys() == {"host"}


def test_a_moment_of_which_nothing_is_remembered(session: Session, remembering: FakeDaemon) -> None:
    with pytest.raises(NothingThen):
        session.asof(machine(1).time_ns - SECOND)
    with pytest.raises(ValueError, match="is no time"):
        session.asof("once upon a time")


def test_remembered_frames_then_live_ones_each_once(session: Session, remembering: FakeDaemon) -> None:
    seen = []
    for one in session.frames(since=machine(5).time_ns):
        seen.append(one)
        if len(seen) == 24:
            break
        if one.seq >= 20:
            remembering.publish(machine(one.seq + 1))
    assert seen == [machine(seq) for seq in range(5, 29)]


def test_what_a_late_reader_missed_is_fetched(session: Session, remembering: FakeDaemon) -> None:
    frames = session.frames(since=machine(18).time_ns)
    seen = [next(frames) for _ in range(3)]
    # made after the last frame that was remembered, before those with which a subscription begins
    remembering.frames += [machine(seq) for seq in range(21, 61)]
    seen += [next(frames) for _ in range(40)]
    assert [one.seq for one in seen] == list(range(18, 61))
    assert seen[-1] == machine(60)


def test_a_frame_that_came_while_something_was_asked(session: Session, daemon: FakeDaemon) -> None:
    frames = session.frames()
    assert [next(frames).seq for _ in range(2)] == [1, 2]
    daemon.publish(machine(3))
    assert session.ping() == 3  # the answer is behind the frame
    assert next(frames).seq == 3


def test_every_few_ticks_of_what_is_remembered(session: Session, remembering: FakeDaemon) -> None:
    found = session.frames(5, since=machine(3).time_ns, until=machine(17).time_ns)
    assert [one.seq for one in found] == [3, 5, 10, 15]
    assert "subscribe" not in remembering.peers[-1].methods()


def test_pairs_of_what_is_remembered(session: Session, remembering: FakeDaemon) -> None:
    found = list(session.pairs(sections=["memory"], since=0, until=machine(4).time_ns))
    assert [(pair.previous and pair.previous.seq, pair.current.seq) for pair in found] == [(1, 2), (2, 3), (3, 4)]


def test_events_to_the_last_cursor(session: Session, daemon: FakeDaemon) -> None:
    asked = []

    def events(arguments: dict[str, Any]) -> Any:
        asked.append(arguments)
        number = arguments.get("cursor", 0)
        return {"events": [{"number": number, "comm": b"\xff"}], "cursor": number + 1 if number < 2 else None}

    daemon.answers["events"] = events
    assert [event["number"] for event in session.events(since=5, kinds=["gap"])] == [0, 1, 2]
    assert asked[0] == {"from_ns": 5, "kinds": ["gap"]}
    assert next(session.events())["comm"] == "\udcff"


def test_questions_to_what_is_remembered(session: Session, remembering: FakeDaemon) -> None:
    pid = next(iter(machine(20).rows("processes")))[0]
    [one] = session.find(f"pid == {pid} and cpu >= 0 for 10s", since=machine(5).time_ns, until=machine(18).time_ns)
    assert (one.pid, one.from_ns, one.to_ns, one.still) == (pid, machine(4).time_ns, machine(18).time_ns, True)
    assert session.find(f"pid == {pid} for 1h") == []
    with pytest.raises(QueryError, match="value was expected"):
        session.find("cpu >")


def test_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "incident.ztop"
    writer = RecordingWriter(str(path), SECOND, segment_frames=20)
    record(writer, 1, 50)
    writer.close()
    with open_recording(str(path)) as recording:
        assert (recording.first_ns, recording.last_ns) == (made(1).time_ns, made(50).time_ns)
        assert recording.asof("-10s").pair.current == made(40)
        assert [one.seq for one in recording.frames(since="-2s")] == [48, 49, 50]
        pairs = list(recording.pairs(["processes"], since="-3s", until="-2s"))
        assert [(pair.previous and pair.previous.seq, pair.current.seq) for pair in pairs] == [(46, 47), (47, 48)]
        assert pairs[0].current.sections.keys() == {"processes"}
        assert list(recording.notes) == []
        shorts = recording.find("name ~ ^short and cpu >= 0", since="-30s")
        assert [one.comm for one in shorts] == ["short3", "short4", "short5", "short6", "short7"]
        with pytest.raises(NothingThen):
            recording.asof("-1h")
    with pytest.raises(RecordingError, match="No such file"):
        open_recording(str(tmp_path / "none"))
