"""The section ``threads``: in the frames while somebody subscribes to it, and only then."""

import os
import threading
from collections.abc import Iterator

import pytest

from tests.ztopd.collectors.immediate_reader import ImmediateReader
from ztop_protocol.schema import THREADS, SourceState
from ztopd.collectors import threads as module
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.processes import Processes
from ztopd.collectors.source import Roots, Withheld
from ztopd.collectors.threads import Threads, read_threads


@pytest.fixture
def worker() -> Iterator[threading.Thread]:
    """A second thread of this process."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    yield thread
    stop.set()
    thread.join()


def test_nobody_pays_for_what_nobody_watches(worker: threading.Thread) -> None:
    collector = Threads(Roots(), lambda: [os.getpid()])
    with pytest.raises(Withheld) as withheld:
        collector.collect()
    assert withheld.value.problem.state is SourceState.ABSENT


def test_a_wish_holds_for_a_while(worker: threading.Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(Roots(), ImmediateReader(), Descriptors(1000))
    try:
        processes.collect()
        assert os.getpid() in processes.with_several_threads()
        collector = Threads(Roots(), processes.with_several_threads)
        collector.want(1_000_000_000)
        rows = collector.collect().sections["threads"]
        assert {len(row) for row in rows.values()} == {len(THREADS.columns)}
        mine = [key[1] for key in rows if key[0] == os.getpid()]
        assert {os.getpid(), worker.native_id} <= set(mine)
        monkeypatch.setattr(module, "WANTED_NS", -3_000_000_000)
        collector.want(1_000_000_000)
        with pytest.raises(Withheld):
            collector.collect()
    finally:
        processes.close()


def test_what_is_dear_is_read_less_often(worker: threading.Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000_000_000, 300_000_000))
    monkeypatch.setattr("ztopd.collectors.threads.time.thread_time_ns", lambda: next(clock))
    collector = Threads(Roots(), lambda: [os.getpid()])
    assert collector.period_ns == 0
    collector.want(1_000_000_000)
    collector.collect()
    # 300 ms every 6 s are a twentieth of a core
    assert collector.period_ns == 6_000_000_000
    monkeypatch.setattr(module, "WANTED_NS", -3_000_000_000)
    collector.want(1_000_000_000)
    with pytest.raises(Withheld):
        collector.collect()
    assert collector.period_ns == 0


def test_too_many_threads_are_said_to_be(worker: threading.Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_THREADS", 1)
    collector = Threads(Roots(), lambda: [os.getpid(), os.getppid()])
    collector.want(1_000_000_000)
    sample = collector.collect()
    assert len(sample.sections["threads"]) == 1
    assert sample.problem is not None and "2 processes" in sample.problem.reason


def test_the_owner_is_the_files(worker: threading.Thread) -> None:
    rows, is_cut = read_threads("/proc", os.getpid(), 100)
    assert not is_cut
    assert {row[THREADS.position["owner_uid"]] for row in rows.values()} == {os.stat("/proc/self/stat").st_uid}
