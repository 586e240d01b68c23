"""The methods about what is remembered: frames and segments of the past, found by time or by number."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby

from ztop_protocol.codec import Wire, encode_frame, encode_pairs, encode_section, frame_head
from ztop_protocol.connection import Arguments, ErrorCode
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import segment_as_map
from ztopd.history.history import Damaged, History, Moment
from ztopd.server import arguments as read
from ztopd.server.access import View
from ztopd.server.client import FRAME_SECTIONS, Client, pack
from ztopd.server.seen import frames_seen

MAX_SEGMENTS = 16
"""The most that ``segments`` answers with at a time."""
SEGMENTS_BYTES = 1 << 20
"""Tracks of so many bytes make an answer, the one that goes beyond it included."""
FIRST_FRAME_SECONDS = 2.0
"""How long a request waits for the first frame where nothing is remembered."""

_LAST_NS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class When:
    """A moment that is asked for: a wall time, or a frame's number."""

    time_ns: int | None
    seq: int | None

    @classmethod
    def maybe_of(cls, arguments: Arguments) -> "When | None":
        """The moment among the arguments; None where there is none."""
        time_ns, seq = time_of(arguments, "time_ns"), time_of(arguments, "seq")
        if time_ns is not None and seq is not None:
            raise read.bad("time_ns, seq: either a time or a number was expected, not both")
        return None if time_ns is None and seq is None else cls(time_ns, seq)


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame as the client may see it, with the one before it, and how far it is from what was asked for."""

    frame: Frame
    previous: Frame | None
    age_ns: int
    gap: bool

    def distance(self) -> dict[str, Wire]:
        """What stands in the answer of it."""
        return {"age_ns": self.age_ns, "gap": self.gap}


def time_of(arguments: Arguments, name: str) -> int | None:
    """A wall time in ns, or a frame's number; None where it is not there."""
    return None if arguments.get(name) is None else read.integer(arguments, name, 0, 0, _LAST_NS)


async def asof(client: Client, arguments: Arguments) -> bytes:
    """The frame that was the newest at a moment, in the form of ``snapshot``, and the one before it if asked."""
    when = When.maybe_of(arguments)
    if when is None:
        raise read.bad("time_ns, seq: one of them is missing")
    names = read.names(arguments, "sections", SECTIONS, FRAME_SECTIONS)
    with_previous = read.flag(arguments, "previous", False)
    async with client.hub.history_turns.of(client.peer.uid):
        found = await seen(client, when, names, with_previous=with_previous)
        return await client.hub.history.aside(lambda: _answer(found, with_previous))


def _answer(found: Seen, with_previous: bool) -> bytes:
    frame, previous = found.frame, found.previous
    pairs = {name: pack(value) for name, value in {**frame_head(frame), **found.distance()}.items()}
    if with_previous:
        pairs["previous"] = pack(None) if previous is None else encode_frame(previous)
    parts = {name: encode_section(name, section) for name, section in frame.sections.items()}
    return encode_pairs({**pairs, "sections": encode_pairs(parts)})


async def seen(client: Client, when: When, names: Collection[str], *, with_previous: bool) -> Seen:
    """The frame of a moment as the client may see it. Takes no turn: the caller has it."""
    history, view = client.hub.history, client.view
    while True:
        found = await _found(client, when)
        before = await history.before(found) if with_previous else None
        try:
            frames = await _frames(history, [found] if before is None else [before, found], names, view)
        except Damaged:
            continue
        previous = None if before is None else frames[0]
        if when.time_ns is None:
            return Seen(frames[-1], previous, 0, False)
        return Seen(frames[-1], previous, found.age_ns(when.time_ns), found.is_before_gap(when.time_ns))


async def _frames(history: History, moments: list[Moment], names: Collection[str], view: View) -> list[Frame]:
    found: list[Frame] = []
    # of one segment both at once: the second costs what changed
    for _, group in groupby(moments, key=lambda moment: id(moment.piece)):
        same = list(group)
        indexes = [moment.index for moment in same]
        found += await history.read(same[0].piece, partial(frames_seen, indexes=indexes, names=names, view=view))
    return found


async def _found(client: Client, when: When) -> Moment:
    history = client.hub.history
    if history.earliest is None:
        await client.hub.newest(FIRST_FRAME_SECONDS)
    if when.time_ns is not None:
        found = await history.at_time(when.time_ns)
        what = "nothing is remembered of that time"
    else:
        assert when.seq is not None
        found = await history.at_seq(when.seq)
        what = f"frame {when.seq} is not remembered"
    if found is not None:
        return found
    earliest = history.earliest
    if earliest is None:
        raise read.Refusal(ErrorCode.NOT_READY, "nothing was sampled yet")
    raise read.Refusal(
        ErrorCode.NOT_FOUND, f"{what}: the oldest frame is of {_local(earliest.time_ns)} (time_ns {earliest.time_ns})"
    )


def _local(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000 / 1000).astimezone().isoformat(timespec="milliseconds")


async def segments(client: Client, arguments: Arguments) -> bytes:
    """The segments with frames of some time, in order, as many as make an answer; the cursor leads to the next."""
    from_ns, to_ns = span_of(arguments)
    names = read.names(arguments, "sections", SECTIONS, FRAME_SECTIONS)
    given_seq = read.integer(arguments, "cursor", -1, 0, _LAST_NS)
    history, view, cutter = client.hub.history, client.view, client.hub.seen_segments
    given: list[Wire] = []
    size_bytes = 0
    async with client.hub.history_turns.of(client.peer.uid):
        for piece in history.pieces(from_ns, to_ns):
            if piece.last.seq <= given_seq:
                continue
            if len(given) == MAX_SEGMENTS or size_bytes >= SEGMENTS_BYTES:
                return pack({"segments": given, "cursor": given_seq})
            try:
                segment = await history.read(piece, partial(cutter.seen, names=names, view=view))
            except Damaged:
                continue
            given.append(segment_as_map(segment))
            given_seq = segment.last.seq
            size_bytes += segment.size_bytes
    return pack({"segments": given, "cursor": None})


async def segment(client: Client, arguments: Arguments) -> bytes:
    """The one segment that has the frame of a moment, or the next one beside a number, and that frame's number."""
    names = read.names(arguments, "sections", SECTIONS, FRAME_SECTIONS)
    given = {name: time_of(arguments, name) for name in ("time_ns", "before_seq", "after_seq")}
    asked = {name: value for name, value in given.items() if value is not None}
    if len(asked) != 1:
        raise read.bad("time_ns, before_seq, after_seq: exactly one of them was expected")
    [(name, value)] = asked.items()
    history = client.hub.history
    async with client.hub.history_turns.of(client.peer.uid):
        while True:
            if name == "time_ns":
                found = await history.at_time(value)
            elif name == "before_seq":
                found = await history.up_to_seq(value - 1)
            else:
                found = await history.after_seq(value)
            if found is None:
                raise read.Refusal(ErrorCode.NOT_FOUND, "nothing is remembered there")
            cut = partial(client.hub.seen_segments.seen, names=names, view=client.view)
            try:
                piece = await history.read(found.piece, cut)
            except Damaged:
                continue
            return pack({"segment": segment_as_map(piece), "seq": found.stamp.seq})


def span_of(arguments: Arguments) -> tuple[int, int]:
    """Both ends of the time that is asked for; everything where they are not there."""
    from_ns, to_ns = time_of(arguments, "from_ns"), time_of(arguments, "to_ns")
    low, high = 0 if from_ns is None else from_ns, _LAST_NS if to_ns is None else to_ns
    if high < low:
        raise read.bad("from_ns, to_ns: the end is before the beginning")
    return low, high


def remembered(history: History) -> dict[str, Wire]:
    """What ``status`` tells of it."""
    ring_oldest, store_oldest = history.ring_oldest, history.store_oldest
    return {
        "ring_frames": history.ring.frames,
        "ring_bytes": history.ring.size_bytes,
        "ring_oldest_time_ns": None if ring_oldest is None else ring_oldest.time_ns,
        "store_bytes": None if history.store is None else history.store.size_bytes,
        "store_oldest_time_ns": None if store_oldest is None else store_oldest.time_ns,
    }
