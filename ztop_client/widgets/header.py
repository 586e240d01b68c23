"""The title line and the meters: what the machine as a whole does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ztop_client.formats import ABSENT, bytes_text, count_text, label_text, load_text, percent_text, uptime_text
from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Line, Piece, draw, justify, pieces_width
from ztop_client.widgets.meters import Segment, bar, level, meter
from ztop_protocol.frame import Cell, Frame, Key
from ztop_protocol.rates import RATE_POSITION, RateRow, rates

_CPU = RATE_POSITION["cpus"]
_BUSY = _CPU["busy_percent"]
_SEGMENTS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("cpu_user", (_CPU["user_percent"],)),
    ("cpu_nice", (_CPU["nice_percent"],)),
    ("cpu_system", (_CPU["system_percent"],)),
    ("cpu_irq", (_CPU["irq_percent"], _CPU["softirq_percent"])),
    ("cpu_steal", (_CPU["steal_percent"],)),
    ("cpu_iowait", (_CPU["iowait_percent"],)),
)

_Item: TypeAlias = Callable[[int], list[Piece]]
_NUMBER_CELL, _GAP = 7, 2
_BARS, _NUMBERS = (20, 16), (_NUMBER_CELL,)
"""The least widths of a core's cell."""


@dataclass(frozen=True, slots=True)
class Title:
    """What the title line says beside the frame. ``lost`` is why, and for how long, no frames come."""

    source: str
    lost: str | None = None
    marks: tuple[str, ...] = ()
    """Short words for what is switched on: PAUSED, FOLLOW."""


def title_line(frame: Frame | None, title: Title, width: int, glyphs: Glyphs) -> Line:
    """``ztop host · source … up 1d 02:03 · load 0.10 0.20 0.30 · ● live 12:34:56``.

    What matters most stays longest when the line is narrow: the state, then the host and the clock.
    """
    left: list[Piece] = [("title_name", " ztop ")]
    state: list[Piece] = [("title_paused", f" {mark} ") for mark in title.marks]
    if title.lost is not None:
        state.append(("title_lost", f" {title.lost} "))
    else:
        state.append(("title_live", f" {glyphs.live} live "))
    separator = f" {glyphs.separator} "
    host: list[Piece] = []
    clock: list[Piece] = []
    figures: list[Piece] = []
    if frame is not None:
        host.append(("title_host", f" {label_text(frame.cell('host', 'hostname'))}"))
        moment = datetime.fromtimestamp(frame.time_ns / 1e9)
        clock.append(("title_host", f"{moment:%H:%M:%S} "))
        loads = " ".join(load_text(frame.cell("host", f"load_average_{span}")) for span in ("1m", "5m", "15m"))
        uptime = uptime_text(frame.cell("host", "uptime_ns"))
        figures.append(("title", f" up {uptime}{separator}load {loads} "))
    source: list[Piece] = [("title", f"{separator}{title.source}")]
    for right in ([*figures, *state, *clock], [*state, *clock], state):
        for start in ([*left, *host, *source], [*left, *host]):
            if pieces_width(start, glyphs) + pieces_width(right, glyphs) < width:
                return justify(start, right, width, glyphs, "title")
    return draw([*left, *state], width, glyphs, "title")


class Meters:
    """The meters of a frame. Give it each frame once; the lines are made when they are asked for."""

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._frame: Frame | None = None
        self._cpus: Mapping[Key, RateRow] = {}

    def show(self, previous: Frame | None, current: Frame) -> None:
        """A new frame."""
        self._frame = current
        cpus = rates(previous, current, "cpus")
        self._cpus = {key: cpus[key] for key in sorted(cpus)}

    def lines(self, width: int, most: int) -> list[Line]:
        """At most so many lines; none at all where there is no room for anything useful."""
        if self._frame is None or width < 20 or most < 1:
            return []
        beside: list[_Item] = [self._memory, self._swap, self._tasks]
        half, whole = (width - 5) // 2, width - 2
        wide = width >= 72
        below = min(2 if wide else 3, most - 1)
        for kinds in (_BARS, _NUMBERS):
            if wide and most >= len(beside):
                left = self._cpu_rows(half, most, len(beside), kinds)
                if left is not None:
                    return self._side_by_side(left, beside, width, half)
            rows = self._cpu_rows(whole, most - below, 1, kinds)
            if rows is not None:
                break
        else:
            rows = self._summary(whole, most - below)
        lines = [self._line(row, width) for row in rows]
        if wide and below:
            lines.append(self._pair(self._memory(half), self._swap(half), width, half))
            beside = [self._tasks]
        return lines + [self._line(item(whole), width) for item in beside[: most - len(lines)]]

    def _line(self, pieces: Sequence[Piece], width: int) -> Line:
        return draw([("text", " "), *pieces], width, self._glyphs, "text")

    def _side_by_side(
        self, left: Sequence[Sequence[Piece]], right: Sequence[_Item], width: int, half: int
    ) -> list[Line]:
        count = max(len(left), len(right))
        return [
            self._pair(
                left[row] if row < len(left) else (),
                right[row](half) if row < len(right) else (),
                width,
                half,
            )
            for row in range(count)
        ]

    def _pair(self, left: Sequence[Piece], right: Sequence[Piece], width: int, half: int) -> Line:
        gap = half + 3 - pieces_width(left, self._glyphs)
        return self._line([*left, ("text", " " * gap), *right], width)

    def _cpu_rows(self, width: int, most: int, least: int, kinds: Sequence[int]) -> list[list[Piece]] | None:
        """A cell per core, down and then across, in ``least`` rows or more; None if ``most`` are too few."""
        items = list(self._cpus.items())
        for narrowest in kinds:
            across = max((width + _GAP) // (narrowest + _GAP), 1)
            rows = max(-(-len(items) // across), min(least, len(items)))
            if rows > most:
                continue
            across = max(-(-len(items) // max(rows, 1)), 1)
            rows = -(-len(items) // across)
            room = (width + _GAP) // across - _GAP
            draw_one = self._cpu_number if narrowest == _NUMBER_CELL else self._cpu_bar
            table: list[list[Piece]] = [[] for _ in range(rows)]
            for place, (key, row) in enumerate(items):
                line = table[place % rows]
                if line:
                    line.append(("text", " " * _GAP))
                line += draw_one(key, row, room)
            return table
        return None

    def _cpu_bar(self, key: Key, row: RateRow, width: int) -> list[Piece]:
        segments: list[Segment] = [
            (style, sum(row[place] or 0.0 for place in places) / 100) for style, places in _SEGMENTS
        ]
        busy = row[_BUSY]
        return meter(str(key[0]).rjust(3), segments, _percent(busy), width, 6, self._glyphs)

    def _cpu_number(self, key: Key, row: RateRow, width: int) -> list[Piece]:
        busy = row[_BUSY]
        share = None if busy is None else busy / 100
        text = ABSENT if busy is None else f"{busy:.0f}"
        style, glyph = level(share, self._glyphs)
        number = "value" if share is not None and share >= 0.4 else "arguments"
        pieces: list[Piece] = [("label", str(key[0]).rjust(3)), (style, glyph), (number, text.rjust(3))]
        return [*pieces, ("text", " " * (width - _NUMBER_CELL))]

    def _summary(self, width: int, most: int) -> list[list[Piece]]:
        """All cores in one bar, and one cell for each core."""
        rows = [row[_BUSY] for row in self._cpus.values()]
        known = [busy for busy in rows if busy is not None]
        count = max(len(self._cpus), 1)
        segments: list[Segment] = [
            (style, sum(row[place] or 0.0 for row in self._cpus.values() for place in places) / 100 / count)
            for style, places in _SEGMENTS
        ]
        mean = sum(known) / len(known) if known else None
        lines = [meter("CPU", segments, _percent(mean), width, 6, self._glyphs)]
        cells = [level(None if busy is None else busy / 100, self._glyphs) for busy in rows]
        per_line = max(width - 4, 1)
        for start in range(0, len(cells), per_line):
            if len(lines) == most:
                break
            lines.append([("label", str(start).rjust(3) + " "), *cells[start : start + per_line]])
        return lines

    def _cell(self, name: str) -> Cell:
        assert self._frame is not None
        return self._frame.cell("memory", name)

    def _memory(self, width: int) -> list[Piece]:
        total = self._cell("total_bytes")
        segments, used = self._memory_parts()
        text = f"{bytes_text(used)}/{bytes_text(total)}"
        shares = [(style, part / float(total)) for style, part in segments] if total else []
        return meter("Mem", shares, text, width, 11, self._glyphs)

    def _memory_parts(self) -> tuple[list[tuple[str, float]], float | None]:
        """Used, shared, buffers, cache and ARC in bytes, without overlap, and how much of it is not reclaimable."""
        names = ("total_bytes", "free_bytes", "buffers_bytes", "cached_bytes", "slab_reclaimable_bytes")
        values = [self._cell(name) for name in names]
        if any(value is None for value in values):
            return [], None
        total, free, buffers, cached, slab = (float(value) for value in values if value is not None)
        shared = float(self._cell("shared_bytes") or 0)
        arc = max(float(self._cell("arc_bytes") or 0) - float(self._cell("arc_minimum_bytes") or 0), 0.0)
        used = max(total - free - buffers - cached - slab - arc, 0.0)
        parts = [
            ("memory_used", used),
            ("memory_shared", shared),
            ("memory_buffers", buffers),
            ("memory_cache", max(cached + slab - shared, 0.0)),
            ("memory_arc", arc),
        ]
        return parts, used + shared

    def _swap(self, width: int) -> list[Piece]:
        total, free = self._cell("swap_total_bytes"), self._cell("swap_free_bytes")
        if total == 0:
            return [("label", "Swp "), *bar((), max(width - 16, 1), self._glyphs), ("dim", " " + "none".rjust(11))]
        used = None if total is None or free is None else float(total) - float(free)
        shares = [("swap_used", used / float(total))] if used is not None and total else []
        return meter("Swp", shares, f"{bytes_text(used)}/{bytes_text(total)}", width, 11, self._glyphs)

    def _tasks(self, width: int) -> list[Piece]:
        assert self._frame is not None
        frame = self._frame
        kernel = frame.cell("host", "kernel_threads")
        total = frame.cell("host", "processes_total")
        own = None if total is None or kernel is None else int(total) - int(kernel)
        threads = frame.cell("host", "threads_total")
        parts: list[tuple[str, Cell, str]] = [("value", own, ""), ("value", threads, " thr")]
        for label in ("running", "blocked", "stopped", "zombie"):
            value = frame.cell("host", f"processes_{label}")
            if value or label == "running":
                parts.append((label if value else "dim", value, f" {label}"))
        parts.append(("value", kernel, " kernel"))
        pieces: list[Piece] = []
        for style, value, label in parts:
            pieces += [("label", ", " if pieces else "Tasks "), (style, count_text(value)), ("label", label)]
        while pieces_width(pieces, self._glyphs) > width and len(pieces) > 3:
            del pieces[-3:]
        return pieces


def _percent(value: float | None) -> str:
    return ABSENT if value is None else percent_text(value) + "%"
