"""The method ``segment``: the segment of a moment, for whoever walks from frame to frame."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ztopd.server.test_past import FRAMES, remember, with_store
from ztop_protocol.connection import ErrorCode
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import SegmentReader, segment_from
from ztopd.server.access import View
from ztopd.server.hub import Hub

Connect = Callable[..., Any]


@pytest.fixture(params=["ring", "ring and store"])
def remembered(request: pytest.FixtureRequest, machine: Any, hub: Hub, tmp_path: Path) -> Iterator[list[Frame]]:
    disk = with_store(hub, tmp_path) if request.param == "ring and store" else None
    yield remember(machine, hub, FRAMES)
    if disk is not None:
        disk.close()


async def found(client: Any, **asked: int) -> Frame:
    answer = await client.call("segment", **asked)
    segment = segment_from(answer["segment"])
    [index] = [index for index, stamp in enumerate(segment.stamps) if stamp.seq == answer["seq"]]
    return SegmentReader(segment.opened()).frame(index)


async def test_walking_back_and_on_meets_every_frame(remembered: list[Frame], connect: Connect) -> None:
    client = connect()
    seq, back = FRAMES + 1, []
    while seq > 1:
        frame = await found(client, before_seq=seq)
        back.append(frame)
        seq = frame.seq
    assert [frame.seq for frame in back] == [frame.seq for frame in reversed(remembered)]
    for frame, expected in zip(reversed(back), remembered, strict=True):
        assert frame.sections["processes"].rows == expected.sections["processes"].rows
    seq, on = 0, []
    while seq < FRAMES:
        seq = (await found(client, after_seq=seq)).seq
        on.append(seq)
    assert on == [frame.seq for frame in remembered]


async def test_a_time_is_that_of_asof(remembered: list[Frame], connect: Connect) -> None:
    client = connect()
    for frame in remembered:
        assert (await found(client, time_ns=frame.time_ns)).seq == frame.seq
        assert (await found(client, time_ns=frame.time_ns + 1)).seq == frame.seq
    assert (await found(client, time_ns=(1 << 63) - 1)).seq == FRAMES


async def test_the_ends(remembered: list[Frame], connect: Connect) -> None:
    client = connect()
    for asked in ({"before_seq": 1}, {"after_seq": FRAMES}, {"time_ns": remembered[0].time_ns - 10**7}):
        assert (await client.refused("segment", **asked)).code == ErrorCode.NOT_FOUND


@pytest.mark.parametrize("asked", [{}, {"time_ns": 1, "before_seq": 1}, {"seq": 4}])
async def test_exactly_one_moment(remembered: list[Frame], connect: Connect, asked: dict[str, int]) -> None:
    refusal = await connect().refused("segment", **asked)
    assert refusal.code == ErrorCode.BAD_ARGUMENTS


async def test_io_is_the_owners(remembered: list[Frame], connect: Connect) -> None:
    theirs = await found(connect(View(False, 1001)), before_seq=FRAMES + 1)
    everything = await found(connect(View(True, 0)), before_seq=FRAMES + 1)
    owner = SECTIONS["process_io"].position["owner_uid"]
    assert {row[owner] for row in theirs.rows("process_io").values()} == {1001}
    assert {row[owner] for row in everything.rows("process_io").values()} > {1001}
    assert theirs.rows("processes") == everything.rows("processes")
