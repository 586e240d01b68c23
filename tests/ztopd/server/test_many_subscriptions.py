"""Subscriptions by the hundred: what they make the server keep, and what they have it tell the sampler."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from ztop_protocol.frame import Frame
from ztopd.feed import WANTS_THREADS
from ztopd.server.access import View
from ztopd.server.hub import Hub, Settings
from ztopd.server.published import MAX_KEPT_FRAMES

SECOND = 10**9
Connect = Callable[..., Any]
OWNER = View(False, 1000)


async def subscribed(connect: Connect, machine: Any, hub: Hub, first: int, last: int) -> list[Any]:
    """A client with an interval of its own for each from ``first`` to ``last``, each begun at a frame of its own."""
    clients = []
    for ticks in range(first, last + 1):
        hub.take(machine.tick())
        clients.append(connect(OWNER if ticks % 2 else View(True, 0)))
        await clients[-1].call("subscribe", interval=ticks)
    return clients


async def test_they_keep_so_many_frames_and_no_more(machine: Any, hub: Hub, connect: Connect) -> None:
    clients = await subscribed(connect, machine, hub, 500, 600)
    kept = hub.published._kept
    assert len(kept) == MAX_KEPT_FRAMES
    for client in clients:
        client.session.close()
    assert not kept, "what nobody needs is gone at once"


async def test_who_finds_no_room_gets_whole_frames_which_are_true(machine: Any, hub: Hub, connect: Connect) -> None:
    keep_it_full = await subscribed(connect, machine, hub, 500, 500 + MAX_KEPT_FRAMES)
    few = connect()
    await few.call("subscribe", interval=2)
    for number in range(8):
        machine.process(20, 1000, user_time_ns=number)
        hub.take(machine.tick())
    # to the very next frame the sampler's own delta leads
    assert {kind for _, kind, _ in few.kinds[3:]} == {"frame"}
    assert len(few.kinds[3:]) >= 3
    assert few.frames[1].seq // 2 == machine.frame.seq // 2
    assert len(keep_it_full) > MAX_KEPT_FRAMES


async def test_with_room_it_gets_deltas_however_often_it_comes_round(machine: Any, hub: Hub, connect: Connect) -> None:
    """Its next frame takes the room of its last one, not one more."""
    others = await subscribed(connect, machine, hub, 500, 500 + MAX_KEPT_FRAMES - 2)
    one = connect()
    await one.call("subscribe", interval=3)
    truth: dict[int, Frame] = {}
    for number in range(30):
        machine.process(20, 1000, user_time_ns=number)
        hub.take(machine.tick())
        truth[machine.seq] = machine.frame
        newest = one.frames[1]
        assert newest.seq not in truth or newest.sections == truth[newest.seq].sections
    assert {kind for _, kind, _ in one.kinds[2:]} == {"delta"}
    assert len(others) == MAX_KEPT_FRAMES - 1


class TestWishes:
    @pytest.fixture
    def hub(self, told: tuple[int, int]) -> Hub:
        return Hub(Settings(SECOND, sampler_pid=77, wish_fd=told[1]), start_time_ns=5)

    async def test_the_sampler_hears_each_wish_once_in_a_frame(
        self, machine: Any, hub: Hub, connect: Connect, told: tuple[int, int]
    ) -> None:
        """Every byte wakes it up."""
        hub.take(machine.tick())
        clients = [connect() for _ in range(10)]
        for client in clients:
            for number in range(1, 20):
                await client.call("subscribe", sections=["threads"])
                await client.call("unsubscribe", subscription=number)
            await client.call("subscribe", sections=["threads"])
        assert os.read(told[0], 1000) == WANTS_THREADS
        hub.take(machine.tick())
        assert os.read(told[0], 1000) == WANTS_THREADS
