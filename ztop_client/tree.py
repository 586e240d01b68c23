"""Parents and children: the rows in the order of a tree, with the lines that are drawn before them."""

from collections.abc import Callable, Collection, Sequence

from ztop_client.glyphs import Glyphs
from ztop_protocol.frame import Cell, Key


def arranged(
    keys: Sequence[Key], parent_of: Callable[[Key], Cell], folded: Collection[Key], glyphs: Glyphs
) -> tuple[list[Key], dict[Key, str]]:
    """The keys depth first, siblings in the order given, and each one's prefix.

    A process whose parent is not among ``keys`` is a root. What is below a folded one is left out.
    """
    by_pid = {key[0]: key for key in keys}
    children: dict[Cell, list[Key]] = {}
    roots: list[Key] = []
    for key in keys:
        parent = by_pid.get(parent_of(key))
        # a pid that was taken over since is no parent
        if parent is None or parent[1] > key[1] or (parent[1] == key[1] and parent[0] >= key[0]):  # type: ignore[operator]
            roots.append(key)
        elif parent[0] in children:
            children[parent[0]].append(key)
        else:
            children[parent[0]] = [key]
    order: list[Key] = []
    prefixes: dict[Key, str] = {}
    # key, what is drawn before it, what its children's lines begin with
    waiting = [(key, "", "") for key in reversed(roots)]
    while waiting:
        key, branch, trunk = waiting.pop()
        order.append(key)
        prefixes[key] = branch
        below = children.pop(key[0], None)
        if below is None:
            continue
        if key in folded:
            prefixes[key] = branch + glyphs.folded
            continue
        waiting.append((below[-1], trunk + glyphs.last_branch, trunk + "   "))
        branch, trunk = trunk + glyphs.branch, trunk + glyphs.trunk
        waiting += [(child, branch, trunk) for child in below[-2::-1]]
    return order, prefixes
