"""One connection to a daemon: requests out, answers and frames in. Sources and sessions are built on it."""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

from ztop_protocol.codec import FrameDecoder, Malformed, Wire
from ztop_protocol.connection import (
    CLIENT_LIMITS,
    Arguments,
    Connection,
    Message,
    Notification,
    ProtocolViolation,
    Response,
    pack_request,
)
from ztop_protocol.frame import BaseMismatch, Frame, apply
from ztop_protocol.segment import is_interval

ANSWER_SECONDS = 2.0
_READ_BYTES = 1 << 18
_READS_PER_TURN = 64
_MOST_KEPT_FRAMES = 16


class DaemonUnreachable(Exception):
    """There is no daemon to talk to, or no more; the sentence says why."""


class NoAnswer(DaemonUnreachable):
    """The daemon is there and did not answer in time. The connection lives on."""


class Channel:
    """A non-blocking connection with at most one subscription. Takes the socket over.

    Whatever ends the connection is a :exc:`DaemonUnreachable`; the channel is of no use then but to be closed.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._connection = Connection(CLIENT_LIMITS)
        self._last_id = 0
        self._awaited: set[int] = set()
        self._answers: dict[int, Response] = {}
        self._callbacks: dict[int, Callable[[Response], None]] = {}
        self._wanted: tuple[int, Sequence[str] | None, bool] | None = None
        self._known: frozenset[str] | None = None
        """The sections that the daemon has, where it had to be asked: it is older than we are."""
        self._subscribing: int | None = None
        self._given_up: set[int] = set()
        """Requests to subscribe that are not answered yet, and whose frames nobody wants any more."""
        self._subscription: Wire = None
        self._decoder = FrameDecoder()
        self._frame: Frame | None = None
        self._arrived: deque[Frame] = deque(maxlen=_MOST_KEPT_FRAMES)
        self.tick_ns: int | None = None
        """The daemon's time between two frames, as the newest one says it."""
        self._between: Frame | None = None
        self._between_decoder = FrameDecoder()
        """Apart: deltas of frames go by the columns of frames."""

    def fileno(self) -> int:
        """The descriptor, to be watched for reading."""
        return self._socket.fileno()

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def wait(self, seconds: float | None) -> bool:
        """Waits until there is something to receive; False if there was nothing for so long. None: for ever."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(seconds, 0) * 1000))

    def receive(self) -> None:
        """Takes what has arrived, without waiting. Raises :exc:`DaemonUnreachable` when that was the last."""
        for _ in range(_READS_PER_TURN):
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                raise DaemonUnreachable(f"the connection to the daemon broke: {error.strerror}") from error
            if not data:
                raise DaemonUnreachable("the daemon went away")
            self._connection.feed(data)
            try:
                while messages := self._connection.messages():
                    for message in messages:
                        self._take(message)
            except (ProtocolViolation, Malformed) as error:
                raise DaemonUnreachable(f"what answers does not speak ztopd's protocol: {error}") from error

    def frames(self) -> list[Frame]:
        """The frames that arrived since the last time, in order; of more than 16 the newest, unless all are kept."""
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    def between(self) -> Frame | None:
        """The last that came after the newest frame and is none, with its number: sections sampled since. Once."""
        between, self._between = self._between, None
        return between

    def keep_all_frames(self, wanted: bool) -> None:
        """Whether :meth:`frames` gives all, however many: only for who takes them after each :meth:`receive`."""
        self._arrived = deque(self._arrived, maxlen=None if wanted else _MOST_KEPT_FRAMES)

    def subscribe(self, interval_ticks: int, sections: Sequence[str] | None = None, between: bool = False) -> None:
        """Asks for frames, in place of those that were asked for before. Does not wait for the answer.

        A frame is due every ``interval_ticks`` ticks of the daemon, with those sections, or all. ``between``: with
        what is sampled between two frames, as far as the daemon knows of that.
        """
        self.unsubscribe()
        self._wanted = (interval_ticks, sections, between)
        arguments: dict[str, Wire] = {"interval": interval_ticks}
        if sections is not None:
            arguments["sections"] = [name for name in sections if self._known is None or name in self._known]
        if between:
            arguments["between"] = True
        self._subscribing = self._request("subscribe", arguments)

    def unsubscribe(self) -> None:
        """Wants no more frames; those that arrived and were not taken are forgotten."""
        if self._subscription is not None:
            self._request("unsubscribe", {"subscription": self._subscription})
        if self._subscribing is not None:
            self._given_up.add(self._subscribing)
        self._wanted = self._subscribing = self._subscription = self._frame = self._between = None
        self._arrived.clear()

    def ask(self, method: str, arguments: Arguments | None, done: Callable[[Response], None]) -> None:
        """Asks; ``done`` is given the answer by a later :meth:`receive`, or never where the connection ends."""
        self._callbacks[self._request(method, arguments)] = done

    def call(self, method: str, arguments: Arguments | None = None, seconds: float = ANSWER_SECONDS) -> Wire:
        """Asks and waits for the answer; frames that arrive meanwhile are kept.

        Raises :exc:`ztop_protocol.connection.RemoteError`, :exc:`NoAnswer`, :exc:`DaemonUnreachable`.
        """
        deadline = time.monotonic() + seconds
        id = self._request(method, arguments)
        self._awaited.add(id)
        try:
            while id not in self._answers:
                if not self.wait(deadline - time.monotonic()):
                    raise NoAnswer(f"the daemon did not answer within {seconds:g} s")
                self.receive()
        finally:
            self._awaited.discard(id)
        response = self._answers.pop(id)
        if response.error is not None:
            raise response.error
        return response.result

    def _request(self, method: str, arguments: Arguments | None) -> int:
        self._last_id += 1
        request = pack_request(self._last_id, method, arguments)
        try:
            sent = self._socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise DaemonUnreachable(f"the daemon went away: {error.strerror}") from error
        if sent < len(request):
            # thousands of small requests lie unread before this happens
            raise DaemonUnreachable("the daemon does not read what it is asked")
        return self._last_id

    def _take(self, message: Message) -> None:
        match message:
            case Response(id=id) if id in self._callbacks:
                self._callbacks.pop(id)(message)
            case Response(id=id) if id in self._awaited:
                self._answers[id] = message
            case Response(id=id) if id == self._subscribing:
                self._subscribing = None
                if message.error is not None and self._names_sections() and self._known is None:
                    self.ask("hello", None, self._learn_sections)
                else:
                    self._subscription = _subscription_in(message)
            case Response(id=id, error=None) if id in self._given_up:
                self._given_up.remove(id)
                self._request("unsubscribe", {"subscription": _subscription_in(message)})
            case Notification(method="frame" | "delta" | "between" as kind, arguments=arguments):
                # what is still on its way of an earlier subscription is passed over
                if self._subscription is None or arguments.get("subscription") != self._subscription:
                    return
                if kind == "between":
                    self._take_between(arguments)
                else:
                    self._take_frame(kind, arguments)

    def _names_sections(self) -> bool:
        return self._wanted is not None and self._wanted[1] is not None

    def _learn_sections(self, hello: Response) -> None:
        """An older daemon refuses to send a section that it does not know: it is asked for those that it does."""
        known = hello.result.get("sections") if hello.error is None and isinstance(hello.result, dict) else None
        self._known = frozenset(known) if isinstance(known, dict) else frozenset()
        if self._wanted is not None:
            self.subscribe(*self._wanted)

    def _take_between(self, arguments: Arguments) -> None:
        between = self._between_decoder.frame(arguments)
        if self._frame is not None and (between.boot_id, between.seq) == (self._frame.boot_id, self._frame.seq):
            self._between = between

    def _take_frame(self, kind: str, arguments: Arguments) -> None:
        self._between = None
        interval_ns = arguments.get("interval_ns")
        self.tick_ns = interval_ns if is_interval(interval_ns) else None
        if kind == "frame":
            self._frame = self._decoder.frame(arguments)
        else:
            try:
                delta = self._decoder.delta(arguments)
                if self._frame is None:
                    raise BaseMismatch("a delta came before any frame")
                self._frame = apply(self._frame, delta)
            except BaseMismatch:
                assert self._wanted is not None
                arrived = self._arrived.copy()
                self.subscribe(*self._wanted)
                self._arrived.extend(arrived)
                return
        self._arrived.append(self._frame)


def _subscription_in(answer: Response) -> Wire:
    if answer.error is not None:
        raise DaemonUnreachable(f"the daemon gives no frames: {answer.error.sentence}")
    if not isinstance(answer.result, dict) or type(answer.result.get("subscription")) is not int:
        raise Malformed("subscribe: its answer has no subscription")
    return answer.result["subscription"]
