"""What a real ztopd remembers: what was, is found when it is gone."""

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.end_to_end.real_daemon import STRANGER, Daemon, DaemonAs, cells_of, needs_root, until
from ztop_client.channel import Channel
from ztop_client.daemon import SocketDaemon
from ztop_protocol.codec import FrameDecoder
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Frame
from ztop_protocol.rates import RATE_POSITION, rates
from ztop_protocol.segment import SegmentReader, segment_from

SECOND = 10**9
BUSY = "import time\nwhile time.process_time() < 1: pass"
_CPU = RATE_POSITION["processes"]["cpu_percent"]


@pytest.fixture
def channel(daemon: Daemon) -> Any:
    made = Channel(SocketDaemon(str(daemon.path)).connect())
    yield made
    made.close()


def call(channel: Channel, method: str, **arguments: Any) -> Any:
    return channel.call(method, arguments, 20)


def frame_then(channel: Channel, **arguments: Any) -> tuple[Frame, Frame | None]:
    """The frame of a moment, and the one before it."""
    answer = call(channel, "asof", previous=True, **arguments)
    decoder, previous = FrameDecoder(), answer["previous"]
    return decoder.frame(answer), None if previous is None else decoder.frame(previous)


def later_than(channel: Channel, time_ns: int) -> None:
    until(lambda: call(channel, "ping")["time_ns"] > time_ns, "a frame of later")


def cpu_percent(current: Frame, previous: Frame | None, pid: int) -> float | None:
    return next((row[_CPU] for key, row in rates(previous, current, "processes").items() if key[0] == pid), None)


def test_a_busy_loop_that_is_gone_is_found_with_its_cpu(channel: Channel) -> None:
    # the first frame has none before it
    until(lambda: (call(channel, "ping")["seq"] or 0) >= 2, "a second frame")
    began_ns = time.time_ns()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        pass
    ended_ns = time.time_ns()
    later_than(channel, ended_ns + 2 * SECOND)
    now, _ = frame_then(channel, time_ns=time.time_ns())
    assert cells_of(now, busy.pid, "comm") == (None,)
    found: dict[int, tuple[Frame, float]] = {}
    for asked_ns in range(began_ns, ended_ns + SECOND, SECOND // 20):
        frame, previous = frame_then(channel, time_ns=asked_ns, sections=["processes"])
        assert previous is not None
        assert frame.time_ns // 10**6 <= asked_ns // 10**6
        percent = cpu_percent(frame, previous, busy.pid)
        if percent is not None:
            later, earlier = (each.sections["processes"].sampled_boottime_ns for each in (frame, previous))
            found[frame.seq] = frame, percent / 100 * (later - earlier) / SECOND
    assert len(found) >= 2
    # what it used until the last frame that saw it alive
    used_ns = sum(int(str(cell)) for cell in cells_of(found[max(found)][0], busy.pid, "user_time_ns", "system_time_ns"))
    assert sum(used for _, used in found.values()) == pytest.approx(used_ns / SECOND, abs=0.05)
    assert 0.3 < used_ns / SECOND < 1.2
    rows = call(channel, "top", seq=max(found), filter={"pid": busy.pid}, columns=["cpu_percent"])
    assert rows["sections"]["processes"]["rows"][0][2] == pytest.approx(
        cpu_percent(*frame_then(channel, seq=max(found)), busy.pid)
    )
    kinds = [(event["kind"], event["pid"]) for event in call(channel, "events", kinds=["appeared", "ended"])["events"]]
    assert kinds.count(("appeared", busy.pid)) == kinds.count(("ended", busy.pid)) == 1


def test_segments_hold_the_frames_that_were_sent(channel: Channel) -> None:
    channel.subscribe(1, None)
    sent: dict[int, Frame] = {}

    def received() -> bool:
        channel.wait(0.1)
        channel.receive()
        sent.update((frame.seq, frame) for frame in channel.frames())
        return len(sent) >= 8

    until(received, "eight frames")
    answer = call(channel, "segments")
    assert answer["cursor"] is None
    kept: dict[int, Frame] = {}
    for body in answer["segments"]:
        segment = segment_from(body)
        reader = SegmentReader(segment.opened())
        kept.update((stamp.seq, reader.frame(index)) for index, stamp in enumerate(segment.stamps))
    assert sent.keys() <= kept.keys()
    assert all(kept[seq] == frame for seq, frame in sent.items())
    assert all(one + 1 == two for one, two in pairwise(kept))
    oldest = min(kept)
    assert frame_then(channel, seq=oldest) == (kept[oldest], None)
    with pytest.raises(RemoteError, match="the oldest frame is of "):
        call(channel, "asof", time_ns=kept[oldest].time_ns - SECOND)


def test_curves_of_what_was(channel: Channel) -> None:
    until(lambda: call(channel, "status")["ring_frames"] >= 10, "ten frames")
    now_ns = call(channel, "ping")["time_ns"]
    answer = call(channel, "series", from_ns=now_ns - 5 * SECOND, to_ns=now_ns, points=100)
    assert answer["complete"] is True
    assert len(answer["rows"]) <= 100
    rows = [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
    known = [row for row in rows if row["cpu_percent"] is not None]
    assert len(known) >= 3
    for row in known:
        assert 0 <= row["cpu_percent"] <= row["cpu_max_percent"] + 1e-9 <= 110
        assert 0 < row["memory_percent"] < 100


@needs_root
def test_a_stranger_sees_of_the_past_what_it_sees_now(start: Callable[..., Daemon]) -> None:
    daemon = start()
    stranger = Channel(DaemonAs(daemon.path, STRANGER).connect())
    root = Channel(SocketDaemon(str(daemon.path)).connect())
    until(lambda: call(root, "status")["ring_frames"] >= 4, "four frames")
    frame, previous = frame_then(stranger, seq=call(root, "ping")["seq"] - 1)
    whole, _ = frame_then(root, seq=frame.seq)
    for each in (frame, previous):
        assert each is not None
        assert not each.rows("process_io")
    assert whole.rows("process_io")
    assert frame.rows("processes") == whole.rows("processes")
    for body in call(stranger, "segments", sections=["process_io"])["segments"]:
        reader = SegmentReader(segment_from(body).opened())
        assert all(not reader.frame(index).rows("process_io") for index in range(len(body["stamps"])))
    stranger.close()
    root.close()
