"""The service of this machine, asked as any client of it asks."""

import os
import pwd
import shlex
import socket
import time
from dataclasses import dataclass
from typing import Any

from ztop_protocol.connection import CLIENT_LIMITS, Connection, ProtocolViolation, Response, pack_request
from ztop_protocol.schema import SourceState
from ztopd.collectors.source import Problem
from ztopd.socket_path import SYSTEM_SOCKET

_SECONDS = 2.0
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Service:
    """What it answered to ``hello`` and ``status``; what it does not say is not there."""

    hello: dict[Any, Any]
    status: dict[Any, Any]

    @property
    def store_bytes(self) -> int | None:
        """The size of its store; None where it keeps none."""
        size = self.status.get("store_bytes")
        return size if type(size) is int else None

    def as_source(self) -> Problem:
        """For ``--check``: that it runs, what it shows to who asks, and how to be shown the rest."""
        what = f"ztopd {self.hello.get('version')} (pid {self.status.get('sampler_pid')}) serves {SYSTEM_SOCKET}"
        sees = self.hello.get("sees")
        if not isinstance(sees, dict):
            return Problem(SourceState.OK, what)
        if sees.get("all") is True:
            why = {"root": ": you are root", "group": f": you are of the group {sees.get('group')}"}
            return Problem(SourceState.OK, f"{what}, and shows you everything{why.get(str(sees.get('because')), '')}")
        shown = f"{what}, and shows you I/O, executables and counters of your own processes alone"
        group = sees.get("group")
        if not isinstance(group, str):
            return Problem(SourceState.OK, shown, "root names a group that sees all: group in /etc/ztop/ztopd.toml")
        return Problem(
            SourceState.OK, shown, f"sudo usermod -aG {shlex.quote(group)} {shlex.quote(_own_user())}, and log in again"
        )


def ask_service(path: str = SYSTEM_SOCKET) -> Service | None:
    """The service that answers at ``path``; None where none does. One that systemd has stopped is started by this."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        deadline = time.monotonic() + _SECONDS
        connection = Connection(CLIENT_LIMITS)
        answers: dict[int, Any] = {}
        try:
            connected.settimeout(_SECONDS)
            connected.connect(path)
            connected.sendall(pack_request(1, "hello", None) + pack_request(2, "status", None))
            while len(answers) < 2:
                connected.settimeout(max(0.001, deadline - time.monotonic()))
                if not (data := connected.recv(_READ_BYTES)):
                    return None
                connection.feed(data)
                answers |= {one.id: one.result for one in connection.messages() if isinstance(one, Response)}
        except (OSError, ProtocolViolation):
            return None
    hello, status = answers.get(1), answers.get(2)
    return Service(hello, status) if isinstance(hello, dict) and isinstance(status, dict) else None


def _own_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
