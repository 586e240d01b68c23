"""A real ztopd with a store: what it remembers when it was killed, and what others may do to its directory."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.real_daemon import Daemon, cells_of, frame_where, until
from ztop_client import Session
from ztop_protocol.frame import Frame

Start = Callable[..., Daemon]
BUSY = "import time\nwhile time.process_time() < 0.6: pass\ntime.sleep(60)"


@pytest.fixture
def directory(folder: Path) -> str:
    return str(folder / "store")


def killed(daemon: Daemon) -> None:
    """Everything at once, as when the machine is switched off."""
    family = daemon.family()
    daemon.process.kill()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    daemon.errors()


def store_of(frame: Frame) -> tuple[object, object]:
    """How the store is, as the frame tells it."""
    return tuple(frame.cell("sources", name, ("store",)) for name in ("state", "reason"))  # type: ignore[return-value]


def used_cpu(frame: Frame, pid: int) -> float:
    """In seconds; 0 where it is not there."""
    return sum(int(str(cell or 0)) for cell in cells_of(frame, pid, "user_time_ns", "system_time_ns")) / 1e9


def later(session: Session, time_ns: int) -> Frame:
    return frame_where(session, lambda frame: frame.time_ns > time_ns)


def test_the_time_before_is_there_after_everything_was_killed(start: Start, directory: str) -> None:
    daemon = start("--store", directory)
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        with daemon.session() as session:
            seen = frame_where(session, lambda frame: used_cpu(frame, busy.pid) > 0.5)
        busy.kill()
    with daemon.session() as session:
        assert store_of(seen) == ("ok", None)
        gone = frame_where(session, lambda frame: used_cpu(frame, busy.pid) == 0)
        # what is two seconds old is on disk
        last = later(session, gone.time_ns + 2_500_000_000)
    killed(daemon)
    again = start("--store", directory)
    with again.session() as session:
        then = session.asof(seen.time_ns)
        assert then.age_ns == 0
        assert then.pair.current.seq == seen.seq
        assert then.pair.current.rows("processes") == seen.rows("processes")
        assert used_cpu(then.pair.current, busy.pid) == used_cpu(seen, busy.pid)
        assert session.asof(gone.time_ns).pair.current.seq == gone.seq
        now = session.snapshot()
        assert now.seq > gone.seq
        # between them nothing was watched
        assert session.asof(now.time_ns - 1).pair.current.seq >= last.seq - 15
        assert session.status()["store_oldest_time_ns"] <= seen.time_ns
        (first, *others) = session.frames(since=seen.time_ns, until=now.time_ns, sections=["host"])
        assert first.seq == seen.seq
        assert [frame.seq for frame in others] == sorted({frame.seq for frame in others})


def test_the_server_alone_is_killed(start: Start, directory: str) -> None:
    daemon = start("--store", directory)
    with daemon.session() as session:
        first = session.snapshot()
        later(session, first.time_ns + 2_500_000_000)
    server = daemon.server()
    assert server is not None
    server.kill()
    until(lambda: daemon.server() not in (None, server), "another server")
    with daemon.session() as session:
        then = session.asof(first.time_ns).pair.current
        assert (then.seq, then.rows("processes")) == (first.seq, first.rows("processes"))
        # numbers go on as if nothing had been
        assert first.seq < session.snapshot().seq < first.seq + 200
        assert store_of(session.snapshot()) == ("ok", None)


def test_all_of_it_is_there_after_a_clean_end(start: Start, directory: str) -> None:
    daemon = start("--store", directory)
    with daemon.session() as session:
        last = later(session, session.snapshot().time_ns + 400_000_000)
    daemon.stop()
    with start("--store", directory).session() as session:
        assert session.asof(last.time_ns).pair.current == last


def test_two_daemons(start: Start, directory: str) -> None:
    first, second = start("--store", directory), start("--store", directory)
    with first.session() as session:
        assert store_of(session.snapshot()) == ("ok", None)
    with second.session() as session:
        frame = frame_where(session, lambda frame: store_of(frame)[0] == "degraded")
        assert "another ztopd" in str(store_of(frame)[1])
        assert session.asof(frame.time_ns).pair.current.seq == frame.seq
    assert "another ztopd writes the store" in second.stop()


def test_a_directory_that_everyone_may_write(start: Start, directory: str) -> None:
    os.mkdir(directory)
    os.chmod(directory, 0o777)
    daemon = start("--store", directory)
    with daemon.session() as session:
        frame_where(session, lambda frame: store_of(frame)[0] == "degraded")
    assert os.listdir(directory) == []
    assert f"others may write to the directory {directory}" in daemon.stop()


def test_command_lines_are_not_remembered_where_they_must_not_be(start: Start, directory: str, folder: Path) -> None:
    (folder / "z.toml").write_text("[history]\ncommand_lines = 'name'\n")
    daemon = start("--store", directory, "--config", str(folder / "z.toml"))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "hunter2"]) as secret:
        with daemon.session() as session:
            live = frame_where(session, lambda frame: "hunter2" in str(cells_of(frame, secret.pid, "command_line")))
            then = session.asof(live.time_ns).pair.current
            assert then.seq == live.seq
            assert cells_of(then, secret.pid, "command_line") == (sys.executable,)
        secret.kill()
    daemon.stop()
    for name in os.listdir(directory):
        assert b"hunter2" not in (Path(directory) / name).read_bytes()


def test_without_a_store(start: Start) -> None:
    with start().session() as session:
        assert store_of(session.snapshot())[0] == "absent"
        assert session.status()["store_bytes"] is None


def test_check_says_where_it_would_be(folder: Path) -> None:
    def checked(*arguments: str) -> tuple[str, str]:
        command = [sys.executable, "-P", "-m", "ztopd", "--check", "--json", *arguments]
        environment = os.environ | {"STATE_DIRECTORY": str(folder / "state"), "XDG_STATE_HOME": "/nowhere"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        (row,) = (row for row in json.loads(done.stdout) if row["source"] == "store")
        return row["state"], row["reason"]

    assert checked() == ("ok", f"in {folder}/state: 7 days, at most 512 MiB")
    assert checked("--store", f"{folder}/a") == ("ok", f"in {folder}/a: 7 days, at most 512 MiB")
    assert checked("--store", "off")[0] == "absent"
    assert checked("--store", f"{folder}/a/b")[0] == "degraded"
    os.mkdir(folder / "open")
    os.chmod(folder / "open", 0o777)
    assert checked("--store", f"{folder}/open") == (
        "degraded",
        f"others may write to the directory {folder}/open: chmod go-w it",
    )
    assert not os.path.exists(folder / "state")
