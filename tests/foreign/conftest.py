"""A real daemon on a socket of its own, for clients that have nothing of ours."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def daemon_socket() -> Iterator[str]:
    """The path of a daemon's socket, once it answers; a frame every 0.2 s."""
    with tempfile.TemporaryDirectory(prefix="ztop-") as folder:
        path = f"{folder}/ztopd.sock"
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protocol"}
        command = [sys.executable, "-P", "-m", "ztopd", "--socket", path, "--interval", "0.2", "--store", "off"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            _wait(path, process)
            yield path
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors


def _wait(path: str, process: "subprocess.Popen[str]") -> None:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(path)
                return
            except OSError:
                time.sleep(0.05)
    pytest.fail("the daemon does not listen")


@pytest.fixture
def oddly_named(tmp_path: Path) -> Iterator[int]:
    """The pid of a process whose name is no UTF-8: ``b"caf\\xe9-ztop"``."""
    sleep = shutil.which("sleep")
    if sleep is None:
        pytest.skip("there is no sleep(1)")
    program = os.fsencode(tmp_path) + b"/caf\xe9-ztop"
    # a copy: a program of many names goes by the name that it was called by
    shutil.copy(os.fsencode(os.path.realpath(sleep)), program)
    process = subprocess.Popen([b"sleep", b"60"], executable=program)
    try:
        # until two frames have it
        time.sleep(0.7)
        yield process.pid
    finally:
        process.kill()
        process.wait()
