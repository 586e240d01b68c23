"""What the sampler tells the server through the pipe: frames, encoded section by section.

Each message is its length (4 bytes, big-endian) and one MessagePack list
``[seq, time_ns, boottime_ns, boot_id, base_seq, changes, gone_sections, keyframe]``.
"""

import struct

import msgpack

from ztop_protocol.codec import MAX_FRAME_BYTES, unpack
from ztop_protocol.segment import EncodedFrame

_LENGTH = struct.Struct(">I")
TAKEN = b"."
"""What the server answers, through its pipe to the sampler, when it took what came."""
MAX_MESSAGE_BYTES = 2 * MAX_FRAME_BYTES + (64 << 10)
"""A message may hold a keyframe and the changes that lead to it, and the names of sections."""


def pack_feed(frame: EncodedFrame) -> bytes:
    """The message for the pipe."""
    body: bytes = msgpack.packb(
        (
            *(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id),
            *(frame.base_seq, frame.changes, frame.gone_sections, frame.keyframe),
        )
    )
    return _LENGTH.pack(len(body)) + body


class FeedDecoder:
    """Takes the pipe's bytes as they come; raises :exc:`ValueError` when they are no feed."""

    def __init__(self) -> None:
        self._waiting = bytearray()

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
            if not isinstance(message, list) or len(message) != 8 or not isinstance(message[6], list):
                raise ValueError("a feed message is a list of 8, the names of the gone sections a list in it")
            seq, time_ns, boottime_ns, boot_id, base_seq, changes, gone, keyframe = message
            found.append(EncodedFrame(seq, time_ns, boottime_ns, boot_id, base_seq, changes, tuple(gone), keyframe))
            start = end
        del self._waiting[:start]
        return found
