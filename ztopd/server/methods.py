"""The methods, first of all those about the newest frames; :mod:`past` and :mod:`strip` have those about the others."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ztop_protocol import processes
from ztop_protocol.codec import Wire, encode_map, encode_table, frame_head
from ztop_protocol.connection import PROTOCOL_VERSION, Arguments, ErrorCode
from ztop_protocol.frame import Cell, Row
from ztop_protocol.schema import SCHEMA_VERSION, SECTIONS, THREADS, Visibility
from ztop_protocol.segment import EncodedFrame
from ztop_protocol.version import VERSION
from ztopd.collectors.threads import NoSuchProcess, read_threads
from ztopd.server import arguments as read
from ztopd.server import past, strip
from ztopd.server.access import HIDEABLE, owner
from ztopd.server.client import FRAME_SECTIONS, Client, Method, pack
from ztopd.server.hub import rss_bytes
from ztopd.server.published import JOINED_SECTIONS

MAX_ROWS = 1000
"""The most that ``top`` answers with."""
MAX_THREADS = 4096
FIRST_FRAMES_SECONDS = 2.0
"""How long a request waits for the first frame, or ``top`` for the second one."""

_PID, _START, _OWNER = (THREADS.position[name] for name in ("tid", "start_boottime_ns", "owner_uid"))


async def hello(client: Client, _: Arguments) -> bytes:
    """Versions, who the client is to the daemon, and what it may see."""
    hub = client.hub
    newest = hub.latest.newest
    hides = newest is not None and hub.published.hides_processes(newest.seq)
    host = None if newest is None else hub.latest.section("host", newest.seq)
    hidepid = None if host is None else next(iter(host.rows.values()))[SECTIONS["host"].position["hidepid"]]
    return pack(
        {
            **_versions(),
            "pid": client.peer.pid,
            "uid": client.peer.uid,
            "gid": client.peer.gid,
            "sees": {
                "all": client.view.sees_all,
                "owner_rows_of_uid": None if client.view.sees_all else client.view.uid,
                "because": client.standing.value,
                "group": hub.settings.group,
            },
            "sections": {
                name: str(Visibility.OWNER if hides and name in HIDEABLE else section.visibility)
                for name, section in SECTIONS.items()
            },
            "interval_ns": hub.settings.interval_ns,
            "boot_id": None if newest is None else newest.boot_id,
            "hidepid": hidepid,
        }
    )


async def status(client: Client, _: Arguments) -> bytes:
    """How the daemon is."""
    hub = client.hub
    newest, statistics = hub.latest.newest, hub.statistics
    return pack(
        {
            **_versions(),
            "server_pid": os.getpid(),
            "sampler_pid": hub.settings.sampler_pid,
            "interval_ns": hub.settings.interval_ns,
            "current_interval_ns": None if newest is None else newest.interval_ns,
            "seq": None if newest is None else newest.seq,
            "clients": statistics.clients,
            "subscriptions": statistics.subscriptions,
            "dropped_deltas": statistics.dropped_deltas,
            "protocol_violations": statistics.protocol_violations,
            "start_time_ns": hub.start_time_ns,
            "rss_bytes": rss_bytes(),
            **past.remembered(hub.history),
        }
    )


def _versions() -> dict[str, Wire]:
    return {"version": VERSION, "protocol_version": PROTOCOL_VERSION, "schema_version": SCHEMA_VERSION}


async def ping(client: Client, _: Arguments) -> bytes:
    """The newest frame's number and wall time; nil before the first one."""
    newest = client.hub.latest.newest
    return pack({"seq": None if newest is None else newest.seq, "time_ns": None if newest is None else newest.time_ns})


async def snapshot(client: Client, arguments: Arguments) -> bytes:
    """The newest frame: the sections named, or all of them. One that was not sampled or may not be seen is left out."""
    names = read.names(arguments, "sections", FRAME_SECTIONS, FRAME_SECTIONS)
    newest = await _newest(client)
    return client.hub.published.encode_frame(client.view, newest.seq, names)


@dataclass(frozen=True, slots=True)
class _Top:
    """What ``top`` is asked for."""

    order: processes.Order
    limit: int
    accepts: Callable[[Row], bool] | None
    columns: tuple[str, ...]

    @classmethod
    def of(cls, arguments: Arguments) -> "_Top":
        column = read.text(arguments, "sort", processes.Order().column)
        try:
            natural = processes.natural_order(column)
        except processes.UnknownColumn as error:
            raise read.bad(f"sort: {_sentence(error)}") from None
        order = processes.Order(column, read.flag(arguments, "descending", natural.descending))
        limit = read.integer(arguments, "limit", 20, 1, MAX_ROWS)
        accepts = _filter(arguments.get("filter"))
        asked = read.names(arguments, "columns", processes.POSITION, processes.COLUMNS)
        return cls(order, limit, accepts, tuple(dict.fromkeys(("pid", "start_boottime_ns", *asked))))

    def table(self, rows: Iterable[Row], sampled_boottime_ns: int) -> bytes:
        """The section of the answer, of joined rows."""
        chosen = self.order.sorted(rows if self.accepts is None else filter(self.accepts, rows))[: self.limit]
        if self.columns != processes.COLUMNS:
            places = [processes.POSITION[name] for name in self.columns]
            chosen = [tuple(row[place] for place in places) for row in chosen]
        return encode_table(self.columns, sampled_boottime_ns, chosen)


async def top(client: Client, arguments: Arguments) -> bytes:
    """The processes with their rates: filtered, sorted, limited, in the columns asked for; now, or at a moment."""
    asked = _Top.of(arguments)
    if (when := past.When.maybe_of(arguments)) is not None:
        return await _top_then(client, asked, when)
    newest = await _newest(client, with_previous=True)
    rows = client.hub.published.processes(client.view).values()
    sampled = client.hub.latest.section("processes", newest.seq)
    table = asked.table(rows, newest.boottime_ns if sampled is None else sampled.sampled_boottime_ns)
    return encode_map(_head(newest), "sections", {"processes": table})


async def _top_then(client: Client, asked: _Top, when: "past.When") -> bytes:
    def table(seen: past.Seen) -> bytes:
        frame, sampled = seen.frame, seen.frame.sections.get("processes")
        rows = processes.joined(seen.previous, frame).values()
        return asked.table(rows, frame.boottime_ns if sampled is None else sampled.sampled_boottime_ns)

    async with client.hub.history_turns.of(client.peer.uid):
        seen = await past.seen(client, when, JOINED_SECTIONS, with_previous=True)
        made = await client.hub.history.aside(lambda: table(seen))
    return encode_map({**frame_head(seen.frame), **seen.distance()}, "sections", {"processes": made})


def _filter(wanted: Wire) -> Callable[[Row], bool] | None:
    """Text: a substring of name, command line or user. A map: columns and what they must be equal to."""
    if wanted is None:
        return None
    if isinstance(wanted, dict):
        values: dict[str, Cell] = {}
        for name, value in wanted.items():
            if not isinstance(name, str):
                raise read.bad(f"filter: a column's name was expected, not {read.shown(name)}")
            try:
                values[name] = read.as_cell(value)
            except read.Refusal as error:
                raise read.bad(f"filter: {read.shown(name)}: {error.sentence}") from None
        try:
            return processes.equals(values)
        except processes.UnknownColumn as error:
            raise read.bad(f"filter: {_sentence(error)}") from None
    if isinstance(wanted, (str, bytes)):
        return processes.contains(str(read.as_cell(wanted)))
    raise read.bad(f"filter: text or a map of columns was expected, not {read.shown(wanted)}")


def _sentence(error: processes.UnknownColumn) -> str:
    return str(error)[:200].encode("ascii", "backslashreplace").decode()


async def threads(client: Client, arguments: Arguments) -> bytes:
    """The threads of one process, read now."""
    if arguments.get("pid") is None:
        raise read.bad("pid: the number of a process is missing")
    pid = read.integer(arguments, "pid", 0, 1, 1 << 22)
    start: Cell = read.integer(arguments, "start_boottime_ns", -1, 0, (1 << 63) - 1)
    newest = await _newest(client)
    is_hidden = not client.view.sees_all and client.hub.published.hides_processes(newest.seq)
    if is_hidden:
        visible = client.hub.published.frame(client.view, newest.seq, ("processes",)).rows("processes")
        start = next((key[1] for key in visible if key[0] == pid and start in (-1, key[1])), None)
        if start is None:
            raise _no_process(pid)
    try:
        async with client.hub.threads_turns.of(client.peer.uid), client.hub.threads_turn:
            rows, truncated = await asyncio.to_thread(read_threads, client.hub.settings.proc, pid, MAX_THREADS)
            boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    except NoSuchProcess:
        raise _no_process(pid) from None
    except OSError as error:
        raise read.Refusal(
            ErrorCode.NOT_FOUND, f"the threads of process {pid} cannot be read: {error.strerror}"
        ) from None
    # the main thread started when the process did: another start time is another process of the same pid
    main = next(iter(rows))
    if start != -1 and (main[_PID], main[_START]) != (pid, start):
        raise _no_process(pid)
    # it may have become another user's since that frame
    if is_hidden and owner(rows[main][_OWNER]) != client.view.uid:
        raise _no_process(pid)
    head = {**_head(newest), "time_ns": time.time_ns(), "boottime_ns": boottime_ns, "truncated": truncated}
    return encode_map(head, "sections", {"threads": encode_table(THREADS.names, boottime_ns, rows.values())})


def _no_process(pid: int) -> read.Refusal:
    return read.Refusal(ErrorCode.NOT_FOUND, f"process {pid} does not exist, or is not the one that was meant")


async def _newest(client: Client, *, with_previous: bool = False) -> EncodedFrame:
    newest = await client.hub.newest(FIRST_FRAMES_SECONDS, with_previous=with_previous)
    if newest is None:
        raise read.Refusal(ErrorCode.NOT_READY, "nothing was sampled yet")
    return newest


def _head(newest: EncodedFrame) -> Mapping[str, Wire]:
    return {
        "seq": newest.seq,
        "time_ns": newest.time_ns,
        "boottime_ns": newest.boottime_ns,
        "boot_id": newest.boot_id,
    }


METHODS: dict[str, Method] = {
    "hello": hello,
    "status": status,
    "ping": ping,
    "snapshot": snapshot,
    "top": top,
    "threads": threads,
    "asof": past.asof,
    "segments": past.segments,
    "series": strip.series,
    "events": strip.events,
    "segment": past.segment,
}
"""All but the session's own, :data:`ztopd.server.session.OWN_METHODS`."""
