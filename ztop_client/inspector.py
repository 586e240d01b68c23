"""Runs inspections in children, so that one that blocks never holds up the screen."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import urwid

from ztop_client.actions import Target
from ztop_client.inspection import Block, Part, blocks_of, request

DEADLINE_SECONDS = 1.0
_LATE = "the kernel did not answer within a second: the process holds its memory map; press r to try again"
Done = Callable[[Sequence[Block]], None]


@dataclass(slots=True)
class _Errand:
    process: subprocess.Popen[bytes]
    done: Done
    watch: Any = None
    alarm: Any = None
    answer: bytearray = field(default_factory=bytearray)


class Inspector:
    """Asks for parts of processes; the answers come through the event loop."""

    def __init__(self, loop: urwid.MainLoop) -> None:
        self._loop = loop
        self._killed: list[subprocess.Popen[bytes]] = []

    def ask(self, target: Target, part: Part, done: Done) -> None:
        """``done`` is called with what was found, within about :data:`DEADLINE_SECONDS`."""
        # a child that the kernel holds up ends when it is let go
        self._killed = [process for process in self._killed if process.poll() is None]
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ztop_client.inspection", request(target, part)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            done([Block("", reason=f"a process to read it with cannot be started: {error.strerror}")])
            return
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        errand = _Errand(process, done)
        errand.watch = self._loop.event_loop.watch_file(process.stdout.fileno(), lambda: self._readable(errand))
        errand.alarm = self._loop.set_alarm_in(DEADLINE_SECONDS, lambda _loop, _data: self._late(errand))

    def _readable(self, errand: _Errand) -> None:
        assert errand.process.stdout is not None
        data = os.read(errand.process.stdout.fileno(), 1 << 16)
        if data:
            errand.answer += data
            return
        self._end(errand)
        errand.process.wait()
        try:
            errand.done(blocks_of(bytes(errand.answer)))
        except ValueError:
            errand.done([Block("", reason=f"the process that reads it ended with status {errand.process.returncode}")])

    def _late(self, errand: _Errand) -> None:
        self._end(errand)
        errand.process.kill()
        self._killed.append(errand.process)
        errand.done([Block("", reason=_LATE)])

    def _end(self, errand: _Errand) -> None:
        assert errand.process.stdout is not None
        self._loop.event_loop.remove_watch_file(errand.watch)
        self._loop.remove_alarm(errand.alarm)
        errand.process.stdout.close()
