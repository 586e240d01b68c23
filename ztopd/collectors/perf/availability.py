"""Why nothing, or less than there could be, is counted: in words, with what a person can do about it."""

import errno
import os
from dataclasses import dataclass

from ztop_protocol.schema import SourceState
from ztopd.collectors.files import read_if_there, read_int
from ztopd.collectors.perf.pmus import is_virtual_machine
from ztopd.collectors.perf.probe import REFUSALS
from ztopd.collectors.source import Problem, Roots

PARANOID = "sys/kernel/perf_event_paranoid"
"""Below /proc."""

_CAP_SYS_ADMIN, _CAP_PERFMON = 21, 38
_OWN_PROCESSES, _KERNEL_MODE = 2, 1
"""The highest levels at which one's own processes may be counted without any capability: at all, and in kernel mode."""

_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_MORE_DESCRIPTORS = "raise LimitNOFILE of the unit, or ulimit -n"
_PERSISTENT = "systemd/60-ztop-counters.conf in /etc/sysctl.d keeps it"


@dataclass(frozen=True, slots=True)
class Rights:
    """What the kernel goes by."""

    paranoid: int | None
    """None: the kernel does not tell."""
    has_perfmon: bool
    is_administrator: bool
    is_filtered: bool
    """Whether a filter of system calls (seccomp) is in force."""


def read_rights(roots: Roots) -> Rights:
    """Ours."""
    status = read_if_there(f"{roots.proc}/self/status") or b""
    fields = dict(line.split(b":", 1) for line in status.split(b"\n") if b":" in line)
    try:
        effective = int(fields.get(b"CapEff", b"0"), 16)
        is_filtered = int(fields.get(b"Seccomp", b"0")) == 2
    except ValueError:
        effective, is_filtered = 0, False
    is_administrator = bool(effective >> _CAP_SYS_ADMIN & 1)
    has_perfmon = is_administrator or bool(effective >> _CAP_PERFMON & 1)
    return Rights(read_int(f"{roots.proc}/{PARANOID}"), has_perfmon, is_administrator, is_filtered)


def why_not(error: OSError, roots: Roots, rights: Rights) -> Problem:
    """Why not a single event can be counted, by what the kernel says to the first one."""
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    if error.errno in REFUSALS:
        return _refused(error.errno == errno.EPERM, name, roots, rights)
    if error.errno == errno.ENOSYS:
        return Problem(
            SourceState.ABSENT,
            "this kernel has no perf_event_open, or a container's filter hides it (ENOSYS)",
            "a kernel with CONFIG_PERF_EVENTS on x86_64, aarch64 or riscv64",
        )
    if error.errno in _NO_DESCRIPTORS:
        return Problem(SourceState.DEGRADED, f"no descriptors are left ({name})", _MORE_DESCRIPTORS)
    if error.errno == errno.EBUSY:
        return Problem(
            SourceState.DEGRADED,
            "another program has the PMU for itself (EBUSY)",
            "end the other profiler, or whatever else holds the counters",
        )
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL, errno.ENXIO):
        where = "this virtual machine has no PMU" if is_virtual_machine(roots) else "the kernel has no PMU here"
        return Problem(
            SourceState.ABSENT,
            f"{where} ({name}), so there is nothing to count cycles and instructions with",
            "in a virtual machine: let the hypervisor provide a virtual PMU (qemu: -cpu host,pmu=on)",
        )
    return Problem(SourceState.DEGRADED, f"perf_event_open fails: {error.strerror} ({name})")


def _refused(by_filter: bool, name: str, roots: Roots, rights: Rights) -> Problem:
    level = rights.paranoid
    if level is not None and level > _OWN_PROCESSES and not rights.is_administrator and not by_filter:
        return Problem(
            SourceState.ABSENT,
            f"{roots.proc}/{PARANOID} is {level}: at 3 (Debian) and 4 (Ubuntu) the kernel refuses everyone without "
            f"CAP_SYS_ADMIN, even with CAP_PERFMON ({name}); it takes 2 or less",
            f"sysctl -w kernel.perf_event_paranoid=2 as root; {_PERSISTENT}",
        )
    filtered = "a filter of system calls (seccomp) is in force: " if rights.is_filtered else ""
    return Problem(
        SourceState.ABSENT,
        f"{filtered}perf_event_open is refused ({name}), as in a container, or by a security module",
        "in a container: --cap-add PERFMON (docker's and podman's filter then lets it through); "
        "in a unit: SystemCallFilter=perf_event_open",
    )


def user_mode_alone(roots: Roots, rights: Rights) -> Problem:
    """Kernel mode is not counted."""
    level = "not readable" if rights.paranoid is None else str(rights.paranoid)
    return Problem(
        SourceState.DEGRADED,
        f"user mode alone is counted, and no effective_hertz: {roots.proc}/{PARANOID} is {level}, "
        f"kernel mode takes {_KERNEL_MODE} or less, or CAP_PERFMON",
        "run ztopd as root or by its unit, or sysctl -w kernel.perf_event_paranoid=1 as root",
    )


def withheld(processes: int, rights: Rights) -> Problem:
    """Of so many processes the kernel refuses the counters."""
    if rights.has_perfmon:
        reason = f"the kernel refuses the counters of {processes} processes even with CAP_PERFMON (other namespaces?)"
        return Problem(SourceState.DEGRADED, reason)
    return Problem(
        SourceState.DEGRADED,
        f"the counters of {processes} processes of other users, or that may not be dumped, are withheld "
        "(it takes CAP_PERFMON)",
        "run ztopd as root, or by its unit, to see them",
    )


def few_descriptors(left_out: int, limit: int) -> Problem:
    """So many processes have no counters because all descriptors are in use."""
    return Problem(
        SourceState.DEGRADED,
        f"{left_out} busy processes are left out: {limit} descriptors for counters do not suffice",
        _MORE_DESCRIPTORS,
    )


def not_in_time(waiting: int) -> Problem:
    """So many processes wait long for theirs, because each tick opens only a few."""
    return Problem(SourceState.DEGRADED, f"{waiting} busy processes still wait for counters: each tick attaches a few")


def failing(processes: int, error: OSError) -> Problem:
    """Counters of so many processes cannot be opened or read, for a reason that is none of the usual ones."""
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    return Problem(
        SourceState.DEGRADED,
        f"the counters of {processes} processes fail: {os.strerror(error.errno or 0)} ({name})",
        _MORE_DESCRIPTORS if error.errno in _NO_DESCRIPTORS else None,
    )


def one_kind_of_cores(pmus: tuple[str, ...]) -> Problem:
    """There are several kinds of cores, and the kernel does not let each be counted by itself."""
    return Problem(
        SourceState.DEGRADED,
        f"of {', '.join(pmus)} this kernel counts one kind of cores alone: what runs on others is not measured, "
        "and counters_share_percent says so",
        "Linux 6.6 or newer, on Arm",
    )


def lacking(events: tuple[str, ...]) -> Problem:
    """The machine has not all events; those it has are counted."""
    return Problem(SourceState.OK, f"this machine does not count {', '.join(events)}")


def stand_ins() -> Problem:
    """Software events are counted in the place of the PMU's."""
    return Problem(
        SourceState.DEGRADED,
        "page faults, context switches and clocks stand in for the PMU's events: for tests",
        'counters = "hardware" in ztopd.toml',
    )


def switched_off() -> Problem:
    """A person wants none."""
    return Problem(SourceState.ABSENT, "switched off", 'counters = "hardware" in ztopd.toml')


def foreign_pids() -> Problem:
    """The pids under /proc are not those by which the kernel knows them to us."""
    return Problem(
        SourceState.ABSENT,
        "the pids under --proc are of another pid namespace or machine, and perf_event_open takes those of our own",
        "run ztopd on the host, or in its pid namespace (docker: --pid host)",
    )


def together(problems: list[Problem]) -> Problem | None:
    """All of them as one: the worst state, every reason, and what can be done about the first that has a fix."""
    if not problems:
        return None
    states = [problem.state for problem in problems]
    state = SourceState.DEGRADED if SourceState.DEGRADED in states else SourceState.OK
    fixes = [problem.fix for problem in problems if problem.fix is not None]
    return Problem(state, "; ".join(problem.reason for problem in problems), fixes[0] if fixes else None)
