#!/usr/bin/env python3
"""200 clients of one ztopd, of whom not all mean well: what becomes of the ticks, of its memory, and of who is served.

    bench/load.py [--minutes 10] [--clients 200] [--pause 0.1]

A real ztopd at 1 s with its store. One client in ten subscribes and never reads; one in ten sends garbage, and connects
again --pause seconds after it was thrown out; the others subscribe to what ztop's first screen shows and follow it with
ztop's own code. They are of ten users, a process each. Beside them an innocent client asks for a snapshot five times a
second. As an ordinary user, who can be nobody else and have 64 connections, it is 60 clients.

Printed: ticks missed (those that the sampler skipped, and numbers that a follower did not get), how far frames were
from an interval apart, the longest that any follower waited for a frame, the innocent one's latency, resident memory
and CPU of sampler and server, and how busy the machine was with everything. Run it with the Python that has ztop's
dependencies, e.g. .venv/bin/python.
"""

import argparse
import json
import os
import random
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from itertools import pairwise
from pathlib import Path

import msgpack

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.monitors import TICKS_PER_SECOND, family  # noqa: E402
from bench.soak import connected, roles, rss_bytes  # noqa: E402
from ztop_client.channel import Channel, DaemonUnreachable  # noqa: E402
from ztop_client.program import ZTOP  # noqa: E402
from ztop_protocol.frame import Frame  # noqa: E402

SECOND = 1_000_000_000
FIRST_UID = 20_000
USERS = 10
MOST_AS_ONE_USER = 60
SECTIONS = sorted(ZTOP.header_sections | {"processes", "process_io", "sources"})
ASK_SECONDS = 0.2
SUBSCRIBE: bytes = msgpack.packb([0, 1, "subscribe", []])
GARBAGE: tuple[Callable[[random.Random], bytes], ...] = (
    lambda chance: chance.randbytes(chance.randrange(1, 5000)),
    lambda chance: msgpack.packb([0, 1, "ping", []]) * 50 + chance.randbytes(100),
    lambda chance: b"\x94\x00\x01\xa4ping" + b"\x91" * 5000,
    lambda chance: b"\x94\x00\x01\xa4ping\xdd\xff\xff\xff\xff",
    lambda chance: b"\x94\x00\x01\xdb\x00\x20\x00\x00" + b"x" * (1 << 17),
    lambda chance: msgpack.packb([0, 1, "segments", []]) * 20 + b"\xc1",
    lambda chance: msgpack.packb([7, chance.randrange(1000), "hello"]),
)


@dataclass
class Told:
    """What the clients of one user saw."""

    frames: int = 0
    missed: int = 0
    longest_wait_seconds: float = 0.0
    thrown_out: int = 0
    lost: int = 0
    """Connections of those who mean well that ended; they connect again."""


class Follower:
    """Follows as ztop does."""

    def __init__(self, path: str, told: Told) -> None:
        self.channel = Channel(_connect(path))
        self.channel.subscribe(1, SECTIONS)
        self._path = path
        self._told = told
        self._seq: int | None = None
        self._since = time.monotonic()

    def fileno(self) -> int:
        return self.channel.fileno()

    def readable(self) -> None:
        try:
            self.channel.receive()
        except DaemonUnreachable:
            self._told.lost += 1
            self.channel.close()
            self.channel = Channel(_connect(self._path))
            self.channel.subscribe(1, SECTIONS)
            time.sleep(0.1)
        for frame in self.channel.frames():
            self._told.frames += 1
            if self._seq is not None:
                self._told.missed += max(0, frame.seq - self._seq - 1)
            self._seq = frame.seq
            self.wait_was_over()

    def wait_was_over(self) -> None:
        now = time.monotonic()
        self._told.longest_wait_seconds = max(self._told.longest_wait_seconds, now - self._since)
        self._since = now


class Vandal:
    """Sends garbage, is thrown out, and comes again."""

    def __init__(self, path: str, told: Told, chance: random.Random) -> None:
        self._path = path
        self._told = told
        self._chance = chance
        self.socket: socket.socket | None = None
        self.due = 0.0

    def fileno(self) -> int:
        assert self.socket is not None
        return self.socket.fileno()

    def come(self) -> None:
        self.socket = _connect(self._path)
        self.socket.setblocking(False)
        try:
            self.socket.send(self._chance.choice(GARBAGE)(self._chance))
        except OSError:
            pass

    def readable(self) -> None:
        assert self.socket is not None
        try:
            if self.socket.recv(1 << 16):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._told.thrown_out += 1
        self.leave()

    def leave(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def be_user(path: str, uid: int | None, clients: int, pause: float, until: float) -> Told:
    """All clients of one user."""
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    told, chance = Told(), random.Random(uid)
    mute = [_connect(path) for _ in range(clients // 10)]
    for connection in mute:
        connection.send(SUBSCRIBE)
    vandals = [Vandal(path, told, chance) for _ in range(clients // 10)]
    followers = [Follower(path, told) for _ in range(clients - len(mute) - len(vandals))]
    while (now := time.monotonic()) < until:
        for vandal in vandals:
            if vandal.socket is None and now >= vandal.due:
                vandal.come()
                # some of what it sends is only half of something, and waited for
                vandal.due = now + 2.0
            elif vandal.socket is not None and now >= vandal.due:
                vandal.leave()
        here: list[Follower | Vandal] = [*followers, *(vandal for vandal in vandals if vandal.socket is not None)]
        for one in select.select(here, [], [], min(0.05, until - now))[0]:
            one.readable()
            if isinstance(one, Vandal) and one.socket is None:
                one.due = time.monotonic() + pause
    for follower in followers:
        follower.wait_was_over()
    return told


def start_user(path: str, uid: int | None, clients: int, pause: float, until: float) -> tuple[int, int]:
    """In a process of its own: its pid, and where it writes what it saw."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return pid, read_end
    status = 1
    try:
        told = be_user(path, uid, clients, pause, until)
        os.write(write_end, json.dumps(astuple(told)).encode())
        status = 0
    except BaseException as error:
        os.write(2, f"clients of uid {uid}: {error!r}\n".encode())
    os._exit(status)


@dataclass
class Process:
    """One of ztopd's, as it was over the run; another one in its place where it was started again."""

    rss: list[int] = field(default_factory=list)
    cpu_seconds: float = 0.0
    pid: int | None = None
    starts: int = 0
    _seconds: float = 0.0

    def look(self, pid: int | None) -> None:
        if pid is None:
            return
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            self.rss.append(rss_bytes(pid))
        except (FileNotFoundError, ProcessLookupError):
            return
        seconds = sum(map(int, fields[11:13])) / TICKS_PER_SECOND
        if pid == self.pid:
            self.cpu_seconds += seconds - self._seconds
        else:
            self.starts += 1
        self.pid, self._seconds = pid, seconds

    def print(self, name: str, seconds: float) -> None:
        every = [self.rss[place * (len(self.rss) - 1) // 10] / (1 << 20) for place in range(11)]
        cpu = 100 * self.cpu_seconds / seconds
        again = f"; started again {self.starts - 1} times" if self.starts > 1 else ""
        print(
            f"{name}: RSS {' '.join(f'{value:.1f}' for value in every)} MiB from tenth to tenth, "
            f"{max(self.rss) / (1 << 20):.1f} at most; {cpu:.1f} % of a core{again}"
        )


class Innocent:
    """Asks for snapshots, and follows the health of the sampler."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.taken: list[float] = []
        self.frames: list[Frame] = []
        self.lost = 0
        self._come()

    def _come(self) -> None:
        self.session = connected(self._path)
        self._follower = Channel(_connect(str(self._path)))
        self._follower.subscribe(1, ["sources"])

    def ask(self) -> None:
        """Once, with a pause after it."""
        asked = time.monotonic()
        try:
            self.session.snapshot()
            self._follower.receive()
        except DaemonUnreachable:
            self.lost += 1
            self.close()
            self._come()
        self.taken.append(time.monotonic() - asked)
        self.frames += self._follower.frames()
        time.sleep(max(0.0, asked + ASK_SECONDS - time.monotonic()))

    def close(self) -> None:
        self.session.close()
        self._follower.close()


def busy_seconds() -> tuple[float, float]:
    """Of all CPUs together since the boot: busy, and in all."""
    fields = [int(each) / TICKS_PER_SECOND for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def percentile(values: list[float], share: float) -> float:
    """By nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def load(path: Path, pid: int, minutes: float, clients: int, pause: float) -> None:
    """The run."""
    innocent = Innocent(path)
    # the second frame follows the first by less than an interval
    while len(innocent.frames) < 4:
        innocent.ask()
    innocent.taken, innocent.frames = [], innocent.frames[-1:]
    processes = {"sampler": Process(), "server": Process(), "reader": Process()}
    began = time.monotonic()
    until = began + minutes * 60
    users = USERS if os.geteuid() == 0 else 1
    if users == 1:
        clients = min(clients, MOST_AS_ONE_USER)
    started = [
        start_user(str(path), FIRST_UID + number if users > 1 else None, clients // users, pause, until)
        for number in range(users)
    ]
    busy_before, all_before = busy_seconds()
    while time.monotonic() < until:
        if len(innocent.taken) % 5 == 0:
            for process, member in zip(processes.values(), roles(family(pid)), strict=True):
                process.look(member)
        innocent.ask()
    status = innocent.session.status()
    seconds = time.monotonic() - began
    busy, whole = (after - before for after, before in zip(busy_seconds(), (busy_before, all_before), strict=True))
    innocent.close()
    taken, frames = innocent.taken, innocent.frames
    tolds = []
    for child, read_end in started:
        with os.fdopen(read_end) as pipe:
            words = pipe.read()
        os.waitpid(child, 0)
        tolds.append(Told(*json.loads(words)))
    off = [abs((later.boottime_ns - before.boottime_ns) / 1e6 - 1000) for before, later in pairwise(frames)]
    skipped = [each.cell("sources", "skipped", ("sampler",)) for each in (frames[0], frames[-1])]
    ticks = frames[-1].seq - frames[0].seq
    print(f"{users} users with {clients // users} clients each, {seconds / 60:.1f} minutes, {ticks} ticks")
    print(
        f"ticks skipped by the sampler: {skipped[1] - skipped[0]}; "  # type: ignore[operator]
        f"frames that a follower did not get: {sum(told.missed for told in tolds)} of {sum(t.frames for t in tolds)}"
    )
    print(f"frames off their interval of 1000 ms by: p99 {percentile(off, 0.99):.1f} ms, most {max(off):.1f} ms")
    print(f"longest that a follower waited for a frame: {max(told.longest_wait_seconds for told in tolds):.2f} s")
    print(
        f"snapshot, by an innocent client, {len(taken)} times: p50 {1000 * statistics.median(taken):.1f} ms, "
        f"p99 {1000 * percentile(taken, 0.99):.1f} ms, most {1000 * max(taken):.1f} ms"
    )
    for name, process in processes.items():
        process.print(name, seconds)
    print(
        f"thrown out: {sum(told.thrown_out for told in tolds)}, lost without a fault of theirs: "
        f"{innocent.lost + sum(told.lost for told in tolds)}; protocol violations {status['protocol_violations']}, "
        f"deltas dropped {status['dropped_deltas']}"
    )
    print(f"the machine, with all that went on: {100 * busy / whole:.0f} % busy, load {os.getloadavg()[1]:.1f}")


def main() -> None:
    """Starts ztopd, and prints what the run came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.1, metavar="SECONDS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ztop-load-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        daemon = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "ztopd", "--config", os.devnull),
                *("--socket", str(folder / "socket"), "--store", str(folder / "store")),
            ],
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}"},
        )
        try:
            load(folder / "socket", daemon.pid, options.minutes, options.clients, options.pause)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


if __name__ == "__main__":
    main()
