"""Which container a cgroup belongs to, read off its path alone.

The forms are those of the runtimes' cgroup managers: systemd scopes (``docker-ID.scope``), plain directories
(``/docker/ID``) and runc's unexpanded ``SLICE:PREFIX:ID``. Any user can name a cgroup of their own like this:
what comes back is a label, never a fact to grant rights by.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_RUNTIME_OF_PREFIX = {
    "docker": "docker",
    "libpod": "podman",
    "libpod-payload": "podman",  # podman run --cgroups=split, and so quadlets
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
}
_PREFIXED_ID = re.compile(rf"(?:[^:]*:)?({'|'.join(_RUNTIME_OF_PREFIX)})[-:]([0-9a-f]{{64}})(?:\.scope)?", re.ASCII)
_BARE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LXC = re.compile(r"lxc\.payload\.(.+)", re.DOTALL)
_NSPAWN = re.compile(r"(?:machine-(?!qemu\\x2d|lxc\\x2d)(.+)\.scope|systemd-nspawn@(.+)\.service)", re.DOTALL)
"""libvirt registers its machines as ``machine-qemu\\x2d1\\x2dNAME.scope``: those are not nspawn's."""
_SYSTEMD_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Container:
    """``id``: 64 hexadecimal digits, or the name where the runtime goes by names (lxc, systemd-nspawn).

    ``runtime``: docker, podman, containerd, cri-o, kubernetes (a pod's container whose path does not say
    which runtime holds it), lxc or systemd-nspawn.
    """

    id: str
    runtime: str


@lru_cache(maxsize=8192)
def container_of(path: str) -> Container | None:
    """The innermost container at or above the cgroup ``path``, or None where the path shows none."""
    if len(path) < 2:
        return None
    components = path.split("/")
    for place in range(len(components) - 1, -1, -1):
        found = _container_at(components, place)
        if found is not None:
            return found
    return None


def _container_at(components: list[str], place: int) -> Container | None:
    component = components[place]
    if match := _PREFIXED_ID.fullmatch(component):
        return Container(match[2], _RUNTIME_OF_PREFIX[match[1]])
    parent = components[place - 1] if place else ""
    if _BARE_ID.fullmatch(component):
        if parent == "docker":
            return Container(component, "docker")
        if any(above.startswith("kubepods") for above in components[:place]):
            return Container(component, "kubernetes")
        return None
    if match := _LXC.fullmatch(component):
        return Container(match[1], "lxc")
    if component and parent in ("lxc", "lxc.payload"):
        return Container(component, "lxc")
    if match := _NSPAWN.fullmatch(component):
        return Container(_unescaped(match[1] or match[2]), "systemd-nspawn")
    return None


def _unescaped(name: str) -> str:
    """The name that systemd wrote as part of a unit's name (systemd.unit(5): ``\\x2d`` stands for ``-``)."""
    data = name.encode("utf-8", "surrogateescape")
    return _SYSTEMD_ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), data).decode("utf-8", "surrogateescape")
