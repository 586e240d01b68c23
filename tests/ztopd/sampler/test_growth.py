"""What runs for months must not grow."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_ticks_do_not_grow(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.ztopd.sampler.growth", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    size_early, size_late, descriptors_early, descriptors_late = map(int, done.stdout.split())
    assert size_late - size_early < 256 << 10
    assert descriptors_late <= descriptors_early
