"""A process that runs known loops when it is told to, in the thread or the child that is wanted, and else sleeps."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Self

from tests.pmu.guest.known_loop import INSTRUCTIONS_PER_TURN, REQUEST, loop_function


class Where(IntEnum):
    """What is to be done with the count."""

    MAIN = 0
    """Run the loop in the main thread."""
    EARLY = 1
    """In a thread that is there from the beginning."""
    LATER = 2
    """In a thread that is started for it and ends with it."""
    FORK = 3
    """Fork: the child listens from now on; the answer has its pid as count."""
    END = 4
    """End; the parent, if it is a worker, listens again."""
    EXEC = 5
    """Exec the command in argv: the program of the known loop, which goes on as MAIN does."""


class Worker:
    """The other end: the process that tells it."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    @classmethod
    def python(cls, *then: str) -> Self:
        """One that can do all of it. ``then`` is the command that it becomes by EXEC."""
        return cls(sys.executable, "-P", "-m", __name__, *then)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, where: Where, count: int = 0) -> int:
        """Waits until it is done; returns the number in its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(REQUEST.pack(where, count))
        self._process.stdin.flush()
        answer = self._process.stdout.read(REQUEST.size)
        assert len(answer) == REQUEST.size, f"{self._process.args!r} ended"
        return int(REQUEST.unpack(answer)[1])

    def run(self, where: Where, instructions: int) -> None:
        """Runs a loop of so many instructions, and waits until it is done."""
        self.tell(where, instructions // INSTRUCTIONS_PER_TURN)


def _main(then: list[str]) -> None:
    loop = loop_function()
    counts: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_early, args=(loop, counts, done), daemon=True).start()
    while len(request := os.read(0, REQUEST.size)) == REQUEST.size:
        where, count = REQUEST.unpack(request)
        match Where(where):
            case Where.MAIN:
                loop(count)
            case Where.EARLY:
                counts.put(count)
                done.get()
            case Where.LATER:
                thread = threading.Thread(target=loop, args=(count,))
                thread.start()
                thread.join()
            case Where.FORK:
                if child := os.fork():
                    os.waitpid(child, 0)
                count = os.getpid()
            case Where.END:
                # the parent answers, so that it is known to be gone
                os._exit(0)
            case Where.EXEC:
                os.write(1, request)
                os.execvp(then[0], then)
        os.write(1, REQUEST.pack(where, count))


def _early(loop: Callable[[int], int], counts: "queue.SimpleQueue[int]", done: "queue.SimpleQueue[int]") -> None:
    while True:
        done.put(loop(counts.get()))


if __name__ == "__main__":
    _main(sys.argv[1:])
