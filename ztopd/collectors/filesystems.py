"""Mounted file systems: /proc/self/mountinfo, and statvfs(3) of each, which the reader child asks for us.

A dead server blocks statvfs for ever. So nothing here waits: what has answered since the last time is taken, and
a mount that has not keeps its last numbers with the time at which they were true.
"""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from ztop_protocol.frame import Row
from ztop_protocol.schema import SourceState
from ztopd.collectors.blocking import Answer, BlockingReader, Question
from ztopd.collectors.files import read
from ztopd.collectors.mountinfo import Mount, parse_mountinfo
from ztopd.collectors.source import ParseError, Problem, Roots, Sample, Withheld, by_key

PSEUDO_TYPES = frozenset(
    {
        "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts",
        "devtmpfs", "efivarfs", "functionfs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fusectl",
        "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore", "ramfs", "resctrl", "rootfs", "rpc_pipefs",
        "securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs", "usbfs", "xenfs",
    }
)  # fmt: skip
"""File systems that store nothing: their sizes say nothing, and looking at some (autofs) would mount others."""

_HIDDEN = re.compile(r"/inaccessible/(reg|dir|fifo|sock|chr|blk)\Z")
_OF_A_SERVICE = re.compile(r"/systemd-private-|/systemd/propagate/")
"""Roots of what systemd mounts over a folder, for ProtectHome= and its like; and for PrivateTmp=."""

PERIOD_NS = 10_000_000_000
AWAITED_NS = 5_000_000_000
"""How long after asking every tick looks for answers; later ones are found at the next period."""
LATE_NS = 3_000_000_000
"""An answer that takes longer is said to be missing."""
COMPLAINTS_SAID = 3

_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Space:
    """What statvfs(3) said; None where the file system has no such number (btrfs has no inodes to count)."""

    size_bytes: int | None
    used_bytes: int | None
    available_bytes: int | None
    inodes_total: int | None
    inodes_used: int | None
    inodes_available: int | None


NO_SPACE_KNOWN = Space(None, None, None, None, None, None)


def real_mounts(mounts: Iterable[Mount]) -> list[Mount]:
    """Those that hold data: of several on one mount point the topmost, of one tree mounted twice the shortest path.

    Without what systemd mounts for its service that we may be: what hides a folder (ProtectHome=) has the numbers of
    another file system, and a folder mounted onto itself (StateDirectory=) or of its own (PrivateTmp=) has no others
    than the one that it lies in.
    """
    visible = {mount.mount_point: mount for mount in mounts if not _OF_A_SERVICE.search(mount.root)}
    top = visible.get("/")
    of_tree: dict[tuple[str, str], Mount] = {}
    for mount in visible.values():
        if mount.type in PSEUDO_TYPES or (mount.type == "tmpfs" and _HIDDEN.search(mount.root)):
            continue
        is_onto_itself = mount.mount_point == mount.root != "/"
        if is_onto_itself and top is not None and (top.major_minor, top.root) == (mount.major_minor, "/"):
            continue
        tree = (mount.major_minor, mount.root)
        other = of_tree.get(tree)
        if other is None or len(mount.mount_point) < len(other.mount_point):
            of_tree[tree] = mount
    return list(of_tree.values())


def parse_statvfs(data: bytes) -> Space:
    """The reader's ten numbers: f_bsize f_frsize f_blocks f_bfree f_bavail f_files f_ffree f_favail f_flag f_namemax.

    Raises :exc:`ParseError`.
    """
    try:
        block, fragment, blocks, free, available, inodes, inodes_free, inodes_available, _, _ = map(int, data.split())
    except ValueError as error:
        raise ParseError(f"statvfs: {data!r}: {error}") from error
    unit = fragment or block
    # a FUSE file system's numbers are whatever its user wrote
    size = blocks * unit if blocks and max(blocks, free, available) * unit <= _LARGEST else None
    total = inodes if inodes and max(inodes, inodes_free, inodes_available) <= _LARGEST else None
    return Space(
        *(size, None if size is None else (blocks - free) * unit, None if size is None else available * unit),
        *(total, None if total is None else total - inodes_free, None if total is None else inodes_available),
    )


@dataclass(slots=True)
class _Conversation:
    """What one mount point was asked, and what it said."""

    space: Space = NO_SPACE_KNOWN
    answered_ns: int | None = None
    silent_since_ns: int | None = None
    """When it was asked what it has not answered yet; None: it owes nothing."""
    refusal: str | None = None

    def asked(self, now_ns: int) -> None:
        if self.silent_since_ns is None:
            self.silent_since_ns = now_ns

    def take(self, answer: Answer) -> None:
        if answer.data is None:
            self.refusal = answer.reason
            return
        try:
            self.space = parse_statvfs(answer.data)
        except ParseError as error:
            self.refusal = str(error)
            return
        self.answered_ns = answer.boottime_ns
        self.silent_since_ns = self.refusal = None

    def silence_ns(self, now_ns: int) -> int | None:
        """How long an answer has been missing; None where none is, or where it may yet come."""
        if self.silent_since_ns is None:
            return None
        silence_ns = now_ns - self.silent_since_ns
        return silence_ns if self.refusal is not None or silence_ns >= LATE_NS else None

    def is_awaited(self, now_ns: int) -> bool:
        """Whether the answer may come any moment."""
        return self.silent_since_ns is not None and self.refusal is None and now_ns - self.silent_since_ns < AWAITED_NS


class Filesystems:
    """The section ``filesystems``."""

    name = "filesystems"

    def __init__(self, roots: Roots, reader: BlockingReader) -> None:
        self._mountinfo = f"{roots.proc}/self/mountinfo"
        self._reader = reader
        self._of_mount_point: dict[str, _Conversation] = {}
        self._round_ns: int | None = None
        self._awaiting = False

    @property
    def period_ns(self) -> int:
        """Ten seconds; every tick while an answer may come any moment."""
        return 0 if self._awaiting else PERIOD_NS

    def collect(self) -> Sample:
        """Asks for what is due and takes what has come. Raises :exc:`Withheld` where nothing is mounted."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        mounts = real_mounts(parse_mountinfo(read(self._mountinfo)))
        if not mounts:
            raise Withheld(Problem(SourceState.ABSENT, "no file system that holds data is mounted"))
        self._ask(mounts, now_ns)
        for mount_point, answer in self._reader.take(Question.FILESYSTEM).items():
            conversation = (
                self._of_mount_point.get(os.fsdecode(mount_point)) if isinstance(mount_point, bytes) else None
            )
            if conversation is not None:
                conversation.take(answer)
        self._awaiting = any(conversation.is_awaited(now_ns) for conversation in self._of_mount_point.values())
        rows = by_key(self.name, (_row(mount, self._of_mount_point[mount.mount_point]) for mount in mounts))
        return Sample({self.name: rows}, self._problem(now_ns))

    def _ask(self, mounts: list[Mount], now_ns: int) -> None:
        # a tick comes a little early or late
        whole_round = self._round_ns is None or now_ns - self._round_ns >= PERIOD_NS * 0.9
        if whole_round:
            self._round_ns = now_ns
        before, self._of_mount_point = self._of_mount_point, {}
        for mount in mounts:
            conversation = before.get(mount.mount_point)
            if conversation is None or whole_round:
                self._reader.ask(Question.FILESYSTEM, os.fsencode(mount.mount_point))
                conversation = conversation or _Conversation()
                conversation.asked(now_ns)
            self._of_mount_point[mount.mount_point] = conversation

    def _problem(self, now_ns: int) -> Problem | None:
        complaints = [
            f"{_printable(mount_point)} cannot be read: {conversation.refusal}"
            if conversation.refusal
            else f"{_printable(mount_point)} has not answered for {silence_ns // 1_000_000_000} s"
            for mount_point, conversation in self._of_mount_point.items()
            if (silence_ns := conversation.silence_ns(now_ns)) is not None
        ]
        if not complaints:
            return None
        more = [f"and {len(complaints) - COMPLAINTS_SAID} more"] if len(complaints) > COMPLAINTS_SAID else []
        return Problem(
            SourceState.DEGRADED,
            "; ".join(complaints[:COMPLAINTS_SAID] + more),
            "see whether its server or FUSE process is alive and lets ztopd in; umount -l lets go of a dead one",
        )


def _row(mount: Mount, conversation: _Conversation) -> Row:
    space = conversation.space
    return (
        *(mount.mount_point, mount.source, mount.type, "ro" in mount.options or "ro" in mount.super_options),
        *(space.size_bytes, space.used_bytes, space.available_bytes),
        *(space.inodes_total, space.inodes_used, space.inodes_available, conversation.answered_ns),
    )


def _printable(mount_point: str) -> str:
    return mount_point if mount_point.isprintable() else repr(mount_point)
