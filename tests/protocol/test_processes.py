"""The joined process table, its order and its filters."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import BOOT_IDS, frame_pairs
from ztop_protocol.frame import Cell, Frame, Key, Row, Section
from ztop_protocol.processes import (
    COLUMNS,
    DESCENDING_BY_NATURE,
    POSITION,
    Order,
    UnknownColumn,
    contains,
    equals,
    joined,
    natural_order,
    position,
)
from ztop_protocol.rates import RATES, rates
from ztop_protocol.schema import SECTIONS

SECOND = 10**9


def row(pid: int, **cells: Cell) -> Row:
    return tuple(({"pid": pid, "start_boottime_ns": 5} | cells).get(name) for name in COLUMNS)


def of_section(name: str, *rows: dict[str, Cell], at: int = SECOND) -> Section:
    schema = SECTIONS[name]
    made = [tuple(cells.get(column) for column in schema.names) for cells in rows]
    return Section(at, {one[: schema.key_length]: one for one in made})


def pids(rows: list[Row]) -> list[Cell]:
    return [one[0] for one in rows]


# --- order


def test_absent_comes_last_in_both_directions() -> None:
    rows = [row(1), row(2, cpu_percent=5.0), row(3), row(4, cpu_percent=0.0), row(5, cpu_percent=100.0)]
    assert pids(Order("cpu_percent", descending=True).sorted(rows)) == [5, 2, 4, 1, 3]
    assert pids(Order("cpu_percent", descending=False).sorted(rows)) == [4, 2, 5, 1, 3]


def test_ties_go_to_the_lower_pid_in_both_directions() -> None:
    rows = [row(pid, nice=nice) for pid, nice in ((9, 0), (3, 0), (7, 5), (1, 5), (5, None), (2, None))]
    assert pids(Order("nice", descending=True).sorted(rows)) == [1, 7, 3, 9, 2, 5]
    assert pids(Order("nice", descending=False).sorted(rows)) == [3, 9, 1, 7, 2, 5]


def test_text_is_sorted_whatever_its_case() -> None:
    rows = [row(1, comm="zsh"), row(2, comm="Xorg"), row(3, comm="bash"), row(4, comm="\udcff"), row(5, comm="ÄPFEL")]
    assert pids(Order("comm", descending=False).sorted(rows)) == [3, 2, 1, 5, 4]


def test_flags_are_sorted() -> None:
    rows = [row(1, kernel_thread=False), row(2, kernel_thread=True), row(3)]
    assert pids(Order("kernel_thread").sorted(rows)) == [2, 1, 3]


def test_the_order_that_is_meant_unsaid() -> None:
    assert Order() == Order("cpu_percent", descending=True)


@given(st.lists(st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3)), st.booleans())
def test_cells_of_any_type_are_sorted(cells: list[Cell], descending: bool) -> None:
    rows = [row(pid, state=value) for pid, value in enumerate(cells)]
    result = Order("state", descending).sorted(reversed(rows))
    assert sorted(pids(result), key=lambda pid: pid) == list(range(len(cells)))  # type: ignore[arg-type,return-value]
    known = [one for one in result if one[POSITION["state"]] is not None]
    assert result[: len(known)] == known


@given(st.lists(st.none() | st.integers(-3, 3)), st.booleans())
def test_order_is_total(cells: list[int | None], descending: bool) -> None:
    rows = [row(pid, nice=value) for pid, value in enumerate(cells)]
    sign = -1 if descending else 1
    expected = sorted(enumerate(cells), key=lambda one: (one[1] is None, sign * (one[1] or 0), one[0]))
    assert pids(Order("nice", descending).sorted(rows)) == [pid for pid, _ in expected]


# --- filters


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fire", [1, 2]),
        ("FIRE", [1, 2]),
        ("/usr", [2]),
        ("alice", [3]),
        ("straße", [4]),
        ("STRASSE", [4]),
        ("\udcff", [5]),
        (".*", []),
        ("", [1, 2, 3, 4, 5]),
        ("None", []),
    ],
)
def test_contains(text: str, found: list[int]) -> None:
    rows = [
        row(1, comm="Firefox"),
        row(2, comm="sh", command_line="/usr/bin/fire now"),
        row(3, comm="sh", user="alice", cgroup="/fire"),
        row(4, comm="Straße"),
        row(5, comm="\udcff\udcfe"),
    ]
    assert pids([one for one in rows if contains(text)(one)]) == found


def test_contains_nothing_lets_rows_pass_that_have_no_text() -> None:
    assert contains("")(row(6))
    assert not contains("a")(row(6))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, [1, 2, 3]),
        ({"user": "root"}, [1, 2]),
        ({"user": "root", "nice": 5}, [2]),
        ({"user": "Root"}, []),
        ({"nice": None}, [3]),
        ({"comm": b"\xff"}, [1]),
        ({"comm": b"sh"}, [2]),
        ({"comm": []}, []),
    ],
    ids=repr,
)
def test_equals(values: dict[str, Any], found: list[int]) -> None:
    rows = [row(1, user="root", nice=0, comm="\udcff"), row(2, user="root", nice=5, comm="sh"), row(3, user="bob")]
    assert pids([one for one in rows if equals(values)(one)]) == found


def test_a_column_that_is_not_there() -> None:
    for call in (
        lambda: position("cpu"),
        lambda: Order("cpu").sorted([]),
        lambda: equals({"cpu": 1}),
        lambda: natural_order("cpu"),
    ):
        with pytest.raises(UnknownColumn, match=r"^there is no column 'cpu'$"):
            call()


@pytest.mark.parametrize(
    ("column", "descending"),
    [
        ("cpu_percent", True),
        ("rss_bytes", True),
        ("user_time_ns", True),
        ("threads", True),
        ("io_read_syscalls", True),
        ("io_read_bytes_per_second", True),
        ("pid", False),
        ("comm", False),
        ("nice", False),
        ("start_boottime_ns", False),
        ("namespace_pid", False),
    ],
)
def test_the_direction_that_a_person_means(column: str, descending: bool) -> None:
    assert natural_order(column) == Order(column, descending)


def test_only_columns_have_a_direction() -> None:
    assert set(COLUMNS) > DESCENDING_BY_NATURE


# --- the join


def test_one_row_per_process_with_what_the_other_sections_have() -> None:
    def frame(seq: int, time: int, read: int) -> Frame:
        at = seq * SECOND
        identity: dict[str, Cell] = {"pid": 1, "start_boottime_ns": 5, "owner_uid": 7}
        io: dict[str, Cell] = {"io_read_bytes": read, "sampled_boottime_ns": at}
        return Frame(
            seq, 0, at, BOOT_IDS[0],
            {
                "processes": of_section(
                    "processes",
                    identity | {"comm": "sh", "user_time_ns": time, "system_time_ns": 0, "rss_bytes": 256},
                    {"pid": 2, "start_boottime_ns": 6, "comm": "other"},
                    at=at,
                ),
                "memory": of_section("memory", {"total_bytes": 1024}),
                "process_io": of_section("process_io", identity | io, at=at),
                "process_executables": of_section("process_executables", identity | {"exe": "/bin/sh"}),
            },
        )  # fmt: skip

    table = joined(frame(1, 0, 0), frame(2, SECOND // 4, 400))
    assert list(table) == [(1, 5), (2, 6)]

    def cells(key: Key, *names: str) -> list[Cell]:
        return [table[key][POSITION[name]] for name in names]

    names = ("pid", "comm", "cpu_percent", "memory_percent", "exe", "io_read_bytes", "io_read_bytes_per_second")
    assert cells((1, 5), *names) == [1, "sh", 25, 25, "/bin/sh", 400, 400]
    assert cells((2, 6), *names) == [2, "other", None, None, None, None, None]


def test_counters_are_those_of_the_process_and_none_elsewhere() -> None:
    def frame(seq: int) -> Frame:
        at, processes = seq * SECOND, ({"pid": pid, "start_boottime_ns": 5} for pid in (1, 2))
        counted: dict[str, Cell] = {
            "pid": 1, "start_boottime_ns": 5, "epoch_boottime_ns": 9, "kernel_mode": True,
            "cycles": seq * 3_000_000_000, "instructions": seq * 1_500_000_000, "cycles_time_ns": seq * SECOND,
            "llc_references": seq * 1000, "llc_misses": seq * 250, "llc_time_ns": seq * SECOND,
            "branches": seq * 100, "branch_misses": seq, "enabled_time_ns": seq * 4, "running_time_ns": seq * 3,
        }  # fmt: skip
        sections = {
            "processes": of_section("processes", *processes, at=at),
            "process_counters": of_section("process_counters", counted, at=at),
        }
        return Frame(seq, 0, at, BOOT_IDS[0], sections)

    table = joined(frame(1), frame(2))
    names = (
        *("ipc", "instructions_per_second", "effective_hertz", "llc_miss_percent", "l1d_miss_percent"),
        *("branch_miss_percent", "llc_misses_per_kilo_instruction", "counters_share_percent", "cycles"),
    )
    assert [table[1, 5][POSITION[name]] for name in names] == [
        *(0.5, 1.5e9, 3e9, 25, None),
        *(1, pytest.approx(250 / 1.5e6), 75, 6_000_000_000),
    ]
    assert [table[2, 5][POSITION[name]] for name in names] == [None] * len(names)


@given(frame_pairs(names=("processes", "process_io", "process_counters", "process_executables", "memory")))
def test_a_joined_row_has_every_column(pair: tuple[Frame, Frame]) -> None:
    before, frame = pair
    table = joined(before, frame)
    assert list(table) == list(frame.rows("processes"))
    width = len(SECTIONS["processes"].names)
    process_rates, io_rates, counter_rates = (
        rates(before, frame, name) for name in ("processes", "process_io", "process_counters")
    )
    io = slice(POSITION["io_read_bytes_per_second"], POSITION["kernel_mode"])
    counters = slice(POSITION["ipc"], POSITION["ipc"] + len(RATES["process_counters"]))
    for key, one in table.items():
        assert len(one) == len(COLUMNS)
        assert one[:width] == frame.rows("processes")[key]
        assert one[width : width + len(RATES["processes"])] == process_rates[key]
        assert one[io] == io_rates.get(key, (None,) * len(RATES["process_io"]))
        counted = counter_rates.get(key, (None,) * len(RATES["process_counters"]))
        assert one[counters] == counted


def test_columns_differ() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS)
