"""A program that records frames, as ``ztop --record`` does, until it is killed.

python -m tests.ztop_client.recorded_until_killed FILE FIRST PAUSE_SECONDS
"""

import sys
import time

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import SECOND
from ztop_client.recorder import Recorder


def main() -> None:
    """Says the number of each frame on stdout, and when that was, a moment before it is taken."""
    path, first, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    with Recorder(path, SECOND) as recorder:
        for seq in range(first, first + 100_000):
            print(seq, time.monotonic(), flush=True)
            if not recorder.take(made(seq)):
                raise SystemExit(recorder.problem)
            time.sleep(pause_s)


if __name__ == "__main__":
    main()
