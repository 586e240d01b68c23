"""The pipe's messages: what is packed is read, in any chunking; what is no feed is refused."""

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.codec import MAX_FRAME_BYTES
from ztop_protocol.segment import EncodedFrame
from ztopd.feed import MAX_MESSAGE_BYTES, Between, FeedDecoder, pack_between, pack_feed

parts = st.dictionaries(st.sampled_from(("host", "cpus", "processes")), st.binary(max_size=10))
feed_frames = st.builds(
    EncodedFrame,
    seq=st.integers(1, 2**63),
    time_ns=st.integers(0, 2**63),
    boottime_ns=st.integers(0, 2**63),
    boot_id=st.just("8d3b7c5e-7d6f-4b86-9d0c-1f2a3b4c5d6e"),
    base_seq=st.none() | st.integers(1, 2**63),
    changes=parts,
    gone_sections=st.lists(st.sampled_from(("host", "cpus"))).map(tuple),
    keyframe=st.none() | parts,
    interval_ns=st.none() | st.integers(1, 2**62),
)


@given(st.lists(feed_frames, max_size=4), st.data())
def test_what_is_packed_is_read_in_any_chunking(sent: list[EncodedFrame], data: st.DataObject) -> None:
    stream = b"".join(map(pack_feed, sent))
    assert FeedDecoder().frames(stream) == sent
    decoder = FeedDecoder()
    assert [frame for byte in stream for frame in decoder.frames(bytes([byte]))] == sent
    cut = data.draw(st.integers(0, len(stream)))
    decoder = FeedDecoder()
    assert decoder.frames(stream[:cut]) + decoder.frames(stream[cut:]) == sent


@given(st.lists(st.builds(Between, st.integers(0, 2**63), st.integers(0, 2**63), parts) | feed_frames, max_size=5))
def test_what_came_after_the_last_frame(sent: list[EncodedFrame | Between]) -> None:
    stream = b"".join(pack_between(one) if isinstance(one, Between) else pack_feed(one) for one in sent)
    decoder = FeedDecoder()
    assert decoder.frames(stream) == [one for one in sent if isinstance(one, EncodedFrame)]
    assert decoder.take_between() == (sent[-1] if sent and isinstance(sent[-1], Between) else None)
    assert decoder.take_between() is None


def test_a_keyframe_and_the_changes_to_it_may_each_be_as_large_as_a_frame() -> None:
    large = {"processes": bytes(MAX_FRAME_BYTES - 1000)}
    frame = EncodedFrame(1, 2, 3, "boot", 1, large, (), large)
    assert FeedDecoder().frames(pack_feed(frame)) == [frame]


def message(value: Any) -> bytes:
    body: bytes = msgpack.packb(value)
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">I", MAX_MESSAGE_BYTES + 1),
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x02\x91",
        *map(
            message,
            (1, None, [], {}, [1, 2, 3, "boot", None, {}, []], [1, 2, 3, "boot", None, {}, None, None], "8 letter"),
        ),
    ],
)
def test_what_is_no_feed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        FeedDecoder().frames(data + b"\x00")


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        frames = FeedDecoder().frames(data)
    except ValueError:
        return
    assert all(isinstance(frame, EncodedFrame) for frame in frames)
