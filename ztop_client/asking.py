"""What is asked of the processes of a table: a text or an expression, and what its fields are in there."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial

from ztop_client.columns.column import ProcessTable, Value, cell, gpu_use, memory_share, rate, total
from ztop_client.columns.processes import command, tabs
from ztop_protocol import on_gpus
from ztop_protocol.frame import Cell, Key
from ztop_protocol.processes import contains
from ztop_protocol.query import Contains, Expression, compiled, fields, is_expression, parse
from ztop_protocol.query_fields import FIELDS
from ztop_protocol.rates import RATES
from ztop_protocol.schema import PROCESS_COUNTERS, PROCESS_EXECUTABLES, PROCESS_IO, PROCESSES

matching = lru_cache(maxsize=8)(contains)
"""The same test for every frame: it remembers what it found."""


@lru_cache(maxsize=8)
def meant(text: str) -> Expression:
    """What a text means where both may stand: an expression, or the text itself, to be found.

    Raises :exc:`ztop_protocol.query.QueryError` for what looks like an expression and is none.
    """
    return parse(text) if is_expression(text) else Contains(text)


def _age(table: ProcessTable, key: Key) -> Cell:
    start = table.processes[key][PROCESSES.position["start_boottime_ns"]]
    return table.frame.boottime_ns - start if isinstance(start, int) else None


def _values() -> dict[str, Value]:
    made: dict[str, Value] = {}
    # pid and the like are those of the section that every process is in
    for schema in (PROCESS_EXECUTABLES, PROCESS_IO, PROCESS_COUNTERS, PROCESSES):
        made |= {column.name: cell(schema.name, column.name) for column in schema.columns}
        made |= {one.name: rate(schema.name, one.name) for one in RATES.get(schema.name, ())}
    made |= {name: gpu_use(name) for name in on_gpus.NAMES}
    made |= {
        "age_ns": _age,
        "command_line": command,
        "cpu_time_ns": total("processes", "user_time_ns", "system_time_ns"),
        "memory_percent": memory_share("rss_bytes"),
    }
    shown = {column.name: column.value for tab in tabs() for column in tab.columns}
    return {name: shown.get(name, made[name]) for name in FIELDS}


VALUES: Mapping[str, Value] = _values()
"""What gives a field's value, by its full name: as the screen shows it, where it does."""

_SECTIONS: Mapping[str, frozenset[str]] = {
    "memory_percent": frozenset({"memory"}),
    **dict.fromkeys(on_gpus.NAMES, on_gpus.SECTIONS),
    **{
        name: frozenset({schema.name})
        for schema in (PROCESS_EXECUTABLES, PROCESS_IO, PROCESS_COUNTERS)
        for name in (*schema.names, *(one.name for one in RATES.get(schema.name, ())))
        if name not in PROCESSES.position
    },
}


def sections_of(expression: Expression) -> frozenset[str]:
    """The sections of a frame in which the expression's fields are."""
    return sections_of_fields(fields(expression))


def sections_of_fields(names: Iterable[str]) -> frozenset[str]:
    """The same of fields, by their full names."""
    return frozenset({"processes"}).union(*(_SECTIONS.get(name, ()) for name in names))


def condition(
    expression: Expression, table: ProcessTable, values: Mapping[str, Value] = VALUES
) -> Callable[[Key], bool]:
    """Whether a row of the table, named by its key, is meant. A value is made when it is asked for."""
    rows = table.processes

    def has_text(text: str) -> Callable[[Key], bool]:
        matches = matching(text)
        return lambda key: matches(rows[key])

    def value_of(name: str) -> Callable[[Key], Cell]:
        return partial(values[name], table)

    return compiled(expression, value_of, has_text)
