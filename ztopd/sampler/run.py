"""ztopd's main loop: ticks on time, the server kept alive, a clean end."""

import logging
import math
import os
import resource
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Protocol

from ztop_protocol.frame import Frame, Section
from ztopd.collectors.host import read_boot_id
from ztopd.collectors.perf.events import Counting
from ztopd.collectors.source import Collector, Roots
from ztopd.configuration import MEBIBYTE, GpuConfiguration, HistoryConfiguration
from ztopd.confinement import missing_here
from ztopd.feed import TAKEN, WANTS_BETWEEN, WANTS_THREADS
from ztopd.history.state import StoreState, problem_of
from ztopd.notify import Notifier
from ztopd.sampler.clocks import read_clocks
from ztopd.sampler.collectors import Collectors, make_collectors
from ztopd.sampler.halfway import Halfway
from ztopd.sampler.pipe import FeedPipe
from ztopd.sampler.reader import Reader
from ztopd.sampler.tick import Sampler
from ztopd.store_path import store_directory

_log = logging.getLogger(__name__)

SECOND_SAMPLE_S = 0.25
"""The second frame follows the first one after this long, so that the first rates are there soon."""
OTHER_DESCRIPTORS = 128
"""Kept free of the collectors' descriptors, for everything else."""
SERVER_BACKOFF_S = (0.1, 5.0)
STOP_S = 3.0
DAY_NS = 86_400 * 10**9


class Settings(Protocol):
    """What the loop needs of the configuration."""

    @property
    def interval_seconds(self) -> float: ...
    @property
    def group(self) -> str | None: ...
    @property
    def history(self) -> HistoryConfiguration: ...
    @property
    def counters(self) -> Counting: ...
    @property
    def gpu(self) -> GpuConfiguration: ...
    @property
    def roots(self) -> Roots: ...


_STORE_STATES = {ord(state.value): state for state in StoreState}


def raise_descriptor_limit() -> int:
    """Raises the soft limit of open files to the hard one; returns how many the collectors may keep."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:
            # a hard limit over fs.nr_open, which was lowered since
            _log.warning("the limit of open files stays at %d: %s", soft, error)
        # what the kernel made of it, not what we asked for
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(0, soft - OTHER_DESCRIPTORS)


class _Server:
    """The server process and the pipe to it; started again when it dies, sooner the longer it lived."""

    def __init__(
        self, settings: Settings, store: str | None, listening: socket.socket | None, private_fd: int | None
    ) -> None:
        self._settings = settings
        self._store = store
        # frames are numbered from 1 in every run: the store tells the runs apart by this
        self._run = secrets.token_hex(8)
        self._listening = listening
        self._private_fd = private_fd
        self._child: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._backoff = SERVER_BACKOFF_S[0]
        self._not_before = 0.0
        self.pipe: FeedPipe | None = None
        self.wishes_fd: int | None = None
        """A byte that comes here: a frame was taken, somebody wants all threads, or how the store is."""
        self.pidfd: int | None = None
        self._newest: Frame | None = None
        """What a server that is started anew gets at once."""
        self.is_over = False
        """A private server that ended: its client is gone, or it will start a new ztopd."""

    def start_if_due(self, now: float) -> None:
        if self._child is not None or now < self._not_before or self.is_over:
            return
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        self.wishes_fd, wish_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        client_fd = self._private_fd if self._listening is None else self._listening.fileno()
        assert client_fd is not None
        command = [
            *(sys.executable, "-P", "-m", "ztopd.server", "--feed-fd", str(read_end)),
            *("--wish-fd", str(wish_fd)),
            *("--private-fd" if self._listening is None else "--listen-fd", str(client_fd)),
            *("--interval-ns", str(round(self._settings.interval_seconds * 1e9)), "--sampler-pid", str(os.getpid())),
            *("--proc", self._settings.roots.proc),
            *(("--group", self._settings.group) if self._settings.group else ()),
            *self._history_options(),
        ]
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(read_end, wish_fd, client_fd), close_fds=True
            )
        except OSError as error:
            os.close(write_end)
            self._forget()
            self._is_not_there(f"cannot be started ({error.strerror})", now)
            return
        finally:
            os.close(read_end)
            os.close(wish_fd)
        if self._private_fd is not None:
            # held open here it would keep the client from noticing that the server died
            os.close(self._private_fd)
            self._private_fd = None
        self.pidfd = os.pidfd_open(self._child.pid)
        self.pipe = FeedPipe(write_end)
        self._started = now
        if self._newest is not None:
            self.offer(self._newest)

    def _history_options(self) -> list[str]:
        history = self._settings.history
        ring = ["--ring-frames", str(history.ring_frames), "--ring-bytes", str(history.ring_mebibytes * MEBIBYTE)]
        options = [*ring, "--command-lines", str(history.command_lines)]
        if self._store is not None:
            options += ["--store", self._store, "--run", self._run]
            options += ["--store-bytes", str(history.size_mebibytes * MEBIBYTE)]
            options += ["--store-age-ns", str(round(history.age_days * DAY_NS))]
        return options

    @property
    def start_due(self) -> float:
        """When it is to be started; never where it runs."""
        return self._not_before if self._child is None else math.inf

    @property
    def left_out(self) -> tuple[str, ...]:
        """The sections that the newest frame was sent without."""
        return () if self.pipe is None else self.pipe.left_out

    def offer(self, frame: Frame) -> None:
        """Sends the frame, if there is a server."""
        self._newest = frame
        if self.pipe is not None:
            try:
                self.pipe.offer(frame)
            except BrokenPipeError:
                self.ended(time.monotonic())

    def offer_between(self, sections: Mapping[str, Section]) -> None:
        """Sends what was sampled since the last frame, if there is a server that has taken all before."""
        if self.pipe is not None:
            clocks = read_clocks()
            try:
                self.pipe.offer_between(clocks.time_ns, clocks.boottime_ns, sections)
            except BrokenPipeError:
                self.ended(time.monotonic())

    def flush(self) -> None:
        """Sends what waits, as far as it goes."""
        if self.pipe is not None:
            try:
                self.pipe.flush()
            except BrokenPipeError:
                self.ended(time.monotonic())

    def ended(self, now: float) -> None:
        """The child died, or its pipe broke."""
        child = self._forget()
        if child is None:
            return
        child.kill()
        status = child.wait()
        if now - self._started > 10 * SERVER_BACKOFF_S[1]:
            self._backoff = SERVER_BACKOFF_S[0]
        self._is_not_there(f"ended with status {status}", now)

    def _is_not_there(self, why: str, now: float) -> None:
        if self._listening is None:
            self.is_over = True
            return
        _log.warning("the server process %s; it is started again in %g s", why, self._backoff)
        self._not_before = now + self._backoff
        self._backoff = min(2 * self._backoff, SERVER_BACKOFF_S[1])

    def stop(self) -> None:
        """Closes the pipe, which ends the server, and waits for that."""
        child = self._forget()
        if child is None:
            return
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _forget(self) -> "subprocess.Popen[bytes] | None":
        child, self._child = self._child, None
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None
        for descriptor in (self.pidfd, self.wishes_fd):
            if descriptor is not None:
                os.close(descriptor)
        self.pidfd = self.wishes_fd = None
        return child


class _Clock:
    """When the ticks are due: at once, a moment later, then at every interval. What is missed is skipped."""

    def __init__(self, interval_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._first = True
        self.due = now

    def advance(self, now: float) -> int:
        """Sets the next tick after one that ended ``now``; returns how many were missed."""
        if self._first:
            self._first = False
            self.due += min(SECOND_SAMPLE_S, self._interval_s)
            return 0
        self.due += self._interval_s
        missed = 0 if now < self.due else int((now - self.due) / self._interval_s) + 1
        self.due += missed * self._interval_s
        return missed


def run(
    settings: Settings,
    listening: socket.socket | None,
    private_fd: int | None,
    may_start_over: Callable[[], str | None] = lambda: "it has none",
) -> bool:
    """Measures and serves until SIGTERM, SIGINT, or until the private client is gone, and returns False.

    On SIGHUP ``may_start_over`` says why the configuration, as it is now, is not to be taken over; None: it is, and
    True is returned at once.
    """
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _wake)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    # a pipe whose reader died is an error that we look at, not a death
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    roots = settings.roots
    reader = Reader(roots.proc)
    # a private daemon lives as long as its client
    store = None if listening is None else store_directory(settings.history.store, os.environ)
    server = _Server(settings, store, listening, private_fd)
    server.start_if_due(time.monotonic())
    descriptors = raise_descriptor_limit()
    collectors = make_collectors(roots, reader, descriptors, settings.counters, settings.gpu)
    boot_id = read_boot_id(roots)
    sampler = Sampler(collectors.every, reader, boot_id, take_warnings=collectors.gpus.take_warnings)
    sampler.note_store(problem_of(StoreState.OFF if store is None else StoreState.OK))
    what = f"a frame every {settings.interval_seconds:g} s"
    # a private daemon is no service, though its client may run in one
    notifier = Notifier({} if listening is None else os.environ, settings.interval_seconds, what)
    if notifier.is_service:
        sampler.note_service(missing_here(descriptors + OTHER_DESCRIPTORS))
    try:
        return _loop(settings, sampler, server, collectors, wake_read, notifier, may_start_over)
    finally:
        server.stop()
        reader.close()


def _wake(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor does the work: a handler must only be there."""


def _loop(
    settings: Settings,
    sampler: Sampler,
    server: _Server,
    collectors: Collectors,
    wake_read: int,
    notifier: Notifier,
    may_start_over: Callable[[], str | None],
) -> bool:
    clock = _Clock(settings.interval_seconds, time.monotonic())
    halfway = Halfway(settings.interval_seconds, settings.gpu.interval_ms / 1000)
    between_ns = 0
    while not server.is_over:
        now = time.monotonic()
        server.start_if_due(now)
        if now >= clock.due:
            _tick(sampler, server, between_ns)
            between_ns = 0
            if missed := clock.advance(time.monotonic()):
                sampler.skip(missed)
            halfway.ticked(time.monotonic(), clock.due)
            continue
        if now >= halfway.due:
            if halfway.passed(now):
                between_ns = _between(sampler, server, collectors.gpus)
            continue
        poll = select.poll()
        poll.register(wake_read, select.POLLIN)
        for watched in (server.pidfd, server.wishes_fd):
            if watched is not None:
                poll.register(watched, select.POLLIN)
        if server.pipe is not None and server.pipe.has_waiting_bytes:
            poll.register(server.pipe.descriptor, select.POLLOUT)
        for descriptor, _ in poll.poll(max(0.0, min(clock.due, halfway.due, server.start_due) - now) * 1000 + 1):
            if descriptor == wake_read:
                numbers = os.read(wake_read, 64)
                if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                    notifier.stopping()
                    return False
                if signal.SIGHUP in numbers:
                    notifier.reloading()
                    why_not = may_start_over()
                    if why_not is None:
                        return True
                    notifier.kept(why_not)
            elif descriptor == server.wishes_fd:
                if told := os.read(descriptor, 64):
                    _hear(told, settings, sampler, collectors, halfway)
                    if ord(TAKEN) in told:
                        notifier.alive()
                else:
                    server.ended(time.monotonic())
            elif descriptor == server.pidfd:
                server.ended(time.monotonic())
            elif server.pipe is not None and descriptor == server.pipe.descriptor:
                server.flush()
    return False


def _hear(told: bytes, settings: Settings, sampler: Sampler, collectors: Collectors, halfway: Halfway) -> None:
    """What the server said, a byte each: nothing that it could say does harm."""
    for byte in told:
        if byte == ord(WANTS_THREADS):
            collectors.threads.want(round(settings.interval_seconds * 1e9))
        elif byte == ord(WANTS_BETWEEN):
            halfway.want(time.monotonic())
        elif (state := _STORE_STATES.get(byte)) is not None:
            sampler.note_store(problem_of(state))


def _between(sampler: Sampler, server: _Server, gpus: Collector) -> int:
    """Returns the CPU time that it took."""
    started = time.thread_time_ns()
    if sections := sampler.between(gpus):
        server.offer_between(sections)
    return time.thread_time_ns() - started


def _tick(sampler: Sampler, server: _Server, between_ns: int) -> None:
    started = time.thread_time_ns() - between_ns
    frame = sampler.sample()
    server.offer(frame)
    sampler.note_left_out(server.left_out)
    sampler.note_cost(time.thread_time_ns() - started)
