"""From a daemon that was located to the source of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass

from ztop_client.access import Access
from ztop_client.daemon import Daemon
from ztop_client.locate import Located
from ztop_client.sources.live import LiveSource


@dataclass(frozen=True, slots=True)
class Opened:
    """A source, its daemon, the daemon's interval, and every how many of its ticks a frame comes."""

    source: LiveSource
    daemon: Daemon
    tick_ns: int
    ticks: int
    elsewhere: str | None = None
    access: Access | None = None
    refused: str | None = None
    """See :class:`Located`, all three."""

    @property
    def interval_seconds(self) -> float:
        """What was asked for, in whole ticks."""
        return self.ticks * self.tick_ns / 1e9


def follow(
    located: Located, interval_seconds: float, sections: Sequence[str] | None = None, *, between: bool = False
) -> Opened:
    """The source of that daemon, which it takes over, a frame about every ``interval_seconds``.

    ``between``: see :class:`LiveSource`.
    """
    ticks = max(1, round(interval_seconds * 1e9 / located.tick_ns))
    source = LiveSource(located.daemon, ticks, sections, between=between)
    source.maintain()
    told = (located.elsewhere, located.access, located.refused)
    return Opened(source, located.daemon, located.tick_ns, ticks, *told)
