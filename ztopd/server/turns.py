"""Turns: what is costly is done for each user one thing at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A lock for each user who wants one."""

    def __init__(self) -> None:
        self._locks: dict[int, asyncio.Lock] = {}
        self._wanted: Counter[int] = Counter()

    @asynccontextmanager
    async def of(self, uid: int) -> AsyncIterator[None]:
        """Waits until nothing else is done for that user."""
        self._wanted[uid] += 1
        try:
            async with self._locks.setdefault(uid, asyncio.Lock()):
                yield
        finally:
            self._wanted[uid] -= 1
            if not self._wanted[uid]:
                del self._wanted[uid], self._locks[uid]
