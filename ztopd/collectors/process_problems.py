"""What ``sources`` says of the process table."""

import os

from ztop_protocol.schema import SourceState
from ztopd.collectors.source import Problem


def left_out(reason: str) -> Problem:
    """One process cannot be read; the others can."""
    return Problem(SourceState.DEGRADED, f"a process is left out: {reason}")


def few_descriptors(kept: int) -> Problem:
    """Files are opened anew at every tick."""
    return Problem(
        SourceState.DEGRADED,
        f"{kept} descriptors do not suffice for every process, so reading them costs more",
        "raise LimitNOFILE of the unit, or ulimit -n",
    )


def hidden_processes() -> Problem:
    """Other users' processes are not in /proc, or may not be read."""
    return Problem(
        SourceState.DEGRADED,
        "/proc does not show every process (it is mounted with hidepid, or ProtectProc is set in the unit)",
        "run ztopd as root, or in the group that /proc is mounted with (gid=)",
    )


def withheld_io(refused: int, readable: int) -> Problem | None:
    """Of so many processes the kernel withholds ``io``; None where there is nothing to say."""
    if refused:
        state = SourceState.DEGRADED if readable else SourceState.ABSENT
        if os.geteuid() == 0:
            return Problem(state, f"the kernel refuses the I/O of {refused} processes even to root (other namespaces?)")
        return Problem(
            state,
            f"the I/O of {refused} processes of other users is withheld "
            "(it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)",
            "run ztopd as root, or as a service with systemd/ztopd-all-io.conf, to see it",
        )
    if not readable:
        return Problem(SourceState.ABSENT, "this kernel counts no I/O per process (CONFIG_TASK_IO_ACCOUNTING)")
    return None
