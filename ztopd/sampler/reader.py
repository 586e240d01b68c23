"""The parent's side of the reader child: asks, never waits long, kills what is stuck.

Questions are answered in order, so the oldest one without an answer is the one that blocks. When that lasts longer
than :data:`DEADLINE_S`, the child is killed and started anew, and that question is not asked again for a while, nor
while that child is there: what waits for a dead server may not even be killed, and nobody waits for its end.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import msgpack

from ztop_protocol.schema import SourceState
from ztopd.collectors.blocking import Answer, Argument, Question
from ztopd.collectors.source import Problem

DEADLINE_S = 2.0
STUCK_S = 300.0
"""A question that had the child killed is answered with "stuck" for this long."""
SETTLE_S = 0.1
CLOSE_S = 0.5
RESTART_S = 5.0
"""A child that went away by itself is started again no sooner than this."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stuck:
    """A question that is left alone."""

    until: float
    child: "subprocess.Popen[bytes] | None"
    """Who was killed over it."""

    def is_over(self, now: float) -> bool:
        return now >= self.until and (self.child is None or self.child.poll() is not None)


class Reader:
    """Implements :class:`ztopd.collectors.blocking.BlockingReader` with a process of its own."""

    def __init__(self, proc: str = "/proc") -> None:
        self._command = [sys.executable, "-P", "-m", "ztopd.sampler.reader_child", proc]
        self._child: subprocess.Popen[bytes] | None = None
        self._unpacker = msgpack.Unpacker()
        self._asked: deque[tuple[Question, Argument]] = deque()
        self._pending: set[tuple[Question, Argument]] = set()
        self._to_write = bytearray()
        self._answers: dict[Question, dict[Argument, Answer]] = {question: {} for question in Question}
        self._progress = time.monotonic()
        self._stuck: dict[tuple[Question, Argument], _Stuck] = {}
        self._killed: list[subprocess.Popen[bytes]] = []
        self._not_before = 0.0

    def ask(self, question: Question, argument: Argument) -> None:
        asked = (question, argument)
        if asked in self._pending:
            return
        stuck = self._stuck.get(asked)
        if stuck is not None and not stuck.is_over(time.monotonic()):
            return
        self._stuck.pop(asked, None)
        if not self._asked:
            self._progress = time.monotonic()
        self._pending.add(asked)
        self._asked.append(asked)
        self._to_write += msgpack.packb((str(question), argument))

    def take(self, question: Question) -> Mapping[Argument, Answer]:
        self._pump(0)
        taken, self._answers[question] = self._answers[question], {}
        return taken

    def settle(self) -> None:
        end = time.monotonic() + SETTLE_S
        while self._asked:
            now = time.monotonic()
            if now >= end or now - self._progress > SETTLE_S or now < self._not_before:
                return
            self._pump(end - now)

    def problem(self) -> Problem | None:
        now = time.monotonic()
        self._killed = [child for child in self._killed if child.poll() is None]
        self._stuck = {asked: stuck for asked, stuck in self._stuck.items() if not stuck.is_over(now)}
        stuck = list(self._stuck)
        if not stuck:
            return None
        return Problem(
            SourceState.DEGRADED,
            f"{len(stuck)} reads block and are left alone for a while: "
            + ", ".join(f"{question} of {_said(argument)}" for question, argument in stuck[:3]),
            "see whether a process hangs in the kernel (state D) or a network file system's server is gone",
        )

    @property
    def pid(self) -> int | None:
        """The child's; None while there is none."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """Ends the child, and waits for that a moment."""
        self._stop_child()
        deadline = time.monotonic() + CLOSE_S
        for child in self._killed:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("the reader child %d cannot be killed: it hangs in the kernel", child.pid)
                # it is left to init
                child.returncode = -signal.SIGKILL

    def _pump(self, seconds: float) -> None:
        """Moves what can be moved, for at most ``seconds``; kills a child that is stuck."""
        if not self._asked and not self._to_write:
            return
        if self._child is None and time.monotonic() < self._not_before:
            return
        try:
            child = self._child or self._start_child()
        except OSError as error:
            self._not_before = time.monotonic() + RESTART_S
            _log.warning("the reader child cannot be started (%s); it is tried again", error.strerror)
            return
        assert child.stdin is not None and child.stdout is not None
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        if self._to_write:
            poll.register(child.stdin, select.POLLOUT)
        for descriptor, _ in poll.poll(seconds * 1000):
            try:
                if descriptor == child.stdin.fileno():
                    del self._to_write[: os.write(descriptor, self._to_write)]
                elif data := os.read(descriptor, 1 << 20):
                    self._read(data)
                else:
                    raise BrokenPipeError("it ended")
            except BlockingIOError:
                continue
            except OSError as error:
                _log.warning("the reader child went away (%s); a new one will be started", error)
                self._not_before = time.monotonic() + RESTART_S
                self._restart(None)
                return
        if self._asked and time.monotonic() - self._progress > DEADLINE_S:
            self._restart(self._asked[0])

    def _read(self, data: bytes) -> None:
        self._unpacker.feed(data)
        for name, argument, content, reason, boottime_ns in self._unpacker:
            question = Question(name)
            self._asked.popleft()
            self._pending.discard((question, argument))
            self._answers[question][argument] = Answer(content, reason, boottime_ns)
        self._progress = time.monotonic()

    def _restart(self, culprit: tuple[Question, Argument] | None) -> None:
        child = self._stop_child()
        if culprit is not None:
            question, argument = culprit
            _log.warning("reading the %s of %s blocks; it is left alone for a while", question, _said(argument))
            self._stuck[culprit] = _Stuck(time.monotonic() + STUCK_S, child)
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._answers[question][argument] = Answer(None, "it blocks", now, is_late=True)
        again = [asked for asked in self._asked if asked != culprit]
        self._asked.clear()
        self._pending.clear()
        self._to_write.clear()
        for question, argument in again:
            self.ask(question, argument)

    def _start_child(self) -> subprocess.Popen[bytes]:
        self._child = child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, close_fds=True
        )
        assert child.stdin is not None and child.stdout is not None
        os.set_blocking(child.stdin.fileno(), False)
        os.set_blocking(child.stdout.fileno(), False)
        self._unpacker = msgpack.Unpacker()
        # a new process needs a moment before its first answer
        self._progress = time.monotonic() + 1
        return child

    def _stop_child(self) -> "subprocess.Popen[bytes] | None":
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            assert child.stdin is not None and child.stdout is not None
            child.stdin.close()
            child.stdout.close()
            self._killed.append(child)
        return child


def _said(argument: Argument) -> str:
    return repr(os.fsdecode(argument)) if isinstance(argument, bytes) else str(argument)
