"""The past out of a recording and out of a daemon's memory: both give the same frames."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.protocol.recorded_frames import made, record
from tests.ztop_client.fake_daemon import FakeDaemon, Refused, memory
from tests.ztop_client.fake_source import SECOND, row, section
from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.moments import moment_text
from ztop_client.sources.past import NothingThen, Past, RecordedPast, RememberedPast, open_past, pairs
from ztop_protocol.connection import ErrorCode, RemoteError
from ztop_protocol.frame import Frame
from ztop_protocol.processes import joined
from ztop_protocol.rates import RATE_POSITION, rates
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_format import RecordingError
from ztop_protocol.segment import encode_step

FIRST, LAST = 1, 50
FRAMES = [made(seq) for seq in range(FIRST, LAST + 1)]
ALL_TIME = (0, 1 << 62)
LATEST_NS = (1 << 63) - 1


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = str(tmp_path / "incident.ztop")
    writer = RecordingWriter(path, SECOND, segment_frames=20)
    record(writer, FIRST, LAST)
    writer.close()
    return path


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon(FRAMES) as fake:
        fake.answers |= memory(FRAMES)
        yield fake.in_background()


@pytest.fixture(params=["recorded", "remembered"])
def past(request: pytest.FixtureRequest) -> Iterator[Past]:
    if request.param == "recorded":
        opened: Past = RecordedPast(request.getfixturevalue("recording"))
    else:
        opened = RememberedPast(Channel(request.getfixturevalue("daemon").connect()), "fake ztopd")
    yield opened
    opened.close()


def written(path: Path, frames: list[Frame], segment_frames: int = 20) -> RecordedPast:
    """A recording of these frames."""
    writer = RecordingWriter(str(path), SECOND, segment_frames=segment_frames)
    before = None
    for frame in frames:
        writer.add(encode_step(before, frame, whole=True))
        before = frame
    writer.close()
    return RecordedPast(str(path))


def test_span(past: Past) -> None:
    assert past.span() == (FRAMES[0].time_ns, FRAMES[-1].time_ns)


@pytest.mark.parametrize("after_ns", [0, 400_000_000, 999_000_000])
def test_a_moment_is_the_frame_before_it(past: Past, after_ns: int) -> None:
    for place in (1, 19, 20, 33):
        moment = past.at(FRAMES[place].time_ns + after_ns)
        assert moment.pair.current == FRAMES[place]
        assert moment.pair.previous == FRAMES[place - 1]
        assert (moment.age_ns, moment.gap) == (after_ns, False)


def test_a_moment_after_the_end(past: Past) -> None:
    moment = past.at(FRAMES[-1].time_ns + 60 * SECOND)
    assert (moment.pair.current, moment.age_ns, moment.gap) == (FRAMES[-1], 60 * SECOND, True)


def test_the_first_frame_has_none_before_it(past: Past) -> None:
    moment = past.at(FRAMES[0].time_ns)
    assert (moment.pair.previous, moment.pair.current) == (None, FRAMES[0])


def test_before_the_first_frame_there_is_nothing(past: Past) -> None:
    with pytest.raises(NothingThen, match=r"the (first|oldest) frame is of .*") as said:
        past.at(FRAMES[0].time_ns - 1_000_000)
    assert moment_text(FRAMES[0].time_ns) in str(said.value) or str(FRAMES[0].time_ns) in str(said.value)


def test_frames_of_a_time(past: Past) -> None:
    assert list(past.frames(*ALL_TIME)) == FRAMES
    assert list(past.frames(FRAMES[17].time_ns, FRAMES[22].time_ns)) == FRAMES[17:23]
    assert list(past.frames(FRAMES[17].time_ns + 1_000_000, FRAMES[18].time_ns - 1_000_000)) == []
    assert list(past.frames(LATEST_NS, LATEST_NS)) == []
    assert list(past.frames(FRAMES[9].time_ns, FRAMES[8].time_ns)) == []
    assert list(past.frames(-5, 1 << 64)) == FRAMES


def test_only_the_sections_that_are_wanted(past: Past) -> None:
    wanted = ("host", "memory")
    moment = past.at(FRAMES[30].time_ns, wanted)
    assert moment.pair.previous is not None
    assert set(moment.pair.current.sections) == set(moment.pair.previous.sections) == set(wanted)
    assert all(set(frame.sections) == set(wanted) for frame in past.frames(*ALL_TIME, wanted))


def test_pairs_follow_each_other_as_they_did(past: Past) -> None:
    """From the middle on there are the rates that there were when all of it was seen."""

    def figures(from_ns: int) -> list[object]:
        return [joined(pair.previous, pair.current) for pair in pairs(past, from_ns, ALL_TIME[1]) if pair.previous]

    whole = figures(0)
    assert len(whole) == LAST - FIRST
    assert figures(FRAMES[30].time_ns) == whole[29:]


def mounted(frame: Frame, seq: int) -> Frame:
    """With file systems as they were sampled at the last ten, and disks as now."""
    sampled = made(seq - seq % 10)
    disks = section("disks", frame.boottime_ns, [row("disks", name="sda", read_bytes=seq * 1000)])
    cgroups = section("cgroups", sampled.boottime_ns, [row("cgroups", path="/", cpu_time_ns=sampled.seq * SECOND // 2)])
    return replace(frame, sections={**frame.sections, "disks": disks, "cgroups": cgroups})


def test_what_is_sampled_seldom_keeps_its_rates(tmp_path: Path) -> None:
    frames = [mounted(made(seq), seq) for seq in range(10, 60)]
    past = written(tmp_path / "seldom.ztop", frames)
    cpu = RATE_POSITION["cgroups"]["cpu_percent"]

    def cpu_percent(seq: int) -> object:
        pair = past.at(frames[seq - 10].time_ns).pair
        return rates(pair.previous, pair.current, "cgroups")[("/",)][cpu]

    assert [cpu_percent(seq) for seq in (20, 25, 30, 31, 59)] == [50.0] * 5
    # further back than the first one there is none
    assert [cpu_percent(seq) for seq in (10, 15, 19)] == [None] * 3
    past.close()


def test_no_rates_across_a_boot(tmp_path: Path) -> None:
    other = replace(made(4), boot_id="another boot", boottime_ns=5 * SECOND)
    past = written(tmp_path / "boots.ztop", [made(1), made(2), other])
    assert past.at(other.time_ns).pair.previous is None
    assert [pair.previous is None for pair in pairs(past, *ALL_TIME)] == [True, False, True]
    past.close()


def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    later = [replace(made(seq), time_ns=made(seq - 3).time_ns) for seq in range(6, 10)]
    frames = [*map(made, range(1, 6)), *later]
    past = written(tmp_path / "clock.ztop", frames)
    assert list(past.frames(*ALL_TIME)) == frames
    # of two frames of one time it is the later
    assert past.at(made(4).time_ns).pair.current.seq == 7
    assert [frame.seq for frame in past.frames(made(4).time_ns, made(5).time_ns)] == [4, 5, 7, 8]
    assert [pair.current.seq for pair in pairs(past, made(4).time_ns, made(5).time_ns)] == [4, 5, 7, 8]
    past.close()


def test_a_recording_that_is_being_written_is_read_to_its_present_end(tmp_path: Path) -> None:
    path = str(tmp_path / "growing.ztop")
    writer = RecordingWriter(path, SECOND, segment_frames=20)
    record(writer, 1, 33)
    writer.flush()
    past = RecordedPast(path)
    assert [frame.seq for frame in past.frames(*ALL_TIME)] == list(range(1, 34))
    assert past.at(LATEST_NS).pair.current == made(33)
    # what is sealed meanwhile is no loss
    writer.close()
    assert [frame.seq for frame in past.frames(*ALL_TIME)] == list(range(1, 34))
    assert past.notes == []
    past.close()


def test_what_is_damaged_is_left_out_and_noted(recording: str) -> None:
    with sqlite3.connect(recording) as connection:
        connection.execute("UPDATE tracks SET body = zeroblob(50) WHERE segment = 2 AND section = 'cpus'")
    connection.close()
    past = RecordedPast(recording)
    assert len(past.notes) == 1
    assert "was left out" in past.notes[0]
    assert [frame.seq for frame in past.frames(*ALL_TIME)] == [*range(1, 21), *range(41, 51)]
    moment = past.at(FRAMES[30].time_ns)
    assert (moment.pair.current, moment.gap) == (FRAMES[19], True)
    past.close()


def test_what_breaks_while_it_is_read(recording: str) -> None:
    past = RecordedPast(recording)
    with sqlite3.connect(recording) as connection:
        connection.execute("DELETE FROM tracks WHERE segment = 2")
    connection.close()
    assert [frame.seq for frame in past.frames(*ALL_TIME)] == [*range(1, 21), *range(41, 51)]
    assert len(past.notes) == 1
    assert f"after {moment_text(FRAMES[20].time_ns)} is damaged" in past.notes[0]
    with pytest.raises(NothingThen, match="what was recorded then is damaged"):
        past.at(FRAMES[30].time_ns)
    past.close()


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_no_recording_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=str(path)):
        open_past(str(path), None)


def remembered(daemon: FakeDaemon) -> RememberedPast:
    return RememberedPast(Channel(daemon.connect()), daemon.title)


def refuse(code: ErrorCode) -> Callable[[object], None]:
    def answer(_: object) -> None:
        raise Refused("so it is", code)

    return answer


def test_a_daemon_that_does_not_remember(daemon: FakeDaemon) -> None:
    del daemon.answers["asof"], daemon.answers["segments"]
    daemon.answers["status"] = lambda _: {}
    past = remembered(daemon)
    assert past.span() is None
    for ask in (lambda: past.at(5), lambda: list(past.frames(*ALL_TIME))):
        with pytest.raises(NothingThen, match="fake ztopd is of a version that does not remember"):
            ask()
    past.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [(ErrorCode.NOT_FOUND, NothingThen), (ErrorCode.NOT_READY, NothingThen), (ErrorCode.LIMIT_REACHED, RemoteError)],
)
def test_what_a_daemon_says_is_passed_on(daemon: FakeDaemon, code: ErrorCode, error: type[Exception]) -> None:
    daemon.answers |= {"asof": refuse(code), "segments": refuse(code)}
    past = remembered(daemon)
    for ask in (lambda: past.at(5), lambda: list(past.frames(*ALL_TIME))):
        with pytest.raises(error, match="so it is"):
            ask()
    past.close()


@pytest.mark.parametrize(
    "answer",
    [
        5,
        {},
        {"segments": 5, "cursor": None},
        {"segments": [5], "cursor": None},
        {"segments": [{"boot_id": "x", "interval_ns": 1, "stamps": [[1, 2, 3]], "tracks": {"cpus": b"no zstd"}}]},
        {"segments": [], "cursor": 7},
    ],
)
def test_nonsense_ends_the_conversation(daemon: FakeDaemon, answer: object) -> None:
    daemon.answers |= {"asof": lambda _: answer, "segments": lambda _: answer}
    past = remembered(daemon)
    for ask in (lambda: past.at(5), lambda: list(past.frames(*ALL_TIME))):
        with pytest.raises(DaemonUnreachable, match="does not speak ztopd's protocol"):
            ask()
    past.close()


def test_the_daemon_that_runs_is_asked(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with FakeDaemon(FRAMES, path=path) as fake:
        fake.answers |= memory(FRAMES)
        fake.in_background()
        past = open_past(None, path)
        assert past.title == f"ztopd {path}"
        assert past.at(FRAMES[9].time_ns).pair.current == FRAMES[9]
        past.close()


def test_no_daemon_is_started_to_ask_it_about_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ztop_client.locate.SYSTEM_SOCKET", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("ZTOP_SOCKET", raising=False)
    with pytest.raises(DaemonUnreachable, match="no ztopd is running that could remember"):
        open_past(None, None)
