"""What is drawn of many things of which few change from frame to frame."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Unchanged(Generic[T]):
    """Keeps what was made last for each thing, as long as what it is made of is equal to what that was made of."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[object, T]] = {}

    def get(self, thing: Hashable, made_of: object, make: Callable[[], T]) -> T:
        """What is known of ``thing``, made anew where ``made_of`` is another."""
        known = self._known.get(thing)
        if known is None or known[0] != made_of:
            known = self._known[thing] = (made_of, make())
        return known[1]

    def forget(self) -> None:
        """Lets go of all."""
        self._known.clear()
