"""What clients may be given of the newest frames, as bytes made once for everyone who may see the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from ztop_protocol.codec import (
    FrameDecoder,
    delta_head,
    encode_map,
    encode_section,
    encode_section_change,
    frame_head,
    unpack,
)
from ztop_protocol.frame import Delta, Frame, Key, Row, Section, SectionDelta, diff_section
from ztop_protocol.processes import joined
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import EncodedFrame
from ztopd.feed import Between
from ztopd.server.access import HIDEABLE, Access, View, hides_processes, visible
from ztopd.server.latest import Latest

JOINED_SECTIONS = (
    *("processes", "process_io", "process_counters", "process_executables", "memory", "gpus", "gpu_processes"),
)
"""What :func:`ztop_protocol.processes.joined` joins."""


MAX_KEPT_FRAMES = 16
"""So many frames are kept for deltas over several frames. Whoever would need one more gets whole frames meanwhile."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class KeptFrame:
    """What was asked for of a frame, as the sampler made it, not cut to a view. Lives as long as somebody needs it."""

    sections: dict[str, Section]


@dataclass(frozen=True, slots=True)
class Base:
    """A frame that a later delta will start from, kept whole where that delta will not be the sampler's own."""

    seq: int
    hides_processes: bool
    kept: KeptFrame | None


class Published:
    """The newest frame and the one before, section by section, cut to a view. What is made lives for one frame."""

    def __init__(self, latest: Latest) -> None:
        self._latest = latest
        self._wholes: dict[tuple[str, int, int | None], bytes | None] = {}
        self._changes: dict[tuple[str, int, Access, Access, int | None], bytes | None] = {}
        self._joined: dict[View, dict[Key, Row]] = {}
        self._hides: dict[int, bool] = {}
        self._between: dict[tuple[str, int, int | None], bytes] = {}
        self._kept: WeakValueDictionary[int, KeptFrame] = WeakValueDictionary()

    def forget(self) -> None:
        """A new frame came."""
        for made in (self._wholes, self._changes, self._joined, self._hides, self._between):
            made.clear()

    def hides_processes(self, seq: int) -> bool:
        """Whether /proc hid processes from strangers in that frame."""
        if seq not in self._hides:
            self._hides[seq] = hides_processes(self._latest.section("host", seq))
        return self._hides[seq]

    def frame(self, view: View, seq: int, names: tuple[str, ...]) -> Frame:
        """The sections that the view may see, its rows only."""
        frame = self._latest.frame(seq, names)
        hides = self._hides_from(view, names, seq)
        sections = {
            name: cut for name, section in frame.sections.items() if (cut := visible(view, name, section, hides))
        }
        return Frame(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id, sections)

    def processes(self, view: View) -> dict[Key, Row]:
        """The newest frame's processes with the columns of :mod:`ztop_protocol.processes`, by key."""
        made = self._joined.get(view)
        if made is None:
            newest, previous = self._latest.newest, self._latest.previous
            assert newest is not None
            before = None if previous is None else self.frame(view, previous.seq, JOINED_SECTIONS)
            made = self._joined[view] = joined(before, self.frame(view, newest.seq, JOINED_SECTIONS))
        return made

    def encode_frame(
        self, view: View, seq: int, names: tuple[str, ...], head: Mapping[str, int | bool] | None = None
    ) -> bytes:
        """The map of ``snapshot`` and of the notification ``frame``, with ``head`` before it."""
        hides = self._hides_from(view, names, seq)
        parts: dict[str, bytes] = {}
        for name in names:
            access = view.access(name, hides)
            if access is Access.NOTHING:
                continue
            key = (name, seq, None if access is Access.ALL else view.uid)
            if key not in self._wholes:
                self._wholes[key] = self._whole(view, name, seq, hides)
            if (part := self._wholes[key]) is not None:
                parts[name] = part
        message = self._latest.message(seq)
        return encode_map({**(head or {}), **frame_head(_undressed(message)), **_interval(message)}, "sections", parts)

    def _whole(self, view: View, name: str, seq: int, hides: bool) -> bytes | None:
        if view.access(name, hides) is Access.ALL and (lying := self._latest.encoded(name, seq)) is not None:
            return lying
        section = self._latest.section(name, seq)
        cut = None if section is None else visible(view, name, section, hides)
        return None if cut is None else encode_section(name, cut)

    def base(self, view: View, names: tuple[str, ...], seq: int, *, whole: bool) -> Base:
        """A frame as the base of a later delta. ``whole``: a delta over several frames will start from it."""
        return Base(seq, self._hides_from(view, names, seq), self._keep(names, seq) if whole else None)

    def _keep(self, names: tuple[str, ...], seq: int) -> KeptFrame | None:
        kept = self._kept.get(seq)
        if kept is None:
            if len(self._kept) >= MAX_KEPT_FRAMES:
                return None
            kept = self._kept[seq] = KeptFrame({})
        if missing := tuple(name for name in names if name not in kept.sections):
            kept.sections |= self._latest.frame(seq, missing).sections
        return kept

    def encode_delta(self, view: View, names: tuple[str, ...], base: Base, subscription: int) -> bytes | None:
        """The map of the notification ``delta`` from ``base`` to the newest frame; None where nothing leads there."""
        newest = self._latest.newest
        assert newest is not None
        is_step = newest.base_seq == base.seq
        if not is_step and base.kept is None:
            return None
        hides = self._hides_from(view, names, newest.seq)
        parts: dict[str, bytes] = {}
        gone: list[str] = []
        for name in names:
            before, now = view.access(name, base.hides_processes), view.access(name, hides)
            if is_step and before is now is Access.ALL:
                if (lying := newest.changes.get(name)) is not None:
                    parts[name] = lying
                elif name in newest.gone_sections:
                    gone.append(name)
                continue
            key = (name, base.seq, before, now, view.uid if Access.OWN in (before, now) else None)
            if key not in self._changes:
                self._changes[key] = self._difference(view, name, base, hides)
            part = self._changes[key]
            if part is None:
                gone.append(name)
            elif part:
                parts[name] = part
        delta = Delta(base.seq, newest.seq, newest.time_ns, newest.boottime_ns, newest.boot_id, {}, tuple(gone))
        head = {"subscription": subscription, **delta_head(delta), **_interval(newest)}
        return encode_map(head, "sections", parts)

    def _difference(self, view: View, name: str, base: Base, hides: bool) -> bytes | None:
        """The encoded change; nothing (b"") where there is none to tell; None where the section is gone."""
        newest = self._latest.newest
        assert newest is not None
        old = self._latest.section(name, base.seq) if base.kept is None else base.kept.sections.get(name)
        new = self._latest.section(name, newest.seq)
        before, now = view.access(name, base.hides_processes), view.access(name, hides)
        if old is new and before is now:
            return b""
        old_cut = None if old is None else visible(view, name, old, base.hides_processes)
        new_cut = None if new is None else visible(view, name, new, hides)
        if new_cut is None:
            return b"" if old_cut is None else None
        change: SectionDelta | Section = new_cut
        if old_cut is not None:
            change = diff_section(old_cut, new_cut, SECTIONS[name].key_length)
        return encode_section_change(name, change)

    def encode_between(self, view: View, names: tuple[str, ...], between: Between, subscription: int) -> bytes | None:
        """The map of the notification ``between``; None where it has nothing for this view and these names."""
        newest = self._latest.newest
        assert newest is not None
        names = tuple(name for name in names if name in between.sections)
        hides = self._hides_from(view, names, newest.seq)
        parts: dict[str, bytes] = {}
        for name in names:
            access = view.access(name, hides)
            if access is Access.ALL:
                parts[name] = between.sections[name]
            elif access is Access.OWN:
                key = (name, between.boottime_ns, view.uid)
                if key not in self._between:
                    section = FrameDecoder().section(name, unpack(between.sections[name]))
                    cut = visible(view, name, section, hides)
                    assert cut is not None
                    self._between[key] = encode_section(name, cut)
                parts[name] = self._between[key]
        if not parts:
            return None
        moment = Frame(newest.seq, between.time_ns, between.boottime_ns, newest.boot_id, {})
        return encode_map({"subscription": subscription, **frame_head(moment)}, "sections", parts)

    def _hides_from(self, view: View, names: tuple[str, ...], seq: int) -> bool:
        """Decodes the host's row only for whom it matters."""
        return not view.sees_all and not HIDEABLE.isdisjoint(names) and self.hides_processes(seq)


def _interval(message: EncodedFrame) -> Mapping[str, int]:
    """How long it takes to the next frame, for who waits for it."""
    return {} if message.interval_ns is None else {"interval_ns": message.interval_ns}


def _undressed(message: EncodedFrame) -> Frame:
    return Frame(message.seq, message.time_ns, message.boottime_ns, message.boot_id, {})
