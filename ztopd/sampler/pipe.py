"""The pipe to the server, that the sampler never waits for."""

import fcntl
import logging
import os
from collections.abc import Mapping
from dataclasses import replace

from ztop_protocol.codec import MAX_FRAME_BYTES, Unencodable, encode_section, encode_section_change
from ztop_protocol.frame import Frame, Section, diff
from ztop_protocol.segment import EncodedFrame, may_follow, stated_interval_ns
from ztopd.feed import Between, pack_between, pack_feed
from ztopd.sampler.fitting import Fitting

_log = logging.getLogger(__name__)

SEGMENT_FRAMES = 60
"""Once in so many frames the whole frame is sent too: a segment of the ring begins with it."""
BUSY_SEGMENT_FRAMES = 20
"""The same where the changes came to more than a third of it: who asks for a frame goes through all that lead there."""
_FEW_BYTES = 24 << 10
"""So many changes are read in no time."""

_PIPE_BYTES = 1 << 20
_SEGMENT_BYTES = MAX_FRAME_BYTES
"""A segment whose changes came to so much ends early: the server keeps one whole."""


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
        self.left_out: tuple[str, ...] = ()
        """The sections that the last frame went without.

        The largest, where it did not fit into :data:`MAX_FRAME_BYTES`; and what cannot be encoded.
        """
        self._logged: set[str] = set()
        self._fitting = Fitting()
        self._waiting = memoryview(b"")
        self._base: Frame | None = None
        self._since_keyframe = 0
        self._bytes_since_keyframe = 0
        self._keyframe_bytes = 0

    @property
    def processes_left_out(self) -> int:
        """How many processes the last frame had no room for: those that used least CPU time in their lives."""
        return self._fitting.left_out

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
        self.left_out = ()
        fitted = self._fitting.fitted(frame)
        message = self._message_if_fit(fitted)
        while message is None:
            frame = replace(frame, sections={n: part for n, part in frame.sections.items() if n not in self.left_out})
            fitted = self._fitting.fitted(frame)
            message = self._message_if_fit(fitted)
        self._waiting = memoryview(pack_feed(message))
        self._base = fitted
        self.flush()

    def offer_between(self, time_ns: int, boottime_ns: int, sections: Mapping[str, Section]) -> None:
        """Sends sections that were sampled since the last frame, where all of that was taken: nothing waits for these.

        Raises :exc:`BrokenPipeError` when the server is gone.
        """
        self.flush()
        if self._waiting or self._base is None:
            return
        try:
            parts = {name: encode_section(name, section) for name, section in sections.items()}
        except Unencodable as error:
            self._log_once(error)
            return
        if not _too_large(parts):
            self._waiting = memoryview(pack_between(Between(time_ns, boottime_ns, parts)))
            self.flush()

    def _message_if_fit(self, frame: Frame) -> EncodedFrame | None:
        try:
            return self._message(frame)
        except Unencodable as error:
            # what a collector gave is its own affair: the other sections arrive
            self._log_once(error)
            self.left_out += (error.section,)
            return None

    def _log_once(self, error: Unencodable) -> None:
        if error.section not in self._logged:
            self._logged.add(error.section)
            _log.exception("what is sent goes without a section")

    def _message(self, frame: Frame) -> EncodedFrame | None:
        """What is sent of the frame; None where it is too large, and less of it fits from then on."""
        base = self._base
        is_due = self._since_keyframe >= self._segment_frames() - 1 or self._bytes_since_keyframe >= _SEGMENT_BYTES
        changes: dict[str, bytes] = {}
        gone: tuple[str, ...] = ()
        if base is not None:
            delta = diff(base, frame)
            changes = {name: encode_section_change(name, change) for name, change in delta.sections.items()}
            gone = delta.gone_sections
        keyframe = None
        if base is None or is_due or not may_follow(base, frame):
            keyframe = {name: encode_section(name, section) for name, section in frame.sections.items()}
        for parts in (changes, keyframe or {}):
            if too_large := _too_large(parts):
                if not self._fitting.shrink(frame, _sizes(parts)):
                    self.left_out += too_large
                return None
        if keyframe is None:
            self._since_keyframe += 1
            self._bytes_since_keyframe += sum(map(len, changes.values()))
        else:
            self._since_keyframe = self._bytes_since_keyframe = 0
            self._keyframe_bytes = sum(map(len, keyframe.values()))
            self._fitting.grow(_sizes(keyframe))
        return EncodedFrame(
            *(frame.seq, frame.time_ns, frame.boottime_ns, frame.boot_id),
            *(None if base is None else base.seq, changes, gone, keyframe),
            stated_interval_ns(frame),
        )

    def _segment_frames(self) -> int:
        is_busy = self._bytes_since_keyframe > max(self._keyframe_bytes / 3, _FEW_BYTES)
        return BUSY_SEGMENT_FRAMES if is_busy else SEGMENT_FRAMES

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


def _sizes(parts: Mapping[str, bytes]) -> dict[str, int]:
    return {name: len(part) for name, part in parts.items()}


def _too_large(parts: Mapping[str, bytes]) -> tuple[str, ...]:
    """The largest sections, without which the others fit into a frame."""
    total = sum(map(len, parts.values()))
    names: list[str] = []
    for name in sorted(parts, key=lambda name: len(parts[name]), reverse=True):
        if total <= MAX_FRAME_BYTES:
            break
        total -= len(parts[name])
        names.append(name)
    return tuple(names)
