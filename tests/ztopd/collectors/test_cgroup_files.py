from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.schema import CGROUPS
from ztopd.collectors.cgroup_files import (
    V1_FILES,
    V2_FILES,
    CgroupValues,
    Fill,
    parse_blkio,
    parse_flat_keyed,
    parse_io_stat,
    parse_limit,
    parse_number,
    parse_some_total,
)
from ztopd.collectors.source import ParseError

FILLS = {name: fill for files in (V2_FILES, *V1_FILES.values()) for name, fill in (*files.moving, *files.resting)}


def test_the_values_are_the_columns_after_the_labels() -> None:
    assert tuple(field.name for field in fields(CgroupValues)) == CGROUPS.names[3:]


@pytest.mark.parametrize(
    ("data", "limit"),
    [(b"max\n", None), (b"1073741824\n", 1 << 30), (b"0\n", 0), (b"9223372036854771712\n", None)],
)
def test_limits(data: bytes, limit: int | None) -> None:
    assert parse_limit(data, "memory.max") == limit


@pytest.mark.parametrize("no_limit", [9223372036854710272, 9223372036854775807])
def test_no_limit_of_other_pages_and_before_3_19(no_limit: int) -> None:
    assert parse_limit(b"%d\n" % no_limit, "memory.limit_in_bytes") is None


def test_io_stat_sums_the_devices() -> None:
    data = (
        b"8:0 rbytes=100 wbytes=20 rios=3 wios=4 dbytes=5 dios=6\n"
        b"253:0 \n"
        b"259:0 cost.usage=0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"
    )
    assert parse_io_stat(data) == (101, 22, 6, 8)


def test_an_empty_io_stat_says_that_there_was_none() -> None:
    assert parse_io_stat(b"") == (0, 0, 0, 0)


def test_blkio_sums_the_devices() -> None:
    data = b"8:0 Read 100\n8:0 Write 20\n8:0 Sync 20\n8:0 Total 120\n8:16 Read 1\n8:16 Write 2\nTotal 123\n"
    assert parse_blkio(data, "blkio") == (101, 22)


def test_blkio_that_names_no_device_is_unknown() -> None:
    assert parse_blkio(b"Total 0\n", "blkio") == (None, None)


def test_pressure_is_the_total_of_some() -> None:
    data = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
    assert parse_some_total(data, "io.pressure") == 1_234_000


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("cpu.stat", b"usage_usec"),
        ("memory.current", b""),
        ("pids.max", b"many"),
        ("io.stat", b"8:0 rbytes=x"),
        ("io.pressure", b"full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"),
        ("io.pressure", b"some avg10=0.00 avg60=0.00 avg300=0.00 total=" + b"9" * 5000),
        ("blkio.throttle.io_serviced", b"8:0 Read x\n"),
    ],
)
def test_what_it_is_not_is_a_parse_error_that_names_the_file(file: str, data: bytes) -> None:
    with pytest.raises(ParseError, match=file.replace("_recursive", "")):
        FILLS[file](CgroupValues(), data)


@given(st.sampled_from(sorted(FILLS)), st.binary(max_size=100))
def test_any_bytes_fill_in_numbers_or_are_a_parse_error(file: str, data: bytes) -> None:
    values = CgroupValues()
    fill: Fill = FILLS[file]
    try:
        fill(values, data)
    except ParseError:
        return
    cells = [getattr(values, field.name) for field in fields(values)]
    assert all(cell is None or type(cell) is int for cell in cells)


def test_flat_keyed_and_numbers() -> None:
    assert parse_flat_keyed(b"anon 1\nfile 2\n", "memory.stat") == {b"anon": 1, b"file": 2}
    assert parse_flat_keyed(b"", "memory.stat") == {}
    assert parse_number(b"7\n", "pids.current") == 7
