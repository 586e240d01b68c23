"""Nobody learns of the past what is not shown to them now: every method, every section, every view."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ztopd.history.stored import StoreOfTests
from tests.ztopd.server.test_past import SECOND, everything, with_store
from ztop_protocol.codec import FrameDecoder
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Cell, Frame
from ztop_protocol.schema import SECTIONS, Kind, Visibility
from ztop_protocol.segment import SegmentReader, segment_from
from ztopd.server.access import HIDEABLE, View
from ztopd.server.hub import Hub
from ztopd.server.methods import METHODS

Connect = Callable[..., Any]
ANN, BOB, STRANGER, ROOT = View(False, 1000), View(False, 1001), View(False, None), View(True, 0)
FRAMES = 12
BOBS_NUMBER = 777_001_000
BOBS_TEXT = "bob's own"

ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "hello": [{}],
    "status": [{}],
    "ping": [{}],
    "snapshot": [{}],
    "threads": [{"pid": 1}],
    "top": [{"limit": 1000}, {"seq": 5, "limit": 1000}, {"time_ns": 5 * SECOND + 7, "filter": BOBS_TEXT}],
    "asof": [
        {"seq": 5, "previous": True, "sections": list(SECTIONS)},
        {"time_ns": 9 * SECOND + 7, "previous": True, "sections": list(SECTIONS)},
        {"time_ns": 1 << 62, "sections": list(SECTIONS)},
    ],
    "series": [{"from_ns": 0, "to_ns": 20 * SECOND}],
    "events": [{}, {"from_ns": 5 * SECOND, "kinds": ["appeared", "ended"]}, {"cursor": 1 << 17, "limit": 5}],
    "segment": [
        {"time_ns": 5 * SECOND + 7, "sections": list(SECTIONS)},
        {"before_seq": 5, "sections": list(SECTIONS)},
        {"after_seq": 5, "sections": list(SECTIONS)},
    ],
    "segments": [{"sections": list(SECTIONS)}, {"from_ns": 5 * SECOND, "to_ns": 6 * SECOND}, {"cursor": 3}],
}


def is_owners(section: str, hides: bool) -> bool:
    return SECTIONS[section].visibility is Visibility.OWNER or (hides and section in HIDEABLE)


def cells(section: str, number: int, owner_uid: int, is_marked: bool, seq: int) -> dict[str, Cell]:
    """A row, whose cells say that it is Bob's if it is to be marked."""
    schema = SECTIONS[section]
    made: dict[str, Cell] = {}
    for column in schema.columns:
        if column.name == "owner_uid":
            made[column.name] = owner_uid
        elif column.kind is Kind.IDENTITY:
            made[column.name] = str(number) if column.type is str else number
        elif column.type is str:
            made[column.name] = f"{BOBS_TEXT} {number}" if is_marked else f"{number}"
        else:
            made[column.name] = seq + (BOBS_NUMBER if is_marked else 0)
    return made


def fill(machine: Any, hub: Hub, hides: list[bool]) -> None:
    """Frames with a row of root, of Ann and of Bob in every section that has owners; Bob's are marked."""
    hidden_sometime = any(hides)
    machine.tables.clear()
    for seq, hidden in enumerate(hides, 1):
        for name, schema in SECTIONS.items():
            if "owner_uid" not in schema.position:
                machine.put(name, **cells(name, 1, 0, False, seq))
                continue
            for number, uid in ((1, 0), (2, 1000), (3, 1001)):
                is_marked = uid == 1001 and is_owners(name, hidden_sometime)
                machine.put(name, **cells(name, number, uid, is_marked, seq))
        machine.put("host", hidepid=2 if hidden else 0)
        hub.take(machine.tick(keyframe=seq % 4 == 1))


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
            yield from values(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from values(value)
    else:
        yield answer


def tells_of_bob(answer: Any) -> bool:
    return any(
        (isinstance(value, str) and BOBS_TEXT in value)
        or (isinstance(value, int) and BOBS_NUMBER <= value < BOBS_NUMBER + 1000)
        for value in values(answer)
    )


@pytest.fixture(params=["ring", "ring and store"])
def any_hub(request: pytest.FixtureRequest, hub: Hub, tmp_path: Any) -> Iterator[Hub]:
    disk: StoreOfTests | None = with_store(hub, tmp_path) if request.param == "ring and store" else None
    yield hub
    if disk is not None:
        disk.close()


def test_every_method_is_tried() -> None:
    assert ARGUMENTS.keys() == METHODS.keys()


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_no_method_tells_of_what_is_anothers(
    machine: Any, any_hub: Hub, connect: Connect, method: str, hides: bool
) -> None:
    fill(machine, any_hub, [hides] * FRAMES)
    told = {ROOT: False, BOB: False}
    for arguments in ARGUMENTS[method]:
        for view in (ANN, STRANGER, ROOT, BOB):
            try:
                answer = await connect(view).call(method, **arguments)
            except RemoteError:
                continue
            if view in told:
                told[view] |= tells_of_bob(answer)
            else:
                assert not tells_of_bob(answer), (view, arguments)
    # or the test would see nothing at all
    if method in ("snapshot", "top", "asof", "segment", "segments") or (method == "events" and hides):
        assert told == {ROOT: True, BOB: True}


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("view", [ANN, BOB, STRANGER, ROOT], ids=["ann", "bob", "stranger", "root"])
async def test_every_section_is_cut_in_the_past_as_it_is_now(
    machine: Any, any_hub: Hub, connect: Connect, view: View, hides: bool
) -> None:
    fill(machine, any_hub, [hides] * FRAMES)
    client = connect(view)
    now: Frame = FrameDecoder().frame(await client.call("snapshot"))
    for name in now.sections:
        owners = (
            {row[SECTIONS[name].position["owner_uid"]] for row in now.rows(name).values()}
            if is_owners(name, hides)
            else set()
        )
        assert owners <= ({0, 1000, 1001} if view.sees_all else {view.uid})
    last = FrameDecoder().frame(await client.call("asof", seq=FRAMES))
    assert last == now
    told = await everything(client)
    assert len(told) == FRAMES
    assert told[-1] == now
    for frame in told:
        assert frame == FrameDecoder().frame(await client.call("asof", seq=frame.seq))
        assert {name: set(frame.rows(name)) for name in frame.sections} == {
            name: set(now.rows(name)) for name in now.sections
        }


async def test_hidden_in_one_frame_is_hidden_in_the_segment(machine: Any, any_hub: Hub, connect: Connect) -> None:
    """Frames 5 to 8 are a segment; in frame 7 /proc hid processes."""
    fill(machine, any_hub, [seq == 7 for seq in range(1, FRAMES + 1)])
    for frame in await everything(connect(ANN)):
        for name in HIDEABLE & frame.sections.keys():
            owners = {row[SECTIONS[name].position["owner_uid"]] for row in frame.rows(name).values()}
            assert owners == ({1000} if 5 <= frame.seq <= 8 else {0, 1000, 1001})
    for seq, owners in ((6, {0, 1000, 1001}), (7, {1000}), (8, {0, 1000, 1001})):
        frame = FrameDecoder().frame(await connect(ANN).call("asof", seq=seq, previous=True))
        for name in HIDEABLE & frame.sections.keys():
            assert {row[SECTIONS[name].position["owner_uid"]] for row in frame.rows(name).values()} == owners
    assert [set(frame.sections) & HIDEABLE for frame in await everything(connect(STRANGER))] == [
        set() if 5 <= seq <= 8 else HIDEABLE - {"threads"} for seq in range(1, FRAMES + 1)
    ]


async def test_without_a_host_everything_that_could_be_hidden_is(machine: Any, hub: Hub, connect: Connect) -> None:
    fill(machine, hub, [False] * 4)
    del machine.tables["host"]
    hub.take(machine.tick())
    (frame, *_), hidden = await everything(connect(ANN)), HIDEABLE - {"threads"}
    for name in hidden:
        assert {row[SECTIONS[name].position["owner_uid"]] for row in frame.rows(name).values()} == {1000}


async def test_a_process_that_changes_hands_is_gone_for_its_owner_before(
    machine: Any, hub: Hub, connect: Connect
) -> None:
    for seq in range(1, 9):
        machine.process(20, 1000 if seq < 4 else 1001, user_time_ns=seq)
        hub.take(machine.tick(keyframe=seq == 1))
    for uid, seqs in ((1000, range(1, 4)), (1001, range(4, 9))):
        told = await everything(connect(View(False, uid)), sections=["process_io"])
        assert [frame.seq for frame in told if (20, 20 * SECOND) in frame.rows("process_io")] == list(seqs)
