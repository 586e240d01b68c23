"""A client of one version and a daemon of another, in both directions, also while the client runs."""

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from tests.ztop_client.fake_daemon import FakeDaemon, Refused, packed_delta, packed_frame
from tests.ztop_client.test_live_source import connected, machine
from ztop_client.sources.live import LiveSource
from ztop_protocol.codec import unpack
from ztop_protocol.connection import pack_notification
from ztop_protocol.frame import Frame, diff
from ztop_protocol.schema import PROCESSES

NEW = "of_the_future"


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon([machine(1), machine(2)]) as made:
        yield made


NAMES = list(PROCESSES.names)
NEWER_NAMES = [*NAMES[:2], NEW, *(name for name in NAMES[2:] if name != "nice")]


def newer(body: bytes) -> bytes:
    """A frame or a delta as a newer daemon sends it: with a section, a column and a field more, and one column less."""

    def row(cells: list[Any]) -> list[Any]:
        known = dict(zip(NAMES, cells, strict=True))
        return [known.get(name, "?") for name in NEWER_NAMES]

    message: dict[str, Any] = unpack(body)
    processes = message["sections"]["processes"]
    if "columns" in processes:
        processes |= {"columns": NEWER_NAMES, "rows": [row(cells) for cells in processes["rows"]]}
        message["sections"][NEW] = {"sampled_boottime_ns": 1, "columns": ["x"], "rows": [[1]]}
    else:
        processes |= {
            "new": [row(cells) for cells in processes["new"]],
            "changed": [_moved(cells) for cells in processes["changed"]],
        }
        message["sections"][NEW] = {"sampled_boottime_ns": 2, "new": [], "changed": [[1, 0, 2]], "gone": []}
    packed: bytes = msgpack.packb(message | {NEW: [1, {"a": None}]})
    return packed


def _moved(cells: list[Any]) -> list[Any]:
    """A changed row with the places of the newer columns, and with a change of one that nobody knows."""
    places = [NEWER_NAMES.index(NAMES[place]) for place in cells[2::2]]
    return [*cells[:2], *(item for pair in zip(places, cells[3::2], strict=True) for item in pair), 2, "!"]


def without_nice(frame: Frame) -> list[tuple[Any, ...]]:
    place = NAMES.index("nice")
    return sorted((row[:place] + row[place + 1 :] for row in frame.rows("processes").values()), key=lambda row: row[0])


def test_a_daemon_that_is_upgraded_under_a_running_client(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown sections, columns, fields and notifications are passed over; what is missing is None."""
    now = 1000.0
    monkeypatch.setattr("ztop_client.sources.live.time.monotonic", lambda: now)
    source = LiveSource(daemon)
    connected(source, daemon)
    daemon.drop()
    assert not source.receive()
    now += 10
    daemon.frames = []
    source.maintain()
    daemon.turn()
    peer = daemon.peers[-1]
    peer.send(pack_notification(NEW, msgpack.packb({"subscription": peer.subscription, "x": 1})))
    peer.notify("frame", newer(packed_frame(machine(5), subscription=peer.subscription or 0)))
    assert source.receive()
    for seq in (6, 7):
        peer.notify(
            "delta", newer(packed_delta(diff(machine(seq - 1), machine(seq)), subscription=peer.subscription or 0))
        )
    assert source.receive()
    pair = source.latest()
    assert pair is not None and pair.previous is not None
    assert (pair.previous.seq, pair.current.seq) == (6, 7)
    assert set(pair.current.sections) == set(machine(7).sections)
    assert without_nice(pair.current) == without_nice(machine(7))
    for key in pair.current.rows("processes"):
        assert pair.current.cell("processes", "nice", key) is None
    assert source.status().live
    source.close()


def test_a_daemon_that_lacks_sections(daemon: FakeDaemon) -> None:
    """It refuses what it does not know: it is asked for what it knows, once, and then for no more than that."""

    def refuse(arguments: dict[str, Any]) -> None:
        raise Refused("sections: there is no 'gpus'")

    def hello(_: dict[str, Any]) -> dict[str, Any]:
        del daemon.answers["subscribe"]
        return {"sections": {name: {"visibility": "public"} for name in ("host", "processes", "cpus")}}

    daemon.answers |= {"subscribe": refuse, "hello": hello}
    source = LiveSource(daemon, 1, ["host", "processes", "gpus"])
    source.maintain()
    for _ in range(3):
        daemon.turn()
        source.receive()
    pair = source.latest()
    assert source.status().live
    assert pair is not None and pair.current == machine(2)
    peer = daemon.peers[0]
    assert peer.methods() == ["subscribe", "hello", "subscribe"]
    assert peer.requests[-1].arguments["sections"] == ["host", "processes"]
    source.set_sections(["host", "processes", "process_counters", "cpus"])
    daemon.turn()
    assert peer.methods()[3:] == ["unsubscribe", "subscribe"]
    assert peer.requests[-1].arguments["sections"] == ["host", "processes", "cpus"]
    source.close()


def test_a_daemon_that_refuses_whatever_it_is_asked(daemon: FakeDaemon) -> None:
    def refuse(arguments: dict[str, Any]) -> None:
        raise Refused("sections: not for you")

    daemon.answers |= {"subscribe": refuse, "hello": lambda _: {"sections": "nonsense"}}
    source = LiveSource(daemon, 1, ["host", "gpus"])
    source.maintain()
    for _ in range(4):
        daemon.turn()
        source.receive()
    assert not source.status().live
    assert source.status().reason == "the daemon gives no frames: sections: not for you"
    source.close()
