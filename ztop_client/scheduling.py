"""How the kernel schedules a process: nice value, I/O priority, CPU affinity, with the user's own rights.

For the kernel these are properties of threads: a change is made to every thread of the process. The system calls
take numbers, so the number is checked to mean the very process before and after each change.
"""

import os
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from ztop_client.actions import PROC, Refused, Target, check_still, held

NICE_RANGE = (-20, 19)


class IoClass(IntEnum):
    """The classes of ioprio_set(2)."""

    NONE = 0
    """As the nice value says."""
    REALTIME = 1
    BEST_EFFORT = 2
    IDLE = 3


@dataclass(frozen=True, slots=True)
class IoPriority:
    """A class and, where it has levels, one from 0 (the first to be served) to 7."""

    io_class: IoClass
    level: int = 0

    def __str__(self) -> str:
        match self.io_class:
            case IoClass.NONE:
                return "as the nice value says"
            case IoClass.IDLE:
                return "idle"
            case _:
                return f"{'realtime' if self.io_class is IoClass.REALTIME else 'best effort'} {self.level}"


IO_PRIORITIES: tuple[IoPriority, ...] = (
    IoPriority(IoClass.NONE),
    IoPriority(IoClass.IDLE),
    *(IoPriority(IoClass.BEST_EFFORT, level) for level in range(7, -1, -1)),
    *(IoPriority(IoClass.REALTIME, level) for level in range(7, -1, -1)),
)
"""What can be chosen, from the last to be served to the first."""


def change_nice(target: Target, change: int, proc: Path = PROC) -> int:
    """Adds to the nice value of every thread; gives the process's. Raises :exc:`Refused`."""
    lowest, highest = NICE_RANGE

    def apply(tid: int) -> None:
        now = os.getpriority(os.PRIO_PROCESS, tid)
        os.setpriority(os.PRIO_PROCESS, tid, max(lowest, min(now + change, highest)))

    with _held_by_number(target, proc):
        _for_every_thread(target, proc, apply, "only root may make a nice value smaller")
        return os.getpriority(os.PRIO_PROCESS, target.pid)


def io_priority(target: Target, proc: Path = PROC) -> IoPriority:
    """The I/O priority of the process's main thread. Raises :exc:`Refused`."""
    import psutil

    with _held_by_number(target, proc):
        try:
            io_class, level = psutil.Process(target.pid).ionice()
            return IoPriority(IoClass(io_class), level)
        except (psutil.Error, OSError, ValueError) as error:
            raise Refused(f"The I/O priority of {target} is not known: {error}.") from error


def set_io_priority(target: Target, priority: IoPriority, proc: Path = PROC) -> None:
    """Changes the I/O priority of every thread. Raises :exc:`Refused`."""
    # imported where it is needed: it takes its time
    import psutil

    def apply(tid: int) -> None:
        try:
            level = None if priority.io_class in (IoClass.NONE, IoClass.IDLE) else priority.level
            psutil.Process(tid).ionice(priority.io_class, level)
        except psutil.NoSuchProcess:
            raise ProcessLookupError from None
        except psutil.AccessDenied:
            raise PermissionError from None

    with _held_by_number(target, proc):
        _for_every_thread(target, proc, apply, "only root may ask for realtime I/O")


def affinity(target: Target, proc: Path = PROC) -> frozenset[int]:
    """The CPUs that the process's main thread may run on. Raises :exc:`Refused`."""
    with _held_by_number(target, proc):
        try:
            return frozenset(os.sched_getaffinity(target.pid))
        except OSError as error:
            raise Refused(f"The CPUs of {target} are not known: {error.strerror}.") from error


def set_affinity(target: Target, cpus: Set[int], proc: Path = PROC) -> None:
    """Lets every thread run on ``cpus`` only. Raises :exc:`Refused`."""
    with _held_by_number(target, proc):
        _for_every_thread(target, proc, lambda tid: os.sched_setaffinity(tid, cpus), "the kernel does not permit it")


@contextmanager
def _held_by_number(target: Target, proc: Path) -> Iterator[None]:
    """Around system calls that take a pid. Raises :exc:`Refused`, also where it ended meanwhile."""
    with held(target, proc) as descriptor:
        yield
        check_still(target, descriptor)


def _for_every_thread(target: Target, proc: Path, apply: Callable[[int], None], own_reason: str) -> None:
    """Applies a change to all threads. ``own_reason`` is why one's own process may be refused."""
    try:
        folder = proc / str(target.pid)
        owner = folder.stat().st_uid
        tids = sorted(int(name) for name in os.listdir(folder / "task"))
    except OSError:
        raise Refused(f"{target} has ended.") from None
    for tid in tids:
        try:
            apply(tid)
        except ProcessLookupError:
            if tid == target.pid:
                raise Refused(f"{target} has ended.") from None
        except PermissionError:
            if owner == os.geteuid():
                raise Refused(f"{target}: {own_reason}.") from None
            raise Refused(f"{target} is not yours: only its user and root may do that.") from None
        except OSError as error:
            raise Refused(f"{target}: {error.strerror}.") from error
