"""kill -9 of a real ztopd that stores, at random moments, again and again: what was on disk stays there."""

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests import patience
from tests.busy_loops import busy_loops
from tests.end_to_end.real_daemon import SECONDS, Daemon, until
from tests.end_to_end.test_kills import boottime_ns
from tests.end_to_end.test_store import killed
from tests.ztopd.history.storing import ALWAYS
from ztop_client import DaemonUnreachable, Session
from ztop_protocol.frame import Frame
from ztop_protocol.recording_reader import RecordingReader
from ztop_protocol.segment import Stamp

KILLS = patience.KILLS if patience.PATIENT or os.environ.get("ZTOP_KILLS") else 4
"""Each takes a start of the daemon, or of its server."""
LONGEST_S = 3.0
PROMISED_NS = 2_000_000_000
"""What is older than that is on disk."""

Begin = Callable[[], Daemon]


@pytest.fixture
def directory(folder: Path) -> Path:
    return folder / "store"


@pytest.fixture
def begin(folder: Path, directory: Path) -> Iterator[Begin]:
    """Starts daemons one after the other, on the same socket and store."""
    daemons: list[Daemon] = []

    def make() -> Daemon:
        daemons.append(Daemon(folder / "z.sock", "--store", str(directory), interval=0.1))
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.stop()


@pytest.fixture
def load() -> Iterator[None]:
    with busy_loops():
        yield


def stamp(frame: Frame) -> Stamp:
    return Stamp(frame.seq, frame.time_ns, frame.boottime_ns)


def shown_by(session: Session) -> list[Frame]:
    """What a client is shown until there is nobody any more who shows it."""
    shown: list[Frame] = []
    with suppress(DaemonUnreachable):
        for frame in session.frames():
            shown.append(frame)
    return shown


def kill_server(daemon: Daemon) -> None:
    server = daemon.server()
    assert server is not None
    server.kill()
    until(lambda: daemon.server() not in (None, server), "another server")


def kill_all(daemon: Daemon) -> None:
    killed(daemon)
    until(lambda: not daemon.family(), "all of it is gone")


def in_file(directory: Path) -> list[Stamp]:
    """Every frame of the store's segments, in the order of the file."""
    reader = RecordingReader(str(directory / "timeline.ztop"))
    try:
        assert reader.notes == []
        return [each for piece in reader.timeline.between(*ALWAYS) for each in piece.stamps]
    finally:
        reader.close()


@pytest.mark.slow
@pytest.mark.timeout(15 * KILLS + 120)
@pytest.mark.usefixtures("load")
def test_nothing_that_was_on_disk_is_lost(begin: Begin, directory: Path) -> None:
    """The server alone, which the sampler starts again, and the whole daemon, in turn."""
    chosen = random.Random(9)
    daemon = begin()
    count = promised_count = 0
    lost_ages_s: list[float] = []
    on_disk: set[Stamp] = set()
    for number in range(KILLS):
        with daemon.session() as session, ThreadPoolExecutor(1) as beside:
            following = beside.submit(shown_by, session)
            time.sleep(chosen.uniform(0.0, LONGEST_S))
            killed_ns, killed_time_ns = boottime_ns(), time.time_ns()
            (kill_all if number % 2 else kill_server)(daemon)
            shown = following.result(SECONDS)
        if number % 2:
            daemon = begin()
        on_disk.update(in_file(directory))
        count += len(shown)
        if not shown:
            continue
        promised = [frame for frame in shown if frame.boottime_ns < killed_ns - PROMISED_NS]
        promised_count += len(promised)
        with daemon.session() as session:
            session.snapshot(["host"])
            kept = {stamp(frame): frame for frame in session.frames(since=shown[0].time_ns, until=killed_time_ns)}
            for frame in chosen.sample(promised, min(2, len(promised))):
                assert session.asof(frame.time_ns).pair.current == frame
        assert [stamp(frame) for frame in promised if stamp(frame) not in kept] == []
        assert [frame.seq for frame in shown if kept.get(stamp(frame), frame) != frame] == []
        lost_ages_s += [(killed_ns - frame.boottime_ns) / 1e9 for frame in shown if stamp(frame) not in kept]
    daemon.stop()
    chain = in_file(directory)
    print(
        f"\n{KILLS} kills: {count} frames were shown, {promised_count} of them over 2 s old when it was killed;"
        f" {len(lost_ages_s)} were lost, the oldest {max(lost_ages_s, default=0.0):.2f} s,"
        f" the youngest {min(lost_ages_s, default=0.0):.2f} s old; of {len(on_disk)} on disk after a kill"
        f" {len(on_disk - set(chain))} are missing in the end, where there are {len(chain)}"
    )
    assert promised_count, "the moments are such that some were old enough"
    assert on_disk and on_disk <= set(chain)
    for values in ([each.seq for each in chain], [each.boottime_ns for each in chain]):
        assert values == sorted(set(values)), "each once, in order"
    assert max(lost_ages_s, default=0.0) < PROMISED_NS / 1e9
