"""The upper part of ``ztop-g``: a card for every GPU, or why there is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from ztop_client.formats import rate_text
from ztop_client.glyphs import Glyphs
from ztop_client.gpu.card import Pieces, bars, engines, facts, notes, one_line, title
from ztop_client.gpu.device import OLD_NS, Gpu, age_ns, gpus, why_none
from ztop_client.gpu.layout import GAP, Form, Layout, layout
from ztop_client.gpu.unchanged import Unchanged
from ztop_client.history import Figure, History
from ztop_client.widgets.canvas import Line, draw
from ztop_client.widgets.footer import message_lines
from ztop_client.widgets.strip import columns_of, strip
from ztop_protocol.frame import Cell, Frame, Key
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
_UNSEEN = frozenset(
    {"sampled_boottime_ns", "counters_boottime_ns", "energy_millijoules", "memory_free_bytes", "xid_boottime_ns"}
)
"""Nothing of a card is made of these, nor of how old the data is but for what :func:`_said` has of it;"""
_AS_RATES = ("nvlink_receive_bytes", "nvlink_transmit_bytes")
"""and of these only of the rates, in words."""
_seen_cells = itemgetter(
    *(place for place, name in enumerate(GPUS.names) if name not in _UNSEEN and name not in _AS_RATES)
)
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
        self._said: dict[Cell, tuple[object, ...]] = {}
        """Of the frame: all that each card is made of but its curves, by the GPU's UUID."""
        self._facts: Unchanged[list[Pieces]] = Unchanged()
        self._notes: Unchanged[Pieces] = Unchanged()
        self._curve_lines: Unchanged[list[Pieces]] = Unchanged()
        self._blocks: Unchanged[list[Line]] = Unchanged()
        self._kept_for: tuple[object, ...] = ()
        """The size, and the GPUs: what is kept is of no other."""

    def show(self, previous: Frame | None, current: Frame) -> None:
        """A new frame."""
        self.remember(previous, current)
        self._frame, self._gpus = current, gpus(previous, current)
        self._said = {gpu["uuid"]: _said(gpu) for gpu in self._gpus}

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
        if (kept_for := (width, most, self._said.keys())) != self._kept_for:
            self._kept_for = kept_for
            for kept in (self._facts, self._notes, self._curve_lines, self._blocks):
                kept.forget()
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
        uuid = gpu["uuid"]
        return self._facts.get((uuid, width), self._said[uuid], lambda: facts(gpu, width, self._glyphs))

    def _noted(self, gpu: Gpu) -> list[Pieces]:
        uuid = gpu["uuid"]
        made = self._notes.get(uuid, self._said[uuid], lambda: notes(gpu, self._glyphs))
        return [made] if made else []

    def _block(self, gpu: Gpu, arranged: Layout) -> list[Line]:
        """The lines of one card."""
        uuid, width = gpu["uuid"], arranged.width
        charts = self._charts(gpu, width, arranged.chart) if arranged.form is Form.FULL else []

        def drawn() -> list[Line]:
            block = [*self._above(gpu, arranged), *charts][: arranged.height]
            block += [[] for _ in range(arranged.height - len(block))]
            return [draw(pieces, width, self._glyphs, "text") for pieces in block]

        return self._blocks.get(uuid, (self._said[uuid], arranged, charts), drawn)

    def _above(self, gpu: Gpu, arranged: Layout) -> list[Pieces]:
        """What stands above the curves."""
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
        return [*block, *([] for _ in range(above - len(block)))]

    def _charts(self, gpu: Gpu, width: int, height: int) -> list[Pieces]:
        curves = self._curves.get((gpu["uuid"],))
        if not height or curves is None or self._frame is None:
            return []
        half = (width - GAP) // 2
        # two curves of the same time; an odd cell is beside the second
        room = max(half - _LABEL_CELLS - _SPAN_CELLS, 1)
        uuid = gpu["uuid"]
        left = self._chart(uuid, "GPU", curves.busy, half, room, height, _plain)
        right = self._chart(uuid, "Mem", curves.memory, width - GAP - half, room, height, _memory_style)
        return [[*one, ("text", " " * GAP), *other] for one, other in zip(left, right, strict=True)]

    def _chart(
        self, uuid: Cell, label: str, history: History, width: int, room: int, height: int,
        style: Callable[[float], str],
    ) -> list[Pieces]:  # fmt: skip
        assert self._frame is not None
        sampled = self._frame.sections["gpus"].sampled_boottime_ns
        count = columns_of(room, self._glyphs)
        seconds = next(seconds for seconds in (1, 2, 5, 10, 30) if count * seconds >= _CHART_SECONDS or seconds == 30)
        values = history.until(sampled, count, seconds)

        def made() -> list[Pieces]:
            shares = [None if value is None else value / 100 for value in values]
            known = [share for share in shares if share is not None]
            span = f"{count * seconds // 60}m{count * seconds % 60:02d}s"
            beside = [f"max {max(known):.0%}" if known else "", *[""] * (height - 2), span]
            curve = strip(shares, height, self._glyphs, style)
            return [
                [
                    ("label", (label if row == 0 else "").ljust(_LABEL_CELLS)),
                    *line,
                    ("dim", text.rjust(width - _LABEL_CELLS - room)),
                ]
                for row, (line, text) in enumerate(zip(curve, beside, strict=True))
            ]

        return self._curve_lines.get((uuid, label), (values, width, room, height), made)

    def _beside(self, blocks: Sequence[Sequence[Line]], arranged: Layout, width: int) -> list[Line]:
        lines: list[Line] = []
        for row in range(arranged.height):
            line: Line = [("text", None, b" ")]
            for place, block in enumerate(blocks):
                line += [("text", None, b" " * GAP)] if place else []
                line += block[row]
            left = width - 1 - len(blocks) * arranged.width - (len(blocks) - 1) * GAP
            lines.append([*line, ("text", None, b" " * left)] if left > 0 else line)
        return lines


def _said(gpu: Gpu) -> tuple[object, ...]:
    """All that a card is made of but its curves."""
    flows = [rate_text(gpu.rate(f"{name}_per_second")) for name in _AS_RATES]
    return (*_seen_cells(gpu.row), *flows, gpu.label, gpu.is_fresh, gpu.trouble)


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
