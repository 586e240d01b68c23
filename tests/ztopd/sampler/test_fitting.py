"""More processes than a frame holds: those that used most CPU time are in it, and how many are not is said."""

import os
from collections.abc import Iterator

import pytest

from tests.ztopd.sampler.test_pipe import Sink, follow
from tests.ztopd.server.conftest import row_of
from ztop_protocol.codec import MAX_FRAME_BYTES, encode_frame
from ztop_protocol.frame import Frame, Key, Row, Section
from ztopd.collectors.source import Sample
from ztopd.sampler.fitting import PROCESS_SECTIONS
from ztopd.sampler.pipe import FeedPipe
from ztopd.sampler.reader import Reader
from ztopd.sampler.tick import Sampler

COUNT, LETTERS = 3000, 3900


@pytest.fixture
def sink() -> Iterator[tuple[FeedPipe, Sink]]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    pipe = FeedPipe(write_end)
    yield pipe, Sink(read_end, pipe)
    pipe.close()
    os.close(read_end)


def machine(seq: int, count: int, *, busy: int = 0) -> Frame:
    """Processes that used as many ms as their number, with command lines as long as they may be; ``busy`` used most."""
    processes: dict[Key, Row] = {}
    io: dict[Key, Row] = {}
    for pid in range(1, count + 1):
        used = 10**12 if pid == busy else pid * 10**6
        processes[pid, 5] = row_of(
            "processes", pid=pid, start_boottime_ns=5, user_time_ns=used, command_line=f"{pid:04}" + "x" * LETTERS
        )
        io[pid, 5] = row_of("process_io", pid=pid, start_boottime_ns=5)
    sections = {"processes": Section(seq * 5, processes), "process_io": Section(seq * 5, io)}
    return Frame(seq, seq * 10, seq * 5, "boot", sections)


def pids(frame: Frame, section: str = "processes") -> list[object]:
    return sorted(key[0] for key in frame.rows(section))  # type: ignore[type-var]


def test_those_that_used_most_cpu_time_stay_and_the_others_are_counted(sink: tuple[FeedPipe, Sink]) -> None:
    pipe, taken = sink
    for seq in range(1, 4):
        taken.offer(machine(seq, COUNT, busy=7 if seq == 3 else 0))
        assert pipe.left_out == ()
        assert 0 < pipe.processes_left_out < COUNT // 2
    first, second, third = follow(taken.messages)
    kept = COUNT - pipe.processes_left_out
    assert len(encode_frame(first)) < MAX_FRAME_BYTES
    assert pids(first) == list(range(COUNT - kept + 1, COUNT + 1)) == pids(second)
    # what begins to work comes in, for what used least
    assert pids(third) == [7, *range(COUNT - kept + 2, COUNT + 1)]
    assert pids(third, "process_io") == pids(third)
    assert set(third.sections) <= set(PROCESS_SECTIONS)


def test_all_are_there_again_once_there_is_room(sink: tuple[FeedPipe, Sink]) -> None:
    pipe, taken = sink
    taken.offer(machine(1, COUNT))
    assert pipe.processes_left_out
    taken.offer(machine(2, COUNT // 4))
    assert not pipe.processes_left_out
    assert len(follow(taken.messages)[-1].rows("processes")) == COUNT // 4


def test_sources_say_how_many_are_left_out() -> None:
    class Nothing:
        name, period_ns = "memory", 0

        def collect(self) -> Sample:
            return Sample({})

    sampler = Sampler([Nothing()], Reader(), "boot", strict=True)
    sampler.note_left_out((), 1234)
    reason = sampler.sample().cell("sources", "reason", ("sampler",))
    assert isinstance(reason, str) and reason.startswith("1234 processes left out, those that used least CPU time")
    sampler.note_left_out(())
    assert sampler.sample().cell("sources", "reason", ("sampler",)) is None
