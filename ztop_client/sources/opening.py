"""Opening the source that a person asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from ztop_client.daemon import Daemon
from ztop_client.locate import locate
from ztop_client.sources.live import LiveSource


@dataclass(frozen=True, slots=True)
class Opened:
    """A source, its daemon, the daemon's interval, and every how many of its ticks a frame comes."""

    source: LiveSource
    daemon: Daemon
    tick_ns: int
    ticks: int

    @property
    def interval_seconds(self) -> float:
        """What was asked for, in whole ticks."""
        return self.ticks * self.tick_ns / 1e9


def open_source(
    socket_path: str | None,
    interval_seconds: float,
    sections: Sequence[str] | None = None,
    tick_seconds: float | None = None,
    *,
    between: bool = False,
) -> Opened:
    """The source of the daemon to talk to, a frame about every ``interval_seconds``.

    A private daemon measures every ``tick_seconds``, or that often. ``between``: see :class:`LiveSource`.

    Raises :exc:`ztop_client.channel.DaemonUnreachable` for a daemon that was asked for and cannot be reached.
    """
    located = locate(socket_path, tick_seconds or interval_seconds)
    ticks = max(1, round(interval_seconds * 1e9 / located.tick_ns))
    source = LiveSource(located.daemon, ticks, sections, between=between)
    source.maintain()
    return Opened(source, located.daemon, located.tick_ns, ticks)
