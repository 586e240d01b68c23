"""What is dear to read and seldom changes: read again only when it is too old."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Calls ``read`` at the first :meth:`value`, and then no sooner than every ``period_ns``."""

    def __init__(self, read: Callable[[], Value], period_ns: int) -> None:
        self._read = read
        self._period_ns = period_ns
        self._last: tuple[int, Value] | None = None

    def value(self) -> Value:
        """The value, at most ``period_ns`` old. Raises what ``read`` raises; the next call then tries again."""
        now_ns = time.monotonic_ns()
        if self._last is None or now_ns - self._last[0] >= self._period_ns:
            self._last = now_ns, self._read()
        return self._last[1]
