"""A card over time: what is read at which poll."""

from types import SimpleNamespace
from typing import Any, cast

from ztop_protocol.schema import GPUS
from ztopd.collectors.nvml.card import Card, Identity
from ztopd.collectors.nvml.readings import Memory, ProcessType, ProcessUse

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

    def read_processes() -> dict[int, ProcessUse]:
        read.append(now.poll)
        return {7: ProcessUse(ProcessType.COMPUTE, used[now.poll])}

    device = cast(Any, SimpleNamespace(read_memory=read_memory, read_processes=read_processes, withheld=None))
    return Card(device, Identity("GPU-0", None, 0), 60.0), read


def poll(card: Card, polls: int) -> None:
    for number in range(1, polls + 1):
        card.poll_memory(100 * SECOND + number * SECOND // 5)


def test_where_memory_rests_the_processes_are_read_every_second() -> None:
    card, read = card_of([GIB] * 16)
    poll(card, 16)
    assert read == [0, 5, 10, 15]
    assert card.processes()[0].sampled_boottime_ns == 100 * SECOND + 16 * SECOND // 5


def test_where_memory_moves_they_are_read_at_once() -> None:
    card, read = card_of([GIB, GIB, 2 * GIB, 2 * GIB, 2 * GIB, GIB])
    poll(card, 6)
    assert read == [0, 2, 5]
    assert card.processes()[0].use.vram_bytes == GIB


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
    velocity = card.processes()[0].velocity
    assert velocity is not None and velocity.grows and abs(velocity.value / (MIB / 0.6) - 1) < 0.05


def test_no_warning_stands_or_not_where_memory_is_not_known() -> None:
    """24 GiB at 200 MiB/s from 18 on: the warning is there after 20 s; then NVML tells no memory any more."""
    levels: list[int | None] = [18 * GIB + poll * 40 * MIB for poll in range(110)]
    card, _ = card_of([*levels, None])
    poll(card, 110)
    assert card.row()[GPUS.position["vram_low"]] is True
    card.poll_memory(130 * SECOND)
    assert card.row()[GPUS.position["vram_low"]] is None
