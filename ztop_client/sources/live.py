"""Frames of a running daemon, as they come."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.daemon import Daemon
from ztop_client.sources.source import Pair, RequestFailed, SourceStatus
from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments, Response
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS, THREADS

_RETRY_SECONDS = (0.25, 5.0)


class LiveSource:
    """A :class:`ztop_client.sources.source.Source`: follows a daemon, and connects again when it went away."""

    def __init__(
        self, daemon: Daemon, ticks: int = 1, sections: Sequence[str] | None = None, *, between: bool = False
    ) -> None:
        """``between``: with what is sampled between two frames, where each of the daemon's frames is wanted."""
        self._daemon = daemon
        self._between = between
        self._ticks = ticks
        self._sections = sections
        self._channel: Channel | None = None
        self._asked: dict[object, Callable[[Wire | RequestFailed], None]] = {}
        self._pair: Pair | None = None
        self._first: Frame | None = None
        self._awaits_first = False
        self._taker: Callable[[Frame], bool] | None = None
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
        tick_ns = None if self._channel is None else self._channel.tick_ns
        return self._status if tick_ns is None else replace(self._status, tick_seconds=tick_ns / 1e9)

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
            self._channel.keep_all_frames(self._taker is not None)
            self._channel.subscribe(*self._wanted())
        except DaemonUnreachable as error:
            self._lost(error)
        else:
            self._status = SourceStatus(True, time.monotonic())

    def hand_frames_to(self, taker: Callable[[Frame], bool] | None) -> None:
        """From now on every frame that the daemon makes, with all it lets us see, is handed over as it arrives.

        Until ``taker`` returns that it wants no more; None: to nobody. What :meth:`latest` gives stays at its interval.
        """
        self._taker = taker
        if self._channel is not None:
            self._channel.keep_all_frames(taker is not None)
        self._subscribe(True)

    def set_interval(self, ticks: int) -> None:
        """A frame every so many ticks from now on."""
        before = self._wanted()
        self._ticks = ticks
        if self._wanted() != before:
            self._subscribe(self._awaits_first or self._first is not None)

    def set_sections(self, sections: Sequence[str]) -> None:
        """Frames of these sections from now on."""
        if self._sections is None or set(sections) != set(self._sections):
            if self._taker is not None:
                # what has arrived of the subscription that may end now is to be handed over
                self.receive()
            before = self._wanted()
            self._sections = sections
            if self._wanted() != before:
                self._subscribe(True)

    def _wanted(self) -> tuple[int, Sequence[str] | None, bool]:
        """The interval and the sections to subscribe to, and whether to what is sampled between two frames."""
        between = self._between and self._ticks == 1
        if self._taker is None:
            return self._ticks, self._sections, between
        # all but this one come unasked
        asked = tuple(SECTIONS) if self._sections is not None and THREADS.name in self._sections else None
        return 1, asked, between

    def set_paused(self, paused: bool) -> None:
        """Frames come all the same."""

    def _subscribe(self, other_sections: bool) -> None:
        if self._channel is not None:
            try:
                self._channel.subscribe(*self._wanted())
            except DaemonUnreachable as error:
                self._lost(error)
            else:
                self._first, self._awaits_first = None, other_sections and self._pair is not None

    def ask(self, method: str, arguments: Arguments, done: Callable[[Wire | RequestFailed], None]) -> None:
        """Asks the daemon."""
        if self._channel is None:
            done(RequestFailed("there is no connection to the daemon"))
            return
        errand = object()
        self._asked[errand] = done

        def answered(response: Response) -> None:
            del self._asked[errand]
            done(response.result if response.error is None else RequestFailed(response.error.sentence))

        try:
            self._channel.ask(method, arguments, answered)
        except DaemonUnreachable as error:
            self._keep_frames()
            self._lost(error)

    def close(self) -> None:
        """Closes the connection and ends a private daemon."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._daemon.close()

    def _keep_frames(self) -> bool:
        frames = [] if self._channel is None else self._channel.frames()
        before, wants_more = self._pair, True
        for frame in frames:
            if self._taker is not None:
                wants_more = self._taker(frame)
                if not self._is_due(frame):
                    continue
            if self._pair is None:
                self._pair = Pair(None, frame)
            elif self._awaits_first:
                # a subscription begins with the frame before the newest, and may be of other sections than the last
                self._first, self._awaits_first = frame, False
            elif self._first is not None:
                self._pair = self._pair.renewed_by(self._first, frame)
                self._first = None
            else:
                self._pair = self._pair.followed_by(frame)
        between = None if self._channel is None else self._channel.between()
        if between is not None and self._pair is not None and between.seq == self._pair.current.seq:
            self._pair = replace(self._pair, newer=between.sections)
        if frames:
            self._retry_seconds = _RETRY_SECONDS[0]
        if not wants_more:
            self.hand_frames_to(None)
        return self._pair is not before

    def _is_due(self, frame: Frame) -> bool:
        """Of all frames those that the daemon would send at the interval that was asked for."""
        if self._pair is None or self._pair.previous is None or self._awaits_first or self._first is not None:
            return True
        before = self._pair.current
        return frame.seq < before.seq or frame.seq // self._ticks > before.seq // self._ticks

    def _lost(self, error: DaemonUnreachable) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._first, self._awaits_first = None, False
        asked, self._asked = self._asked, {}
        for done in asked.values():
            done(RequestFailed(str(error)))
        now = time.monotonic()
        since = now if self._status.live else self._status.since_monotonic
        self._status = SourceStatus(False, since, self._daemon.last_words() or str(error))
        self._not_before = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, _RETRY_SECONDS[1])
