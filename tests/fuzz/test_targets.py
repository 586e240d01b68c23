"""A little of every target, always the same: so that targets never rot. scripts/fuzz tries more."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.engines import by_chance, until
from tests.fuzz.recording import forget
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import Watch

INPUTS = 100
"""The seeds, and so many made of them."""


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    forget()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_sample(target: Target, tmp_path: Path) -> None:
    # whoever has little of a machine has little of its time
    watch = Watch(replace(target, seconds=30.0), tmp_path)
    by_chance(target, watch, until(len(target.seeds()) + INPUTS, None, watch), seed=9)
    assert not watch.report.crashes, "\n".join(told for _, told in watch.report.crashes.values())
    assert watch.report.inputs >= INPUTS


def test_what_is_wrong_is_saved_and_can_be_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(data: bytes) -> None:
        if b"!" in data:
            raise LookupError(data)

    watch = Watch(Target("odd", "", lambda: [b"?"], run, lambda data, chosen: data + b"!"), tmp_path)
    by_chance(watch.target, watch, until(10, None, watch), seed=1)
    [(path, told)] = watch.report.crashes.values()
    assert watch.report.inputs == 10 and "LookupError" in told
    assert f"scripts/fuzz odd --again {path}" in capsys.readouterr().out
    with pytest.raises(LookupError):
        watch.run_through(path.read_bytes())


def test_what_takes_too_much_is_wrong(tmp_path: Path) -> None:
    kept: list[bytes] = []
    costly = Target("costly", "", list, lambda data: kept.append(b"x" * (200 << 20)), lambda data, chosen: data)
    watch = Watch(costly, tmp_path)
    watch.run(b"")
    assert "MiB" in next(iter(watch.report.crashes.values()))[1]


def test_the_program(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "tests.fuzz", "moment", "--inputs", "50", "--engine", "chance"]
    done = subprocess.run([*command, "--crashes", str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.split()[:3] == ["moment", "50", "inputs"] and " 0 crashes" in done.stdout
    done = subprocess.run([*command[:4], "nothing"], capture_output=True, text=True)
    assert done.returncode == 2 and "there is no target nothing" in done.stderr
