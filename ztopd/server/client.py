"""What a method is, and what it is given of the client that calls it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgpack

from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments
from ztop_protocol.schema import SECTIONS
from ztopd.server.access import Peer, Standing, View
from ztopd.server.hub import Hub

FRAME_SECTIONS: tuple[str, ...] = tuple(name for name in SECTIONS if name != "threads")
"""The sections that frames have always; the threads of all processes are in them while somebody subscribes to it."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, what it is to us, and what may be seen by it."""

    hub: Hub
    peer: Peer
    standing: Standing
    view: View


Method: TypeAlias = Callable[[Client, Arguments], Awaitable[bytes]]
"""A request's arguments in, the packed result out."""


def pack(value: Wire) -> bytes:
    """A result made of plain values."""
    packed: bytes = msgpack.packb(value)
    return packed
