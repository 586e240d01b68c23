"""Rows of sections with some cells given and the others None, and processes for the tests of events."""

from collections.abc import Iterable

from ztop_protocol.frame import Cell, Key, Row, Section
from ztop_protocol.schema import SECTIONS

SECOND = 1_000_000_000
ROOT_UID = 0


def row(name: str, *key: Cell, **cells: Cell) -> Row:
    """A row of the section ``name``."""
    schema = SECTIONS[name]
    assert len(key) == schema.key_length
    assert not cells.keys() - set(schema.names)
    return (*key, *(cells.get(column) for column in schema.names[schema.key_length :]))


def section(name: str, sampled_boottime_ns: int, rows: Iterable[Row]) -> Section:
    """A section of these rows."""
    length = SECTIONS[name].key_length
    found: dict[Key, Row] = {one[:length]: one for one in rows}
    return Section(sampled_boottime_ns, found)


def process(
    pid: int, start_boottime_ns: int = SECOND, cpu_time_ns: int = 0, comm: str = "sh", rss_bytes: int = 4096
) -> Row:
    """A process of which some cells are known."""
    return row(
        "processes", pid, start_boottime_ns, ppid=1, owner_uid=ROOT_UID, comm=comm, rss_bytes=rss_bytes,
        user_time_ns=cpu_time_ns, system_time_ns=0,
    )  # fmt: skip


def cells(name: str, found: Row) -> dict[str, Cell]:
    """A row by the names of its columns."""
    return dict(zip(SECTIONS[name].names, found, strict=True))
