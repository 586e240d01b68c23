"""Why not: every answer of the kernel in words, with what a person can do."""

import errno
from pathlib import Path

import pytest

from ztop_protocol.schema import SourceState
from ztopd.collectors.perf import availability
from ztopd.collectors.perf.availability import Rights, read_rights, why_not
from ztopd.collectors.source import Problem, Roots

USER = Rights(2, has_perfmon=False, is_administrator=False, is_filtered=False)
ROOTS = Roots("/nowhere/proc", "/nowhere/sys")


def said(number: int, rights: Rights = USER, roots: Roots = ROOTS) -> Problem:
    return why_not(OSError(number, "x"), roots, rights)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENXIO, errno.EINVAL])
def test_no_pmu(number: int, tmp_path: Path) -> None:
    problem = said(number)
    assert problem.state is SourceState.ABSENT
    assert problem.reason.startswith(f"the kernel has no PMU here ({errno.errorcode[number]})")
    (tmp_path / "cpuinfo").write_text("flags\t: fpu hypervisor\n")
    assert said(number, roots=Roots(str(tmp_path))).reason.startswith("this virtual machine has no PMU")
    assert "virtual PMU" in (problem.fix or "")


@pytest.mark.parametrize("level", [3, 4])
@pytest.mark.parametrize("has_perfmon", [True, False])
def test_levels_that_refuse_even_the_capability(level: int, has_perfmon: bool) -> None:
    problem = said(errno.EACCES, Rights(level, has_perfmon, is_administrator=False, is_filtered=False))
    assert problem.state is SourceState.ABSENT
    assert f"/nowhere/proc/sys/kernel/perf_event_paranoid is {level}:" in problem.reason
    assert "even with CAP_PERFMON" in problem.reason
    assert "2 or less" in problem.reason
    assert "sysctl -w kernel.perf_event_paranoid=2" in (problem.fix or "")


@pytest.mark.parametrize(
    ("number", "rights"),
    [
        (errno.EACCES, USER),
        (errno.EACCES, Rights(None, False, False, False)),
        (errno.EACCES, Rights(4, True, True, False)),
        (errno.EPERM, USER),
        # a filter says so whatever the level is
        (errno.EPERM, Rights(4, False, False, True)),
    ],
)
def test_a_container_or_a_security_module(number: int, rights: Rights) -> None:
    problem = said(number, rights)
    assert problem.state is SourceState.ABSENT
    assert f"perf_event_open is refused ({errno.errorcode[number]})" in problem.reason
    assert ("seccomp" in problem.reason) == rights.is_filtered
    assert "--cap-add PERFMON" in (problem.fix or "")


@pytest.mark.parametrize(
    ("number", "state", "word", "fix"),
    [
        (errno.ENOSYS, SourceState.ABSENT, "no perf_event_open", "CONFIG_PERF_EVENTS"),
        (errno.EMFILE, SourceState.DEGRADED, "no descriptors are left (EMFILE)", "LimitNOFILE"),
        (errno.ENFILE, SourceState.DEGRADED, "no descriptors are left (ENFILE)", "LimitNOFILE"),
        (errno.EBUSY, SourceState.DEGRADED, "another program has the PMU", "profiler"),
        (errno.ENOMEM, SourceState.DEGRADED, "perf_event_open fails: x (ENOMEM)", ""),
        (12345, SourceState.DEGRADED, "perf_event_open fails: x (12345)", ""),
    ],
)
def test_other_errors(number: int, state: SourceState, word: str, fix: str) -> None:
    problem = said(number)
    assert problem.state is state
    assert word in problem.reason
    assert fix in (problem.fix or "")


def test_user_mode_alone_says_what_kernel_mode_takes() -> None:
    problem = availability.user_mode_alone(ROOTS, USER)
    assert problem.state is SourceState.DEGRADED
    assert "/nowhere/proc/sys/kernel/perf_event_paranoid is 2" in problem.reason
    assert "takes 1 or less, or CAP_PERFMON" in problem.reason
    assert "not readable" in availability.user_mode_alone(ROOTS, Rights(None, False, False, False)).reason


def test_other_users_processes() -> None:
    assert "3 processes of other users" in availability.withheld(3, USER).reason
    assert "even with CAP_PERFMON" in availability.withheld(3, Rights(2, True, False, False)).reason


@pytest.mark.parametrize(
    ("status", "level", "expected"),
    [
        (b"Name:\tx\nCapEff:\t0000000000000000\nSeccomp:\t0\n", b"4\n", Rights(4, False, False, False)),
        (b"CapEff:\t0000004000000000\nSeccomp:\t2\n", b"-1\n", Rights(-1, True, False, True)),
        (b"CapEff:\t000001ffffffffff\n", b"2\n", Rights(2, True, True, False)),
        (b"CapEff:\tnonsense\n", b"nonsense", Rights(None, False, False, False)),
        (None, None, Rights(None, False, False, False)),
    ],
)
def test_rights(tmp_path: Path, status: bytes | None, level: bytes | None, expected: Rights) -> None:
    if status is not None and level is not None:
        (tmp_path / "self").mkdir()
        (tmp_path / "self/status").write_bytes(status)
        (tmp_path / "sys/kernel").mkdir(parents=True)
        (tmp_path / "sys/kernel/perf_event_paranoid").write_bytes(level)
    assert read_rights(Roots(str(tmp_path))) == expected


def test_several_at_once() -> None:
    fine, bad = Problem(SourceState.OK, "a"), Problem(SourceState.DEGRADED, "b", "do b")
    assert availability.together([]) is None
    assert availability.together([fine]) == fine
    assert availability.together([fine, bad]) == Problem(SourceState.DEGRADED, "a; b", "do b")
