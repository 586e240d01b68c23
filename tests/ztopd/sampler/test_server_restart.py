"""The server process dies: another one serves the newest frame at once, however long the interval is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ztop_client import connect
from ztop_client.channel import DaemonUnreachable


def test_a_killed_server_is_back_before_the_next_tick(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    command = [sys.executable, "-P", "-m", "ztopd", "--socket", path, "--interval", "60", "--store", "off"]
    daemon = subprocess.Popen(command)
    try:
        before, server_pid = seen(path)
        time.sleep(0.5)
        before, _ = seen(path)
        os.kill(server_pid, signal.SIGKILL)
        after, new_pid = seen(path)
        assert (after, new_pid != server_pid) == (before, True)
    finally:
        daemon.terminate()
        assert daemon.wait(10) == 0


def seen(path: str) -> tuple[int, int]:
    """The number of the newest frame, and who serves it."""
    end = time.monotonic() + 15
    while True:
        try:
            with connect(path) as session:
                return session.snapshot(["host"]).seq, session.status()["server_pid"]
        except DaemonUnreachable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
