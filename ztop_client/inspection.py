"""What is read of one process on demand, with the rights of whoever runs ztop, and why it cannot be where it cannot.

Some of these files can block for as long as the process holds its memory map, so ztop reads them in a child:
``python -m ztop_client.inspection`` takes a target and a part as JSON and prints blocks as JSON.
The number is checked to mean that very process before and after, as for acts.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from ztop_client.actions import PROC, Refused, Target, check_still, held
from ztop_client.formats import bytes_text
from ztop_client.open_files import open_files

_MOST_BYTES = 1 << 20


class Part(StrEnum):
    """What can be asked for."""

    FILES = "files"
    ENVIRONMENT = "environment"
    MEMORY = "memory"
    LIMITS = "limits"


Entry = tuple[str, str]
"""A label and a text, both as they were found: not fit for a terminal."""


@dataclass(frozen=True, slots=True)
class Block:
    """Entries under a title; ``reason`` says why there are none, or not all."""

    title: str
    entries: tuple[Entry, ...] = ()
    reason: str | None = None
    one_line: bool = False
    """Entries are cut at the edge of the page, not wrapped."""


def inspect(target: Target, part: Part, proc: Path = PROC) -> list[Block]:
    """Reads a part. What is refused is a reason."""
    folder = proc / str(target.pid)
    try:
        with held(target, proc) as descriptor:
            blocks = [_block(title, read, folder) for title, read in _READERS[part].items()]
            check_still(target, descriptor)
    except Refused as refusal:
        return [Block("", reason=str(refusal))]
    return blocks


def _block(title: str, read: Callable[[Path], Iterator[Entry]], folder: Path) -> Block:
    try:
        entries = tuple(read(folder))
    except OSError as error:
        return Block(title, reason=reason(error))
    return Block(title, entries, None if entries else "none")


def reason(error: OSError) -> str:
    """Why a file of /proc cannot be read, in words."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "permission denied: run ztop as root or as the process's user"
        case errno.ESRCH:
            return "none: it has no memory of its own (a kernel thread), or has ended"
        case errno.ENOENT:
            return "none: the kernel has no such file for it"
        case _:
            return error.strerror or str(error)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def text(data: bytes) -> str:
    """Bytes as text; what is no UTF-8 as surrogate escapes."""
    return data.decode("utf-8", "surrogateescape")


def _program(folder: Path) -> Iterator[Entry]:
    for label, name in (("Executable", "exe"), ("Directory", "cwd"), ("Root", "root")):
        try:
            yield label, text(os.readlink(os.fsencode(folder / name)))
        except OSError as error:
            yield label, f"({reason(error)})"


def _arguments(folder: Path) -> Iterator[Entry]:
    data = _read(folder / "cmdline")
    return parse_arguments(data)


def parse_arguments(data: bytes) -> Iterator[Entry]:
    """The arguments of ``/proc/PID/cmdline``, numbered."""
    if data:
        for number, argument in enumerate(data.removesuffix(b"\0").split(b"\0")):
            yield str(number), text(argument)


def _environment(folder: Path) -> Iterator[Entry]:
    return parse_environment(_read(folder / "environ"))


def parse_environment(data: bytes) -> Iterator[Entry]:
    """The variables of ``/proc/PID/environ``, by name. A program may have written anything over them."""
    for variable in sorted(filter(None, data.split(b"\0"))):
        name, _, value = variable.partition(b"=")
        yield text(name), text(value)


_MEMORY_MEANINGS = {
    "Rss": "resident",
    "Pss": "resident, a shared page counted as its share",
    "Pss_Anon": "of that: its own data",
    "Pss_File": "of that: files",
    "Pss_Shmem": "of that: shared memory",
    "Shared_Clean": "shared with others, as on disk",
    "Shared_Dirty": "shared with others, changed",
    "Private_Clean": "its own, as on disk",
    "Private_Dirty": "its own, changed: freed when it ends",
    "Referenced": "used lately",
    "Anonymous": "not of a file",
    "AnonHugePages": "in huge pages",
    "LazyFree": "may be taken away",
    "Swap": "swapped out",
    "SwapPss": "swapped out, shared counted as its share",
    "Locked": "locked in memory",
}


def _memory(folder: Path) -> Iterator[Entry]:
    return parse_memory(_read(folder / "smaps_rollup"))


def parse_memory(data: bytes) -> Iterator[Entry]:
    """The sums of ``/proc/PID/smaps_rollup``."""
    for line in text(data).splitlines()[1:]:
        name, _, amount = line.partition(":")
        number, _, unit = amount.strip().partition(" ")
        if unit == "kB" and number.isdigit():
            yield name, f"{bytes_text(int(number) * 1024):>6}  {_MEMORY_MEANINGS.get(name, '')}".rstrip()


def _peaks(folder: Path) -> Iterator[Entry]:
    meanings = {"VmPeak": "most virtual memory", "VmHWM": "most resident memory", "VmData": "data", "VmStk": "stack",
                "VmExe": "program", "VmLib": "libraries", "VmPTE": "page tables"}  # fmt: skip
    for line in text(_read(folder / "status")).splitlines():
        name, _, amount = line.partition(":")
        if name in meanings:
            yield name, f"{bytes_text(int(amount.split()[0]) * 1024):>6}  {meanings[name]}"


def _limits(folder: Path) -> Iterator[Entry]:
    return parse_limits(_read(folder / "limits"))


def parse_limits(data: bytes) -> Iterator[Entry]:
    """The rows of ``/proc/PID/limits``; columns have fixed places."""
    head, *lines = text(data).splitlines() or [""]
    soft, hard, units = (head.find(title) for title in ("Soft Limit", "Hard Limit", "Units"))
    if min(soft, hard, units) < 0:
        return
    for line in lines:
        name, unit = line[:soft].strip().removeprefix("Max "), line[units:].strip()
        now, most = (_amount(value.strip(), unit) for value in (line[soft:hard], line[hard:units]))
        yield name, now if now == most else f"{now}, may be raised to {most}"


def _amount(value: str, unit: str) -> str:
    if not value.isdigit():
        return value
    return bytes_text(int(value)) if unit == "bytes" else f"{value} {unit}".rstrip()


def _namespaces(folder: Path) -> Iterator[Entry]:
    own = folder.parent / "self" / "ns"
    for name in sorted(os.listdir(folder / "ns")):
        number = os.readlink(folder / "ns" / name)
        same = number == os.readlink(own / name)
        yield name, number if same else f"{number}  (another one than ztop's)"


def _cgroups(folder: Path) -> Iterator[Entry]:
    for line in text(_read(folder / "cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        yield controllers or "unified (v2)", path


_READERS: Mapping[Part, Mapping[str, Callable[[Path], Iterator[Entry]]]] = {
    Part.FILES: {"Open files": open_files},
    Part.ENVIRONMENT: {"Program": _program, "Arguments": _arguments, "Environment": _environment},
    Part.MEMORY: {"Memory map, summed": _memory, "Sizes": _peaks},
    Part.LIMITS: {"Limits": _limits, "Namespaces": _namespaces, "Cgroups": _cgroups},
}


def request(target: Target, part: Part) -> str:
    """What the child is given as its argument."""
    return json.dumps({"target": asdict(target), "part": part})


def blocks_of(answer: bytes) -> list[Block]:
    """What the child printed. Raises :exc:`ValueError`."""
    return [
        Block(title, tuple((label, text) for label, text in entries), reason)
        for title, entries, reason in json.loads(answer)
    ]


def main() -> int:
    """The child."""
    asked = json.loads(sys.argv[1])
    blocks = inspect(Target(**asked["target"]), Part(asked["part"]))
    # ASCII: surrogate escapes survive it
    print(json.dumps([(block.title, block.entries, block.reason) for block in blocks]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
