"""Every method's answer, and what it refuses."""

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ztop_protocol.codec import FrameDecoder
from ztop_protocol.connection import PROTOCOL_VERSION, SERVER_LIMITS, Connection, ErrorCode, Request
from ztop_protocol.processes import COLUMNS
from ztop_protocol.schema import SCHEMA_VERSION, SECTIONS
from ztop_protocol.version import VERSION
from ztopd.server.access import View
from ztopd.server.hub import Hub, Settings

Connect = Callable[..., Any]
ANN = View(False, 1000)
STRANGER = View(False, None)


@pytest.fixture
def two_frames(machine: Any, hub: Hub) -> Any:
    """The shell used half a second of CPU in the second between the two."""
    hub.take(machine.tick())
    machine.process(20, 1000, user_time_ns=500_000_000)
    hub.take(machine.tick())
    return machine


def column(answer: Any, name: str, section: str = "processes") -> list[Any]:
    table = answer["sections"][section]
    return [row[table["columns"].index(name)] for row in table["rows"]]


async def test_hello_says_who_one_is_and_what_one_sees(two_frames: Any, hub: Hub, connect: Connect) -> None:
    answer = await connect(ANN).call("hello")
    assert answer["version"] == VERSION
    assert answer["protocol_version"] == PROTOCOL_VERSION
    assert answer["schema_version"] == SCHEMA_VERSION
    assert (answer["pid"], answer["uid"], answer["gid"]) == (99, 1000, 100)
    nobodys: dict[str, Any] = {"all": False, "owner_rows_of_uid": None, "because": "nobody", "group": None}
    assert answer["sees"] == nobodys | {"owner_rows_of_uid": 1000, "because": "owner"}
    assert answer["interval_ns"] == 10**9
    assert answer["boot_id"] == "boot"
    assert answer["hidepid"] == 0
    assert answer["sections"] == {name: section.visibility.value for name, section in SECTIONS.items()}
    assert (await connect().call("hello"))["sees"] == nobodys | {"all": True, "because": "root"}
    assert (await connect(STRANGER).call("hello"))["sees"] == nobodys
    hub.settings = replace(hub.settings, group_gid=50, group="adm")
    admitted = nobodys | {"all": True, "because": "group", "group": "adm"}
    assert (await connect(View(True, 1000)).call("hello"))["sees"] == admitted


async def test_hello_and_status_answer_before_the_first_frame(connect: Connect) -> None:
    client = connect()
    assert (await client.call("hello"))["boot_id"] is None
    assert (await client.call("status"))["seq"] is None
    assert await client.call("ping") == {"seq": None, "time_ns": None}


async def test_status_counts(two_frames: Any, hub: Hub, connect: Connect) -> None:
    client = connect()
    await client.call("subscribe", sections=["memory"])
    hub.statistics.dropped_deltas = 3
    answer = await client.call("status")
    assert answer.pop("rss_bytes") > 1 << 20
    assert answer.pop("ring_bytes") == hub.history.ring.size_bytes > 0
    assert answer == {
        "version": VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "schema_version": SCHEMA_VERSION,
        "server_pid": os.getpid(),
        "sampler_pid": 77,
        "interval_ns": 10**9,
        "current_interval_ns": None,
        "seq": 2,
        "clients": 0,
        "subscriptions": 1,
        "dropped_deltas": 3,
        "protocol_violations": 0,
        "start_time_ns": 5,
        "ring_frames": 2,
        "ring_oldest_time_ns": 10**9 + 7,
        "store_bytes": None,
        "store_oldest_time_ns": None,
    }


async def test_ping_names_the_newest_frame(two_frames: Any, connect: Connect) -> None:
    assert await connect().call("ping") == {"seq": 2, "time_ns": two_frames.frame.time_ns}


async def test_a_snapshot_is_the_newest_frame(two_frames: Any, connect: Connect) -> None:
    client = connect()
    answer = await client.call("snapshot")
    assert set(answer) == {"seq", "time_ns", "boottime_ns", "boot_id", "sections"}
    assert set(answer["sections"]["memory"]) == {"sampled_boottime_ns", "columns", "rows"}
    assert FrameDecoder().frame(answer) == two_frames.frame
    some = await client.call("snapshot", sections=["memory", "sensors", "memory"])
    assert list(some["sections"]) == ["memory"]
    assert (await client.call("snapshot", sections=[]))["sections"] == {}
    assert await client.call("snapshot", sections=None, another=[1]) == answer


async def test_a_snapshot_is_cut_to_the_view(two_frames: Any, connect: Connect) -> None:
    assert column(await connect(ANN).call("snapshot"), "pid", "process_io") == [20]
    assert "process_io" not in (await connect(STRANGER).call("snapshot"))["sections"]
    assert column(await connect().call("snapshot"), "pid", "process_io") == [1, 20, 30]


async def test_top_sorts_by_cpu_unless_told_otherwise(two_frames: Any, connect: Connect) -> None:
    client = connect()
    answer = await client.call("top")
    assert answer["seq"] == 2
    assert tuple(answer["sections"]["processes"]["columns"]) == COLUMNS
    assert answer["sections"]["processes"]["sampled_boottime_ns"] == 2 * 10**9
    assert column(answer, "pid") == [20, 1, 30]
    assert column(answer, "cpu_percent") == [50.0, 0.0, 0.0]
    assert column(answer, "memory_percent") == [100 * 3 / 1024, 100 / 1024, 100 * 2 / 1024]
    assert column(await client.call("top", sort="rss_bytes"), "pid") == [20, 30, 1]
    assert column(await client.call("top", sort="rss_bytes", descending=False), "pid") == [1, 30, 20]
    assert column(await client.call("top", sort="pid"), "pid") == [1, 20, 30]
    assert column(await client.call("top", sort="comm", limit=2), "comm") == ["editor", "init"]


async def test_top_answers_in_the_columns_asked_for(two_frames: Any, connect: Connect) -> None:
    answer = await connect().call("top", columns=["comm", "pid", "comm", "io_read_bytes"], limit=1)
    assert answer["sections"]["processes"]["columns"] == ["pid", "start_boottime_ns", "comm", "io_read_bytes"]
    assert answer["sections"]["processes"]["rows"] == [[20, 20 * 10**9, "shell", 1000]]


async def test_top_filters(two_frames: Any, hub: Hub, connect: Connect) -> None:
    client = connect()
    for text, pids in (("SHELL", [20]), ("notes", [30]), ("bob", [30]), ("nothing", []), ("", [20, 1, 30])):
        assert column(await client.call("top", filter=text), "pid") == pids
    assert column(await client.call("top", filter={"owner_uid": 1001}), "pid") == [30]
    assert column(await client.call("top", filter={"owner_uid": 1001, "user": "ann"}), "pid") == []
    two_frames.process(40, 0, comm="a\udcff")
    hub.take(two_frames.tick())
    for wanted in (b"a\xff", {"comm": b"a\xff"}):
        answer = await client.call("top", filter=wanted, columns=["comm"])
        assert answer["sections"]["processes"]["rows"] == [[40, 40 * 10**9, b"a\xff"]]


async def test_top_shows_io_to_the_owner_only(two_frames: Any, connect: Connect) -> None:
    client = connect(ANN)
    for _ in range(2):
        answer = await client.call("top", sort="pid", columns=["io_read_bytes"])
        assert [row[2] for row in answer["sections"]["processes"]["rows"]] == [None, 1000, None]
        assert column(await connect().call("top", sort="pid"), "io_read_bytes") == [0, 1000, 0]


@pytest.mark.parametrize(
    ("method", "arguments", "start"),
    [
        ("snapshot", {"sections": "memory"}, "sections: a list of names"),
        ("snapshot", {"sections": ["memory", 5]}, "sections: a list of names"),
        ("snapshot", {"sections": ["memo\x1b[2J"]}, r"sections: there is no 'memo\x1b[2J'"),
        ("snapshot", {"sections": ["threads"]}, "sections: there is no 'threads'"),
        ("top", {"sort": "size"}, "sort: there is no column 'size'"),
        ("top", {"sort": "\x1b]52;" + "x" * 9000}, r"sort: there is no column '\x1b]52;xxx"),
        ("top", {"sort": 5}, "sort: text was expected"),
        ("top", {"descending": 1}, "descending: true or false"),
        ("top", {"limit": 0}, "limit: a whole number from 1 to 1000"),
        ("top", {"limit": 1001}, "limit: a whole number from 1 to 1000"),
        ("top", {"limit": 3.0}, "limit: a whole number from 1 to 1000"),
        ("top", {"limit": True}, "limit: a whole number from 1 to 1000"),
        ("top", {"columns": ["pid", "size"]}, "columns: there is no 'size'"),
        ("top", {"columns": {"pid": 1}}, "columns: a list of names"),
        ("top", {"filter": 5}, "filter: text or a map"),
        ("top", {"filter": {"size": 5}}, "filter: there is no column 'size'"),
        ("top", {"filter": {5: 5}}, "filter: a column's name"),
        ("top", {"filter": {"pid": [5]}}, "filter: 'pid': a number, text"),
        ("threads", {}, "pid: the number of a process is missing"),
        ("threads", {"pid": "1"}, "pid: a whole number"),
        ("threads", {"pid": -1}, "pid: a whole number"),
        ("threads", {"pid": 1, "start_boottime_ns": "x"}, "start_boottime_ns: a whole number"),
        ("subscribe", {"sections": ["nothing"]}, "sections: there is no 'nothing'"),
        ("unsubscribe", {"subscription": "1"}, "subscription: a whole number"),
    ],
)
async def test_bad_arguments_are_refused_by_name(
    two_frames: Any, connect: Connect, method: str, arguments: dict[str, Any], start: str
) -> None:
    client = connect()
    refusal = await client.refused(method, **arguments)
    assert refusal.code == ErrorCode.BAD_ARGUMENTS
    assert refusal.sentence.startswith(start)
    assert refusal.sentence.isprintable()
    assert len(refusal.sentence) < 300
    assert (await client.call("ping"))["seq"] == 2


async def test_unknown_methods_and_foreign_arguments_are_refused(connect: Connect) -> None:
    client = connect()
    refusal = await client.refused("stop\x1b")
    assert (refusal.code, refusal.sentence) == (ErrorCode.UNKNOWN_METHOD, r"there is no method 'stop\x1b'")
    parsed = Connection(SERVER_LIMITS)
    parsed.feed(b"\x94\x00\x07\xa4ping\x92\x01\x02")
    (request,) = parsed.messages()
    assert isinstance(request, Request)
    await client.session.handle(request)
    assert client.responses[-1].error.code == ErrorCode.BAD_ARGUMENTS


async def test_a_snapshot_waits_for_the_first_frame(machine: Any, hub: Hub, connect: Connect) -> None:
    asked = asyncio.create_task(connect().call("snapshot"))
    await asyncio.sleep(0.01)
    assert not asked.done()
    hub.take(machine.tick())
    assert (await asked)["seq"] == 1


async def test_top_waits_for_two_frames(machine: Any, hub: Hub, connect: Connect) -> None:
    hub.take(machine.tick())
    asked = asyncio.create_task(connect().call("top"))
    await asyncio.sleep(0.01)
    assert not asked.done()
    hub.take(machine.tick())
    assert column(await asked, "cpu_percent") == [0.0, 0.0, 0.0]


@pytest.mark.usefixtures("no_waiting")
async def test_without_frames_they_are_not_ready(machine: Any, hub: Hub, connect: Connect) -> None:
    client = connect()
    for method in ("snapshot", "top"):
        assert (await client.refused(method)).code == ErrorCode.NOT_READY
    hub.take(machine.tick())
    assert column(await client.call("top"), "cpu_percent") == [None, None, None]


async def test_threads_of_this_process(two_frames: Any, connect: Connect) -> None:
    client = connect(ANN)
    stop = threading.Event()
    worker = threading.Thread(target=stop.wait)
    worker.start()
    try:
        answer = await client.call("threads", pid=os.getpid())
    finally:
        stop.set()
        worker.join()
    assert set(answer) == {"seq", "time_ns", "boottime_ns", "boot_id", "truncated", "sections"}
    assert answer["truncated"] is False
    assert answer["sections"]["threads"]["columns"] == list(SECTIONS["threads"].names)
    assert {os.getpid(), worker.native_id} <= set(column(answer, "tid", "threads"))
    assert set(column(answer, "pid", "threads")) == {os.getpid()}
    start = column(answer, "start_boottime_ns", "threads")[0]
    again = await client.call("threads", pid=os.getpid(), start_boottime_ns=start)
    assert os.getpid() in column(again, "tid", "threads")
    refusal = await client.refused("threads", pid=os.getpid(), start_boottime_ns=start + 10**7)
    assert refusal.code == ErrorCode.NOT_FOUND


async def test_threads_are_cut_and_say_so(two_frames: Any, hub: Hub, connect: Connect, tmp_path: Path) -> None:
    fields = " ".join("0" for _ in range(49))
    for tid in range(20, 20 + 4100):
        folder = tmp_path / "20" / "task" / str(tid)
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{tid} (x) S {fields}\n")
    hub.settings = Settings(10**9, 77, proc=str(tmp_path))
    answer = await connect().call("threads", pid=20)
    assert answer["truncated"] is True
    assert column(answer, "tid", "threads") == list(range(20, 20 + 4096))
    assert (await connect().refused("threads", pid=21)).code == ErrorCode.NOT_FOUND


async def test_the_main_thread_comes_first_whatever_its_number(
    two_frames: Any, hub: Hub, connect: Connect, tmp_path: Path
) -> None:
    """Numbers are given out anew: threads may have lower ones."""
    for tid in (7, 20, 21):
        folder = tmp_path / "20" / "task" / str(tid)
        folder.mkdir(parents=True)
        fields = " ".join(str(tid) if place == 18 else "0" for place in range(49))
        (folder / "stat").write_text(f"{tid} (x) S {fields}\n")
    hub.settings = Settings(10**9, 77, proc=str(tmp_path))
    answer = await connect().call("threads", pid=20)
    assert column(answer, "tid", "threads") == [20, 7, 21]
    start = column(answer, "start_boottime_ns", "threads")[0]
    assert start == 20 * 10**7
    again = await connect().call("threads", pid=20, start_boottime_ns=start)
    assert column(again, "tid", "threads") == [20, 7, 21]


async def test_with_hidepid_threads_are_the_owners(machine: Any, hub: Hub, connect: Connect) -> None:
    host = machine.tables["host"][()]
    machine.tables["host"] = {(): (*host[:4], 2, *host[5:])}
    client = connect()
    hub.take(machine.tick())
    start = column(await client.call("threads", pid=os.getpid()), "start_boottime_ns", "threads")[0]
    machine.put("processes", pid=os.getpid(), start_boottime_ns=start, owner_uid=os.geteuid())
    hub.take(machine.tick())
    assert (await connect(View(False, os.geteuid())).call("threads", pid=os.getpid()))["seq"] == 2
    assert (
        await connect(View(False, os.geteuid() + 1)).refused("threads", pid=os.getpid())
    ).code == ErrorCode.NOT_FOUND
    assert (await connect(STRANGER).refused("threads", pid=os.getpid())).code == ErrorCode.NOT_FOUND
    assert (await client.call("threads", pid=os.getpid()))["seq"] == 2
    assert (await connect(ANN).call("hello"))["sections"]["processes"] == "owner"
    # it became another user's since the newest frame
    another = os.geteuid() + 1000
    machine.put("processes", pid=os.getpid(), start_boottime_ns=start, owner_uid=another)
    hub.take(machine.tick())
    assert (await connect(View(False, another)).refused("threads", pid=os.getpid())).code == ErrorCode.NOT_FOUND
