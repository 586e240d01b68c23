"""Segments: a keyframe and what followed it, section by section, as ring, store, recording and wire keep them.

A section's part in a segment is its *track*: the steps ``(index of the frame, what the section became)``, where the
latter is a section or a section's change as :mod:`ztop_protocol.codec` encodes it, or None where the section is gone.
A sealed track is the MessagePack list of its steps, compressed with zstd and carrying zstd's checksum.

A segment is of one boot and one clock: within it boot time and wall time advance together.
"""

import sys
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeGuard

import msgpack

from ztop_protocol.codec import FrameDecoder, Malformed, Wire, encode_section, encode_section_change, unpack
from ztop_protocol.frame import BaseMismatch, Frame, Section, SectionDelta, apply_section, diff
from ztop_protocol.schema import SECTIONS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CLOCK_STEP_NS = 50_000_000
"""Wall time that goes by so much more or less than boot time between two frames was set anew."""

MAX_TRACK_BYTES = 32 << 20
"""A track that decompresses to more than this is refused."""

_COMPRESSION: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}

Step: TypeAlias = tuple[int, bytes | None]

_INTEGERS = frozenset((*range(0x80), 0xCC, 0xCD, 0xCE))
_NIL_OR_BINARY = frozenset((0xC0, 0xC4, 0xC5, 0xC6))
"""First bytes in MessagePack (its specification, "Formats")."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Number and time of a frame."""

    seq: int
    time_ns: int
    boottime_ns: int


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame as it travels and is kept. ``changes`` lead here from frame ``base_seq``; ``keyframe`` is the whole.

    One after a gap, and the first one, has a keyframe and no base. One with which a segment begins has a keyframe.
    The values are what :mod:`ztop_protocol.codec` makes of a section and of a section's change.
    """

    seq: int
    time_ns: int
    boottime_ns: int
    boot_id: str
    base_seq: int | None
    changes: Mapping[str, bytes]
    gone_sections: tuple[str, ...]
    keyframe: Mapping[str, bytes] | None
    interval_ns: int | None = None
    """The nominal time between two frames, now; None: as it was set. A segment is of one interval."""

    @property
    def stamp(self) -> Stamp:
        """Its number and time."""
        return Stamp(self.seq, self.time_ns, self.boottime_ns)


def encode_step(previous: Frame | None, frame: Frame, *, whole: bool) -> EncodedFrame:
    """The frame, as what leads to it from ``previous`` and, where there is none or it is asked for, as a whole."""
    changes: dict[str, bytes] = {}
    gone: tuple[str, ...] = ()
    if previous is not None:
        delta = diff(previous, frame)
        changes = {name: encode_section_change(name, change) for name, change in delta.sections.items()}
        gone = delta.gone_sections
    keyframe = None
    if whole or previous is None:
        keyframe = {name: encode_section(name, section) for name, section in frame.sections.items()}
    return EncodedFrame(
        *(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id),
        *(None if previous is None else previous.seq, changes, gone, keyframe),
        stated_interval_ns(frame),
    )


def stated_interval_ns(frame: Frame) -> int | None:
    """The nominal time between two frames, now, as ``sources`` says it; None where that is not there."""
    interval_ns = frame.cell("sources", "period_ns", ("sampler",))
    return interval_ns if is_interval(interval_ns) else None


def may_follow(before: Frame, frame: Frame) -> bool:
    """Whether the frame may stand in one segment with the one before it: of one boot, one clock and one interval."""
    stamps = [Stamp(one.seq, one.time_ns, one.boottime_ns) for one in (before, frame)]
    return (
        before.boot_id == frame.boot_id
        and is_same_clock(*stamps)
        and stated_interval_ns(before) == stated_interval_ns(frame)
    )


def is_same_clock(before: Stamp, after: Stamp) -> bool:
    """Whether wall time was left alone between two frames of one boot."""
    drift = (after.time_ns - after.boottime_ns) - (before.time_ns - before.boottime_ns)
    return abs(drift) < CLOCK_STEP_NS and after.boottime_ns > before.boottime_ns


class Segment:
    """A segment that grows, or one that was opened to be read."""

    __slots__ = ("boot_id", "interval_ns", "size_bytes", "stamps", "tracks")

    def __init__(
        self, boot_id: str, interval_ns: int, stamps: list[Stamp], tracks: dict[str, list[Step]], size_bytes: int = 0
    ) -> None:
        self.boot_id = boot_id
        self.interval_ns = interval_ns
        """The nominal time between its frames."""
        self.stamps = stamps
        self.tracks = tracks
        self.size_bytes = size_bytes
        """Of all its steps."""

    @classmethod
    def begun_by(cls, frame: EncodedFrame, interval_ns: int) -> "Segment":
        """A segment of one frame, which must have a keyframe. ``interval_ns``: where the frame does not say it."""
        if frame.keyframe is None:
            raise ValueError(f"frame {frame.seq} has no keyframe for a segment to begin with")
        tracks: dict[str, list[Step]] = {name: [(0, body)] for name, body in frame.keyframe.items()}
        size = sum(map(len, frame.keyframe.values()))
        return cls(frame.boot_id, frame.interval_ns or interval_ns, [frame.stamp], tracks, size)

    @property
    def first(self) -> Stamp:
        """Of its first frame."""
        return self.stamps[0]

    @property
    def last(self) -> Stamp:
        """Of its last frame."""
        return self.stamps[-1]

    def leads_to(self, frame: EncodedFrame) -> bool:
        """Whether the frame can follow here: it starts from the last one, and boot, clock and interval are the same."""
        return (
            frame.base_seq == self.last.seq < frame.seq
            and frame.boot_id == self.boot_id
            and frame.interval_ns in (None, self.interval_ns)
            and is_same_clock(self.last, frame.stamp)
        )

    def add(self, frame: EncodedFrame) -> None:
        """Takes the next frame; raises :exc:`ValueError` for one that does not follow."""
        if not self.leads_to(frame):
            raise ValueError(f"frame {frame.seq} does not follow frame {self.last.seq}")
        index = len(self.stamps)
        for name in frame.gone_sections:
            self.tracks.setdefault(name, []).append((index, None))
        for name, body in frame.changes.items():
            self.tracks.setdefault(name, []).append((index, body))
            self.size_bytes += len(body)
        self.stamps.append(frame.stamp)

    def opened(self, names: Collection[str] | None = None) -> "Segment":
        """Itself."""
        return self

    def sealed(self) -> "SealedSegment":
        """Its compressed form."""
        return SealedSegment(
            self.boot_id,
            self.interval_ns,
            tuple(self.stamps),
            {name: seal(pack_steps(steps)) for name, steps in self.tracks.items()},
        )


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A segment that is complete, its tracks compressed each by itself."""

    boot_id: str
    interval_ns: int
    stamps: tuple[Stamp, ...]
    tracks: Mapping[str, bytes]

    @property
    def first(self) -> Stamp:
        """Of its first frame."""
        return self.stamps[0]

    @property
    def last(self) -> Stamp:
        """Of its last frame."""
        return self.stamps[-1]

    @property
    def size_bytes(self) -> int:
        """Of its compressed tracks."""
        return sum(map(len, self.tracks.values()))

    def opened(self, names: Collection[str] | None = None) -> Segment:
        """With the tracks of these sections, or all. Raises :exc:`Malformed` for a damaged one."""
        wanted = [name for name in self.tracks if names is None or name in names]
        tracks = {name: unpack_steps(unseal(self.tracks[name]), len(self.stamps)) for name in wanted}
        return Segment(self.boot_id, self.interval_ns, list(self.stamps), tracks)


def stamps_as_lists(stamps: Sequence[Stamp]) -> list[list[int]]:
    """For MessagePack: ``[seq, time_ns, boottime_ns]`` of every frame."""
    return [[stamp.seq, stamp.time_ns, stamp.boottime_ns] for stamp in stamps]


def are_of_stamp(*numbers: Wire) -> bool:
    """Whether a frame may have such a number or time: an integer that every program holds."""
    return all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)


def is_interval(number: Wire) -> TypeGuard[int]:
    """Whether a segment may have such a nominal time between its frames, in ns: who makes curves divides by it."""
    return type(number) is int and 0 < number < 1 << 63


def stamps_from(value: Wire) -> tuple[Stamp, ...]:
    """The stamps of one segment. Raises :exc:`Malformed` for what cannot be one segment's."""
    if not isinstance(value, list) or not value:
        raise Malformed("the stamps of a segment are a list that is not empty")
    stamps: list[Stamp] = []
    for item in value:
        if not isinstance(item, list) or len(item) != 3 or not are_of_stamp(*item):
            raise Malformed("a stamp is three integers from 0 on, of 63 bits")
        stamps.append(Stamp(*item))
        if len(stamps) > 1 and (stamps[-1].seq <= stamps[-2].seq or not is_same_clock(stamps[-2], stamps[-1])):
            raise Malformed("the stamps of a segment go forward, on one clock")
    return tuple(stamps)


def segment_as_map(segment: SealedSegment) -> dict[str, Wire]:
    """The segment as the method ``segments`` sends it; its tracks go out as they lie."""
    return {
        "boot_id": segment.boot_id,
        "interval_ns": segment.interval_ns,
        "stamps": stamps_as_lists(segment.stamps),
        "tracks": dict(segment.tracks),
    }


def segment_from(value: Wire) -> SealedSegment:
    """The segment that came in such a map; tracks of sections that this version does not know are left out.

    Raises :exc:`Malformed`.
    """
    if not isinstance(value, dict):
        raise Malformed("a segment is a map")
    boot_id, interval_ns, tracks = value.get("boot_id"), value.get("interval_ns"), value.get("tracks")
    if not isinstance(boot_id, str) or not is_interval(interval_ns) or not isinstance(tracks, dict):
        raise Malformed("a segment has boot_id, interval_ns and tracks")
    if not all(isinstance(track, bytes) for track in tracks.values()):
        raise Malformed("a track is bytes")
    known = {name: track for name, track in tracks.items() if name in SECTIONS}
    return SealedSegment(boot_id, interval_ns, stamps_from(value.get("stamps")), known)


class Piece(Protocol):
    """A segment wherever it lies: growing, sealed in memory, in a file. Opening it may read a disk."""

    @property
    def boot_id(self) -> str: ...
    @property
    def interval_ns(self) -> int: ...
    @property
    def first(self) -> Stamp: ...
    @property
    def last(self) -> Stamp: ...
    @property
    def stamps(self) -> Sequence[Stamp]: ...
    def opened(self, names: Collection[str] | None = None) -> Segment: ...


def pack_steps(steps: Sequence[Step]) -> bytes:
    """A track as MessagePack."""
    packed: bytes = msgpack.packb(steps)
    return packed


def unpack_steps(packed: bytes, frames: int) -> list[Step]:
    """A track of a segment of so many frames. Raises :exc:`Malformed`."""
    try:
        return list(_steps(packed, frames))
    except (ValueError, msgpack.OutOfData, IndexError) as error:
        raise Malformed(f"not the steps of a track: {error}") from None


def _steps(packed: bytes, frames: int) -> Iterator[Step]:
    # step by step: a stranger's track must not become millions of nested lists
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(packed), 1))
    unpacker.feed(packed)
    last = -1
    for _ in range(unpacker.read_array_header()):
        if unpacker.read_array_header() != 2 or packed[unpacker.tell()] not in _INTEGERS:
            raise Malformed("a step is an index and what the section became")
        index = unpacker.unpack()
        if not last < index < frames or packed[unpacker.tell()] not in _NIL_OR_BINARY:
            raise Malformed("a track's steps are in order, of its segment's frames, and nil or binary")
        yield index, unpacker.unpack()
        last = index


def seal(data: bytes) -> bytes:
    """Compressed, with a checksum."""
    return zstd.compress(data, options=_COMPRESSION)


def unseal(data: bytes, at_most: int = MAX_TRACK_BYTES) -> bytes:
    """What was sealed. Raises :exc:`Malformed` for what is damaged, or larger than ``at_most`` bytes."""
    decompressor = zstd.ZstdDecompressor()
    try:
        plain = decompressor.decompress(data, at_most + 1)
    except zstd.ZstdError as error:
        raise Malformed(f"not zstd, or damaged: {error}") from None
    if len(plain) > at_most or not decompressor.eof or decompressor.unused_data:
        raise Malformed(f"not one zstd frame of at most {at_most} bytes")
    return plain


class SegmentReader:
    """The frames of one segment. Going forward costs what changed; going back starts from the keyframe."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._decoder = FrameDecoder()
        self._reached: dict[str, tuple[int, Section | None]] = {}
        """How many steps of a section were followed, and to what."""

    def section(self, name: str, index: int) -> Section | None:
        """A section in the frame at ``index``; None where the frame does not have it. Raises :exc:`Malformed`."""
        track = self._segment.tracks.get(name)
        if track is None:
            return None
        wanted = bisect_right(track, index, key=lambda step: step[0])
        done, section = self._reached.get(name, (0, None))
        if done > wanted:
            done, section = 0, None
        for _, body in track[done:wanted]:
            section = None if body is None else self._followed(name, section, body)
        self._reached[name] = (wanted, section)
        return section

    def _followed(self, name: str, section: Section | None, body: bytes) -> Section:
        change = self._decoder.section_change(name, unpack(body))
        if not isinstance(change, SectionDelta):
            return change
        if section is None:
            raise Malformed(f"section {name}: a delta came before the section itself")
        try:
            return apply_section(section, change, SECTIONS[name].key_length)
        except BaseMismatch as error:
            raise Malformed(f"section {name}: {error}") from None

    def frame(self, index: int, names: Collection[str] | None = None) -> Frame:
        """The frame at ``index`` with these sections, or all. Raises :exc:`Malformed`."""
        stamp = self._segment.stamps[index]
        sections = {
            name: section
            for name in SECTIONS
            if (names is None or name in names) and (section := self.section(name, index)) is not None
        }
        return Frame(stamp.seq, stamp.time_ns, stamp.boottime_ns, self._segment.boot_id, sections)
