"""One client, without I/O: requests in, answers and notifications out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from ztop_protocol.codec import Malformed
from ztop_protocol.connection import (
    Arguments,
    ErrorCode,
    Request,
    are_arguments,
    pack_error,
    pack_notification,
    pack_response,
)
from ztop_protocol.schema import SECTIONS
from ztopd.feed import Between
from ztopd.server import arguments as read
from ztopd.server.client import FRAME_SECTIONS, Client, pack
from ztopd.server.methods import METHODS
from ztopd.server.published import Base

MAX_SUBSCRIPTIONS = 8
MAX_TICKS = 3600
BETWEEN_SECTIONS = frozenset(("gpus", "gpu_processes"))
"""Sections that are sampled between two frames, too, while somebody asks for that."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Subscription:
    """What one subscriber has: the next delta starts from ``base``; without one, a whole frame comes next."""

    id: int
    ticks: int
    names: tuple[str, ...]
    between: bool = False
    """Whether what is sampled between two frames is wanted as well."""
    base: Base | None = None

    def is_due(self, seq: int) -> bool:
        """Whether it is to be sent that frame."""
        return self.base is None or seq // self.ticks > self.base.seq // self.ticks


@dataclass(eq=False, slots=True)
class Session:
    """Answers one client's requests in order and sends it the frames that it subscribed to.

    While ``is_writable`` is false (the client does not read) frames are dropped; afterwards a whole frame comes first.
    """

    client: Client
    send: Callable[[bytes], None]
    abort: Callable[[], None]
    """Ends the connection at once."""
    unread_bytes: Callable[[], int] = lambda: 0
    """How much of what was sent waits for the client to read it."""
    is_writable: bool = True
    _subscriptions: dict[int, Subscription] = field(default_factory=dict)
    _next_id: int = 1

    async def handle(self, request: Request) -> None:
        """Sends the answer to one request, whatever the request is."""
        try:
            await self._handle(request)
        except read.Refusal as refusal:
            self.send(pack_error(request.id, refusal.code, refusal.sentence))
        except Exception:  # a bug of ours must not take the other clients along
            _log.exception("the method %s failed", ascii(request.method[:40]))
            self.send(pack_error(request.id, ErrorCode.INTERNAL, "the daemon failed to answer; its log says why"))

    async def _handle(self, request: Request) -> None:
        if not are_arguments(request.arguments):
            raise read.bad("the arguments of a method are one map of names and values")
        if (own := OWN_METHODS.get(request.method)) is not None:
            own(self, request)
        elif (method := METHODS.get(request.method)) is not None:
            self.send(pack_response(request.id, await method(self.client, request.arguments)))
        else:
            raise read.Refusal(ErrorCode.UNKNOWN_METHOD, f"there is no method {read.shown(request.method)}")

    def subscribe(self, request: Request) -> None:
        """Frames from now on; the first come after the answer."""
        subscription = self._subscribe(request.arguments)
        answer = {"subscription": subscription.id, "interval_ns": self.client.hub.settings.interval_ns}
        self.send(pack_response(request.id, pack(answer)))
        self._start(subscription)

    def unsubscribe(self, request: Request) -> None:
        """No more of them."""
        self._unsubscribe(request.arguments)
        self.send(pack_response(request.id, pack({})))

    def close(self) -> None:
        """The client is gone."""
        self.client.hub.statistics.subscriptions -= len(self._subscriptions)
        self._subscriptions.clear()
        self.client.hub.followers.discard(self)

    def frame_arrived(self) -> None:
        """There is a new frame: sends what the subscriptions are due."""
        self._guarded(self._send_due)

    def between_arrived(self, between: Between) -> None:
        """Something newer than the newest frame: for who asked for it, and has read what came before."""
        if self.is_writable and not self.unread_bytes():
            self._guarded(lambda: self._send_between(between))

    def _guarded(self, send: Callable[[], None]) -> None:
        try:
            send()
        except Malformed:
            # the feed cannot be followed: for nobody
            raise
        except Exception:  # a bug of ours must not take the other clients along
            _log.exception("a subscription failed; its client is disconnected")
            self.close()
            self.abort()

    def _send_due(self) -> None:
        newest = self.client.hub.latest.newest
        assert newest is not None
        for subscription in self._subscriptions.values():
            if "threads" in subscription.names:
                self.client.hub.want_threads()
            if subscription.between:
                self.client.hub.want_between()
            if not subscription.is_due(newest.seq):
                continue
            if not self.is_writable:
                self.client.hub.statistics.dropped_deltas += 1
                subscription.base = None
            else:
                self._advance(subscription)

    def _send_between(self, between: Between) -> None:
        for subscription in self._subscriptions.values():
            # without a base its last frame was dropped: there is nothing that it could be newer than
            if subscription.between and subscription.base is not None:
                published, names = self.client.hub.published, subscription.names
                sections = published.encode_between(self.client.view, names, between, subscription.id)
                if sections is not None:
                    self.send(pack_notification("between", sections))

    def _subscribe(self, arguments: Arguments) -> Subscription:
        ticks = read.integer(arguments, "interval", 1, 1, MAX_TICKS)
        names = read.names(arguments, "sections", SECTIONS, FRAME_SECTIONS)
        between = read.flag(arguments, "between", False) and not BETWEEN_SECTIONS.isdisjoint(names)
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise read.Refusal(
                ErrorCode.LIMIT_REACHED, f"a connection may have {MAX_SUBSCRIPTIONS} subscriptions at a time"
            )
        subscription = Subscription(self._next_id, ticks, names, between)
        self._next_id += 1
        self._subscriptions[subscription.id] = subscription
        self.client.hub.statistics.subscriptions += 1
        self.client.hub.followers.add(self)
        if "threads" in names:
            self.client.hub.want_threads()
        if between:
            self.client.hub.want_between()
        return subscription

    def _unsubscribe(self, arguments: Arguments) -> None:
        id = read.integer(arguments, "subscription", 0, 0, (1 << 63) - 1)
        if self._subscriptions.pop(id, None) is None:
            raise read.Refusal(ErrorCode.NOT_FOUND, f"subscription: this connection has no subscription {id}")
        self.client.hub.statistics.subscriptions -= 1
        if not self._subscriptions:
            self.client.hub.followers.discard(self)

    def _start(self, subscription: Subscription) -> None:
        """The frame before the newest and the delta to it, so that there are rates at once."""
        latest = self.client.hub.latest
        newest, previous = latest.newest, latest.previous
        if newest is None:
            return
        if previous is None or newest.base_seq != previous.seq:
            self._send_frame(subscription, newest.seq)
            return
        self._send_frame(subscription, previous.seq)
        self._advance(subscription)

    def _advance(self, subscription: Subscription) -> None:
        """To the newest frame, by a delta where one leads there."""
        hub, view = self.client.hub, self.client.view
        newest = hub.latest.newest
        assert newest is not None
        delta = None
        if subscription.base is not None:
            delta = hub.published.encode_delta(view, subscription.names, subscription.base, subscription.id)
        if delta is None:
            self._send_frame(subscription, newest.seq)
        else:
            self.send(pack_notification("delta", delta))
            self._set_base(subscription, newest.seq)

    def _send_frame(self, subscription: Subscription, seq: int) -> None:
        hub, view = self.client.hub, self.client.view
        frame = hub.published.encode_frame(view, seq, subscription.names, {"subscription": subscription.id})
        self.send(pack_notification("frame", frame))
        self._set_base(subscription, seq)

    def _set_base(self, subscription: Subscription, seq: int) -> None:
        # what the one before kept is let go first: there is room for so many
        subscription.base = None
        subscription.base = self.client.hub.published.base(
            self.client.view, subscription.names, seq, whole=subscription.ticks > 1
        )


OWN_METHODS: dict[str, Callable[[Session, Request], None]] = {
    "subscribe": Session.subscribe,
    "unsubscribe": Session.unsubscribe,
}
"""Beside :data:`ztopd.server.methods.METHODS`: those that change what a connection is sent."""
