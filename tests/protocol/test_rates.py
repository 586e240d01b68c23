"""Rates against a reference that reads the contract cell by cell."""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import BOOT_IDS
from ztop_protocol.frame import Cell, Frame, Key, Row, Section
from ztop_protocol.rates import (
    RATE_POSITION,
    RATES,
    START_RESOLUTION_NS,
    Rate,
    RateTable,
    Ratio,
    memory_percent,
    percent,
    rates,
)
from ztop_protocol.schema import SECTIONS, Kind

SECOND = 10**9


def reference(then: Frame | None, now: Frame, section: str, key: Key, rate: Rate | Ratio) -> float | None:
    """One cell of :func:`rates`, straight from the contract."""
    place = SECTIONS[section].position
    current = now.sections[section]
    row = current.rows[key]
    if then is None or then.boot_id != now.boot_id or section not in then.sections:
        return None
    previous = then.sections[section]
    if current.sampled_boottime_ns <= previous.sampled_boottime_ns:
        return None
    before = previous.rows.get(key)
    start, end = previous.sampled_boottime_ns, current.sampled_boottime_ns
    if before is None:
        if "start_boottime_ns" not in place:
            return None
        born: Any = row[place["start_boottime_ns"]]
        if born <= start - START_RESOLUTION_NS:
            return None
        before = (0,) * len(row)
        if isinstance(rate, Ratio):
            return ratio_reference(before, row, place, rate)
    elif isinstance(rate, Ratio):
        return ratio_reference(before, row, place, rate)
    elif rate.clock is not None:
        start = before[place[rate.clock]]  # type: ignore[assignment]
    if rate.clock is not None:
        end = row[place[rate.clock]]  # type: ignore[assignment]
    if start is None or end is None or end <= start:
        return None
    total = 0
    for counter in rate.counters:
        old: Any = before[place[counter]]
        new: Any = row[place[counter]]
        if old is None or new is None or new < old:
            return None
        total += new - old
    seconds = (end - start) / 1e9
    return total / seconds * rate.factor


def ratio_reference(before: Row, row: Row, place: Mapping[str, int], ratio: Ratio) -> float | None:
    if ratio.epoch is not None and before[place[ratio.epoch]] not in (0, row[place[ratio.epoch]]):
        return None
    if ratio.only_if is not None and row[place[ratio.only_if]] is not True:
        return None
    growth: dict[str, Any] = {}
    for counter in ratio.counters:
        old: Any = before[place[counter]]
        new: Any = row[place[counter]]
        if old is None or new is None or new < old:
            return None
        growth[counter] = new - old
    if any(growth[counter] == 0 for counter in ratio.over):
        return None
    value = Fraction(math.prod(growth[one] for one in ratio.of), math.prod(growth[one] for one in ratio.over))
    return float(value * Fraction(ratio.factor))


_TIMES = st.sampled_from((0, 1, 5 * SECOND, 5 * SECOND + 1, 6 * SECOND, 6 * SECOND - 5_000_000, 7 * SECOND))


@st.composite
def _rows(draw: Any, section: str) -> dict[Key, Row]:
    schema = SECTIONS[section]
    made: dict[Key, Row] = {}
    for number in draw(st.lists(st.integers(1, 4), max_size=4, unique=True)):
        key = [number] * schema.key_length
        if "start_boottime_ns" in schema.position:
            key[schema.position["start_boottime_ns"]] = draw(
                st.sampled_from((0, 4_980_000_000, 4_990_000_000, 4_990_000_001, 5 * SECOND, 6 * SECOND))
            )
        rest: list[Cell] = []
        common = draw(st.sampled_from((None, 0, 1000)))
        for column in schema.columns[schema.key_length :]:
            if column.name == "epoch_boottime_ns":
                rest.append(draw(st.sampled_from((1, 1, 2))))
            elif column.name.endswith("boottime_ns"):
                rest.append(draw(st.none() | _TIMES))
            elif column.type is bool:
                rest.append(draw(st.sampled_from((None, False, True, True))))
            elif column.kind is Kind.COUNTER:
                rest.append(draw(st.sampled_from((common, common, None, 0, 999, 1001, 2**63))))
            else:
                rest.append(None)
        made[tuple(key)] = (*key, *rest)
    return made


@st.composite
def _pairs(draw: Any, section: str) -> tuple[Frame | None, Frame]:
    old = draw(_rows(section))
    new = draw(_rows(section)) | {key: row for key, row in old.items() if draw(st.booleans())}
    boots = draw(st.sampled_from(((0, 0), (0, 0), (0, 0), (0, 1))))
    then = Frame(1, 0, 0, BOOT_IDS[boots[0]], {section: Section(draw(_TIMES), old)} if draw(st.integers(0, 9)) else {})
    now = Frame(2, 0, 0, BOOT_IDS[boots[1]], {section: Section(draw(_TIMES), new)})
    return (then if draw(st.integers(0, 9)) else None), now


@pytest.mark.parametrize("section", RATES)
def test_every_cell_is_as_the_contract_has_it(section: str) -> None:
    @given(_pairs(section))
    def as_the_contract_has_it(pair: tuple[Frame | None, Frame]) -> None:
        then, now = pair
        result = rates(then, now, section)
        assert list(result) == list(now.rows(section))
        table = RateTable(then, now, section)
        for place in range(len(RATES[section])):
            column = {key: row[place] for key, row in result.items()}
            assert {key: table.cell(key, place) for key in result} == column
            assert table.column(place) == column
        assert table.cell(("nobody",), 0) is None
        for key, row in result.items():
            expected = [reference(then, now, section, key, rate) for rate in RATES[section]]
            assert [value is None for value in row] == [value is None for value in expected]
            assert [value or 0 for value in row] == pytest.approx([value or 0 for value in expected])

    as_the_contract_has_it()


# --- the contract by examples


def process(pid: int = 1, start: int = 0, **cells: Cell) -> dict[Key, Row]:
    schema = SECTIONS["processes"]
    row = [pid, start, *(cells.get(name) for name in schema.names[2:])]
    return {(pid, start): tuple(row)}


def frame(at: int, rows: Mapping[Key, Row], section: str = "processes", boot: int = 0) -> Frame:
    return Frame(at, at, at, BOOT_IDS[boot], {section: Section(at, rows)})


def cpu(then: Frame | None, now: Frame, key: Key = (1, 0)) -> float | None:
    return rates(then, now, "processes")[key][RATE_POSITION["processes"]["cpu_percent"]]


BUSY = (
    frame(10 * SECOND, process(user_time_ns=5 * SECOND, system_time_ns=0)),
    frame(12 * SECOND, process(user_time_ns=6 * SECOND, system_time_ns=SECOND // 2)),
)


def test_the_interval_is_that_of_the_section() -> None:
    then, now = BUSY
    assert cpu(then, now) == 75
    # whatever the frames say of their own time
    assert cpu(replace(then, boottime_ns=0, time_ns=0), replace(now, boottime_ns=5, time_ns=1, seq=99)) == 75


def test_born_in_between_counts_from_zero() -> None:
    newborn = process(7, 11 * SECOND, user_time_ns=SECOND // 2, system_time_ns=0)
    assert cpu(BUSY[0], frame(12 * SECOND, newborn), (7, 11 * SECOND)) == 25


def test_the_start_time_is_rounded_down() -> None:
    for start, expected in ((10 * SECOND - START_RESOLUTION_NS + 1, 25), (10 * SECOND - START_RESOLUTION_NS, None)):
        newborn = process(7, start, user_time_ns=SECOND // 2, system_time_ns=0)
        assert cpu(BUSY[0], frame(12 * SECOND, newborn), (7, start)) == expected


def test_a_reused_pid_is_another_process() -> None:
    again = process(1, 11 * SECOND, user_time_ns=SECOND // 2, system_time_ns=0)
    assert cpu(BUSY[0], frame(12 * SECOND, again), (1, 11 * SECOND)) == 25


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (None, BUSY[1]),
        (frame(10 * SECOND, {}), BUSY[1]),
        (frame(12 * SECOND, BUSY[0].rows("processes")), BUSY[1]),
        (frame(13 * SECOND, BUSY[0].rows("processes")), BUSY[1]),
        (frame(10 * SECOND, BUSY[0].rows("processes"), boot=1), BUSY[1]),
        (replace(BUSY[0], sections={}), BUSY[1]),
        (BUSY[0], frame(12 * SECOND, process(user_time_ns=4 * SECOND, system_time_ns=9 * SECOND))),
        (BUSY[0], frame(12 * SECOND, process(user_time_ns=6 * SECOND))),
        (frame(10 * SECOND, process(user_time_ns=5 * SECOND)), BUSY[1]),
    ],
    ids=["first", "not seen", "same time", "backwards", "boot", "section", "went back", "absent", "was absent"],
)
def test_no_honest_answer(then: Frame | None, now: Frame) -> None:
    assert cpu(then, now) is None


def test_a_counter_that_went_back_spoils_its_own_cells_only() -> None:
    now = frame(12 * SECOND, process(user_time_ns=4 * SECOND, system_time_ns=SECOND))
    row = rates(BUSY[0], now, "processes")[(1, 0)]
    position = RATE_POSITION["processes"]
    assert row[position["user_percent"]] is None
    assert row[position["system_percent"]] == 50


def test_nothing_grew() -> None:
    row = process(user_time_ns=5, system_time_ns=5)
    assert cpu(frame(1, row), frame(SECOND, row)) == 0
    assert cpu(frame(1, row), frame(SECOND, process(user_time_ns=5, system_time_ns=5))) == 0


def test_rows_at_rest_that_lack_different_counters() -> None:
    rows = {
        **process(1, user_time_ns=5, system_time_ns=5, minor_faults=5, major_faults=5),
        **process(2, user_time_ns=5, system_time_ns=5, minor_faults=None, major_faults=5),
        **process(3, user_time_ns=None, system_time_ns=5, minor_faults=5, major_faults=5),
        **process(4, user_time_ns=5, system_time_ns=5, minor_faults=5, major_faults=None),
        **process(5),
    }
    result = rates(frame(1, rows), frame(SECOND, rows), "processes")
    for key, row in rows.items():
        for name in ("user_percent", "minor_faults_per_second", "major_faults_per_second"):
            counter = name.replace("user_percent", "user_time_ns").removesuffix("_per_second")
            absent = row[SECTIONS["processes"].position[counter]] is None
            assert result[key][RATE_POSITION["processes"][name]] == (None if absent else 0), (key, name)


def io(at: int | None, read: int, owner: int = 0) -> dict[Key, Row]:
    schema = SECTIONS["process_io"]
    cells = {"pid": 1, "start_boottime_ns": 5, "owner_uid": owner, "sampled_boottime_ns": at, "io_read_bytes": read}
    return {(1, 5): tuple(cells.get(name) for name in schema.names)}


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        # read 4 s apart, whatever the sections' own times say
        ((10, io(9 * SECOND, 0)), (14, io(13 * SECOND, 400)), 100),
        # not read in between
        ((10, io(9 * SECOND, 0)), (14, io(9 * SECOND, 0)), None),
        ((10, io(9 * SECOND, 0)), (14, io(8 * SECOND, 400)), None),
        ((10, io(None, 0)), (14, io(13 * SECOND, 400)), None),
        ((10, io(9 * SECOND, 0)), (14, io(None, 400)), None),
    ],
)
def test_rows_with_a_clock_of_their_own(then: Any, now: Any, expected: float | None) -> None:
    frames = [frame(at * SECOND, rows, "process_io") for at, rows in (then, now)]
    result = rates(frames[0], frames[1], "process_io")[(1, 5)]
    assert result[RATE_POSITION["process_io"]["io_read_bytes_per_second"]] == expected


def test_a_newborn_with_a_clock_of_its_own() -> None:
    """Over the time up to its last reading, not up to the end of the window."""
    schema = SECTIONS["process_io"]
    cells = {"pid": 1, "start_boottime_ns": 11 * SECOND, "sampled_boottime_ns": 12 * SECOND, "io_read_bytes": 400}
    row = tuple(cells.get(name) for name in schema.names)
    then, now = frame(10 * SECOND, {}, "process_io"), frame(20 * SECOND, {row[:2]: row}, "process_io")
    assert rates(then, now, "process_io")[row[:2]][0] == 200


def counted(**cells: Cell) -> dict[Key, Row]:
    schema = SECTIONS["process_counters"]
    known: dict[str, Cell] = {
        "pid": 1,
        "start_boottime_ns": 0,
        "owner_uid": 0,
        "epoch_boottime_ns": 5,
        "kernel_mode": True,
    }
    return {(1, 0): tuple((known | cells).get(name) for name in schema.names)}


BEFORE: dict[str, Cell] = {
    "cycles": 1000, "instructions": 500, "cycles_time_ns": 100, "llc_references": 10, "llc_misses": 1,
    "llc_time_ns": 100, "enabled_time_ns": 200, "running_time_ns": 200,
}  # fmt: skip
AFTER: dict[str, Cell] = {
    "cycles": 4000, "instructions": 2000, "cycles_time_ns": 1100, "llc_references": 60, "llc_misses": 31,
    "llc_time_ns": 600, "enabled_time_ns": 2200, "running_time_ns": 1200,
}  # fmt: skip


def ratios(before: dict[str, Cell], after: dict[str, Cell]) -> dict[str, float | None]:
    frames = [frame(at, counted(**cells), "process_counters") for at, cells in ((SECOND, before), (3 * SECOND, after))]
    row = rates(frames[0], frames[1], "process_counters")[(1, 0)]
    return dict(zip(RATE_POSITION["process_counters"], row, strict=True))


def test_ratios_of_counters() -> None:
    """No interval is in them: the frames are two seconds apart, the process was on a CPU for 1000 ns."""
    assert ratios(BEFORE, AFTER) == {
        "ipc": 0.5,
        "instructions_per_second": 1.5e9,
        "effective_hertz": 3e9,
        "llc_miss_percent": 60,
        "l1d_miss_percent": None,
        "branch_miss_percent": None,
        # 30 in half of the time that the 1500 instructions took: 60 in all of it
        "llc_misses_per_kilo_instruction": 40,
        "counters_share_percent": 50,
    }


def test_ratios_that_have_no_honest_answer() -> None:
    assert set(ratios(BEFORE, AFTER | {"epoch_boottime_ns": 6}).values()) == {None}
    assert set(ratios(BEFORE, BEFORE).values()) == {None}
    assert set(ratios(AFTER, BEFORE).values()) == {None}
    user_mode = ratios(BEFORE, AFTER | {"kernel_mode": False})
    assert user_mode["effective_hertz"] is None
    assert user_mode["instructions_per_second"] == 1.5e9
    stood_still = ratios(BEFORE, AFTER | {"llc_time_ns": 100, "llc_references": 10, "llc_misses": 1})
    assert stood_still["llc_misses_per_kilo_instruction"] is stood_still["llc_miss_percent"] is None
    assert stood_still["ipc"] == 0.5


def test_ratios_of_what_was_born_in_between() -> None:
    key, row = next(iter(counted(start_boottime_ns=2 * SECOND, **AFTER).items()))
    born: dict[Key, Row] = {(1, 2 * SECOND): row}
    then, now = frame(SECOND, {}, "process_counters"), frame(3 * SECOND, born, "process_counters")
    assert rates(then, now, "process_counters")[(1, 2 * SECOND)][0] == 0.5
    assert key == (1, 0)


def test_a_section_that_is_not_there() -> None:
    assert rates(BUSY[0], replace(BUSY[1], sections={}), "processes") == {}


@pytest.mark.parametrize("section", RATES)
def test_rates_are_of_counters_and_named_after_their_unit(section: str) -> None:
    schema = SECTIONS[section]
    names = [rate.name for rate in RATES[section]]
    assert len(set(names)) == len(names)
    assert not set(names) & set(schema.names)
    for rate in RATES[section]:
        assert isinstance(rate, Ratio) or rate.name.endswith("_percent" if rate.unit == "percent" else "_per_second")
        assert rate.name.endswith("_percent") == (rate.unit == "percent")
        assert rate.clock is None or schema.columns[schema.position[rate.clock]].kind is Kind.LABEL
        assert all(schema.columns[schema.position[counter]].kind is Kind.COUNTER for counter in rate.counters)


@pytest.mark.parametrize(
    ("part", "whole", "expected"), [(1, 4, 25), (0, 4, 0), (None, 4, None), (1, None, None), (1, 0, None)]
)
def test_percent(part: int | None, whole: int | None, expected: float | None) -> None:
    assert percent(part, whole) == expected


def test_memory_percent() -> None:
    schema = SECTIONS["memory"]
    row = tuple(2**30 if name == "total_bytes" else None for name in schema.names)
    machine = frame(1, {(): row}, "memory")
    assert memory_percent(machine, 2**28) == 25
    assert memory_percent(machine, None) is None
    assert memory_percent(BUSY[0], 2**28) is None
