"""Where the daemon is."""

import os
from collections.abc import Mapping

from ztop_client.channel import DaemonUnreachable
from ztop_client.daemon import Daemon, SocketDaemon

SYSTEM_SOCKET = "/run/ztopd/ztopd.sock"


def asked_for(path: str | None, environment: Mapping[str, str]) -> str | None:
    """The socket that a person named: ``path`` (of ``--socket``), else ``$ZTOP_SOCKET``; empty counts as unset."""
    return path or environment.get("ZTOP_SOCKET") or None


def usual_places(environment: Mapping[str, str]) -> list[str]:
    """Where a daemon is looked for when none was asked for: the system's, then the user's own."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    return [SYSTEM_SOCKET, *([os.path.join(runtime, "ztop", "ztopd.sock")] if runtime else [])]


def locate(path: str | None, interval_seconds: float) -> Daemon:
    """The daemon to talk to: the one asked for, else the first in the usual places, else a private one.

    The private one is not started yet; it will sample every ``interval_seconds``. Raises :exc:`DaemonUnreachable`
    for one that was asked for and cannot be reached.
    """
    named = asked_for(path, os.environ)
    if named is not None:
        daemon = SocketDaemon(named)
        daemon.connect().close()
        return daemon
    for place in usual_places(os.environ):
        daemon = SocketDaemon(place)
        try:
            daemon.connect().close()
        except DaemonUnreachable:
            continue
        return daemon
    # imported where it is needed: starting a process takes modules that talking to one does not
    from ztop_client.sources.private import PrivateDaemon

    return PrivateDaemon(interval_seconds)
