"""What is remembered of command lines; live frames are as they were."""

from dataclasses import replace

import pytest

from tests.ztop_client.fake_source import frame, process
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import EncodedFrame, Segment, SegmentReader, encode_step
from ztopd.history.command_lines import CommandLines, remembered

LINES = {1: "/sbin/init", 2: None, 3: "psql --password hunter2", 4: "caf\udce9 s\udce9cret hunter2", 5: "", 6: "a"}
CHANGED = {1: "/sbin/init hunter2", 2: "login hunter2", 3: None, 4: "x", 6: "a"}
NAMES = [
    {1: "/sbin/init", 2: None, 3: "psql", 4: "caf\udce9", 5: "", 6: "a"},
    {1: "/sbin/init", 2: "login", 3: None, 4: "x", 6: "a", 7: "new"},
]
PLACE = SECTIONS["processes"].position["command_line"]


def steps() -> list[EncodedFrame]:
    """A keyframe, and what leads on: cells that change, one that ends, one that begins."""
    first = frame(1, [process(pid, command_line=line) for pid, line in LINES.items()])
    rows = [process(pid, command_line=line, rss_bytes=pid) for pid, line in CHANGED.items()]
    second = frame(2, [*rows, process(7, command_line="new hunter2")])
    return [encode_step(None, first, whole=True), encode_step(first, second, whole=True)]


def walked(made: list[EncodedFrame]) -> list[Frame]:
    segment = Segment.begun_by(made[0], 1)
    segment.add(replace(made[1], keyframe=None))
    reader = SegmentReader(segment)
    return [reader.frame(0), reader.frame(1)]


def without(one: Frame) -> Frame:
    """The frame with no command lines."""
    rows = {key: (*row[:PLACE], None, *row[PLACE + 1 :]) for key, row in one.rows("processes").items()}
    return replace(one, sections={**one.sections, "processes": replace(one.sections["processes"], rows=rows)})


@pytest.mark.parametrize("keep", [CommandLines.NAME, CommandLines.OFF])
def test_nothing_but_the_program_or_not_even_that(keep: CommandLines) -> None:
    given = steps()
    made = [remembered(step, keep) for step in given]
    for step in made:
        for part in (*step.changes.values(), *(step.keyframe or {}).values()):
            assert b"hunter2" not in part
    for before, after, names in zip(walked(given), walked(made), NAMES, strict=True):
        found = {key[0]: row[PLACE] for key, row in after.rows("processes").items()}
        assert found == (names if keep is CommandLines.NAME else dict.fromkeys(names))
        assert without(after) == without(before)
    # a segment that begins with the second frame is the same
    segment = Segment.begun_by(made[1], 1)
    assert SegmentReader(segment).frame(0) == walked(made)[1]


def test_all_of_it() -> None:
    for step in steps():
        assert remembered(step, CommandLines.FULL) is step
