"""MessagePack-RPC without I/O: bytes in, messages out, for both ends of a connection.

The messages are those of https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md, back to back:

    request       [0, id, method, params]
    response      [1, id, error, result]
    notification  [2, method, params]

``params`` is a list with one map of named arguments; ``[]``, ``[{}]``, ``[[]]`` and ``[nil]`` all mean none.
``error`` is nil or the text ``code: sentence``: of all forms the one that every MessagePack-RPC client shows,
Neovim for one makes "unknown error" of a list whose first element is not 0 or 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import msgpack

from ztop_protocol.codec import MAX_FRAME_BYTES, Wire

PROTOCOL_VERSION = 1
MAX_DEPTH = 16
MESSAGES_PER_TURN = 64

Arguments: TypeAlias = Mapping[str, Wire]

_REQUEST, _RESPONSE, _NOTIFICATION = 0, 1, 2


class ErrorCode(StrEnum):
    """The word before the colon of a response's error."""

    UNKNOWN_METHOD = "unknown_method"
    BAD_ARGUMENTS = "bad_arguments"
    NOT_FOUND = "not_found"
    LIMIT_REACHED = "limit_reached"
    NOT_READY = "not_ready"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Request:
    id: int
    method: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Response:
    """Exactly one of ``error`` and ``result`` means something: ``error`` is None where the call succeeded."""

    id: int
    error: "RemoteError | None"
    result: Wire


@dataclass(frozen=True, slots=True)
class Notification:
    method: str
    arguments: Arguments


Message: TypeAlias = Request | Response | Notification


class RemoteError(Exception):
    """What the other side answered instead of a result. ``code`` may be one that this version does not know."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class ProtocolViolation(Exception):
    """The other side broke the protocol or its limits. The connection cannot be used any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one side accepts from the other. Buffers are bytes, lengths are elements."""

    message_bytes: int
    array_length: int
    map_length: int
    chunk_bytes: int


SERVER_LIMITS = Limits(message_bytes=64 << 10, array_length=256, map_length=256, chunk_bytes=16 << 10)
"""What a daemon accepts: requests are small."""

CLIENT_LIMITS = Limits(message_bytes=4 * MAX_FRAME_BYTES, array_length=1 << 20, map_length=4096, chunk_bytes=1 << 20)
"""What a client accepts: frames are large, and the daemon is trusted no further than this."""


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code} is not used here")


@dataclass(slots=True)
class Connection:
    """The receiving half of a connection. Feed it bytes as they come, then take the messages.

    Every exception of the unpacker, a message over the limits and anything that is no message raise
    :exc:`ProtocolViolation`, then and at every later call.
    """

    limits: Limits
    _unpacker: Any = field(init=False)
    _waiting: bytearray = field(init=False, default_factory=bytearray)
    _fed: int = field(init=False, default=0)
    _message_start: int = field(init=False, default=0)
    _broken: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        limits = self.limits
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=limits.message_bytes,
            max_array_len=limits.array_length,
            max_map_len=limits.map_length,
            max_ext_len=0,
            ext_hook=_no_extension,
            strict_map_key=False,
            unicode_errors="surrogateescape",
        )

    def feed(self, data: bytes) -> None:
        """Takes bytes from the peer; nothing is decoded yet."""
        self._waiting += data

    def messages(self, at_most: int = MESSAGES_PER_TURN) -> list[Message]:
        """The complete messages fed so far, up to ``at_most``; call again until it gives none."""
        if self._broken is not None:
            raise ProtocolViolation(self._broken)
        found: list[Message] = []
        try:
            while len(found) < at_most:
                try:
                    value = self._unpacker.unpack()
                except msgpack.OutOfData:
                    if not self._feed_chunk():
                        break
                else:
                    # partial messages advance tell() too
                    self._message_start = self._unpacker.tell()
                    found.append(_message(value))
        except ProtocolViolation as violation:
            self._broken = str(violation)
        except Exception as error:  # whatever the unpacker raises: the stream cannot be followed any further
            self._broken = f"not MessagePack within the limits: {type(error).__name__}: {error}"
        if self._broken is not None and not found:
            raise ProtocolViolation(self._broken)
        return found

    def _feed_chunk(self) -> bool:
        chunk = bytes(self._waiting[: self.limits.chunk_bytes])
        if not chunk:
            return False
        del self._waiting[: len(chunk)]
        self._fed += len(chunk)
        if self._fed - self._message_start > self.limits.message_bytes:
            raise ProtocolViolation(f"a message of more than {self.limits.message_bytes} bytes")
        self._unpacker.feed(chunk)
        return True


def _message(value: Wire) -> Message:
    if not isinstance(value, list) or not value:
        raise ProtocolViolation("a message is a list that begins with its type")
    if _too_deep(value):
        raise ProtocolViolation(f"nested deeper than {MAX_DEPTH}")
    kind = value[0]
    if type(kind) is not int:
        raise ProtocolViolation("a message's type is an integer")
    if kind == _REQUEST and len(value) == 4:
        return Request(_id(value[1]), _method(value[2]), _arguments(value[3]))
    if kind == _RESPONSE and len(value) == 4:
        return Response(_id(value[1]), _error(value[2]), value[3])
    if kind == _NOTIFICATION and len(value) == 3:
        return Notification(_method(value[1]), _arguments(value[2]))
    raise ProtocolViolation("neither request, response nor notification")


_SCALARS = frozenset((type(None), bool, int, float, str, bytes))


def _too_deep(value: Wire) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Wire] = []
        for item in level:
            parts = item if type(item) is list else item.values()
            # thousands of flat rows make up a frame
            if not _SCALARS.issuperset(map(type, parts)):
                inner += [part for part in parts if isinstance(part, (list, dict))]
        if not inner:
            return False
        level = inner
    return True


def _id(value: Wire) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ProtocolViolation("a message's id is an unsigned integer")
    return value


def _method(value: Wire) -> str:
    if not isinstance(value, str):
        raise ProtocolViolation("a method's name is text")
    return value


class _BadArguments(dict[str, Wire]):
    """Arguments that are no single map: the connection lives on, the method refuses them."""


def _arguments(params: Wire) -> Arguments:
    if not isinstance(params, list):
        raise ProtocolViolation("params is a list")
    if not params or (len(params) == 1 and params[0] in ([], None)):
        return {}
    if len(params) == 1 and isinstance(params[0], dict) and all(isinstance(name, str) for name in params[0]):
        return params[0]
    return _BadArguments()


def are_arguments(arguments: Arguments) -> bool:
    """False where the params were a list, but not of one map of named arguments."""
    return not isinstance(arguments, _BadArguments)


def _error(value: Wire) -> RemoteError | None:
    if value is None:
        return None
    if isinstance(value, str):
        code, colon, sentence = value.partition(": ")
        if colon and code.isidentifier():
            return RemoteError(code, sentence)
    return RemoteError(ErrorCode.INTERNAL, f"an error of another form: {value!r:.200}")


def _list_header(length: int, *values: Wire) -> bytes:
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(length)
    for value in values:
        packer.pack(value)
    packed: bytes = packer.bytes()
    return packed


def pack_request(id: int, method: str, arguments: Arguments | None = None) -> bytes:
    """A call that will be answered by a response of the same ``id``."""
    params = [dict(arguments)] if arguments else []
    packed: bytes = msgpack.packb([_REQUEST, id, method, params], unicode_errors="surrogateescape")
    return packed


def pack_response(id: int, result: bytes) -> bytes:
    """An answer, whose ``result`` is MessagePack already."""
    return _list_header(4, _RESPONSE, id, None) + result


def pack_error(id: int, code: ErrorCode, sentence: str) -> bytes:
    """An answer that says why there is no result."""
    packed: bytes = msgpack.packb([_RESPONSE, id, f"{code}: {sentence}", None], unicode_errors="backslashreplace")
    return packed


def pack_notification(method: str, argument: bytes) -> bytes:
    """A notification with one map of named arguments, which is MessagePack already."""
    return _list_header(3, _NOTIFICATION, method) + b"\x91" + argument
