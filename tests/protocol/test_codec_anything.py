"""Whatever bytes, values and damage a peer sends: a frame, or :exc:`Malformed`."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.messages import A_CHANGE, delta_message, frame_message, network, section_message
from tests.protocol.strategies import frame_pairs, frames
from ztop_protocol.codec import (
    FrameDecoder,
    Malformed,
    encode_delta,
    encode_frame,
    unpack,
)
from ztop_protocol.frame import Delta, Frame, diff
from ztop_protocol.schema import SECTIONS

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=5), st.binary(max_size=5)
)
keys = st.one_of(
    st.sampled_from(("seq", "sections", "columns", "rows", "networks", "pressure", "changed", "gone")), scalars
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=15
)


def is_a_frame(frame: Frame) -> bool:
    return all(
        len(row) == len(SECTIONS[name].names) and row[: SECTIONS[name].key_length] == key
        for name, section in frame.sections.items()
        for key, row in section.rows.items()
    )


def feed_anything(decoder: FrameDecoder, message: Any) -> None:
    """A frame, a delta that applies or not, or :exc:`Malformed`: any other exception fails the test."""
    try:
        assert is_a_frame(decoder.frame(message))
    except Malformed:
        pass
    try:
        assert isinstance(decoder.delta(message), Delta)
    except Malformed:
        pass


@given(anything)
def test_any_value(value: Any) -> None:
    decoder = FrameDecoder()
    decoder.frame(frame_message(networks=section_message([network()])))
    feed_anything(decoder, value)
    feed_anything(decoder, delta_message(networks=value, pressure=value) | {"gone_sections": value})
    feed_anything(decoder, frame_message(networks=section_message(value, at=value), pressure=value))
    feed_anything(decoder, delta_message(networks=A_CHANGE | {"new": value, "changed": value, "gone": value}))


def parts_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *itertools.chain.from_iterable(parts_of(part, (*path, name)) for name, part in inner)]


def with_part(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return part
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_part(value[path[0]], path[1:], part)
    return copy


@given(frame_pairs(), st.data())
def test_a_valid_message_with_one_part_replaced(pair: tuple[Frame, Frame], data: st.DataObject) -> None:
    base, frame = pair
    for sent in (encode_frame(base), encode_delta(diff(base, frame))):
        decoder = FrameDecoder()
        decoder.frame(unpack(encode_frame(base)))
        message = unpack(sent)
        feed_anything(decoder, with_part(message, data.draw(st.sampled_from(parts_of(message))), data.draw(anything)))


@given(frames(), st.data())
def test_a_valid_message_with_bytes_flipped(frame: Frame, data: st.DataObject) -> None:
    sent = bytearray(encode_frame(frame))
    for place in data.draw(st.lists(st.integers(0, len(sent) - 1), min_size=1, max_size=4)):
        sent[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(sent)))
    for damaged in (bytes(sent), bytes(sent[:cut])):
        try:
            message = unpack(damaged)
        except Malformed:
            continue
        feed_anything(FrameDecoder(), message)


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        feed_anything(FrameDecoder(), unpack(data))
    except Malformed:
        pass
