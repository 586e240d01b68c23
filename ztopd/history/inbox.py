"""What waits for the store's thread: bounded, and whoever puts something in never waits."""

import threading
from collections import deque
from dataclasses import dataclass

from ztop_protocol.segment import EncodedFrame

MOST_FRAMES = 64
MOST_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Post:
    """What came: a frame or none, how many were lost before it, and whether nothing more will come."""

    frame: EncodedFrame | None
    lost: int
    is_closed: bool


class Inbox:
    """Frames in their order, as far as there is room for them."""

    def __init__(self, most_frames: int = MOST_FRAMES, most_bytes: int = MOST_BYTES) -> None:
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._frames: deque[EncodedFrame] = deque()
        self._bytes = 0
        self._lost = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, frame: EncodedFrame) -> None:
        """Adds a frame; where there is no room for it, it is lost."""
        size_bytes = _size_of(frame)
        with self._changed:
            has_room = len(self._frames) < self._most_frames and self._bytes + size_bytes <= self._most_bytes
            if not self._is_closed and (has_room or not self._frames):
                self._frames.append(frame)
                self._bytes += size_bytes
                self._changed.notify()
            else:
                self._lost += 1

    def close(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def next(self, at_most_seconds: float) -> Post:
        """The next frame; waits for one."""
        with self._changed:
            if not self._frames and not self._is_closed:
                self._changed.wait(at_most_seconds)
            frame = self._frames.popleft() if self._frames else None
            if frame is not None:
                self._bytes -= _size_of(frame)
            lost, self._lost = self._lost, 0
            return Post(frame, lost, self._is_closed)


def _size_of(frame: EncodedFrame) -> int:
    return sum(map(len, frame.changes.values())) + sum(map(len, (frame.keyframe or {}).values()))
