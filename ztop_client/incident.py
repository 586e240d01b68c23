"""The incident file: a span of the past as a recording of its own, to be shown to somebody else."""

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from ztop_protocol.frame import Cell, Frame, Row, Section
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_format import RecordingError
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import encode_step, may_follow

_REDACTED: dict[str, tuple[int, ...]] = {
    "processes": tuple(SECTIONS["processes"].position[name] for name in ("command_line", "user")),
    "host": (SECTIONS["host"].position["hostname"],),
}
_DROPPED = frozenset({"process_executables"})
"""Paths of programs: many lie in somebody's home."""
_REMEMBERED = 1 << 16


def redacted(frame: Frame) -> Frame:
    """The frame without command lines, paths of programs, names of users and of the machine: they are absent."""
    sections = {name: _without(name, section) for name, section in frame.sections.items() if name not in _DROPPED}
    return replace(frame, sections=sections)


def _without(name: str, section: Section) -> Section:
    places = _REDACTED.get(name)
    if places is None:
        return section
    return replace(section, rows={key: _row_without(row, places) for key, row in section.rows.items()})


@lru_cache(maxsize=_REMEMBERED)
def _row_without(row: Row, places: tuple[int, ...]) -> Row:
    """The same object for the same row: what did not change costs nothing to be written."""
    cells: list[Cell] = list(row)
    for place in places:
        cells[place] = None
    return tuple(cells)


def incident_path(time_ns: int, folder: str = "") -> str:
    """A name for the file, after the moment that it is about; one that is not there yet."""
    stem = os.path.join(folder, f"ztop-{datetime.fromtimestamp(time_ns / 1e9):%Y-%m-%d-%H%M%S}")
    number, path = 1, f"{stem}.ztop"
    while os.path.exists(path):
        number += 1
        path = f"{stem}-{number}.ztop"
    return path


def save(frames: Iterable[Frame], path: str, interval_ns: int, *, redact: bool = False) -> int:
    """Writes the frames to a new file; returns how many. Raises :exc:`RecordingError`, one sentence."""
    if os.path.lexists(path):
        raise RecordingError(f"{path} is there already")
    count = 0
    before: Frame | None = None
    writer: RecordingWriter | None = None
    try:
        for frame in frames:
            shown = redacted(frame) if redact else frame
            if writer is None:
                writer = RecordingWriter(path, interval_ns)
            if before is not None and not may_follow(before, shown):
                before = None
            writer.add(encode_step(before, shown, whole=writer.needs_keyframe))
            before, count = shown, count + 1
    except (OSError, sqlite3.Error) as error:
        raise RecordingError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if writer is not None:
            writer.close()
    if not count:
        raise RecordingError("nothing is remembered of that time: nothing was written")
    return count
