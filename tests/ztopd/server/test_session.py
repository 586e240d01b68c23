"""Subscriptions: what comes when, for whom, and what it costs."""

from collections.abc import Callable
from typing import Any

import pytest

from ztop_protocol.codec import Malformed
from ztop_protocol.connection import ErrorCode
from ztop_protocol.frame import Frame, Section
from ztop_protocol.schema import SECTIONS
from ztopd.server.access import View
from ztopd.server.hub import Hub

Connect = Callable[..., Any]

PUBLIC = ["host", "memory", "processes"]
ANN = View(False, 1000)
STRANGER = View(False, None)


def cut(frame: Frame, names: list[str]) -> dict[str, Section]:
    return {name: section for name, section in frame.sections.items() if name in names}


def keys(frame: Frame, section: str) -> list[int]:
    return sorted(pid for pid, _ in frame.rows(section))  # type: ignore[misc]


async def test_the_frame_before_the_newest_comes_first_then_deltas(machine: Any, hub: Hub, connect: Connect) -> None:
    for _ in range(3):
        hub.take(machine.tick())
    client = connect()
    assert await client.call("subscribe") == {"subscription": 1, "interval_ns": 10**9}
    assert client.kinds == [(1, "frame", 2), (1, "delta", 3)]
    assert client.frames[1] == machine.frame
    for keyframe in (False, True, False):
        machine.process(20, 1000, user_time_ns=machine.seq)
        hub.take(machine.tick(keyframe=keyframe))
        assert client.frames[1] == machine.frame
    assert client.kinds[2:] == [(1, "delta", 4), (1, "delta", 5), (1, "delta", 6)]
    assert client.notifications[-1]["base_seq"] == 5


async def test_with_one_frame_it_comes_and_the_delta_later(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    client = connect()
    await client.call("subscribe")
    assert client.kinds == [(1, "frame", 1)]
    hub.take(machine.tick())
    assert client.kinds[1:] == [(1, "delta", 2)]


async def test_before_the_first_frame_a_subscription_waits(machine: Any, hub: Hub, connect: Connect) -> None:
    client = connect()
    await client.call("subscribe", sections=["memory"])
    assert client.kinds == []
    hub.take(machine.tick())
    hub.take(machine.tick())
    assert client.kinds == [(1, "frame", 1), (1, "delta", 2)]
    assert set(client.frames[1].sections) == {"memory"}


async def test_after_a_gap_a_whole_frame_comes(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    hub.take(machine.tick())
    client = connect()
    await client.call("subscribe")
    machine.tick()
    machine.end(30)
    hub.take(machine.tick(gap=True))
    assert client.kinds[-1] == (1, "frame", 4)
    assert client.frames[1] == machine.frame
    late = connect()
    await late.call("subscribe")
    assert late.kinds == [(1, "frame", 4)]


async def test_sections_come_and_go(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    hub.take(machine.tick())
    everything, some = connect(), connect()
    await everything.call("subscribe")
    await some.call("subscribe", sections=["memory", "sensors"])
    for step in ("come", "rest", "go", "come"):
        if step == "come":
            machine.tables["sensors"] = {("a", "b"): ("a", "b") + (None,) * (len(SECTIONS["sensors"].names) - 2)}
        elif step == "go":
            del machine.tables["sensors"]
        hub.take(machine.tick())
        assert everything.frames[1] == machine.frame
        assert some.frames[1].sections == cut(machine.frame, ["memory", "sensors"])
        if step == "go":
            assert some.notifications[-1]["gone_sections"] == ["sensors"]


@pytest.mark.parametrize("ticks", [2, 3, 7])
async def test_every_nth_frame(machine: Any, hub: Hub, connect: Connect, ticks: int) -> None:
    hub.take(machine.tick())
    hub.take(machine.tick())
    client, ann = connect(), connect(ANN)
    await client.call("subscribe", interval=ticks)
    await ann.call("subscribe", interval=ticks)
    for seq in range(3, 30):
        machine.process(20, 1000 if seq % 4 else 1001, user_time_ns=seq)
        machine.process(100 + seq, 1000)
        if seq > 10:
            machine.end(100 + seq - 5)
        gap = seq == 17
        hub.take(machine.tick(keyframe=seq % 5 == 0, gap=gap))
        if seq % ticks == 0:
            assert client.frames[1] == machine.frame
            assert keys(ann.frames[1], "process_io") == [
                pid for (pid, _), row in sorted(machine.frame.rows("process_io").items()) if row[2] == 1000
            ]
    numbers = [seq for _, _, seq in client.kinds]
    assert numbers == [1, 2, *range(3 if ticks == 3 else 4 if ticks == 2 else 7, 30, ticks)]
    assert [kind for _, kind, _ in client.kinds] == ["frame"] + ["delta"] * (len(numbers) - 1)


async def test_a_public_subscription_decodes_nothing(
    machine: Any, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.take(machine.tick())
    hub.take(machine.tick())
    root, stranger = connect(), connect(ANN)
    await root.call("subscribe")
    await stranger.call("subscribe", sections=["host", "memory"])

    def refuse(data: bytes) -> None:
        raise AssertionError("something was decoded")

    monkeypatch.setattr("ztopd.server.latest.unpack", refuse)
    for seq in range(3, 20):
        machine.process(20, 1000, user_time_ns=seq)
        hub.take(machine.tick(keyframe=seq == 9))
    assert root.frames[1] == machine.frame
    assert stranger.frames[1].sections == cut(machine.frame, ["host", "memory"])


async def test_what_is_made_is_made_once_for_all(
    machine: Any, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ztopd.server.published as published

    made: list[str] = []
    real = published.encode_section_change
    monkeypatch.setattr(published, "encode_section_change", lambda name, x: (made.append(name), real(name, x))[1])
    hub.take(machine.tick())
    hub.take(machine.tick())
    clients = [connect() for _ in range(3)] + [connect(ANN) for _ in range(3)]
    for client in clients:
        await client.call("subscribe", interval=2, sections=["memory", "process_io"])
    for _ in range(2):
        hub.take(machine.tick())
    made.clear()
    for _ in range(2):
        hub.take(machine.tick())
    # the public one for everybody; the owner's once for root and once for Ann
    assert sorted(made) == ["memory", "process_io", "process_io"]
    assert all(client.frames[1].seq == 6 for client in clients)


async def test_one_gets_the_rows_one_owns(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    hub.take(machine.tick())
    ann, stranger = connect(ANN), connect(STRANGER)
    await ann.call("subscribe")
    await stranger.call("subscribe")
    hub.take(machine.tick())
    assert keys(ann.frames[1], "process_io") == [20]
    assert keys(ann.frames[1], "processes") == [1, 20, 30]
    assert keys(stranger.frames[1], "processes") == [1, 20, 30]
    assert "process_io" not in stranger.frames[1].sections


@pytest.mark.parametrize("ticks", [1, 2])
async def test_a_row_whose_owner_changes_is_gone(machine: Any, hub: Hub, connect: Connect, ticks: int) -> None:
    for _ in range(2):
        hub.take(machine.tick())
    ann = connect(ANN)
    await ann.call("subscribe", interval=ticks)
    machine.process(20, 0, comm="sudo")
    machine.process(30, 1000)
    for _ in range(2):
        hub.take(machine.tick())
    assert keys(ann.frames[1], "process_io") == [30]
    changes = [
        part["sections"]["process_io"] for part in ann.notifications[2:] if "gone" in part["sections"]["process_io"]
    ]
    assert [20, 20 * 10**9] in [key for change in changes for key in change["gone"]]
    assert not [row for change in changes for row in change["changed"] if row[0] == 20]
    machine.process(20, 1000)
    for _ in range(2):
        hub.take(machine.tick())
    assert keys(ann.frames[1], "process_io") == [20, 30]


@pytest.mark.parametrize("ticks", [1, 2])
async def test_hidepid_withdraws_the_processes(machine: Any, hub: Hub, connect: Connect, ticks: int) -> None:
    for _ in range(2):
        hub.take(machine.tick())
    ann, stranger, root = connect(ANN), connect(STRANGER), connect()
    for client in (ann, stranger, root):
        await client.call("subscribe", interval=ticks, sections=["processes"])
    for hidepid in (2, 0, 1):
        host = machine.tables["host"][()]
        machine.tables["host"] = {(): (*host[:4], hidepid, *host[5:])}
        for _ in range(2):
            hub.take(machine.tick())
        assert keys(ann.frames[1], "processes") == ([20] if hidepid else [1, 20, 30])
        assert ("processes" in stranger.frames[1].sections) == (not hidepid)
        assert keys(root.frames[1], "processes") == [1, 20, 30]


async def test_who_does_not_read_loses_deltas_and_then_gets_a_frame(machine: Any, hub: Hub, connect: Connect) -> None:
    for _ in range(2):
        hub.take(machine.tick())
    slow, quick = connect(), connect()
    for client in (slow, quick):
        await client.call("subscribe")
        await client.call("subscribe", sections=["memory"])
    slow.session.is_writable = False
    for _ in range(3):
        machine.process(20, 1000, user_time_ns=machine.seq)
        hub.take(machine.tick())
    assert len(slow.kinds) == 4
    assert hub.statistics.dropped_deltas == 6
    assert quick.frames[1] == machine.frame
    slow.session.is_writable = True
    hub.take(machine.tick())
    assert sorted(slow.kinds[4:]) == [(1, "frame", 6), (2, "frame", 6)]
    hub.take(machine.tick())
    assert sorted(slow.kinds[6:]) == [(1, "delta", 7), (2, "delta", 7)]
    assert slow.frames[1] == machine.frame


async def test_unsubscribed_is_over(machine: Any, hub: Hub, connect: Connect) -> None:
    for _ in range(2):
        hub.take(machine.tick())
    client = connect()
    first, second = (await client.call("subscribe"))["subscription"], (await client.call("subscribe"))["subscription"]
    assert first != second
    assert await client.call("unsubscribe", subscription=first) == {}
    client.kinds.clear()
    hub.take(machine.tick())
    assert client.kinds == [(second, "delta", 3)]
    assert (await client.refused("unsubscribe", subscription=first)).code == ErrorCode.NOT_FOUND
    await client.call("unsubscribe", subscription=second)
    assert hub.statistics.subscriptions == 0


async def test_a_connection_has_at_most_eight_subscriptions(hub: Hub, connect: Connect) -> None:
    client = connect()
    numbers = [(await client.call("subscribe"))["subscription"] for _ in range(8)]
    refusal = await client.refused("subscribe")
    assert refusal.code == ErrorCode.LIMIT_REACHED
    await client.call("unsubscribe", subscription=numbers[0])
    await client.call("subscribe")


@pytest.mark.parametrize("interval", [0, -1, 0.5, "1", True, 3601, [1]])
async def test_an_interval_is_whole_ticks(connect: Connect, interval: object) -> None:
    refusal = await connect().refused("subscribe", interval=interval)
    assert refusal.code == ErrorCode.BAD_ARGUMENTS
    assert refusal.sentence.startswith("interval: ")


@pytest.mark.usefixtures("no_waiting")
async def test_a_bug_of_ours_is_answered_and_logged(
    machine: Any, hub: Hub, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    feed = machine.tick()
    feed.keyframe["memory"] = b"\xc1"
    hub.take(feed)
    client = connect()
    hub.latest._decoder = None  # type: ignore[assignment]
    refusal = await client.refused("top")
    assert refusal.code == ErrorCode.INTERNAL
    assert "the method 'top' failed" in caplog.text
    assert (await client.call("ping"))["seq"] == 1


async def test_a_broken_feed_is_noticed(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    client = connect(ANN)
    await client.call("subscribe", sections=["process_io"])
    broken = machine.tick()
    broken.changes["process_io"] = b"\xc1"
    with pytest.raises(Malformed):
        hub.take(broken)


async def test_a_bug_in_one_subscription_leaves_the_others_alone(
    machine: Any, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.take(machine.tick())
    ended: list[str] = []
    broken, well = connect(), connect()
    broken.session.abort = lambda: ended.append("broken")
    well.session.abort = lambda: ended.append("well")
    await broken.call("subscribe")
    await well.call("subscribe")

    def fail(_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(type(broken.session), "_advance", lambda self, subscription: fail(subscription))
    hub.take(machine.tick())
    assert sorted(ended) == ["broken", "well"]
    assert "its client is disconnected" in caplog.text
    assert hub.statistics.subscriptions == 0
