"""What a service lacks of what its unit asks for."""

import pytest

from ztop_protocol.schema import SourceState
from ztopd.confinement import DESCRIPTORS, missing, missing_here

CONFINED = b"Name:\tztopd\nCapEff:\t0000004000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"


def test_nothing_is_missing() -> None:
    assert missing(CONFINED, DESCRIPTORS) is None
    # a drop-in gives more
    assert missing(CONFINED.replace(b"4000000000", b"4000080004"), DESCRIPTORS + 1) is None


@pytest.mark.parametrize(
    ("status", "descriptors", "words", "setting"),
    [
        (CONFINED.replace(b"4000000000", b"0000000000"), DESCRIPTORS, "CAP_PERFMON", "AmbientCapabilities="),
        (CONFINED.replace(b"CapEff", b"CapOther"), DESCRIPTORS, "CAP_PERFMON", "AmbientCapabilities="),
        (CONFINED.replace(b"NoNewPrivs:\t1", b"NoNewPrivs:\t0"), DESCRIPTORS, "no_new_privs", "NoNewPrivileges="),
        (CONFINED.replace(b"Seccomp:\t2", b"Seccomp:\t0"), DESCRIPTORS, "system calls", "SystemCallFilter="),
        (CONFINED, 1024, "1024 open files in place of 65536", "LimitNOFILE="),
    ],
)
def test_what_is_missing_is_said_with_its_setting(status: bytes, descriptors: int, words: str, setting: str) -> None:
    problem = missing(status, descriptors)
    assert problem is not None
    assert problem.state is SourceState.DEGRADED
    assert words in problem.reason
    assert ";" not in problem.reason
    assert problem.fix == f"see {setting} in: systemctl cat ztopd.service"


def test_all_of_it_at_once() -> None:
    problem = missing(b"", 0)
    assert problem is not None
    assert problem.reason.count(";") == 3
    assert problem.fix is not None
    assert problem.fix.count("=") == 4


def test_a_test_is_no_service() -> None:
    problem = missing_here(DESCRIPTORS)
    assert problem is None or "/proc/self/status" not in problem.reason
