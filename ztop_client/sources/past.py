"""What was: frames of a time before, out of a recording or of what a daemon remembers."""

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, TypeVar

from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.locate import Located, running
from ztop_client.moments import moment_text, parse_moment
from ztop_client.sources.source import Pair
from ztop_protocol.codec import FrameDecoder, Malformed, Wire
from ztop_protocol.connection import ErrorCode, RemoteError
from ztop_protocol.frame import Frame
from ztop_protocol.recording_reader import RecordingReader, StoredSegment
from ztop_protocol.segment import Segment, SegmentReader, segment_from
from ztop_protocol.timeline import Place, Timeline, frames

CALL_SECONDS = 10.0
"""What lies on a disk takes its time."""
LOOK_BACK_FRAMES = 15
"""So far back sections that are sampled seldom are looked for: the slowest has its turn every 10 s."""
_LATEST_NS = (1 << 63) - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moment:
    """The machine as it was. ``age_ns``: how much older the frame is than what was asked for, in whole milliseconds.

    ``gap``: nothing was kept in between although something was due.
    """

    pair: Pair
    age_ns: int
    gap: bool


class NothingThen(Exception):
    """Nothing is kept of that time; the sentence says since when there is something."""


class Past(Protocol):
    """Frames that can be asked for by wall time. All times are wall time in ns."""

    @property
    def title(self) -> str:
        """What is read, for a title line: ``replay incident.ztop``, ``ztopd /run/ztopd/ztopd.sock``."""

    def span(self) -> tuple[int, int] | None:
        """The times of the oldest and of the newest frame; None where there is none."""

    def at(self, time_ns: int, sections: Collection[str] | None = None) -> Moment:
        """The frame with the greatest time that is not after ``time_ns``, with these sections, or all.

        Raises :exc:`NothingThen`.
        """

    def frames(self, from_ns: int, to_ns: int, sections: Collection[str] | None = None) -> Iterator[Frame]:
        """The frames of that time, both ends included, in the order in which they were made, each once."""

    def close(self) -> None:
        """Ends it; nothing may be called afterwards."""


def pairs(past: Past, from_ns: int, to_ns: int, sections: Collection[str] | None = None) -> Iterator[Pair]:
    """As :meth:`Past.frames`, each one with what its rates are computed against: for the first one, what was before."""
    pair: Pair | None = None
    for frame in past.frames(from_ns, to_ns, sections):
        pair = _beginning_with(past, frame, sections) if pair is None else pair.followed_by(frame)
        # one that is no newer than the last changes nothing
        if pair.current is frame:
            yield pair


def _beginning_with(past: Past, frame: Frame, sections: Collection[str] | None) -> Pair:
    try:
        pair = past.at(frame.time_ns, sections).pair
    except NothingThen:
        return Pair(None, frame)
    # where the clock was set back, another frame may have that time too
    return Pair(pair.previous if pair.current.seq == frame.seq else None, frame)


class RecordedPast:
    """A recording, to its present end, as a :class:`Past`. What is damaged is left out and told in ``notes``."""

    def __init__(self, path: str) -> None:
        """Raises :exc:`ztop_protocol.recording_format.RecordingError`, one sentence, where there is nothing to read."""
        self._reader = RecordingReader(path)
        self.path = path
        self.title = f"replay {os.path.basename(path)}"

    @property
    def notes(self) -> list[str]:
        """What is wrong with the file, in words."""
        return self._reader.notes

    @property
    def timeline(self) -> Timeline[StoredSegment | Segment]:
        """All that was recorded."""
        return self._reader.timeline

    def span(self) -> tuple[int, int] | None:
        """Of its first and its last frame."""
        oldest, last = self._reader.timeline.oldest(), self._reader.timeline.last()
        return None if oldest is None or last is None else (oldest.stamp.time_ns, last.stamp.time_ns)

    def at(self, time_ns: int, sections: Collection[str] | None = None) -> Moment:
        """The frame of that time, each section's rates by the one sampled before it."""
        try:
            place = self._reader.timeline.at_time(time_ns)
            if place is None:
                raise self._nothing_at(time_ns)
            return Moment(self._pair(place, sections), place.age_ns(time_ns), place.is_before_gap(time_ns))
        except (Malformed, sqlite3.Error) as error:
            raise NothingThen(f"{self.path}: what was recorded then is damaged: {error}") from None

    def _nothing_at(self, time_ns: int) -> NothingThen:
        span = self.span()
        since = "there is no frame" if span is None else f"the first frame is of {moment_text(span[0])}"
        return NothingThen(f"{self.path} has nothing of {moment_text(time_ns)}: {since}")

    def _pair(self, place: Place[StoredSegment | Segment], sections: Collection[str] | None) -> Pair:
        places = [place]
        while len(places) <= LOOK_BACK_FRAMES:
            before = self._reader.timeline.before(places[-1])
            if before is None or before.piece.boot_id != place.piece.boot_id:
                break
            places.append(before)
        pair: Pair | None = None
        for piece, there in groupby(reversed(places), key=lambda place: place.piece):
            reader = SegmentReader(piece.opened(sections))
            for one in there:
                frame = reader.frame(one.index, sections)
                pair = Pair(None, frame) if pair is None else pair.followed_by(frame)
        assert pair is not None
        return pair

    def frames(self, from_ns: int, to_ns: int, sections: Collection[str] | None = None) -> Iterator[Frame]:
        """What is damaged is passed over and noted."""
        for piece in self._reader.timeline.between(from_ns, to_ns):
            try:
                yield from frames([piece], from_ns, to_ns, sections)
            except (Malformed, sqlite3.Error) as error:
                self.notes.append(f"what was recorded after {moment_text(piece.first.time_ns)} is damaged: {error}")

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()


class RememberedPast:
    """What a daemon remembers, as a :class:`Past`, over a channel that it takes over, as it does ``located``.

    Every method raises :exc:`DaemonUnreachable`, and :exc:`RemoteError` for an answer that is an error.
    """

    def __init__(self, channel: Channel, title: str, located: Located | None = None) -> None:
        self._channel = channel
        self._located = located
        self.title = title

    def span(self) -> tuple[int, int] | None:
        """What the daemon says of itself."""
        status, newest = self._call("status", {}), self._call("ping", {}).get("time_ns")
        known = (status.get("ring_oldest_time_ns"), status.get("store_oldest_time_ns"))
        oldest = [time_ns for time_ns in known if isinstance(time_ns, int)]
        return (min(oldest), newest) if oldest and isinstance(newest, int) else None

    def at(self, time_ns: int, sections: Collection[str] | None = None) -> Moment:
        """The frame of that time, its rates by the frame before it."""
        answer = self._call("asof", {"time_ns": time_ns, "previous": True, **_named(sections)})
        return _understood(_moment, answer)

    def frames(self, from_ns: int, to_ns: int, sections: Collection[str] | None = None) -> Iterator[Frame]:
        """Asked for as they are taken, some segments at a time."""
        low, high = max(from_ns, 0), min(to_ns, _LATEST_NS)
        if high < low:
            return
        asked: dict[str, Wire] = {"from_ns": low, "to_ns": high, **_named(sections)}
        last_seq, cursor = -1, None
        while True:
            answer = self._call("segments", asked if cursor is None else {**asked, "cursor": cursor})
            segments = answer.get("segments")
            if not isinstance(segments, list):
                raise _wrong_answer(Malformed("segments: a list was expected"))
            for one in segments:
                # segments may overlap
                for frame in _frames_of(one, from_ns, to_ns, sections):
                    if frame.seq > last_seq:
                        last_seq = frame.seq
                        yield frame
            before, cursor = cursor, answer.get("cursor")
            if cursor is None:
                return
            if cursor == before:
                raise _wrong_answer(Malformed("segments: the cursor stands still"))

    def hand_over(self) -> Located | None:
        """The daemon, which is not ended then when this is closed."""
        located, self._located = self._located, None
        return located

    def close(self) -> None:
        """Ends the connection, and what was started for it."""
        self._channel.close()
        if self._located is not None:
            self._located.daemon.close()

    def _call(self, method: str, arguments: dict[str, Wire]) -> dict[Any, Wire]:
        try:
            answer = self._channel.call(method, arguments, CALL_SECONDS)
        except RemoteError as error:
            if error.code == ErrorCode.UNKNOWN_METHOD:
                raise NothingThen(f"{self.title} is of a version that does not remember") from error
            if error.code in (ErrorCode.NOT_FOUND, ErrorCode.NOT_READY):
                raise NothingThen(error.sentence) from error
            raise
        if not isinstance(answer, dict):
            raise _wrong_answer(Malformed(f"{method}: a map was expected"))
        return answer


def _named(sections: Collection[str] | None) -> dict[str, Wire]:
    return {} if sections is None else {"sections": list(sections)}


def _frames_of(value: Wire, from_ns: int, to_ns: int, sections: Collection[str] | None) -> Iterator[Frame]:
    try:
        yield from frames([_understood(segment_from, value)], from_ns, to_ns, sections)
    except Malformed as error:
        raise _wrong_answer(error) from error


def _moment(answer: Wire) -> Moment:
    frame = FrameDecoder().frame(answer)
    assert isinstance(answer, dict)
    age_ns, before = answer.get("age_ns"), answer.get("previous")
    if type(age_ns) is not int:
        raise Malformed("asof: an age was expected")
    pair = Pair(None, frame) if before is None else Pair(None, FrameDecoder().frame(before)).followed_by(frame)
    return Moment(pair, age_ns, answer.get("gap") is True)


def _understood(read: Callable[[Wire], T], value: Wire) -> T:
    try:
        return read(value)
    except Malformed as error:
        raise _wrong_answer(error) from error


def _wrong_answer(error: Malformed) -> DaemonUnreachable:
    return DaemonUnreachable(f"what answers does not speak ztopd's protocol: {error}")


def open_past(
    replay_path: str | None, socket_path: str | None, ssh_host: str | None = None
) -> RecordedPast | RememberedPast:
    """The recording, or else the memory of the daemon at ``socket_path``, or of the one that is found.

    ``ssh_host``: see :func:`running`. Raises :exc:`ztop_protocol.recording_format.RecordingError` and
    :exc:`DaemonUnreachable`.
    """
    if replay_path is not None:
        return RecordedPast(replay_path)
    found = running(socket_path, ssh_host)
    if found is None:
        raise DaemonUnreachable("no ztopd is running that could remember: start one, or name its socket with --socket")
    try:
        return RememberedPast(Channel(found.daemon.connect()), found.daemon.title, found)
    except BaseException:
        found.daemon.close()
        raise


def asked_ns(past: Past, text: str | None, default_ns: int) -> int:
    """A time that a person asked for, in the words of :func:`parse_moment`. The end of a recording is its present."""
    if text is None:
        return default_ns
    span = past.span() if isinstance(past, RecordedPast) else None
    return parse_moment(text, time.time_ns() if span is None else span[1])


def note(past: Past) -> str | None:
    """What is wrong with a recording, in one sentence."""
    if not isinstance(past, RecordedPast) or not past.notes:
        return None
    notes = past.notes
    more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
    return f"{past.path}: {notes[0]}{more}"
