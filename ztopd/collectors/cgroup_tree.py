"""Where the cgroups are: the mounted hierarchies, and the cgroups in each of them."""

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ztopd.collectors.cgroup_files import V1_FILES, V2_FILES, Files
from ztopd.collectors.mountinfo import Mount
from ztopd.collectors.source import Roots

_LEAF_LINKS = 2
"""A folder has a link for each folder in it beside its own two (kernfs keeps to that)."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One tree of cgroups. ``files`` is empty where it has none of the controllers that we read."""

    folder: str
    is_unified: bool
    files: tuple[Files, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """Paths from the hierarchy's root ("/"), parents first; ``left_out``: how many more were seen, at least."""

    paths: list[str]
    left_out: int


def hierarchies(mounts: Iterable[Mount], roots: Roots) -> list[Hierarchy]:
    """The cgroup mounts: v2 first, then v1, each tree once and as much of it as is mounted."""
    of_tree: dict[str, Mount] = {}
    for mount in mounts:
        if mount.type in ("cgroup", "cgroup2"):
            other = of_tree.get(mount.major_minor)
            if other is None or _breadth(mount) < _breadth(other):
                of_tree[mount.major_minor] = mount
    found = [_hierarchy(mount, roots) for mount in of_tree.values()]
    return sorted(found, key=lambda hierarchy: not hierarchy.is_unified)


def walk(folder: str, at_most: int) -> Walk:
    """The cgroups below ``folder``, level by level. Raises :exc:`OSError` where it is not there."""
    os.stat(folder)
    paths, left_out = ["/"], 0
    waiting = deque([""])
    while waiting:
        path = waiting.popleft()
        try:
            if os.stat(folder + path).st_nlink == _LEAF_LINKS:
                continue
            with os.scandir(folder + path) as entries:
                children = [f"{path}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            # removed in the meantime
            continue
        room = at_most - len(paths)
        left_out += max(0, len(children) - room)
        paths += children[:room]
        waiting += children[:room]
    return Walk(paths, left_out)


def _breadth(mount: Mount) -> tuple[int, int]:
    return len(mount.root), len(mount.mount_point)


def _hierarchy(mount: Mount, roots: Roots) -> Hierarchy:
    below_sys = mount.mount_point.removeprefix("/sys/")
    folder = mount.mount_point if below_sys == mount.mount_point else f"{roots.sys}/{below_sys}"
    if mount.type == "cgroup2":
        return Hierarchy(folder, True, (V2_FILES,))
    return Hierarchy(folder, False, tuple(V1_FILES[option] for option in mount.super_options if option in V1_FILES))
