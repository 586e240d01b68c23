"""Frames of a running daemon, as they come."""

import time
from collections.abc import Sequence

from ztop_client.channel import Channel, DaemonUnreachable, NoAnswer
from ztop_client.daemon import Daemon
from ztop_client.sources.source import Pair, SourceStatus
from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments

_RETRY_SECONDS = (0.25, 5.0)


class LiveSource:
    """A :class:`ztop_client.sources.source.Source`: follows a daemon, and connects again when it went away."""

    def __init__(self, daemon: Daemon, ticks: int = 1, sections: Sequence[str] | None = None) -> None:
        self._daemon = daemon
        self._ticks = ticks
        self._sections = sections
        self._channel: Channel | None = None
        self._pair: Pair | None = None
        self._status = SourceStatus(False, time.monotonic())
        self._retry_seconds = _RETRY_SECONDS[0]
        self._not_before = 0.0

    @property
    def title(self) -> str:
        """The daemon's."""
        return self._daemon.title

    def latest(self) -> Pair | None:
        """The newest frame and what its rates are computed against."""
        return self._pair

    def fileno(self) -> int | None:
        """The connection's descriptor."""
        return None if self._channel is None else self._channel.fileno()

    def status(self) -> SourceStatus:
        """Live while there is a connection."""
        return self._status

    def receive(self) -> bool:
        """Takes what has arrived."""
        if self._channel is None:
            return False
        try:
            self._channel.receive()
        except DaemonUnreachable as error:
            changed = self._keep_frames()
            self._lost(error)
            return changed
        return self._keep_frames()

    def maintain(self) -> None:
        """Connects where not connected, once the pause after the last attempt is over."""
        now = time.monotonic()
        if self._channel is not None or now < self._not_before:
            return
        try:
            self._channel = Channel(self._daemon.connect())
            self._channel.subscribe(self._ticks, self._sections)
        except DaemonUnreachable as error:
            self._lost(error)
        else:
            self._status = SourceStatus(True, time.monotonic())

    def set_interval(self, ticks: int) -> None:
        """A frame every so many ticks from now on."""
        self._ticks = ticks
        if self._channel is not None:
            try:
                self._channel.subscribe(ticks, self._sections)
            except DaemonUnreachable as error:
                self._lost(error)

    def call(self, method: str, arguments: Arguments | None = None) -> Wire:
        """Asks the daemon."""
        if self._channel is None:
            raise DaemonUnreachable("there is no connection to the daemon")
        try:
            return self._channel.call(method, arguments)
        except NoAnswer:
            raise
        except DaemonUnreachable as error:
            self._keep_frames()
            self._lost(error)
            raise
        finally:
            self._keep_frames()

    def close(self) -> None:
        """Closes the connection and ends a private daemon."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._daemon.close()

    def _keep_frames(self) -> bool:
        frames = [] if self._channel is None else self._channel.frames()
        before = self._pair
        for frame in frames:
            self._pair = Pair(None, frame) if self._pair is None else self._pair.followed_by(frame)
        if frames:
            self._retry_seconds = _RETRY_SECONDS[0]
        return self._pair is not before

    def _lost(self, error: DaemonUnreachable) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        now = time.monotonic()
        since = now if self._status.live else self._status.since_monotonic
        self._status = SourceStatus(False, since, self._daemon.last_words() or str(error))
        self._not_before = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, _RETRY_SECONDS[1])
