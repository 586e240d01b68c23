"""What a client reads of a daemon, and draws: only the stated errors, and no control character on the screen."""

import random
from itertools import pairwise
from typing import Any

import msgpack

from tests.fuzz.machine import filled_frame
from tests.fuzz.mutation import HOSTILE, MOST_BYTES, bytes_mutated, packed, value_mutated
from tests.fuzz.target import Target, sentence
from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.glyphs import ASCII
from ztop_client.gpu.program import ZTOP_G
from ztop_client.program import ZTOP, Program
from ztop_client.sources.source import Pair
from ztop_client.view import View
from ztop_client.widgets.header import Title
from ztop_client.widgets.screen import Screen
from ztop_protocol.codec import encode_delta, encode_frame
from ztop_protocol.connection import RemoteError, Response
from ztop_protocol.frame import Frame, diff

SECOND = 10**9
_SIZES = ((80, 24), (200, 50), (20, 5))


class _Socket:
    """A daemon that has said what it says."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def setblocking(self, flag: bool) -> None:
        pass

    def recv(self, size: int) -> bytes:
        if not self._data:
            raise BlockingIOError
        data, self._data = self._data[:size], self._data[size:]
        return data

    def send(self, data: bytes) -> int:
        return len(data)

    def close(self) -> None:
        pass


def run(data: bytes) -> None:
    """The first byte says what looks at the frames; the rest is what the daemon sends."""
    if not data:
        return
    kind, stream = data[0], data[1:]
    channel = Channel(_Socket(stream))  # type: ignore[arg-type]
    channel.subscribe(1, between=True)
    answers: list[Response] = []
    for method in ("snapshot", "segment"):
        channel.ask(method, {}, answers.append)
    try:
        channel.receive()
    except DaemonUnreachable as error:
        sentence(error)
    pair: Pair | None = None
    for frame in channel.frames():
        pair = Pair(None, frame) if pair is None else pair.followed_by(frame)
    between = channel.between()
    program = ZTOP_G if kind & 1 else ZTOP
    if pair is not None:
        _draw(program, pair, kind)
        if between is not None:
            _draw(program, Pair(pair.previous, pair.current, between.sections), kind)
    for answer in answers:
        assert answer.error is None or isinstance(answer.error, RemoteError)


def _draw(program: Program, pair: Pair, kind: int) -> None:
    """Every tab in every order, with and without threads, on a screen of some size."""
    view = View(program.tabs("alice"), ASCII, program=program)
    view.tree, view.kernel_threads = bool(kind & 2), True
    screen = Screen(view, Title("ztopd", program=program.name), ASCII)
    size = _SIZES[kind >> 2 & 3 if kind >> 2 & 3 < 3 else 0]
    view.show(program.table(pair.previous, pair.drawn, bool(kind & 16)))
    screen.show(pair.previous, pair.drawn)
    for place in range(len(view.tabs)):
        view.show_tab(place)
        column = view.columns[(kind >> 5) % len(view.columns)]
        view.sort_by(column)
        screen.changed()
        for line in screen.render(size).content():
            for _, _, text in line:
                assert text.decode().isprintable(), f"{text!r} reaches the terminal"


def _stream() -> list[Any]:
    """What a daemon sends to who subscribes: the answer, a frame, deltas, what comes between, answers."""
    names = tuple(filled_frame(1).sections)
    frames = [filled_frame(seq, names=names[:-1] if seq == 3 else names) for seq in range(1, 5)]
    messages: list[Any] = [[1, 1, None, {"subscription": 1, "interval_ns": SECOND}]]
    messages.append([2, "frame", [{"subscription": 1, **_value(encode_frame(frames[0]))}]])
    for before, frame in pairwise(frames):
        messages.append([2, "delta", [{"subscription": 1, **_value(encode_delta(diff(before, frame)))}]])
    messages.append([1, 2, None, _value(encode_frame(frames[0]))])
    messages.append([1, 3, "not_found: nothing is remembered there", None])
    newest = frames[-1]
    gpus = Frame(
        newest.seq, newest.time_ns + 5, newest.boottime_ns + 5, newest.boot_id, {"gpus": newest.sections["gpus"]}
    )
    messages.append([2, "between", [{"subscription": 1, **_value(encode_frame(gpus))}]])
    return messages


def _value(data: bytes) -> Any:
    return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")


def _seeds() -> list[bytes]:
    messages = _stream()
    few = [messages[0], _cut(messages[1]), messages[2]]
    streams = [messages, messages[:2], [messages[0], _cut(messages[1])], few, messages[1:], messages[:3] + messages[4:]]
    return [bytes((kind,)) + b"".join(map(packed, stream)) for kind, stream in enumerate(streams * 6)]


def _cut(message: Any) -> Any:
    """A frame of a few sections: small inputs are many."""
    kind, method, [arguments] = message
    sections = {name: arguments["sections"][name] for name in ("host", "processes", "process_io", "memory", "gpus")}
    return [kind, method, [{**arguments, "sections": sections}]]


_LEAVES = (*HOSTILE, "processes", "gpus", "pid", 1, 2, 3, 1000 * SECOND, 1_700_000_000 * SECOND, 11, 12, ["pid"])


def mutated(data: bytes, chosen: random.Random) -> bytes:
    """Mostly other values in what is valid MessagePack."""
    if chosen.random() < 0.1:
        return bytes_mutated(data, chosen)
    kind = chosen.randrange(256) if not data or chosen.random() < 0.2 else data[0]
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")
    unpacker.feed(data[1:])
    messages: list[Any] = []
    try:
        messages.extend(unpacker)
    except Exception:  # whatever the unpacker raises: the rest is no message
        pass
    if not messages:
        return bytes_mutated(data, chosen)
    for _ in range(chosen.choice((1, 1, 2, 4, 8))):
        place = chosen.randrange(len(messages))
        messages[place] = value_mutated(messages[place], chosen, _LEAVES)
    made = bytes((kind,)) + b"".join(map(packed, messages))
    return made if len(made) <= MOST_BYTES else data


TARGET = Target("client", "what a client reads of a daemon, and the screen that it draws of it", _seeds, run, mutated)
