"""10,000 ticks on a fixture, from collectors to a client: a program of its own, so that only its memory counts.

    python -m tests.ztopd.sampler.growth FOLDER

prints the bytes allocated and the open descriptors after a fifth of the ticks and after all of them.
"""

import gc
import os
import shutil
import sys
import tracemalloc
from pathlib import Path

from tests.patience import TICKS
from tests.ztopd.collectors.immediate_reader import ImmediateReader
from ztop_protocol.codec import FrameDecoder, unpack
from ztop_protocol.frame import Frame, apply
from ztop_protocol.processes import joined
from ztop_protocol.segment import EncodedFrame
from ztopd.collectors.source import Roots
from ztopd.feed import FeedDecoder
from ztopd.sampler.collectors import make_collectors
from ztopd.sampler.pipe import FeedPipe
from ztopd.sampler.tick import Sampler

FIXTURE = Path(__file__).parents[2] / "fixtures" / "laptop-6.8-hybrid"
FIRST_BORN = 20_000
STAT_FIELDS = (FIXTURE / "proc" / "1" / "stat").read_bytes().rpartition(b")")[2].split()


class Client:
    """Follows the feed as a client follows its subscription."""

    def __init__(self) -> None:
        self._feed = FeedDecoder()
        self._frames = FrameDecoder()
        self.previous: Frame | None = None
        self.frame: Frame | None = None

    def receive(self, data: bytes) -> None:
        for message in self._feed.frames(data):
            self.previous, self.frame = self.frame, self._follow(message)

    def _follow(self, message: EncodedFrame) -> Frame:
        head = {
            "seq": message.seq, "time_ns": message.time_ns, "boottime_ns": message.boottime_ns,
            "boot_id": message.boot_id, "base_seq": message.base_seq, "gone_sections": list(message.gone_sections),
        }  # fmt: skip
        if self.frame is None:
            assert message.keyframe is not None
            return self._frames.frame(head | {"sections": {n: unpack(part) for n, part in message.keyframe.items()}})
        changes = {name: unpack(part) for name, part in message.changes.items()}
        return apply(self.frame, self._frames.delta(head | {"sections": changes}))


def live_and_die(proc: str, tick: int) -> None:
    """Every tick one process works, every tenth one is born, and the one born before it ends.

    Paths are plain text: pathlib interns every new name, and this measures ztop, not pathlib.
    """
    fields = list(STAT_FIELDS)
    fields[11] = b"%d" % tick
    write(f"{proc}/4000/stat", b"4000 (worker) " + b" ".join(fields))
    if tick % 10 == 0:
        pid = FIRST_BORN + tick
        shutil.rmtree(f"{proc}/{pid - 10}", ignore_errors=True)
        shutil.copytree(f"{FIXTURE}/proc/1", f"{proc}/{pid}", symlinks=True)
        write(f"{proc}/{pid}/stat", b"%d (born) " % pid + b" ".join(fields))
        # the kernel shows there the pid that it gave out last
        write(f"{proc}/loadavg", b"0.00 0.00 0.00 1/100 %d\n" % pid)


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def main(folder: Path) -> None:
    proc = folder / "proc"
    shutil.copytree(FIXTURE / "proc", proc, symlinks=True)
    shutil.copytree(proc / "1", proc / "4000", symlinks=True)
    reader = ImmediateReader(str(proc))
    sampler = Sampler(
        make_collectors(Roots(str(proc), str(FIXTURE / "sys")), reader, 1000).every, reader, "boot", strict=True
    )  # fmt: skip
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    pipe, client = FeedPipe(write_end), Client()
    sizes: list[int] = []
    descriptors: list[int] = []
    tracemalloc.start()
    try:
        for tick in range(TICKS):
            live_and_die(str(proc), tick)
            pipe.offer(sampler.sample())
            client.receive(os.read(read_end, 1 << 20))
            assert not pipe.has_waiting_bytes
            assert client.frame is not None
            if tick % 100 == 0:
                assert joined(client.previous, client.frame)
                reader.asked.clear()
            if tick in (TICKS // 5, TICKS - 1):
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
                descriptors.append(len(os.listdir("/proc/self/fd")))
    finally:
        tracemalloc.stop()
        pipe.close()
        os.close(read_end)
    assert client.frame.seq == TICKS
    assert [key[0] for key in client.frame.rows("processes") if int(str(key[0])) >= FIRST_BORN] == [
        FIRST_BORN + TICKS - 10
    ]
    assert (
        client.frame.cell("processes", "comm", next(k for k in client.frame.rows("processes") if k[0] == 4000))
        == "worker"
    )
    print(*sizes, *descriptors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
