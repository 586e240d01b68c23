"""Frames as Hypothesis makes them up: what collectors could give, and more often what they hardly ever do."""

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from ztop_protocol.frame import Cell, Frame, Key, Row, Section
from ztop_protocol.schema import SECTIONS, Column, Kind, SectionSchema

BOOT_IDS = ("8d3b7c5e-7d6f-4b86-9d0c-1f2a3b4c5d6e", "00000000-0000-0000-0000-000000000000")

kernel_text = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))
"""Text as it comes from the kernel: bytes of any kind."""

text = st.one_of(
    st.sampled_from(
        ("", "\0", "a\nb", "(sd-pam)", "\x1b]52;c;eA==\x07", "naïve", "日本語", "🦀", "\udcff\udc80", "A\udcc3(")
    ),
    kernel_text,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)

whole_numbers = st.one_of(
    st.sampled_from((0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))), st.integers(0, 1000)
)
numbers = st.one_of(whole_numbers, st.sampled_from((0.0, 1.0, 0.5, -273.15, 1e18)))
cells: st.SearchStrategy[Cell] = st.one_of(st.none(), st.booleans(), numbers, text)


def cell(column: Column) -> st.SearchStrategy[Cell]:
    """What may stand in this column."""
    if column.kind is Kind.COUNTER:
        return st.none() | whole_numbers
    is_number = column.type in (int, float)
    if column.kind is Kind.IDENTITY:
        return st.integers(1, 4) if is_number else st.integers(1, 4) | st.sampled_from(("sda", "a\udcff"))
    return st.none() | numbers if is_number else cells


def _few_cells(schema: SectionSchema) -> st.SearchStrategy[dict[int, Cell]]:
    places = range(schema.key_length, len(schema.columns))
    one = st.sampled_from(places).flatmap(lambda place: st.tuples(st.just(place), cell(schema.columns[place])))
    return st.lists(one, max_size=5).map(dict)


_FEW_CELLS = {name: _few_cells(schema) for name, schema in SECTIONS.items()}
_KEYS: dict[str, st.SearchStrategy[Key]] = {
    name: st.tuples(*map(cell, schema.columns[: schema.key_length])) for name, schema in SECTIONS.items()
}


def changed(row: Row, few: Mapping[int, Cell]) -> Row:
    """The row with a few cells replaced."""
    return tuple(few.get(place, before) for place, before in enumerate(row))


@st.composite
def rows(draw: Callable[[Any], Any], name: str, key: Key) -> Row:
    """A row of the section under this key; most of its cells are alike."""
    schema = SECTIONS[name]
    rest = draw(st.sampled_from((None, 0, 7)))
    return changed((*key, *[rest] * (len(schema.columns) - schema.key_length)), draw(_FEW_CELLS[name]))


@st.composite
def sections(draw: Callable[[Any], Any], name: str, before: Section | None = None) -> Section:
    """A section; after ``before``, some rows are as they were, some changed, some gone, some new."""
    made: dict[Key, Row] = {}
    if before is not None:
        for key, row in before.rows.items():
            fate = draw(st.sampled_from(("rests", "rests", "changes", "goes")))
            if fate == "rests":
                made[key] = row
            elif fate == "changes":
                made[key] = changed(row, draw(_FEW_CELLS[name]))
    for key in draw(st.lists(_KEYS[name], max_size=3)):
        made.setdefault(key, draw(rows(name, key)))
    then = 0 if before is None else before.sampled_boottime_ns
    step = draw(st.sampled_from((0, 1, 10**9, 10**9, 1_000_000_007, -5)))
    return Section(max(then + step, 0), made)


@st.composite
def frames(draw: Callable[[Any], Any], before: Frame | None = None, names: tuple[str, ...] = tuple(SECTIONS)) -> Frame:
    """A frame; after ``before``, its sections may rest, change, appear and disappear."""
    made: dict[str, Section] = {}
    if before is not None:
        for name, section in before.sections.items():
            fate = draw(st.sampled_from(("rests", "changes", "changes", "is new", "goes")))
            if fate == "rests":
                made[name] = section
            elif fate != "goes":
                made[name] = draw(sections(name, section if fate == "changes" else None))
    for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        if name not in made:
            made[name] = draw(sections(name))
    seq = 1 if before is None else before.seq + draw(st.integers(1, 3))
    boottime_ns = 5 if before is None else before.boottime_ns + draw(st.integers(0, 2**40))
    boot_id = draw(st.sampled_from(BOOT_IDS)) if draw(st.integers(0, 9)) == 0 else BOOT_IDS[0]
    return Frame(seq, draw(st.integers(0, 2**63 - 1)), boottime_ns, boot_id, made)


@st.composite
def frame_pairs(draw: Callable[[Any], Any], names: tuple[str, ...] = tuple(SECTIONS)) -> tuple[Frame, Frame]:
    """A frame and one after it."""
    before = draw(frames(names=names))
    return before, draw(frames(before, names=names))


def typed(value: Any) -> Any:
    """The same value for ``==`` where 1, 1.0 and True differ, and a NaN is one."""
    if isinstance(value, Frame):
        head = (value.seq, value.time_ns, value.boottime_ns, value.boot_id)
        return head, {name: typed(section) for name, section in value.sections.items()}
    if isinstance(value, Section):
        return value.sampled_boottime_ns, {typed(key): typed(row) for key, row in value.rows.items()}
    return tuple((type(part), repr(part)) for part in value)
