"""Where the daemon is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.daemon import Daemon, SocketDaemon
from ztop_protocol.connection import RemoteError

SYSTEM_SOCKET = "/run/ztopd/ztopd.sock"


def asked_for(path: str | None, environment: Mapping[str, str]) -> str | None:
    """The socket that a person named: ``path`` (of ``--socket``), else ``$ZTOP_SOCKET``; empty counts as unset."""
    return path or environment.get("ZTOP_SOCKET") or None


def usual_places(environment: Mapping[str, str]) -> list[str]:
    """Where a daemon is looked for when none was asked for: the system's, then the user's own."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    return [SYSTEM_SOCKET, *([os.path.join(runtime, "ztop", "ztopd.sock")] if runtime else [])]


@dataclass(frozen=True, slots=True)
class Located:
    """A daemon that answered, or one to be started, and the interval at which it samples."""

    daemon: Daemon
    tick_ns: int


def locate(path: str | None, interval_seconds: float) -> Located:
    """The daemon to talk to: the one asked for, else the first in the usual places, else a private one.

    The private one is not started yet; it will sample every ``interval_seconds``. Raises :exc:`DaemonUnreachable`
    for one that was asked for and cannot be reached.
    """
    found = running(path)
    if found is not None:
        return found
    # imported where it is needed: starting a process takes modules that talking to one does not
    from ztop_client.sources.private import PrivateDaemon

    return Located(PrivateDaemon(interval_seconds), round(interval_seconds * 1e9))


def running(path: str | None) -> Located | None:
    """The daemon asked for, else the first in the usual places; None where none is there.

    Raises :exc:`DaemonUnreachable` for one that was asked for and cannot be reached.
    """
    named = asked_for(path, os.environ)
    if named is not None:
        return _greet(SocketDaemon(named))
    for place in usual_places(os.environ):
        try:
            return _greet(SocketDaemon(place))
        except DaemonUnreachable:
            continue
    return None


def _greet(daemon: SocketDaemon) -> Located:
    channel = Channel(daemon.connect())
    try:
        answer = channel.call("hello")
    except RemoteError as error:
        raise DaemonUnreachable(f"the daemon at {daemon.path} does not say hello: {error.sentence}") from error
    except DaemonUnreachable as error:
        raise DaemonUnreachable(f"{daemon.path}: {error}") from error
    finally:
        channel.close()
    tick_ns = answer.get("interval_ns") if isinstance(answer, dict) else None
    if type(tick_ns) is not int or tick_ns <= 0:
        raise DaemonUnreachable(f"the daemon at {daemon.path} does not say how often it samples")
    return Located(daemon, tick_ns)
