"""What is done to a process, with the user's own rights, and only to the very process that was on the screen.

A pid is not an identity: it may be taken over between two frames. So the process is first held by a pidfd, then
its start time, boot and pid namespace are compared with the row's, and only then the pidfd is signalled: whoever
has the pid by then is not hit.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ztop_protocol.frame import Cell, Frame, Key
from ztop_protocol.schema import PROCESSES

PROC = Path("/proc")
_NANOSECONDS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Refused(Exception):
    """Nothing was done. The message says why, in a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Target:
    """A process as a frame showed it."""

    pid: int
    start_boottime_ns: int
    name: str
    user: str
    effective_uid: Cell
    boot_id: str
    pid_namespace: Cell
    command_line: str | None
    elsewhere: str | None = None
    """Whose it is, where it cannot be known that it is this machine's; see :class:`ztop_client.locate.Located`."""

    def __str__(self) -> str:
        return f"{self.pid} {self.name} ({self.user})"


def target(frame: Frame, key: Key, elsewhere: str | None = None) -> Target:
    """The process ``key`` of ``frame``. Raises :exc:`Refused` where the frame does not have it."""
    if key[1] is None:
        raise Refused(f"Process {key[0]} is known to its GPU alone: it cannot be told which process here it is.")
    row = frame.rows("processes").get(key)
    if row is None:
        raise Refused(f"Process {key[0]} is gone.")
    wanted = ("comm", "user", "effective_uid", "command_line")
    name, user, uid, command_line = (row[PROCESSES.position[column]] for column in wanted)
    return Target(
        *(int(key[0] or 0), int(key[1] or 0), str(name), str(uid if user is None else user), uid),
        *(frame.boot_id, frame.cell("host", "pid_namespace")),
        None if command_line is None else str(command_line),
        elsewhere,
    )


def send_signal(target: Target, signal_number: int, proc: Path = PROC) -> None:
    """Signals the process. Raises :exc:`Refused`."""
    with held(target, proc) as descriptor:
        try:
            signal.pidfd_send_signal(descriptor, signal_number)
        except ProcessLookupError:
            raise Refused(f"{target} has just ended.") from None
        except PermissionError:
            raise Refused(f"{target} belongs to somebody else: the kernel does not permit it.") from None
        except OSError as error:
            raise Refused(f"{target}: {error.strerror}.") from error


@contextmanager
def held(target: Target, proc: Path = PROC) -> Iterator[int]:
    """A pidfd of the very process. Raises :exc:`Refused` if it is not there, or not here."""
    _check_machine(target, proc)
    try:
        descriptor = os.pidfd_open(target.pid)
    except ProcessLookupError:
        raise Refused(f"{target} has ended.") from None
    except (OSError, OverflowError) as error:
        raise Refused(f"{target} cannot be held: {error}.") from error
    try:
        if _start_boottime_ns(target, proc) != target.start_boottime_ns:
            raise Refused(f"{target} has ended, and another process has its pid now.")
        yield descriptor
    finally:
        os.close(descriptor)


def check_still(target: Target, descriptor: int) -> None:
    """After something was done by number: the process held is there still, so the number was nobody else's.

    Raises :exc:`Refused`.
    """
    try:
        signal.pidfd_send_signal(descriptor, 0)
    except ProcessLookupError:
        raise Refused(f"{target} ended meanwhile.") from None
    except PermissionError:
        pass


def check_here(target: Target) -> None:
    """Refuses what may be elsewhere: a machine that is a copy of this one in mid-run has its boot id and its pids.

    Raises :exc:`Refused`.
    """
    if target.elsewhere is not None:
        raise Refused(f"{target} {target.elsewhere}: from here it can be watched, and nothing more.")


def _check_machine(target: Target, proc: Path) -> None:
    check_here(target)
    try:
        boot_id = (proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = os.stat(proc / "self/ns/pid").st_ino
    except OSError as error:
        raise Refused(f"This machine cannot be told from another: {error}.") from error
    if boot_id != target.boot_id:
        raise Refused(f"{target} is of another machine, or of a time before this boot.")
    if target.pid_namespace is None or int(target.pid_namespace) != namespace:
        raise Refused(f"{target} is of another pid namespace: its number means another process here.")


def _start_boottime_ns(target: Target, proc: Path) -> int:
    folder = proc / str(target.pid)
    try:
        size, _, _, text, *_ = (folder / "statm").read_bytes().split()
        if text == b"0" != size:
            # its stat is given when the exec is done, and on a dead file server that is never
            raise Refused(f"{target} is between two programs: it cannot be looked at until its exec is done.")
        stat = (folder / "stat").read_bytes()
    except OSError:
        raise Refused(f"{target} has ended.") from None
    # field 22; comm, the second, may hold anything, spaces and parentheses too
    return int(stat[stat.rindex(b")") + 2 :].split()[19]) * _NANOSECONDS_PER_TICK


_MEANINGS = {
    signal.SIGHUP: "terminal gone; daemons read their settings again",
    signal.SIGINT: "as Ctrl-C",
    signal.SIGQUIT: "end it, with a core dump",
    signal.SIGKILL: "end it at once: it cannot tidy up",
    signal.SIGTERM: "ask it to end",
    signal.SIGCONT: "let it go on",
    signal.SIGSTOP: "halt it until SIGCONT",
    signal.SIGTSTP: "as Ctrl-Z",
}
"""signal(7), in words."""


def signals() -> list[tuple[str, int, str]]:
    """Every signal's name, number and meaning ("" where it is up to the program), in the order of the numbers.

    Of the real-time ones the first and the last.
    """
    return [(entry.name, int(entry), _MEANINGS.get(entry, "")) for entry in sorted(signal.Signals)]
