"""The sections ``events``, ``process_events`` and ``alerts``. docs/events.md has the rule of each of their kinds."""

from ztop_protocol.section_schema import Kind, SectionSchema, Unit, Visibility, columns

_I, _L, _G = Kind.IDENTITY, Kind.LABEL, Kind.GAUGE
_NONE, _BYTES, _NS = Unit.NONE, Unit.BYTES, Unit.NANOSECONDS

EVENTS = SectionSchema(
    "events",
    Visibility.PUBLIC,
    (
        *columns("ztopd: grows by 1 within one of its runs", _I, _NONE, "number"),
        *columns("ztopd: see docs/events.md", _L, _NONE, "kind", type=str),
        *columns("ztopd: what it is about: a resource, a source, a cgroup", _L, _NONE, "subject", type=str),
        *columns("ztopd: how much; the kind says of what", _L, _NONE, "value", type=float),
        *columns("ztopd: one sentence", _L, _NONE, "detail", type=str),
    ),
)
"""What happened since the frame before; the next frame has it no more."""

PROCESS_EVENTS = SectionSchema(
    "process_events",
    Visibility.PUBLIC,
    (
        *columns("ztopd: grows by 1 within one of its runs", _I, _NONE, "number"),
        *columns("ztopd: appeared or ended, since the frame before", _L, _NONE, "kind", type=str),
        *columns("/proc/PID", _L, _NONE, "pid"),
        *columns("/proc/PID/stat", _L, _NS, "start_boottime_ns"),
        *columns("/proc/PID/stat", _L, _NONE, "ppid"),
        *columns("stat(2) of /proc/PID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *columns("/proc/PID/stat", _L, _NONE, "comm", type=str),
        *columns("/proc/PID/stat, user and system, as last seen; None: it appeared", _G, _NS, "cpu_time_ns"),
        *columns("/proc/PID/stat, as last seen; None: it appeared", _G, _BYTES, "rss_bytes"),
    ),
)
"""The processes that appeared and ended since the frame before; the next frame has them no more."""

ALERTS = SectionSchema(
    "alerts",
    Visibility.OWNER,
    (
        *columns("/proc/PID", _I, _NONE, "pid"),
        *columns("/proc/PID/stat", _I, _NS, "start_boottime_ns"),
        *columns("ztopd: see docs/events.md", _I, _NONE, "kind", type=str),
        *columns("stat(2) of /proc/PID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *columns("/proc/PID/stat", _L, _NONE, "comm", type=str),
        *columns("ztopd: the frame in which it began", _L, _NS, "since_boottime_ns"),
        *columns("ztopd: how much, when it began; the kind says of what", _L, _NONE, "value", type=float),
        *columns("ztopd: how much was usual before", _L, _NONE, "usual_value", type=float),
        *columns("ztopd: one sentence", _L, _NONE, "detail", type=str),
    ),
)
"""What is unusual about a process, and only its owner may know: a row stays for as long as it is."""
