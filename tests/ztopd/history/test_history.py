"""Ring and store as one timeline, against a naive list."""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.recorded_frames import made
from tests.protocol.test_timeline import Event, events, naive
from tests.ztopd.history.stored import StoreOfTests
from tests.ztopd.history.test_ring import SECOND, fed, frames_of
from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.segment import EncodedFrame, Segment, SegmentReader, Stamp, encode_step
from ztop_protocol.timeline import milliseconds
from ztopd.history.history import Damaged, History, Moment
from ztopd.history.ring import Ring


@contextlib.contextmanager
def store(segment_frames: int = 7) -> Iterator[StoreOfTests]:
    with tempfile.TemporaryDirectory(prefix="ztop-") as folder:
        made = StoreOfTests(Path(folder, "timeline.ztop"), SECOND, segment_frames)
        yield made
        made.close()


def later(frames: list[EncodedFrame], after: EncodedFrame | None) -> list[EncodedFrame]:
    """The frames of a later run: everything as in ``frames``, but after what was before, on another boot."""
    if after is None:
        return frames
    ahead = after.time_ns - frames[0].time_ns + 2 * SECOND
    return [
        replace(frame, time_ns=frame.time_ns + ahead, boot_id=f"{after.boot_id}-{frame.boot_id}") for frame in frames
    ]


def stamps(*found: Moment | None) -> list[Stamp | None]:
    return [None if moment is None else moment.stamp for moment in found]


@settings(max_examples=60)
@given(st.lists(events, min_size=1, max_size=3), st.integers(1, 20), st.booleans(), st.data())
def test_any_moment_over_several_runs(
    runs: list[list[Event]], ring_frames: int, has_store: bool, data: st.DataObject
) -> None:
    """The ring holds as many frames as a store's segment at least: what is in neither would be lost."""
    with store() as disk:
        every: list[Stamp] = []
        last: EncodedFrame | None = None
        for happened in runs:
            disk.seq_offset = every[-1].seq if has_store and every else 0
            history = History(Ring(SECOND, ring_frames + 12), disk if has_store else None)
            if not has_store:
                every.clear()
            for frame in later(frames_of(happened), last):
                last = history.take(frame)
                every.append(last.stamp)
        if not has_store:
            every = [stamp for piece in history.ring.timeline for stamp in piece.stamps]
        asked = [
            data.draw(st.sampled_from(every)).time_ns + data.draw(st.integers(-3000, 3000)) * 500_000 for _ in range(5)
        ]
        asyncio.run(compare(history, every, asked))


async def compare(history: History, every: list[Stamp], asked: list[int]) -> None:
    for time_ns in asked:
        found = await history.at_time(time_ns)
        assert stamps(found) == [naive(every, time_ns)]
    earliest = history.earliest
    assert earliest is not None and earliest.time_ns == min(stamp.time_ns for stamp in every)
    assert await history.at_time(earliest.time_ns - 1_000_000) is None
    assert stamps(await history.at_seq(every[0].seq - 1), await history.at_seq(every[-1].seq + 1)) == [None, None]
    for number, stamp in enumerate(every):
        at = await history.at_seq(stamp.seq)
        assert at is not None and at.stamp == stamp
        assert stamps(await history.before(at)) == [every[number - 1] if number else None]
    low, high = sorted(asked[:2])
    told: list[Stamp] = []
    for piece in history.pieces(low, high):
        segment = await history.opened(piece)
        told += [
            stamp
            for stamp in segment.stamps
            if milliseconds(low) <= milliseconds(stamp.time_ns) <= milliseconds(high)
            and not (told and stamp.seq <= told[-1].seq)
        ]
    assert told == [stamp for stamp in every if milliseconds(low) <= milliseconds(stamp.time_ns) <= milliseconds(high)]


def test_numbers_go_on_from_the_store() -> None:
    with store() as disk:
        disk.seq_offset = 1000
        history = History(Ring(SECOND), disk)
        first, second = (history.take(frame) for frame in frames_of([Event(1000, 0, False, False)] * 2))
        assert (first.seq, first.base_seq, second.seq, second.base_seq) == (1001, None, 1002, 1001)
        assert [stamp.seq for piece in history.ring.timeline for stamp in piece.stamps] == [1001, 1002]


def filled(disk: StoreOfTests | None, ring_frames: int = 10, last: int = 40) -> History:
    """Frames 1 to ``last``; the ring has the newest ones only."""
    history = History(Ring(SECOND, ring_frames), disk)
    previous = None
    for seq in range(1, last + 1):
        frame = made(seq)
        history.take(encode_step(previous, frame, whole=(seq - 1) % 6 == 0))
        previous = frame
    return history


async def test_a_frame_out_of_the_store_is_the_frame_that_came() -> None:
    with store() as disk:
        history = filled(disk)
        for seq in range(1, 41):
            moment = await history.at_time(made(seq).time_ns + 300_000_000)
            assert moment is not None and moment.stamp.seq == seq
            segment = await history.opened(moment.piece)
            assert SegmentReader(segment).frame(moment.index) == made(seq)


async def test_what_the_ring_has_the_store_does_not_tell() -> None:
    with store() as disk:
        history = filled(disk)
        ring_oldest, store_oldest = history.ring_oldest, history.store_oldest
        assert ring_oldest is not None and ring_oldest.seq > 20
        assert store_oldest is not None and store_oldest.seq == 1
        assert len(disk.timeline) == 3
        pieces = history.pieces(0, 1 << 62)
        stored = [piece for piece in pieces if isinstance(piece, StoredSegment)]
        assert all(piece.first.seq < ring_oldest.seq for piece in stored)
        assert pieces[len(stored) :] == list(history.ring.timeline)


async def test_the_stamps_of_the_store_are_not_kept() -> None:
    with store() as disk:
        history = filled(disk)
        await history.at_time(made(3).time_ns)
        await history.at_seq(5)
        for piece in disk.timeline:
            await history.opened(piece)
        assert all(piece._head is None for piece in disk.timeline)


async def test_the_segment_that_grows_is_opened_as_it_was() -> None:
    history = History(Ring(SECOND))
    fed(history.ring, 1, 3)
    growing = history.ring.timeline.newest
    assert isinstance(growing, Segment)
    segment = await history.opened(growing)
    history.ring.take(encode_step(made(3), made(4), whole=False))
    assert [stamp.seq for stamp in segment.stamps] == [1, 2, 3]
    assert SegmentReader(segment).frame(2) == made(3)


class TestDamage:
    async def test_a_damaged_head_is_left_out_and_noted_once(self, caplog: pytest.LogCaptureFixture) -> None:
        with store() as disk:
            history = filled(disk)
            _, damaged, _ = disk.timeline
            disk.writer.connection.execute("UPDATE segments SET head = x'00' WHERE id = ?", (damaged.id,))
            with caplog.at_level(logging.WARNING):
                for seq in range(damaged.first.seq, damaged.last.seq + 1):
                    found = await history.at_time(made(seq).time_ns)
                    assert found is not None and found.stamp.seq == damaged.first.seq - 1
                    assert found.is_before_gap(made(seq).time_ns) is (seq > damaged.first.seq + 1)
                    assert await history.at_seq(seq) is None
            (record,) = caplog.records
            assert f"frames {damaged.first.seq} to {damaged.last.seq} cannot be read" in record.getMessage()
            assert damaged not in history.pieces(0, 1 << 62)

    async def test_a_damaged_track_is_found_when_it_is_opened(self) -> None:
        with store() as disk:
            history = filled(disk)
            damaged = next(iter(disk.timeline))
            disk.writer.connection.execute("UPDATE tracks SET body = x'00' WHERE segment = ?", (damaged.id,))
            moment = await history.at_seq(3)
            assert moment is not None
            with pytest.raises(Damaged):
                await history.opened(moment.piece)
            assert await history.at_seq(3) is None
            assert await history.at_time(made(3).time_ns) is None
            earliest = history.earliest
            assert earliest is not None and earliest.seq == damaged.last.seq + 1

    async def test_what_was_thinned_meanwhile_is_searched_again(self, caplog: pytest.LogCaptureFixture) -> None:
        with store() as disk:
            history = filled(disk)
            gone = next(iter(disk.timeline))
            moment = await history.at_seq(3)
            disk.writer.connection.execute("DELETE FROM segments WHERE id = ?", (gone.id,))
            disk.timeline.remove(gone)
            assert moment is not None
            with pytest.raises(Damaged):
                await history.opened(moment.piece)
            assert not caplog.records
            assert await history.at_seq(3) is None

    async def test_a_closed_file_is_no_error_of_the_asker(self) -> None:
        with store() as disk:
            history = filled(disk)
            disk.writer.flush()
            disk.writer.connection.close()
            assert await history.at_seq(3) is None
            newest = await history.at_time(1 << 62)
            assert newest is not None and newest.stamp.seq == 40
            disk.close = lambda: None  # type: ignore[method-assign]
