"""Who may see what, by the credentials that the kernel gives of the other end of a socket."""

import ctypes
import os
import socket
import struct
from dataclasses import dataclass
from enum import Enum

from ztop_protocol.frame import Cell, Key, Row, Section
from ztop_protocol.schema import SECTIONS, Visibility

NOBODY_UID = 65534
"""The overflow uid: whoever has no uid in our user namespace. Many may share it, so it owns nothing."""
NOGROUP_GID = 65534
"""The overflow gid, likewise: to be in it makes nobody a member."""

HIDEABLE = frozenset(("processes", "threads", "process_events", "gpu_processes"))
"""Public sections that belong to the owners where /proc is mounted with hidepid."""

_SO_PEERGROUPS = 59
"""Linux 4.13, include/uapi/asm-generic/socket.h; the module socket does not have it."""
_UCRED = struct.Struct("iII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that made the other end of a connection, as it was then."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]
    """Supplementary groups."""


def peer_of(connection: socket.socket) -> Peer:
    """The peer's credentials. Raises :exc:`OSError`."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid, gid, _groups_of(connection.fileno()))


def _groups_of(descriptor: int) -> frozenset[int]:
    """Supplementary groups of the peer; none where the kernel does not say."""
    # a process may be in 65536 groups, and socket.getsockopt takes 1 KiB: by hand
    size = ctypes.c_uint(0)
    buffer = ctypes.create_string_buffer(0)
    while _libc.getsockopt(descriptor, socket.SOL_SOCKET, _SO_PEERGROUPS, buffer, ctypes.byref(size)) < 0:
        if size.value <= len(buffer):
            return frozenset()
        buffer = ctypes.create_string_buffer(size.value)
    return frozenset(memoryview(buffer.raw)[: size.value].cast("I"))


class Access(Enum):
    """How much of a section a view has."""

    ALL = "all"
    OWN = "own"
    """The rows whose ``owner_uid`` it is."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class View:
    """What one client may see: everything (``sees_all``), or what is public and the rows of ``uid``, if any."""

    sees_all: bool
    uid: int | None

    def access(self, section: str, hides_processes: bool) -> Access:
        """How much of a section this view has. ``hides_processes``: whether /proc is mounted with hidepid."""
        if self.sees_all:
            return Access.ALL
        is_public = SECTIONS[section].visibility is Visibility.PUBLIC
        if is_public and not (hides_processes and section in HIDEABLE):
            return Access.ALL
        return Access.NOTHING if self.uid is None else Access.OWN


class Standing(Enum):
    """What a peer is to the daemon: why it sees what it sees."""

    ROOT = "root"
    GROUP = "group"
    """A member of the configured group."""
    PRIVATE = "private"
    """Who started a private daemon: what the daemon sees, it sees with that user's own rights."""
    OWNER = "owner"
    """Any other user, who sees what is his."""
    NOBODY = "nobody"
    """Uid 65534, to whom nothing belongs."""


def standing_of(peer: Peer, group_gid: int | None, is_private: bool = False) -> Standing:
    """What a peer is. Who has no uid here is nobody, whatever his groups."""
    if peer.uid == 0:
        return Standing.ROOT
    if is_private and peer.uid == os.geteuid():
        return Standing.PRIVATE
    if peer.uid == NOBODY_UID:
        return Standing.NOBODY
    is_member = group_gid not in (None, NOGROUP_GID) and (peer.gid == group_gid or group_gid in peer.groups)
    return Standing.GROUP if is_member else Standing.OWNER


def view_of(peer: Peer, standing: Standing) -> View:
    """What a peer of that standing may see."""
    sees_all = standing not in (Standing.OWNER, Standing.NOBODY)
    return View(sees_all, None if standing is Standing.NOBODY else peer.uid)


def hides_processes(host: Section | None) -> bool:
    """Whether /proc is mounted with hidepid; when that is unknown, it is."""
    if host is None:
        return True
    place = SECTIONS["host"].position["hidepid"]
    return any(row[place] != 0 for row in host.rows.values())


def rows_of(name: str, section: Section, uid: int) -> Section:
    """The rows whose owner is ``uid``. An unknown owner is root."""
    place = SECTIONS[name].position["owner_uid"]
    rows: dict[Key, Row] = {key: row for key, row in section.rows.items() if owner(row[place]) == uid}
    return Section(section.sampled_boottime_ns, rows)


def visible(view: View, name: str, section: Section, hides: bool) -> Section | None:
    """What a view may see of a section; None where it may see nothing."""
    match view.access(name, hides):
        case Access.ALL:
            return section
        case Access.OWN:
            assert view.uid is not None
            return rows_of(name, section, view.uid)
        case Access.NOTHING:
            return None


def owner(owner_uid: Cell) -> int:
    """The uid in a cell ``owner_uid``; absent means root."""
    return owner_uid if isinstance(owner_uid, int) else 0
