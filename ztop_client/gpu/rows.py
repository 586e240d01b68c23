"""What batch mode has of a process on a GPU, by name."""

from collections.abc import Callable, Mapping

from ztop_client.columns.column import Align, Column, ProcessTable, Tab, cell, tab
from ztop_client.formats import bytes_text, label_text, percent_text, rate_text, seconds_text, time_text
from ztop_client.gpu.columns import SECTIONS, tabs
from ztop_protocol.frame import Cell, Key
from ztop_protocol.on_gpus import place_text
from ztop_protocol.schema import GPU_PROCESSES, PROCESSES, Unit

JOINED = ("gpu_index", "user", "comm", "command_line", "cpu_percent", "rss_bytes", "vram_percent", "vram_low")
"""What is joined to a row: its GPU, what the host says of the process, its part of the GPU's memory, a warning."""
NAMES: tuple[str, ...] = (*GPU_PROCESSES.names, *JOINED)
"""The schema's, then those."""

_FORMATS: Mapping[Unit, Callable[[Cell], str]] = {
    Unit.BYTES: bytes_text,
    Unit.PERCENT: percent_text,
    Unit.NANOSECONDS: time_text,
    Unit.SECONDS: seconds_text,
    Unit.BYTES_PER_SECOND: rate_text,
}


def batch_tabs() -> tuple[Tab, ...]:
    """The tabs of the screen, and one that has everything in it."""
    screen = tabs()
    return (*screen, tab("All", tuple(_all_columns(screen).values()), screen[0].usual.name))


def json_value(column: Column, table: ProcessTable, key: Key) -> Cell:
    """A value as JSON has it."""
    value = column.value(table, key)
    return place_text(value) if column.name == "gpu_index" else value


def _all_columns(screen: tuple[Tab, ...]) -> dict[str, Column]:
    known = {column.name: column for shown in screen for column in shown.columns}
    return {name: known[name] if name in known else _plain(name) for name in NAMES}


def _plain(name: str) -> Column:
    """A column that is on no screen."""
    schema = GPU_PROCESSES if name in GPU_PROCESSES.position else PROCESSES
    form = _FORMATS.get(Unit(schema.columns[schema.position[name]].unit), label_text)
    align = Align.LEFT if form is label_text else Align.RIGHT
    return Column(name, name.upper(), 0, align, cell(schema.name, name), form, lambda _: "text", True, SECTIONS, name)
