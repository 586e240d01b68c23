"""The pipe to the server, that the sampler never waits for."""

import fcntl
import os

from ztop_protocol.codec import encode_section, encode_section_change
from ztop_protocol.frame import Frame, diff
from ztopd.feed import FeedFrame, pack_feed

SEGMENT_FRAMES = 60
"""Once in so many frames the whole frame is sent too: a segment of the ring begins with it."""

_PIPE_BYTES = 1 << 20


class FeedPipe:
    """Sends frames as deltas. Where the server does not keep up, frames are dropped and a whole one follows."""

    def __init__(self, descriptor: int) -> None:
        """Takes over the write end of a pipe."""
        os.set_blocking(descriptor, False)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except PermissionError:
            # over /proc/sys/fs/pipe-user-pages-soft: the usual 64 KiB do as well, in more steps
            pass
        self.descriptor = descriptor
        self.dropped = 0
        self._waiting = memoryview(b"")
        self._base: Frame | None = None
        self._since_keyframe = 0

    @property
    def has_waiting_bytes(self) -> bool:
        """Whether the descriptor is to be watched for becoming writable."""
        return bool(self._waiting)

    def offer(self, frame: Frame) -> None:
        """Sends the frame, or as much as fits now. Raises :exc:`BrokenPipeError` when the server is gone."""
        self.flush()
        if self._waiting:
            self.dropped += 1
            self._base = None
            return
        base = self._base
        with_keyframe = base is None or self._since_keyframe >= SEGMENT_FRAMES - 1
        self._since_keyframe = 0 if with_keyframe else self._since_keyframe + 1
        changes: dict[str, bytes] = {}
        gone: tuple[str, ...] = ()
        if base is not None:
            delta = diff(base, frame)
            changes = {name: encode_section_change(name, change) for name, change in delta.sections.items()}
            gone = delta.gone_sections
        keyframe = None
        if with_keyframe:
            keyframe = {name: encode_section(name, section) for name, section in frame.sections.items()}
        self._base = frame
        self._waiting = memoryview(
            pack_feed(
                FeedFrame(
                    *(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id),
                    *(None if base is None else base.seq, changes, gone, keyframe),
                )
            )
        )
        self.flush()

    def flush(self) -> None:
        """Sends what waits, as far as it goes."""
        while self._waiting:
            try:
                self._waiting = self._waiting[os.write(self.descriptor, self._waiting) :]
            except BlockingIOError:
                return

    def close(self) -> None:
        """Closes the pipe: the server ends with it."""
        os.close(self.descriptor)
