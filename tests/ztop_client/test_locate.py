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
from ztop_client.daemon import DaemonRefused, SocketDaemon
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
    (tmp_path / "system").hardlink_to(tmp_path / "socket")
    assert locate(None, 1.0).daemon.title == f"ztopd {tmp_path}/system"
    (tmp_path / "system").unlink()
    folder = tmp_path / "runtime" / "ztop"
    folder.mkdir(0o700, parents=True)
    (folder / "ztopd.sock").hardlink_to(tmp_path / "socket")
    found = locate(None, 1.0)
    assert (found.daemon.title, found.refused) == (f"ztopd {folder}/ztopd.sock", None)
    # one that is not to be believed is passed over, and that is said
    folder.chmod(0o777)
    found = locate(None, 1.0)
    assert isinstance(found.daemon, PrivateDaemon)
    assert found.refused is not None
    assert found.refused.startswith(f"{folder}/ztopd.sock: others may write to its directory")
    found.daemon.close()
    # where there is none, nothing is to be said
    (folder / "ztopd.sock").unlink()
    found = locate(None, 1.0)
    assert found.refused is None
    found.daemon.close()


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


def refusal(path: object) -> str:
    with pytest.raises(DaemonRefused) as caught:
        locate(str(path), 1.0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("loose", [0o777, 0o770, 0o702])
def test_a_directory_in_which_others_can_put_one_is_refused(daemon: FakeDaemon, tmp_path: Path, loose: int) -> None:
    tmp_path.chmod(loose)
    assert "others may write to its directory" in refusal(tmp_path / "socket")
    # there nobody can replace what is somebody else's
    tmp_path.chmod(loose | 0o1000)
    assert locate(str(tmp_path / "socket"), 1.0).tick_ns == 250_000_000


def test_a_link_is_refused(daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("socket")
    assert refusal(tmp_path / "link") == f"{tmp_path}/link is a link: name the socket itself"
    # as /var/run is one
    (tmp_path / "folder").symlink_to(tmp_path)
    assert locate(f"{tmp_path}/folder/socket", 1.0).tick_ns == 250_000_000


def test_a_path_without_a_directory_and_a_long_one_do(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("socket", 1.0).tick_ns == 250_000_000
    long = tmp_path / ("x" * 150)
    long.mkdir(0o700)
    (long / "socket").hardlink_to(tmp_path / "socket")
    assert locate(str(long / "socket"), 1.0).tick_ns == 250_000_000


_LISTEN = """
import os, socket, sys
os.setgroups([]); os.setgid(12345); os.setuid(12345)
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777); s.listen()
print("ready", flush=True); sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestAnotherUser:
    @pytest.fixture
    def planted(self) -> Iterator[Path]:
        """The socket of another user in a folder of root's in which everyone may put one."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o1777)
            path = Path(folder) / "socket"
            command = [sys.executable, "-P", "-c", _LISTEN, str(path)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                yield path
                assert process.stdin is not None
                process.stdin.close()

    def test_a_planted_socket_is_refused(self, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = refusal(planted)
        assert "the socket belongs to uid 12345, which is neither root, ztop nor you" in said
        # root may look, as that user
        assert said.endswith(f"; as that user: sudo -u '#12345' ztop --socket {planted}")
        monkeypatch.setattr("ztop_client.daemon._daemon_uid", lambda: 12345)
        SocketDaemon(str(planted)).connect().close()

    def test_whoever_owns_the_file_the_kernel_knows_who_listens(self, planted: Path) -> None:
        os.chown(planted, 0, 0)
        assert "the daemon there belongs to uid 12345" in refusal(planted)

    def test_another_users_directory_is_refused(self, daemon: FakeDaemon, tmp_path: Path) -> None:
        os.chown(tmp_path, 12345, 12345)
        assert "its directory belongs to uid 12345" in refusal(tmp_path / "socket")

    def test_nobody_is_nobody(self, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a user namespace without this user both of them are uid 65534."""
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
        os.chown(planted, 65534, 65534)
        assert "the socket belongs to uid 65534" in refusal(planted)
        # root of such a namespace, too, and nobody can become him
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert refusal(planted).endswith("neither root, ztop nor you")
