"""The methods for a strip of time: its curves, and what happened in it. Both are made of many segments, one by one."""

import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby

from ztop_protocol.codec import Wire, portable
from ztop_protocol.connection import Arguments
from ztop_protocol.event_kinds import AlertKind, EventKind, ProcessEventKind
from ztop_protocol.happenings import Before, Happening, happenings
from ztop_protocol.series import COLUMNS, Part, rows_of, step_for
from ztop_protocol.timeline import milliseconds
from ztopd.history.history import Damaged, Kept
from ztopd.server import arguments as read
from ztopd.server.client import Client, pack
from ztopd.server.past import span_of

MAX_POINTS = 2000
POINTS = 600
MAX_EVENTS = 1000
ANSWER_SECONDS = 1.0
"""What takes longer is answered as far as it went."""

_KINDS = {
    "events": frozenset(map(str, EventKind)),
    "process_events": frozenset(map(str, ProcessEventKind)),
    "alerts": frozenset(map(str, AlertKind)),
}
_ALL_KINDS = tuple(map(str, (*EventKind, *ProcessEventKind, *AlertKind)))
_IN_FRAME_BITS = 16
"""A cursor of ``events`` is a frame's number and how many events of it were given."""


async def series(client: Client, arguments: Arguments) -> bytes:
    """A few curves at the resolution of a strip, newest first where there is no time for all of it."""
    if arguments.get("from_ns") is None or arguments.get("to_ns") is None:
        raise read.bad("from_ns, to_ns: both ends of the time are needed")
    from_ns, to_ns = span_of(arguments)
    points = read.integer(arguments, "points", POINTS, 1, MAX_POINTS)
    columns = read.names(arguments, "columns", COLUMNS, COLUMNS)
    hub, history = client.hub, client.hub.history
    at_least_ns = max((piece.interval_ns for piece in history.pieces(from_ns, to_ns)), default=hub.settings.interval_ns)
    step_ns = step_for(from_ns, to_ns, points, at_least_ns)
    first, last = from_ns // step_ns, to_ns // step_ns
    # the steps at both ends are whole, and the first frame has one before it
    pieces = history.pieces(max(0, first * step_ns - 4 * at_least_ns), (last + 1) * step_ns)
    parts: list[Part] = []
    is_complete = True
    async with hub.history_turns.of(client.peer.uid):
        give_up = time.monotonic() + ANSWER_SECONDS
        for number in range(len(pieces) - 1, -1, -1):
            if parts and time.monotonic() > give_up:
                is_complete = False
                break
            after_seq = pieces[number - 1].last.seq if number else -1
            try:
                parts.append(
                    await history.read(pieces[number], partial(hub.curves.part, step_ns=step_ns, after_seq=after_seq))
                )
            except Damaged:
                continue
        rows = await history.aside(lambda: rows_of(reversed(parts), step_ns, first, last))
    if columns != COLUMNS:
        places = [0, *(COLUMNS.index(name) + 1 for name in columns)]
        rows = [[row[place] for place in places] for row in rows]
    return pack({"step_ns": step_ns, "complete": is_complete, "columns": ["time_ns", *columns], "rows": rows})


async def events(client: Client, arguments: Arguments) -> bytes:
    """What happened in some time, in order, as much as makes an answer; the cursor leads to the next."""
    from_ns, to_ns = span_of(arguments)
    low, high = milliseconds(from_ns), milliseconds(to_ns)
    # by default those of another version too, which a store may hold
    asked = None if arguments.get("kinds") is None else frozenset(read.names(arguments, "kinds", _ALL_KINDS, ()))
    limit = read.integer(arguments, "limit", MAX_EVENTS, 1, MAX_EVENTS)
    reached = read.integer(arguments, "cursor", -1, 0, (1 << 63) - 1)
    names = [name for name, of_section in _KINDS.items() if asked is None or asked & of_section]
    hub, history = client.hub, client.hub.history

    def told(piece: Kept, before: Before | None) -> list[Happening]:
        return happenings(hub.seen_segments.seen(piece, names, client.view).opened(), before)

    given: list[Wire] = []
    before: Before | None = None
    async with hub.history_turns.of(client.peer.uid):
        give_up = time.monotonic() + ANSWER_SECONDS
        for piece in history.pieces(0, to_ns):
            end = _position(piece.last.seq, (1 << _IN_FRAME_BITS) - 1)
            if end > reached and milliseconds(piece.last.time_ns) >= low:
                if time.monotonic() > give_up:
                    return pack({"events": given, "cursor": max(reached, 0)})
                try:
                    happened = await history.read(piece, partial(told, before=before))
                except Damaged:
                    happened = []
                for position, each in _placed(happened):
                    is_then = low <= milliseconds(each.stamp.time_ns) <= high
                    if position <= reached or not is_then or (asked is not None and each.cells["kind"] not in asked):
                        continue
                    if len(given) == limit:
                        return pack({"events": given, "cursor": reached})
                    given.append(_as_map(each))
                    reached = position
                reached = max(reached, end)
            before = Before(piece.last, piece.boot_id, piece.interval_ns)
    return pack({"events": given, "cursor": None})


def _placed(happened: Iterable[Happening]) -> Iterator[tuple[int, Happening]]:
    """Each with what a cursor says that leads past it."""
    for seq, of_frame in groupby(happened, key=lambda each: each.stamp.seq):
        yield from ((_position(seq, number), each) for number, each in enumerate(of_frame))


def _position(seq: int, in_frame: int) -> int:
    return seq << _IN_FRAME_BITS | in_frame


def _as_map(happening: Happening) -> dict[str, Wire]:
    cells = {name: portable(cell) for name, cell in happening.cells.items()}
    return {"time_ns": happening.stamp.time_ns, "seq": happening.stamp.seq, **cells}
