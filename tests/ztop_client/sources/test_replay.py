"""A recording that is played, and a moment that stands still, as sources."""

import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import SECOND, process, threads_of, with_sections
from ztop_client.sources import replay
from ztop_client.sources.past import NothingThen, RecordedPast
from ztop_client.sources.replay import ReplaySource
from ztop_client.sources.source import Pair, RequestFailed, Source
from ztop_protocol.codec import FrameDecoder
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.segment import encode_step

DEADLINE_SECONDS = 15.0


def quick(seq: int) -> Frame:
    """The frame of that number on a machine that is a hundred times as fast."""
    frame = made(seq)
    return replace(
        frame, time_ns=1_700_000_000 * SECOND + seq * SECOND // 100, boottime_ns=1000 * SECOND + seq * SECOND // 100
    )


Open = Callable[..., ReplaySource]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    sources: list[ReplaySource] = []

    def play(frames: list[Frame], from_ns: int = 0) -> ReplaySource:
        path = str(tmp_path / "incident.ztop")
        writer = RecordingWriter(path, SECOND // 100, segment_frames=20)
        before = None
        for frame in frames:
            writer.add(encode_step(before, frame, whole=True))
            before = frame
        writer.close()
        sources.append(ReplaySource(RecordedPast(path), from_ns))
        return sources[-1]

    yield play
    for source in sources:
        source.close()


def next_seq(source: Source) -> int | None:
    """Of the frame that comes next; None at the end."""
    descriptor = source.fileno()
    assert descriptor is not None
    deadline = time.monotonic() + DEADLINE_SECONDS
    # the end may be told with the last frame
    while source.status().past != "end of recording":
        assert select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))[0], "nothing came"
        if source.receive():
            return shown_seq(source)
    return None


def shown_seq(source: Source) -> int:
    pair = source.latest()
    assert pair is not None
    return pair.current.seq


def test_it_plays_to_its_end(opened: Open) -> None:
    frames = [quick(seq) for seq in range(1, 45)]
    source = opened(frames)
    assert source.title == "replay incident.ztop"
    # the first frame has no rates
    assert shown_seq(source) == 2
    seen = [2]
    while (seq := next_seq(source)) is not None:
        seen.append(seq)
        pair = source.latest()
        assert pair is not None and pair.previous is not None
        assert pair.previous.seq == seq - 1
        assert source.status().live
    # what was late is passed over, but never the end
    assert seen == sorted(set(seen))
    assert seen[-1] == 44
    assert source.status().past == "end of recording"


def test_it_begins_where_it_is_asked_to(opened: Open) -> None:
    source = opened([quick(seq) for seq in range(1, 45)], quick(30).time_ns)
    pair = source.latest()
    assert pair is not None and pair.previous is not None
    assert (pair.previous.seq, pair.current.seq) == (29, 30)
    assert source.status().past == "recorded"


def test_nothing_from_there_on(opened: Open) -> None:
    with pytest.raises(NothingThen, match=r"replay incident\.ztop has no frame from 2023-11-1. ..:..:.. on"):
        opened([quick(1), quick(2)], quick(3).time_ns)


def test_one_frame_is_shown_all_the_same(opened: Open) -> None:
    source = opened([quick(1)])
    assert shown_seq(source) == 1
    assert next_seq(source) is None


def test_it_waits_while_it_is_paused(opened: Open) -> None:
    source = opened([quick(1), quick(2), made(3)])
    source.set_paused(True)
    source.set_paused(False)
    source.set_paused(True)
    time.sleep(0.1)
    assert source.receive() is False
    assert shown_seq(source) == 2
    source.set_paused(False)
    assert next_seq(source) == 3


def test_it_ends_while_it_waits(opened: Open) -> None:
    """The fixture closes it, before the next frame is due and while it is paused."""
    opened([made(1), made(2), made(3)])
    opened([made(4), made(5), made(6)]).set_paused(True)


def paced(frames: list[Frame]) -> list[int]:
    """How long each one after the second is waited for."""
    pairs: list[Pair] = [Pair(None, frames[0])]
    for frame in frames[1:]:
        pairs.append(pairs[-1].followed_by(frame))
    return [pause_ns for _, pause_ns in replay._paced(pairs[1], iter(pairs[2:]))]


def test_the_pace_is_that_of_the_recording() -> None:
    assert paced([made(seq) for seq in (1, 2, 3, 5, 6)]) == [SECOND, 2 * SECOND, SECOND]
    # nobody waits for what was not recorded
    assert paced([made(seq) for seq in (1, 2, 3, 5000, 5001)]) == [SECOND, SECOND, SECOND]
    other = [replace(made(seq), boot_id="another boot") for seq in (4, 5)]
    assert paced([made(1), made(2), *other]) == [SECOND, SECOND]


def test_what_breaks_is_told_to_who_watches(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Any]:
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(replay, "_paced", broken)
    source = opened([quick(1), quick(2), quick(3)])
    with pytest.raises(ZeroDivisionError):
        next_seq(source)


def threads(source: Source, pid: int) -> Frame | RequestFailed:
    answers: list[Any] = []
    source.ask("threads", {"pid": pid, "start_boottime_ns": SECOND}, answers.append)
    (answer,) = answers
    return answer if isinstance(answer, RequestFailed) else FrameDecoder().frame(answer)


def test_threads_are_those_that_were_kept(opened: Open) -> None:
    rows = [process(10), process(11)]
    frames = [with_sections(quick(seq), ("threads", threads_of(seq, rows))) for seq in (1, 2)]
    source = opened(frames)
    found = threads(source, 10)
    assert isinstance(found, Frame)
    assert found.rows("threads") == frames[1].rows("threads")
    assert (found.seq, set(found.sections)) == (2, {"threads"})
    assert str(threads(source, 11)) == "process 11 was not there then"


def test_without_threads_there_is_a_reason(opened: Open) -> None:
    source = opened([quick(1), quick(2)])
    assert str(threads(source, 10)).startswith("this was not kept: ")


def test_no_thread_is_left(opened: Open, tmp_path: Path) -> None:
    before = threading.active_count()
    source = opened([made(1), made(2), made(3)])
    assert threading.active_count() == before + 1
    again = ReplaySource(RecordedPast(str(tmp_path / "incident.ztop")))
    again.close()
    assert threading.active_count() == before + 1
    assert shown_seq(source) == 2
