"""The store of a version whose processes have a column less and one more than this one's.

    python -m tests.ztopd.history.old_store FILE

It was made once; tests open the file that lies beside this one, whatever the schema has become since.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace

import msgpack

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import SECOND
from ztop_protocol.codec import Wire, unpack
from ztop_protocol.frame import Frame, Section
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import EncodedFrame, encode_step

FRAMES = 40
LACKS, HAS = "threads", "shoe_size"
HAS_AT = 5
"""The place of the column that this version does not know."""


def as_written(frame: EncodedFrame) -> EncodedFrame:
    """What that version's sampler would have sent."""
    keyframe = None if frame.keyframe is None else _parts(frame.keyframe)
    return replace(frame, changes=_parts(frame.changes), keyframe=keyframe)


def as_read(frame: Frame) -> Frame:
    """What this version makes of it."""
    place = SECTIONS["processes"].position[LACKS]
    section = frame.sections["processes"]
    rows = {key: (*row[:place], None, *row[place + 1 :]) for key, row in section.rows.items()}
    return replace(frame, sections={**frame.sections, "processes": Section(section.sampled_boottime_ns, rows)})


def _parts(parts: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: _part(part) if name == "processes" else part for name, part in parts.items()}


def _part(part: bytes) -> bytes:
    section = unpack(part)
    names = list(SECTIONS["processes"].names)
    lacks = names.index(LACKS)

    def row(cells: list[Wire], extra: Wire) -> list[Wire]:
        rest = [*cells[:lacks], *cells[lacks + 1 :]]
        return [*rest[:HAS_AT], extra, *rest[HAS_AT:]]

    there = row(names, HAS)
    if "columns" in section:
        section["columns"] = there
        section["rows"] = [row(cells, 43) for cells in section["rows"]]
    else:
        section["new"] = [row(cells, 44) for cells in section["new"]]
        section["changed"] = [
            [*change[:2], *(part for pair in _pairs(change, names, there) for part in pair)]
            for change in section["changed"]
        ]
    packed: bytes = msgpack.packb(section)
    return packed


def _pairs(change: list[Wire], names: list[str], there: list[str]) -> list[tuple[int, Wire]]:
    pairs = [(names[change[at]], change[at + 1]) for at in range(2, len(change), 2)]
    return [(HAS_AT, 45), *((there.index(name), cell) for name, cell in pairs if name != LACKS)]


def main() -> None:
    """Writes the file."""
    writer = RecordingWriter(sys.argv[1], SECOND, segment_frames=30)
    previous = None
    for seq in range(1, FRAMES + 1):
        current = made(seq)
        writer.add(as_written(encode_step(previous, current, whole=writer.needs_keyframe)))
        previous = current
    writer.close()


if __name__ == "__main__":
    main()
