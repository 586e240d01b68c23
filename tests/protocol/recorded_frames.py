"""Frames to be recorded, and a program that records them until it is killed."""

import sys
import time

from tests.ztop_client.fake_source import SECOND, frame, process
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.segment import encode_step


def made(seq: int, processes: int = 8) -> Frame:
    """The frame of that number: counters grow, one process comes and goes."""
    rows = [process(pid, user_time_ns=seq * pid * 1000, rss_bytes=(pid * 7919 + seq * 104_729) << 12) for pid in
            range(10, 10 + processes)]  # fmt: skip
    if seq % 7 < 3:
        rows.append(process(1000 + seq // 7, start=(1000 + seq - seq % 7) * SECOND, comm=f"short{seq // 7}"))
    return frame(seq, rows)


def record(writer: RecordingWriter, first: int, last: int) -> None:
    """Adds these frames."""
    previous = None
    for seq in range(first, last + 1):
        current = made(seq)
        writer.add(encode_step(previous, current, whole=writer.needs_keyframe))
        previous = current


def main() -> None:
    """Records frames until it is killed; says the number of each one on stdout, a moment before it is added."""
    path, first, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    writer = RecordingWriter(path, SECOND, segment_frames=20)
    previous = None
    for seq in range(first, first + 100_000):
        current = made(seq)
        print(seq, time.monotonic(), flush=True)
        writer.add(encode_step(previous, current, whole=writer.needs_keyframe))
        previous = current
        time.sleep(pause_s)


if __name__ == "__main__":
    main()
