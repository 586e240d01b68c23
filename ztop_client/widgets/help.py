"""The help screen: the table of keys as a page, and what the colours of the meters mean."""

from ztop_client.glyphs import Glyphs
from ztop_client.keys import BINDINGS, REWIND_BINDINGS, Group, key_name
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
_KEYS_WIDTH, _HELP_WIDTH = 13, 54


def help_page(glyphs: Glyphs) -> Page:
    """The help screen."""
    rows: list[list[Piece]] = [
        _legend("CPU", _CPU_LEGEND, glyphs),
        _legend("Memory", _MEMORY_LEGEND, glyphs),
    ]
    for group in Group:
        rows += [[], [("box_heading", group.value)]]
        for binding in (*BINDINGS, *REWIND_BINDINGS):
            if binding.group is group:
                keys = " ".join(key_name(key, glyphs.ascii_only) for key in binding.keys)
                rows.append(
                    [("box_key", keys.rjust(_KEYS_WIDTH)), ("box_text", f"  {binding.help}".ljust(_HELP_WIDTH))]
                )
    return Page("ztop: keys", rows)


def _legend(label: str, parts: tuple[tuple[str, str], ...], glyphs: Glyphs) -> list[Piece]:
    pieces: list[Piece] = [("box_heading", label.rjust(_KEYS_WIDTH)), ("box_text", "  ")]
    for place, (style, name) in enumerate(parts):
        pieces += [(style, glyphs.segments[place % len(glyphs.segments)] * 3), ("box_text", f" {name}  ")]
    return pieces
