"""The past is cut to a view as the present is: every section, every view. test_every_method_access has the methods."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ztopd.history.stored import StoreOfTests
from tests.ztopd.server.test_past import everything, with_store
from ztop_protocol.codec import FrameDecoder
from ztop_protocol.frame import Cell, Frame
from ztop_protocol.schema import SECTIONS, Kind, Visibility
from ztopd.server.access import HIDEABLE, View
from ztopd.server.hub import Hub

Connect = Callable[..., Any]
ANN, BOB, STRANGER, ROOT = View(False, 1000), View(False, 1001), View(False, None), View(True, 0)
FRAMES = 12


def is_owners(section: str, hides: bool) -> bool:
    return SECTIONS[section].visibility is Visibility.OWNER or (hides and section in HIDEABLE)


def fill(machine: Any, hub: Hub, hides: list[bool]) -> None:
    """Frames with a row of root, of Ann and of Bob in every section that has owners."""
    machine.tables.clear()
    for seq, hidden in enumerate(hides, 1):
        for name, schema in SECTIONS.items():
            owners = (0, 1000, 1001) if "owner_uid" in schema.position else (None,)
            for number, uid in enumerate(owners, 1):
                cells: dict[str, Cell] = {}
                for column in schema.columns:
                    value = number if column.kind is Kind.IDENTITY else seq
                    cells[column.name] = str(value) if column.type is str else value
                machine.put(name, **cells | ({} if uid is None else {"owner_uid": uid}))
        machine.put("host", hidepid=2 if hidden else 0)
        hub.take(machine.tick(keyframe=seq % 4 == 1))


@pytest.fixture(params=["ring", "ring and store"])
def any_hub(request: pytest.FixtureRequest, hub: Hub, tmp_path: Any) -> Iterator[Hub]:
    disk: StoreOfTests | None = with_store(hub, tmp_path) if request.param == "ring and store" else None
    yield hub
    if disk is not None:
        disk.close()


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
