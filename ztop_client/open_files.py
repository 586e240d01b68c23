"""The open files of a process; of sockets, what they are connected to."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

_MOST_FILES = 10_000
_ACCESS = {os.O_RDONLY: "r ", os.O_WRONLY: " w", os.O_RDWR: "rw"}
_TCP_STATES = (
    "", "established", "connecting", "answering", "closing", "closing", "time wait", "closed", "close wait",
    "last ack", "listening", "closing",
)  # fmt: skip


def open_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Number with access, and target, of each open file of the process at ``folder``. Raises :exc:`OSError`."""
    descriptors = sorted(int(name) for name in os.listdir(folder / "fd"))
    sockets: dict[str, str] | None = None
    for descriptor in descriptors[:_MOST_FILES]:
        try:
            target = os.readlink(os.fsencode(folder / "fd" / str(descriptor))).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            sockets = _sockets(folder) if sockets is None else sockets
            target = sockets.get(target.removeprefix("socket:[").removesuffix("]"), target)
        yield f"{descriptor:>4} {_access(folder, descriptor)}", target
    if len(descriptors) > _MOST_FILES:
        yield "", f"and {len(descriptors) - _MOST_FILES} more"


def _access(folder: Path, descriptor: int) -> str:
    try:
        lines = (folder / "fdinfo" / str(descriptor)).read_text("ascii", "replace").splitlines()
    except OSError:
        return "  "
    flags = next((int(line.split()[1], 8) for line in lines if line.startswith("flags:")), os.O_RDONLY)
    return _ACCESS.get(flags & os.O_ACCMODE, "  ")


def _sockets(folder: Path) -> dict[str, str]:
    """Inode -> what is known of the socket, of the process's network namespace."""
    found: dict[str, str] = {}
    for protocol in ("tcp", "tcp6", "udp", "udp6", "unix"):
        try:
            data = (folder / "net" / protocol).read_text("utf-8", "surrogateescape")
        except OSError:
            continue
        parse = unix_sockets if protocol == "unix" else internet_sockets
        found.update((inode, f"{protocol} {what}") for inode, what in parse(data))
    return found


def internet_sockets(data: str) -> Iterator[tuple[str, str]]:
    """Inode and addresses of each line of ``/proc/PID/net/tcp`` and its likes."""
    for line in data.splitlines()[1:]:
        fields = line.split()
        local, remote, state = _address(fields[1]), _address(fields[2]), int(fields[3], 16)
        peer = "" if fields[2].endswith(":0000") else f" - {remote}"
        name = _TCP_STATES[state] if state < len(_TCP_STATES) else ""
        # udp has but two states, and "closed" means nothing more than not connected
        yield fields[9], f"{local}{peer}" if name == "closed" else f"{local}{peer} {name}"


def unix_sockets(data: str) -> Iterator[tuple[str, str]]:
    """Inode and path of each line of ``/proc/PID/net/unix``."""
    for line in data.splitlines()[1:]:
        fields = line.split(maxsplit=7)
        yield fields[6], fields[7] if len(fields) > 7 else "(no name)"


def _address(text: str) -> str:
    """``0100007F:0016`` is 127.0.0.1:22: words of four bytes in the machine's order."""
    digits, _, port = text.partition(":")
    words = (int(digits[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(digits), 8))
    packed = b"".join(words)
    if len(packed) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"
