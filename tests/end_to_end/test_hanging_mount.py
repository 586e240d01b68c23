"""A file system that hangs: what asks for its size, and what is stuck on it, hold nobody else up."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end.hanging_mount import NAME, HangingMount, hanging_mount, needs_hanging_mount
from tests.end_to_end.real_daemon import SECONDS, Daemon, frame_where, pids, until
from tests.ztop_client.test_actions import target_of
from ztop_client import Session
from ztop_client.actions import Refused, send_signal
from ztop_client.inspection import Part, inspect
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Frame

pytestmark = needs_hanging_mount


@pytest.fixture
def mount(folder: Path) -> Iterator[HangingMount]:
    (folder / "mnt").mkdir()
    with hanging_mount(folder / "mnt") as mounted:
        yield mounted


@pytest.fixture
def daemon(start: Callable[..., Daemon], mount: HangingMount) -> Daemon:
    """It ends after the mount: until then its reader cannot."""
    return start(before=mount.enter)


@pytest.fixture
def stuck(mount: HangingMount) -> Iterator[Callable[[], int]]:
    """Starts processes that never get from one program to the next: what they close in between is on a dead server."""
    code = (
        "import os, sys\n"
        "os.open(sys.argv[1], os.O_RDWR | os.O_CLOEXEC)\n"
        "print(flush=True)\n"
        "os.execv('/bin/sleep', ['sleep', '600'])"
    )
    children: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        command = [*mount.enter, sys.executable, "-I", "-c", code, str(mount.folder / NAME)]
        children.append(child := subprocess.Popen(command, stdout=subprocess.PIPE))
        assert child.stdout is not None
        child.stdout.readline()
        until(lambda: is_between_programs(child.pid), "it is stuck")
        return child.pid

    yield start
    mount.let_go()
    for child in children:
        child.kill()
        child.communicate()


def is_between_programs(pid: int) -> bool:
    # its stat cannot be read without waiting for it
    return Path(f"/proc/{pid}/statm").read_bytes().split()[3] == b"0"


def reason(frame: Frame, source: str) -> str:
    return str(frame.cell("sources", "reason", (source,)))


def test_its_size_is_given_up_and_said(daemon: Daemon, mount: HangingMount) -> None:
    name = str(mount.folder)
    with daemon.session() as session:
        said = frame_where(session, lambda frame: "reads block" in reason(frame, "reader"))
        assert f"filesystem of '{name}'" in reason(said, "reader")
        assert said.cell("filesystems", "size_bytes", (name,)) is None
        # the others are asked for by another reader, while the first one cannot even be killed
        frame_where(session, lambda frame: frame.cell("filesystems", "size_bytes", ("/",)) is not None)
        silent = frame_where(session, lambda frame: name in reason(frame, "filesystems"))
        assert silent.cell("sources", "state", ("filesystems",)) == "degraded"
    daemon.process.terminate()
    assert daemon.process.wait(SECONDS) == 0, "it ends while its reader hangs"


def test_a_process_stuck_in_an_exec_stops_nobody(daemon: Daemon, stuck: Callable[[], int]) -> None:
    """Its stat cannot be read without waiting for it: ps and top stand still."""
    with daemon.session() as session:
        number = stuck()
        frame = frame_where(session, lambda frame: f"process {number}" in reason(frame, "processes"))
        assert os.getpid() in pids(frame, "processes")
        with pytest.raises(RemoteError, match="does not exist"):
            session.threads(number)
        assert later(session)
    # who would do something to it does not hang either
    me = target_of(os.getpid())
    send_signal(me, 0)
    with pytest.raises(Refused, match="between two programs"):
        send_signal(replace(me, pid=number), 0)
    for part in Part:
        (block,) = inspect(replace(me, pid=number), part)
        assert "between two programs" in str(block.reason)
    # one that finds it there when it starts
    command = [sys.executable, "-P", "-m", "ztopd", "--check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    (row,) = (row for row in json.loads(done.stdout) if row["source"] == "processes")
    assert f"an exec blocks in process {number}" in row["reason"]


def later(session: Session) -> Frame:
    """A frame that is made from now on, and the one after it."""
    seq = session.snapshot(["host"]).seq
    return frame_where(session, lambda frame: frame.seq > seq + 1)
