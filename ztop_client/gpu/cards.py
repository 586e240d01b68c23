"""The upper part of ``ztop-g``: a card for every GPU, or why there is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ztop_client.glyphs import Glyphs
from ztop_client.gpu.card import Pieces, bars, engines, facts, notes, one_line, title
from ztop_client.gpu.device import OLD_NS, Gpu, age_ns, gpus, why_none
from ztop_client.gpu.layout import GAP, Form, Layout, layout
from ztop_client.history import Figure, History
from ztop_client.widgets.canvas import Line, draw
from ztop_client.widgets.footer import message_lines
from ztop_client.widgets.strip import columns_of, strip
from ztop_protocol.frame import Frame, Key
from ztop_protocol.rates import percent
from ztop_protocol.schema import GPUS

_LEAST_TABLE = 9
"""Lines that are left to the rest of the screen."""
_LEAST_WIDTH = 20
_LABEL_CELLS = 4
_SPAN_CELLS = 9
_CHART_SECONDS = 100
"""The fewest seconds of a chart."""
_MOST_FACTS = 2
_WAITING = "What ztopd knows of GPUs has not come yet."


@dataclass(frozen=True, slots=True)
class _Curves:
    """The last minutes of one GPU, in percent."""

    busy: History
    memory: History


class Cards:
    """The cards of a frame. Give it each frame once; the lines are made when they are asked for."""

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._frame: Frame | None = None
        self._gpus: Sequence[Gpu] = ()
        self._curves: dict[Key, _Curves] = {}
        self._facts: dict[tuple[int, int], list[Pieces]] = {}
        """Of the frame: by a GPU's place and the width of its card."""

    def show(self, previous: Frame | None, current: Frame) -> None:
        """A new frame."""
        self.remember(previous, current)
        self._frame, self._gpus = current, gpus(previous, current)
        self._facts.clear()

    def remember(self, previous: Frame | None, current: Frame) -> None:
        """A frame that may not be shown, for the charts."""
        for key in current.rows("gpus"):
            if key not in self._curves:
                self._curves[key] = _Curves(History("gpus", _busy(key)), History("gpus", _memory(key)))
            self._curves[key].busy.add(previous, current)
            self._curves[key].memory.add(previous, current)

    def most(self, height: int) -> int:
        """So many lines of a screen of ``height`` are for the cards."""
        return max(0, min(height - _LEAST_TABLE, height * 11 // 20))

    def lines(self, width: int, most: int) -> list[Line]:
        """At most so many lines."""
        if self._frame is None or most < 1 or width < _LEAST_WIDTH:
            return []
        if not self._gpus:
            return message_lines(why_none(self._frame) or _WAITING, width, self._glyphs)[:most]
        arranged = self._arranged(width, most)
        shown = self._seen(arranged)
        blocks = [self._block(gpu, arranged) for gpu in shown]
        lines: list[Line] = []
        for start in range(0, len(blocks), arranged.columns):
            lines += self._beside(blocks[start : start + arranged.columns], arranged, width)
        if (left := len(self._gpus) - len(shown)) > 0:
            lines.append(draw([("dim", f" and {left} more GPUs")], width, self._glyphs, "text"))
        return lines[:most]

    def _arranged(self, width: int, most: int) -> Layout:
        """How many lines the facts need depends on how wide a card is, and that on how many lines they need."""
        count = len(self._gpus)
        note_lines = max(len(self._noted(gpu)) for gpu in self._gpus)
        arranged = layout(count, width, most, 1, note_lines)
        if arranged.form is not Form.FULL:
            return arranged
        needed = max(len(self._facts_of(gpu, arranged.width)) for gpu in self._gpus)
        roomier = layout(count, width, most, min(needed, _MOST_FACTS), note_lines)
        return roomier if roomier.form is Form.FULL else arranged

    def _seen(self, arranged: Layout) -> Sequence[Gpu]:
        """Those that there is room for: what is wrong before what is well."""
        if arranged.room >= len(self._gpus):
            return self._gpus
        room = max(arranged.room - arranged.columns, 0)
        urgent = sorted(self._gpus, key=lambda gpu: not (gpu.is_urgent or gpu.trouble is not None))
        return sorted(urgent[:room], key=lambda gpu: gpu.place)

    def _facts_of(self, gpu: Gpu, width: int) -> list[Pieces]:
        known = self._facts.get((gpu.place, width))
        if known is None:
            known = self._facts[gpu.place, width] = facts(gpu, width, self._glyphs)
        return known

    def _noted(self, gpu: Gpu) -> list[Pieces]:
        made = notes(gpu, self._glyphs)
        return [made] if made else []

    def _block(self, gpu: Gpu, arranged: Layout) -> list[Pieces]:
        """The lines of one card."""
        width, glyphs = arranged.width, self._glyphs
        if arranged.form is Form.LINE:
            return [one_line(gpu, width, glyphs)]
        is_full = arranged.form is Form.FULL
        block = [title(gpu, width, glyphs, with_figures=not is_full), bars(gpu, width, glyphs)]
        if not is_full:
            return block
        above = arranged.height - arranged.chart - arranged.between
        block += [engines(gpu, width, glyphs), *self._noted(gpu)]
        block += self._facts_of(gpu, width)[: above - len(block)]
        # the charts of cards side by side stand side by side
        block += [[] for _ in range(above - len(block))]
        return [*block, *self._charts(gpu, width, arranged.chart), *([] for _ in range(arranged.between))]

    def _charts(self, gpu: Gpu, width: int, height: int) -> list[Pieces]:
        curves = self._curves.get((gpu["uuid"],))
        if not height or curves is None or self._frame is None:
            return []
        half = (width - GAP) // 2
        # two curves of the same time; an odd cell is beside the second
        room = max(half - _LABEL_CELLS - _SPAN_CELLS, 1)
        left = self._chart("GPU", curves.busy, half, room, height, _plain)
        right = self._chart("Mem", curves.memory, width - GAP - half, room, height, _memory_style)
        return [[*one, ("text", " " * GAP), *other] for one, other in zip(left, right, strict=True)]

    def _chart(
        self, label: str, history: History, width: int, room: int, height: int, style: Callable[[float], str]
    ) -> list[Pieces]:
        assert self._frame is not None
        sampled = self._frame.sections["gpus"].sampled_boottime_ns
        count = columns_of(room, self._glyphs)
        seconds = next(seconds for seconds in (1, 2, 5, 10, 30) if count * seconds >= _CHART_SECONDS or seconds == 30)
        values = history.until(sampled, count, seconds)
        shares = [None if value is None else value / 100 for value in values]
        known = [share for share in shares if share is not None]
        span = f"{count * seconds // 60}m{count * seconds % 60:02d}s"
        beside = [f"max {max(known):.0%}" if known else "", *[""] * (height - 2), span]
        return [
            [
                ("label", (label if row == 0 else "").ljust(_LABEL_CELLS)),
                *line,
                ("dim", text.rjust(width - _LABEL_CELLS - room)),
            ]
            for row, (line, text) in enumerate(zip(strip(shares, height, self._glyphs, style), beside, strict=True))
        ]

    def _beside(self, blocks: Sequence[Sequence[Pieces]], arranged: Layout, width: int) -> list[Line]:
        lines: list[Line] = []
        for row in range(arranged.height):
            line: Line = [("text", None, b" ")]
            for place, block in enumerate(blocks):
                line += [("text", None, b" " * GAP)] if place else []
                line += draw(block[row] if row < len(block) else [], arranged.width, self._glyphs, "text")
            left = width - 1 - len(blocks) * arranged.width - (len(blocks) - 1) * GAP
            lines.append([*line, ("text", None, b" " * left)] if left > 0 else line)
        return lines


def _plain(_share: float) -> str:
    return "cpu_user"


def _memory_style(share: float) -> str:
    return "hot" if share >= 0.95 else "warm" if share >= 0.85 else "memory_shared"


def _busy(key: Key) -> Figure:
    place = GPUS.position["gpu_utilization_percent"]
    return lambda _, frame: _fresh(frame, key, lambda row: percent(row[place], 100))


def _memory(key: Key) -> Figure:
    used, total = GPUS.position["memory_used_bytes"], GPUS.position["memory_total_bytes"]
    return lambda _, frame: _fresh(frame, key, lambda row: percent(row[used], row[total]))


def _fresh(frame: Frame, key: Key, value: Callable[..., float | None]) -> float | None:
    """A value of a GPU's row; None where it is an old one."""
    row = frame.rows("gpus").get(key)
    age = None if row is None else age_ns(frame, row)
    return None if row is None or age is None or age > OLD_NS else value(row)
