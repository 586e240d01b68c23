"""Where one stands in the past, and the steps from there. Never waits: what is not at hand is asked for.

The daemon gives the segment that a frame is in (the method ``segment``); all steps within it, and within those fetched
before, are made here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ztop_client.rewind.pairs import SegmentPairs
from ztop_client.sources.source import Pair, RequestFailed
from ztop_protocol.codec import Malformed, Wire
from ztop_protocol.connection import Arguments
from ztop_protocol.segment import segment_from

Ask: TypeAlias = Callable[[str, Arguments, Callable[[Wire | RequestFailed], None]], None]
"""As :meth:`ztop_client.sources.source.Source.ask`."""

_MOST_SEGMENTS = 24
"""Kept compressed as they came, and opened; of the last :data:`_MOST_DECODED` the frames too."""
_MOST_DECODED = 3
_AHEAD_FRAMES = 8
"""So many are decoded while nothing else is to be done."""
_FIRST_SEQ = 0
"""Numbers of frames begin with 1."""
_END_OF_TIME_NS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class _Where:
    """Which frame is wanted: the argument of ``segment`` and its value."""

    argument: str
    value: int

    @classmethod
    def at(cls, time_ns: int) -> "_Where":
        """The frame with the greatest wall time that is not after that."""
        return cls("time_ns", time_ns)

    @classmethod
    def before(cls, seq: int) -> "_Where":
        """The last frame before that number."""
        return cls("before_seq", seq)

    @classmethod
    def after(cls, seq: int) -> "_Where":
        """The first frame after that number."""
        return cls("after_seq", seq)


class Walk:
    """The frame that one looks at. ``pair`` is None until the first one has come."""

    def __init__(
        self, ask: Ask, moved: Callable[[], None], said: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        """``moved``: another frame is looked at. ``ended``: a step went past the newest one.

        ``said``: a sentence for the person, such as that nothing older is kept.
        """
        self._ask = ask
        self._moved = moved
        self._said = said
        self._ended = ended
        self._segments: list[SegmentPairs] = []
        """The one that was used last comes last."""
        self._here: SegmentPairs | None = None
        """That of the frame that is looked at."""
        self._before_of: dict[int, int | None] = {}
        """The first number of a segment -> the last one of the segment before it; None where nothing is."""
        self._wanted: _Where | None = None
        self._is_asked = False
        self.pair: Pair | None = None
        self._begun_from: Pair | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the frame that was asked for last is still to come."""
        return self._wanted is not None

    def stop(self) -> None:
        """Looks at nothing any more; what is still to come moves nobody."""
        self.pair = self._begun_from = self._wanted = self._here = None
        for segment in self._segments:
            segment.forget()

    def forget(self) -> None:
        """Drops what was fetched: its numbers are now those of other frames."""
        self._here = None
        self._segments.clear()
        self._before_of.clear()

    def pairs_before(self, count: int) -> list[Pair]:
        """What is decoded of the frame that is looked at and those before it, at most so many; the last first."""
        if self.pair is None or self._here is None:
            return []
        return self._here.decoded_up_to(self.pair.current.seq, count)

    def step(self, frames: int) -> None:
        """So many frames on, or back; steps that are taken while one waits add up."""
        seq = self.target_seq
        if seq is not None and frames:
            self._go(_Where.before(seq + frames + 1) if frames < 0 else _Where.after(seq + frames - 1))

    def begin(self, pair: Pair) -> None:
        """To the frame that is on the screen. Steps that come before it was found here begin from it all the same."""
        self._begun_from = pair
        self.to_seq(pair.current.seq)

    def step_time(self, span_ns: int) -> None:
        """To the frame of that long after, or before; to the next one at least."""
        pair = self.pair or self._begun_from
        if pair is None:
            return
        here = pair.current
        self._go(_Where.at(here.time_ns + span_ns), _Where.before(here.seq) if span_ns < 0 else _Where.after(here.seq))

    def to_time(self, time_ns: int) -> None:
        """To the frame of a wall time."""
        self._go(_Where.at(time_ns))

    def to_seq(self, seq: int) -> None:
        """To that frame, or to the last one before it."""
        self._go(_Where.before(seq + 1))

    def to_oldest(self) -> None:
        """To the first frame that is kept."""
        self._go(_Where.after(_FIRST_SEQ), refetch=True)

    def to_newest(self) -> None:
        """To the last one."""
        self._go(_Where.at(_END_OF_TIME_NS), refetch=True)

    @property
    def target_seq(self) -> int | None:
        """The number of the frame that is on its way, as far as it is known, else of the one that is looked at."""
        wanted = self._wanted
        if wanted is not None and wanted.argument != "time_ns":
            return wanted.value + (-1 if wanted.argument == "before_seq" else 1)
        return None if self.pair is None else self.pair.current.seq

    def _go(self, where: _Where, otherwise: _Where | None = None, *, refetch: bool = False) -> None:
        self._wanted = where
        found = None if refetch else self._at_hand(where)
        if found is not None and otherwise is not None and self._is_here(found):
            self._go(otherwise)
        elif found is not None:
            self._arrive(*found)
        else:
            self._fetch(where, otherwise)

    def _is_here(self, found: tuple[SegmentPairs, int]) -> bool:
        segment, index = found
        return self.pair is not None and segment.stamps[index].seq == self.pair.current.seq

    def _at_hand(self, where: _Where) -> tuple[SegmentPairs, int] | None:
        """The frame, where what was fetched says which one it is."""
        for segment in self._segments:
            if where.argument == "before_seq":
                index = segment.up_to(where.value - 1)
                is_it = index >= 0 and segment.holds(where.value - 1)
            elif where.argument == "after_seq":
                index = segment.from_(where.value + 1)
                is_it = index < len(segment.stamps) and segment.holds(where.value + 1)
            else:
                index = self._index_at(segment, where.value)
                is_it = index >= 0
            if is_it:
                return segment, index
        return None

    def _index_at(self, segment: SegmentPairs, time_ns: int) -> int:
        """Only between two of its frames, and on the clock of the one that is looked at, a segment can say it."""
        here = self.pair
        if here is None or here.current.boot_id != segment.boot_id:
            return -1
        drift_ns = (segment.first.time_ns - segment.first.boottime_ns) - (
            here.current.time_ns - here.current.boottime_ns
        )
        if abs(drift_ns) >= _SAME_CLOCK_NS or not segment.first.time_ns <= time_ns <= segment.last.time_ns:
            return -1
        time_ms = time_ns // 1_000_000
        return max(index for index, stamp in enumerate(segment.stamps) if stamp.time_ns // 1_000_000 <= time_ms)

    def _fetch(self, where: _Where, otherwise: _Where | None = None) -> None:
        if self._is_asked:
            # the answer to what was asked before looks at what is wanted by then
            return
        self._is_asked = True

        def answered(answer: Wire | RequestFailed) -> None:
            self._is_asked = False
            if self._wanted is None:
                return
            if self._wanted != where:
                # meanwhile something else was wanted
                if not isinstance(answer, RequestFailed):
                    self._take(answer)
                self._go(self._wanted)
                return
            found = answer if isinstance(answer, RequestFailed) else self._take(answer)
            if not isinstance(found, RequestFailed) and self._is_of_another_count(where, *found):
                found = RequestFailed("ztopd was started anew and does not remember the time before")
            if isinstance(found, RequestFailed):
                self._wanted = None
                if where.argument == "after_seq" and self.pair is not None:
                    self._ended()
                else:
                    self._said(str(found))
            elif otherwise is not None and self._is_here(found):
                self._go(otherwise)
            else:
                self._arrive(*found)

        self._ask("segment", {where.argument: where.value}, answered)

    def _is_of_another_count(self, where: _Where, segment: SegmentPairs, index: int) -> bool:
        """Whether a frame of a lower number came after the one that is looked at: its daemon counts from 1 again."""
        here, stamp = None if self.pair is None else self.pair.current, segment.stamps[index]
        if here is None or where.argument != "before_seq" or segment.boot_id != here.boot_id:
            return False
        return stamp.seq < here.seq and stamp.boottime_ns > here.boottime_ns

    def _take(self, answer: Wire) -> tuple[SegmentPairs, int] | RequestFailed:
        """Keeps a segment that came; the frame that was asked for."""
        try:
            if not isinstance(answer, dict) or type(answer.get("seq")) is not int:
                raise Malformed("segment: a segment and the number of a frame were expected")
            sealed = segment_from(answer.get("segment"))
            segment = SegmentPairs(sealed)
        except Malformed as error:
            return RequestFailed(f"what the daemon remembers cannot be read: {error}")
        index = segment.up_to(answer["seq"])
        if index < 0 or segment.stamps[index].seq != answer["seq"]:
            return RequestFailed("what the daemon remembers cannot be read: another segment came")
        for known in self._segments:
            if known.stamps == segment.stamps:
                return known, index
        # one that grew replaces what it was, and in a thinned one less is left of what was
        self._segments = [one for one in self._segments if not segment.holds(one.first.seq)]
        self._segments.append(segment)
        return segment, index

    def _arrive(self, segment: SegmentPairs, index: int) -> None:
        """Looks at a frame, once the segment before is there for the rates of a segment's first frames."""
        before = self._before(segment)
        if before is not None:
            segment.follow(before)
        elif self._before_of.get(segment.first.seq, _FIRST_SEQ) is not None:
            if not self._is_asked:
                self._fetch_before(segment, index)
            # else the answer to what was asked before looks at what is wanted by then
            return
        self._wanted, self._here = None, segment
        self._use(segment, before)
        try:
            self.pair = segment.pair(index)
        except Malformed as error:
            self._segments.remove(segment)
            self._said(f"what the daemon remembers cannot be read: {error}")
            return
        self._moved()

    def _before(self, segment: SegmentPairs) -> SegmentPairs | None:
        last_seq = self._before_of.get(segment.first.seq, segment.first.seq - 1)
        return next((one for one in self._segments if one.last.seq == last_seq), None)

    def _fetch_before(self, segment: SegmentPairs, index: int | None) -> None:
        """Fetches what its first frames follow, and then goes to the one at ``index`` if nothing else is wanted."""
        wanted, self._is_asked = self._wanted, True

        def answered(answer: Wire | RequestFailed) -> None:
            self._is_asked = False
            if self.pair is None and self._wanted is None:
                return
            found = answer if isinstance(answer, RequestFailed) else self._take(answer)
            last_seq = None if isinstance(found, RequestFailed) else found[0].last.seq
            # one that overlaps cannot be followed
            self._before_of[segment.first.seq] = (
                last_seq if last_seq is not None and last_seq < segment.first.seq else None
            )
            if self._wanted is None:
                return
            if self._wanted != wanted or index is None:
                self._go(self._wanted)
            else:
                self._arrive(segment, index)

        self._ask("segment", {"before_seq": segment.first.seq}, answered)

    def look_ahead(self) -> bool:
        """Does a little of what going on into the segment before will need; whether to come again for more.

        That one's frames are decoded; what is missing is what its first ones follow.
        """
        here = self._here
        if self.pair is None or self.is_waiting or here is None:
            return False
        before = self._before(here)
        if before is None or self._is_asked:
            return before is not None
        earlier = self._before(before)
        if earlier is None and self._before_of.get(before.first.seq, _FIRST_SEQ) is not None:
            self._fetch_before(before, None)
            return True
        if earlier is None:
            return False
        self._use(here, before, earlier)
        if earlier.decode(_AHEAD_FRAMES):
            return True
        before.follow(earlier)
        before.pair(len(before.stamps) - 1)
        return False

    def _use(self, *segments: SegmentPairs | None) -> None:
        for segment in reversed(segments):
            if segment is not None:
                if segment in self._segments:
                    self._segments.remove(segment)
                self._segments.append(segment)
        del self._segments[:-_MOST_SEGMENTS]
        for one in self._segments[:-_MOST_DECODED]:
            one.forget()


_SAME_CLOCK_NS = 50_000_000
