"""Thinning: of a segment's frames those that are so far apart stay, the first and the last one always.

A frame that stays is as it was, with these rows of the frames left out before it added: the last row of every process
that it does not have any more (so that who lived and died in between is still found; it is gone in the frame after),
and what happened meanwhile (``events``, ``process_events``, ``alerts``).
"""

from collections.abc import Generator, Sequence
from dataclasses import replace

from ztop_protocol.frame import Frame, Key, Row, Section
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import SealedSegment, Segment, SegmentReader, Stamp, encode_step

OF_PROCESSES = tuple(
    name
    for name, schema in SECTIONS.items()
    if schema.names[: schema.key_length] == SECTIONS["processes"].names[: SECTIONS["processes"].key_length]
)
"""The sections with one row per process."""
OF_EVENTS = ("events", "process_events", "alerts")
"""The sections whose rows are of one frame only, or may be over before the frame that stays."""


def thinned(segment: Segment, interval_ns: int) -> Generator[None, None, SealedSegment]:
    """The segment with a frame every ``interval_ns``, made in small steps.

    Raises :exc:`ztop_protocol.codec.Malformed`.
    """
    reader = SegmentReader(segment)
    stay = staying(segment.stamps, interval_ns, segment.interval_ns)
    left_out = _LeftOut()
    previous: Frame | None = None
    made: Segment | None = None
    for index in range(len(segment.stamps)):
        frame = reader.frame(index)
        if index not in stay:
            left_out.take(frame)
        else:
            frame = left_out.added_to(frame)
            step = encode_step(previous, frame, whole=made is None)
            if made is None:
                made = Segment.begun_by(step, interval_ns)
            else:
                made.add(step)
            previous = frame
        yield
    assert made is not None
    return made.sealed()


def staying(stamps: Sequence[Stamp], interval_ns: int, own_interval_ns: int) -> frozenset[int]:
    """Which frames stay: the first, the last, and those that come so long after the one that stayed before."""
    stay = [0]
    for index, stamp in enumerate(stamps):
        # a frame comes a little early or late
        if stamp.boottime_ns - stamps[stay[-1]].boottime_ns >= interval_ns - own_interval_ns // 2:
            stay.append(index)
    return frozenset((*stay, len(stamps) - 1))


class _LeftOut:
    """What is to be kept of the frames since the last one that stayed."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Key, Row]] = {name: {} for name in (*OF_PROCESSES, *OF_EVENTS)}

    def take(self, frame: Frame) -> None:
        """A frame that does not stay."""
        for name, rows in self._rows.items():
            rows.update(frame.rows(name))

    def added_to(self, frame: Frame) -> Frame:
        """The frame that stays next, with what was left out since; that is then forgotten."""
        added: dict[str, Section] = {}
        living = frame.rows("processes")
        for name in OF_PROCESSES:
            section = frame.sections.get(name)
            ended = {key: row for key, row in self._rows[name].items() if key not in living}
            if section is not None and ended:
                added[name] = Section(section.sampled_boottime_ns, {**ended, **section.rows})
        for name in OF_EVENTS:
            if happened := self._rows[name]:
                sampled_ns = (
                    frame.boottime_ns if name not in frame.sections else frame.sections[name].sampled_boottime_ns
                )
                added[name] = Section(sampled_ns, {**happened, **frame.rows(name)})
        for rows in self._rows.values():
            rows.clear()
        return replace(frame, sections={**frame.sections, **added}) if added else frame
