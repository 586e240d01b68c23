"""Where the daemon is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ztop_client.access import Access, access_of
from ztop_client.channel import Channel, DaemonUnreachable
from ztop_client.daemon import Daemon, DaemonRefused, SocketDaemon
from ztop_protocol.codec import Wire
from ztop_protocol.connection import RemoteError

SYSTEM_SOCKET = "/run/ztopd/ztopd.sock"
_FORWARDED = "may be of another machine or pid namespace, since the daemon has another process than ztop at its end"


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
    elsewhere: str | None = None
    """Whose processes its are, where it cannot be known that they are this machine's: as in "is of build7"."""
    access: Access | None = None
    """What it lets us see; None where it was not asked, or does not say."""
    refused: str | None = None
    """Why one in the usual places was not believed."""


def locate(path: str | None, interval_seconds: float, ssh_host: str | None = None) -> Located:
    """The daemon to talk to: the one asked for, else the first in the usual places, else a private one.

    The private one is not started yet; it will sample every ``interval_seconds``. ``ssh_host``: see :func:`running`.
    Raises :exc:`DaemonUnreachable` for one that was asked for and cannot be reached.
    """
    found, refused = _search(path, ssh_host)
    if found is not None:
        return replace(found, refused=refused)
    # imported where it is needed: starting a process takes modules that talking to one does not
    from ztop_client.sources.private import PrivateDaemon

    return Located(PrivateDaemon(interval_seconds), round(interval_seconds * 1e9), refused=refused)


def running(path: str | None, ssh_host: str | None = None) -> Located | None:
    """The daemon asked for, else the first in the usual places; None where none is there.

    With ``ssh_host`` that machine's: at ``path`` there, else its system's; ssh may ask on the terminal.
    Raises :exc:`DaemonUnreachable` for one that was asked for and cannot be reached.
    """
    return _search(path, ssh_host)[0]


def _search(path: str | None, ssh_host: str | None) -> tuple[Located | None, str | None]:
    """The same, and why one in the usual places was passed over that is not to be believed."""
    if ssh_host is not None:
        # imported where it is needed: most starts are about this machine
        from ztop_client.sources.ssh import SshDaemon

        # never this machine's, whatever it says of itself
        elsewhere = f"is of {ssh_host}, which is seen over ssh"
        return replace(_greet(SshDaemon(ssh_host, path or SYSTEM_SOCKET)), elsewhere=elsewhere), None
    named = asked_for(path, os.environ)
    if named is not None:
        return _greet(SocketDaemon(named)), None
    refused: list[str] = []
    for place in usual_places(os.environ):
        try:
            return _greet(SocketDaemon(place)), " ".join(refused) or None
        except DaemonRefused as error:
            refused.append(f"{error}.")
        except DaemonUnreachable:
            continue
    return None, " ".join(refused) or None


def _greet(daemon: Daemon) -> Located:
    """Asks it who it is. Closes it where that is not known."""
    try:
        answer = _hello(daemon)
        tick_ns = answer.get("interval_ns") if isinstance(answer, dict) else None
        if type(tick_ns) is not int or tick_ns <= 0:
            raise DaemonUnreachable(f"{daemon.title} does not say how often it samples")
    except BaseException:
        daemon.close()
        raise
    assert isinstance(answer, dict)
    peer = answer.get("pid")
    is_forwarded = type(peer) is int and peer != os.getpid()
    return Located(daemon, tick_ns, _FORWARDED if is_forwarded else None, access_of(answer))


def _hello(daemon: Daemon) -> Wire:
    channel = Channel(daemon.connect())
    try:
        return channel.call("hello")
    except RemoteError as error:
        raise DaemonUnreachable(f"{daemon.title} does not say hello: {error.sentence}") from error
    except DaemonUnreachable as error:
        raise DaemonUnreachable(f"{daemon.title}: {error}") from error
    finally:
        channel.close()
