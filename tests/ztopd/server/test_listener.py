"""Limits by user, in a loop of our own: sockets whose users are said by the test, since only root could be several."""

import asyncio
import gc
import os
import socket
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgpack
import pytest

from ztopd.collectors.threads import read_threads
from ztopd.server import listener as module
from ztopd.server import methods
from ztopd.server.access import Peer
from ztopd.server.hub import Hub
from ztopd.server.listener import (
    HIGH_WATER_BYTES,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_UID,
    RESERVED_CONNECTIONS,
    ClientConnection,
    Listener,
)

SECONDS = 20.0
GREEDY, QUIET = 1000, 1001


def peer(uid: int) -> Peer:
    return Peer(os.getpid(), uid, uid, frozenset())


@dataclass
class End:
    """A client's end of a connection."""

    socket: socket.socket
    answers: int = 0
    is_ended: bool = False
    _unpacker: Any = field(default_factory=lambda: msgpack.Unpacker(max_buffer_size=1 << 26, strict_map_key=False))

    def send(self, *requests: bytes) -> None:
        self.socket.sendall(b"".join(requests))

    def read(self) -> list[Any]:
        """What is there now."""
        found: list[Any] = []
        try:
            while data := self.socket.recv(1 << 20):
                self._unpacker.feed(data)
                found += self._unpacker
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.is_ended = True
        else:
            self.is_ended = True
        self.answers += sum(message[0] == 1 for message in found)
        return found


class Users:
    """Connects as whoever is asked for."""

    def __init__(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listener = Listener(hub)
        self._uids: dict[int, int] = {}
        self._ends: list[socket.socket] = []
        monkeypatch.setattr(module, "peer_of", lambda connected: peer(self._uids[connected.fileno()]))

    async def connect(self, uid: int) -> End:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        # what is sent at once may be as much as the largest of these tests
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._ends.append(ours)
        self._uids[theirs.fileno()] = uid
        await asyncio.get_running_loop().create_unix_connection(self.listener.connection, sock=theirs)
        return End(ours)

    async def close(self) -> None:
        await self.listener.close()
        for end in self._ends:
            end.close()


Scene = Callable[[Users], Coroutine[Any, Any, None]]


@pytest.fixture
def play(hub: Hub, machine: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene], None]:
    """Runs a scene with a server that has two frames; afterwards nothing is left of its clients."""
    hub.take(machine.tick())
    hub.take(machine.tick())

    def run(scene: Scene) -> None:
        async def whole() -> None:
            users = Users(hub, monkeypatch)
            try:
                await asyncio.wait_for(scene(users), SECONDS)
            finally:
                await users.close()
            await until(lambda: not hub.statistics.clients)
            assert not hub.followers
            assert not users.listener._slow

        asyncio.run(whole())

    return run


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop go round until it holds."""
    while not condition():  # noqa: ASYNC110, it is the other tasks that make it so
        await asyncio.sleep(0)


def request(method: str, number: int = 1, **arguments: Any) -> bytes:
    packed: bytes = msgpack.packb([0, number, method, [arguments]])
    return packed


class _Transport:
    """Nobody's."""


def fill(listener: Listener, uid: int) -> int:
    """Connects as often as that user may; returns how often that is."""
    for number in range(MAX_CONNECTIONS + 1):
        if listener.admit(peer(uid), _Transport()):  # type: ignore[arg-type]
            return number
    raise AssertionError("no end to it")


def test_a_few_users_leave_connections_to_the_next_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 990)
    listener = Listener(hub)
    taken = [fill(listener, uid) for uid in range(GREEDY, GREEDY + 7)]
    assert taken == [64, 64, 48, 24, 12, 6, 3]
    assert not listener.admit(peer(QUIET + 500), _Transport())  # type: ignore[arg-type]


def test_root_and_the_daemons_own_user_get_in_whatever_the_others_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 990)
    listener = Listener(hub)
    taken = [fill(listener, uid) for uid in range(GREEDY, GREEDY + 300)]
    assert sum(taken) == MAX_CONNECTIONS - RESERVED_CONNECTIONS
    for _ in range(RESERVED_CONNECTIONS // 2):
        assert listener.admit(peer(0), _Transport()) is None  # type: ignore[arg-type]
        assert listener.admit(peer(990), _Transport()) is None  # type: ignore[arg-type]
    assert "connections already" in (listener.admit(peer(0), _Transport()) or "")  # type: ignore[arg-type]


def test_nobody_has_more_than_his_share_of_an_empty_server(hub: Hub) -> None:
    for uid in (0, GREEDY):
        assert fill(Listener(Hub(hub.settings)), uid) == MAX_CONNECTIONS_PER_UID


def test_users_take_turns_however_many_connections_one_has(
    play: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With turns of no time at all each of two users has one answer in a round of the loop."""
    monkeypatch.setattr(module, "TURN_SECONDS", -1.0)

    async def scene(users: Users) -> None:
        flood = [await users.connect(GREEDY) for _ in range(20)]
        good = await users.connect(QUIET)
        for end in flood:
            end.send(*(request("ping", number) for number in range(500)))
        good.send(*(request("ping", number) for number in range(100)))

        def is_done() -> bool:
            good.read()
            return good.answers == 100

        await until(is_done)
        for end in flood:
            end.read()
        assert 0 < sum(end.answers for end in flood) < 300

    play(scene)


def test_one_byte_at_a_time_is_answered_in_the_end_and_keeps_nobody(play: Callable[[Scene], None]) -> None:
    async def scene(users: Users) -> None:
        slow, good = await users.connect(GREEDY), await users.connect(QUIET)
        whole = request("ping", 7) * 3
        for place in range(len(whole)):
            slow.send(whole[place : place + 1])
            before = good.answers
            good.send(request("ping"))
            await until(lambda: bool(good.read()))
            assert good.answers == before + 1
        await until(lambda: bool(slow.read()) and slow.answers == 3)

    play(scene)


async def rounds(number: int) -> None:
    """So many of the loop, while what blocks goes on blocking."""
    for _ in range(number):
        await asyncio.sleep(0)


def test_who_asks_much_about_the_past_has_one_question_in_line(play: Callable[[Scene], None], hub: Hub) -> None:
    """A storm of twenty connections counts as one: another user waits for what is being answered, and no longer."""

    async def scene(users: Users) -> None:
        storm = [await users.connect(GREEDY) for _ in range(20)]
        good = await users.connect(QUIET)
        gate = threading.Event()
        hub.history._reader.submit(gate.wait)
        ask = [request("asof", seq=2, previous=True), request("segments"), request("series", from_ns=0, to_ns=10**12)]
        for end in storm:
            end.send(*ask * 20)
        await rounds(300)
        good.send(request("asof", seq=1))
        await rounds(300)
        gate.set()
        await until(lambda: bool(good.read()))
        for end in storm:
            end.read()
        assert sum(end.answers for end in storm) <= 5

    play(scene)


def test_who_asks_for_threads_waits_with_one_request_at_a_time(
    play: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[int] = Counter()
    key, row = next(iter(read_threads("/proc", os.getpid(), 1)[0].items()))
    gate = threading.Event()

    def counted(_proc: str, pid: int, _at_most: int) -> tuple[dict[Any, Any], bool]:
        asked[pid] += 1
        gate.wait()
        return {key: row}, False

    monkeypatch.setattr(methods, "read_threads", counted)

    async def scene(users: Users) -> None:
        storm = [await users.connect(GREEDY) for _ in range(20)]
        good = await users.connect(QUIET)
        for end in storm:
            end.send(*(request("threads", pid=1) for _ in range(10)))
        await rounds(300)
        good.send(request("threads", pid=2))
        await rounds(300)
        gate.set()
        await until(lambda: asked[2] > 0)
        assert asked[1] <= 3

    play(scene)


def test_what_is_unread_in_all_is_bounded_and_costs_who_has_most_of_it(
    play: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch, machine: Any, hub: Hub
) -> None:
    most = 7 * HIGH_WATER_BYTES
    monkeypatch.setattr(module, "MAX_UNREAD_BYTES", most)
    for pid in range(2000, 2600):
        machine.process(pid, 0, command_line="x" * 1000)
    hub.take(machine.tick(keyframe=True))

    async def scene(users: Users) -> None:
        one = await users.connect(QUIET)
        one.send(request("snapshot"))
        many = [await users.connect(GREEDY) for _ in range(6)]
        for end in many:
            end.send(request("snapshot"))
        await until(lambda: users.listener.hub.statistics.clients < 7)
        for _ in range(100):
            await asyncio.sleep(0)
        assert sum(each.unread_bytes for each in users.listener._slow) <= most
        assert users.listener._per_uid[QUIET] == 1
        # who reads gets what was asked for, and is heard again
        await until(lambda: bool(one.read()))
        one.send(request("ping"))
        await until(lambda: bool(one.read()))
        assert not one.is_ended

    play(scene)


def test_who_asks_and_is_gone_leaves_no_line_for_each_answer(
    play: Callable[[Scene], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(users: Users) -> None:
        end = await users.connect(GREEDY)
        end.send(*(request("ping", number) for number in range(1000)))
        end.socket.close()
        await until(lambda: not users.listener.hub.statistics.clients)

    play(scene)
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_what_was_read_of_who_is_thrown_out_waits_for_no_garbage_collector(play: Callable[[Scene], None]) -> None:
    """Thousands come and go in a second: what each leaves would be hundreds of MiB when the collector looks."""

    async def scene(users: Users) -> None:
        make, made = users.listener.connection, []

        def connection() -> ClientConnection:
            one = make()
            made.append(weakref.ref(one))
            return one

        users.listener.connection = connection  # type: ignore[method-assign]
        for _ in range(10):
            for data in (b"\xc1" * 1000, request("ping") * 10, request("subscribe") + b"\x91" * 5000):
                end = await users.connect(GREEDY)
                end.send(data)
                await until(lambda end=end: bool(end.read()) or end.is_ended)  # type: ignore[misc]
                end.socket.close()
        await until(lambda: not users.listener.hub.statistics.clients)
        await rounds(10)
        assert len(made) == 30
        assert sum(each() is not None for each in made) <= 2

    gc.collect()
    gc.disable()
    try:
        play(scene)
    finally:
        gc.enable()
