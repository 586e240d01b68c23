"""What a daemon would answer about the past, answered from a recording: so rewind is the same with and without one."""

import sqlite3
from collections.abc import Iterator
from typing import TypeAlias

from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import Malformed, Wire, portable
from ztop_protocol.connection import Arguments
from ztop_protocol.event_kinds import AlertKind, EventKind, ProcessEventKind
from ztop_protocol.happenings import Before, happenings
from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.segment import SealedSegment, Segment, segment_as_map
from ztop_protocol.series import COLUMNS, SECTION, part_of, rows_of, step_for
from ztop_protocol.timeline import Place, Timeline, milliseconds, place_from, place_up_to

Recorded: TypeAlias = Timeline[StoredSegment | Segment]

_SEGMENTS = 4
"""The most that one answer of ``segments`` holds: whoever asks does it while the screen waits."""
_MOST_EVENTS = 1000
_END_OF_TIME_NS = (1 << 63) - 1
_EVENT_SECTIONS = {
    "events": frozenset(EventKind),
    "process_events": frozenset(ProcessEventKind),
    "alerts": frozenset(AlertKind),
}


def answer(timeline: Recorded, method: str, arguments: Arguments) -> Wire | RequestFailed:
    """The answer of a daemon that remembers just that, as PROTOCOL.md has it; arguments are taken to be in order."""
    try:
        match method:
            case "segment":
                return _segment(timeline, arguments)
            case "segments":
                return _segments(timeline, arguments)
            case "series":
                return _series(timeline, arguments)
            case "events":
                return _events(timeline, arguments)
            case "status":
                oldest_ns = min(piece.first.time_ns for piece in timeline)
                return {"ring_oldest_time_ns": oldest_ns, "store_oldest_time_ns": None}
            case "ping":
                return _ping(timeline)
            case _:
                return RequestFailed("a recording does not answer that")
    except (Malformed, sqlite3.Error) as error:
        return RequestFailed(f"what was recorded there is damaged: {error}")


def _sealed(piece: StoredSegment | Segment) -> SealedSegment:
    return piece.sealed()


def _ping(timeline: Recorded) -> Wire:
    last = timeline.last()
    assert last is not None, "there is no recording without a frame"
    return {"seq": last.stamp.seq, "time_ns": last.stamp.time_ns}


def _segment(timeline: Recorded, arguments: Arguments) -> Wire | RequestFailed:
    place: Place[StoredSegment | Segment] | None = None
    if (time_ns := arguments.get("time_ns")) is not None:
        place = timeline.at_time(time_ns)
    elif (before_seq := arguments.get("before_seq")) is not None:
        piece = timeline.up_to_seq(before_seq - 1)
        place = None if piece is None else place_up_to(piece, before_seq - 1)
    elif (after_seq := arguments.get("after_seq")) is not None:
        piece = next((piece for piece in timeline if piece.last.seq > after_seq), None)
        place = None if piece is None else place_from(piece, after_seq + 1)
    if place is None:
        return RequestFailed("nothing was recorded there")
    return {"segment": segment_as_map(_sealed(place.piece)), "seq": place.stamp.seq}


def _span(arguments: Arguments) -> tuple[int, int]:
    return arguments.get("from_ns", 0), arguments.get("to_ns", _END_OF_TIME_NS)


def _segments(timeline: Recorded, arguments: Arguments) -> Wire:
    given_seq: int = arguments.get("cursor", -1)
    pieces = [piece for piece in timeline.between(*_span(arguments)) if piece.last.seq > given_seq]
    given = [segment_as_map(_sealed(piece)) for piece in pieces[:_SEGMENTS]]
    return {"segments": given, "cursor": pieces[_SEGMENTS - 1].last.seq if len(pieces) > _SEGMENTS else None}


def _series(timeline: Recorded, arguments: Arguments) -> Wire:
    from_ns, to_ns = _span(arguments)
    at_least_ns = max((piece.interval_ns for piece in timeline.between(from_ns, to_ns)), default=1_000_000_000)
    step_ns = step_for(from_ns, to_ns, arguments.get("points", 600), at_least_ns)
    first, last = from_ns // step_ns, to_ns // step_ns
    pieces = timeline.between(first * step_ns - 4 * at_least_ns, (last + 1) * step_ns)
    parts = [part_of(piece.opened((SECTION,)), step_ns, -1) for piece in pieces]
    rows = rows_of(parts, step_ns, first, last)
    return {"step_ns": step_ns, "complete": True, "columns": ["time_ns", *COLUMNS], "rows": rows}


def _events(timeline: Recorded, arguments: Arguments) -> Wire:
    kinds = frozenset(arguments.get("kinds") or (*EventKind, *ProcessEventKind, *AlertKind))
    names = [name for name, of_section in _EVENT_SECTIONS.items() if kinds & of_section]
    low, high = map(milliseconds, _span(arguments))
    found = [
        event
        for event in _happened(timeline, names, high)
        if event["kind"] in kinds and low <= milliseconds(event["time_ns"]) <= high
    ]
    return {"events": found[: arguments.get("limit", _MOST_EVENTS)], "cursor": None}


def _happened(timeline: Recorded, names: list[str], high: int) -> Iterator[dict[str, Wire]]:
    before: Before | None = None
    for piece in timeline:
        if milliseconds(piece.first.time_ns) > high:
            return
        for each in happenings(piece.opened(names), before, names):
            cells = {name: portable(cell) for name, cell in each.cells.items()}
            yield {"time_ns": each.stamp.time_ns, "seq": each.stamp.seq, **cells}
        before = Before(piece.last, piece.boot_id, piece.interval_ns)
