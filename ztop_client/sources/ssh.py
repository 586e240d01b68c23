"""The daemon of another machine, through a Unix socket that OpenSSH forwards.

Whom ssh lets in decides: the daemon sees the user that one is at the other end, and this machine knows the other one
by its host key. There is no port and no password of ours.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

from ztop_client.channel import ANSWER_SECONDS, Channel, DaemonUnreachable, NoAnswer
from ztop_client.sources import ends_with_parent
from ztop_client.sources.last_line import last_line
from ztop_client.text import printable
from ztop_protocol.connection import RemoteError

_PLAIN = re.compile(r"/[^:\\%$\x00-\x1f\x7f]*")
"""Paths that mean themselves in ssh's -L."""
_MOST_FOLDER_BYTES = 80
"""A Unix socket's path has 107."""
_CONNECT_SECONDS = 1.0
_FIRST_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_DYING_SECONDS = 0.2
_END_SECONDS = 2.0
_OPTIONS = (
    # no command, no terminal, no agent, no X11: the socket alone
    *("-N", "-T", "-a", "-x", "-o", "RemoteCommand=none", "-o", "PermitLocalCommand=no"),
    # a connection of its own: a shared one would keep the socket when this ends
    *("-S", "none", "-o", "ControlMaster=no"),
    # what ~/.ssh/config forwards besides may be taken by a shell's connection
    *("-o", "ExitOnForwardFailure=no"),
    # or ssh logs in, forwards nothing, and is waited for without end
    *("-o", "ClearAllForwardings=no"),
    # a network that is gone says nothing: after 15 s ssh does
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
    # quieter, and ssh does not say why it fails
    *("-o", "LogLevel=INFO"),
)
_ASK_NOBODY = ("-o", "BatchMode=yes")


def is_plain(path: str) -> bool:
    """Whether a socket of the other machine can be asked for by that path."""
    return _PLAIN.fullmatch(path) is not None


class SshDaemon:
    """The daemon that listens at ``path`` on ``host``, which is whatever ssh takes for one.

    The first :meth:`connect` waits while ssh asks its user on the terminal. Later ones never wait for ssh, which then
    asks nobody: where it ended they start it again, and fail until it is there.
    """

    def __init__(self, host: str, path: str) -> None:
        self.title = f"ztopd on {host}"
        self._host = host
        self._path = path
        self._forward: _Forward | None = None
        self._lost: str | None = None
        """Why there is no connection, while ssh is under way again."""
        self._is_closed = False
        self._lock = threading.Lock()
        """A recording asks what was before in a thread of its own."""

    def connect(self) -> socket.socket:
        """A connection on which the daemon has answered. Raises :exc:`DaemonUnreachable`."""
        with self._lock:
            if self._is_closed:
                raise DaemonUnreachable(f"{self.title} was left")
            return self._connection()

    def last_words(self) -> str | None:
        """What ssh said when it ended."""
        with self._lock:
            forward = self._forward
            if forward is None or not forward.has_ended(_DYING_SECONDS if forward.is_up else 0):
                return None
            return self._said(forward)

    def close(self) -> None:
        """Ends ssh."""
        with self._lock:
            self._is_closed = True
            if self._forward is not None:
                self._forward.close()
                self._forward = None

    def _connection(self) -> socket.socket:
        if self._forward is None:
            self._forward = _Forward(self._host, self._path, asks=True)
            while (connection := self._forward.connect()) is None:
                if self._forward.has_ended(_LOOK_SECONDS):
                    raise DaemonUnreachable(self._said(self._forward))
            return self._answered(self._forward, connection, _FIRST_ANSWER_SECONDS)
        if self._forward.has_ended():
            self._lost = self._said(self._forward)
            again = _Forward(self._host, self._path, asks=False)
            self._forward.close()
            self._forward = again
        connection = self._forward.connect()
        if connection is None:
            raise DaemonUnreachable(self._lost or f"ssh to {self._host} is about to end")
        return self._answered(self._forward, connection, ANSWER_SECONDS)

    def _answered(self, forward: "_Forward", connection: socket.socket, seconds: float) -> socket.socket:
        """The connection once the other end is there: ssh accepts it before it has asked for that."""
        try:
            Channel(connection).call("ping", seconds=seconds)
        except RemoteError:
            pass
        except NoAnswer:
            connection.close()
            raise DaemonUnreachable(f"{self.title} does not answer") from None
        except DaemonUnreachable:
            connection.close()
            if forward.has_ended(_DYING_SECONDS):
                raise DaemonUnreachable(self._said(forward)) from None
            raise DaemonUnreachable(
                f"no ztopd answers at {self._path} on {self._host}: install its service there (sudo ztopd install), "
                "name another socket of that machine with --socket PATH, "
                "or let its sshd forward Unix sockets (AllowStreamLocalForwarding)"
            ) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _said(self, forward: "_Forward") -> str:
        return printable(f"ssh to {self._host}: {forward.words()}")


class _Forward:
    """One ssh and the socket that it listens on, which is out of everyone's sight once it is there."""

    def __init__(self, host: str, path: str, *, asks: bool) -> None:
        """``asks``: on the terminal, for a password or about a host key. Raises :exc:`DaemonUnreachable`."""
        program = shutil.which("ssh")
        if program is None:
            raise DaemonUnreachable("there is no program ssh: install OpenSSH's client")
        self._folder: str | None = _private_folder()
        self._place = f"{self._folder}/socket"
        self._descriptor = -1
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as this
        command = [program, *_OPTIONS, *(() if asks else _ASK_NOBODY), "-L", f"{self._place}:{path}", "--", host]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", ends_with_parent.__file__, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                # what is typed at the terminal later is not for it
                start_new_session=not asks,
            )
        except OSError as error:
            self._words.close()
            os.rmdir(self._folder)
            raise DaemonUnreachable(f"ssh cannot be started: {error.strerror}") from error

    @property
    def is_up(self) -> bool:
        """Whether it ever let anyone connect."""
        return self._descriptor >= 0

    def connect(self) -> socket.socket | None:
        """A connection to ssh; None where it does not listen, yet or any more. Raises :exc:`DaemonUnreachable`."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(self._place)
            self._take_out_of_sight()
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise DaemonUnreachable(f"the socket of ssh cannot be used: {error.strerror or error}") from error
        return connection

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Whether ssh has ended, or does within so long."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def words(self) -> str:
        """Of an ssh that has ended: its last line."""
        status = self._process.returncode
        if status < 0:
            return f"it was killed by signal {-status}"
        line = last_line(self._words) or f"it ended with status {status}"
        return line.removeprefix("ssh: ").removesuffix(".")

    def close(self) -> None:
        """Ends it; nothing of it is left."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._words.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_out_of_sight(self) -> None:
        """Keeps the socket without a name: nobody else finds it, and nothing lies about however this ends."""
        if self._folder is not None:
            self._descriptor = os.open(self._place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._place = f"/proc/self/fd/{self._descriptor}"
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _private_folder() -> str:
    """A new folder of mode 0700, with a path that ssh understands. Raises :exc:`DaemonUnreachable`."""
    reason = "their paths are too long, or have one of : \\ % $"
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if base and is_plain(base) and len(os.fsencode(base)) <= _MOST_FOLDER_BYTES:
            try:
                return tempfile.mkdtemp(prefix="ztop-ssh-", dir=base)
            except OSError as error:
                reason = str(error.strerror)
    raise DaemonUnreachable(f"there is no place for ssh's socket, in $XDG_RUNTIME_DIR or $TMPDIR: {reason}")
