"""Batch mode of ``ztop-g``: a frame's GPUs and their processes as text, or as a line of JSON."""

import json
from collections.abc import Iterator, Sequence

from ztop_client.batch import columns_of_terminal, pages
from ztop_client.columns.column import Column
from ztop_client.formats import bytes_text, label_text, uptime_text
from ztop_client.glyphs import ASCII, UNICODE
from ztop_client.gpu.device import Gpu, gpus, warnings
from ztop_client.gpu.facts import groups, whole_percent
from ztop_client.gpu.rows import NAMES, batch_tabs, json_value
from ztop_client.gpu.table import gpu_table
from ztop_client.json_lines import HEAD_NAMES, document
from ztop_client.moments import moment_text
from ztop_client.options import Options
from ztop_client.program import Printer
from ztop_client.settings import asked_for
from ztop_client.sources.source import Pair
from ztop_client.text import fit, printable
from ztop_client.text_page import table_lines
from ztop_client.view import View
from ztop_protocol.frame import Cell, Key

JSON_SECTIONS = ("host", "gpus", "gpu_processes", "sources")
"""What stands in a line of JSON, behind the head."""


def printer(options: Options) -> Printer:
    """What makes a frame's text as ``options`` have it."""
    view = View(batch_tabs(), ASCII, program=options.program)
    asked_for(options, view)
    by_name = {column.name: column for column in view.tabs[-1].columns}
    if options.json:
        chosen = [by_name[name] for name in options.columns or NAMES]
        return lambda pair: _json_line(pair, view, chosen, options.limit)
    shown = [by_name[name] for name in options.columns] or list(view.tabs[0].columns)
    return pages(lambda pair: _page(pair, view, shown, options.limit))


def _keys(pair: Pair, view: View, limit: int | None) -> Sequence[Key]:
    view.show(gpu_table(pair.previous, pair.current))
    return view.keys[:limit]


def _json_line(pair: Pair, view: View, columns: Sequence[Column], limit: int | None) -> str:
    keys = _keys(pair, view, limit)
    assert view.table is not None
    whole = document(pair, ())
    kept = {name: whole[name] for name in (*HEAD_NAMES, *JSON_SECTIONS)}
    if kept["gpu_processes"] is not None:
        table = view.table
        kept["gpu_processes"] = [{one.name: json_value(one, table, key) for one in columns} for key in keys]
    return json.dumps(kept, separators=(",", ":"), allow_nan=False) + "\n"


def _page(pair: Pair, view: View, columns: Sequence[Column], limit: int | None) -> str:
    keys, width = _keys(pair, view, limit), columns_of_terminal()
    table = view.table
    assert table is not None
    rows = [[column.format(column.value(table, key)) for column in columns] for key in keys]
    lines = [*_summary(pair), "", *table_lines([(one.title, one.width, one.align) for one in columns], rows)]
    return "".join(f"{(printable(line) if width is None else fit(line, width)).rstrip()}\n" for line in lines)


def _summary(pair: Pair) -> Iterator[str]:
    frame = pair.current

    def host(name: str) -> Cell:
        return frame.cell("host", name)

    clock = moment_text(frame.time_ns)
    yield f"ztop-g {clock}  {label_text(host('hostname'))}  up {uptime_text(host('uptime_ns'))}"
    for gpu in gpus(pair.previous, frame):
        yield from _lines_of(gpu)


def _lines_of(gpu: Gpu) -> Iterator[str]:
    used, total = bytes_text(gpu["memory_used_bytes"]), bytes_text(gpu["memory_total_bytes"])
    busy = whole_percent(gpu.now("gpu_utilization_percent"))
    yield f"GPU {gpu.label}  {label_text(gpu['name'])}: {busy} busy, {used} of {total}"
    told = "  ".join("".join(text for _, text in group) for group in groups(gpu, UNICODE))
    if told:
        yield f"  {told}"
    for _, text in warnings(gpu):
        yield f"  {text}"
