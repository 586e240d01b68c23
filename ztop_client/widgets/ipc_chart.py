"""A chart of instructions per cycle, as lines of the page of a process."""

import math

from ztop_client.columns.counters import COMPUTE_BOUND_IPC, MEMORY_BOUND_IPC, ipc_attribute
from ztop_client.formats import span_text
from ztop_client.glyphs import Glyphs
from ztop_client.ipc_history import IpcHistory
from ztop_client.widgets.canvas import Piece
from ztop_client.widgets.strip import columns_of, strip

_AXIS_CELLS = 6
_HEIGHT = 8
_LEAST_WIDTH = 20
_LEGEND: list[Piece] = [
    ("memory_bound", f"below {MEMORY_BOUND_IPC:g}"),
    ("box_text", ": waits, most likely for memory   "),
    ("compute_bound", f"from {COMPUTE_BOUND_IPC:g} on"),
    ("box_text", ": computes"),
]


def ipc_chart(history: IpcHistory, until_ns: int, width: int, glyphs: Glyphs) -> list[list[Piece]]:
    """The time up to the boot time ``until_ns``; no line at all where nothing is known, or there is no room."""
    room = width - _AXIS_CELLS
    span_ns = history.span_ns(until_ns)
    if not span_ns or room < _LEAST_WIDTH:
        return []
    values = history.values(columns_of(room, glyphs), until_ns)
    top = max(math.ceil(max((value for value in values if value is not None), default=1.0)), 1)
    curve = strip(
        [None if value is None else value / top for value in values],
        _HEIGHT,
        glyphs,
        lambda share: ipc_attribute(share * top),
    )
    rows: list[list[Piece]] = [[("box_heading", f"Instructions per cycle in {span_text(span_ns)}")]]
    for place, line in enumerate(curve):
        label = f"{top:g}" if place == 0 else f"{top / 2:g}" if place == _HEIGHT // 2 else ""
        rows.append([("box_key", label.rjust(_AXIS_CELLS - 1) + " "), *line])
    ago = f"-{span_text(span_ns)}"
    return [*rows, [("box_key", " " * _AXIS_CELLS + ago + "now".rjust(room - len(ago)))], _LEGEND]
