"""ztopd's main loop: ticks on time, the server kept alive, a clean end."""

import logging
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

from ztop_protocol.garbage import collect_seldom
from ztopd.collectors.host import read_boot_id
from ztopd.collectors.source import Collector
from ztopd.confinement import missing_here
from ztopd.feed import TAKEN, WANTS_BETWEEN, WANTS_THREADS
from ztopd.history.state import StoreState, problem_of
from ztopd.notify import Notifier
from ztopd.sampler.bound import Bound, Spent
from ztopd.sampler.collectors import Collectors, make_collectors
from ztopd.sampler.halfway import Halfway
from ztopd.sampler.reader import Reader
from ztopd.sampler.server_child import Server, Settings
from ztopd.sampler.tick import Sampler
from ztopd.store_path import store_directory

_log = logging.getLogger(__name__)

SECOND_SAMPLE_S = 0.25
"""The second frame follows the first one after this long, so that the first rates are there soon."""
OTHER_DESCRIPTORS = 128
"""Kept free of the collectors' descriptors, for everything else."""


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


class _Clock:
    """When the ticks are due: at once, a moment later, then at every interval. What is missed is skipped."""

    def __init__(self, interval_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._first = True
        self.due = now

    def ticks_every(self, interval_s: float) -> None:
        """From the next :meth:`advance` on."""
        self._interval_s = interval_s

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
    server = Server(settings, store, listening, private_fd)
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
        return _loop(settings, sampler, reader, server, collectors, wake_read, notifier, may_start_over)
    finally:
        server.stop()
        reader.close()


def _wake(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor does the work: a handler must only be there."""


def _loop(
    settings: Settings,
    sampler: Sampler,
    reader: Reader,
    server: Server,
    collectors: Collectors,
    wake_read: int,
    notifier: Notifier,
    may_start_over: Callable[[], str | None],
) -> bool:
    clock = _Clock(settings.interval_seconds, time.monotonic())
    halfway = Halfway(settings.interval_seconds, settings.gpu.interval_ms / 1000)
    bound = Bound(settings.interval_seconds, settings.cpu_percent)
    sampler.note_interval(bound.interval_seconds, bound.problem())
    between_ns = 0
    # frames are thousands of tuples, and none in a cycle
    collect_seldom()
    while not server.is_over:
        now = time.monotonic()
        server.start_if_due(now)
        if now >= clock.due:
            _tick(sampler, server, between_ns)
            between_ns = 0
            spent = Spent(
                sampler.note_process("sampler", os.getpid()),
                sampler.note_process("reader", reader.pid),
                sampler.note_process("server", server.pid),
            )
            if bound.ticked(time.monotonic(), spent):
                sampler.note_interval(bound.interval_seconds, bound.problem())
                for one in (clock, halfway, notifier):
                    one.ticks_every(bound.interval_seconds)
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
                    _hear(told, bound.interval_seconds, sampler, collectors, halfway)
                    if ord(TAKEN) in told:
                        server.answered()
                        notifier.alive()
                else:
                    server.ended(time.monotonic())
            elif descriptor == server.pidfd:
                server.ended(time.monotonic())
            elif server.pipe is not None and descriptor == server.pipe.descriptor:
                server.flush()
        # after its answers were read: on a machine that stood still they wait in the pipe
        server.end_if_hung(time.monotonic())
    return False


def _hear(told: bytes, interval_s: float, sampler: Sampler, collectors: Collectors, halfway: Halfway) -> None:
    """What the server said, a byte each: nothing that it could say does harm."""
    for byte in told:
        if byte == ord(WANTS_THREADS):
            collectors.threads.want(round(interval_s * 1e9))
        elif byte == ord(WANTS_BETWEEN):
            halfway.want(time.monotonic())
        elif (state := _STORE_STATES.get(byte)) is not None:
            sampler.note_store(problem_of(state))


def _between(sampler: Sampler, server: Server, gpus: Collector) -> int:
    """Returns the CPU time that it took."""
    started = time.thread_time_ns()
    if sections := sampler.between(gpus):
        server.offer_between(sections)
    return time.thread_time_ns() - started


def _tick(sampler: Sampler, server: Server, between_ns: int) -> None:
    started, began_ns = time.thread_time_ns() - between_ns, time.monotonic_ns()
    frame = sampler.sample()
    server.offer(frame)
    sampler.note_left_out(server.left_out, server.processes_left_out)
    sampler.note_cost(time.thread_time_ns() - started, time.monotonic_ns() - began_ns)
