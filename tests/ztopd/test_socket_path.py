"""How the place of the listening socket is taken, and what is refused."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ztopd.socket_path as socket_path
from ztopd.socket_path import ListeningSocket, SocketRefused, default_path

ROOT = Path(__file__).parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def refusal(path: Path) -> str:
    with pytest.raises(SocketRefused) as caught:
        ListeningSocket(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(socket_path, "DYING_SERVER_SECONDS", 0.1)
    return tmp_path / "z.sock"


def stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def test_it_listens_until_closed(path: Path) -> None:
    listening = ListeningSocket(str(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert mode(path) == (0o666 if os.geteuid() == 0 else 0o600)
    assert not os.get_inheritable(listening.socket.fileno())
    listening.close()
    listening.close()
    assert not path.exists()
    ListeningSocket(str(path)).close()


def test_the_mask_of_the_process_is_as_before(path: Path) -> None:
    before = os.umask(0o027)
    try:
        ListeningSocket(str(path)).close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_a_path_that_is_relative_stays_where_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    listening = ListeningSocket("z.sock")
    monkeypatch.chdir("/")
    listening.close()
    assert not path.exists()


def test_a_stale_socket_is_replaced(path: Path) -> None:
    stale(path)
    listening = ListeningSocket(str(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listening.close()


def test_a_second_daemon_is_refused_and_told_who_the_first_is(path: Path) -> None:
    code = f"import sys; from ztopd.socket_path import ListeningSocket; s = ListeningSocket({str(path)!r}); print(flush=True); sys.stdin.read(); s.close()"  # noqa: E501
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert refusal(path) == f"another ztopd (pid {other.pid}) serves {path} already"
        other.kill()
    # its lock died with it
    ListeningSocket(str(path)).close()


def test_a_socket_that_answers_without_a_lock_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        assert refusal(path) == f"another ztopd (pid {os.getpid()}) serves {path} already"
        # its backlog is full now: somebody listens all the same
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.setblocking(False)
            try:
                waiting.connect(str(path))
            except BlockingIOError:
                pass
            assert "serves" in refusal(path)
        assert path.exists()


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("a letter")
    assert refusal(path) == f"{path} is there already, and is no socket"
    assert path.read_text() == "a letter"
    path.unlink()
    path.symlink_to("/nowhere")
    assert "is no socket" in refusal(path)


def test_a_socket_of_another_kind_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert refusal(path).startswith(f"{path} is there already: ")
        assert path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_files_are_refused(path: Path) -> None:
    stale(path)
    os.chown(path, 1000, 1000)
    assert refusal(path) == f"{path} is a socket of another user (uid 1000)"
    path.unlink()
    lock = Path(f"{path}.lock")
    os.chown(lock, 1000, 1000)
    assert refusal(path) == f"{lock} is not a file of ours"
    lock.unlink()
    os.chown(path.parent, 1000, 1000)
    assert "belongs to another user" in refusal(path)


def test_a_lock_that_is_a_link_is_refused(path: Path) -> None:
    target = path.parent / "target"
    Path(f"{path}.lock").symlink_to(target)
    assert "cannot be opened" in refusal(path)
    assert not target.exists()


@pytest.mark.parametrize("loose", [0o777, 0o770, 0o702])
def test_a_directory_for_others_too_is_refused(path: Path, loose: int) -> None:
    path.parent.chmod(loose)
    assert refusal(path).startswith(f"others may write to the directory {path.parent}")
    path.parent.chmod(loose | 0o1000)
    ListeningSocket(str(path)).close()


def test_directories_that_are_not_there_or_none_are_refused(path: Path) -> None:
    assert "cannot be used: No such file" in refusal(path.parent / "a" / "z.sock")
    path.write_text("")
    assert "is no directory" in refusal(path / "z.sock") or "Not a directory" in refusal(path / "z.sock")


def test_a_path_that_is_too_long_is_refused(path: Path) -> None:
    assert "too long" in refusal(path.parent / ("x" * 200))
    # the lock was given back
    ListeningSocket(str(path)).close()


def test_close_leaves_a_socket_alone_that_is_not_ours(path: Path) -> None:
    listening = ListeningSocket(str(path))
    path.unlink()
    stale(path)
    listening.close()
    assert path.exists()


def test_the_default_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid() or 1000
    os.chown(tmp_path, user, -1)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_path() == str(tmp_path / "ztop" / "ztopd.sock")
    assert mode(tmp_path / "ztop") == 0o700
    assert default_path() == str(tmp_path / "ztop" / "ztopd.sock")
    for bad in (str(tmp_path / "missing"), "relative", "/"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", bad)
        with pytest.raises(SocketRefused, match="--socket PATH"):
            default_path()


def test_the_default_of_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "ztopd" / "ztopd.sock"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(socket_path, "SYSTEM_SOCKET", str(system))
    assert default_path() == str(system)
    assert mode(system.parent) == 0o755
