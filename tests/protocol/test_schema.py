"""The schema: what every section and column owes to whoever derives something from it."""

import re

import pytest

from ztop_protocol.schema import (
    PROCESSES,
    SECTIONS,
    Column,
    Kind,
    SectionSchema,
    SourceState,
    Unit,
    Visibility,
)

EVERY_COLUMN = [
    pytest.param(section, column, id=f"{section.name}.{column.name}")
    for section in SECTIONS.values()
    for column in section.columns
]

SUFFIXES = {
    Unit.BYTES: "_bytes",
    Unit.NANOSECONDS: "_ns",
    Unit.HERTZ: "_hertz",
    Unit.PERCENT: "_percent",
    Unit.CELSIUS: "_celsius",
    Unit.MILLIWATTS: "_milliwatts",
    Unit.MILLIVOLTS: "_millivolts",
    Unit.MILLIAMPERES: "_milliamperes",
    Unit.MILLIWATT_HOURS: "_milliwatt_hours",
    Unit.RPM: "_rpm",
    Unit.BITS_PER_SECOND: "_bits_per_second",
    Unit.BYTES_PER_SECOND: "_bytes_per_second",
    Unit.MILLIJOULES: "_millijoules",
    Unit.SECONDS: "_seconds",
}


@pytest.mark.parametrize(("section", "column"), EVERY_COLUMN)
def test_a_column_says_its_unit_in_its_name(section: SectionSchema, column: Column) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", column.name)
    for unit, suffix in SUFFIXES.items():
        assert column.name.endswith(suffix) == (column.unit is unit), unit


@pytest.mark.parametrize(("section", "column"), EVERY_COLUMN)
def test_what_is_computed_with_has_a_unit(section: SectionSchema, column: Column) -> None:
    if column.kind in (Kind.COUNTER, Kind.GAUGE):
        assert column.unit is not Unit.NONE
    assert column.source


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_positions_follow_the_columns(section: SectionSchema) -> None:
    assert section.names == tuple(column.name for column in section.columns)
    assert [section.position[name] for name in section.names] == list(range(len(section.columns)))
    assert SECTIONS[section.name] is section


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_the_key_comes_first(section: SectionSchema) -> None:
    kinds = [column.kind is Kind.IDENTITY for column in section.columns]
    assert kinds == sorted(kinds, reverse=True)
    assert sum(kinds) == section.key_length


def test_the_sections_that_have_one_row() -> None:
    assert [name for name, section in SECTIONS.items() if section.key_length == 0] == ["host", "memory", "summary"]


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_owner_sections_name_the_owner(section: SectionSchema) -> None:
    """The access rule goes by it. What only the owner may read is nowhere else."""
    if section.visibility is Visibility.OWNER:
        assert "owner_uid" in section.position
    else:
        assert not {"exe", "io_read_bytes"} & set(section.names) or section.name == "cgroups"


def test_sections_of_processes_share_their_key() -> None:
    for section in SECTIONS.values():
        if section.name.startswith("process") and section.name != "process_events":
            assert section.names[: section.key_length] == PROCESSES.names[:2] == ("pid", "start_boottime_ns")


IDENTITY = Column("name", Kind.IDENTITY, Unit.NONE, "x")
LABEL = Column("label", Kind.LABEL, Unit.NONE, "x")


@pytest.mark.parametrize("columns", [(LABEL, IDENTITY), (IDENTITY, LABEL, LABEL), (IDENTITY, IDENTITY)])
def test_a_section_that_cannot_be(columns: tuple[Column, ...]) -> None:
    with pytest.raises(ValueError, match="must differ and identity columns come first"):
        SectionSchema("bad", Visibility.PUBLIC, columns)


def test_states_of_a_source() -> None:
    assert [str(state) for state in SourceState] == ["ok", "degraded", "absent"]
