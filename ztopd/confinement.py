"""Whether the service has what its unit asks for: systemd starts it with less and says nothing."""

from ztop_protocol.schema import SourceState
from ztopd.collectors.source import Problem

CAP_PERFMON = 38
"""include/uapi/linux/capability.h"""
DESCRIPTORS = 65_536
"""LimitNOFILE= of the unit; more than the kernel's fs.nr_open, or the manager's own limit, is cut down silently."""
_SECCOMP_FILTER = 2
"""A filter of system calls: Seccomp of proc_pid_status(5)."""


def missing(status: bytes, descriptors: int) -> Problem | None:
    """What is not as in systemd/ztopd.service.

    Args:
        status: the sampler's own /proc/self/status.
        descriptors: its soft limit of open files.
    """
    fields = dict(line.split(b":", 1) for line in status.splitlines() if b":" in line)

    def number(name: bytes, base: int = 10) -> int | None:
        try:
            return int(fields[name], base)
        except (KeyError, ValueError):
            return None  # a kernel without it

    capabilities = number(b"CapEff", 16)
    found = []
    if capabilities is None or not capabilities >> CAP_PERFMON & 1:
        found.append(("CAP_PERFMON is not held: no counters of other users' processes", "AmbientCapabilities="))
    if number(b"NoNewPrivs") != 1:
        found.append(("no_new_privs is not set", "NoNewPrivileges="))
    if number(b"Seccomp") != _SECCOMP_FILTER:
        found.append(("no filter of system calls", "SystemCallFilter="))
    if descriptors < DESCRIPTORS:
        found.append((f"{descriptors} open files in place of {DESCRIPTORS}", "LimitNOFILE="))
    if not found:
        return None
    settings = ", ".join(setting for _, setting in found)
    return Problem(
        SourceState.DEGRADED,
        "; ".join(reason for reason, _ in found),
        f"see {settings} in: systemctl cat ztopd.service",
    )


def missing_here(descriptors: int) -> Problem | None:
    """The same of this process."""
    try:
        with open("/proc/self/status", "rb") as status:
            return missing(status.read(), descriptors)
    except OSError as error:
        return Problem(SourceState.DEGRADED, f"/proc/self/status: {error.strerror}")
