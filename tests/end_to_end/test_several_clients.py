"""Several clients of one daemon at once, of several users: who sees what, and for how long."""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest

from tests.end_to_end.real_daemon import (
    NOBODY,
    STRANGER,
    Daemon,
    DaemonAs,
    become,
    cells_of,
    frame_where,
    needs_root,
    pids,
    until,
)
from tests.ztop_client.terminal_driver import Driver
from ztop_client import Session
from ztop_protocol.connection import RemoteError, pack_request

_PR_SET_DUMPABLE = 4
"""include/uapi/linux/prctl.h"""
_CLONE_NEWUSER = 0x10000000
"""include/uapi/linux/sched.h"""
OWNER_SECTIONS = {"process_io", "process_executables"}


def test_two_screens_and_a_script_at_once(daemon: Daemon) -> None:
    screen = [sys.executable, "-P", "-m", "ztop_client", "--socket", str(daemon.path), "-p", f"{os.getpid()},1"]
    batch = [sys.executable, "-P", "-m", "ztop_client", "-b", "--json", "-n", "4", "-d", "0.2"]
    with Driver(screen) as first, Driver(screen, 120, 40) as second, daemon.session() as session:
        first.wait(f"{os.getpid()} ")
        second.wait(f"{os.getpid()} ")
        done = subprocess.run([*batch, "--socket", str(daemon.path)], capture_output=True, timeout=30)
        assert session.status()["subscriptions"] == 2
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["seq"] - lines[0]["seq"] for line in lines] == [0, 1, 2, 3]
        drawn = len(first.output), len(second.output)
        first.wait(lambda: len(first.output) > drawn[0])
        second.wait(lambda: len(second.output) > drawn[1])
        for driver in (first, second):
            driver.send("q")
            assert driver.ended() == 0
        until(lambda: session.status()["subscriptions"] == 0, "the screens are forgotten")


@pytest.fixture
def spawn() -> Iterator[Callable[..., int]]:
    """Forks processes that run a function and then wait to be killed; gives their pids."""
    made: list[int] = []

    def run(function: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                function()
                time.sleep(60)
            finally:
                os._exit(1)
        made.append(pid)
        return pid

    yield run
    for pid in made:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@needs_root
class TestAnotherUser:
    @pytest.fixture
    def stranger(self, daemon: Daemon) -> Iterator[Session]:
        with Session(DaemonAs(daemon.path, STRANGER)) as session:
            yield session

    @pytest.fixture
    def root(self, daemon: Daemon) -> Iterator[Session]:
        with daemon.session() as session:
            yield session

    def test_it_sees_its_own_rows_of_owner_sections_only(
        self, root: Session, stranger: Session, spawn: Callable[..., int]
    ) -> None:
        def sleep_as_a_stranger() -> None:
            become(STRANGER)
            os.execv("/bin/sleep", ["sleep", "60"])

        own = spawn(sleep_as_a_stranger)
        frame = frame_where(stranger, lambda frame: own in pids(frame, "process_io"))
        sees = {"all": False, "owner_rows_of_uid": STRANGER, "because": "owner", "group": None}
        assert stranger.hello()["sees"] == sees
        for section in OWNER_SECTIONS:
            assert pids(frame, section) == pids(stranger.snapshot(), section) == {own}
            assert pids(root.snapshot(), section) >= {own, os.getpid()}
        assert pids(frame, "processes") >= {own, os.getpid()}
        (mine,) = stranger.top(filter={"pid": own})
        assert mine["io_logical_read_bytes"] is not None
        assert mine["exe"] == os.path.realpath("/bin/sleep")
        for row in stranger.top(limit=1000):
            assert row["pid"] == own or row["io_logical_read_bytes"] is row["exe"] is None
        # a filter is no way to ask what may not be seen
        assert stranger.top(filter={"exe": os.path.realpath(sys.executable)}) == []
        assert root.top(filter={"exe": os.path.realpath(sys.executable)}) != []

    def test_nobody_owns_nothing(self, daemon: Daemon, root: Session, spawn: Callable[..., int]) -> None:
        def sleep_as_nobody() -> None:
            become(NOBODY)
            os.execv("/bin/sleep", ["sleep", "60"])

        own = spawn(sleep_as_nobody)
        frame_where(root, lambda frame: own in pids(frame, "process_io"))
        with Session(DaemonAs(daemon.path, NOBODY)) as nobody:
            sees = {"all": False, "owner_rows_of_uid": None, "because": "nobody", "group": None}
            assert nobody.hello()["sees"] == sees
            snapshot = nobody.snapshot()
            assert not OWNER_SECTIONS & set(snapshot.sections)
            assert own in pids(snapshot, "processes")
            assert {"host", "cpus", "memory", "sources"} <= set(snapshot.sections)
            assert all(row["exe"] is row["io_read_bytes"] is None for row in nobody.top(limit=1000))

    def test_a_program_that_becomes_anothers_is_given_to_that_one(
        self, root: Session, stranger: Session, spawn: Callable[..., int]
    ) -> None:
        go, gone = os.pipe()

        def root_then_stranger() -> None:
            os.read(go, 1)
            become(STRANGER)
            os.execv("/bin/sleep", ["sleep", "60"])

        pid = spawn(root_then_stranger)
        frame_where(root, lambda frame: pid in pids(frame, "process_io"))
        assert pid not in pids(stranger.snapshot(), "process_io")
        os.write(gone, b"x")
        frame = frame_where(stranger, lambda frame: pid in pids(frame, "process_io"))
        uids = (STRANGER, STRANGER, STRANGER)
        assert cells_of(frame, pid, "uid", "effective_uid", "owner_uid", "comm") == (*uids, "sleep")
        os.close(go)
        os.close(gone)

    @pytest.mark.parametrize("way", ["exec", "prctl"])
    def test_what_becomes_secret_is_withdrawn(
        self, root: Session, stranger: Session, spawn: Callable[..., int], folder: Path, way: str
    ) -> None:
        """By the exec of a setuid program, or by PR_SET_DUMPABLE: the very next delta takes the rows back."""
        setuid_sleep = folder / "setuid-sleep"
        shutil.copy(os.path.realpath("/bin/sleep"), setuid_sleep)
        setuid_sleep.chmod(0o4755)
        if os.statvfs(folder).f_flag & os.ST_NOSUID:
            pytest.skip(f"{folder} is mounted nosuid")
        go, gone = os.pipe()
        set_dumpable = prctl_set_dumpable()

        def stranger_then_root() -> None:
            become(STRANGER)
            # a process that changed its uid is not dumpable until it execs
            set_dumpable(1)
            os.read(go, 1)
            if way == "exec":
                os.execv(setuid_sleep, ["sleep", "60"])
            set_dumpable(0)

        pid = spawn(stranger_then_root)
        frames = stranger.frames()
        rows = [pid in pids(next(frames), "process_io") for _ in range(3)]
        while not rows[-1]:
            rows.append(pid in pids(next(frames), "process_io"))
        os.write(gone, b"x")
        until(lambda: os.stat(f"/proc/{pid}/stat").st_uid == 0, "it is root's")
        changed_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        while (frame := next(frames)).boottime_ns < changed_ns:
            pass
        for section in OWNER_SECTIONS:
            assert pid not in pids(frame, section)
        uids = (STRANGER, 0 if way == "exec" else STRANGER, 0)
        assert cells_of(frame, pid, "uid", "effective_uid", "owner_uid") == uids
        for section in OWNER_SECTIONS:
            assert pid not in pids(stranger.snapshot(), section)
            assert pid in pids(root.snapshot(), section)
        for pipe_end in (go, gone):
            os.close(pipe_end)

    def test_a_user_namespace_makes_nobody_root(
        self, daemon: Daemon, root: Session, stranger: Session, spawn: Callable[..., int]
    ) -> None:
        """Who is root in a namespace of its own is here who made it, with its processes and with what it may see."""
        namespace = ("unshare", "--user", "--map-root-user")
        done = subprocess.run(
            [*namespace, "true"], capture_output=True, text=True, user=STRANGER, group=STRANGER, extra_groups=[]
        )
        if done.returncode:
            pytest.skip(f"no user namespace may be made here: {done.stderr.strip()}")

        def sleep_as_its_root() -> None:
            become(STRANGER)
            os.execvp("unshare", [*namespace, "sleep", "60"])

        pid = spawn(sleep_as_its_root)
        frame = frame_where(stranger, lambda frame: cells_of(frame, pid, "comm") == ("sleep",))
        assert cells_of(frame, pid, "uid", "owner_uid") == (STRANGER, STRANGER)
        frame_where(stranger, lambda frame: pid in pids(frame, "process_io"))
        answers, answered = os.pipe()
        unshare_user = prepared_unshare_user()

        def ask_as_its_root() -> None:
            become(STRANGER)
            unshare_user(STRANGER)
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(daemon.path))
            connection.sendall(pack_request(1, "hello", None))
            os.write(answered, bytes([os.geteuid()]) + connection.recv(1 << 16))

        spawn(ask_as_its_root)
        said = os.read(answers, 1 << 16)
        answer = msgpack.unpackb(said[1:])[3]
        assert (said[0], answer["uid"], answer["sees"]["because"]) == (0, STRANGER, "owner")
        for pipe_end in (answers, answered):
            os.close(pipe_end)

    def test_the_threads_of_others_are_public(self, stranger: Session) -> None:
        assert stranger.threads(os.getpid())
        with pytest.raises(RemoteError, match="process 4194304 does not exist"):
            stranger.threads(1 << 22)


def prctl_set_dumpable() -> Callable[[int], None]:
    """prctl(PR_SET_DUMPABLE, n), with everything found before a fork."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(value: int) -> None:
        if libc.prctl(_PR_SET_DUMPABLE, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")

    return call


def prepared_unshare_user() -> Callable[[int], None]:
    """Makes that user, who calls it, root of a user namespace; with everything found before a fork."""
    libc, set_dumpable = ctypes.CDLL(None, use_errno=True), prctl_set_dumpable()

    def call(uid: int) -> None:
        # or its own files in /proc are root's
        set_dumpable(1)
        if libc.unshare(_CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")

    return call
