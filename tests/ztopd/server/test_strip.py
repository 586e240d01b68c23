"""The methods for a strip of time: curves and what happened."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ztopd.server.test_past import SECOND, with_store
from ztop_protocol.connection import ErrorCode
from ztop_protocol.schema import SECTIONS, Visibility
from ztop_protocol.series import COLUMNS
from ztopd.server import strip
from ztopd.server.access import HIDEABLE, View
from ztopd.server.hub import Hub

Connect = Callable[..., Any]
FRAMES = 20
ANN = View(False, 1000)


@pytest.fixture(params=["ring", "ring and store"])
def remembered(request: pytest.FixtureRequest, machine: Any, hub: Hub, tmp_path: Path) -> Iterator[None]:
    """20 frames: CPU at 25 % of two; a process appears in every third one; frame 7 says gap, 11 that it started."""
    disk = with_store(hub, tmp_path) if request.param == "ring and store" else None
    for seq in range(1, FRAMES + 1):
        machine.put(
            "summary", cpu_busy_time_ns=seq * SECOND // 2, cpu_count=2, memory_total_bytes=100, memory_used_bytes=seq
        )
        machine.tables["events"] = {}
        machine.tables["process_events"] = {}
        if seq in (7, 11):
            kind = "gap" if seq == 7 else "started"
            machine.put("events", number=seq, kind=kind, value=2.5, detail="caf\udce9")
        if seq % 3 == 0:
            for number, uid in ((2 * seq, 1000), (2 * seq + 1, 1001)):
                machine.put("process_events", number=number, kind="appeared", pid=number, owner_uid=uid, comm="x")
        hub.take(machine.tick(keyframe=seq % 4 == 1))
    yield
    if disk is not None:
        disk.close()


EXPECTED = sorted(
    [(7, "gap"), (11, "started"), *((seq, "appeared") for seq in range(3, FRAMES + 1, 3) for _ in range(2))]
)


async def happened(client: Any, **arguments: Any) -> list[dict[str, Any]]:
    """The events of all answers."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await client.call("events", cursor=cursor, **arguments)
        assert set(answer) == {"events", "cursor"}
        found += answer["events"]
        cursor = answer["cursor"]
        if cursor is None:
            return found


def told(found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(event["seq"], event["kind"]) for event in found]


@pytest.mark.usefixtures("remembered")
class TestEvents:
    async def test_everything_in_order(self, connect: Connect) -> None:
        found = await happened(connect())
        assert told(found) == EXPECTED
        assert all(event["time_ns"] == event["seq"] * SECOND + 7 for event in found)
        for event in found:
            section = "process_events" if event["kind"] == "appeared" else "events"
            assert set(event) == {"time_ns", "seq", *SECTIONS[section].names}
        assert found[-1]["comm"] == "x"
        assert next(event for event in found if event["kind"] == "started")["detail"] == b"caf\xe9"

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_in_small_answers(self, connect: Connect, limit: int) -> None:
        client = connect()
        assert len((await client.call("events", limit=limit))["events"]) == min(limit, len(EXPECTED))
        assert told(await happened(client, limit=limit)) == EXPECTED

    async def test_when_there_is_no_time(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(strip, "ANSWER_SECONDS", -1.0)
        client = connect()
        answer = await client.call("events", from_ns=0)
        assert answer["events"] == []
        monkeypatch.setattr(strip, "ANSWER_SECONDS", 60.0)
        assert told(await happened(client)) == EXPECTED

    async def test_of_some_time_and_kinds(self, connect: Connect) -> None:
        client = connect()
        asked = {"from_ns": 7 * SECOND + 7, "to_ns": 11 * SECOND + 7}
        assert told(await happened(client, **asked)) == [(7, "gap"), (9, "appeared"), (9, "appeared"), (11, "started")]
        assert told(await happened(client, **asked, kinds=["gap", "started"])) == [(7, "gap"), (11, "started")]
        assert len(await happened(client, kinds=["appeared"])) == 12
        assert len(await happened(client, kinds=["appeared"], limit=5)) == 12
        assert await happened(client, kinds=[]) == []
        assert await happened(client, from_ns=12 * SECOND, kinds=["gap"]) == []

    async def test_a_gap_of_the_timeline(self, machine: Any, hub: Hub, connect: Connect) -> None:
        machine.tables["events"] = {}
        machine.seq += 30
        hub.take(machine.tick(gap=True))
        (first, second) = await happened(connect(), kinds=["gap"])
        assert (first["seq"], second["seq"]) == (7, FRAMES + 31)
        assert second["duration_ns"] == 31 * SECOND
        # where the asker begins makes no difference
        assert await happened(connect(), from_ns=second["time_ns"], kinds=["gap"]) == [second]

    async def test_with_hidepid_they_are_the_owners(self, machine: Any, hub: Hub, connect: Connect) -> None:
        assert len(await happened(connect(ANN), kinds=["appeared"])) == 12
        machine.put("host", hidepid=2)
        for seq in range(FRAMES + 1, FRAMES + 5):
            machine.tables["process_events"] = {}
            machine.put("process_events", number=2 * seq, kind="ended", pid=5, owner_uid=1000 + seq % 2)
            hub.take(machine.tick(keyframe=seq == FRAMES + 1))
        assert [event["owner_uid"] for event in await happened(connect(ANN), kinds=["ended"])] == [1000, 1000]
        assert await happened(connect(View(False, None)), kinds=["ended"]) == []
        assert len(await happened(connect(), kinds=["ended"])) == 4

    async def test_an_alert_is_its_owners_and_told_once(self, machine: Any, hub: Hub, connect: Connect) -> None:
        for seq in range(FRAMES + 1, FRAMES + 11):
            machine.tables["alerts"] = {}
            for pid, uid, begins in ((30, 1000, 3), (31, 1001, 5)):
                if seq >= FRAMES + begins:
                    machine.put(
                        "alerts", pid=pid, start_boottime_ns=1, kind="ipc_drop", owner_uid=uid, comm="x", value=0.5,
                        since_boottime_ns=(FRAMES + begins) * SECOND,
                    )  # fmt: skip
            hub.take(machine.tick(keyframe=seq % 4 == 1))
        everyone = await happened(connect(), kinds=["ipc_drop"])
        assert [(event["seq"], event["pid"]) for event in everyone] == [(FRAMES + 3, 30), (FRAMES + 5, 31)]
        assert [event["pid"] for event in await happened(connect(ANN), kinds=["ipc_drop"])] == [30]
        assert await happened(connect(View(False, None)), kinds=["ipc_drop"]) == []


@pytest.mark.usefixtures("remembered")
class TestSeries:
    async def test_curves(self, connect: Connect) -> None:
        answer = await connect().call("series", from_ns=4 * SECOND, to_ns=10 * SECOND - 1, points=6)
        assert set(answer) == {"step_ns", "complete", "columns", "rows"}
        assert (answer["step_ns"], answer["complete"]) == (SECOND, True)
        assert answer["columns"] == ["time_ns", *COLUMNS]
        assert [row[0] for row in answer["rows"]] == [seconds * SECOND for seconds in range(4, 10)]
        for seconds, row in enumerate(answer["rows"], 4):
            assert row[1:3] == [pytest.approx(25), pytest.approx(25)]
            # of the second after frame N frame N + 1 tells
            assert row[3] == pytest.approx(seconds + 1, abs=1e-3)
            assert row[4:] == [None] * 7

    async def test_coarser(self, connect: Connect) -> None:
        answer = await connect().call("series", from_ns=0, to_ns=30 * SECOND, points=4, columns=["cpu_percent"])
        assert (answer["step_ns"], answer["columns"]) == (10 * SECOND, ["time_ns", "cpu_percent"])
        assert [row[0] // SECOND for row in answer["rows"]] == [0, 10, 20, 30]
        assert [row[1] for row in answer["rows"]] == [pytest.approx(25), pytest.approx(25), pytest.approx(25), None]

    async def test_asked_again_nothing_is_read(
        self, hub: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = {"from_ns": 0, "to_ns": 30 * SECOND}
        once = await connect().call("series", **asked)
        monkeypatch.setattr("ztopd.history.series.part_of", None)
        assert await connect().call("series", **asked) == once

    async def test_when_there_is_no_time_the_newest_is_given(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(strip, "ANSWER_SECONDS", -1.0)
        answer = await connect().call("series", from_ns=0, to_ns=21 * SECOND, columns=["cpu_percent"])
        assert answer["complete"] is False
        known = [row[0] // SECOND for row in answer["rows"] if row[1] is not None]
        assert known[-1] == FRAMES
        assert 1 < len(known) < FRAMES - 2

    async def test_of_no_time_that_is_known(self, connect: Connect) -> None:
        answer = await connect().call("series", from_ns=1000 * SECOND, to_ns=1001 * SECOND)
        assert answer["rows"] == [[seconds * SECOND, *[None] * len(COLUMNS)] for seconds in (1000, 1001)]


def test_the_curves_are_of_what_everybody_may_see() -> None:
    assert SECTIONS["summary"].visibility is Visibility.PUBLIC
    assert "summary" not in HIDEABLE


@pytest.mark.parametrize(
    ("method", "arguments", "start"),
    [
        ("series", {}, "from_ns, to_ns: both ends"),
        ("series", {"from_ns": 5}, "from_ns, to_ns: both ends"),
        ("series", {"from_ns": 5, "to_ns": 4}, "from_ns, to_ns: the end is before the beginning"),
        ("series", {"from_ns": 5, "to_ns": "6"}, "to_ns: a whole number"),
        ("series", {"from_ns": 5, "to_ns": 6, "points": 0}, "points: a whole number from 1 to 2000"),
        ("series", {"from_ns": 5, "to_ns": 6, "points": 2001}, "points: a whole number from 1 to 2000"),
        ("series", {"from_ns": 5, "to_ns": 6, "columns": ["gpu"]}, "columns: there is no 'gpu'"),
        ("events", {"from_ns": 5, "to_ns": 4}, "from_ns, to_ns: the end is before the beginning"),
        ("events", {"kinds": ["x\x1b"]}, r"kinds: there is no 'x\x1b'"),
        ("events", {"kinds": "gap"}, "kinds: a list of names"),
        ("events", {"limit": 0}, "limit: a whole number from 1 to 1000"),
        ("events", {"limit": 1001}, "limit: a whole number from 1 to 1000"),
        ("events", {"cursor": -1}, "cursor: a whole number"),
    ],
)
async def test_bad_arguments_are_refused_by_name(
    connect: Connect, method: str, arguments: dict[str, Any], start: str
) -> None:
    refusal = await connect().refused(method, **arguments)
    assert refusal.code == ErrorCode.BAD_ARGUMENTS
    assert refusal.sentence.startswith(start)
    assert refusal.sentence.isprintable()


async def test_before_the_first_frame_there_is_nothing(connect: Connect) -> None:
    assert await connect().call("events") == {"events": [], "cursor": None}
    answer = await connect().call("series", from_ns=0, to_ns=SECOND)
    assert {cell for row in answer["rows"] for cell in row[1:]} == {None}


async def test_any_time_that_can_be_asked_for(connect: Connect) -> None:
    answer = await connect().call("series", from_ns=0, to_ns=(1 << 63) - 1, points=2000)
    assert len(answer["rows"]) <= 2000
    assert await happened(connect(), from_ns=0, to_ns=(1 << 63) - 1) == []
