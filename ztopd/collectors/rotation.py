"""Facts that change seldom and cost a file each: read when a name is new, and again in turn."""

from collections.abc import Callable, Container
from itertools import islice
from typing import Generic, TypeVar

Fact = TypeVar("Fact")


class Rotation(Generic[Fact]):
    """The facts by name, each read again when it is older than ``period_ns``, but few of them at a time.

    So 2000 devices cost a little at every tick, never much at one of them.
    """

    def __init__(self, read: Callable[[str], Fact], period_ns: int, at_a_time: int) -> None:
        self._read = read
        self._period_ns = period_ns
        self._at_a_time = at_a_time
        # the longest unread first
        self._known: dict[str, tuple[int, Fact]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def fact(self, name: str, now_ns: int) -> Fact:
        """What is known of ``name``; read now where it is new."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = (now_ns, self._read(name))
        return known[1]

    def turn(self, now_ns: int) -> set[str]:
        """Reads what is due; returns the names whose fact is another one now."""
        due = [
            name
            for name, (read_ns, _) in islice(self._known.items(), self._at_a_time)
            if now_ns - read_ns >= self._period_ns
        ]
        changed: set[str] = set()
        for name in due:
            _, before = self._known.pop(name)
            after = self._read(name)
            self._known[name] = (now_ns, after)
            if after != before:
                changed.add(name)
        return changed

    def forget_others(self, names: Container[object]) -> None:
        """Drops what is known of names that are not among ``names``."""
        for name in [name for name in self._known if name not in names]:
            del self._known[name]
