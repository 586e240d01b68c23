"""What all clients of one server share."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import Protocol

from ztop_protocol.segment import EncodedFrame
from ztopd.feed import WANTS_BETWEEN, WANTS_THREADS, Between
from ztopd.history import ring
from ztopd.history.command_lines import CommandLines
from ztopd.history.history import History, Store
from ztopd.history.ring import Ring
from ztopd.history.series import Curves
from ztopd.server.latest import Latest
from ztopd.server.published import Published
from ztopd.server.seen import SeenSegments
from ztopd.server.turns import Turns


@dataclass(frozen=True, slots=True)
class Settings:
    """What the sampler tells the server at its start."""

    interval_ns: int
    sampler_pid: int
    group_gid: int | None = None
    """Members of this group see everything,"""
    group: str | None = None
    """which is called so; None where there is none."""
    proc: str = "/proc"
    wish_fd: int | None = None
    """A byte written here, and the sampler reads for a few seconds what is read on demand."""
    ring_frames: int = ring.FRAMES
    ring_size_bytes: int = ring.SIZE_BYTES
    command_lines: CommandLines = CommandLines.FULL
    """How much of them is remembered."""


@dataclass(slots=True)
class Statistics:
    """What ``status`` counts."""

    clients: int = 0
    subscriptions: int = 0
    dropped_deltas: int = 0
    protocol_violations: int = 0


class Follower(Protocol):
    """Who is told of every frame, and of what comes between two."""

    def frame_arrived(self) -> None: ...

    def between_arrived(self, between: Between) -> None: ...


@dataclass(slots=True)
class Hub:
    """The newest frames and those before, who follows them, and who waits for them."""

    settings: Settings
    store: Store | None = None
    start_time_ns: int = field(default_factory=time.time_ns)
    latest: Latest = field(default_factory=Latest)
    published: Published = field(init=False)
    statistics: Statistics = field(default_factory=Statistics)
    followers: set[Follower] = field(default_factory=set)
    threads_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One reading of threads at a time: they share the interpreter with everybody else."""
    threads_turns: Turns = field(default_factory=Turns)
    """And each user waits with one of them at a time."""
    history: History = field(init=False)
    seen_segments: SeenSegments = field(default_factory=SeenSegments)
    curves: Curves = field(default_factory=Curves)
    history_turns: Turns = field(default_factory=Turns)
    """One question about the past at a time for each user."""
    _has_frame: asyncio.Event = field(default_factory=asyncio.Event)
    _has_two_frames: asyncio.Event = field(default_factory=asyncio.Event)
    _wished: set[bytes] = field(default_factory=set)
    """What the sampler was told since the newest frame: a wish holds for longer than that."""

    def __post_init__(self) -> None:
        self.published = Published(self.latest)
        self.history = History(
            Ring(self.settings.interval_ns, self.settings.ring_frames, self.settings.ring_size_bytes),
            *(self.store, self.settings.command_lines),
        )

    def take(self, message: EncodedFrame) -> None:
        """Takes a message of the feed and tells the followers. Raises :exc:`ValueError` for a broken feed."""
        self.latest.take(self.history.take(message))
        self.published.forget()
        self._wished.clear()
        self._has_frame.set()
        if self.latest.previous is not None:
            self._has_two_frames.set()
        for follower in tuple(self.followers):
            follower.frame_arrived()

    def take_between(self, between: Between) -> None:
        """Hands on what was sampled after the newest frame. Raises :exc:`ValueError` for a broken feed."""
        if self.latest.newest is not None:
            for follower in tuple(self.followers):
                follower.between_arrived(between)

    def want_threads(self) -> None:
        """Tells the sampler that somebody follows the section ``threads``."""
        self._wish(WANTS_THREADS)

    def want_between(self) -> None:
        """Tells the sampler that somebody asks for what is sampled between two frames."""
        self._wish(WANTS_BETWEEN)

    def _wish(self, byte: bytes) -> None:
        # each byte wakes the sampler up: who subscribes all the time must not
        if byte not in self._wished:
            self._wished.add(byte)
            self.answer(byte)

    def answer(self, byte: bytes) -> None:
        """Tells the sampler something that may be lost among many such."""
        if self.settings.wish_fd is not None:
            try:
                os.write(self.settings.wish_fd, byte)
            except (BlockingIOError, BrokenPipeError):
                # as many bytes wait already as the pipe holds; or the feed's end will say that the sampler is gone
                pass

    async def newest(self, at_most_seconds: float, *, with_previous: bool = False) -> EncodedFrame | None:
        """The newest frame; waits for the first one, or for one before the newest. None: there is none yet."""
        event = self._has_two_frames if with_previous else self._has_frame
        if not event.is_set():
            try:
                await asyncio.wait_for(event.wait(), at_most_seconds)
            except TimeoutError:
                pass
        return self.latest.newest


def rss_bytes() -> int | None:
    """The resident memory of this process."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
