"""Nobody is told what is another's: every section and column of the schema, every method, every notification.

The schema and the methods are enumerated. Every cell of a row that is somebody's says whose it was when it was
sampled; whatever a client is sent, live and of the past, is searched for what others' cells say.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.ztopd.history.stored import StoreOfTests
from tests.ztopd.server.test_past import SECOND, with_store
from ztop_protocol.codec import encode_section
from ztop_protocol.connection import RemoteError, Request
from ztop_protocol.frame import Cell, Section
from ztop_protocol.schema import SECTIONS, Kind, Visibility
from ztop_protocol.segment import SegmentReader, segment_from
from ztopd.feed import Between
from ztopd.server.access import HIDEABLE, NOBODY_UID, View
from ztopd.server.hub import Hub
from ztopd.server.methods import METHODS
from ztopd.server.session import BETWEEN_SECTIONS, OWN_METHODS

Connect = Callable[..., Any]
ANN, BOB = 1000, 1001
OWNERS: tuple[int | None, ...] = (0, None, ANN, BOB, NOBODY_UID)
MOVES = ((ANN, BOB), (BOB, ANN), (ANN, 0), (ANN, None), (ANN, NOBODY_UID), (0, ANN))
"""Rows of one key that have another owner from frame :data:`MOVED` on: an exec, a setuid program, PR_SET_DUMPABLE."""
FRAMES, MOVED = 12, 7
MARK, STEP, SPAN = 3_000_000, 10_000, 1000
"""Numbers from MARK + place * STEP on are of the owner at that place of OWNERS. They could be pids, too."""

VIEWS: Mapping[str, tuple[View, frozenset[int]]] = {
    "ann": (View(False, ANN), frozenset((OWNERS.index(ANN),))),
    "bob": (View(False, BOB), frozenset((OWNERS.index(BOB),))),
    "nobody": (View(False, None), frozenset()),
    "root": (View(True, 0), frozenset(range(len(OWNERS)))),
    "admitted": (View(True, ANN), frozenset(range(len(OWNERS)))),
}
"""Who asks, and the places of those whose rows he may see."""

BOBS_PID, BOBS_PUBLIC_PID = MARK + OWNERS.index(BOB) * STEP, OWNERS.index(BOB) + 1
ALL = list(SECTIONS)
ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "hello": [{}],
    "status": [{}],
    "ping": [{}],
    "snapshot": [{}, {"sections": ["processes", "process_io"]}],
    "threads": [{"pid": BOBS_PID}, {"pid": BOBS_PUBLIC_PID, "start_boottime_ns": 0}],
    "top": [
        {"limit": 1000, "sort": "pid", "descending": True},
        {"seq": 5, "limit": 1000, "columns": ["owner_uid", "comm", "io_read_bytes"]},
        *({"time_ns": seq * SECOND + 7, "filter": f"of-{place}!"} for seq in (5, 9) for place in range(len(OWNERS))),
    ],
    "asof": [
        *({"seq": seq, "previous": True, "sections": ALL} for seq in (MOVED - 1, MOVED)),
        {"time_ns": 9 * SECOND + 7, "previous": True, "sections": ALL},
        {"time_ns": 1 << 62, "sections": ALL},
    ],
    "series": [{"from_ns": 0, "to_ns": 20 * SECOND, "points": 10, "columns": ["cpu_percent"]}],
    "events": [
        {},
        {"from_ns": 5 * SECOND, "to_ns": 9 * SECOND, "kinds": ["appeared", "ended"]},
        {"cursor": 1 << 17, "limit": 5},
    ],
    "segment": [
        {"time_ns": 5 * SECOND + 7, "sections": ALL},
        *({name: seq, "sections": ALL} for name in ("before_seq", "after_seq") for seq in (MOVED - 1, MOVED)),
    ],
    "segments": [
        {"sections": ALL},
        {"from_ns": 5 * SECOND, "to_ns": 6 * SECOND, "sections": ALL},
        {"cursor": 3, "sections": ALL},
    ],
    "subscribe": [{"sections": ALL, "between": True}, {"sections": ALL, "interval": 2}, {"interval": 3}],
    "unsubscribe": [{"subscription": 1}],
}
"""With every argument that a method has: one that none of its calls gives fails the test."""
TELLING = ("snapshot", "top", "asof", "segment", "segments", "subscribe")
"""Methods whose answers have rows of owners."""


class Looked(dict[Any, Any]):
    """Arguments that remember which of them a method looked for."""

    def __init__(self, arguments: Mapping[Any, Any], names: set[Any]) -> None:
        super().__init__(arguments)
        self._names = names

    def get(self, key: Any, default: Any = None) -> Any:
        self._names.add(key)
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self._names.add(key)
        return super().__getitem__(key)


def is_owners(section: str, hides: bool) -> bool:
    return SECTIONS[section].visibility is Visibility.OWNER or (hides and section in HIDEABLE)


def cells(section: str, key: int, owner_uid: int | None, seq: int, *, is_secret: bool, is_fixed: bool) -> Any:
    """A row. Where it is secret all cells say whose it is; those of its key too, if it stays his."""
    place = OWNERS.index(owner_uid)
    made: dict[str, Cell] = {}
    for column in SECTIONS[section].columns:
        if column.name == "owner_uid":
            made[column.name] = owner_uid
            continue
        is_marked = is_secret and (is_fixed or column.kind is not Kind.IDENTITY)
        number = MARK + place * STEP if is_marked else key
        if column.kind is not Kind.IDENTITY:
            number += seq
        text = f"of-{place}! {key}" if is_marked else f"{key}"
        made[column.name] = text if column.type is str else number
    return made


def tick(machine: Any, hub: Hub, seq: int, hides: bool) -> None:
    """A frame with a row of everybody in every section that has owners, and something between it and the next."""
    machine.tables.clear()
    for name, schema in SECTIONS.items():
        if "owner_uid" not in schema.position:
            machine.put(name, **cells(name, 1, 0, seq, is_secret=False, is_fixed=False))
            continue
        is_secret = is_owners(name, hides)
        for key, owner_uid in enumerate(OWNERS, 1):
            machine.put(name, **cells(name, key, owner_uid, seq, is_secret=is_secret, is_fixed=True))
        for key, (before, after) in enumerate(MOVES, 101):
            owner_uid = before if seq < MOVED else after
            machine.put(name, **cells(name, key, owner_uid, seq, is_secret=is_secret, is_fixed=False))
    machine.put("host", hidepid=2 if hides else 0)
    hub.take(machine.tick(keyframe=seq % 4 == 1))
    at_ns = seq * SECOND + SECOND // 2
    sections = {name: encode_section(name, Section(at_ns, table)) for name, table in machine.tables.items()}
    hub.take_between(Between(at_ns + 7, at_ns, sections))


def values(answer: Any) -> Iterator[Any]:
    """Every value of an answer, those in the tracks of segments included."""
    if isinstance(answer, dict):
        if "tracks" in answer:
            segment = segment_from(answer)
            reader = SegmentReader(segment.opened())
            for index in range(len(segment.stamps)):
                for section in reader.frame(index).sections.values():
                    for row in section.rows.values():
                        yield from row
        for key, value in answer.items():
            yield key
            if key != "tracks":
                yield from values(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from values(value)
    else:
        # what is packed in bytes would be passed over
        assert not isinstance(answer, bytes), f"bytes, of which this test knows nothing: {answer[:40]!r}"
        yield answer


def told_of(answer: Any) -> set[int]:
    """The places of those of whom an answer tells."""
    found: set[int] = set()
    for value in values(answer):
        if isinstance(value, str) and "of-" in value:
            found |= {place for place in range(len(OWNERS)) if f"of-{place}!" in value}
        elif isinstance(value, (int, float)) and (value - MARK) % STEP < SPAN:
            place = int(value - MARK) // STEP
            if 0 <= place < len(OWNERS):
                found.add(place)
    return found


def threads_of_bob(folder: Path, hides: bool) -> str:
    """A /proc in which Bob's process has a thread, which is as public as its process."""
    pid = BOBS_PID if hides else BOBS_PUBLIC_PID
    task = folder / f"{pid}/task/{pid}"
    task.mkdir(parents=True)
    name, fields = f"of-{OWNERS.index(BOB)}!" if hides else "public", " ".join("0" for _ in range(49))
    (task / "stat").write_text(f"{pid} ({name}) S {fields}\n")
    return str(folder)


@pytest.fixture
def disk(hub: Hub, tmp_path: Path) -> Iterator[StoreOfTests]:
    """A store, and a ring that has the newest frames alone."""
    made = with_store(hub, tmp_path)
    yield made
    made.close()


def test_every_method_and_section_is_known() -> None:
    assert ARGUMENTS.keys() == METHODS.keys() | OWN_METHODS.keys()
    for name, schema in SECTIONS.items():
        # or nobody could tell whose a row is
        assert "owner_uid" in schema.position or not is_owners(name, hides=True), name
    assert any(is_owners(name, hides=True) for name in BETWEEN_SECTIONS)


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("hidden_from", [1, 7, FRAMES + 1], ids=["hidepid", "hidepid later", "no hidepid"])
async def test_nobody_is_told_of_what_is_anothers(
    machine: Any, hub: Hub, connect: Connect, tmp_path: Path, hidden_from: int
) -> None:
    hides = [seq >= hidden_from for seq in range(1, FRAMES + 1)]
    hub.settings = replace(hub.settings, proc=threads_of_bob(tmp_path / "proc", hides[-1]))
    followers = {name: connect(view) for name, (view, _) in VIEWS.items()}
    looked: dict[str, set[Any]] = {method: set() for method in ARGUMENTS}
    answered: set[str] = set()

    async def call(client: Any, method: str, arguments: dict[str, Any]) -> Any:
        """What is answered, or why not, and what is sent besides."""
        given = msgpack.unpackb(msgpack.packb(arguments))
        sent = len(client.notifications)
        await client.session.handle(Request(1, method, Looked(given, looked[method])))
        answer = client.responses[-1]
        if isinstance(answer.error, RemoteError):
            assert answer.error.code != "internal", answer.error
            return [answer.error.sentence, client.notifications[sent:]]
        answered.add(method)
        return [answer.result, client.notifications[sent:]]

    for name, client in followers.items():
        for arguments in ARGUMENTS["subscribe"]:
            assert told_of(await call(client, "subscribe", arguments)) == set(), name
    told_live: dict[str, set[int]] = {name: set() for name in VIEWS}
    for seq, hidden in enumerate(hides, 1):
        tick(machine, hub, seq, hidden)
        for name, client in followers.items():
            told_live[name] |= told_of(client.notifications)
            assert told_live[name] <= VIEWS[name][1], (name, seq)
            client.notifications.clear()
    for name, client in followers.items():
        assert {kind for _, kind, _ in client.kinds} == {"frame", "delta", "between"}
        assert told_live[name] == VIEWS[name][1]

    for name, (view, allowed) in VIEWS.items():
        for method, calls in ARGUMENTS.items():
            client, told = connect(view), set[int]()
            if method == "unsubscribe":
                await call(client, "subscribe", {})
            for arguments in calls:
                found = told_of(await call(client, method, arguments))
                assert found <= allowed, (name, method, arguments)
                told |= found
            # or the test would see nothing at all
            if method in TELLING:
                assert told == allowed, (name, method)
            if method == "threads" and name == "root" and hides[-1]:
                assert told == {OWNERS.index(BOB)}
    assert answered == ARGUMENTS.keys()
    for method, names in looked.items():
        given = {name for arguments in ARGUMENTS[method] for name in arguments}
        assert names <= given, f"{method} has arguments that this test does not give: {names - given}"

    root = connect(VIEWS["root"][0])
    sections = (await call(root, "asof", {"seq": FRAMES, "sections": ALL}))[0]["sections"]
    for name in SECTIONS:
        if is_owners(name, hides[-1]):
            assert told_of(sections[name]) == VIEWS["root"][1], name
