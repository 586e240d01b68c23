"""A frame as one line of JSON. docs/batch.md lists every name."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from ztop_client.sources.source import Pair
from ztop_protocol.frame import Cell, Row
from ztop_protocol.processes import COLUMNS, POSITION
from ztop_protocol.rates import RATES, rates
from ztop_protocol.schema import SECTIONS

HEAD_NAMES = ("seq", "time_ns", "boottime_ns", "boot_id")
"""What stands before the sections."""

IN_PROCESSES = ("process_io", "process_counters", "process_executables")
"""Sections whose columns are part of the objects in ``processes``."""

ON_REQUEST = ("threads",)
"""Sections that frames do not have."""

SECTION_NAMES = tuple(name for name in SECTIONS if name not in (*IN_PROCESSES, *ON_REQUEST))

Object: TypeAlias = Mapping[str, Cell]
Document: TypeAlias = dict[str, Cell | Object | list[Object]]


def names(section: str) -> tuple[str, ...]:
    """The names in an object of a section: the schema's, then its rates."""
    if section == "processes":
        return COLUMNS
    return (*SECTIONS[section].names, *(rate.name for rate in RATES.get(section, ())))


def document(pair: Pair, processes: Iterable[Row], columns: Sequence[str] = ()) -> Document:
    """The frame as JSON has it: sections of one row as an object, others as a list of them.

    ``processes`` are joined rows, ``columns`` the names that are kept of them (none: all). A section that was not
    sampled is None.
    """
    frame = pair.current
    result: Document = {
        "seq": frame.seq,
        "time_ns": frame.time_ns,
        "boottime_ns": frame.boottime_ns,
        "boot_id": frame.boot_id,
    }
    for section in SECTION_NAMES:
        if section not in frame.sections:
            result[section] = None
        elif section == "processes":
            result[section] = _process_objects(processes, columns)
        else:
            objects = _objects(pair, section)
            result[section] = objects if SECTIONS[section].key_length else next(iter(objects), None)
    return result


def json_line(pair: Pair, processes: Iterable[Row], columns: Sequence[str] = ()) -> str:
    """The frame as one line, in ASCII."""
    return json.dumps(document(pair, processes, columns), separators=(",", ":"), allow_nan=False) + "\n"


def _objects(pair: Pair, section: str) -> list[Object]:
    keys = names(section)
    rows = pair.current.rows(section)
    if section not in RATES:
        return [dict(zip(keys, row, strict=True)) for row in rows.values()]
    rate_rows = rates(pair.previous, pair.current, section)
    return [dict(zip(keys, (*row, *rate_rows[key]), strict=True)) for key, row in rows.items()]


def _process_objects(processes: Iterable[Row], columns: Collection[str]) -> list[Object]:
    if not columns:
        return [dict(zip(COLUMNS, row, strict=True)) for row in processes]
    places = [(name, POSITION[name]) for name in columns]
    return [{name: row[place] for name, place in places} for row in processes]
