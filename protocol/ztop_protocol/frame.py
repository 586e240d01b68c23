"""Sections, frames and deltas: the one form in which a machine's state is kept, stored and sent.

A frame is the newest state of every section, numbered and dated. A delta leads from a base frame to a
later one: :func:`diff` makes it, :func:`apply` follows it, and ``apply(base, diff(base, frame)) == frame``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from operator import is_not
from typing import TypeAlias

from ztop_protocol.schema import SECTIONS

Cell: TypeAlias = int | float | str | bool | None
Row: TypeAlias = tuple[Cell, ...]
Key: TypeAlias = tuple[Cell, ...]
"""The identity cells of a row, i.e. its beginning; ``()`` in a section that has one row."""


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one section by key, all sampled at one moment. Rows follow ``SECTIONS[name].columns``."""

    sampled_boottime_ns: int
    rows: Mapping[Key, Row]


@dataclass(frozen=True, slots=True)
class Frame:
    """The state of one machine. A section that was never sampled is not in ``sections``.

    ``time_ns`` is wall time (CLOCK_REALTIME), for people; ``boottime_ns`` (CLOCK_BOOTTIME) orders frames.
    """

    seq: int
    time_ns: int
    boottime_ns: int
    boot_id: str
    sections: Mapping[str, Section]

    def rows(self, name: str) -> Mapping[Key, Row]:
        """The rows of a section; empty where it was not sampled."""
        section = self.sections.get(name)
        return {} if section is None else section.rows

    def cell(self, name: str, column: str, key: Key = ()) -> Cell:
        """One cell, or None where the section or the row is not there."""
        row = self.rows(name).get(key)
        return None if row is None else row[SECTIONS[name].position[column]]


@dataclass(frozen=True, slots=True)
class SectionDelta:
    """What changed in one section.

    ``changed`` holds one flat tuple per row: its key, then a column's position and its new cell, in turn.
    """

    sampled_boottime_ns: int
    new: tuple[Row, ...]
    changed: tuple[tuple[Cell, ...], ...]
    gone: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """What leads from the frame ``base_seq`` to the frame ``seq``.

    Sections that were not sampled in between are left out; ``gone_sections`` names those that are no longer there.
    A whole :class:`Section` stands for one that the base did not have, or that is replaced.
    """

    base_seq: int
    seq: int
    time_ns: int
    boottime_ns: int
    boot_id: str
    sections: Mapping[str, SectionDelta | Section]
    gone_sections: tuple[str, ...] = ()


class BaseMismatch(Exception):
    """The delta does not start from this frame, or speaks of a row that the frame does not have."""


def diff_section(base: Section, current: Section, key_length: int) -> SectionDelta:
    """The delta between two states of one section. Rows that are the same object cost one comparison."""
    new: list[Row] = []
    changed: list[tuple[Cell, ...]] = []
    old_rows = base.rows
    if old_rows is current.rows:
        return SectionDelta(current.sampled_boottime_ns, (), (), ())
    known = 0
    for key, row in current.rows.items():
        old = old_rows.get(key)
        if old is row:
            known += 1
        elif old is None:
            new.append(row)
        else:
            known += 1
            if old != row or _types_differ(old, row):
                changed.append((*key, *_changed_cells(old, row, key_length)))
    gone = tuple(key for key in old_rows if key not in current.rows) if known < len(old_rows) else ()
    return SectionDelta(current.sampled_boottime_ns, tuple(new), tuple(changed), gone)


def _types_differ(old: Row, row: Row) -> bool:
    # 1 == 1.0 == True: equal for Python, different on the wire
    return any(type(a) is not type(b) for a, b in zip(old, row, strict=True))


def _changed_cells(old: Row, row: Row, start: int) -> Iterator[Cell]:
    # most cells are the same object
    for place in compress(range(len(row)), map(is_not, old, row)):
        before, after = old[place], row[place]
        if place >= start and (before != after or type(before) is not type(after)):
            yield place
            yield after


def apply_section(base: Section, delta: SectionDelta, key_length: int) -> Section:
    """The section that the delta leads to. Raises :exc:`BaseMismatch` for a row that is not there."""
    rows = dict(base.rows)
    try:
        for key in delta.gone:
            del rows[key]
        for change in delta.changed:
            key = change[:key_length]
            cells = list(rows[key])
            for place in range(key_length, len(change), 2):
                cells[change[place]] = change[place + 1]  # type: ignore[index]
            rows[key] = tuple(cells)
    except (KeyError, IndexError, TypeError) as error:
        raise BaseMismatch(f"the delta changes or removes a row that the base does not have: {error!r}") from error
    for row in delta.new:
        rows[row[:key_length]] = row
    return Section(delta.sampled_boottime_ns, rows)


def diff(base: Frame, current: Frame) -> Delta:
    """The delta from ``base`` to ``current``."""
    sections: dict[str, SectionDelta | Section] = {}
    for name, section in current.sections.items():
        old = base.sections.get(name)
        if old is None:
            sections[name] = section
        elif old is not section:
            sections[name] = diff_section(old, section, SECTIONS[name].key_length)
    gone = tuple(name for name in base.sections if name not in current.sections)
    return Delta(base.seq, current.seq, current.time_ns, current.boottime_ns, current.boot_id, sections, gone)


def apply(base: Frame, delta: Delta) -> Frame:
    """The frame that ``delta`` leads to. Raises :exc:`BaseMismatch` where it does not start from ``base``."""
    if delta.base_seq != base.seq:
        raise BaseMismatch(f"the delta starts from frame {delta.base_seq}, this is frame {base.seq}")
    sections = {name: section for name, section in base.sections.items() if name not in delta.gone_sections}
    for name, change in delta.sections.items():
        if isinstance(change, Section):
            sections[name] = change
        elif name in sections:
            sections[name] = apply_section(sections[name], change, SECTIONS[name].key_length)
        else:
            raise BaseMismatch(f"the base has no section {name}")
    return Frame(delta.seq, delta.time_ns, delta.boottime_ns, delta.boot_id, sections)
