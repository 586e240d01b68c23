"""Where the daemon listens, and how the place is taken: one daemon per path, nobody else's file touched."""

import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Mapping

SYSTEM_SOCKET = "/run/ztopd/ztopd.sock"
BACKLOG = 64
DYING_SERVER_SECONDS = 1.0
"""How long a socket may still answer though nobody holds its lock: a killed daemon's server is about to end."""


class SocketRefused(Exception):
    """The socket cannot be made; the sentence says why, and what a person can do about it."""


def default_path() -> str:
    """The system's path for root, else the user's own; makes its directory. Raises :exc:`SocketRefused`."""
    if os.geteuid() == 0:
        _make_directory(os.path.dirname(SYSTEM_SOCKET), 0o755)
        return SYSTEM_SOCKET
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    try:
        is_ours = os.path.isabs(runtime) and os.stat(runtime).st_uid == os.geteuid()
    except OSError:
        is_ours = False
    if not is_ours:
        raise SocketRefused(
            f"there is no runtime directory of yours ({runtime}): say where to listen with --socket PATH"
        )
    folder = os.path.join(runtime, "ztop")
    _make_directory(folder, 0o700)
    return os.path.join(folder, "ztopd.sock")


_FIRST_HANDED_OVER = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def handed_over(environment: Mapping[str, str]) -> socket.socket | None:
    """The listening socket that systemd opened for us, of sd_listen_fds(3); None where there is none.

    Raises :exc:`SocketRefused`. Its file is systemd's: we neither lock nor remove it.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if (count := environment.get("LISTEN_FDS")) != "1":
        raise SocketRefused(f"one socket was to be handed over by systemd, not {count!a}")
    try:
        given = socket.socket(fileno=_FIRST_HANDED_OVER)
    except OSError as error:
        raise SocketRefused(f"what systemd handed over is no socket: {error.strerror}") from None
    given.set_inheritable(False)
    listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if given.family != socket.AF_UNIX or given.type != socket.SOCK_STREAM or not listens:
        given.close()
        raise SocketRefused("what systemd handed over is no listening Unix stream socket: see ListenStream=")
    return given


def _make_directory(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)
    except FileExistsError:
        pass
    except OSError as error:
        raise SocketRefused(f"{path} cannot be made: {error.strerror}") from None


class ListeningSocket:
    """A listening Unix socket at ``path``, ours as long as its lock is held."""

    def __init__(self, path: str) -> None:
        """Binds. Raises :exc:`SocketRefused`."""
        self.path = os.path.abspath(path)
        _check_directory(os.path.dirname(self.path))
        self._lock = _take_lock(self.path)
        try:
            _remove_stale(self.path)
            self.socket = _bind(self.path)
        except BaseException:
            os.close(self._lock)
            raise
        self._inode = _inode(self.path)

    def close(self) -> None:
        """Stops listening; removes the socket's file if it is still the one we made, and gives the lock back."""
        if self._lock < 0:
            return
        if self._inode is not None and _inode(self.path) == self._inode:
            os.unlink(self.path)
        self.socket.close()
        # the lock's file stays: whoever opened it meanwhile would hold the lock of a file that is gone
        os.close(self._lock)
        self._lock = -1


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _check_directory(path: str) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise SocketRefused(f"the directory {path} cannot be used: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise SocketRefused(f"{path} is no directory")
    if status.st_uid not in (0, os.geteuid()):
        raise SocketRefused(f"the directory {path} belongs to another user, who could replace the socket")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
        raise SocketRefused(f"others may write to the directory {path}, and could replace the socket: chmod go-w")


def _take_lock(path: str) -> int:
    """Holds ``PATH.lock`` for as long as the descriptor that it returns is open."""
    name = f"{path}.lock"
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SocketRefused(f"{name} cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(lock)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
            raise SocketRefused(f"{name} is not a file of ours")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _another(path, _written_pid(lock)) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _another(path: str, pid: int | None) -> SocketRefused:
    return SocketRefused(f"another ztopd{f' (pid {pid})' if pid else ''} serves {path} already")


def _written_pid(lock: int) -> int | None:
    """The daemon that holds the lock. The socket would name its server process, that it starts anew at any time."""
    data = os.pread(lock, 32, 0).strip()
    return int(data) if data.isdigit() else None


def _connect(path: str) -> int | None:
    """The pid of the process that listens at ``path``, or None where it is too busy to say. Raises :exc:`OSError`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(path)
        except BlockingIOError:
            return None  # its backlog is full: somebody listens
        pid, _, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)


def _remove_stale(path: str) -> None:
    """Removes what an ended daemon left at ``path``. Refuses what is no socket, another's, or answered."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketRefused(f"{path}: {error.strerror}") from None
    if not stat.S_ISSOCK(status.st_mode):
        raise SocketRefused(f"{path} is there already, and is no socket")
    if status.st_uid != os.geteuid():
        raise SocketRefused(f"{path} is a socket of another user (uid {status.st_uid})")
    give_up = time.monotonic() + DYING_SERVER_SECONDS
    pid: int | None = None
    while True:
        try:
            pid = _connect(path) or pid
        except ConnectionRefusedError:
            break
        except FileNotFoundError:
            return
        except OSError as error:
            raise SocketRefused(f"{path} is there already: {error.strerror}") from None
        if time.monotonic() >= give_up:
            raise _another(path, pid)
        time.sleep(0.05)
    os.unlink(path)


def _bind(path: str) -> socket.socket:
    # who may see what is decided for each client; a user's own daemon is nobody else's business
    mode = 0o666 if os.geteuid() == 0 or path == SYSTEM_SOCKET else 0o600
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o777 & ~mode)
    try:
        listening.bind(path)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        # a path that is too long has no errno
        raise SocketRefused(f"{path} cannot be bound: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    return listening
