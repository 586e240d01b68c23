"""What is sampled between two frames: who is given it, how much of it, and that the timeline does not know."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from ztop_protocol.codec import FrameDecoder, encode_section
from ztop_protocol.connection import ErrorCode
from ztop_protocol.frame import Frame, Section
from ztopd.feed import WANTS_BETWEEN, Between
from ztopd.server.access import View
from ztopd.server.hub import Hub, Settings

Connect = Callable[..., Any]

SECOND = 10**9
ANN = View(False, 1000)
STRANGER = View(False, None)


@pytest.fixture(autouse=True)
def _gpus(machine: Any) -> None:
    """A GPU with a process of root, one of uid 1000 and one of uid 1001."""
    machine.put("gpus", uuid="GPU-0", index=0, state="ok", memory_used_bytes=1)
    for pid, owner in ((1, 0), (20, 1000), (30, 1001)):
        machine.put("gpu_processes", gpu_uuid="GPU-0", pid=pid, owner_uid=owner, vram_bytes=pid)


def between(machine: Any, used: int = 2) -> Between:
    """What the sampler sends half a second after the frame: one more byte is in use."""
    machine.put("gpus", uuid="GPU-0", memory_used_bytes=used)
    at_ns = machine.seq * SECOND + SECOND // 2
    sections = {name: Section(at_ns, dict(machine.tables[name])) for name in ("gpus", "gpu_processes")}
    return Between(at_ns + 7, at_ns, {name: encode_section(name, section) for name, section in sections.items()})


def came(client: Any) -> list[Frame]:
    """What came between frames, decoded as a client does."""
    return [
        FrameDecoder().frame(arguments)
        for arguments, (_, kind, _) in zip(client.notifications, client.kinds, strict=True)
        if kind == "between"
    ]


def pids(frame: Frame) -> set[object]:
    return {key[1] for key in frame.rows("gpu_processes")}


async def test_it_goes_to_who_asked_for_it(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    hub.take(machine.tick())
    asked, older, other = connect(), connect(), connect()
    await asked.call("subscribe", between=True)
    await older.call("subscribe")
    # of these sections there is nothing between two frames
    await other.call("subscribe", between=True, sections=["host", "processes"])
    hub.take_between(between(machine))
    (frame,) = came(asked)
    assert came(older) == came(other) == []
    assert (frame.seq, frame.time_ns, frame.boottime_ns) == (2, 2_500_000_007, 2_500_000_000)
    assert set(frame.sections) == {"gpus", "gpu_processes"}
    assert frame.cell("gpus", "memory_used_bytes", ("GPU-0",)) == 2
    # the chain of frames goes on from the frame before
    hub.take(machine.tick())
    for client in (asked, older):
        assert client.frames[1] == machine.frame
        assert client.notifications[-1]["base_seq"] == 2


async def test_the_timeline_does_not_know(machine: Any, hub: Hub, connect: Connect) -> None:
    client = connect()
    await client.call("subscribe", between=True)
    hub.take(machine.tick())
    before = await client.call("snapshot")
    hub.take_between(between(machine))
    assert len(came(client)) == 1
    assert await client.call("snapshot") == before
    assert (await client.call("asof", time_ns=3 * SECOND))["sections"] == before["sections"]
    assert (await client.call("status"))["ring_frames"] == 1


@pytest.mark.parametrize("hidepid", [0, 2])
async def test_whose_processes_they_are_is_as_in_frames(machine: Any, hub: Hub, connect: Connect, hidepid: int) -> None:
    machine.put("host", hidepid=hidepid)
    hub.take(machine.tick())
    hub.take(machine.tick())
    clients = [connect(), connect(ANN), connect(View(False, 1001)), connect(STRANGER)]
    for client in clients:
        await client.call("subscribe", between=True, sections=["gpus", "gpu_processes"])
    for used in (2, 3):
        message = between(machine, used)
        hub.take_between(message)
        frames = [came(client)[-1] for client in clients]
        assert [frame.cell("gpus", "memory_used_bytes", ("GPU-0",)) for frame in frames] == [used] * 4
        everyone = {1, 20, 30}
        assert [pids(frame) for frame in frames] == ([everyone, {20}, {30}, set()] if hidepid else [everyone] * 4)
        for client, frame in zip(clients, frames, strict=True):
            assert set(frame.sections) == set(client.frames[1].sections)
            assert pids(frame) == pids(client.frames[1])


async def test_what_changes_hands_between_two_frames_goes_to_the_new_owner(
    machine: Any, hub: Hub, connect: Connect
) -> None:
    machine.put("host", hidepid=2)
    hub.take(machine.tick())
    ann, bob = connect(ANN), connect(View(False, 1001))
    for client in (ann, bob):
        await client.call("subscribe", between=True)
    machine.put("gpu_processes", gpu_uuid="GPU-0", pid=20, owner_uid=1001)
    hub.take_between(between(machine))
    assert (pids(came(ann)[0]), pids(came(bob)[0])) == (set(), {20, 30})


async def test_who_does_not_read_gets_none(machine: Any, hub: Hub, connect: Connect) -> None:
    client, unread = connect(), [0]
    client.session.unread_bytes = lambda: unread[0]
    await client.call("subscribe", between=True)
    hub.take_between(between(machine))
    assert client.kinds == []
    hub.take(machine.tick())
    hub.take(machine.tick())
    unread[0] = 1
    hub.take_between(between(machine))
    unread[0] = 0
    client.session.is_writable = False
    hub.take_between(between(machine))
    hub.take(machine.tick())
    client.session.is_writable = True
    # its frame was dropped: it has none that this is newer than
    hub.take_between(between(machine))
    assert came(client) == []
    hub.take(machine.tick())
    hub.take_between(between(machine))
    assert [frame.seq for frame in came(client)] == [4]


async def test_after_unsubscribe_none_comes(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    client = connect()
    await client.call("subscribe", between=True)
    await client.call("unsubscribe", subscription=1)
    hub.take_between(between(machine))
    assert came(client) == []


async def test_it_is_true_or_false(connect: Connect) -> None:
    error = await connect().refused("subscribe", between="yes")
    assert error.code == ErrorCode.BAD_ARGUMENTS
    assert error.sentence == "between: true or false was expected, not 'yes'"


class TestWishes:
    @pytest.fixture
    def hub(self, told: tuple[int, int]) -> Hub:
        return Hub(Settings(SECOND, sampler_pid=77, wish_fd=told[1]), start_time_ns=5)

    async def test_the_sampler_hears_of_it_while_somebody_asks(
        self, machine: Any, hub: Hub, connect: Connect, told: tuple[int, int]
    ) -> None:
        def heard() -> bytes:
            try:
                return os.read(told[0], 100)
            except BlockingIOError:
                return b""

        client = connect()
        await client.call("subscribe")
        await client.call("subscribe", between=True, sections=["memory"])
        hub.take(machine.tick())
        assert heard() == b""
        await client.call("subscribe", between=True, sections=["gpus"])
        assert heard() == WANTS_BETWEEN
        hub.take(machine.tick())
        assert heard() == WANTS_BETWEEN
        await client.call("unsubscribe", subscription=3)
        hub.take(machine.tick())
        assert heard() == b""
