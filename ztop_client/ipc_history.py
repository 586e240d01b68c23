"""What a process made of its cycles in all the time that is remembered: pure, and of bounded size."""

from collections.abc import Iterable
from dataclasses import dataclass

from ztop_protocol.frame import Frame, Key, Row
from ztop_protocol.schema import PROCESS_COUNTERS

MOST_SPANS = 4096
_EPOCH, _CYCLES, _INSTRUCTIONS = (
    PROCESS_COUNTERS.position[name] for name in ("epoch_boottime_ns", "cycles", "instructions")
)


@dataclass(frozen=True, slots=True)
class _Span:
    """From one boot time to another, and what was counted in it."""

    from_ns: int
    to_ns: int
    instructions: int
    cycles: int


class IpcHistory:
    """Instructions per cycle of one process over time. Where it rested, or was not counted, nothing is known."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._spans: list[_Span] = []
        self._last: tuple[str, int, Row | None] | None = None
        """Boot, boot time and row of the frame before."""

    def take(self, frame: Frame) -> None:
        """The next frame; one of the same boot that is not later than the last is passed over."""
        section = frame.sections.get("process_counters")
        if section is None:
            return
        row, now_ns = section.rows.get(self._key), section.sampled_boottime_ns
        if self._last is not None and self._last[0] == frame.boot_id:
            if self._last[1] >= now_ns:
                return
            if row is not None:
                self._grow(self._last[1], self._last[2], now_ns, row)
        self._last = (frame.boot_id, now_ns, row)

    def _grow(self, then_ns: int, before: Row | None, now_ns: int, row: Row) -> None:
        # seen for the first time: its counts began after the frame before, or long ago
        if before is None or before[_EPOCH] != row[_EPOCH]:
            return
        grown = []
        for place in (_INSTRUCTIONS, _CYCLES):
            earlier, later = before[place], row[place]
            if not isinstance(earlier, int) or not isinstance(later, int) or later < earlier:
                return
            grown.append(later - earlier)
        if grown[1]:
            self._spans.append(_Span(then_ns, now_ns, *grown))
            if len(self._spans) > MOST_SPANS:
                self._spans = [_joined(*self._spans[at : at + 2]) for at in range(0, len(self._spans), 2)]

    def span_ns(self, until_ns: int) -> int:
        """How long the time is that :meth:`values` divides; 0: nothing is known of it."""
        first = next((span for span in self._spans if span.from_ns < until_ns), None)
        return 0 if first is None else until_ns - first.from_ns

    def values(self, points: int, until_ns: int) -> list[float | None]:
        """The time from the first count to the boot time ``until_ns`` in so many parts, with the mean of each."""
        length_ns = self.span_ns(until_ns)
        instructions, cycles = [0.0] * points, [0.0] * points
        if not length_ns:
            return [None] * points
        begin_ns = until_ns - length_ns
        for span in self._spans:
            if span.from_ns >= until_ns:
                break
            # in parts, counted from the first one
            start = (span.from_ns - begin_ns) * points / length_ns
            end = (min(span.to_ns, until_ns) - begin_ns) * points / length_ns
            for part in range(int(start), min(int(end) + 1, points)):
                share = (min(end, part + 1) - max(start, part)) / max(end - start, 1e-9)
                if share > 0:
                    instructions[part] += span.instructions * share
                    cycles[part] += span.cycles * share
        return [made / spent if spent else None for made, spent in zip(instructions, cycles, strict=True)]


def _joined(first: _Span, *more: _Span) -> _Span:
    for span in more:
        instructions, cycles = first.instructions + span.instructions, first.cycles + span.cycles
        first = _Span(first.from_ns, span.to_ns, instructions, cycles)
    return first


def ipc_history(frames: Iterable[Frame], key: Key) -> IpcHistory:
    """That of consecutive frames."""
    history = IpcHistory(key)
    for frame in frames:
        history.take(frame)
    return history
