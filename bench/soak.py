#!/usr/bin/env python3
"""Whether anything grows: resident memory, descriptors, Python's blocks and the kernel's slab over very many ticks.

    bench/soak.py [--ticks 100000] [--alive 30] [--births 1] [--small-caches]
    bench/soak.py --live 60

Without --live: the sampler's tick on a tree of files (bench/mortals.py) in which processes are born and end in each
tick, a second a tick by the clock and without a pause, its feed taken by the server's hub with ring and store, which
are asked about now and the past as clients ask, and followed by three subscriptions, one of which is decoded as a
client does. All in one process, but for the reader.

With --small-caches: with bounds that are reached within the warm-up. ztop fills slowly what it may keep: with a
question in 50 ticks some caches are not full after 100,000, and by the rule below that is growth. So they get small
bounds (SMALL_BOUNDS), and the ring keeps ten minutes, the store half an hour. What grows then has no bound.

With --live: a real ztopd of three processes, for so many minutes, while commands are started all the time; it is
followed and asked through its socket. Its ring holds 600 frames, so that it is full after ten minutes.

Printed at each tenth. The verdict: of the samples (200 in all) after the first three tenths a line is fitted; flat is
what by that line grew by less than 2 % or 2 MiB (blocks: 2 %, descriptors: less than one) over them. The slab is the
whole machine's, whoever else works on it, and is judged by nobody. Exits with 1 where something grew. Run it with the
Python that has ztop's dependencies, e.g. .venv/bin/python.
"""

import argparse
import asyncio
import gc
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.monitors import family, slab_bytes  # noqa: E402
from bench.mortals import SECOND, Clock, Mortals  # noqa: E402
from ztop_client import DaemonUnreachable, Session, connect  # noqa: E402
from ztop_protocol.codec import FrameDecoder  # noqa: E402
from ztop_protocol.connection import CLIENT_LIMITS, Connection, Notification, Request  # noqa: E402
from ztop_protocol.frame import Frame, apply  # noqa: E402
from ztop_protocol.garbage import collect_seldom  # noqa: E402
from ztopd.collectors import cgroups, processes  # noqa: E402
from ztopd.collectors.container import container_of  # noqa: E402
from ztopd.feed import FeedDecoder  # noqa: E402
from ztopd.history import ring  # noqa: E402
from ztopd.history import series as curves  # noqa: E402
from ztopd.history.keeper import StoreSettings  # noqa: E402
from ztopd.history.retention import Limits  # noqa: E402
from ztopd.history.store import Store  # noqa: E402
from ztopd.sampler.collectors import make_collectors  # noqa: E402
from ztopd.sampler.pipe import FeedPipe  # noqa: E402
from ztopd.sampler.reader import Reader  # noqa: E402
from ztopd.sampler.tick import Sampler  # noqa: E402
from ztopd.server import seen  # noqa: E402
from ztopd.server.access import Peer, View, standing_of  # noqa: E402
from ztopd.server.client import Client  # noqa: E402
from ztopd.server.hub import Hub, Settings  # noqa: E402
from ztopd.server.session import Session as ServerSession  # noqa: E402

MEBIBYTE = 1 << 20
SAMPLES = 200
WARM_UP = 0.3
FLAT_SHARE = 0.02
FLAT_BYTES = 2 * MEBIBYTE
UNJUDGED = "slab"

_few_containers = lru_cache(maxsize=64)(container_of.__wrapped__)
SMALL_BOUNDS: tuple[tuple[ModuleType, str, object], ...] = (
    (curves, "_MOST_STEPS", 200),
    (seen, "_MOST_CUT_BYTES", 32 << 10),
    (seen, "_MOST_HOSTS", 64),
    (processes, "container_of", _few_containers),
    (cgroups, "container_of", _few_containers),
)
"""In place of 8000 steps of curves, 8 MiB of tracks cut to a user, 4096 segments of which is known whether they hide
processes, and the containers of 8192 paths."""


def rss_bytes(pid: int) -> int:
    """Of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many files it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@dataclass
class Series:
    """What was measured: figures by name, each as often as there were samples."""

    samples: int = SAMPLES
    figures: dict[str, list[float]] = field(default_factory=dict)
    count: int = 0

    def add(self, figures: dict[str, float], what: str) -> None:
        """One sample; every tenth of them is printed."""
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)
        if self.count == 0:
            print(" " * 14, *(f"{name:>{_width(name)}}" for name in figures))
        self.count += 1
        if self.count == 1 or self.count % (self.samples // 10) == 0:
            print(f"{what:>14}", *(f"{_shown(name, value):>{_width(name)}}" for name, value in figures.items()))
            sys.stdout.flush()

    def verdict(self) -> bool:
        """Prints it for each figure: whether none of them grew."""
        well = True
        for name, values in self.figures.items():
            late = values[int(WARM_UP * len(values)) :]
            slope = statistics.linear_regression(range(len(late)), late).slope
            grew, mean = slope * (len(late) - 1), statistics.fmean(late)
            most = FLAT_SHARE * mean
            if name.startswith("fds"):
                most = 1.0
            elif not name.startswith("blocks"):
                most = max(most, FLAT_BYTES)
            verdict = "not judged" if name == UNJUDGED else "flat" if grew < most else "GREW"
            well &= verdict != "GREW"
            change = f"{_shown(name, grew)} ({100 * grew / mean:+.2f} %)"
            print(f"{name}: {verdict}: by its line {change} after the first {WARM_UP:.0%}, mean {_shown(name, mean)}")
        return well


def _width(name: str) -> int:
    return max(len(name), 11)


def _shown(name: str, value: float) -> str:
    if name.startswith(("rss", UNJUDGED)):
        return f"{value / MEBIBYTE:.2f} MiB"
    return f"{value:.1f}" if name.startswith("fds") and value % 1 else f"{value:.0f}"


class Follower:
    """A client's end of a session without a socket; ``decodes``: makes frames of what comes."""

    def __init__(self, hub: Hub, uid: int, *, decodes: bool = False, interval: int = 1) -> None:
        peer = Peer(os.getpid(), uid, uid, frozenset())
        client = Client(hub, peer, standing_of(peer, None), View(uid == 0, uid))
        self._session = ServerSession(client, self._take if decodes else self._count, lambda: None)
        self._interval = interval
        self._connection = Connection(CLIENT_LIMITS)
        self._decoder = FrameDecoder()
        self.frame: Frame | None = None
        self.bytes = 0

    async def ask(self, method: str, **arguments: Any) -> None:
        """Has the answer made."""
        await self._session.handle(Request(1, method, arguments))

    async def subscribe(self) -> None:
        """Follows from now on."""
        await self.ask("subscribe", interval=self._interval)

    def _count(self, data: bytes) -> None:
        self.bytes += len(data)

    def _take(self, data: bytes) -> None:
        self.bytes += len(data)
        self._connection.feed(data)
        while messages := self._connection.messages():
            for message in messages:
                if isinstance(message, Notification) and message.method == "frame":
                    self.frame = self._decoder.frame(message.arguments)
                elif isinstance(message, Notification):
                    assert self.frame is not None
                    self.frame = apply(self.frame, self._decoder.delta(message.arguments))


def questions(chance: random.Random, now_ns: int, span_ns: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is asked again and again, at moments of the time that is kept."""
    then_ns = now_ns - chance.randrange(span_ns // SECOND) * SECOND
    yield "hello", {}
    yield "status", {}
    yield "snapshot", {}
    yield "top", {"limit": 50}
    yield "asof", {"time_ns": then_ns, "previous": True}
    yield "segment", {"time_ns": then_ns}
    yield "segments", {"from_ns": then_ns, "to_ns": then_ns + 300 * SECOND}
    yield "series", {"from_ns": now_ns - 3600 * SECOND, "to_ns": now_ns}
    yield "events", {"from_ns": then_ns, "to_ns": then_ns + 300 * SECOND}
    yield "unsubscribe", {"subscription": 1 << 40}


async def soak(ticks: int, alive: int, births: int, folder: Path, ring_frames: int, span_ns: int) -> bool:
    """All in one process, a second a tick; ``span_ns``: of the store."""
    clock, chance = Clock(), random.Random(2)
    with clock.in_place_of_time():
        mortals = Mortals(folder, alive, births)
        reader = Reader(mortals.roots.proc)
        sampler = Sampler(make_collectors(mortals.roots, reader, 4096).every, reader, "soak", strict=True)
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        pipe, decoder = FeedPipe(write_end), FeedDecoder()
        kept = StoreSettings(str(folder / "store"), "soak", Limits(span_ns, 24 * MEBIBYTE))
        loop = asyncio.get_running_loop()
        store = Store(kept, SECOND, call_soon=loop.call_soon_threadsafe, tell=lambda state: None)
        hub = Hub(Settings(SECOND, os.getpid(), ring_frames=ring_frames), store)
        followers = [Follower(hub, 0, decodes=True), Follower(hub, 1000), Follower(hub, 0, interval=10)]
        for follower in followers:
            await follower.subscribe()
        series = Series(min(SAMPLES, ticks // 10 * 10))
        for tick in range(1, ticks + 1):
            clock.step(SECOND)
            mortals.tick()
            pipe.offer(sampler.sample())
            while True:
                with suppress(BlockingIOError):
                    for message in decoder.frames(os.read(read_end, MEBIBYTE)):
                        hub.take(message)
                if not pipe.has_waiting_bytes:
                    break
                pipe.flush()
            await asyncio.sleep(0)
            if tick % 50 == 0:
                for method, arguments in questions(chance, time.time_ns(), span_ns):
                    await followers[tick // 50 % 2].ask(method, **arguments)
            if tick % (ticks // series.samples) == 0:
                gc.collect()
                pid = os.getpid()
                figures = {"rss": rss_bytes(pid), "fds": descriptors(pid), "blocks": sys.getallocatedblocks()}
                if reader.pid is not None:
                    figures |= {"rss reader": rss_bytes(reader.pid), "fds reader": descriptors(reader.pid)}
                series.add({**figures, UNJUDGED: slab_bytes()}, f"{tick} ticks")
        assert followers[0].frame is not None and followers[0].frame.seq == hub.latest.newest.seq  # type: ignore[union-attr]
        earliest = hub.history.earliest
        assert earliest is not None
        print(
            f"{hub.history.ring.frames} frames in the ring, {store.size_bytes / MEBIBYTE:.1f} MiB in the store, the "
            f"oldest of {(time.time_ns() - earliest.time_ns) / SECOND / 3600:.1f} h ago; "
            f"{sum(follower.bytes for follower in followers) / MEBIBYTE:.0f} MiB to three followers"
        )
        store.close()
        pipe.close()
        os.close(read_end)
        reader.close()
    return series.verdict()


def live(minutes: float, folder: Path) -> bool:
    """A real ztopd, on the machine as it is."""
    (folder / "ztopd.toml").write_text("[history]\nring_frames = 600\nsize_mebibytes = 16\n")
    path = folder / "socket"
    daemon = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "ztopd", "--config", str(folder / "ztopd.toml")),
            *("--socket", str(path), "--store", str(folder / "store")),
        ],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}"},
    )
    try:
        return _watched(daemon.pid, path, minutes)
    finally:
        daemon.terminate()
        daemon.wait()


def connected(path: Path) -> Session:
    deadline = time.monotonic() + 30
    while True:
        try:
            return connect(str(path))
        except DaemonUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _watched(pid: int, path: Path, minutes: float) -> bool:
    chance = random.Random(2)
    series = Series()
    seqs: list[int] = []
    with connected(path) as follower, connected(path) as asker:
        started = time.monotonic()
        for frame in follower.frames():
            elapsed = time.monotonic() - started
            seqs.append(frame.seq)
            for _ in range(chance.randrange(5)):
                subprocess.run(["true"], check=True)
            if frame.seq % 10 == 0:
                asker.status()
                asker.top(limit=50)
                asker.asof(f"-{chance.randrange(1, 600)}s" if elapsed > 600 else frame.time_ns)
                list(asker.events(since="-2m"))
            if elapsed >= series.count * minutes * 60 / SAMPLES:
                figures: dict[str, float] = {}
                members = family(pid)
                for role, member in zip(("sampler", "server", "reader"), roles(members), strict=True):
                    if member is not None:
                        figures |= {f"rss {role}": rss_bytes(member), f"fds {role}": descriptors(member)}
                series.add({**figures, UNJUDGED: slab_bytes()}, f"{elapsed / 60:.1f} min")
            if series.count >= SAMPLES:
                break
    missed = sum(later - earlier - 1 for earlier, later in itertools.pairwise(seqs))
    print(f"{len(seqs)} frames, {missed} missed")
    return series.verdict()


def roles(members: list[int]) -> tuple[int | None, int | None, int | None]:
    """Sampler, server and reader among the processes of a ztopd."""
    lines = {member: Path(f"/proc/{member}/cmdline").read_bytes() for member in members}
    found = [
        next((member for member, line in lines.items() if module in line), None)
        for module in (b"ztopd.server\0", b"ztopd.sampler.reader_child\0")
    ]
    return members[0], found[0], found[1]


def main() -> None:
    """Prints the figures, and exits with 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=100_000)
    parser.add_argument("--alive", type=int, default=30)
    parser.add_argument("--births", type=int, default=1)
    parser.add_argument("--small-caches", action="store_true")
    parser.add_argument("--live", type=float, metavar="MINUTES")
    options = parser.parse_args()
    # for the child that reads what may block
    os.environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'protocol'}"
    # in memory where that can be: the files change thousands of times a second
    place = "/dev/shm" if options.live is None and os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="ztop-soak-", dir=place) as name:
        if options.live is not None:
            well = live(options.live, Path(name))
        else:
            collect_seldom()
            ring_frames, span_seconds = (600, 1800) if options.small_caches else (ring.FRAMES, 7200)
            with ExitStack() as bounds:
                for module, bound, small in SMALL_BOUNDS if options.small_caches else ():
                    bounds.enter_context(mock.patch.object(module, bound, small))
                kept = ring_frames, span_seconds * SECOND
                well = asyncio.run(soak(options.ticks, options.alive, options.births, Path(name), *kept))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
