"""The Python API: one conversation with a daemon, whose calls wait for their answers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.daemon import Daemon
from ztop_client.locate import locate
from ztop_client.sources.source import Pair
from ztop_protocol.codec import FrameDecoder, Malformed, Wire
from ztop_protocol.frame import Cell, Frame
from ztop_protocol.schema import THREADS

if TYPE_CHECKING:
    from ztop_client.find import Stretch
    from ztop_client.moments import When
    from ztop_client.sources.past import Moment, RememberedPast

_END_OF_TIME_NS = (1 << 63) - 1
CALL_SECONDS = 10.0
"""A private daemon takes half a second to its second sample, on a busy machine some more."""


def connect(path: str | None = None, *, interval_seconds: float = 1.0) -> "Session":
    """A session with the daemon at ``path``, else with the one that ``ztop`` would talk to.

    Where none is running a private one is started, which samples every ``interval_seconds`` (0.1 to 60) and ends with
    the session. Raises :exc:`DaemonUnreachable`.
    """
    return Session(locate(path, interval_seconds).daemon)


class Session:
    """A conversation with a daemon; use it in a ``with`` statement, or close it.

    Every method raises :exc:`DaemonUnreachable` when the daemon went away or does not answer, and
    :exc:`RemoteError` when it answers with an error.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._iterations = 0
        try:
            self._channel = Channel(daemon.connect())
        except BaseException:
            daemon.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def title(self) -> str:
        """Which daemon this is: ``ztopd /run/ztopd/ztopd.sock``, ``private ztopd``."""
        return self._daemon.title

    def close(self) -> None:
        """Ends the session, and the private daemon if there is one."""
        self._channel.close()
        self._daemon.close()

    def hello(self) -> dict[str, Any]:
        """Versions, who you are to the daemon, what you may see, and its interval (``interval_ns``)."""
        return _map(self._call("hello"))

    def status(self) -> dict[str, Any]:
        """How the daemon is: its clients, its memory, what it dropped."""
        return _map(self._call("status"))

    def ping(self) -> int | None:
        """The number of the newest frame; None before the first one."""
        seq = _map(self._call("ping")).get("seq")
        return seq if isinstance(seq, int) else None

    def snapshot(self, sections: Sequence[str] | None = None) -> Frame:
        """The newest frame, with the sections named, or all."""
        return FrameDecoder().frame(self._call("snapshot", sections=None if sections is None else list(sections)))

    def top(
        self,
        sort: str = "cpu_percent",
        limit: int = 20,
        filter: str | Mapping[str, Cell] | None = None,
        columns: Sequence[str] | None = None,
        descending: bool | None = None,
    ) -> list[dict[str, Cell]]:
        """Processes with their rates, sorted, at most ``limit`` (up to 1000).

        ``filter``: text that the name, the command line or the user contains, or values that columns must have.
        ``columns``: those of :data:`ztop_protocol.processes.COLUMNS` (pid and start_boottime_ns are always there).
        ``descending``: None for the order that is natural to the column.
        """
        wanted: Wire = filter
        if isinstance(filter, str):
            wanted = _portable(filter)
        elif filter is not None:
            wanted = {name: _portable(value) if isinstance(value, str) else value for name, value in filter.items()}
        answer = self._call(
            "top",
            sort=sort,
            limit=limit,
            filter=wanted,
            columns=None if columns is None else list(columns),
            descending=descending,
        )
        table = _map(_map(_map(answer).get("sections")).get("processes"))
        return [dict(zip(table["columns"], map(_cell, row), strict=True)) for row in table["rows"]]

    def threads(self, pid: int) -> list[dict[str, Cell]]:
        """The threads of one process, read now, with the columns of the section ``threads``."""
        rows = FrameDecoder().frame(self._call("threads", pid=pid)).rows("threads").values()
        return [dict(zip(THREADS.names, row, strict=True)) for row in rows]

    def asof(self, when: "When", sections: Sequence[str] | None = None) -> "Moment":
        """The machine as it was then, as the daemon remembers it, with the sections named, or all.

        ``when``: ``"03:12"``, ``"-2m30s"``, ``"yesterday 14:00"``, a ``datetime``, or wall time in ns. Raises
        :exc:`ztop_client.NothingThen` where nothing is remembered of that time.
        """
        return self._remembered().at(_ns(when, time.time_ns()), sections)

    def frames(
        self,
        interval_ticks: int = 1,
        sections: Sequence[str] | None = None,
        *,
        since: "When | None" = None,
        until: "When | None" = None,
    ) -> Iterator[Frame]:
        """The frames as they are made, every so many ticks of the daemon; the first is the one before the newest.

        One iteration at a time: a new one ends the one before. A reader that is late misses frames, never parts
        of one.

        ``since``: those that the daemon remembers of that time on come first, then go on without a gap; each comes
        once, and what a late reader missed is fetched. ``until``: no frame later than that.
        """
        now_ns = time.time_ns()
        until_ns = None if until is None else _ns(until, now_ns)
        if since is None:
            found = self._live(interval_ticks, sections)
        else:
            found = self._since(_ns(since, now_ns), until_ns, interval_ticks, sections)
        return found if until_ns is None else _up_to(until_ns, found)

    def _live(self, interval_ticks: int, sections: Sequence[str] | None) -> Iterator[Frame]:
        self._iterations += 1
        mine = self._iterations
        self._channel.subscribe(interval_ticks, sections)
        try:
            while mine == self._iterations:
                arrived = self._channel.frames()
                for frame in arrived:
                    yield frame
                    if mine != self._iterations:
                        return
                # a call between two frames receives too: what came then must not wait for more to come
                if not arrived:
                    self._channel.wait(None)
                    self._channel.receive()
        except DaemonUnreachable as error:
            raise self._explained(error) from error
        finally:
            if mine == self._iterations and self._channel.fileno() >= 0:
                self._channel.unsubscribe()

    def _since(
        self, from_ns: int, until_ns: int | None, interval_ticks: int, sections: Sequence[str] | None
    ) -> Iterator[Frame]:
        def tick(frame: Frame) -> int:
            return frame.seq // interval_ticks

        last: Frame | None = None
        to_ns = _END_OF_TIME_NS if until_ns is None else until_ns
        for frame in self._remembered().frames(from_ns, to_ns, sections):
            if last is None or tick(frame) > tick(last):
                last = frame
                yield frame
        if until_ns is not None and until_ns < time.time_ns():
            return
        for frame in self._live(interval_ticks, sections):
            if last is not None and tick(frame) > tick(last) + 1:
                # the clock may have been set back
                first_ns, second_ns = sorted((last.time_ns, frame.time_ns))
                for missed in self._remembered().frames(first_ns, second_ns, sections):
                    if tick(last) < tick(missed) < tick(frame):
                        last = missed
                        yield missed
            if last is None or tick(frame) > tick(last):
                last = frame
                yield frame

    def pairs(
        self,
        interval_ticks: int = 1,
        sections: Sequence[str] | None = None,
        *,
        since: "When | None" = None,
        until: "When | None" = None,
    ) -> Iterator[Pair]:
        """As :meth:`frames`, each one with what its rates are computed against, from the second one on.

        ``rates(pair.previous, pair.current, section)`` of :mod:`ztop_protocol.rates` then gives them.
        """
        pair: Pair | None = None
        for frame in self.frames(interval_ticks, sections, since=since, until=until):
            pair = Pair(None, frame) if pair is None else pair.followed_by(frame)
            if pair.previous is not None:
                yield pair

    def events(
        self, since: "When | None" = None, until: "When | None" = None, kinds: Sequence[str] | None = None
    ) -> Iterator[dict[str, Cell]]:
        """What happened, as far as the daemon remembers, in order: maps with ``time_ns``, ``seq``, ``kind`` and more.

        ``kinds``: only these; docs/events.md has them.
        """
        now_ns = time.time_ns()
        asked: dict[str, Wire] = {
            "from_ns": None if since is None else _ns(since, now_ns),
            "to_ns": None if until is None else _ns(until, now_ns),
            "kinds": None if kinds is None else list(kinds),
        }
        cursor: Wire = None
        while True:
            answer = _map(self._call("events", **asked, cursor=cursor))
            for event in answer["events"]:
                yield {name: _cell(value) for name, value in _map(event).items()}
            cursor = answer.get("cursor")
            if cursor is None:
                return

    def find(self, question: str, since: "When | None" = None, until: "When | None" = None) -> "list[Stretch]":
        """Of whom and when it held, as far as the daemon remembers, by the begin: ``"cpu > 80 for 10s"``.

        docs/query.md has the language. Raises :exc:`ztop_client.QueryError`.
        """
        # imported where it is needed: the columns and their formats come with it
        from ztop_client.find import found_in

        now_ns = time.time_ns()
        from_ns = 0 if since is None else _ns(since, now_ns)
        return found_in(self._remembered(), question, from_ns, _END_OF_TIME_NS if until is None else _ns(until, now_ns))

    def _remembered(self) -> "RememberedPast":
        # imported where it is needed: SQLite takes its time
        from ztop_client.sources.past import RememberedPast

        return RememberedPast(self._channel, self.title)

    def _call(self, method: str, **arguments: Wire) -> Wire:
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            return self._channel.call(method, given, CALL_SECONDS)
        except DaemonUnreachable as error:
            raise self._explained(error) from error

    def _explained(self, error: DaemonUnreachable) -> DaemonUnreachable:
        """A private daemon that died may have said why."""
        words = self._daemon.last_words()
        return error if words is None else DaemonUnreachable(words)


def _ns(when: "When", now_ns: int) -> int:
    # imported where it is needed: most starts are not about the past
    from ztop_client.moments import moment_ns

    return moment_ns(when, now_ns)


def _up_to(time_ns: int, frames: Iterator[Frame]) -> Iterator[Frame]:
    for frame in frames:
        if frame.time_ns > time_ns:
            return
        yield frame


def _map(value: Wire) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("a map was expected in the daemon's answer")
    return value


def _cell(value: Wire) -> Cell:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _portable(text: str) -> str | bytes:
    """Text with surrogate escapes as the bytes that it stands for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text
