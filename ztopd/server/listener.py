"""The sockets: a session for every client that connects, within limits; bytes from one to the other."""

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable

from ztop_protocol.connection import SERVER_LIMITS, Connection, ProtocolViolation, Request
from ztopd.server.access import Peer, peer_of, standing_of, view_of
from ztopd.server.client import Client
from ztopd.server.hub import Hub
from ztopd.server.session import Session

MAX_CONNECTIONS = 256
RESERVED_CONNECTIONS = 32
"""Of these, for root and the user that the daemon runs as: whatever the others do, those two get in."""
MAX_CONNECTIONS_PER_UID = 64
"""And no more than are left to others: so a few users who take all they can leave something to the next one."""
HIGH_WATER_BYTES = 256 << 10
"""A client that leaves more than this unread is not read from either, and its frames are dropped."""
MAX_UNREAD_BYTES = 64 << 20
"""What all such clients together may leave unread: an answer may be much larger than the above, and has to wait."""
TURN_SECONDS = 0.005
"""How long one user's requests are answered before everybody else, and the next frame, have their turn."""
LINGER_SECONDS = 5.0
"""How long a connection that we close may take to read its last answers."""

_log = logging.getLogger(__name__)


class _LimitedLog:
    """At most so many warnings a minute, whatever strangers do; the next one says how many were left out."""

    def __init__(self, per_minute: int = 10) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._written = 0
        self._left_out = 0

    def warning(self, message: str, *values: object) -> None:
        minute = int(time.monotonic() / 60)
        if minute != self._minute:
            if self._left_out:
                _log.warning("%d more such messages were left out", self._left_out)
            self._minute, self._written, self._left_out = minute, 0, 0
        if self._written < self._per_minute:
            self._written += 1
            _log.warning(message, *values)
        else:
            self._left_out += 1


class Listener:
    """Counts who is connected and makes a :class:`ClientConnection` for each."""

    def __init__(self, hub: Hub, *, is_private: bool = False, ended: Callable[[], None] = lambda: None) -> None:
        """``is_private``: for one client that started us; ``ended`` is called when a client is gone."""
        self.hub = hub
        self.is_private = is_private
        self.ended = ended
        self.log = _LimitedLog()
        self._per_uid: Counter[int] = Counter()
        self._turns: dict[int, asyncio.Lock] = {}
        self._transports: set[asyncio.Transport] = set()
        self._slow: set[ClientConnection] = set()

    def connection(self) -> "ClientConnection":
        """The protocol factory for asyncio."""
        return ClientConnection(self)

    def admit(self, peer: Peer, transport: asyncio.Transport) -> str | None:
        """Counts a client in, or says why not."""
        total, own = self.hub.statistics.clients, self._per_uid[peer.uid]
        is_ours = peer.uid in (0, os.geteuid())
        left = MAX_CONNECTIONS - total - (0 if is_ours else RESERVED_CONNECTIONS)
        if left <= 0:
            return f"there are {total} connections already"
        if own >= MAX_CONNECTIONS_PER_UID or (own >= left and not is_ours):
            return f"uid {peer.uid} has {own} connections already"
        self.hub.statistics.clients += 1
        self._per_uid[peer.uid] += 1
        self._turns.setdefault(peer.uid, asyncio.Lock())
        self._transports.add(transport)
        return None

    def dismiss(self, peer: Peer, transport: asyncio.Transport) -> None:
        """Counts a client out."""
        self._transports.discard(transport)
        self.hub.statistics.clients -= 1
        self._per_uid[peer.uid] -= 1
        if not self._per_uid[peer.uid]:
            del self._per_uid[peer.uid], self._turns[peer.uid]
        self.ended()

    def note_slow(self, connection: "ClientConnection") -> None:
        """Takes note of one with much unread. Of the user with the most of it those with the most are let go."""
        self._slow.add(connection)
        while True:
            unread: Counter[int] = Counter()
            for each in self._slow:
                unread[each.uid] += each.unread_bytes
            if unread.total() <= MAX_UNREAD_BYTES:
                return
            [(uid, _)] = unread.most_common(1)
            largest = max((each for each in self._slow if each.uid == uid), key=lambda each: each.unread_bytes)
            self._slow.remove(largest)
            largest.let_go(f"{unread[uid] >> 20} MiB of what its user was sent are unread")

    def note_read(self, connection: "ClientConnection") -> None:
        """It has read most of it, or is gone."""
        self._slow.discard(connection)

    async def turn(self, uid: int) -> None:
        """Waits for a turn of :data:`TURN_SECONDS`: in each round of the loop one user has one, on all connections."""
        async with self._turns[uid]:
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Lets go of everybody."""
        for transport in tuple(self._transports):
            transport.abort()
        await asyncio.sleep(0)  # they are told in the loop's next round


class ClientConnection(asyncio.Protocol):
    """One client's socket.

    After each read the socket is left alone until everything read was answered: so a client has at most one read's
    bytes here, its requests are answered in order, and its answers wait for it to read them.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._connection = Connection(SERVER_LIMITS)
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._at_end = False
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        listener, self._transport = self._listener, transport
        peer_socket: socket.socket = transport.get_extra_info("socket")
        try:
            peer = peer_of(peer_socket)
        except OSError as error:
            listener.log.warning("a client's credentials are unknown: %s", error.strerror)
            transport.abort()
            return
        if refusal := listener.admit(peer, transport):
            listener.log.warning("a client (pid %d) was turned away: %s", peer.pid, refusal)
            transport.abort()
            return
        self._peer = peer
        standing = standing_of(peer, listener.hub.settings.group_gid, listener.is_private)
        transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        client = Client(listener.hub, peer, standing, view_of(peer, standing))
        self._session = Session(client, self._send, transport.abort, transport.get_write_buffer_size)
        self._task = asyncio.get_running_loop().create_task(self._serve(transport, self._session))

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        # of one that is gone, and not told yet that it is, asyncio would log every further write
        if not self._transport.is_closing():
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._connection.feed(data)
        self._transport.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        self._at_end = True
        self._readable.set()
        return True  # what was asked before is answered still

    @property
    def uid(self) -> int:
        """Whose it is."""
        assert self._peer is not None
        return self._peer.uid

    @property
    def unread_bytes(self) -> int:
        """What waits here for the client to read it."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size()

    def let_go(self, why: str) -> None:
        """Ends it at once, whatever is unread."""
        assert self._transport is not None and self._peer is not None
        self._listener.log.warning(
            "the client with pid %d, uid %d was disconnected: %s", self._peer.pid, self._peer.uid, why
        )
        self._transport.abort()

    def pause_writing(self) -> None:
        self._writable.clear()
        if self._session is not None:
            self._session.is_writable = False
        self._listener.note_slow(self)

    def resume_writing(self) -> None:
        self._listener.note_read(self)
        self._writable.set()
        if self._session is not None:
            self._session.is_writable = True

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.note_read(self)
        if self._task is not None:
            self._task.cancel()
        if self._linger is not None:
            self._linger.cancel()
        if self._session is not None:
            self._session.close()
            # it knows us: with all that was read it would wait for the garbage collector, which looks seldom
            self._session = None
        if self._peer is not None:
            assert self._transport is not None
            self._listener.dismiss(self._peer, self._transport)

    async def _serve(self, transport: asyncio.Transport, session: Session) -> None:
        try:
            while True:
                await self._readable.wait()
                await self._answer_all(session)
                if self._at_end:
                    break
                await self._writable.wait()
                self._readable.clear()
                transport.resume_reading()
        except ProtocolViolation as violation:
            assert self._peer is not None
            self._listener.hub.statistics.protocol_violations += 1
            self._listener.log.warning(
                "the client with pid %d, uid %d was disconnected: %s",
                *(self._peer.pid, self._peer.uid, ascii(str(violation)[:200])),
            )
        session.close()
        transport.close()
        self._linger = asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)

    async def _answer_all(self, session: Session) -> None:
        """Answers what was read so far. Raises :exc:`ProtocolViolation`."""
        assert self._peer is not None
        uid = self._peer.uid
        await self._listener.turn(uid)
        turn_ends = time.monotonic() + TURN_SECONDS
        while messages := self._connection.messages():
            for message in messages:
                await self._writable.wait()
                if isinstance(message, Request):
                    await session.handle(message)
                if time.monotonic() >= turn_ends:
                    await self._listener.turn(uid)
                    turn_ends = time.monotonic() + TURN_SECONDS
