"""Every collector in turn fails in every way: the others go on, ``sources`` says so, and it is well again by itself."""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ztopd.collectors.immediate_reader import ImmediateReader
from ztop_protocol.frame import Frame, Row
from ztop_protocol.schema import SECTIONS, SOURCES
from ztopd.collectors.source import Collector, ParseError, Roots, Sample
from ztopd.feed import FeedDecoder
from ztopd.sampler.collectors import make_collectors
from ztopd.sampler.pipe import FeedPipe
from ztopd.sampler.tick import Sampler

FIXTURE = Path(__file__).parents[2] / "fixtures" / "laptop-6.8-hybrid"
ROOTS = Roots(str(FIXTURE / "proc"), str(FIXTURE / "sys"))


class Faulty:
    """A collector that does what it does, and is due at every tick, until it is given a fault."""

    period_ns = 0

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.name = collector.name
        self.fault: Callable[[], Any] | None = None

    def collect(self) -> Sample:
        found: Sample = self.collector.collect() if self.fault is None else self.fault()
        return found


def sampler_of(reader: ImmediateReader) -> tuple[Sampler, dict[str, Faulty]]:
    """All that ztopd has, the sampler's own two included, each of which can be made to fail."""
    sampler = Sampler(make_collectors(ROOTS, reader, 100).every, reader, "boot")
    every = {collector.name: Faulty(collector) for collector in sampler._collectors}
    sampler._collectors = tuple(every.values())  # type: ignore[assignment]
    return sampler, every


NAMES = tuple(sampler_of(ImmediateReader(ROOTS.proc))[1])


def raises(error: Exception) -> Callable[[], Any]:
    def fault() -> Any:
        raise error

    return fault


def oserror(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/proc/x")


def gives(cell: Any, width: int | None = None) -> Callable[[], Any]:
    """A row full of that, under the key of a section that nobody else has."""
    columns = len(SECTIONS["pressure"].columns) if width is None else width
    return lambda: Sample({"pressure": {("cpu",): ("cpu", *[cell] * (columns - 1))}})


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "EIO": (raises(oserror(errno.EIO)), "/proc/x: Input/output error"),
    "EMFILE": (raises(oserror(errno.EMFILE)), "/proc/x: Too many open files"),
    "ENOMEM": (raises(oserror(errno.ENOMEM)), "/proc/x: Cannot allocate memory"),
    "a file of nonsense": (raises(ParseError("/proc/x: nonsense")), "/proc/x: nonsense"),
    "no memory": (raises(MemoryError()), "an error in ztopd, see its log: MemoryError()"),
    "an error of ours": (raises(ZeroDivisionError("oops")), "an error in ztopd, see its log: ZeroDivisionError"),
    "nothing at all": (lambda: None, "an error in ztopd, see its log"),
    "another section": (lambda: Sample({"nonsense": {("x",): ("x",)}}), "an error in ztopd, see its log"),
    "rows in a list": (lambda: Sample({"pressure": [("cpu",)]}), "an error in ztopd, see its log"),  # type: ignore[dict-item]
    "narrow rows": (gives(1, 3), "an error in ztopd, see its log"),
}


@pytest.fixture
def reader() -> ImmediateReader:
    return ImmediateReader(ROOTS.proc)


class Feed:
    """What reaches the server of each frame."""

    def __init__(self) -> None:
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self.pipe = FeedPipe(write_end)
        self._decoder = FeedDecoder()

    def offer(self, frame: Frame) -> list[int]:
        """The numbers of the frames that came."""
        self.pipe.offer(frame)
        return [message.seq for message in self._decoder.frames(os.read(self._read_end, 1 << 20))]

    def close(self) -> None:
        self.pipe.close()
        os.close(self._read_end)


@pytest.fixture
def feed() -> Iterator[Feed]:
    feed = Feed()
    yield feed
    feed.close()


def row(frame: Frame, source: str) -> Row:
    return frame.rows("sources")[(source,)]


def states(frame: Frame) -> dict[object, tuple[object, ...]]:
    """How each source is, in words."""
    places = [SOURCES.position[name] for name in ("state", "reason", "fix")]
    return {key[0]: tuple(found[place] for place in places) for key, found in frame.rows("sources").items()}


@pytest.mark.parametrize("name", NAMES)
def test_it_fails_and_is_well_again(
    name: str, reader: ImmediateReader, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    sampler, every = sampler_of(reader)
    others = [other for other in every if other != name]
    frames = [sampler.sample() for _ in range(3)]
    usual, failures = states(frames[-1]), 0
    for what, (fault, reason) in FAULTS.items():
        caplog.clear()
        every[name].fault = fault
        for _ in range(3):
            before, frame = frames[-1], sampler.sample()
            frames.append(frame)
            assert feed.offer(frame) == [frame.seq], what
            failures += 1
            said = dict(zip(SOURCES.names, row(frame, name), strict=True))
            assert (said["state"], said["failures"]) == ("degraded", failures), what
            assert str(said["reason"]).startswith(reason), what
            # the others were sampled at this tick, and are as they always were
            for other in others:
                tried = row(frame, other)[SOURCES.position["sampled_boottime_ns"]]
                assert usual[other][0] != "ok" or tried != row(before, other)[SOURCES.position["sampled_boottime_ns"]]
                assert row(frame, other)[SOURCES.position["failures"]] == 0, (what, other)
        assert len([record for record in caplog.records if record.exc_info]) <= 1, f"{what} is logged once"
        every[name].fault = None
        frames.append(sampler.sample())
        assert states(frames[-1])[name] == usual[name], what
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))


def test_what_cannot_be_encoded_is_left_out_and_the_rest_arrives(
    reader: ImmediateReader, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    sampler, every = sampler_of(reader)
    assert feed.offer(sampler.sample()) == [1]
    every["pressure"].fault = gives(object())
    for seq in range(2, 70):  # more than a segment
        frame = sampler.sample()
        assert feed.offer(frame) == [seq]
        # and what is made of it
        assert set(feed.pipe.left_out) == {"pressure", "summary"}
        sampler.note_left_out(feed.pipe.left_out)
    assert str(row(sampler.sample(), "sampler")[2]).startswith("pressure, summary left out")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2, "logged once for each"
    every["pressure"].fault = None
    assert len(feed.offer(sampler.sample())) == 1
    assert feed.pipe.left_out == ()


def test_a_number_of_any_length_is_not_known(reader: ImmediateReader, feed: Feed) -> None:
    """A /proc that somebody made up (lxcfs) may hold any."""
    sampler, every = sampler_of(reader)
    every["pressure"].fault = gives(10**30)
    assert feed.offer(sampler.sample()) == [1]
    assert feed.pipe.left_out == ()


def test_what_can_block_is_asked_of_the_reader_and_waited_for_by_nobody(reader: ImmediateReader) -> None:
    """With a reader that never answers every source gives what it can: nothing but age tells of it."""
    reader.silent = True
    sampler, every = sampler_of(reader)
    frames = [sampler.sample() for _ in range(3)]
    assert reader.asked
    for name in every:
        assert row(frames[-1], name)[SOURCES.position["failures"]] == 0, name
    assert frames[-1].rows("processes")
    cells = {frames[-1].cell("processes", "command_line", key) for key in frames[-1].rows("processes")}
    assert cells == {None}
