"""/proc/PID/mountinfo, as proc_pid_mountinfo(5) has it."""

import re
from dataclasses import dataclass

from ztopd.collectors.files import text
from ztopd.collectors.source import ParseError

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount, with the names of the manual page. Escaped characters (``\\040``) are decoded."""

    mount_id: str
    parent_id: str
    major_minor: str
    root: str
    mount_point: str
    options: tuple[str, ...]
    type: str
    source: str
    super_options: tuple[str, ...]


def parse_mountinfo(data: bytes) -> list[Mount]:
    """The mounts in the kernel's order: of two on one mount point the later one is on top.

    Raises :exc:`ParseError`.
    """
    # not splitlines: a carriage return in a path is not escaped
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    return [_mount(number, line) for number, line in enumerate(lines, 1)]


def _mount(number: int, line: bytes) -> Mount:
    # any number of optional fields, ended by a hyphen, stand before the type
    before, separator, after = line.partition(b" - ")
    fields, rest = before.split(b" "), after.split(b" ")
    if not separator or len(fields) < 6 or len(rest) < 3:
        raise ParseError(f"mountinfo, line {number}: fewer fields than proc_pid_mountinfo(5) names")
    mount_id, parent_id, major_minor, root, mount_point, options = map(_decoded, fields[:6])
    kind, source, super_options = _decoded(rest[0]), _decoded(rest[1]), _decoded(b" ".join(rest[2:]))
    return Mount(
        *(mount_id, parent_id, major_minor, root, mount_point, tuple(options.split(","))),
        *(kind, source, tuple(super_options.split(","))),
    )


def _decoded(field: bytes) -> str:
    return text(_ESCAPE.sub(lambda match: bytes((int(match[1], 8),)), field))
