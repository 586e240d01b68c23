"""kill -9 of who stores, at random moments: nothing that is older than 2 s is lost."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.busy_loops import busy_loops
from tests.patience import KILLS
from tests.ztopd.history.storing import stored


def killed(directory: Path, times: int, longest_s: float) -> Iterator[float]:
    """Kills a program that stores frames, at random moments; gives how long before that the first lost one was made."""
    chosen = random.Random(3)
    for number in range(times):
        command = [sys.executable, "-m", "tests.ztopd.history.storing", str(directory), f"run {number}", "0.02"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        said = [child.stdout.readline()]
        time.sleep(chosen.uniform(0.0, longest_s))
        child.kill()
        at = time.monotonic()
        said += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        made_at = {int(seq): float(moment) for seq, moment in (line.split() for line in said if line.endswith("\n"))}
        kept = {frame.seq: frame for frame in stored(directory / "timeline.ztop")}
        assert min(made_at) == max((seq for seq in kept if seq < min(made_at)), default=0) + 1
        yield at - min((moment for seq, moment in made_at.items() if seq not in kept), default=at)


class TestKilled:
    def test_a_few_times(self, directory: Path) -> None:
        assert max(killed(directory, 3, 1.5)) < 2

    @pytest.mark.slow
    @pytest.mark.timeout(4 * KILLS + 300)
    def test_many_times(self, directory: Path) -> None:
        """With busy loops beside it."""
        with busy_loops():
            lost_s = list(killed(directory, KILLS, 0.5))
        assert len(lost_s) == KILLS
        print(f"\n{KILLS} kills, nothing older than {max(lost_s):.2f} s was lost")
        assert max(lost_s) < 2
