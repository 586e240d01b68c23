"""What the sampler tells the server through the pipe: frames, encoded section by section.

Each message is its length (4 bytes, big-endian) and one MessagePack list: of a frame
``[seq, time_ns, boottime_ns, boot_id, base_seq, changes, gone_sections, keyframe, interval_ns]``, of what was sampled
between two frames ``[time_ns, boottime_ns, sections]``.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import msgpack

from ztop_protocol.codec import MAX_FRAME_BYTES, unpack
from ztop_protocol.segment import EncodedFrame

_LENGTH = struct.Struct(">I")
TAKEN = b"."
"""What the server answers, through its pipe to the sampler, when it took what came."""
WANTS_THREADS = b"t"
"""What it says there while somebody follows the threads of all processes,"""
WANTS_BETWEEN = b"b"
"""and while somebody asks for what is sampled between two frames. How the store is, it says in other letters."""
MAX_MESSAGE_BYTES = 2 * MAX_FRAME_BYTES + (64 << 10)
"""A message may hold a keyframe and the changes that lead to it, and the names of sections."""


@dataclass(frozen=True, slots=True)
class Between:
    """Whole sections, encoded, that were sampled between two frames: part of neither, and kept by nobody."""

    time_ns: int
    boottime_ns: int
    sections: Mapping[str, bytes]


def pack_feed(frame: EncodedFrame) -> bytes:
    """The message for the pipe."""
    return _packed(
        (
            *(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id),
            *(frame.base_seq, frame.changes, frame.gone_sections, frame.keyframe, frame.interval_ns),
        )
    )


def pack_between(between: Between) -> bytes:
    """The same of what is no frame."""
    return _packed((between.time_ns, between.boottime_ns, between.sections))


def _packed(message: tuple[object, ...]) -> bytes:
    body: bytes = msgpack.packb(message)
    return _LENGTH.pack(len(body)) + body


class FeedDecoder:
    """Takes the pipe's bytes as they come; raises :exc:`ValueError` when they are no feed."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._between: Between | None = None

    def frames(self, data: bytes) -> list[EncodedFrame]:
        """The frames that are complete now."""
        self._waiting += data
        found: list[EncodedFrame] = []
        start = 0
        while len(self._waiting) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._waiting, start)
            if length > MAX_MESSAGE_BYTES:
                raise ValueError(f"a feed message of {length} bytes")
            end = start + _LENGTH.size + length
            if len(self._waiting) < end:
                break
            message = unpack(bytes(self._waiting[start + _LENGTH.size : end]), MAX_MESSAGE_BYTES)
            start = end
            if isinstance(message, list) and len(message) == 3 and isinstance(message[2], dict):
                self._between = Between(*message)
                continue
            if not isinstance(message, list) or len(message) != 9 or not isinstance(message[6], list):
                raise ValueError("a feed message is a list of 9, the names of the gone sections a list in it")
            seq, time_ns, boottime_ns, boot_id, base_seq, changes, gone, *rest = message
            found.append(EncodedFrame(seq, time_ns, boottime_ns, boot_id, base_seq, changes, tuple(gone), *rest))
            self._between = None
        del self._waiting[:start]
        return found

    def take_between(self) -> Between | None:
        """What came after the last frame: a frame makes what came before it old. Once."""
        between, self._between = self._between, None
        return between
