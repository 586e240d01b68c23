"""A span gathered beside the screen: every frame once, progress, and giving up."""

import select
import time
from collections.abc import Callable, Iterator

import pytest

from tests.protocol.recorded_frames import made
from tests.ztop_client.rewind.remembering import Remembering
from ztop_client.rewind.control import Span
from ztop_client.rewind.gathering import Gathering, Progress
from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Frame
from ztop_protocol.segment import segment_as_map

SECOND = 10**9


class Loop:
    """An event loop with one file."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], object]] = {}

    def watch_file(self, descriptor: int, callback: Callable[[], object]) -> object:
        self.watched[descriptor] = callback
        return descriptor

    def remove_watch_file(self, handle: object) -> bool:
        assert isinstance(handle, int)
        return self.watched.pop(handle, None) is not None

    def run(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not until():
            assert time.monotonic() < deadline
            for descriptor in select.select(list(self.watched), [], [], 0.05)[0]:
                self.watched[descriptor]()


class Daemon:
    """Answers ``segments``, a few at a time, with an overlap as where store and ring meet."""

    def __init__(self, frames: list[Frame], at_a_time: int = 2) -> None:
        self.pieces = list(Remembering(frames, range(0, len(frames), 7)).timeline)
        self.at_a_time = at_a_time

    def ask(self, method: str, arguments: Arguments, done: Callable[[Wire | RequestFailed], None]) -> None:
        assert method == "segments"
        start = arguments.get("cursor", 0)
        given = self.pieces[max(start - 1, 0) : start + self.at_a_time]
        end = start + self.at_a_time
        done({"segments": [segment_as_map(one) for one in given], "cursor": end if end < len(self.pieces) else None})


def gather(
    daemon: Daemon, span: Span, work: Callable[[Iterator[Frame]], object]
) -> tuple[list[object], list[Progress]]:
    loop, results, progress = Loop(), [], []  # type: ignore[var-annotated]
    Gathering(daemon.ask, loop, span, None, work, results.append, progress.append)
    loop.run(lambda: bool(results))
    assert not loop.watched
    return results, progress


def test_every_frame_of_the_span_once_and_in_order() -> None:
    frames = [made(seq) for seq in range(1, 60)]
    span = Span(frames[9].time_ns, frames[49].time_ns)
    results, progress = gather(Daemon(frames), span, lambda taken: [frame.seq for frame in taken])
    assert results == [list(range(10, 51))]
    shares = [one.share for one in progress]
    assert shares == sorted(shares)
    assert progress[-1].frames == 41
    assert progress[-1].share == pytest.approx(1.0)


def test_a_work_that_fails_loudly_is_heard_of() -> None:
    def work(_frames: Iterator[Frame]) -> int:
        raise ZeroDivisionError

    loop = Loop()
    Gathering(Daemon([made(1)]).ask, loop, Span(0, 1 << 62), None, work, lambda _: None, lambda _: None)
    with pytest.raises(ZeroDivisionError):
        loop.run(lambda: False)


@pytest.mark.parametrize("answer", [RequestFailed("no connection"), None, {"segments": [{}], "cursor": None}])
def test_no_answer_is_said(answer: Wire) -> None:
    loop, results = Loop(), []  # type: ignore[var-annotated]
    Gathering(
        lambda _method, _arguments, done: done(answer),
        *(loop, Span(0, 1), None),
        lambda taken: list(taken),
        results.append,
        lambda _: None,
    )
    loop.run(lambda: bool(results))
    assert isinstance(results[0], RequestFailed)


def test_given_up_it_ends_and_says_nothing() -> None:
    loop, results, took = Loop(), [], []  # type: ignore[var-annotated]

    def work(taken: Iterator[Frame]) -> None:
        for frame in taken:
            took.append(frame)
            time.sleep(0.01)

    frames = [made(seq) for seq in range(1, 300)]
    gathering = Gathering(Daemon(frames).ask, loop, Span(0, 1 << 62), None, work, results.append, lambda _: None)
    loop.run(lambda: len(took) > 5)
    gathering.give_up()
    gathering._thread.join(10)
    assert not gathering._thread.is_alive()
    assert len(took) < 299
    assert not loop.watched
    assert not results
