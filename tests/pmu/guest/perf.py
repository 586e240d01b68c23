"""Debian's perf(1), to compare with and to compete with."""

import os
import signal
import subprocess
from typing import Self


class PerfStat:
    """``perf stat -p PID``, counting since it was entered."""

    def __init__(self, pid: int, *events: str) -> None:
        self._pid = pid
        self._events = events

    def __enter__(self) -> Self:
        told, tells = os.pipe()
        hears, says = os.pipe()
        command = ["perf", "stat", "-x", ",", "-D", "-1", "--control", f"fd:{told},{says}"]
        command += [word for event in self._events for word in ("-e", event)]
        command += ["-p", str(self._pid)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=(told, says))
        for descriptor in (told, says):
            os.close(descriptor)
        # it starts disabled, and answers when it counts
        os.write(tells, b"enable\n")
        answer = os.read(hears, 64)
        for descriptor in (tells, hears):
            os.close(descriptor)
        assert answer.startswith(b"ack"), self.counts()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def counts(self) -> list[int]:
        """Ends it; returns what it counted of each event, in their order."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.stderr is not None
        with self._process.stderr as told_on:
            told = told_on.read()
        # perf-stat(1), CSV FORMAT: the count comes first, the event third
        rows = [line.split(",") for line in told.splitlines() if line.count(",") > 3]
        assert [row[2] for row in rows] == list(self._events), told
        return [int(row[0]) for row in rows]
