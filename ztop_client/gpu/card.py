"""One GPU in words and bars: a line, two lines, or a card with all its facts. Pure."""

from collections.abc import Sequence
from typing import TypeAlias

from ztop_client.formats import bytes_text, label_text, seconds_text
from ztop_client.glyphs import Glyphs
from ztop_client.gpu.device import Gpu, warnings
from ztop_client.gpu.facts import groups, performance, power, temperature, whole_percent
from ztop_client.widgets.canvas import Piece, cells, pieces_width, slice_cells
from ztop_client.widgets.meters import Segment, meter

Pieces: TypeAlias = list[Piece]

_GAP = 3
_MEMORY_CELLS = 13
_PERCENT_CELLS = 4


def one_line(gpu: Gpu, width: int, glyphs: Glyphs) -> Pieces:
    """Everything in one line: an alarm takes the place of what is measured."""
    start: Pieces = [("gpu_name", gpu.label.rjust(3)), ("text", " ")]
    degrees = temperature(gpu, glyphs, "C" if glyphs.ascii_only else "°")
    end = _alarm(gpu) or [("text", " " * (4 - pieces_width(degrees, glyphs))), *degrees]
    room = width - pieces_width(start, glyphs) - pieces_width(end, glyphs) - 2
    first = room // 2
    used = bytes_text(gpu["memory_used_bytes"])
    return [
        *start,
        *meter("", _busy(gpu), whole_percent(gpu.now("gpu_utilization_percent")), first, _PERCENT_CELLS, glyphs),
        ("text", " "),
        *meter("", _memory(gpu), used, room - first, 5, glyphs),
        ("text", " "),
        *end,
    ]


def title(gpu: Gpu, width: int, glyphs: Glyphs, *, with_figures: bool) -> Pieces:
    """Its name; at the right an alarm, and as many figures as there is room for, or its place on the bus."""
    number: Piece = ("gpu_name", f" {gpu.label} ")
    name = f" {glyphs.showable(label_text(gpu['name']))}"
    right = _alarm(gpu)
    bus: Pieces = [] if gpu["bus_id"] is None else [("dim", str(gpu["bus_id"]))]
    for figure in (temperature(gpu, glyphs), power(gpu), performance(gpu)) if with_figures else (bus,):
        wider = [*right, *([("text", "  ")] if right and figure else []), *figure]
        if pieces_width([number, ("value", name), *wider], glyphs) + 1 <= width:
            right = wider
    room = max(width - pieces_width([number, *right], glyphs) - 1, 0)
    name = slice_cells(name, 0, room)
    return [number, ("value", name), ("text", " " * (room - cells(name) + 1)), *right]


def bars(gpu: Gpu, width: int, glyphs: Glyphs) -> Pieces:
    """How busy it is, and its memory."""
    first = (width - _GAP) // 2
    memory = f"{bytes_text(gpu['memory_used_bytes'])}/{bytes_text(gpu['memory_total_bytes'])}"
    return [
        *meter("GPU", _busy(gpu), whole_percent(gpu.now("gpu_utilization_percent")), first, _PERCENT_CELLS, glyphs),
        ("text", " " * _GAP),
        *meter("Mem", _memory(gpu), memory, width - _GAP - first, _MEMORY_CELLS, glyphs),
    ]


def engines(gpu: Gpu, width: int, glyphs: Glyphs) -> Pieces:
    """How busy its memory's interface and its video engines are, and how its memory grows."""
    parts = (
        ("BW ", "memory_utilization_percent"), ("Enc", "encoder_utilization_percent"),
        ("Dec", "decoder_utilization_percent"),
    )  # fmt: skip
    first = (width - _GAP) // 2
    rest = width - _GAP - first
    widths = (first, (rest - _GAP) // 2, rest - _GAP - (rest - _GAP) // 2)
    pieces: Pieces = []
    for (label, name), room in zip(parts, widths, strict=True):
        value = gpu.number(name)
        shares: list[Segment] = [] if value is None or not gpu.is_fresh else [("cpu_nice", value / 100)]
        pieces += [("text", " " * _GAP)] if pieces else []
        pieces += meter(label, shares, whole_percent(gpu.now(name)), room, _PERCENT_CELLS, glyphs)
    return pieces


def facts(gpu: Gpu, width: int, glyphs: Glyphs) -> list[Pieces]:
    """All else that it told, in as many lines as that needs. What the card does not have is left out."""
    lines: list[Pieces] = [[]]
    withheld = gpu["withheld"]
    not_told: list[Pieces] = [] if withheld is None else [[("dim", f"not told: {withheld}")]]
    left = width
    for group in (*groups(gpu, glyphs), *not_told):
        taken = pieces_width(group, glyphs)
        if not lines[-1]:
            lines[-1] = group
        elif _GAP + taken <= left:
            lines[-1] = [*lines[-1], ("text", " " * _GAP), *group]
            taken += _GAP
        else:
            lines.append(group)
            left = width
        left -= taken
    return lines


def notes(gpu: Gpu, glyphs: Glyphs) -> Pieces:
    """What is wrong with it, in words; empty where nothing is."""
    pieces: Pieces = []
    for style, text in warnings(gpu):
        padded = f" {text} " if style == "alarm" else text
        pieces += [*([("text", "  ")] if pieces else []), (style, padded)]
    return pieces


def _busy(gpu: Gpu) -> Sequence[Segment]:
    value = gpu.number("gpu_utilization_percent")
    return [] if value is None or not gpu.is_fresh else [("cpu_user", value / 100)]


def _memory(gpu: Gpu) -> Sequence[Segment]:
    share, total = gpu.memory_share, gpu.number("memory_total_bytes")
    if share is None or not total:
        return []
    style = "hot" if gpu.is_urgent or share >= 0.97 else "warm" if share >= 0.9 else "memory_shared"
    reserved = gpu.number("memory_reserved_bytes")
    return [(style, share), *([("memory_cache", reserved / total)] if reserved else [])]


def _alarm(gpu: Gpu) -> Pieces:
    """What must not be overlooked, in a few cells; empty where nothing is."""
    text = gpu.trouble
    if text is None and gpu.is_urgent:
        eta = gpu["oom_eta_seconds"]
        text = "!! FULL" if eta is None else f"!! {seconds_text(eta)}"
    return [] if text is None else [("alarm", f" {text} ")]
