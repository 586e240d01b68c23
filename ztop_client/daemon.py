"""A daemon that listens at a path, and whether it may be believed."""

import os
import pwd
import socket
import struct
from functools import cache
from typing import Protocol

from ztop_client.channel import DaemonUnreachable

DAEMON_USER = "ztop"
"""Whom the system's daemon runs as."""

_CONNECT_SECONDS = 1.0
_UCRED = struct.Struct("iII")
"""struct ucred of include/linux/socket.h: pid, uid, gid."""


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

        Another user's is refused: it could show anything as the state of this machine.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(self.path)
            _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if uid not in (0, os.geteuid()) and uid != _daemon_uid():
                raise DaemonUnreachable(
                    f"{self.path}: the daemon there belongs to uid {uid}, which is neither root, {DAEMON_USER} nor you"
                )
        except OSError as error:
            connection.close()
            # a path of more than 107 bytes has no errno
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


@cache
def _daemon_uid() -> int | None:
    try:
        return pwd.getpwnam(DAEMON_USER).pw_uid
    except KeyError:
        return None
