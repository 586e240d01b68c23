"""Which disks and networks count where the traffic of a machine is summed, so that nothing counts twice."""

from collections.abc import Mapping

from ztop_protocol.frame import Key, Row
from ztop_protocol.schema import DISKS

_STACKED_DISKS = ("dm-", "md", "loop", "zram", "ram", "zd", "bcache", "drbd")
"""What is in memory, or lies on other disks: its traffic is, or is counted with, theirs."""
_WHOLE_DISK = DISKS.position["whole_disk"]
_INNER_NETWORKS = (
    "lo", "veth", "br-", "docker", "virbr", "vnet", "lxc", "lxd", "podman", "cni", "flannel", "cali", "vxlan", "tap",
    "tun", "wg", "tailscale", "zt", "bond", "team", "dummy", "ifb", "sit", "gre", "ip6tnl",
)  # fmt: skip
"""What stays in the machine, or goes through another interface and is counted there. So do VLANs: eth0.7."""


def physical_disks(rows: Mapping[Key, Row]) -> list[Key]:
    """The whole disks of the section ``disks`` that lie on no other."""
    return [key for key, row in rows.items() if row[_WHOLE_DISK] and not str(key[0]).startswith(_STACKED_DISKS)]


def outer_networks(rows: Mapping[Key, Row]) -> list[Key]:
    """The interfaces of the section ``networks`` that lead out of the machine; where none does, all but ``lo``."""
    names = [(str(key[0]), key) for key in rows]
    outer = [key for name, key in names if not name.startswith(_INNER_NETWORKS) and "." not in name]
    # a container may have nothing but one end of a tunnel
    return outer or [key for name, key in names if name != "lo"]
