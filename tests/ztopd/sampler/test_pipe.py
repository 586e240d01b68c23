"""The pipe to the server: complete while it is read, never waited for when it is not."""

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from ztop_protocol.codec import MAX_FRAME_BYTES, FrameDecoder, unpack
from ztop_protocol.frame import Frame, Section, apply
from ztop_protocol.schema import SOURCES
from ztop_protocol.segment import EncodedFrame
from ztopd.feed import MAX_MESSAGE_BYTES, FeedDecoder
from ztopd.sampler.pipe import FeedPipe


def frame(seq: int, interfaces: int = 3) -> Frame:
    rows = {(f"eth{n}",): (f"eth{n}", "up", None, 1500, *([seq * n] * 10)) for n in range(interfaces)}
    return Frame(seq, seq * 10, seq * 5, "boot", {"networks": Section(seq * 5, rows)})


@pytest.fixture
def ends() -> Iterator[tuple[int, FeedPipe]]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    pipe = FeedPipe(write_end)
    yield read_end, pipe
    pipe.close()
    os.close(read_end)


def received(read_end: int) -> bytes:
    data = b""
    while True:
        try:
            data += os.read(read_end, 1 << 20)
        except BlockingIOError:
            return data


def follow(messages: list[EncodedFrame]) -> list[Frame]:
    """What a server knows after each message: keyframes and the deltas from them."""
    frames: list[Frame] = []
    decoder = FrameDecoder()
    for message in messages:
        head = {
            "seq": message.seq,
            "time_ns": message.time_ns,
            "boottime_ns": message.boottime_ns,
            "boot_id": message.boot_id,
        }
        if message.base_seq is not None:
            delta = decoder.delta(
                head
                | {"base_seq": message.base_seq, "gone_sections": list(message.gone_sections)}
                | {"sections": {name: unpack(part) for name, part in message.changes.items()}}
            )
            frames.append(apply(frames[-1], delta))
        if message.keyframe is not None:
            whole = decoder.frame(head | {"sections": {name: unpack(part) for name, part in message.keyframe.items()}})
            if message.base_seq is None:
                frames.append(whole)
            assert frames[-1] == whole
    return frames


def test_a_busy_machine_has_keyframes_more_often(ends: tuple[int, FeedPipe]) -> None:
    read_end, pipe = ends
    messages: list[EncodedFrame] = []
    decoder = FeedDecoder()
    for seq in range(1, 100):
        pipe.offer(frame(seq, 200))
        messages += decoder.frames(received(read_end))
    assert [message.seq for message in messages if message.keyframe is not None] == [1, 21, 41, 61, 81]


def test_frames_arrive_as_they_were_and_keyframes_agree_with_the_deltas(ends: tuple[int, FeedPipe]) -> None:
    read_end, pipe = ends
    sent = [frame(seq) for seq in range(1, 150)]
    messages: list[EncodedFrame] = []
    decoder = FeedDecoder()
    for one in sent:
        pipe.offer(one)
        messages += decoder.frames(received(read_end))
    assert follow(messages) == sent
    assert [message.seq for message in messages if message.keyframe is not None] == [1, 61, 121]


@pytest.mark.parametrize("step_ns", [-3_600_000_000_000, -60_000_000, 60_000_000, 3_600_000_000_000])
def test_a_keyframe_comes_where_the_clock_was_set(ends: tuple[int, FeedPipe], step_ns: int) -> None:
    read_end, pipe = ends
    sent = [frame(seq) for seq in range(1, 9)]
    sent[4:] = [replace(later, time_ns=later.time_ns + step_ns) for later in sent[4:]]
    for each in sent:
        pipe.offer(each)
    messages = FeedDecoder().frames(received(read_end))
    assert [message.seq for message in messages if message.keyframe is not None] == [1, 5]
    assert [message.base_seq for message in messages] == [None, *range(1, 8)]
    assert follow(messages) == sent


def test_a_keyframe_comes_where_the_interval_changed_and_the_message_says_it(ends: tuple[int, FeedPipe]) -> None:
    read_end, pipe = ends
    column = SOURCES.position["period_ns"]
    sent: list[Frame] = []
    for seq, period_ns in enumerate((10, 10, 20, 20, 10), 1):
        told = tuple("sampler" if n == 0 else period_ns if n == column else None for n in range(len(SOURCES.columns)))
        plain = frame(seq)
        sent.append(replace(plain, sections={**plain.sections, "sources": Section(seq, {("sampler",): told})}))
        pipe.offer(sent[-1])
    messages = FeedDecoder().frames(received(read_end))
    assert [message.interval_ns for message in messages] == [10, 10, 20, 20, 10]
    assert [message.seq for message in messages if message.keyframe is not None] == [1, 3, 5]
    assert follow(messages) == sent


def test_who_does_not_read_is_not_waited_for_and_gets_a_keyframe(ends: tuple[int, FeedPipe]) -> None:
    read_end, pipe = ends
    large = 20_000
    for seq in range(1, 6):
        pipe.offer(frame(seq, large))
    assert pipe.dropped > 0
    assert pipe.has_waiting_bytes
    decoder = FeedDecoder()
    messages: list[EncodedFrame] = []
    while pipe.has_waiting_bytes:
        messages += decoder.frames(received(read_end))
        pipe.flush()
    messages += decoder.frames(received(read_end))
    pipe.offer(frame(7))
    messages += decoder.frames(received(read_end))
    assert messages[-1].seq == 7
    assert messages[-1].base_seq is None and messages[-1].keyframe is not None
    assert follow(messages)[-1] == frame(7)


def test_a_reader_that_is_gone_is_an_error(ends: tuple[int, FeedPipe]) -> None:
    read_end, write_end = os.pipe()
    pipe = FeedPipe(write_end)
    os.close(read_end)
    with pytest.raises(BrokenPipeError):
        pipe.offer(frame(1))
    pipe.close()


class Sink:
    """Takes a pipe's bytes however many they are."""

    def __init__(self, read_end: int, pipe: FeedPipe) -> None:
        self._read_end, self._pipe = read_end, pipe
        self._decoder = FeedDecoder()
        self.messages: list[EncodedFrame] = []

    def offer(self, frame: Frame) -> None:
        self._pipe.offer(frame)
        while True:
            self.messages += self._decoder.frames(received(self._read_end))
            if not self._pipe.has_waiting_bytes:
                break
            self._pipe.flush()
        self.messages += self._decoder.frames(received(self._read_end))


def with_hosts(frame: Frame, name: str, letters: int) -> Frame:
    """The frame with rows of ``letters`` letters each in the section ``name``."""
    rows = {(n, 0): (n, 0, f"{frame.seq:06}" + "x" * letters) for n in range(10)}
    return Frame(
        frame.seq, frame.time_ns, frame.boottime_ns, "boot", {**frame.sections, name: Section(frame.boottime_ns, rows)}
    )


def test_what_is_too_large_is_left_out_and_said_and_the_rest_arrives(ends: tuple[int, FeedPipe]) -> None:
    read_end, pipe = ends
    sink = Sink(read_end, pipe)
    large = MAX_FRAME_BYTES // 10
    sink.offer(with_hosts(frame(1), "process_executables", large))
    assert pipe.left_out == ("process_executables",)
    sink.offer(with_hosts(frame(2), "process_executables", 100))
    assert pipe.left_out == ()
    sink.offer(with_hosts(frame(3), "process_executables", large))
    assert pipe.left_out == ("process_executables",)
    sink.offer(with_hosts(frame(4), "process_executables", large))
    names = [sorted((message.keyframe or {}) | message.changes) for message in sink.messages]
    assert names == [["networks"], ["networks", "process_executables"], ["networks"], ["networks"]]
    assert [message.base_seq for message in sink.messages] == [None, 1, 2, 3]
    assert [message.gone_sections for message in sink.messages] == [(), (), ("process_executables",), ()]


def test_a_segment_of_large_changes_ends_early(ends: tuple[int, FeedPipe]) -> None:
    """The server keeps a whole segment."""
    read_end, pipe = ends
    sink = Sink(read_end, pipe)
    for seq in range(1, 21):
        sink.offer(with_hosts(frame(seq), "processes", MAX_FRAME_BYTES // 40))
    keyframes = [place for place, message in enumerate(sink.messages) if message.keyframe is not None]
    assert len(keyframes) >= 4
    assert max(b - a for a, b in pairwise(keyframes)) <= 6
    assert 2 * MAX_FRAME_BYTES < MAX_MESSAGE_BYTES
