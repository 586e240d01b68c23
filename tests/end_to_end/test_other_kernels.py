"""Kernels and containers that show less: hidepid, no PSI, no I/O accounting, another pid namespace."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import STRANGER, Daemon, DaemonAs, frame_where, needs_root, pids
from ztop_client import Session
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Row
from ztop_protocol.schema import PROCESSES

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
ZTOPD = (sys.executable, "-P", "-m", "ztopd")


@functools.cache
def refusal(script: str = ":") -> str | None:
    """Why a script cannot run in a pid and a mount namespace of its own; None where it can."""
    if shutil.which("unshare") is None:
        return "there is no unshare(1)"
    done = subprocess.run([*NAMESPACES, "sh", "-ec", script], capture_output=True, text=True)
    return done.stderr.strip() or "unshare fails" if done.returncode else None


def namespaces(script: str = ":") -> tuple[str, ...]:
    """What is put before a command to run it there, after a script. Skips where the kernel or the container refuses."""
    if why := refusal(script):
        pytest.skip(f"no namespaces here: {why}")
    return (*NAMESPACES, "sh", "-ec", f'{script}; exec "$@"', "sh")


@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv(1)")
def test_with_hidepid_a_client_sees_its_own_processes_only(start: Callable[..., Daemon]) -> None:
    refused = refusal("mount -o remount,hidepid=2 /proc")
    if refused:
        pytest.skip(f"/proc cannot be mounted with hidepid here: {refused}")
    as_stranger = f"setpriv --reuid {STRANGER} --regid {STRANGER} --clear-groups"
    script = f"mount -o remount,hidepid=2 /proc; {as_stranger} sleep 61 & sleep 62 &"
    before = (*NAMESPACES, "sh", "-ec", f'{script} exec "$@"', "sh")
    daemon = start(before=before)
    with daemon.session() as root, Session(DaemonAs(daemon.path, STRANGER)) as stranger:
        lines = {"sleep 61", "sleep 62"}
        frame = frame_where(root, lambda frame: lines <= commands(frame.rows("processes").values()))
        assert pids(frame, "processes") >= {1}
        assert root.hello()["hidepid"] == 2
        assert stranger.hello()["sections"]["processes"] == "owner"
        # from a subscription, a snapshot and top alike
        frame = frame_where(stranger, lambda frame: "sleep 61" in commands(frame.rows("processes").values()))
        for one in (frame, stranger.snapshot()):
            assert commands(one.rows("processes").values()) == {"sleep 61"}
            assert pids(one, "process_executables") == pids(one, "process_io") == pids(one, "processes")
        (own,) = stranger.top(limit=1000, columns=["command_line"])
        assert own["command_line"] == "sleep 61"
        assert stranger.threads(int(str(own["pid"])))
        with pytest.raises(RemoteError, match="process 1 does not exist"):
            stranger.threads(1)
        assert root.threads(1)
        assert {"host", "cpus", "memory"} <= set(frame.sections)


def commands(rows: Iterable[Row]) -> set[str]:
    """The command lines of processes, those of ztopd left out."""
    found = {str(row[PROCESSES.position["command_line"]]) for row in rows}
    return {line for line in found if "ztopd" not in line}


@needs_root
def test_check_in_another_pid_namespace() -> None:
    done = subprocess.run([*namespaces(), *ZTOPD, "--check", "--json"], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    sources = {row["source"]: row for row in json.loads(done.stdout)}
    assert sources["processes"]["state"] == sources["host"]["state"] == sources["process_io"]["state"] == "ok"


@needs_root
def test_batch_in_another_pid_namespace(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "ztop_client", "-b", "--json", "-n", "2", "-d", "0.2"]
    environment = os.environ | {"XDG_RUNTIME_DIR": "", "ZTOP_SOCKET": ""}
    script = "if [ -d /run/ztopd ]; then mount -t tmpfs none /run; fi"
    done = subprocess.run([*namespaces(script), *command], capture_output=True, env=environment, timeout=30)
    assert done.stderr == b""
    for line in map(json.loads, done.stdout.splitlines()):
        processes = {one["pid"]: one for one in line["processes"]}
        assert 1 in processes and len(processes) < 10
        assert "ztop_client" in processes[1]["command_line"]
        # the namespace's own number, so that nobody takes these pids for those outside
        assert line["host"]["pid_namespace"] != os.stat("/proc/self/ns/pid").st_ino


@needs_root
def test_without_pressure_stall_information() -> None:
    if not os.path.isdir("/proc/pressure"):
        pytest.skip("this kernel has none anyway")
    before = namespaces("mount -t tmpfs none /proc/pressure")
    done = subprocess.run([*before, *ZTOPD, "--check", "--json"], capture_output=True, text=True, timeout=30)
    sources = {row["source"]: row for row in json.loads(done.stdout)}
    assert sources["pressure"]["state"] == "absent"
    assert sources["processes"]["state"] == sources["memory"]["state"] == "ok"


def test_without_io_accounting(start: Callable[..., Daemon], tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    shutil.copytree(FIXTURES / "laptop-6.8-hybrid", machine, symlinks=True)
    for file in machine.glob("proc/[0-9]*/io"):
        file.unlink()
    daemon = start("--proc", str(machine / "proc"), "--sys", str(machine / "sys"))
    with daemon.session() as session:
        snapshot = session.snapshot()
        assert snapshot.rows("processes")
        assert not snapshot.rows("process_io")
        key = ("process_io",)
        assert snapshot.cell("sources", "state", key) == "absent"
        assert re.search("counts no I/O per process", str(snapshot.cell("sources", "reason", key)))
        assert all(row["io_read_bytes"] is None for row in session.top(limit=1000))
        assert snapshot.cell("sources", "state", ("processes",)) == "ok"
