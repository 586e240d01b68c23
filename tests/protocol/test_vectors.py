"""The golden messages: their bytes mean what is written beside them, for us as for every other client."""

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ztop_protocol.codec import FrameDecoder
from ztop_protocol.connection import (
    CLIENT_LIMITS,
    SERVER_LIMITS,
    Connection,
    ErrorCode,
    Message,
    Notification,
    Request,
    Response,
    are_arguments,
    pack_error,
    pack_notification,
    pack_request,
    pack_response,
)
from ztop_protocol.frame import Frame, apply
from ztop_protocol.rates import RATE_POSITION, rates
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import SegmentReader, segment_from

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
MESSAGES = sorted(path.stem for path in VECTORS.glob("*.msgpack"))


def from_json(value: Any) -> Any:
    """``{"$bin": hex}`` is bytes."""
    match value:
        case {"$bin": str(digits)}:
            return bytes.fromhex(digits)
        case dict():
            return {name: from_json(part) for name, part in value.items()}
        case list():
            return [from_json(part) for part in value]
    return value


def described(name: str) -> Any:
    return from_json(json.loads((VECTORS / f"{name}.json").read_text("utf-8")))


def message(name: str) -> Message:
    data = (VECTORS / f"{name}.msgpack").read_bytes()
    connection = Connection(SERVER_LIMITS if name.startswith("request") else CLIENT_LIMITS)
    connection.feed(data)
    (found,) = connection.messages()
    return found


def packed_again(found: Message) -> bytes:
    match found:
        case Request(id, method, arguments):
            return pack_request(id, method, arguments)
        case Response(id, None, result):
            return pack_response(id, msgpack.packb(result))
        case Response(id, error, _):
            assert error is not None
            return pack_error(id, ErrorCode(error.code), error.sentence)
        case Notification(method, arguments):
            return pack_notification(method, msgpack.packb(arguments))


def test_there_are_messages_of_every_kind() -> None:
    assert {name.split("-")[0] for name in MESSAGES} == {"request", "response", "notification"}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_bytes_mean_what_is_written_beside_them(name: str) -> None:
    data = (VECTORS / f"{name}.msgpack").read_bytes()
    assert msgpack.unpackb(data) == described(name)["message"]
    assert msgpack.packb(described(name)["message"]) == data


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_packed_again_to_the_same_bytes(name: str) -> None:
    expected = "request-no-arguments" if name.startswith("request-no-arguments") else name
    assert packed_again(message(name)) == (VECTORS / f"{expected}.msgpack").read_bytes()


@pytest.mark.parametrize("name", [name for name in MESSAGES if name.startswith("request-no-arguments")])
def test_no_arguments(name: str) -> None:
    found = message(name)
    assert isinstance(found, Request)
    assert found.arguments == {}
    assert are_arguments(found.arguments)


def frames() -> tuple[Frame, Frame]:
    decoder = FrameDecoder()
    first, second = message("notification-frame"), message("notification-delta")
    assert isinstance(first, Notification)
    assert isinstance(second, Notification)
    base = decoder.frame(first.arguments)
    return base, apply(base, decoder.delta(second.arguments))


def test_the_delta_leads_to_the_frame_that_is_written_down() -> None:
    _, frame = frames()
    expected = described("frame-after-delta")["frame"]
    assert frame == FrameDecoder().frame(expected)
    assert set(frame.sections) == set(expected["sections"])
    assert frame.cell("processes", "comm", (813, 56_000_000_000)) == "café"
    assert frame.cell("processes", "command_line", (813, 56_000_000_000)) == "/tmp/caf\udce9 -x"
    assert frame.cell("processes", "nice", (1, 10_000_000)) is None


def test_what_comes_between_is_of_that_frame_and_changes_it_in_nothing() -> None:
    found = message("notification-between")
    assert isinstance(found, Notification)
    _, frame = frames()
    between = FrameDecoder().frame(found.arguments)
    assert (between.seq, between.boot_id) == (frame.seq, frame.boot_id)
    assert frame.boottime_ns < between.sections["gpus"].sampled_boottime_ns <= between.boottime_ns
    assert between.cell("gpus", "memory_used_bytes", ("GPU-0",)) == 8 << 30
    assert between.cell("gpu_processes", "vram_bytes", ("GPU-0", 812)) is None
    asked = message("request-subscribe")
    assert isinstance(asked, Request)
    assert asked.arguments["between"] is True


def test_the_answer_of_asof_is_that_frame_and_the_one_before() -> None:
    answer = message("response-asof")
    assert isinstance(answer, Response)
    before, frame = frames()
    assert FrameDecoder().frame(answer.result) == frame
    assert FrameDecoder().frame(answer.result["previous"]) == before
    asked = message("request-asof")
    assert isinstance(asked, Request)
    assert asked.arguments["time_ns"] - frame.time_ns == answer.result["age_ns"]


def test_the_segment_holds_both_frames() -> None:
    answer = message("response-segments")
    assert isinstance(answer, Response)
    (segment,) = map(segment_from, answer.result["segments"])
    reader = SegmentReader(segment.opened())
    assert (reader.frame(0), reader.frame(1)) == frames()


def test_the_rates_are_those_that_are_written_down() -> None:
    expected = described("rates-after-delta")
    result = rates(*frames(), expected["section"])
    position = RATE_POSITION[expected["section"]]
    assert [
        [key[0], *(row[position[column]] for column in expected["columns"][1:])] for key, row in result.items()
    ] == expected["rows"]


def test_the_columns_are_still_in_the_schema() -> None:
    """A column that was renamed would make the messages mean less, silently."""
    for name, body in described("frame-after-delta")["frame"]["sections"].items():
        assert set(body["columns"]) <= set(SECTIONS[name].names)
    for name, body in described("notification-between")["message"][2][0]["sections"].items():
        assert set(body["columns"]) - {"of_a_later_version"} <= set(SECTIONS[name].names)
