"""A store with a sampler and an event loop of the test's own; as a program it stores frames until it is killed.

python -m tests.ztopd.history.storing DIRECTORY RUN FIRST PAUSE_SECONDS
"""

import queue
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import BOOT_ID, SECOND
from ztop_protocol.frame import Frame
from ztop_protocol.recording_format import RecordingError
from ztop_protocol.recording_reader import RecordingReader
from ztop_protocol.segment import EncodedFrame, encode_step
from ztop_protocol.timeline import frames
from ztopd.history.keeper import StoreSettings
from ztopd.history.retention import Limits
from ztopd.history.state import StoreState
from ztopd.history.store import Store

ALWAYS = (0, 1 << 62)
SECONDS = 20.0
"""How long anything may take on a busy machine."""
KEYFRAMES = 60


class Sampler:
    """Makes frames as ztopd's does: numbered from 1, a keyframe once in 60, deltas in between."""

    def __init__(self, boot_id: str = BOOT_ID, boottime_ns: int = 0) -> None:
        """Each boot begins at a wall time of its own."""
        self._boot_id = boot_id
        self._after_ns = boottime_ns
        self.newest: Frame | None = None
        self._since_keyframe = 0

    def make(self, seq: int) -> Frame:
        frame = made(seq)
        time_ns = frame.time_ns + self._after_ns
        return replace(frame, boot_id=self._boot_id, time_ns=time_ns)

    def step(self) -> EncodedFrame:
        """The next frame."""
        frame = self.make(1 if self.newest is None else self.newest.seq + 1)
        is_whole = self.newest is None or self._since_keyframe == KEYFRAMES - 1
        self._since_keyframe = 0 if is_whole else self._since_keyframe + 1
        step = encode_step(self.newest, frame, whole=is_whole)
        self.newest = frame
        return step

    def again(self) -> EncodedFrame:
        """The newest frame, whole, as a server that was started anew gets it."""
        assert self.newest is not None
        self._since_keyframe = 0
        return encode_step(None, self.newest, whole=True)


class Keeping:
    """A store in a directory, and what it was given."""

    def __init__(
        self,
        directory: Path,
        run: str = "a run",
        *,
        size_bytes: int = 1 << 29,
        age_ns: int = 1 << 62,
        interval_ns: int = SECOND,
    ) -> None:
        self.path = directory / "timeline.ztop"
        self.states: list[StoreState] = []
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        settings = StoreSettings(str(directory), run, Limits(age_ns, size_bytes))
        self.store = Store(settings, interval_ns, call_soon=self._calls.put, tell=self.states.append)
        self.given: dict[int, Frame] = {}

    def take(self, sampler: Sampler, count: int) -> None:
        """So many of the sampler's next frames."""
        for _ in range(count):
            self.give(sampler.step(), sampler)

    def give(self, step: EncodedFrame, sampler: Sampler) -> None:
        """One frame, numbered as the history does. Waits where there is no room for it: nothing is to be lost here."""
        offset = self.store.seq_offset
        base_seq = None if step.base_seq is None else step.base_seq + offset
        self.until(lambda: len(self.store._inbox._frames) < 60, "the thread takes frames")
        self.store.take(replace(step, seq=step.seq + offset, base_seq=base_seq))
        assert sampler.newest is not None
        self.given[step.seq + offset] = replace(sampler.newest, seq=step.seq + offset)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Does what was to be done in the event loop, until that holds."""
        deadline = time.monotonic() + SECONDS
        while True:
            while not self._calls.empty():
                self._calls.get()()
            if condition():
                return
            assert time.monotonic() < deadline, f"never: {what}; {self.states}"
            time.sleep(0.01)

    def until_state(self, state: StoreState) -> None:
        self.until(lambda: self.store.state is state, f"{state}")

    def written(self) -> list[Frame]:
        """Every frame that is in the file, growing segments included."""
        return stored(self.path)

    def until_written(self, seq: int) -> None:
        """Until that frame is in the file."""
        self.until(lambda: any(frame.seq == seq for frame in self.written()), f"frame {seq} is written")

    def remembered(self) -> list[Frame]:
        """Every frame of the complete segments, as readers get them."""
        self.until(lambda: True, "")
        return list(frames(self.store.timeline, *ALWAYS))

    def close(self) -> None:
        self.store.close()
        self.until(lambda: True, "")


def stored(path: Path) -> list[Frame]:
    """Every frame of a file, as who replays it gets them; none where it has none."""
    try:
        reader = RecordingReader(str(path))
    except RecordingError:
        return []
    try:
        return list(frames(reader.timeline, *ALWAYS))
    finally:
        reader.close()


def main() -> None:
    """Says the number of each frame on stdout, a moment before the store gets it."""
    directory, run, pause_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    keeping, sampler = Keeping(directory, run), Sampler()
    while True:
        step = sampler.step()
        print(step.seq + keeping.store.seq_offset, time.monotonic(), flush=True)
        keeping.give(step, sampler)
        time.sleep(pause_s)


if __name__ == "__main__":
    main()
