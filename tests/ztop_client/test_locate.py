"""Where the daemon is looked for, and whom it is believed from."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon
from ztop_client import locate as module
from ztop_client.channel import DaemonUnreachable
from ztop_client.daemon import SocketDaemon
from ztop_client.locate import asked_for, locate, usual_places
from ztop_client.sources.private import PrivateDaemon


@pytest.fixture(autouse=True)
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZTOP_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(module, "SYSTEM_SOCKET", str(tmp_path / "system"))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(path=str(tmp_path / "socket"), tick_ns=250_000_000) as made:
        yield made.in_background()


def test_order() -> None:
    assert asked_for("/a", {"ZTOP_SOCKET": "/b"}) == "/a"
    assert asked_for(None, {"ZTOP_SOCKET": "/b"}) == "/b"
    assert asked_for(None, {"ZTOP_SOCKET": ""}) is None
    assert usual_places({}) == [module.SYSTEM_SOCKET]
    assert usual_places({"XDG_RUNTIME_DIR": "/run/user/1"}) == [module.SYSTEM_SOCKET, "/run/user/1/ztop/ztopd.sock"]


def test_one_that_was_asked_for(daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = locate(str(tmp_path / "socket"), 1.0)
    assert (found.daemon.title, found.tick_ns) == (f"ztopd {tmp_path}/socket", 250_000_000)
    monkeypatch.setenv("ZTOP_SOCKET", str(tmp_path / "socket"))
    assert locate(None, 1.0).daemon.title == found.daemon.title
    monkeypatch.setenv("ZTOP_SOCKET", str(tmp_path / "another"))
    with pytest.raises(DaemonUnreachable, match=r"no daemon at .*another"):
        locate(None, 1.0)


def test_the_usual_places(daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "system").symlink_to("socket")
    assert locate(None, 1.0).daemon.title == f"ztopd {tmp_path}/system"
    (tmp_path / "system").unlink()
    (tmp_path / "runtime" / "ztop").mkdir(parents=True)
    (tmp_path / "runtime" / "ztop" / "ztopd.sock").symlink_to(tmp_path / "socket")
    assert locate(None, 1.0).daemon.title == f"ztopd {tmp_path}/runtime/ztop/ztopd.sock"


def test_a_private_one_where_there_is_none(tmp_path: Path) -> None:
    # a file that nobody listens on any more counts for nothing
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "system"))
    found = locate(None, 0.5)
    assert isinstance(found.daemon, PrivateDaemon)
    assert (found.daemon.title, found.tick_ns) == ("private ztopd", 500_000_000)
    found.daemon.close()


@pytest.mark.parametrize("path", ["/" + "x" * 200, "/dev/null", "/"])
def test_what_is_no_socket_has_a_sentence(path: str) -> None:
    with pytest.raises(DaemonUnreachable, match=f"^no daemon at {path}: "):
        locate(path, 1.0)


@pytest.mark.parametrize("answer", [{}, {"interval_ns": 0}, {"interval_ns": "1"}, []])
def test_what_says_hello_otherwise_is_no_daemon(daemon: FakeDaemon, tmp_path: Path, answer: object) -> None:
    daemon.answers["hello"] = lambda _: answer
    with pytest.raises(DaemonUnreachable, match="does not say how often"):
        locate(str(tmp_path / "socket"), 1.0)


@pytest.mark.parametrize(("pid", "is_here"), [(None, True), (os.getpid(), True), (os.getpid() + 1, False), (0, False)])
def test_who_is_at_the_daemons_end(daemon: FakeDaemon, tmp_path: Path, pid: int | None, is_here: bool) -> None:
    """A socket that ssh or socat forwards; an older daemon does not say it, and then the boot id alone is asked."""
    daemon.answers["hello"] = lambda _: {"interval_ns": 1, **({} if pid is None else {"pid": pid})}
    elsewhere = locate(str(tmp_path / "socket"), 1.0).elsewhere
    assert (elsewhere is None) == is_here


_LISTEN = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777); s.listen()
print("ready", flush=True); sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_daemon_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = f"{folder}/socket"
        command = [sys.executable, "-P", "-c", _LISTEN, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with pytest.raises(DaemonUnreachable, match="belongs to uid 65534, which is neither root, ztop nor you"):
                SocketDaemon(path).connect()
            monkeypatch.setattr("ztop_client.daemon._daemon_uid", lambda: 65534)
            SocketDaemon(path).connect().close()
            assert process.stdin is not None
            process.stdin.close()
