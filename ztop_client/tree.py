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
    children: dict[Key, list[Key]] = {}
    roots: list[Key] = []
    for key in keys:
        parent = by_pid.get(parent_of(key))
        # a pid that was taken over since is no parent
        if parent is None or (parent[1], parent[0]) >= (key[1], key[0]):
            roots.append(key)
        else:
            children.setdefault(parent, []).append(key)
    order: list[Key] = []
    prefixes: dict[Key, str] = {}
    # key, what is drawn before it, what its children's lines begin with
    waiting: list[tuple[Key, str, str]] = [(key, "", "") for key in reversed(roots)]
    while waiting:
        key, branch, trunk = waiting.pop()
        below = children.pop(key, ())
        is_folded = bool(below) and key in folded
        prefixes[key] = branch + (glyphs.folded if is_folded else "")
        order.append(key)
        if is_folded:
            continue
        last = len(below) - 1
        for place in range(last, -1, -1):
            end = place == last
            waiting.append(
                (
                    below[place],
                    trunk + (glyphs.last_branch if end else glyphs.branch),
                    trunk + ("   " if end else glyphs.trunk),
                )
            )
    return order, prefixes
