"""The pipe to the server: complete while it is read, never waited for when it is not."""

import os
from collections.abc import Iterator

import pytest

from ztop_protocol.codec import FrameDecoder, unpack
from ztop_protocol.frame import Frame, Section, apply
from ztopd.feed import FeedDecoder, FeedFrame
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


def follow(messages: list[FeedFrame]) -> list[Frame]:
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


def test_frames_arrive_as_they_were_and_keyframes_agree_with_the_deltas(ends: tuple[int, FeedPipe]) -> None:
    read_end, pipe = ends
    sent = [frame(seq) for seq in range(1, 150)]
    messages: list[FeedFrame] = []
    decoder = FeedDecoder()
    for one in sent:
        pipe.offer(one)
        messages += decoder.frames(received(read_end))
    assert follow(messages) == sent
    assert [message.seq for message in messages if message.keyframe is not None] == [1, 61, 121]


def test_who_does_not_read_is_not_waited_for_and_gets_a_keyframe(ends: tuple[int, FeedPipe]) -> None:
    read_end, pipe = ends
    large = 20_000
    for seq in range(1, 6):
        pipe.offer(frame(seq, large))
    assert pipe.dropped > 0
    assert pipe.has_waiting_bytes
    decoder = FeedDecoder()
    messages: list[FeedFrame] = []
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
