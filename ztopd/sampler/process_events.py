"""The processes that appeared and ended from one frame to the next."""

from collections.abc import Mapping
from operator import is_

from ztop_protocol.event_kinds import ProcessEventKind
from ztop_protocol.frame import Cell, Frame, Key, Row, Section
from ztop_protocol.rates import RATE_POSITION, RateTable
from ztop_protocol.schema import PROCESSES

MAX_ROWS = 256
"""A frame holds no more; what is more is counted."""

_PPID, _OWNER_UID, _COMM = (PROCESSES.position[name] for name in ("ppid", "owner_uid", "comm"))
_USER_TIME, _SYSTEM_TIME = (PROCESSES.position[name] for name in ("user_time_ns", "system_time_ns"))
_RSS = PROCESSES.position["rss_bytes"]
_CPU_PERCENT = RATE_POSITION["processes"]["cpu_percent"]


def appeared_and_ended(before: Mapping[Key, Row], now: Mapping[Key, Row]) -> tuple[list[Row], int]:
    """The rows of ``process_events`` without their numbers, and how many more there were.

    Those that ended come first, since they will not be seen again; where there are too many, those that used the most
    CPU time. An exec changes no key, a pid that is used again does.
    """
    # while nobody comes or goes, the keys are the same objects in the same order
    if len(before) == len(now) and all(map(is_, before, now)):
        return [], 0
    ended = [row for key, row in before.items() if key not in now]
    appeared = [row for key, row in now.items() if key not in before]
    left_out = max(0, len(ended) + len(appeared) - MAX_ROWS)
    if left_out:
        ended.sort(key=lambda row: _cpu_time(row) or 0, reverse=True)
    rows = [_event(ProcessEventKind.ENDED, row, _cpu_time(row), row[_RSS]) for row in ended[:MAX_ROWS]]
    rows += [_event(ProcessEventKind.APPEARED, row, None, None) for row in appeared[: MAX_ROWS - len(rows)]]
    return rows, left_out


def _event(kind: ProcessEventKind, row: Row, cpu_time_ns: Cell, rss_bytes: Cell) -> Row:
    pid, start_boottime_ns = row[:2]
    return (str(kind), pid, start_boottime_ns, row[_PPID], row[_OWNER_UID], row[_COMM], cpu_time_ns, rss_bytes)


def _cpu_time(row: Row) -> int | None:
    user, system = row[_USER_TIME], row[_SYSTEM_TIME]
    return user + system if isinstance(user, int) and isinstance(system, int) else None


def busiest(before: Section | None, now: Section | None) -> str | None:
    """The process that used most CPU in between, in words; None where none used any."""
    if before is None or now is None:
        return None
    earlier, later = (Frame(0, 0, part.sampled_boottime_ns, "", {"processes": part}) for part in (before, now))
    used = RateTable(earlier, later, "processes").column(_CPU_PERCENT)
    percent, key = max(((percent, key) for key, percent in used.items() if percent), default=(0.0, None))
    return None if key is None else f"pid {key[0]} ({now.rows[key][_COMM]}), {percent:.0f} % of a core"
