"""A daemon that listens at a path, and whether it may be believed."""

import os
import pwd
import shlex
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

from ztop_client.channel import DaemonUnreachable

DAEMON_USER = "ztop"
"""Whom the system's daemon runs as."""

_NOBODY_UID = 65534
"""Whoever has no uid in our user namespace, and so no proof of anything."""
_CONNECT_SECONDS = 1.0
_UCRED = struct.Struct("iII")
"""struct ucred of include/linux/socket.h: pid, uid, gid."""


class DaemonRefused(DaemonUnreachable):
    """One is there, or could be, that is not to be believed."""


class Daemon(Protocol):
    """Something that frames can be had from."""

    @property
    def title(self) -> str:
        """What it is, in two words, for a title line."""

    def connect(self) -> socket.socket:
        """A new connection. Raises :exc:`DaemonUnreachable`."""

    def last_words(self) -> str | None:
        """What it said when it ended, if it is known to have ended."""

    def close(self) -> None:
        """Ends what was started for it."""


class SocketDaemon:
    """The daemon that listens on the Unix socket at ``path``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.title = f"ztopd {path}"

    def connect(self) -> socket.socket:
        """A connection to a daemon of root's, of ``ztop``'s or one's own.

        Another user's is refused (:exc:`DaemonRefused`), and a place where another user could have put one: it could
        show anything as the state of this machine. Root is told how to see it as that user.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_CONNECT_SECONDS)
            with _checked(self.path) as place:
                connection.connect(place)
            _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            _check_owner(self.path, "the daemon there", uid)
        except OSError as error:
            connection.close()
            raise DaemonUnreachable(f"no daemon at {self.path}: {error.strerror or error}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def last_words(self) -> str | None:
        """Nothing is known of how somebody else's daemon ended."""
        return None

    def close(self) -> None:
        """There is nothing to end."""


@contextmanager
def _checked(path: str) -> Iterator[str]:
    """Another path of the socket, which nobody can put another one behind. Raises :exc:`OSError` and DaemonRefused."""
    folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # first of all: where there is none, nothing is to be refused
        found = os.open(os.path.basename(path), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        status = os.fstat(folder)
    finally:
        os.close(folder)
    try:
        _check_owner(path, "its directory", status.st_uid)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            raise DaemonRefused(f"{path}: others may write to its directory, and could put another daemon there")
        status = os.fstat(found)
        if stat.S_ISLNK(status.st_mode):
            raise DaemonRefused(f"{path} is a link: name the socket itself")
        if stat.S_ISSOCK(status.st_mode):
            # what is none has the kernel's word for it
            _check_owner(path, "the socket", status.st_uid)
        yield f"/proc/self/fd/{found}"
    finally:
        os.close(found)


def _check_owner(path: str, what: str, uid: int) -> None:
    """Raises :exc:`DaemonRefused`."""
    if uid == 0 or (uid in (os.geteuid(), _daemon_uid()) and uid != _NOBODY_UID):
        return
    # who has no uid here cannot be become
    may_be_become = os.geteuid() == 0 and uid != _NOBODY_UID
    hint = f"; as that user: sudo -u '#{uid}' ztop --socket {shlex.quote(path)}" if may_be_become else ""
    raise DaemonRefused(f"{path}: {what} belongs to uid {uid}, which is neither root, {DAEMON_USER} nor you{hint}")


@cache
def _daemon_uid() -> int | None:
    try:
        return pwd.getpwnam(DAEMON_USER).pw_uid
    except KeyError:
        return None
