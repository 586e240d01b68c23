"""A frame as a page of text: a few lines about the machine, then a table of its processes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ztop_client.columns.column import Align
from ztop_client.columns.processes import main_columns
from ztop_client.formats import (
    bytes_text,
    count_text,
    hertz_text,
    label_text,
    load_text,
    percent_text,
    rate_text,
    ratio_text,
    seconds_text,
    time_text,
    uptime_text,
)
from ztop_client.moments import moment_text
from ztop_client.sources.source import Pair
from ztop_client.text import fit, fit_left, fit_right, printable, width
from ztop_protocol.frame import Cell, Frame, Row
from ztop_protocol.on_gpus import ON_GPUS
from ztop_protocol.processes import COLUMNS, POSITION
from ztop_protocol.rates import RATES, rates
from ztop_protocol.schema import PROCESS_COUNTERS, PROCESS_IO, PROCESSES, Unit

DEFAULT_COLUMNS = tuple(column.name for column in main_columns())
"""Those of the screen."""

_CPU_STATES = ("user", "system", "nice", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int
    """At the least; a column grows with what is in it."""
    align: Align
    format: Callable[[Cell], str]
    value: Callable[[Row], Cell]


def text_page(pair: Pair, processes: Iterable[Row], names: Sequence[str], columns: int | None) -> str:
    """The page, with a line feed at its end.

    ``processes`` are joined rows, ``names`` their columns to show (none: those of the screen). Lines are cut at
    ``columns`` of the terminal; None: never.
    """
    lines = [*_summary(pair), "", *_table(processes, names or DEFAULT_COLUMNS)]
    return "".join(f"{(printable(line) if columns is None else fit(line, columns)).rstrip()}\n" for line in lines)


def _summary(pair: Pair) -> Iterable[str]:
    frame = pair.current

    def host(name: str) -> Cell:
        return frame.cell("host", name)

    def memory(name: str) -> str:
        return bytes_text(frame.cell("memory", name))

    clock = moment_text(frame.time_ns)
    loads = " ".join(load_text(host(f"load_average_{span}")) for span in ("1m", "5m", "15m"))
    yield f"ztop {clock}  {label_text(host('hostname'))}  up {uptime_text(host('uptime_ns'))}  load {loads}"
    states = ", ".join(
        f"{count_text(host(f'processes_{state}'))} {state}"
        for state in ("running", "sleeping", "blocked", "stopped", "zombie")
    )
    yield f"Tasks {count_text(host('processes_total'))}, {count_text(host('threads_total'))} threads: {states}"
    shares = ", ".join(f"{percent_text(share)} {state}" for state, share in _cpu_shares(pair))
    yield f"CPU%  {shares} (mean of {count_text(len(frame.rows('cpus')) or None)} CPUs)"
    used = bytes_text(_difference(frame, "total_bytes", "available_bytes"))
    yield (
        f"Mem   {memory('total_bytes')} total, {used} used, "
        f"{memory('available_bytes')} available, {memory('free_bytes')} free, {memory('cached_bytes')} cached"
    )
    used = bytes_text(_difference(frame, "swap_total_bytes", "swap_free_bytes"))
    yield f"Swap  {memory('swap_total_bytes')} total, {used} used"


def _cpu_shares(pair: Pair) -> Iterable[tuple[str, float | None]]:
    """The mean of every state over the CPUs of which it is known."""
    rows = list(rates(pair.previous, pair.current, "cpus").values())
    places = {rate.name: place for place, rate in enumerate(RATES["cpus"])}
    for state in _CPU_STATES:
        place = places[f"{state}_percent"]
        known = [share for row in rows if (share := row[place]) is not None]
        yield state, sum(known) / len(known) if known else None


def _difference(frame: Frame, whole: str, part: str) -> Cell:
    minuend, subtrahend = frame.cell("memory", whole), frame.cell("memory", part)
    if not isinstance(minuend, int) or not isinstance(subtrahend, int):
        return None
    return minuend - subtrahend


def _table(processes: Iterable[Row], names: Sequence[str]) -> Iterable[str]:
    columns = [_COLUMNS[name] for name in names]
    heads = [(column.title, column.width, column.align) for column in columns]
    return table_lines(heads, [[column.format(column.value(row)) for column in columns] for row in processes])


def table_lines(heads: Sequence[tuple[str, int, Align]], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """A table of texts under their titles: for each column its title, the least width, and the side it stands on."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max(least, width(title), *(width(row[place]) for row in shown)) if shown else least
        for place, (title, least, _) in enumerate(heads)
    ]
    for cells in ([title for title, _, _ in heads], *shown):
        yield " ".join(
            (fit_left if align is Align.LEFT else fit_right)(cell, wide)
            for cell, (_, _, align), wide in zip(cells, heads, widths, strict=True)
        )


def _of(name: str) -> Callable[[Row], Cell]:
    place = POSITION[name]
    return lambda row: row[place]


def _cpu_time_ns(row: Row) -> Cell:
    user, system = row[POSITION["user_time_ns"]], row[POSITION["system_time_ns"]]
    return user + system if isinstance(user, int) and isinstance(system, int) else None


def _command(row: Row) -> Cell:
    """The command line; the name where there is none (kernel threads, zombies)."""
    return row[POSITION["command_line"]] or row[POSITION["comm"]]


_FORMATS: dict[str, Callable[[Cell], str]] = {
    Unit.BYTES: bytes_text,
    Unit.COUNT: count_text,
    Unit.NANOSECONDS: time_text,
    Unit.PERCENT: percent_text,
    "bytes per second": rate_text,
    Unit.BYTES_PER_SECOND: rate_text,
    Unit.SECONDS: seconds_text,
    "count per second": count_text,
    "count per second of CPU time": count_text,
    Unit.HERTZ: hertz_text,
    "instructions per cycle": ratio_text,
    "count per 1000 instructions": ratio_text,
}


def _all_columns() -> dict[str, _Column]:
    units: dict[str, str] = {"memory_percent": Unit.PERCENT, **{column.name: column.unit for column in ON_GPUS}}
    for schema in (PROCESSES, PROCESS_IO, PROCESS_COUNTERS):
        units |= {column.name: column.unit for column in schema.columns}
        units |= {rate.name: rate.unit for rate in RATES[schema.name]}
    made: dict[str, _Column] = {}
    for name in COLUMNS:
        form = _FORMATS.get(units.get(name, ""))
        align = Align.LEFT if form is None else Align.RIGHT
        made[name] = _Column(name.upper(), 0, align, form or label_text, _of(name))
    special = {"cpu_time_ns": _cpu_time_ns, "command_line": _command}
    for column in main_columns():
        value = special.get(column.name) or _of(column.name)
        made[column.name] = _Column(column.title, column.width, column.align, column.format, value)
    return made


_COLUMNS = _all_columns()
