"""A machine made by hand, the feed that a sampler would send of it, and clients of a server without sockets."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack
import pytest

from ztop_protocol.codec import FrameDecoder, encode_section, encode_section_change
from ztop_protocol.connection import CLIENT_LIMITS, Connection, Notification, RemoteError, Request, Response
from ztop_protocol.frame import Cell, Frame, Key, Row, Section, apply, diff
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import EncodedFrame
from ztopd.server.access import Peer, Standing, View, standing_of
from ztopd.server.client import Client
from ztopd.server.hub import Hub, Settings
from ztopd.server.session import Session

SECOND = 10**9


def row_of(section: str, **cells: Cell) -> Row:
    """A row by column names; the rest is None."""
    schema = SECTIONS[section]
    assert not cells.keys() - set(schema.names)
    return tuple(cells.get(name) for name in schema.names)


@dataclass
class Machine:
    """Sections to be changed by hand; :meth:`tick` tells what the sampler would send of the next frame."""

    tables: dict[str, dict[Key, Row]] = field(default_factory=dict)
    frame: Frame | None = None
    seq: int = 0

    def put(self, section: str, **cells: Cell) -> None:
        """Adds a row, or changes the given cells of the row with the same key."""
        schema = SECTIONS[section]
        table = self.tables.setdefault(section, {})
        key = tuple(cells[name] for name in schema.names[: schema.key_length])
        before = dict(zip(schema.names, table[key], strict=True)) if key in table else {}
        table[key] = row_of(section, **(before | cells))

    def process(self, pid: int, owner_uid: int | None, **cells: Cell) -> None:
        """A process with its I/O."""
        identity: dict[str, Cell] = {"pid": pid, "start_boottime_ns": pid * SECOND, "owner_uid": owner_uid}
        known = (pid, pid * SECOND) in self.tables.get("processes", {})
        born: dict[str, Cell] = {} if known else {"comm": f"p{pid}", "user_time_ns": 0, "system_time_ns": 0}
        self.put("processes", **(identity | born | cells))
        self.put("process_io", **identity, io_read_bytes=self.seq * 1000, sampled_boottime_ns=self.seq * SECOND)

    def end(self, pid: int) -> None:
        for section in ("processes", "process_io"):
            del self.tables[section][(pid, pid * SECOND)]

    def tick(self, *, keyframe: bool = False, gap: bool = False, idle: tuple[str, ...] = ()) -> EncodedFrame:
        """The next frame. ``idle``: sections that were not sampled this time."""
        before, self.seq = self.frame, self.seq + 1
        sections = {
            name: before.sections[name]
            if before is not None and name in idle
            else Section(self.seq * SECOND, dict(self.tables[name]))
            for name in SECTIONS
            if name in self.tables
        }
        self.frame = Frame(self.seq, self.seq * SECOND + 7, self.seq * SECOND, "boot", sections)
        base = None if gap else before
        changes: dict[str, bytes] = {}
        gone: tuple[str, ...] = ()
        if base is not None:
            delta = diff(base, self.frame)
            changes = {name: encode_section_change(name, change) for name, change in delta.sections.items()}
            gone = delta.gone_sections
        whole = keyframe or base is None
        return EncodedFrame(
            *(self.frame.seq, self.frame.time_ns, self.frame.boottime_ns, self.frame.boot_id),
            *(None if base is None else base.seq, changes, gone),
            {name: encode_section(name, section) for name, section in sections.items()} if whole else None,
        )


@dataclass
class FakeClient:
    """A client whose bytes never meet a socket; follows its subscriptions as a real one does."""

    session: Session
    connection: Connection
    responses: list[Response] = field(default_factory=list)
    kinds: list[tuple[int, str, int]] = field(default_factory=list)
    """What came for which subscription, with its seq."""
    frames: dict[int, Frame] = field(default_factory=dict)
    """The newest frame of each subscription."""
    notifications: list[dict[str, Any]] = field(default_factory=list)
    decoders: dict[int, FrameDecoder] = field(default_factory=dict)

    def take(self, data: bytes) -> None:
        self.connection.feed(data)
        for message in self.connection.messages(1000):
            if isinstance(message, Response):
                self.responses.append(message)
                continue
            assert isinstance(message, Notification)
            arguments = dict(message.arguments)
            number = arguments["subscription"]
            decoder = self.decoders.setdefault(number, FrameDecoder())
            self.notifications.append(arguments)
            self.kinds.append((number, message.method, arguments["seq"]))
            if message.method == "between":
                continue
            if message.method == "frame":
                self.frames[number] = decoder.frame(arguments)
            else:
                self.frames[number] = apply(self.frames[number], decoder.delta(arguments))

    async def call(self, method: str, **arguments: Any) -> Any:
        """The result, by way of the wire; raises :exc:`RemoteError`."""
        number = len(self.responses) + 1
        await self.session.handle(
            Request(number, method, msgpack.unpackb(msgpack.packb(arguments), strict_map_key=False))
        )
        answer = self.responses[-1]
        assert answer.id == number
        if answer.error is not None:
            raise answer.error
        return answer.result

    async def refused(self, method: str, **arguments: Any) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            await self.call(method, **arguments)
        return caught.value


ROOT = View(True, 0)


@pytest.fixture
def machine() -> Machine:
    """A machine of three processes, of root, uid 1000 and uid 1001."""
    made = Machine()
    made.tables["memory"] = {(): row_of("memory", total_bytes=1 << 30)}
    made.tables["host"] = {(): row_of("host", hostname="box", hidepid=0)}
    made.process(1, 0, comm="init", rss_bytes=1 << 20, command_line="/sbin/init", user="root")
    made.process(20, 1000, comm="shell", rss_bytes=3 << 20, command_line="/bin/sh -l", user="ann")
    made.process(30, 1001, comm="editor", rss_bytes=2 << 20, command_line="vi notes", user="bob")
    return made


@pytest.fixture
def hub() -> Hub:
    return Hub(Settings(SECOND, sampler_pid=77), start_time_ns=5)


@pytest.fixture
def told() -> Iterator[tuple[int, int]]:
    """The pipe on which a server tells its sampler what is wanted: the end to read, the end to write."""
    ends = os.pipe2(os.O_NONBLOCK)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def connect(hub: Hub) -> Iterator[Callable[..., FakeClient]]:
    """Makes clients of ``hub``; by default one that sees everything."""
    made: list[FakeClient] = []

    def make(view: View = ROOT) -> FakeClient:
        peer = Peer(99, 65534 if view.uid is None else view.uid, 100, frozenset())
        box: list[FakeClient] = []
        standing = Standing.GROUP if view.sees_all and peer.uid else standing_of(peer, None)
        session = Session(Client(hub, peer, standing, view), lambda data: box[0].take(data), lambda: None)
        box.append(FakeClient(session, Connection(CLIENT_LIMITS)))
        made.append(box[0])
        return box[0]

    yield make
    for client in made:
        client.session.close()
    assert hub.statistics.subscriptions == 0
    assert not hub.followers


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests do not wait for frames that no test sends."""
    monkeypatch.setattr("ztopd.server.methods.FIRST_FRAMES_SECONDS", 0.0)
    monkeypatch.setattr("ztopd.server.past.FIRST_FRAME_SECONDS", 0.0)


@pytest.fixture(scope="session")
def machine_type() -> type[Machine]:
    """For tests that need more machines than one."""
    return Machine
