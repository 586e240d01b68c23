"""One input at a time: what came of it, what it cost, and what is told of it."""

import hashlib
import resource
import signal
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

from tests.fuzz.target import Target

HANG_SECONDS = 20
"""So much CPU time and an input is given up."""
MOST_CRASHES = 20


class Hang(BaseException):
    """The input was given up."""


class TooMuch(Exception):
    """The input took more of something than it may."""


@dataclass(slots=True)
class Report:
    """What a run has found so far."""

    inputs: int = 0
    began: float = field(default_factory=time.monotonic)
    slowest_seconds: float = 0.0
    crashes: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """By where it happened: the input that was first, and what was raised."""

    def said(self, name: str) -> str:
        """The line for a person."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        return (
            f"{name:14} {self.inputs:10,} inputs {self.inputs / seconds:8,.0f}/s {len(self.crashes):3} crashes"
            f"   slowest {self.slowest_seconds * 1000:.0f} ms"
        )


class Watch:
    """Runs inputs of one target. Crashes of the same place count once; their inputs are saved in ``folder``."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self._folder = folder
        self.report = Report()
        signal.signal(signal.SIGPROF, _give_up)

    def run(self, data: bytes) -> None:
        """Runs an input, and notes what is wrong."""
        try:
            self.run_through(data)
        except (Exception, Hang) as error:
            self._note(data, error)
        self.report.inputs += 1

    def run_through(self, data: bytes) -> None:
        """Runs an input. Raises what is wrong."""
        target = self.target
        most_before = _most_resident_bytes()
        signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
        began = time.process_time()
        try:
            target.run(data)
        finally:
            seconds = time.process_time() - began
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.report.slowest_seconds = max(self.report.slowest_seconds, seconds)
            more_bytes = _most_resident_bytes() - most_before
        if seconds > target.seconds:
            raise TooMuch(f"it took {seconds:.1f} s of CPU time")
        if more_bytes > target.memory_bytes:
            raise TooMuch(f"it took {more_bytes >> 20} MiB more than any before it")

    def _note(self, data: bytes, error: BaseException) -> None:
        place = f"{type(error).__name__} {_place(error.__traceback__)}"
        if place in self.report.crashes or len(self.report.crashes) >= MOST_CRASHES:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self.target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        told = "".join(traceback.format_exception(error, limit=-8))
        self.report.crashes[place] = path, told
        print(f"{self.target.name}: CRASH at input {self.report.inputs:,}: {place}\n{told}", flush=True)
        print(f"  again: scripts/fuzz {self.target.name} --again {path}", flush=True)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise Hang(f"no end after {HANG_SECONDS} s of CPU time")


def _most_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _place(where: TracebackType | None) -> str:
    if where is None:
        return "?"
    last = traceback.extract_tb(where)[-1]
    return f"{'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"
