"""The budget of open files: one for all who keep some open between ticks."""


class Descriptors:
    """How many files may stay open, and how many are. A part counts in the whole that it is a part of, too."""

    __slots__ = ("_whole", "limit", "used")

    def __init__(self, limit: int, whole: "Descriptors | None" = None) -> None:
        self.limit = limit
        self.used = 0
        self._whole = whole

    @property
    def left(self) -> int:
        """How many more may be opened."""
        own = self.limit - self.used
        return own if self._whole is None else min(own, self._whole.left)

    def take(self, count: int = 1) -> bool:
        """Takes so many. False where there are not enough: then none is taken."""
        if self.left < count:
            return False
        self._add(count)
        return True

    def give_back(self, count: int = 1) -> None:
        """So many are closed again."""
        self._add(-count)

    def _add(self, count: int) -> None:
        self.used += count
        if self._whole is not None:
            self._whole._add(count)
