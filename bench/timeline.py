#!/usr/bin/env python3
"""What remembering costs: the ring's memory, how long asof takes, and the store's bytes and CPU.

    bench/timeline.py [ring] [store] [day] [--seconds N]     (all of them where none is named)

ring and store take made-up frames (bench/machine.py: 5 % of the processes run in every second, one begins and one
ends); day samples this machine for N seconds (300) with 300 more processes on it (bench/load.c: one in a hundred wakes
ten times a second). Run it with the Python that has ztop's dependencies, e.g. .venv/bin/python.
"""

import argparse
import asyncio
import gc
import os
import random
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.machine import SECOND, Machine  # noqa: E402
from ztop_protocol.garbage import collect_seldom  # noqa: E402
from ztop_protocol.recording import write_segment  # noqa: E402
from ztop_protocol.recording_reader import StoredSegment  # noqa: E402
from ztop_protocol.segment import EncodedFrame, SealedSegment, Segment, Stamp  # noqa: E402
from ztop_protocol.timeline import Timeline  # noqa: E402
from ztopd.collectors.host import read_boot_id  # noqa: E402
from ztopd.collectors.source import Roots  # noqa: E402
from ztopd.feed import FeedDecoder  # noqa: E402
from ztopd.history.inbox import Inbox  # noqa: E402
from ztopd.history.keeper import Keeper, StoreSettings  # noqa: E402
from ztopd.history.retention import Limits  # noqa: E402
from ztopd.history.state import StoreState  # noqa: E402
from ztopd.history.store import Store  # noqa: E402
from ztopd.history.store_file import open_to_write  # noqa: E402
from ztopd.sampler.collectors import make_collectors  # noqa: E402
from ztopd.sampler.pipe import FeedPipe  # noqa: E402
from ztopd.sampler.reader import Reader  # noqa: E402
from ztopd.sampler.run import raise_descriptor_limit  # noqa: E402
from ztopd.sampler.tick import Sampler  # noqa: E402
from ztopd.server.access import Peer, View, standing_of  # noqa: E402
from ztopd.server.client import Client  # noqa: E402
from ztopd.server.hub import Hub, Settings  # noqa: E402
from ztopd.server.latest import Latest  # noqa: E402
from ztopd.server.past import asof  # noqa: E402

DAY = 86_400
WEEK_NS = 7 * DAY * SECOND
SIZE_BYTES = 512 << 20


def fed(processes: int, count: int) -> Iterator[EncodedFrame]:
    """Frames as a sampler sends them, made by another process: what making them takes is not the server's."""
    command = [sys.executable, __file__, "--feed", str(processes), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as feeder:
        assert feeder.stdout is not None
        decoder = FeedDecoder()
        while data := os.read(feeder.stdout.fileno(), 1 << 20):
            yield from decoder.frames(data)


def feed(processes: int, count: int) -> None:
    """That process."""
    pipe = FeedPipe(sys.stdout.fileno())
    for frame in islice(Machine(processes, 0.05).frames(), count):
        pipe.offer(frame)
        while pipe.has_waiting_bytes:
            select.select([], [pipe.descriptor], [])
            pipe.flush()


def resident_mebibytes() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def client_of(hub: Hub) -> Client:
    """Root, who sees everything."""
    peer = Peer(1, 0, 0, frozenset())
    return Client(hub, peer, standing_of(peer, None), View(True, 0))


@dataclass(frozen=True, slots=True)
class Taken:
    """In seconds: by the clock, and of CPU, which other work on the machine lengthens less."""

    wall: float
    cpu: float


def percentiles(name: str, taken: list[Taken], target: str) -> None:
    for what, times in (("", sorted(one.wall for one in taken)), ("    of CPU", sorted(one.cpu for one in taken))):
        middle, high = statistics.median(times), times[int(len(times) * 0.99)]
        print(f"{what or name:58} p50 {middle * 1e3:6.1f}   p99 {high * 1e3:6.1f} ms   ({target})")


async def timed(ask: Callable[[int], Awaitable[bytes]], times_ns: list[int]) -> list[Taken]:
    """Each the best of three, nothing of which is remembered."""
    taken = []
    for time_ns in times_ns:
        walls, cpus = [], []
        for _ in range(3):
            wall, cpu = time.perf_counter(), time.process_time()
            await ask(time_ns)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        taken.append(Taken(min(walls), min(cpus)))
    return taken


def ring(processes: int, target: str) -> None:
    """1800 frames in memory. In a process of its own, whose memory says what they take."""
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        if status:
            raise SystemExit("the measurement failed")
        return

    async def measure() -> None:
        # two frames are what a server has that remembers nothing
        empty = Latest()
        for frame in fed(processes, 60):
            empty.take(frame)
        before = resident_mebibytes()
        hub = Hub(Settings(SECOND, os.getpid()))
        for frame in fed(processes, 1800):
            hub.take(frame)
            # what is compressed beside the loop has its turn
            await asyncio.sleep(0)
        await asyncio.sleep(0.5)
        grown = resident_mebibytes() - before
        print(f"ring of 1800 frames of {processes} processes:".ljust(58), end=" ")
        print(f"{grown:.1f} MiB more ({hub.history.ring.size_bytes / (1 << 20):.1f} MiB of segments)", end="")
        print("   (at most 16)" if processes == 500 else "")
        first = hub.history.ring_oldest
        assert first is not None and hub.latest.newest is not None
        chosen = random.Random(1)
        times_ns = [chosen.randrange(first.time_ns, hub.latest.newest.time_ns) for _ in range(400)]
        client = client_of(hub)
        taken = await timed(lambda time_ns: asof(client, {"time_ns": time_ns}), times_ns)
        percentiles(f"  asof in it, at {processes} processes", taken, target)

    asyncio.run(measure())
    os._exit(0)


def moved(segment: SealedSegment, frames: int, boot_id: str) -> SealedSegment:
    """The same so many frames later."""
    stamps = tuple(
        Stamp(one.seq + frames, one.time_ns + frames * SECOND, one.boottime_ns + frames * SECOND)
        for one in segment.stamps
    )
    return replace(segment, stamps=stamps, boot_id=boot_id)


def store(processes: int) -> None:
    """24 hours on disk, of segments that are like each other."""
    steps = list(fed(processes, 300))
    grown = Segment.begun_by(steps[0], SECOND)
    for step in steps[1:]:
        grown.add(step)
    first = grown.sealed()
    late = first.first.time_ns + 2 * DAY * SECOND - time.time_ns()
    # so that it is of the last 24 hours
    first = moved(first, -late // SECOND, first.boot_id)

    async def measure(folder: str) -> None:
        file = open_to_write(folder, SECOND, SIZE_BYTES)
        assert file.writer is not None
        segments = DAY // 300
        for number in range(segments):
            with file.writer.connection:
                write_segment(file.writer.connection, moved(first, number * 300, first.boot_id))
        file.database.close()
        file.writer.close()
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        settings = StoreSettings(folder, "bench", Limits(WEEK_NS, SIZE_BYTES))
        kept = Store(settings, SECOND, call_soon=loop.call_soon_threadsafe, tell=lambda state: None)
        print(f"store of 24 h at {processes} processes:".ljust(58), end=" ")
        print(f"opened in {(time.perf_counter() - started) * 1e3:.0f} ms, {kept.size_bytes / 1e6:.0f} MB")
        client = client_of(Hub(Settings(SECOND, os.getpid()), kept))
        chosen = random.Random(1)
        begin = first.first.time_ns
        times_ns = [begin + chosen.randrange(DAY * SECOND) for _ in range(400)]
        taken = await timed(lambda time_ns: asof(client, {"time_ns": time_ns}), times_ns)
        percentiles("  asof in it", taken, "p99 at most 100")
        kept.close()

    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        asyncio.run(measure(folder))


class Nobody:
    """Is told of the store and does not mind."""

    def renewed(self, timeline: Timeline[StoredSegment]) -> None: ...
    def appended(self, segment: StoredSegment) -> None: ...
    def replaced(self, old: StoredSegment, new: StoredSegment) -> None: ...
    def removed(self, segment: StoredSegment) -> None: ...
    def is_now(self, state: StoreState) -> None: ...


@contextmanager
def load(processes: int, folder: str) -> Iterator[None]:
    program = f"{folder}/load"
    subprocess.run(["gcc", "-O2", "-o", program, str(ROOT / "bench" / "load.c")], check=True)
    with subprocess.Popen([program, str(processes)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield
        running.terminate()


def day(seconds: int) -> None:
    """The store of this machine with 300 processes more, and what it costs beside the tick."""
    with tempfile.TemporaryDirectory(dir=ROOT) as folder, load(300, folder):
        inbox = Inbox()
        keeper = Keeper(StoreSettings(f"{folder}/store", "bench", Limits(WEEK_NS, SIZE_BYTES)), SECOND, Nobody())
        keeper.open()
        store_cpu_s: list[float] = []

        def keep() -> None:
            keeper.run(inbox)
            store_cpu_s.append(time.thread_time())

        thread = threading.Thread(target=keep)
        thread.start()
        # for the child that reads what may block
        os.environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'protocol'}"
        reader = Reader("/proc")
        sampler = Sampler(
            make_collectors(Roots(), reader, raise_descriptor_limit()).every, reader, read_boot_id(Roots())
        )
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        pipe, decoder = FeedPipe(write_end), FeedDecoder()
        ticks: list[float] = []
        due = time.monotonic()
        processes = 0
        for _ in range(seconds):
            started = time.thread_time()
            frame = sampler.sample()
            pipe.offer(frame)
            ticks.append(time.thread_time() - started)
            processes = max(processes, len(frame.rows("processes")))
            while pipe.has_waiting_bytes:
                _drain(read_end, decoder, inbox)
                pipe.flush()
            _drain(read_end, decoder, inbox)
            due += 1.0
            time.sleep(max(0.0, due - time.monotonic()))
        inbox.close()
        thread.join()
        reader.close()
        file = open_to_write(f"{folder}/store", SECOND, SIZE_BYTES)
        size_bytes = sum(size for _, size in file.segments)
        file.close()
    cpu_s = store_cpu_s[0] / seconds
    print(f"store of this machine, {processes} processes, {seconds} s:".ljust(58), end=" ")
    print(f"{size_bytes / seconds * DAY / 1e6:.0f} MB a day   (at most 150)")
    print("  its CPU beside a tick's".ljust(58), end=" ")
    tick_s = statistics.fmean(ticks)
    print(f"{cpu_s * 1e3:.2f} of {tick_s * 1e3:.2f} ms, {cpu_s / tick_s:.3f}   (at most 0.1)")


def _drain(descriptor: int, decoder: FeedDecoder, inbox: Inbox) -> None:
    while True:
        try:
            data = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            return
        for frame in decoder.frames(data):
            inbox.put(frame)


def main() -> None:
    """Prints the figures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="ring|store|day")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--feed", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.feed:
        return feed(*options.feed)
    # as the server does
    collect_seldom()
    parts = options.parts or ["ring", "store", "day"]
    if "ring" in parts:
        ring(500, "p99 at most 10")
        ring(5000, "p99 at most 60")
    if "store" in parts:
        store(300)
    if "day" in parts:
        day(options.seconds)


if __name__ == "__main__":
    main()
