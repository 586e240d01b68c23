"""The help screen: the table of keys as a page, and what the colours of the meters mean."""

from collections.abc import Callable, Mapping
from textwrap import wrap

from ztop_client.columns.counters import COMPUTE_BOUND_IPC, MEMORY_BOUND_IPC
from ztop_client.glyphs import Glyphs
from ztop_client.keys import REWIND_BINDINGS, Action, Group, key_name
from ztop_client.program import ZTOP, Program
from ztop_client.widgets.canvas import Piece
from ztop_client.widgets.dialogs import Page

_CPU_LEGEND = (
    ("cpu_user", "user"), ("cpu_nice", "nice"), ("cpu_system", "system"), ("cpu_irq", "irq"), ("cpu_steal", "steal"),
    ("cpu_iowait", "iowait"),
)  # fmt: skip
_MEMORY_LEGEND = (
    ("memory_used", "used"), ("memory_shared", "shared"), ("memory_buffers", "buffers"), ("memory_cache", "cache"),
    ("memory_arc", "ARC"),
)  # fmt: skip
_IPC_LEGEND = (
    ("memory_bound", f"below {MEMORY_BOUND_IPC:g}: memory"),
    ("compute_bound", f"from {COMPUTE_BOUND_IPC:g}: CPU"),
    ("ipc_drop", "dropped"),
)
_KEYS_WIDTH, _HELP_WIDTH = 13, 54


def help_page(
    glyphs: Glyphs,
    note: str | None = None,
    program: Program = ZTOP,
    leads_on: Mapping[Action, Callable[[], None]] | None = None,
) -> Page:
    """The help screen. ``leads_on``: what keys open in its place, by what they ask for elsewhere."""
    keys = {
        key: leads_on[binding.action]
        for binding in program.bindings
        if leads_on and binding.action in leads_on
        for key in binding.keys
    }
    return Page(f"{program.name}: keys", help_rows(glyphs, note, program), keys)


def help_rows(glyphs: Glyphs, note: str | None, program: Program = ZTOP) -> list[list[Piece]]:
    """Its lines. ``note``: what this machine does not have or show, and why, a sentence a line."""
    rows: list[list[Piece]] = []
    if program.has_meters:
        rows += [
            _legend("CPU", _CPU_LEGEND, glyphs),
            _legend("Memory", _MEMORY_LEGEND, glyphs),
            _legend("IPC", _IPC_LEGEND, glyphs),
        ]
    for sentence in (note or "").splitlines():
        for line in wrap(sentence, _HELP_WIDTH):
            rows.append([("box_text", " " * (_KEYS_WIDTH + 2) + line)])
    for group in Group:
        rows += [*([[]] if rows else []), [("box_heading", group.value)]]
        for binding in (*program.bindings, *REWIND_BINDINGS):
            if binding.group is group:
                keys = " ".join(key_name(key, glyphs.ascii_only) for key in binding.keys)
                rows.append(
                    [("box_key", keys.rjust(_KEYS_WIDTH)), ("box_text", f"  {binding.help}".ljust(_HELP_WIDTH))]
                )
    return rows


def _legend(label: str, parts: tuple[tuple[str, str], ...], glyphs: Glyphs) -> list[Piece]:
    pieces: list[Piece] = [("box_heading", label.rjust(_KEYS_WIDTH)), ("box_text", "  ")]
    for place, (style, name) in enumerate(parts):
        pieces += [(style, glyphs.segments[place % len(glyphs.segments)] * 3), ("box_text", f" {name}  ")]
    return pieces
