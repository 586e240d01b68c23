"""Moments as people write them, and moments in words. Local time is that of the process (``TZ``).

Where the clock was put back, a time that it showed twice is the later of the two that is not in the future. A time
that it skipped is read as if it had not been put forward: 02:30 of that night is what it then called 03:30.
"""

import re
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

SECOND_NS = 1_000_000_000
_LATEST_NS = (1 << 63) - 1

FORMS = (
    "now, -2m30s, 03:12, 03:12:05, today 09:00, yesterday 14:00, 2026-11-24, 2026-11-24 03:12, "
    "2026-11-24T03:12:05+01:00, @1790000000.5"
)
_SPAN_FORMS = "30, 30s, 2m30s, 1h, 1d12h"

_SPAN = re.compile(r"(?=.)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?", re.ASCII)
_EPOCH = re.compile(r"@(\d{1,10}(?:\.\d{1,9})?)", re.ASCII)
_CLOCK = r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?"
_ZONE = r" ?(?P<zone>[Zz]|[+-]\d\d:?\d\d)"
_DAY = r"(?P<day>\d{4}-\d\d-\d\d|today|yesterday)"
_CLOCK_ONLY = re.compile(_CLOCK, re.ASCII)
_DATED = re.compile(rf"{_DAY}(?:(?:[Tt]| +){_CLOCK}(?:{_ZONE})?)?", re.ASCII)


def parse_moment(text: str, now_ns: int) -> int:
    """The wall time in ns that ``text`` means where it is ``now_ns``.

    ``now``; a span before it (``-2m30s``); a clock time, the last such one that is not in the future; a date, a date
    and a time; seconds since the epoch (``@1790000000.5``). What is before the epoch is the epoch.

    Raises :exc:`ValueError`, one sentence, for anything else; whether it does depends on ``text`` alone.
    """
    wanted = text.strip()
    if wanted == "now":
        return now_ns
    if wanted.startswith("-") and (span_ns := _span_ns(wanted[1:])) is not None:
        return max(now_ns - span_ns, 0)
    try:
        if found := _EPOCH.fullmatch(wanted):
            moment_ns = int(Decimal(found[1]) * SECOND_NS)
        elif found := _CLOCK_ONLY.fullmatch(wanted):
            moment_ns = _last_time(found, now_ns)
        elif found := _DATED.fullmatch(wanted):
            moment_ns = _dated(found, now_ns)
        else:
            raise ValueError
        if moment_ns > _LATEST_NS:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!a} is no time: it is written like {FORMS}") from None
    return max(moment_ns, 0)


When: TypeAlias = str | datetime | int
"""A moment in words (:func:`parse_moment`), as a ``datetime`` (a naive one is of local time), or as wall time in ns."""


def moment_ns(when: When, now_ns: int) -> int:
    """The wall time in ns. Raises :exc:`ValueError` for words that are no time."""
    if isinstance(when, str):
        return parse_moment(when, now_ns)
    if isinstance(when, datetime):
        return int(when.replace(microsecond=0).timestamp()) * SECOND_NS + when.microsecond * 1000
    return when


def parse_span(text: str) -> int:
    """A length of time in ns: seconds, or ``2m30s``. Raises :exc:`ValueError`, one sentence."""
    wanted = text.strip()
    span_ns = _span_ns(f"{wanted}s" if wanted.replace(".", "", 1).isdecimal() else wanted)
    if span_ns is None:
        raise ValueError(f"{text!a} is no length of time: it is written like {_SPAN_FORMS}")
    return span_ns


def moment_text(time_ns: int) -> str:
    """Date and time on the local clock, to the second: ``2026-11-24 03:12:05``."""
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS):%Y-%m-%d %H:%M:%S}"


def _span_ns(text: str) -> int | None:
    found = _SPAN.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes = (int(part or 0) for part in found.groups()[:3])
    return ((days * 24 + hours) * 60 + minutes) * 60 * SECOND_NS + int(Decimal(found[4] or 0) * SECOND_NS)


def _last_time(clock: re.Match[str], now_ns: int) -> int:
    today = _date_of(now_ns)
    # the day before may have skipped it, or have it after now
    days = (today - timedelta(days) for days in range(3))
    return max((one for day in days for one in _instants(day, clock) if one <= now_ns), default=0)


def _dated(found: re.Match[str], now_ns: int) -> int:
    match found["day"]:
        case "today":
            day = _date_of(now_ns)
        case "yesterday":
            day = _date_of(now_ns) - timedelta(1)
        case text:
            day = date.fromisoformat(text)
    if (zone := found["zone"]) is not None:
        offset = "+00:00" if zone in "Zz" else zone
        moment = datetime.fromisoformat(f"{_naive(day, found).isoformat()}{offset}")
        return int(moment.timestamp()) * SECOND_NS + _fraction_ns(found)
    instants = sorted(_instants(day, found))
    return max((one for one in instants if one <= now_ns), default=instants[0])


def _date_of(time_ns: int) -> date:
    return date(*time.localtime(time_ns // SECOND_NS)[:3])


def _naive(day: date, clock: re.Match[str]) -> datetime:
    hour, minute, second = (int(clock[part] or 0) for part in ("hour", "minute", "second"))
    return datetime(day.year, day.month, day.day, hour, minute, second)


def _fraction_ns(clock: re.Match[str]) -> int:
    return int(Decimal(clock["fraction"] or 0) * SECOND_NS)


def _instants(day: date, clock: re.Match[str]) -> Iterator[int]:
    """When the local clock shows that time on that day: twice, where it was put back then."""
    naive = _naive(day, clock)
    first, second = (int(naive.replace(fold=fold).timestamp()) for fold in (0, 1))
    yield first * SECOND_NS + _fraction_ns(clock)
    # the other way round it is a time that was skipped
    if second > first:
        yield second * SECOND_NS + _fraction_ns(clock)
