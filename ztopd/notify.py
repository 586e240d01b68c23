"""What systemd is told of us: sd_notify(3), by hand. Where nothing asked to be told, nothing is sent."""

import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger(__name__)

MISSED_TICKS = 3
"""So many intervals without a frame are a hang, whatever the unit's WatchdogSec= allows."""


class Notifier:
    """One for a life of the daemon.

    systemd takes us for alive because a frame was made and the server said that it took it (:meth:`alive`), never
    because a timer ran.
    """

    def __init__(self, environment: Mapping[str, str], interval_seconds: float, status: str) -> None:
        """``status`` is what ``systemctl status`` shows once the first frame was taken."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._status = status
        self._is_ready = False
        asked, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        self._is_watched = asked.isdigit() and (not pid or pid == str(os.getpid()))
        self._watched_usec = int(asked) if self._is_watched else 0
        self.ticks_every(interval_seconds)

    def ticks_every(self, interval_seconds: float) -> None:
        """Frames come at another interval: where the watchdog has too little patience for it, it is given more."""
        needed = round(MISSED_TICKS * interval_seconds * 1e6)
        if self._is_watched and self._watched_usec < needed:
            self._watched_usec = needed
            self._send(f"WATCHDOG_USEC={needed}")

    @property
    def is_service(self) -> bool:
        """Whether a service manager started us."""
        return bool(self._address)

    def alive(self) -> None:
        """The server took a frame; the first time this is what makes us ready."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1", f"STATUS={self._status}")
        if self._is_watched:
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is read again; :meth:`kept` or another life's :meth:`alive` ends that."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def kept(self, why: str) -> None:
        """The configuration stays as it was."""
        self._send("READY=1", f"STATUS={self._status}; the configuration was not read again: {why}")

    def stopping(self) -> None:
        """We end because we were told to."""
        self._send("STOPPING=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # an address in the abstract namespace is written with @
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # a line feed would begin a variable of its own
        message = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.setblocking(False)
                notify.sendto(message.encode(errors="replace"), address)
        except OSError as error:
            # a manager that is too busy is told again with the next frame
            _log.warning("systemd cannot be told %s: %s", lines[0], error.strerror or error)
