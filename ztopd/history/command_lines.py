"""How much of command lines is remembered: secrets may stand in them, and the past outlives the process."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

import msgpack

from ztop_protocol.codec import Wire, unpack
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import EncodedFrame

_COLUMN = "command_line"
_SECTIONS = frozenset(name for name, schema in SECTIONS.items() if _COLUMN in schema.position)


class CommandLines(StrEnum):
    """What ring and store keep of them; live frames are not changed."""

    FULL = "full"
    NAME = "name"
    """The first word: the program, without its arguments."""
    OFF = "off"


def remembered(frame: EncodedFrame, keep: CommandLines) -> EncodedFrame:
    """The frame as it is to be remembered."""
    if keep is CommandLines.FULL:
        return frame
    keyframe = None if frame.keyframe is None else _cut_parts(frame.keyframe, keep)
    return replace(frame, changes=_cut_parts(frame.changes, keep), keyframe=keyframe)


def _cut_parts(parts: Mapping[str, bytes], keep: CommandLines) -> dict[str, bytes]:
    return {name: _cut_section(name, part, keep) if name in _SECTIONS else part for name, part in parts.items()}


def _cut_section(name: str, part: bytes, keep: CommandLines) -> bytes:
    section = unpack(part)
    if "columns" in section:
        place = section["columns"].index(_COLUMN)
        for row in section["rows"]:
            row[place] = _cut(row[place], keep)
    else:
        schema = SECTIONS[name]
        place = schema.position[_COLUMN]
        for row in section["new"]:
            row[place] = _cut(row[place], keep)
        for change in section["changed"]:
            for number in range(schema.key_length, len(change), 2):
                if change[number] == place:
                    change[number + 1] = _cut(change[number + 1], keep)
    packed: bytes = msgpack.packb(section)
    return packed


def _cut(cell: Wire, keep: CommandLines) -> Wire:
    if keep is CommandLines.OFF or cell is None:
        return None
    return cell.split(b" " if isinstance(cell, bytes) else " ", 1)[0]
