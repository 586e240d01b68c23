"""Segments and their frames as a view may see them. All of it is work for the history's thread."""

from collections.abc import Collection, Sequence

from ztop_protocol.codec import encode_section, encode_section_change
from ztop_protocol.frame import Frame, Section, diff_section
from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import SealedSegment, Segment, SegmentReader, Step, pack_steps, seal
from ztopd.history.cache import Cache
from ztopd.history.history import Kept, PieceName, name_of
from ztopd.server.access import HIDEABLE, Access, View, hides_processes, rows_of, visible

_MOST_CUT_BYTES = 8 << 20
_MOST_HOSTS = 4096


def frames_seen(piece: Kept, indexes: Sequence[int], names: Collection[str], view: View) -> list[Frame]:
    """The frames at these indexes, in their order, with what the view may see of these sections.

    Raises :exc:`ztop_protocol.codec.Malformed`, :exc:`sqlite3.Error`.
    """
    asks_host = _asks_host(view, names)
    wanted = {*names, "host"} if asks_host else names
    reader = SegmentReader(piece.opened(wanted))
    found: list[Frame] = []
    for index in indexes:
        frame = reader.frame(index, wanted)
        hides = asks_host and hides_processes(frame.sections.get("host"))
        cut = {name: visible(view, name, part, hides) for name, part in frame.sections.items() if name in names}
        sections = {name: section for name, section in cut.items() if section is not None}
        found.append(Frame(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id, sections))
    return found


class SeenSegments:
    """Segments with the tracks that a view may see. Public ones are handed on as they lie."""

    def __init__(self) -> None:
        self._growing: Cache[PieceName, SealedSegment] = Cache(1)
        self._hides: Cache[PieceName, bool] = Cache(_MOST_HOSTS)
        self._cut: Cache[tuple[PieceName, str, int], bytes] = Cache(_MOST_CUT_BYTES, len)

    def seen(self, piece: Kept, names: Collection[str], view: View) -> SealedSegment:
        """A segment cut to a view: tracks of which nothing may be seen are left out.

        One frame in which /proc hid processes hides them in the whole segment. Raises
        :exc:`ztop_protocol.codec.Malformed`, :exc:`sqlite3.Error`.
        """
        asks_host = _asks_host(view, names)
        sealed = self._sealed(piece, {*names, "host"} if asks_host else names)
        hides = asks_host and self._hides.get(name_of(piece), lambda: _hides(sealed.opened(("host",))))
        tracks: dict[str, bytes] = {}
        for name, track in sealed.tracks.items():
            access = view.access(name, hides)
            if name not in names or access is Access.NOTHING:
                continue
            tracks[name] = track if access is Access.ALL else self._own(sealed, piece, name, view)
        return SealedSegment(sealed.boot_id, sealed.interval_ns, sealed.stamps, tracks)

    def _sealed(self, piece: Kept, names: Collection[str]) -> SealedSegment:
        if isinstance(piece, StoredSegment):
            return piece.sealed(names)
        sealed = self._growing.get(name_of(piece), piece.sealed) if isinstance(piece, Segment) else piece
        tracks = {name: track for name, track in sealed.tracks.items() if name in names}
        return SealedSegment(sealed.boot_id, sealed.interval_ns, sealed.stamps, tracks)

    def _own(self, sealed: SealedSegment, piece: Kept, name: str, view: View) -> bytes:
        uid = view.uid
        assert uid is not None
        return self._cut.get((name_of(piece), name, uid), lambda: _cut(sealed.opened((name,)), name, uid))


def _asks_host(view: View, names: Collection[str]) -> bool:
    """Whether it matters to anybody if /proc hides processes."""
    return not view.sees_all and not HIDEABLE.isdisjoint(names)


def _hides(segment: Segment) -> bool:
    """Whether /proc hid processes in any frame; when that is unknown, it did."""
    track = segment.tracks.get("host")
    if not track or track[0][0] != 0:
        return True
    reader = SegmentReader(segment)
    return any(hides_processes(reader.section("host", index)) for index, _ in track)


def _cut(segment: Segment, name: str, uid: int) -> bytes:
    """The sealed track with the rows of one user: both frames are cut, then compared."""
    reader = SegmentReader(segment)
    steps: list[Step] = []
    before: Section | None = None
    for index, _ in segment.tracks[name]:
        section = reader.section(name, index)
        now = None if section is None else rows_of(name, section, uid)
        if now is None:
            steps.append((index, None))
        elif before is None:
            steps.append((index, encode_section(name, now)))
        else:
            change = diff_section(before, now, SECTIONS[name].key_length)
            steps.append((index, encode_section_change(name, change)))
        before = now
    return seal(pack_steps(steps))
