"""The past of a real ztopd, by the command line alone."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import SECONDS, Daemon, until

LOOP_SECONDS = 1.0


def ztop(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-W", "error", "-m", "ztop_client", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


def test_a_busy_loop_that_is_gone_is_seen_where_it_was(daemon: Daemon) -> None:
    code = f"import time\nend = time.monotonic() + {LOOP_SECONDS}\nwhile time.monotonic() < end: pass"
    begun_ns = time.time_ns()
    with subprocess.Popen([sys.executable, "-c", code]) as loop:
        loop.wait()
    ended_ns = time.time_ns()
    at = f"@{(begun_ns + ended_ns) / 2e9:.3f}"

    def newest_ns() -> int:
        with daemon.session() as session:
            return session.snapshot(["host"]).time_ns

    until(lambda: newest_ns() > ended_ns + 10**9, "a frame after the end")
    done = ztop("-b", "--json", "--socket", daemon.path, "--at", at, "-p", loop.pid)
    assert done.returncode == 0, done.stderr
    (process,) = json.loads(done.stdout)["processes"]
    assert process["cpu_percent"] > 5
    assert json.loads(done.stdout)["time_ns"] < ended_ns
    assert "before what was asked for" in done.stderr
    # and it is gone
    now = ztop("-b", "--json", "--socket", daemon.path, "--at", "now", "-p", loop.pid)
    assert json.loads(now.stdout)["processes"] == []
    before = ztop("-b", "--socket", daemon.path, "--at", "-1h")
    assert (before.returncode, before.stdout) == (1, "")
    assert before.stderr.startswith("ztop: nothing is remembered of that time: the oldest frame is of ")


@pytest.mark.parametrize("options", [(), ("--filter", "python", "--limit", "5")])
def test_pages_of_a_recording_are_those_that_were_printed_live(
    daemon: Daemon, tmp_path: Path, options: tuple[str, ...]
) -> None:
    for attempt in range(10):
        path = tmp_path / f"{attempt}.ztop"
        live = ztop("-b", "--socket", daemon.path, "-d", "0.2", "-n", 8, "--record", path, *options)
        again = ztop("-b", "--replay", path, *options)
        assert (live.returncode, live.stderr) == (again.returncode, again.stderr) == (0, "")
        # what was printed late left a frame out, which the recording has
        if live.stdout.count("\nTasks ") == again.stdout.count("\nTasks ") == 8:
            break
    assert live.stdout == again.stdout
