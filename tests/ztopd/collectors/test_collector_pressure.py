import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.schema import SourceState
from ztopd.collectors import pressure as module
from ztopd.collectors.pressure import Pressure, parse_pressure
from ztopd.collectors.source import ParseError, Roots, Sample, Withheld

RootsOf = Callable[[str], Roots]


@pytest.mark.parametrize(
    ("name", "resources"),
    [
        ("vm-6.18-2cpu", ["cpu", "memory", "io"]),
        ("server-5.10-192cpu", ["cpu", "memory", "io"]),
        ("laptop-6.8-hybrid", ["cpu", "memory", "io", "irq"]),
    ],
)
def test_a_row_for_each_resource(
    name: str, resources: list[str], roots_of: RootsOf, assert_follows_schema: Callable[[Sample], None]
) -> None:
    sample = Pressure(roots_of(name)).collect()
    assert_follows_schema(sample)
    assert list(sample.sections["pressure"]) == [(resource,) for resource in resources]
    assert sample.problem is None


def test_the_cells(roots_of: RootsOf) -> None:
    server = Pressure(roots_of("server-5.10-192cpu")).collect().sections["pressure"]
    assert server[("cpu",)] == ("cpu", 12.37, 11.9, 10.02, 812_345_678_901_000, None, None, None, None)
    assert server[("io",)] == (
        *("io", 3.51, 4.02, 3.97, 212_345_678_901_000),
        *(2.9, 3.11, 3.05, 181_234_567_890_000),
    )
    laptop = Pressure(roots_of("laptop-6.8-hybrid")).collect().sections["pressure"]
    assert laptop[("irq",)] == ("irq", None, None, None, None, 0.01, 0.02, 0.02, 31_234_567_000)


def test_a_kernel_without_it_says_so(roots_of: RootsOf) -> None:
    with pytest.raises(Withheld) as withheld:
        Pressure(roots_of("ancient-4.4")).collect()
    problem = withheld.value.problem
    assert problem.state is SourceState.ABSENT
    assert problem.reason == "this kernel has no pressure stall information (/proc/pressure is missing)"
    assert problem.fix is not None
    assert "psi=1" in problem.fix


@pytest.mark.parametrize(
    ("code", "reason", "fix"),
    [
        (errno.EOPNOTSUPP, "pressure stall information was turned off at boot", "boot with psi=1"),
        (errno.EACCES, "cannot read {folder}: Permission denied", None),
    ],
)
def test_a_refusal_says_why(
    code: int, reason: str, fix: str | None, roots_of: RootsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, at_most: int) -> bytes:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "read_record", refuse)
    roots = roots_of("laptop-6.8-hybrid")
    with pytest.raises(Withheld) as withheld:
        Pressure(roots).collect()
    problem = withheld.value.problem
    assert (problem.state, problem.fix) == (SourceState.ABSENT, fix)
    assert problem.reason == reason.format(folder=f"{roots.proc}/pressure")


def test_one_that_is_missing_leaves_the_others(tmp_path: Path, roots_of: RootsOf) -> None:
    shutil.copytree(Path(roots_of("laptop-6.8-hybrid").proc, "pressure"), tmp_path / "pressure")
    (tmp_path / "pressure/memory").unlink()
    sample = Pressure(Roots(str(tmp_path), "")).collect()
    assert list(sample.sections["pressure"]) == [("cpu",), ("io",), ("irq",)]
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    assert sample.problem.reason == f"cannot read {tmp_path}/pressure/memory: No such file or directory"


def test_the_error_names_file_and_line() -> None:
    good = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    with pytest.raises(ParseError, match=r"^/proc/pressure/io, line 2: "):
        parse_pressure("io", good + b"full avg10=0.00 total=0\n")


@pytest.mark.parametrize("total", [b"9" * 5000, b"9" * 21])
@pytest.mark.parametrize("average", [b"0.00", b"9" * 400 + b".00"])
def test_no_number_is_longer_than_the_kernels(total: bytes, average: bytes) -> None:
    with pytest.raises(ParseError, match=r"^/proc/pressure/io, line 1: "):
        parse_pressure("io", b"some avg10=%b avg60=0.00 avg300=0.00 total=%b\n" % (average, total))


@given(st.binary(max_size=100))
def test_any_bytes_give_a_row_or_a_parse_error(data: bytes) -> None:
    with suppress(ParseError):
        assert len(parse_pressure("cpu", data)) == 9
