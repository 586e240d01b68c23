import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_client import formats
from ztop_client.formats import (
    ABSENT,
    bytes_text,
    celsius_text,
    count_text,
    gigahertz_text,
    hertz_text,
    label_text,
    load_text,
    percent_text,
    rate_text,
    ratio_text,
    span_text,
    time_text,
    uptime_text,
)
from ztop_protocol.frame import Cell

SECOND = 10**9
NUMERIC = (
    bytes_text,
    celsius_text,
    count_text,
    hertz_text,
    load_text,
    percent_text,
    rate_text,
    span_text,
    time_text,
    uptime_text,
)


@pytest.mark.parametrize("draw", NUMERIC)
@pytest.mark.parametrize("cell", [None, "text", math.nan, math.inf])
def test_what_is_no_number_is_absent(draw: "formats.Callable[[Cell], str]", cell: Cell) -> None:
    assert draw(cell) == ABSENT


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1023.7, "1.0K"),
        (1024, "1.0K"),
        (1024 * 99.9, "99.9K"),
        (1024 * 99.96, "100K"),
        (1024 * 1023.4, "1023K"),
        (1024 * 1023.6, "1.0M"),
        (1.2 * 1024**3, "1.2G"),
        (2**64, "16.0E"),
    ],
)
def test_bytes(value: float, shown: str) -> None:
    assert bytes_text(value) == shown
    assert rate_text(value) == shown + "/s"


@given(st.floats(0, 2**64))
def test_bytes_are_near_and_narrow(value: float) -> None:
    shown = bytes_text(value)
    assert len(shown) <= 5
    number, unit = float(shown[:-1]), shown[-1]
    assert number * 1024 ** "BKMGTPE".index(unit) == pytest.approx(value, rel=0.051, abs=0.5)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.4, "0"), (99_999, "99999"), (99_999.6, "100k"), (999_960, "1.0M"), (-7, "-7"), (True, "1")],
)
def test_counts(value: float, shown: str) -> None:
    assert count_text(value) == shown


@given(st.integers(0, 2**64))
def test_counts_are_narrow(value: int) -> None:
    assert len(count_text(value)) <= 5


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0.0"), (12.34, "12.3"), (999.94, "999.9"), (999.96, "1000"), (19200.0, "19200")]
)
def test_percent(value: float, shown: str) -> None:
    assert percent_text(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00.00"),
        (7.259, "0:07.25"),
        (3599.999, "59:59.99"),
        (3600, "1h00:00"),
        (86399, "23h59:59"),
        (86400 * 3 + 4 * 3600 + 5 * 60 + 59, "3d04h05"),
        (86400 * 400, "400d00h00"),
    ],
)
def test_cpu_time(seconds: float, shown: str) -> None:
    assert time_text(seconds * SECOND) == shown


def test_the_others() -> None:
    assert uptime_text(7 * 60 * SECOND) == "0:07"
    assert uptime_text((3 * 86400 + 4 * 3600 + 5 * 60) * SECOND) == "3d 04:05"
    assert span_text(0) == "0s"
    assert span_text(59.9 * SECOND) == "59s"
    assert span_text(150 * SECOND) == "2m30s"
    assert span_text((3600 + 4 * 60 + 59) * SECOND) == "1h04m"
    assert span_text((3 * 86400 + 4 * 3600) * SECOND) == "3d04h"
    assert load_text(1) == "1.00"
    ratios = (0, 0.314, 9.994, 9.995, 99.94, 99.95, 100, 9999.4)
    assert [ratio_text(value) for value in ratios] == ["0.00", "0.31", "9.99", "10.0", "99.9", "100", "100", "9999"]
    assert gigahertz_text(3_404_000_000) == "3.40"
    assert celsius_text(54.6) == "55"
    assert hertz_text(800_000_000) == "800MHz"
    assert hertz_text(3_400_000_000) == "3.40GHz"
    assert [label_text(cell) for cell in (None, True, False, 0, "")] == [ABSENT, "yes", "no", "0", ""]
