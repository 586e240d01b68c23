"""A daemon that says what a test tells it to: scripted frames over real sockets, in the codec's own words."""

import select
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from types import TracebackType
from typing import Any

import msgpack

from ztop_client.sources.recorded_answers import answer
from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import (
    delta_head,
    encode_map,
    encode_pairs,
    encode_section,
    encode_section_change,
    frame_head,
)
from ztop_protocol.connection import (
    SERVER_LIMITS,
    Connection,
    ErrorCode,
    Request,
    pack_error,
    pack_notification,
    pack_response,
)
from ztop_protocol.frame import Delta, Frame, Section, diff
from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import Segment, encode_step, segment_as_map
from ztop_protocol.timeline import Timeline

Answer = Callable[[dict[str, Any]], Any]


class Refused(Exception):
    """Answers with an error."""

    def __init__(self, sentence: str, code: ErrorCode = ErrorCode.BAD_ARGUMENTS) -> None:
        super().__init__(sentence)
        self.code = code


def packed_frame(frame: Frame, **head: int) -> bytes:
    parts = {name: encode_section(name, section) for name, section in frame.sections.items()}
    return encode_map({**head, **frame_head(frame)}, "sections", parts)


def packed_delta(delta: Delta, **head: int) -> bytes:
    parts = {name: encode_section_change(name, change) for name, change in delta.sections.items()}
    return encode_map({**head, **delta_head(delta)}, "sections", parts)


def memory(frames: Sequence[Frame], per_segment: int = 4, per_answer: int = 2) -> dict[str, Answer]:
    """The methods of a daemon that remembers these frames, of one boot and clock; its segments overlap, as they may."""
    pieces: list[Segment] = []
    for start in range(0, len(frames), per_segment):
        before, *following = frames[max(start - 1, 0) : start + per_segment]
        pieces.append(Segment.begun_by(encode_step(None, before, whole=True), 10**9))
        for frame in following:
            pieces[-1].add(encode_step(before, frame, whole=False))
            before = frame

    def asof(arguments: dict[str, Any]) -> bytes:
        then = [frame for frame in frames if frame.time_ns <= arguments["time_ns"]][-2:]
        if not then:
            raise Refused(f"the oldest frame is of {frames[0].time_ns}", ErrorCode.NOT_FOUND)
        age_ns = arguments["time_ns"] - then[-1].time_ns
        frame, previous = then[-1], then[-2] if len(then) > 1 else None
        head = {**frame_head(frame), "age_ns": age_ns, "gap": age_ns > 2.5e9}
        parts = {name: encode_section(name, section) for name, section in _wanted(frame, arguments).items()}
        whole = b"\xc0" if previous is None else packed_frame(replace(previous, sections=_wanted(previous, arguments)))
        return encode_pairs(
            {name: msgpack.packb(value) for name, value in head.items()}
            | {"sections": encode_pairs(parts), "previous": whole}
        )

    def segments(arguments: dict[str, Any]) -> dict[str, Any]:
        assert 0 <= arguments["from_ns"] <= arguments["to_ns"] < 1 << 63
        first = arguments.get("cursor", 0)
        names = arguments.get("sections", SECTIONS)
        maps = [segment_as_map(piece.sealed()) for piece in pieces[first : first + per_answer]]
        for made in maps:
            made["tracks"] = {name: track for name, track in made["tracks"].items() if name in names}
        return {"segments": maps, "cursor": first + per_answer if first + per_answer < len(pieces) else None}

    # those of a walk do not overlap
    timeline: Timeline[StoredSegment | Segment] = Timeline()
    for start in range(0, len(frames), per_segment):
        piece = Segment.begun_by(encode_step(None, frames[start], whole=True), 10**9)
        for before, frame in pairwise(frames[start : start + per_segment]):
            piece.add(encode_step(before, frame, whole=False))
        timeline.append(piece)

    def recorded(method: str) -> Answer:
        def answered(arguments: dict[str, Any]) -> Any:
            found = answer(timeline, method, arguments)
            if isinstance(found, RequestFailed):
                raise Refused(str(found), ErrorCode.NOT_FOUND)
            return found

        return answered

    oldest_ns = frames[0].time_ns
    return {
        "asof": asof,
        "segments": segments,
        **{method: recorded(method) for method in ("segment", "series", "events")},
        "status": lambda _: {"ring_oldest_time_ns": oldest_ns, "store_oldest_time_ns": None},
    }


def _wanted(frame: Frame, arguments: dict[str, Any]) -> dict[str, Section]:
    return {name: one for name, one in frame.sections.items() if name in arguments.get("sections", SECTIONS)}


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
        head = {"subscription": self.subscription}
        if self.daemon.current_tick_ns is not None:
            head["interval_ns"] = self.daemon.current_tick_ns
        if self._last is None:
            self.notify("frame", packed_frame(frame, **head))
        else:
            self.notify("delta", packed_delta(diff(self._last, frame), **head))
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
                self.send(pack_error(request.id, error.code, str(error)))
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
        self.current_tick_ns: int | None = None
        """What its frames say of it."""
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
