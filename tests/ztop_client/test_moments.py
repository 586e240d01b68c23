"""Moments as people write them, on a clock that is put forward in March and back in October."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ztop_client.formats import span_text
from ztop_client.moments import moment_text, parse_moment, parse_span

SECOND = 1_000_000_000
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
ANY_TIME = st.integers(86_400 * 400 * SECOND, 4_000_000_000 * SECOND)
UNHURRIED = settings(deadline=None, database=None)


@pytest.fixture(autouse=True, scope="module")
def local_time() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = BERLIN
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def ns(text: str) -> int:
    """A time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


NOW = ns("2026-11-24 13:30:00")
"""14:30 on the clock."""


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("now", "2026-11-24 13:30:00"),
        ("-2m30s", "2026-11-24 13:27:30"),
        ("-27s", "2026-11-24 13:29:33"),
        ("-1h", "2026-11-24 12:30:00"),
        ("-1d12h", "2026-11-23 01:30:00"),
        ("-90m", "2026-11-24 12:00:00"),
        ("-0s", "2026-11-24 13:30:00"),
        ("-99999d", "1970-01-01 00:00:00"),
        ("14:30", "2026-11-24 13:30:00"),
        ("14:30:01", "2026-11-23 13:30:01"),
        ("03:12", "2026-11-24 02:12:00"),
        ("3:12", "2026-11-24 02:12:00"),
        ("03:12:05", "2026-11-24 02:12:05"),
        ("23:59", "2026-11-23 22:59:00"),
        ("00:00", "2026-11-23 23:00:00"),
        ("today 09:00", "2026-11-24 08:00:00"),
        ("today 23:00", "2026-11-24 22:00:00"),
        ("today", "2026-11-23 23:00:00"),
        ("yesterday 14:00", "2026-11-23 13:00:00"),
        ("yesterday", "2026-11-22 23:00:00"),
        ("2026-11-24", "2026-11-23 23:00:00"),
        ("2026-11-24 03:12", "2026-11-24 02:12:00"),
        ("2026-11-24T03:12:05", "2026-11-24 02:12:05"),
        ("2026-07-01T03:12:05", "2026-07-01 01:12:05"),
        ("2026-11-24T03:12:05+01:00", "2026-11-24 02:12:05"),
        ("2026-11-24T03:12:05-0530", "2026-11-24 08:42:05"),
        ("2026-11-24 03:12:05Z", "2026-11-24 03:12:05"),
        ("2027-01-01", "2026-12-31 23:00:00"),
        ("@1790000000", "2026-09-21 14:13:20"),
        ("  now ", "2026-11-24 13:30:00"),
    ],
)
def test_forms(text: str, utc: str) -> None:
    assert parse_moment(text, NOW) == ns(utc)


def test_parts_of_a_second() -> None:
    assert parse_moment("@1790000000.5", NOW) == 1_790_000_000_500_000_000
    assert parse_moment("@1790000000.000000001", NOW) == 1_790_000_000_000_000_001
    assert parse_moment("14:29:59.25", NOW) == NOW - 750_000_000
    assert parse_moment("2026-11-24T14:29:59.25+01:00", NOW) == NOW - 750_000_000
    assert parse_moment("-1.5s", NOW) == NOW - 1_500_000_000


@pytest.mark.parametrize(
    ("text", "now", "utc"),
    [
        # 02:00 to 03:00 came twice on 2026-10-25, in UTC from 00:00 and from 01:00
        ("02:30", "2026-10-25 12:00:00", "2026-10-25 01:30:00"),
        ("02:30", "2026-10-25 01:10:00", "2026-10-25 00:30:00"),
        ("02:30", "2026-10-25 00:10:00", "2026-10-24 00:30:00"),
        ("2026-10-25 02:30", "2026-10-25 12:00:00", "2026-10-25 01:30:00"),
        ("2026-10-25 02:30", "2026-10-25 01:10:00", "2026-10-25 00:30:00"),
        ("2026-10-25 02:30", "2026-01-01 00:00:00", "2026-10-25 00:30:00"),
        ("2026-10-25 02:30+01:00", "2026-10-25 01:10:00", "2026-10-25 01:30:00"),
        ("yesterday 02:30", "2026-10-26 12:00:00", "2026-10-25 01:30:00"),
        # and did not come on 2026-03-29: at 01:00 in UTC it was 03:00
        ("02:30", "2026-03-29 12:00:00", "2026-03-29 01:30:00"),
        ("02:30", "2026-03-29 01:10:00", "2026-03-28 01:30:00"),
        ("2026-03-29 02:30", "2026-03-29 12:00:00", "2026-03-29 01:30:00"),
        ("03:30", "2026-03-29 12:00:00", "2026-03-29 01:30:00"),
        ("01:59:59", "2026-03-29 12:00:00", "2026-03-29 00:59:59"),
        # a span is a span
        ("-24h", "2026-03-29 12:00:00", "2026-03-28 12:00:00"),
    ],
)
def test_when_the_clock_is_put_forward_and_back(text: str, now: str, utc: str) -> None:
    assert parse_moment(text, ns(now)) == ns(utc)


REFUSED = [
    "", " ", "-", "+5m", "-5", "-s", "-m5", "-5s2m", "-1.5h", "5m", "3", "25:00", "24:00", "03:60", "03:12:60",
    "003:12", "3:1", "²:12", "٣:12", "noon", "yesterday14:00", "tomorrow", "2026-13-01", "2026-02-30", "2026-11-24T",
    "20261124", "2026-W48-2", "2026-11-24 03:12 +1", "2026-11-24+01:00", "03:12Z", "0001-01-01", "9999-12-31",
    "2263-01-01", "@", "@-5", "@1e5", "@99999999999", "now\0", "-\x1b[31m", "\ud800", "-" + 20 * "9" + "s",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_one_sentence_that_shows_the_forms(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is no time: it is written like now, -2m30s, 03:12, .*@1790000000\.5$"
    ) as said:
        parse_moment(text, NOW)
    assert str(said.value).isascii() and str(said.value).isprintable()


@given(st.text(max_size=30) | st.from_regex(r"[-@0-9:TZ. +dhmsaty]*", fullmatch=True), ANY_TIME, ANY_TIME)
@UNHURRIED
def test_whether_it_is_a_time_does_not_depend_on_now(text: str, now_ns: int, other_ns: int) -> None:
    def understood(at_ns: int) -> bool:
        try:
            return 0 <= parse_moment(text, at_ns) < 1 << 63
        except ValueError:
            return False

    assert understood(now_ns) == understood(other_ns)


@given(ANY_TIME, ANY_TIME)
@example(ns("2026-10-25 01:30:00"), NOW)
@UNHURRIED
def test_what_is_said_is_understood(time_ns: int, now_ns: int) -> None:
    moment = datetime.fromtimestamp(time_ns // SECOND)
    found_ns = parse_moment(moment_text(time_ns), now_ns)
    assert moment_text(found_ns) == moment_text(time_ns)
    assert abs(found_ns - time_ns) < 3601 * SECOND
    zoned = moment.astimezone()
    assert parse_moment(zoned.isoformat(), now_ns) == time_ns // SECOND * SECOND
    assert parse_moment(f"@{time_ns // SECOND}.{time_ns % SECOND:09d}", now_ns) == time_ns


@given(st.integers(0, 86_399), ANY_TIME)
@UNHURRIED
def test_a_clock_time_is_the_last_one(second: int, now_ns: int) -> None:
    text = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    found_ns = parse_moment(text, now_ns)
    assert now_ns - 25 * 3600 * SECOND < found_ns <= now_ns
    shown = moment_text(found_ns)[11:]
    assert shown == text or (text[:2] == "02" and shown == f"03{text[2:]}")
    # no later second shows it
    later = range(found_ns // SECOND + 1, now_ns // SECOND + 1, 1)
    assert all(moment_text(at * SECOND)[11:] != text for at in (*later[3599::3600], *later[86_399:]))


@given(st.integers(0, 400 * 86_400))
@UNHURRIED
def test_a_span_that_is_said_is_understood(seconds: int) -> None:
    text = span_text(seconds * SECOND)
    assert 0 <= seconds * SECOND - parse_span(text) < 3600 * SECOND
    assert parse_moment(f"-{text}", NOW) == NOW - parse_span(text)


def test_spans() -> None:
    for text, seconds in (
        ("30", 30),
        ("0", 0),
        ("0s", 0),
        ("1.5", 1.5),
        ("2m30s", 150),
        ("1h", 3600),
        ("1d12h", 129_600),
    ):
        assert parse_span(text) == seconds * SECOND
    for text in ("", "-5s", "s", "1.5m", "1 h", "1h5", "∞", "1e3"):
        with pytest.raises(ValueError, match=r"is no length of time: it is written like 30, 30s, 2m30s, 1h, 1d12h$"):
            parse_span(text)
