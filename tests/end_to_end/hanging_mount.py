"""A file system that hangs: FUSE in pure Python, which says what its files are and never gives their data or its size.

    unshare --mount --propagation private python -m tests.end_to_end.hanging_mount FOLDER

mounts it in a namespace of its own, so that nobody else on the machine hangs with it, says so on stdout, and ends with
its stdin. Who waits for it then is let go: until then not even a SIGKILL ends that one, as with a dead NFS server.
"""

import ctypes
import os
import select
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# include/uapi/linux/fuse.h
_IN_HEADER = struct.Struct("=IIQQIIIHH")
_OUT_HEADER = struct.Struct("=IiQ")
_ATTRIBUTES = struct.Struct("=6Q10I")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _RELEASE, _INIT, _OPENDIR, _READDIR, _RELEASEDIR = 1, 2, 3, 14, 18, 26, 27, 28, 29
_INTERRUPT, _BATCH_FORGET = 36, 42
_ROOT, _FILE = 1, 2
_ENOSYS, _ENOENT = 38, 2
_HANGS = {15: "READ", 17: "STATFS", 25: "FLUSH"}
_FILE_BYTES = 1 << 20

NAME = "file"
"""The one file in there: a megabyte that nobody gets to read."""


def can_be_mounted() -> str | None:
    """Why it cannot be mounted here; None: it can."""
    if os.geteuid() != 0:
        return "only root can mount it"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return "util-linux (unshare, nsenter) is not installed"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        return "mount namespaces cannot be made here"
    return None


needs_hanging_mount = pytest.mark.skipif(can_be_mounted() is not None, reason=str(can_be_mounted()))


class HangingMount:
    """Where it is mounted, and how others get there."""

    def __init__(self, folder: Path, server: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self._server = server

    @property
    def enter(self) -> tuple[str, ...]:
        """A command that begins with this sees it."""
        return ("nsenter", f"--mount=/proc/{self._server.pid}/ns/mnt", "--")

    def let_go(self) -> None:
        """Whatever hangs goes on with an error."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(20)


@contextmanager
def hanging_mount(folder: Path) -> Iterator[HangingMount]:
    """It is mounted on the folder until the end; then everything that hung goes on with an error."""
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", __spec__.name, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        mount = HangingMount(folder, server)
        try:
            if server.stdout.readline() != b"mounted\n":
                pytest.skip("a FUSE file system cannot be mounted here")
            yield mount
        finally:
            mount.let_go()


def _attributes(node: int) -> bytes:
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == _ROOT else (stat.S_IFREG | 0o666, _FILE_BYTES)
    return _ATTRIBUTES.pack(node, size, size >> 9, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _answer(opcode: int, node: int, body: bytes) -> bytes | int | None:
    """The answer's bytes, an errno, or None: none at all."""
    hour = 3600
    match opcode:
        case _ if opcode in _HANGS:
            return None
        case _ if opcode in (_FORGET, _BATCH_FORGET, _INTERRUPT):
            return None
        case _ if opcode == _INIT:
            major, minor, readahead, _ = struct.unpack_from("=4I", body)
            return struct.pack("=4I2H2I2H2I24x", major, minor, readahead, 0, 16, 12, 1 << 16, 1, 0, 0, 0, 0)
        case _ if opcode == _LOOKUP:
            if body != NAME.encode() + b"\0":
                return _ENOENT
            return struct.pack("=4Q2I", _FILE, 0, hour, hour, 0, 0) + _attributes(_FILE)
        case _ if opcode == _GETATTR:
            return struct.pack("=Q2I", hour, 0, 0) + _attributes(node)
        case _ if opcode in (_OPEN, _OPENDIR):
            return struct.pack("=QIi", 1, 0, 0)
        case _ if opcode in (_READDIR, _RELEASE, _RELEASEDIR):
            return b""
        case _:
            return _ENOSYS


def _serve(fuse: int) -> None:
    poll = select.poll()
    poll.register(fuse, select.POLLIN)
    poll.register(0, select.POLLIN)
    while not any(descriptor == 0 for descriptor, _ in poll.poll()):
        request = os.read(fuse, 1 << 18)
        length, opcode, unique, node, *_ = _IN_HEADER.unpack_from(request)
        if opcode in _HANGS:
            print(_HANGS[opcode], flush=True)
        answer = _answer(opcode, node, request[_IN_HEADER.size : length])
        if isinstance(answer, int):
            os.write(fuse, _OUT_HEADER.pack(_OUT_HEADER.size, -answer, unique))
        elif answer is not None:
            os.write(fuse, _OUT_HEADER.pack(_OUT_HEADER.size + len(answer), 0, unique) + answer)


def main() -> None:
    """Mounts and answers, or not, until stdin ends."""
    folder = sys.argv[1]
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hanging", os.fsencode(folder), b"fuse.hanging", 0, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)
    print("mounted", flush=True)
    _serve(fuse)


if __name__ == "__main__":
    main()
