"""The server process, as the sampler sees it: started, fed, and started again when it dies or hangs."""

import logging
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Protocol

from ztop_protocol.frame import Frame, Section
from ztopd.collectors.perf.events import Counting
from ztopd.collectors.source import Roots
from ztopd.configuration import MEBIBYTE, GpuConfiguration, HistoryConfiguration
from ztopd.sampler import own
from ztopd.sampler.clocks import read_clocks
from ztopd.sampler.pipe import FeedPipe

_log = logging.getLogger(__name__)

BACKOFF_S = (0.1, 5.0)
STOP_S = 3.0
KILLED_S = 1.0
"""So long is one that was killed waited for. What waits for a dead disk cannot be killed: no tick waits for that."""
HUNG_S, STARTING_S = 12.0, 60.0
"""A server that leaves frames unanswered for so long is started again: sooner than systemd's watchdog would end all of
us, and later while it has not answered at all yet."""
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
    def cpu_percent(self) -> float: ...
    @property
    def roots(self) -> Roots: ...


class Server:
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
        self._backoff = BACKOFF_S[0]
        self._not_before = 0.0
        self.pipe: FeedPipe | None = None
        self.wishes_fd: int | None = None
        """A byte that comes here: a frame was taken, somebody wants all threads, or how the store is."""
        self.pidfd: int | None = None
        self._unanswered = 0
        self._unanswered_since = 0.0
        self._waited_ns = 0
        """For a CPU, when it was known to be behind."""
        self._has_answered = False
        self._killed: list[subprocess.Popen[bytes]] = []
        """Those that are not gone all the same."""
        self._newest: Frame | None = None
        """What a server that is started anew gets at once."""
        self.is_over = False
        """A private server that ended: its client is gone, or it will start a new ztopd."""

    def start_if_due(self, now: float) -> None:
        self._killed = [child for child in self._killed if child.poll() is None]
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
        self._unanswered, self._has_answered = 0, False
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
    def pid(self) -> int | None:
        """The process's; None while there is none."""
        return None if self._child is None else self._child.pid

    @property
    def start_due(self) -> float:
        """When it is to be started; never where it runs."""
        return self._not_before if self._child is None else math.inf

    @property
    def left_out(self) -> tuple[str, ...]:
        """The sections that the newest frame was sent without."""
        return () if self.pipe is None else self.pipe.left_out

    @property
    def processes_left_out(self) -> int:
        """How many processes the newest frame had no room for."""
        return 0 if self.pipe is None else self.pipe.processes_left_out

    def offer(self, frame: Frame) -> None:
        """Sends the frame, if there is a server."""
        self._newest = frame
        if self.pipe is not None:
            if self._unanswered == 0:
                self._unanswered_since = time.monotonic()
            self._unanswered += 1
            if self._unanswered == 2:
                self._waited_ns = self._cpu_wait_ns()
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

    def answered(self) -> None:
        """It took what was sent."""
        self._unanswered, self._has_answered = 0, True

    def end_if_hung(self, now: float) -> None:
        """Kills one that answers no more, though it could: what it waited for a CPU does not count.

        A machine that stood still left one frame unanswered at most.
        """
        patience_s = HUNG_S if self._has_answered else STARTING_S
        unanswered_s = now - self._unanswered_since
        if self._child is None or self._unanswered <= 1 or unanswered_s < patience_s:
            return
        waited_s = (self._cpu_wait_ns() - self._waited_ns) / 1e9
        if unanswered_s - waited_s >= patience_s:
            _log.warning("the server process took no frame for %.0f s", unanswered_s)
            self.ended(now)

    def _cpu_wait_ns(self) -> int:
        return 0 if self._child is None else own.cpu_wait_ns(self._child.pid)

    def ended(self, now: float) -> None:
        """The child died, or its pipe broke."""
        child = self._forget()
        if child is None:
            return
        status = self._kill(child)
        if now - self._started > 10 * BACKOFF_S[1]:
            self._backoff = BACKOFF_S[0]
        hangs = "hangs in the kernel, and cannot be killed"
        self._is_not_there(hangs if status is None else f"ended with status {status}", now)

    def _kill(self, child: "subprocess.Popen[bytes]") -> int | None:
        """Its exit status; None of one that does not even end so."""
        child.kill()
        try:
            return child.wait(KILLED_S)
        except subprocess.TimeoutExpired:
            self._killed.append(child)
            return None

    def _is_not_there(self, why: str, now: float) -> None:
        if self._listening is None:
            self.is_over = True
            return
        _log.warning("the server process %s; it is started again in %g s", why, self._backoff)
        self._not_before = now + self._backoff
        self._backoff = min(2 * self._backoff, BACKOFF_S[1])

    def stop(self) -> None:
        """Closes the pipe, which ends the server, and waits for that."""
        child = self._forget()
        if child is not None:
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._kill(child)
        for killed in self._killed:
            if killed.poll() is None:
                _log.warning("the server process %d cannot be killed: it hangs in the kernel", killed.pid)
                # it is left to init
                killed.returncode = -signal.SIGKILL

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
