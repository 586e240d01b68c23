"""The ring: which frames it keeps, in what form, and that they are those that came."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recorded_frames import made
from tests.protocol.test_timeline import Event, events
from ztop_protocol.frame import Frame
from ztop_protocol.segment import EncodedFrame, SealedSegment, Segment, SegmentReader, Stamp, encode_step, is_same_clock
from ztopd.history import ring as ring_module
from ztopd.history.ring import Ring

SECOND = 1_000_000_000


def frames_of(happened: list[Event], keyframe_every: int = 5) -> list[EncodedFrame]:
    """What a sampler would send of it: no changes, keyframes where a segment begins. The first frame has no base."""
    made: list[EncodedFrame] = []
    boot, boottime_ns, offset_ns = 0, 100 * SECOND, 1_000_000 * SECOND
    for number, event in enumerate(happened):
        boottime_ns += event.pause_ms * 1_000_000
        offset_ns += event.clock_step_ms * 1_000_000
        if event.reboots:
            boot += 1
            offset_ns += boottime_ns - SECOND
            boottime_ns = SECOND
        stamp = Stamp(number + 1, boottime_ns + offset_ns, boottime_ns)
        is_gap = not made or event.reboots or event.ends_segment
        begins = is_gap or number % keyframe_every == 0 or not is_same_clock(made[-1].stamp, stamp)
        base = None if is_gap else number
        made.append(
            EncodedFrame(
                *(stamp.seq, stamp.time_ns, stamp.boottime_ns, f"boot{boot}", base, {}, ()), {} if begins else None
            )
        )
    return made


def kept(ring: Ring) -> list[Stamp]:
    return [stamp for piece in ring.timeline for stamp in piece.stamps]


def fed(ring: Ring, first: int, last: int, keyframe_every: int = 6, processes: int = 8) -> list[Frame]:
    """Frames with sections, as they were given."""
    given: list[Frame] = []
    for seq in range(first, last + 1):
        frame = made(seq, processes)
        whole = not given or (seq - first) % keyframe_every == 0
        ring.take(encode_step(given[-1] if given else None, frame, whole=whole))
        given.append(frame)
    return given


def opened(ring: Ring) -> list[Frame]:
    found: list[Frame] = []
    for piece in ring.timeline:
        reader = SegmentReader(piece.opened())
        found += [reader.frame(index) for index in range(len(piece.stamps))]
    return found


@given(events, st.integers(1, 30))
def test_the_last_frames_are_kept_whatever_happens(happened: list[Event], most: int) -> None:
    ring = Ring(SECOND, most)
    frames = frames_of(happened)
    for count, frame in enumerate(frames, 1):
        ring.take(frame)
        stamps = kept(ring)
        assert ring.frames == len(stamps) >= min(most, count)
        assert stamps == [frame.stamp for frame in frames[count - len(stamps) : count]]
        # without its oldest segment there would be too few
        pieces = list(ring.timeline)
        assert len(pieces) == 1 or len(stamps) - len(pieces[0].stamps) < most


def test_a_machine_that_is_sampled_less_often_for_a_while_has_no_gaps() -> None:
    # of each frame: the interval that it was made at, and when the next one came: a change holds from there on
    ticks = ((1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 4), (4, 2), (2, 1), (1, 1), (1, 1))
    told, silent = Ring(SECOND), Ring(SECOND)
    times, now = [0], 0
    for seq, (interval, next_s) in enumerate(ticks, 1):
        begins = seq == 1 or ticks[seq - 2][0] != interval
        plain = EncodedFrame(seq, now, now, "boot", seq - 1 or None, {}, (), {} if begins else None)
        silent.take(plain)
        told.take(replace(plain, interval_ns=interval * SECOND))
        now += next_s * SECOND
        times.append(now)
    assert [(piece.interval_ns // SECOND, len(piece.stamps)) for piece in told.timeline] == [
        (1, 3), (2, 2), (4, 3), (2, 1), (1, 2),
    ]  # fmt: skip
    # just before the next frame; without a word about it, the same frames would seem to have gaps between them
    gaps: dict[Ring, list[bool]] = {told: [], silent: []}
    for ring, found in gaps.items():
        for earlier, later in pairwise(times):
            place = ring.timeline.at_time(later - 1)
            assert place is not None and place.stamp.time_ns == earlier
            found.append(place.is_before_gap(later - 1))
    assert not any(gaps[told])
    assert gaps[silent].count(True) == 3


def test_complete_segments_are_sealed_and_hold_what_came() -> None:
    ring = Ring(SECOND)
    given = fed(ring, 1, 20)
    *complete, growing = ring.timeline
    assert [len(piece.stamps) for piece in complete] == [6, 6, 6]
    assert all(isinstance(piece, SealedSegment) for piece in complete)
    assert isinstance(growing, Segment)
    assert opened(ring) == given
    assert ring.size_bytes == sum(piece.size_bytes for piece in ring.timeline)


def test_the_size_is_bounded() -> None:
    unbounded = Ring(SECOND)
    fed(unbounded, 1, 60)
    most = unbounded.size_bytes // 2
    ring = Ring(SECOND, size_bytes=most)
    given = fed(ring, 1, 60)
    assert most // 2 < ring.size_bytes <= most
    assert 10 < ring.frames < 60
    assert opened(ring) == given[-ring.frames :]


def test_the_segment_that_grows_is_kept_however_large() -> None:
    ring = Ring(SECOND, size_bytes=10)
    given = fed(ring, 1, 9)
    assert opened(ring) == given[6:]
    assert ring.size_bytes == sum(piece.size_bytes for piece in ring.timeline)


def test_what_follows_nothing_is_refused() -> None:
    ring = Ring(SECOND)
    with pytest.raises(ValueError, match="keyframe"):
        ring.take(EncodedFrame(7, SECOND, SECOND, "boot", 6, {}, (), None))
    fed(ring, 1, 3)
    with pytest.raises(ValueError, match="does not follow"):
        ring.take(encode_step(made(4), made(5), whole=False))


class TestLargeSegments:
    @pytest.fixture(autouse=True)
    def everything_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ring_module, "_SEALED_AT_ONCE_BYTES", 0)

    async def test_they_are_sealed_in_a_thread(self) -> None:
        ring = Ring(SECOND)
        given = fed(ring, 1, 7)
        assert isinstance(next(iter(ring.timeline)), Segment)
        assert opened(ring) == given
        async with asyncio.timeout(20):
            while isinstance(next(iter(ring.timeline)), Segment):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert opened(ring) == given
        assert ring.size_bytes == sum(piece.size_bytes for piece in ring.timeline)

    async def test_one_that_was_forgotten_meanwhile_does_not_come_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ring = Ring(SECOND, frames=1)
        waiting: list[asyncio.Future[Any]] = []

        def later(_: object, work: Any) -> asyncio.Future[Any]:
            waiting.append(asyncio.get_running_loop().create_future())
            waiting[-1].set_result(work())
            return waiting[-1]

        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", later)
        given = fed(ring, 1, 13)
        assert len(waiting) == 2
        await asyncio.sleep(0)
        assert opened(ring) == given[-1:]
        assert ring.size_bytes == sum(piece.size_bytes for piece in ring.timeline)

    def test_without_a_loop_there_is_nothing_to_hold_up(self) -> None:
        ring = Ring(SECOND)
        fed(ring, 1, 7)
        assert isinstance(next(iter(ring.timeline)), SealedSegment)
