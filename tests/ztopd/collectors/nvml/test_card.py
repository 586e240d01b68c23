"""A card over time: what is read at which poll."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ztop_protocol.schema import GPU_PROCESSES, GPUS
from ztopd.collectors.nvml.card import Card, Turn
from ztopd.collectors.nvml.owners import Owner
from ztopd.collectors.nvml.reading import Identity, Users
from ztopd.collectors.nvml.readings import Memory, ProcessType, ProcessUse
from ztopd.collectors.nvml.velocity import Velocity

SECOND, MIB, GIB = 1_000_000_000, 1 << 20, 1 << 30


def card_of(used: list[int | None]) -> tuple[Card, list[int]]:
    """A card whose memory in use is next of ``used``, and at which of these its processes were read."""
    read: list[int] = []
    polls = iter(range(len(used)))
    now = SimpleNamespace(poll=-1)

    def read_memory() -> Memory:
        now.poll = next(polls)
        level = used[now.poll]
        return Memory(24 * GIB, level, None if level is None else 24 * GIB - level)

    uses: dict[int, ProcessUse] = {}

    def read_processes(whole: bool) -> dict[int, ProcessUse]:
        nonlocal uses
        read.append(now.poll)
        found = {7: ProcessUse(ProcessType.COMPUTE, used[now.poll])}
        uses = uses if uses == found else found
        return uses

    device = cast(Any, SimpleNamespace(read_memory=read_memory, read_processes=read_processes, withheld=None))
    return Card(device, Identity("GPU-0", None, 0), 60.0), read


def poll(card: Card, polls: int) -> None:
    for number in range(1, polls + 1):
        card.poll_memory(100 * SECOND + number * SECOND // 5)


def users(card: Card) -> Users:
    return card.reading().users


def test_what_is_due_twice_a_second_is_so_on_average_and_on_the_second() -> None:
    """At polls of 200 ms. Counters are read then, and a tick of 1 s must find the counts of 1 s."""
    turn, came = Turn(SECOND // 2), []
    for number in range(51):
        late = (number * 7 % 5) * 2_000_000
        if turn.comes(100 * SECOND + number * SECOND // 5 + late):
            came.append(number)
    assert came == sorted([*range(0, 51, 5), *range(3, 51, 5)])


def test_a_turn_that_was_missed_is_not_made_up_for() -> None:
    turn = Turn(SECOND)
    assert [turn.comes(at * SECOND) for at in (100, 107, 107, 108)] == [True, True, False, True]


def test_after_a_pause_everything_begins_anew() -> None:
    card, _ = card_of([GIB + poll * MIB for poll in range(70)])
    poll(card, 50)
    card._estimate()
    assert users(card).velocities[7] is not None
    card.poll_memory(130 * SECOND)
    card._estimate()
    assert users(card).velocities[7] is None
    for number in range(1, 20):
        card.poll_memory(130 * SECOND + number * SECOND // 5)
    assert card.reading().velocity is None, "5 s are not full yet"


def test_the_users_are_the_same_object_while_nothing_is_read_of_them() -> None:
    """What the tick made of them stays."""
    card, read = card_of([GIB] * 8)
    found = []
    for number in range(1, 9):
        card.poll_memory(100 * SECOND + number * SECOND // 5)
        found.append(users(card))
    assert read == [0, 5]
    assert [one is found[0] for one in found] == [True] * 5 + [False] * 3
    assert found[7] is found[5] and found[7].uses is found[0].uses


def test_a_process_that_grows_has_its_part() -> None:
    """Two thirds of what grows are another's."""
    grows, rests = Velocity(2.0 * MIB, MIB, MIB, 0), Velocity(0.0, 0.0, 0.0, None)
    uses = {1: ProcessUse(ProcessType.COMPUTE, 5), 2: ProcessUse(ProcessType.MPS, None)}
    read = Users("GPU-0", uses, 9, {2: (1.0, 2.0, 3.0, 4.0)}, {1: grows, 2: rests}, 40.0, 6.0 * MIB)
    first, second = read.rows([Owner(77, 1000, False), Owner(None, None, True)])
    nobody = (None, None, None, None)
    assert first == ("GPU-0", 1, 77, 1000, False, "compute", 9, 5, *nobody, 2 * MIB, 40.0, pytest.approx(100 / 3))
    assert second == ("GPU-0", 2, None, None, True, "mps", 9, None, 1.0, 2.0, 3.0, 4.0, 0, None, None)
    assert len(first) == len(GPU_PROCESSES.names)


def test_where_memory_rests_the_processes_are_read_every_second() -> None:
    card, read = card_of([GIB] * 16)
    poll(card, 16)
    assert read == [0, 5, 10, 15]
    assert users(card).sampled_boottime_ns == 100 * SECOND + 16 * SECOND // 5


def test_where_memory_moves_they_are_read_at_once() -> None:
    card, read = card_of([GIB, GIB, 2 * GIB, 2 * GIB, 2 * GIB, GIB])
    poll(card, 6)
    assert read == [0, 2, 5]
    assert users(card).uses[7].vram_bytes == GIB


def test_where_memory_is_not_known_they_are_read_at_every_poll() -> None:
    card, read = card_of([None] * 4)
    poll(card, 4)
    assert read == [0, 1, 2, 3]


def test_a_process_that_is_not_read_anew_has_a_velocity() -> None:
    """Its samples go on, or there would be a gap and no slope."""
    levels = [GIB + (poll // 3) * MIB for poll in range(90)]
    card, read = card_of(cast(list[int | None], levels))
    poll(card, 90)
    assert len(read) < 60
    card._estimate()
    velocity = users(card).velocities[7]
    assert velocity is not None and velocity.grows and abs(velocity.value / (MIB / 0.6) - 1) < 0.05


def test_no_warning_stands_or_not_where_memory_is_not_known() -> None:
    """24 GiB at 200 MiB/s from 18 on: the warning is there after 20 s; then NVML tells no memory any more."""
    levels: list[int | None] = [18 * GIB + poll * 40 * MIB for poll in range(110)]
    card, _ = card_of([*levels, None])
    poll(card, 110)
    assert card.reading().row()[GPUS.position["vram_low"]] is True
    card.poll_memory(130 * SECOND)
    assert card.reading().row()[GPUS.position["vram_low"]] is None


def test_a_gpu_that_is_divided_has_no_processes_any_more() -> None:
    card, _ = card_of([GIB] * 9)
    poll(card, 2)
    assert users(card).uses
    card.divided = True
    for number in range(3, 9):
        card.poll_memory(100 * SECOND + number * SECOND // 5)
        assert not users(card).uses
    card.divided = False
    card.poll_memory(102 * SECOND)
    assert users(card).uses


def test_processes_that_nvml_tells_no_more_are_not_kept_for_ever() -> None:
    card, _ = card_of([GIB + poll * MIB for poll in range(30)])
    poll(card, 5)
    cast(Any, card.device).read_processes = lambda whole: None
    for number in range(6, 30):
        card.poll_memory(100 * SECOND + number * SECOND // 5)
        assert bool(users(card).uses) == (number <= 15)
