"""Reading the small files of /proc and /sys."""

import os

MAX_FILE_BYTES = 16 << 20


def read(path: str, at_most: int = MAX_FILE_BYTES) -> bytes:
    """The file's bytes, cut at ``at_most``. Raises :exc:`OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts: list[bytes] = []
        size = 0
        # a short read is no end: seq_file hands out whole records, as many as fit its page
        while size < at_most and (data := os.read(descriptor, min(at_most - size, 1 << 16))):
            parts.append(data)
            size += len(data)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def read_record(path: str, at_most: int) -> bytes:
    """A file that is one record to the kernel (single_open, as most of /proc/PID), so that one read gets it whole."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, at_most)
    finally:
        os.close(descriptor)


def read_if_there(path: str) -> bytes | None:
    """The file's bytes, or None where it is absent or refused."""
    try:
        return read(path)
    except OSError:
        return None


def read_int(path: str) -> int | None:
    """A file that holds one number, or None where it is absent, refused or holds something else."""
    data = read_if_there(path)
    try:
        return None if data is None else int(data)
    except ValueError:
        return None


def text(data: bytes) -> str:
    """Bytes of the kernel's as text; what is not UTF-8 is kept as surrogate escapes."""
    return data.decode("utf-8", "surrogateescape")
