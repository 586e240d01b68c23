"""The methods about the past: every answer, and what is refused."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.ztopd.history.stored import StoreOfTests
from ztop_protocol.codec import FrameDecoder
from ztop_protocol.connection import ErrorCode
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import SegmentReader, segment_from
from ztopd.server import past
from ztopd.server.access import View
from ztopd.server.hub import Hub, Settings
from ztopd.server.seen import SeenSegments

Connect = Callable[..., Any]
SECOND = 10**9
ANN = View(False, 1000)
FRAMES = 20


@pytest.fixture(params=["ring", "ring and store"])
def remembered(request: pytest.FixtureRequest, machine: Any, hub: Hub, tmp_path: Path) -> Iterator[list[Frame]]:
    """Frames 1 to 20; the shell grows by 10 % of a core, a process comes and goes. The ring may have the last few."""
    disk = with_store(hub, tmp_path) if request.param == "ring and store" else None
    yield remember(machine, hub, FRAMES)
    if disk is not None:
        disk.close()


def with_store(hub: Hub, folder: Path) -> StoreOfTests:
    """Gives it a store, and a ring that holds little."""
    disk = StoreOfTests(folder / "timeline.ztop", SECOND, segment_frames=4)
    hub.settings = replace(hub.settings, ring_frames=5)
    hub.store = disk
    hub.__post_init__()
    return disk


def remember(machine: Any, hub: Hub, frames: int) -> list[Frame]:
    made: list[Frame] = []
    for number in range(1, frames + 1):
        machine.process(20, 1000, user_time_ns=number * 100_000_000)
        if number % 7 == 3:
            machine.process(40, 1000, comm="short")
        if number % 7 == 5:
            machine.end(40)
        hub.take(machine.tick(keyframe=number % 4 == 1))
        made.append(machine.frame)
    return made


def frame_of(answer: Any) -> Frame:
    return FrameDecoder().frame(answer)


class TestAsof:
    async def test_every_moment(self, remembered: list[Frame], connect: Connect) -> None:
        client = connect()
        for frame in remembered:
            for later_ns in (0, SECOND // 2, SECOND - 8_000_000):
                answer = await client.call("asof", time_ns=frame.time_ns + later_ns)
                assert set(answer) == {"seq", "time_ns", "boottime_ns", "boot_id", "sections", "age_ns", "gap"}
                assert frame_of(answer) == frame
                assert answer["gap"] is False
                assert abs(answer["age_ns"] - later_ns) < 1_000_000

    async def test_every_number(self, remembered: list[Frame], connect: Connect) -> None:
        client = connect()
        for frame in remembered:
            answer = await client.call("asof", seq=frame.seq)
            assert (answer["age_ns"], answer["gap"]) == (0, False)
            assert frame_of(answer) == frame

    async def test_the_frame_before(self, remembered: list[Frame], connect: Connect) -> None:
        client = connect()
        for before, frame in zip([None, *remembered], remembered, strict=False):
            answer = await client.call("asof", seq=frame.seq, previous=True)
            assert frame_of(answer) == frame
            previous = answer["previous"]
            assert (None if previous is None else frame_of(previous)) == before

    async def test_sections(self, remembered: list[Frame], connect: Connect) -> None:
        client = connect()
        answer = await client.call("asof", seq=6, sections=["memory", "sensors", "memory"], previous=True)
        assert list(answer["sections"]) == list(answer["previous"]["sections"]) == ["memory"]
        assert (await client.call("asof", seq=6, sections=[]))["sections"] == {}
        assert await client.call("asof", seq=6, sections=None, time_ns=None, other=[5]) == await client.call(
            "asof", seq=6
        )

    async def test_after_the_newest(self, remembered: list[Frame], connect: Connect) -> None:
        client, newest = connect(), remembered[-1]
        for seconds, gap in ((1, False), (2, False), (3, True), (1000, True)):
            answer = await client.call("asof", time_ns=newest.time_ns + seconds * SECOND, sections=[])
            assert (answer["seq"], answer["age_ns"], answer["gap"]) == (newest.seq, seconds * SECOND, gap)

    async def test_in_a_gap(self, machine: Any, hub: Hub, connect: Connect) -> None:
        remember(machine, hub, 2)
        machine.seq += 8
        hub.take(machine.tick(gap=True))
        answer = await connect().call("asof", time_ns=6 * SECOND + 7, sections=[], previous=True)
        assert (answer["seq"], answer["age_ns"], answer["gap"]) == (2, 4 * SECOND, True)
        after = await connect().call("asof", seq=11, sections=[], previous=True)
        assert (after["previous"]["seq"], after["gap"]) == (2, False)

    async def test_before_the_oldest_the_sentence_names_it(self, remembered: list[Frame], connect: Connect) -> None:
        client, oldest = connect(), remembered[0]
        for arguments in ({"time_ns": oldest.time_ns - SECOND}, {"seq": 0}, {"seq": 1000}):
            refusal = await client.refused("asof", **arguments)
            assert refusal.code == ErrorCode.NOT_FOUND
            found = re.search(r"the oldest frame is of (\S+) \(time_ns (\d+)\)$", refusal.sentence)
            assert found is not None
            assert int(found[2]) == oldest.time_ns
            named_ns = round(datetime.fromisoformat(found[1]).timestamp() * 1000) * 1_000_000
            assert frame_of(await client.call("asof", time_ns=named_ns)) == oldest

    @pytest.mark.usefixtures("no_waiting")
    async def test_without_frames(self, connect: Connect) -> None:
        for arguments in ({"seq": 1}, {"time_ns": SECOND}):
            assert (await connect().refused("asof", **arguments)).code == ErrorCode.NOT_READY

    async def test_what_is_damaged_is_passed_over(
        self, machine: Any, hub: Hub, connect: Connect, tmp_path: Path
    ) -> None:
        disk = with_store(hub, tmp_path)
        remember(machine, hub, FRAMES)
        _, damaged, *_ = disk.timeline
        disk.writer.connection.execute("UPDATE tracks SET body = x'00' WHERE segment = ?", (damaged.id,))
        answer = await connect().call("asof", time_ns=damaged.last.time_ns)
        assert (answer["seq"], answer["gap"]) == (damaged.first.seq - 1, True)
        assert (await connect().refused("asof", seq=damaged.first.seq)).code == ErrorCode.NOT_FOUND
        told = await everything(connect())
        assert damaged.first.seq not in [frame.seq for frame in told]
        assert len(told) == FRAMES - 4
        disk.close()


async def everything(client: Any, **arguments: Any) -> list[Frame]:
    """The frames of all answers of ``segments``, each once."""
    found: dict[int, Frame] = {}
    cursor = None
    while True:
        answer = await client.call("segments", cursor=cursor, **arguments)
        assert set(answer) == {"segments", "cursor"}
        assert len(answer["segments"]) <= past.MAX_SEGMENTS
        for body in answer["segments"]:
            segment = segment_from(body)
            reader = SegmentReader(segment.opened())
            for index, stamp in enumerate(segment.stamps):
                found.setdefault(stamp.seq, reader.frame(index))
        cursor = answer["cursor"]
        if cursor is None:
            assert list(found) == sorted(found)
            return list(found.values())
        assert answer["segments"]


class TestSegments:
    async def test_everything(self, remembered: list[Frame], connect: Connect) -> None:
        assert await everything(connect()) == remembered

    @pytest.mark.parametrize("bound", [{"MAX_SEGMENTS": 1}, {"MAX_SEGMENTS": 3}, {"SEGMENTS_BYTES": 1}])
    async def test_in_small_answers(
        self, remembered: list[Frame], connect: Connect, monkeypatch: pytest.MonkeyPatch, bound: dict[str, int]
    ) -> None:
        for name, value in bound.items():
            monkeypatch.setattr(past, name, value)
        assert await everything(connect()) == remembered

    async def test_of_some_time(self, remembered: list[Frame], connect: Connect) -> None:
        client = connect()
        for first, last in ((3, 3), (2, 9), (9, 17), (20, 20)):
            asked = {"from_ns": remembered[first - 1].time_ns, "to_ns": remembered[last - 1].time_ns}
            told = await everything(client, **asked)
            assert {frame.seq for frame in told} >= set(range(first, last + 1))
            assert len(told) <= last - first + 1 + 2 * 4
            assert all(frame == remembered[frame.seq - 1] for frame in told)
        assert await everything(client, from_ns=remembered[-1].time_ns + SECOND) == []
        assert await everything(client, to_ns=remembered[0].time_ns - SECOND) == []

    async def test_sections(self, remembered: list[Frame], connect: Connect) -> None:
        for frame, whole in zip(
            await everything(connect(), sections=["memory", "process_io"]), remembered, strict=True
        ):
            assert frame.sections == {name: whole.sections[name] for name in ("memory", "process_io")}

    async def test_it_goes_on_where_it_ended(
        self, remembered: list[Frame], machine: Any, hub: Hub, connect: Connect
    ) -> None:
        client = connect()
        last = (await client.call("segments"))["segments"][-1]["stamps"][-1][0]
        assert last == FRAMES
        assert await client.call("segments", cursor=last) == {"segments": [], "cursor": None}
        hub.take(machine.tick())
        (more,) = (await client.call("segments", cursor=last))["segments"]
        assert more["stamps"][-1][0] == FRAMES + 1

    async def test_public_tracks_go_out_as_they_lie(self, machine: Any, hub: Hub, connect: Connect) -> None:
        remember(machine, hub, 5)
        sealed = next(iter(hub.history.ring.timeline))
        (first, _) = (await connect(ANN).call("segments"))["segments"]
        for name in ("host", "memory", "processes"):
            assert first["tracks"][name] == sealed.tracks[name]  # type: ignore[union-attr]
        assert first["tracks"]["process_io"] != sealed.tracks["process_io"]  # type: ignore[union-attr]


class TestTop:
    async def test_the_processes_of_then_with_their_rates(self, remembered: list[Frame], connect: Connect) -> None:
        client = connect()
        for seq in (2, 4, 11, FRAMES):
            for asked in ({"seq": seq}, {"time_ns": remembered[seq - 1].time_ns + 300_000_000}):
                answer = await client.call("top", **asked, columns=["comm", "cpu_percent", "io_read_bytes"])
                assert answer["seq"] == seq
                assert answer["gap"] is False
                assert answer["age_ns"] // 10**8 == (3 if "time_ns" in asked else 0)
                rows = answer["sections"]["processes"]["rows"]
                assert rows[0][0] == 20
                assert rows[0][2] == "shell"
                assert rows[0][3] == pytest.approx(10)
                assert {row[0] for row in rows} == {pid for pid, _ in remembered[seq - 1].rows("processes")}
        assert await client.call("top", seq=FRAMES) == {**await client.call("top"), "age_ns": 0, "gap": False}

    async def test_without_a_frame_before_there_are_no_rates(self, remembered: list[Frame], connect: Connect) -> None:
        answer = await connect().call("top", seq=1, columns=["cpu_percent"])
        assert [row[2] for row in answer["sections"]["processes"]["rows"]] == [None, None, None]

    async def test_io_is_the_owners_then_as_now(self, remembered: list[Frame], connect: Connect) -> None:
        answer = await connect(ANN).call("top", seq=9, sort="pid", columns=["io_read_bytes"], filter={"state": None})
        values = {row[0]: row[2] for row in answer["sections"]["processes"]["rows"]}
        assert values[1] is values[30] is None
        assert values[20] is not None
        assert (await connect().refused("top", seq=1000)).code == ErrorCode.NOT_FOUND


async def test_one_user_has_one_question_at_a_time(machine: Any, hub: Hub, connect: Connect) -> None:
    remember(machine, hub, 3)
    client, other = connect(), connect(ANN)
    async with hub.history_turns.of(0):
        assert (await other.call("asof", seq=2))["seq"] == 2
        assert (await client.call("ping"))["seq"] == 3
        assert not hub.history_turns._locks.keys() - {0}
    assert (await client.call("asof", seq=2))["seq"] == 2
    assert not hub.history_turns._locks


async def test_one_users_many_questions_do_not_hold_up_another(
    machine: Any, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(machine, hub, FRAMES)
    seen = SeenSegments.seen

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.02)
        return seen(*arguments, **named)

    monkeypatch.setattr(SeenSegments, "seen", slow)
    order: list[str] = []

    async def ask(client: Any, method: str, who: str, **arguments: Any) -> None:
        await client.call(method, **arguments)
        order.append(who)

    greedy = [asyncio.create_task(ask(connect(), "segments", "greedy")) for _ in range(6)]
    await asyncio.sleep(0.03)
    await ask(connect(ANN), "asof", "modest", seq=3)
    await asyncio.gather(*greedy)
    assert order.index("modest") <= 1
    assert order.count("greedy") == 6


async def test_who_leaves_gives_up_the_turn(
    machine: Any, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(machine, hub, FRAMES)
    began, go_on = threading.Event(), threading.Event()

    def waiting(*_: Any, **__: Any) -> Any:
        began.set()
        go_on.wait(20)

    with monkeypatch.context() as patch:
        patch.setattr(SeenSegments, "seen", waiting)
        asked = [asyncio.create_task(connect().call("segments")) for _ in range(3)]
        await asyncio.to_thread(began.wait, 20)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert not hub.history_turns._locks
        go_on.set()
    assert (await connect().call("asof", seq=2))["seq"] == 2


async def test_status_says_what_is_remembered(remembered: list[Frame], hub: Hub, connect: Connect) -> None:
    answer = await connect().call("status")
    assert answer["ring_frames"] == sum(len(piece.stamps) for piece in hub.history.ring.timeline)
    assert answer["ring_bytes"] == hub.history.ring.size_bytes
    oldest_seq = FRAMES - answer["ring_frames"] + 1
    assert answer["ring_oldest_time_ns"] == remembered[oldest_seq - 1].time_ns
    has_store = hub.store is not None
    assert (oldest_seq > 1) is has_store
    assert answer["store_bytes"] == (4096 if has_store else None)
    assert answer["store_oldest_time_ns"] == (remembered[0].time_ns if has_store else None)


@pytest.mark.parametrize(
    ("method", "arguments", "start"),
    [
        ("asof", {}, "time_ns, seq: one of them is missing"),
        ("asof", {"time_ns": 1, "seq": 1}, "time_ns, seq: either"),
        ("asof", {"time_ns": 1.5}, "time_ns: a whole number"),
        ("asof", {"time_ns": -1}, "time_ns: a whole number"),
        ("asof", {"time_ns": 1 << 63}, "time_ns: a whole number"),
        ("asof", {"seq": "1\x1b"}, r"seq: a whole number from 0 to 9223372036854775807 was expected, not '1\x1b'"),
        ("asof", {"seq": True}, "seq: a whole number"),
        ("asof", {"seq": 1, "sections": ["nothing"]}, "sections: there is no 'nothing'"),
        ("asof", {"seq": 1, "previous": 1}, "previous: true or false"),
        ("segments", {"from_ns": "x"}, "from_ns: a whole number"),
        ("segments", {"to_ns": -5}, "to_ns: a whole number"),
        ("segments", {"from_ns": 6, "to_ns": 5}, "from_ns, to_ns: the end is before the beginning"),
        ("segments", {"cursor": "5"}, "cursor: a whole number"),
        ("segments", {"sections": "memory"}, "sections: a list of names"),
        ("top", {"seq": 1, "time_ns": 1}, "time_ns, seq: either"),
        ("top", {"seq": []}, "seq: a whole number"),
    ],
)
async def test_bad_arguments_are_refused_by_name(
    machine: Any, hub: Hub, connect: Connect, method: str, arguments: dict[str, Any], start: str
) -> None:
    remember(machine, hub, 2)
    refusal = await connect().refused(method, **arguments)
    assert refusal.code == ErrorCode.BAD_ARGUMENTS
    assert refusal.sentence.startswith(start)
    assert refusal.sentence.isprintable()


def test_every_section_can_be_asked_for() -> None:
    assert set(past.FRAME_SECTIONS) == set(SECTIONS) - {"threads"}


def test_the_ring_is_as_large_as_it_was_set() -> None:
    hub = Hub(Settings(SECOND, 1, ring_frames=3, ring_size_bytes=5))
    assert (hub.history.ring._most_frames, hub.history.ring._most_bytes) == (3, 5)
