"""A small machine that has a row in every section, and changes from frame to frame."""

from dataclasses import replace
from pathlib import Path

from tests.ztop_client.fake_source import frame, process, section
from ztop_protocol.event_kinds import AlertKind, EventKind, ProcessEventKind
from ztop_protocol.frame import Cell, Frame, Row, Section
from ztop_protocol.schema import SECTIONS
from ztop_protocol.section_schema import Column, Kind, SectionSchema

FIXTURES = Path(__file__).parent.parent / "fixtures"
PROC = str(FIXTURES / "vm-6.18-2cpu" / "proc")
_KINDS = {"events": EventKind, "process_events": ProcessEventKind, "alerts": AlertKind}
_OWNERS = (0, 1000, 1001)


def filled_frame(seq: int, *, hidepid: int = 0, names: tuple[str, ...] = tuple(SECTIONS)) -> Frame:
    """The frame of that number, at the second ``seq`` after a moment of 2023."""
    rows = [
        process(pid, owner_uid=_OWNERS[pid % 3], user_time_ns=seq * pid * 1000, rss_bytes=seq * pid << 12)
        for pid in (1, 11, 12, 20 + seq // 4)
    ]
    made = frame(seq, rows, host={"hidepid": hidepid})
    more: dict[str, Section] = {
        name: section(name, made.boottime_ns, [_row(schema, seq, number, rows) for number in range(2)])
        for name, schema in SECTIONS.items()
        if name not in made.sections
    }
    sections = {**made.sections, **more}
    return replace(made, sections={name: part for name, part in sections.items() if name in names})


def _row(schema: SectionSchema, seq: int, number: int, processes: list[Row]) -> Row:
    of_process = dict(zip(("pid", "start_boottime_ns"), processes[number], strict=False))
    return tuple(_cell(schema, column, seq, number, of_process) for column in schema.columns)[: len(schema.columns)]


def _cell(schema: SectionSchema, column: Column, seq: int, number: int, of_process: dict[str, Cell]) -> Cell:
    if column.name in of_process:
        return of_process[column.name]
    if column.name == "owner_uid":
        return _OWNERS[number]
    if column.name == "kind" and schema.name in _KINDS:
        return str(list(_KINDS[schema.name])[(seq + number) % len(_KINDS[schema.name])])
    if column.type is str:
        return f"{column.name}-{number}"
    if column.kind is Kind.IDENTITY:
        return number + (seq if schema.name.endswith("events") else 0)
    return {bool: True, float: 0.5 * seq}.get(column.type, seq * 1000 + number)
