"""A daemon that says what a test tells it to: scripted frames over real sockets, in the codec's own words."""

import select
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import msgpack

from ztop_protocol.codec import delta_head, encode_map, encode_section, encode_section_change, frame_head
from ztop_protocol.connection import (
    SERVER_LIMITS,
    Connection,
    ErrorCode,
    Request,
    pack_error,
    pack_notification,
    pack_response,
)
from ztop_protocol.frame import Delta, Frame, diff

Answer = Callable[[dict[str, Any]], Any]


class Refused(Exception):
    """Answers with an error."""


def packed_frame(frame: Frame, **head: int) -> bytes:
    parts = {name: encode_section(name, section) for name, section in frame.sections.items()}
    return encode_map({**head, **frame_head(frame)}, "sections", parts)


def packed_delta(delta: Delta, **head: int) -> bytes:
    parts = {name: encode_section_change(name, change) for name, change in delta.sections.items()}
    return encode_map({**head, **delta_head(delta)}, "sections", parts)


class Peer:
    """One client of the fake daemon."""

    def __init__(self, daemon: "FakeDaemon", connection: socket.socket) -> None:
        self.daemon = daemon
        self.socket = connection
        self.requests: list[Request] = []
        self.subscription: int | None = None
        self._stream = Connection(SERVER_LIMITS)
        self._last: Frame | None = None

    def turn(self) -> bool:
        """Answers what was asked so far; False when the client is gone."""
        while select.select([self.socket], [], [], 0)[0]:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                return False
            self._stream.feed(data)
            for request in self._stream.messages():
                assert isinstance(request, Request)
                self.requests.append(request)
                self._answer(request)
        return True

    def publish(self, frame: Frame) -> None:
        """Sends it as a delta where there was a frame before."""
        if self.subscription is None:
            return
        if self._last is None:
            self.notify("frame", packed_frame(frame, subscription=self.subscription))
        else:
            self.notify("delta", packed_delta(diff(self._last, frame), subscription=self.subscription))
        self._last = frame

    def notify(self, method: str, body: bytes) -> None:
        self.send(pack_notification(method, body))

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def _answer(self, request: Request) -> None:
        arguments = dict(request.arguments)
        if request.method in self.daemon.answers:
            try:
                result = self.daemon.answers[request.method](arguments)
            except Refused as error:
                self.send(pack_error(request.id, ErrorCode.BAD_ARGUMENTS, str(error)))
            else:
                if result is not None:
                    packed = result if isinstance(result, bytes) else msgpack.packb(result)
                    self.send(pack_response(request.id, packed))
        elif request.method == "subscribe":
            self.subscription = 10 + len(self.requests)
            self._last = None
            answer = {"subscription": self.subscription, "interval_ns": self.daemon.tick_ns}
            self.send(pack_response(request.id, msgpack.packb(answer)))
            for frame in self.daemon.frames[-2:]:
                self.publish(frame)
        elif request.method == "unsubscribe":
            if arguments["subscription"] == self.subscription:
                self.subscription = None
            self.send(pack_response(request.id, msgpack.packb({})))
        else:
            self.send(pack_error(request.id, ErrorCode.UNKNOWN_METHOD, f"there is no method {request.method}"))


class FakeDaemon:
    """Serves ``frames``; subscribers get the last two at once and what is published afterwards.

    It is a :class:`ztop_client.daemon.Daemon` itself, over socket pairs; with ``path`` it listens there too.
    Without :meth:`in_background` nothing happens but in :meth:`turn`.
    """

    title = "fake ztopd"

    def __init__(self, frames: Sequence[Frame] = (), *, path: str | None = None, tick_ns: int = 10**9) -> None:
        self.frames = list(frames)
        self.tick_ns = tick_ns
        self.peers: list[Peer] = []
        self.connects = 0
        self.words: str | None = None
        self.refuse: Exception | None = None
        self.answers: dict[str, Answer] = {
            "hello": lambda _: {"version": "0", "interval_ns": self.tick_ns},
            "ping": lambda _: {"seq": self.frames[-1].seq, "time_ns": self.frames[-1].time_ns},
            "snapshot": lambda _: packed_frame(self.frames[-1]),
        }
        self._listening: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.RLock()
        if path is not None:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(path)
            self._listening.listen()

    def connect(self) -> socket.socket:
        self.connects += 1
        if self.refuse is not None:
            raise self.refuse
        ours, theirs = socket.socketpair()
        with self._lock:
            self.peers.append(Peer(self, ours))
        return theirs

    def last_words(self) -> str | None:
        return self.words

    def close(self) -> None:
        """The client is done with it."""

    def turn(self) -> None:
        """Accepts, and answers what was asked."""
        with self._lock:
            while self._listening is not None and select.select([self._listening], [], [], 0)[0]:
                self.peers.append(Peer(self, self._listening.accept()[0]))
            for peer in [peer for peer in self.peers if not peer.turn()]:
                peer.socket.close()
                self.peers.remove(peer)

    def publish(self, frame: Frame) -> None:
        """A new frame for everybody."""
        with self._lock:
            self.turn()
            self.frames.append(frame)
            for peer in self.peers:
                peer.publish(frame)

    def drop(self) -> None:
        """Closes all connections."""
        with self._lock:
            for peer in self.peers:
                peer.socket.close()
            self.peers.clear()

    def in_background(self) -> "FakeDaemon":
        """Answers from a thread, for clients that wait."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        while not self._stop.wait(0.005):
            self.turn()

    def __enter__(self) -> "FakeDaemon":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.drop()
        if self._listening is not None:
            self._listening.close()
