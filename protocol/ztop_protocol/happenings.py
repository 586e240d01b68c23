"""What happened in a segment: the rows of its event sections, and the gaps between its frames."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ztop_protocol.event_kinds import EventKind
from ztop_protocol.frame import Cell, Key, Row
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import Segment, SegmentReader, Stamp
from ztop_protocol.timeline import GAP_INTERVALS

EVENT_SECTIONS = ("events", "process_events", "alerts")
"""The sections whose rows are what happened: those of ``alerts`` stay for a while, and happened where they begin."""

_KIND = SECTIONS["events"].position["kind"]
_SINCE = SECTIONS["alerts"].position["since_boottime_ns"]


@dataclass(frozen=True, slots=True)
class Before:
    """The last frame of the segment before, and how far apart frames were there."""

    stamp: Stamp
    boot_id: str
    interval_ns: int


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened from the frame before to that of ``stamp``: a row of a section by its columns."""

    stamp: Stamp
    cells: dict[str, Cell]


def happenings(segment: Segment, before: Before | None, names: Collection[str] = EVENT_SECTIONS) -> list[Happening]:
    """What happened in the frames later than ``before``, of these sections, in order: by frame, then by section.

    Raises :exc:`ztop_protocol.codec.Malformed`.
    """
    found: dict[int, list[Happening]] = {}
    told_gaps: set[int] = set()
    for name in (name for name in EVENT_SECTIONS if name in names and name in segment.tracks):
        for index, row in _new_rows(segment, name):
            cells = dict(zip(SECTIONS[name].names, row, strict=True))
            found.setdefault(index, []).append(Happening(segment.stamps[index], cells))
            if name == "events" and row[_KIND] == EventKind.GAP:
                told_gaps.add(index)
    for index, duration_ns in _gaps(segment, before):
        if index not in told_gaps:
            found.setdefault(index, []).insert(0, Happening(segment.stamps[index], _gap(duration_ns)))
    after_seq = -1 if before is None else before.stamp.seq
    return [each for index in sorted(found) for each in found[index] if each.stamp.seq > after_seq]


def _new_rows(segment: Segment, name: str) -> Iterator[tuple[int, Row]]:
    """Rows that the frame before did not have, and the place of the frame."""
    reader = SegmentReader(segment)
    before: Collection[Key] = ()
    for index, _ in segment.tracks[name]:
        section = reader.section(name, index)
        rows = {} if section is None else section.rows
        # what a segment begins with may have been sampled for an earlier frame
        if section is not None and (index or section.sampled_boottime_ns > _half_before(segment)):
            for key, row in rows.items():
                if key not in before and (index or name != "alerts" or _began_then(segment, row)):
                    yield index, row
        before = rows


def _began_then(segment: Segment, row: Row) -> bool:
    """Whether a row of ``alerts`` began with the segment's first frame, and not in the segment before."""
    since_ns = row[_SINCE]
    return isinstance(since_ns, int) and since_ns > _half_before(segment)


def _half_before(segment: Segment) -> int:
    return segment.first.boottime_ns - segment.interval_ns // 2


def _gaps(segment: Segment, before: Before | None) -> Iterator[tuple[int, int]]:
    """The places of frames that come later than they were due, and how long after the frame before."""
    for index, stamp in enumerate(segment.stamps):
        if index:
            length_ns, interval_ns = stamp.boottime_ns - segment.stamps[index - 1].boottime_ns, segment.interval_ns
        elif before is not None:
            interval_ns = max(segment.interval_ns, before.interval_ns)
            length_ns = stamp.boottime_ns - before.stamp.boottime_ns
            if before.boot_id != segment.boot_id:
                # wall time is all there is
                length_ns = stamp.time_ns - before.stamp.time_ns
        else:
            continue
        if length_ns > GAP_INTERVALS * interval_ns:
            yield index, length_ns


def _gap(duration_ns: int) -> dict[str, Cell]:
    """In the form of a row of ``events``."""
    return {
        **dict.fromkeys(SECTIONS["events"].names),
        "kind": str(EventKind.GAP),
        "value": duration_ns / 1e9,
        "detail": "nothing was remembered since the frame before",
        "duration_ns": duration_ns,
    }
