"""A daemon of one's own, for as long as the client lives: what runs where no daemon is to be found."""

import os
import socket
import subprocess
import sys
import tempfile

from ztop_client.channel import DaemonUnreachable
from ztop_client.sources.last_line import last_line
from ztop_client.text import printable

_END_SECONDS = 2.0


class PrivateDaemon:
    """Starts ``ztopd`` at one end of a socket pair, with the rights of whoever runs the client.

    It ends when the client's end is closed, however the client ends. Each connection is a new process.
    """

    def __init__(self, interval_seconds: float) -> None:
        self.title = "private ztopd"
        self._interval_seconds = interval_seconds
        # uninstalled, python -P finds the packages nowhere else; relative entries would be lost with a chdir
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in paths if p)}
        self._process: subprocess.Popen[bytes] | None = None
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as this

    def connect(self) -> socket.socket:
        """Starts it anew and gives the client's end. Raises :exc:`DaemonUnreachable`."""
        self._kill()
        self._words.seek(0)
        self._words.truncate()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-P", "-m", "ztopd"),
                        *("--private-fd", str(theirs.fileno()), "--interval", f"{self._interval_seconds:g}"),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._words,
                    pass_fds=(theirs.fileno(),),
                    env=self._environment,
                    # what is typed at the client's terminal is not for it
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise DaemonUnreachable(f"a private ztopd cannot be started: {error}") from error
        return ours

    def last_words(self) -> str | None:
        """How it ended, and the last line that it wrote."""
        if self._process is None:
            return None
        try:
            status = self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return None
        if status < 0:
            # what it started may have complained about that since
            return f"the private ztopd was killed by signal {-status}"
        words = last_line(self._words) or "it said nothing"
        return printable(f"the private ztopd ended with status {status}: {words}")

    def close(self) -> None:
        """Waits for its end; the client's end of the pair is to be closed before."""
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.terminate()
                try:
                    self._process.wait(_END_SECONDS)
                except subprocess.TimeoutExpired:
                    self._kill()
        self._words.close()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
