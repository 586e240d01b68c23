"""What the store gives up, when, and that it stays within its size."""

import itertools
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import ztopd.history.keeper
import ztopd.history.retention
from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import SECOND, frame, process
from tests.ztopd.history.storing import ALWAYS, Keeping, Sampler, stored
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_reader import Database, StoredSegment, indexed
from ztop_protocol.segment import SealedSegment, Stamp, encode_step
from ztop_protocol.timeline import Timeline, frames
from ztopd.history.retention import LEVELS_NS, Kept, Limits, Retention, Step, next_step
from ztopd.history.state import StoreState
from ztopd.history.store_file import WAL_BYTES, StoreFile, open_to_write

MEBIBYTE = 1 << 20
HOUR = 3600 * SECOND
FOR_EVER = 1 << 62
FULL, TEN, SIXTY = SECOND, *LEVELS_NS


class TestRule:
    """On segments of an hour each, the last of which has just ended."""

    limits = Limits(age_ns=100 * HOUR, size_bytes=1000)

    def kept(self, *segments: tuple[int, int]) -> list[Kept]:
        """Of these intervals and sizes."""
        made = []
        for number, (interval_ns, size_bytes) in enumerate(segments):
            first, last = (Stamp(300 * number + part, (number + part) * HOUR, number * HOUR) for part in (0, 1))
            made.append(Kept(StoredSegment(None, number, "boot", interval_ns, first, last), size_bytes))  # type: ignore[arg-type]
        return made

    def step(self, kept: list[Kept], used: int) -> tuple[int, int | None] | None:
        step = next_step(kept, used, self.limits)
        return None if step is None else (kept.index(step.kept), step.interval_ns)

    def test_nothing_while_there_is_room(self) -> None:
        kept = self.kept((FULL, 900))
        assert self.step(kept, 900) is None
        assert self.step(kept, 901) == (0, TEN)
        assert self.step([], 901) is None

    def test_the_oldest_of_full_resolution_while_it_has_more_than_half(self) -> None:
        assert self.step(self.kept((SIXTY, 200), (TEN, 200), (FULL, 251), (FULL, 250)), 901) == (2, TEN)

    def test_then_the_oldest_of_ten_seconds_while_they_have_more_than_a_quarter(self) -> None:
        assert self.step(self.kept((SIXTY, 150), (TEN, 130), (TEN, 121), (FULL, 400)), 901) == (1, SIXTY)

    def test_else_the_oldest_goes(self) -> None:
        assert self.step(self.kept((SIXTY, 300), (TEN, 200), (FULL, 400)), 901) == (0, None)

    def test_what_is_damaged_is_not_thinned(self) -> None:
        first, *others = self.kept((FULL, 300), (FULL, 300), (FULL, 301))
        kept = [replace(first, is_unreadable=True), *others]
        assert self.step(kept, 901) == (1, TEN)
        kept = [replace(one, is_unreadable=True) for one in kept]
        assert self.step(kept, 901) == (0, None)

    def at(self, *moments: tuple[str, int, int]) -> list[Kept]:
        """Segments that end in these boots, at these hours of boot time and of wall time."""
        made = []
        for number, (boot_id, up_hours, wall_hours) in enumerate(moments):
            first, last = (
                Stamp(300 * number + part, wall_hours * HOUR + part, up_hours * HOUR + part) for part in (0, 1)
            )
            made.append(Kept(StoredSegment(None, number, boot_id, FULL, first, last), 10))  # type: ignore[arg-type]
        return made

    def test_what_is_old_goes_whatever_the_size(self) -> None:
        assert self.step(self.at(("a", 0, 0), ("a", 50, 50), ("a", 100, 100)), 20) is None
        assert self.step(self.at(("a", 0, 0), ("a", 50, 50), ("a", 101, 101)), 20) == (0, None)

    def test_a_clock_that_was_set_ends_nothing(self) -> None:
        year = 8766
        assert self.step(self.at(("a", 0, 0), ("a", 1, 1 + year), ("a", 2, 2 + year)), 20) is None
        assert self.step(self.at(("a", 0, 0), ("a", 1, 1 + year), ("a", 2, 2)), 20) is None
        assert self.step(self.at(("a", 0, 0), ("a", 101, -year)), 20) == (0, None)

    def test_while_the_machine_was_off_wall_time_counts(self) -> None:
        assert self.step(self.at(("a", 50, 50), ("b", 1, 151)), 20) == (0, None)
        assert self.step(self.at(("a", 50, 50), ("b", 1, 149)), 20) is None
        # its clock begins with 1970
        assert self.step(self.at(("a", 50, 50), ("b", 1, 0), ("b", 99, 98)), 20) is None

    @pytest.mark.parametrize("interval_ns", [SECOND // 10, SECOND, 7 * SECOND, 60 * SECOND])
    def test_it_always_comes_to_an_end(self, interval_ns: int) -> None:
        """Even where thinning makes nothing smaller."""
        kept = self.kept(*[(interval_ns, 100)] * 12)
        for _ in range(100):
            step = next_step(kept, sum(one.size_bytes for one in kept), self.limits)
            if step is None:
                break
            place = kept.index(step.kept)
            if step.interval_ns is None:
                del kept[place]
            else:
                old = kept[place].segment
                thin = StoredSegment(None, old.id, "boot", step.interval_ns, old.first, old.last)  # type: ignore[arg-type]
                kept[place] = Kept(thin, 100)
        assert sum(one.size_bytes for one in kept) == 900


class Told:
    """Keeps a timeline as the store's readers have it."""

    def __init__(self) -> None:
        self.timeline: Timeline[StoredSegment] = Timeline()

    def replaced(self, old: StoredSegment, new: StoredSegment) -> None:
        self.timeline.replace(old, new)

    def removed(self, segment: StoredSegment) -> None:
        self.timeline.remove(segment)


class Shelf:
    """A file that is written and looked after in turn, by one thread."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        directory.mkdir(exist_ok=True)
        self.limits = limits
        self.file: StoreFile = open_to_write(str(directory), SECOND, limits.size_bytes)
        assert self.file.writer is not None
        self.writer: RecordingWriter = self.file.writer
        self.writer.on_sealed = self._sealed
        self.told = Told()
        for segment, _ in self.file.segments:
            self.told.timeline.append(segment)
        database: Database = self.file.database
        self.retention = Retention(self.writer.connection, database, self.file.segments, limits, self.told)
        self._path = directory / "timeline.ztop"

    def _sealed(self, id: int, segment: SealedSegment) -> None:
        stored = indexed(self.file.database, id, segment)
        self.told.timeline.append(stored)
        self.retention.add(stored, segment.size_bytes)

    def write(self, given: Iterator[Frame], count: int, *, at_leisure: bool = True) -> None:
        """Adds so many frames; the file stays within its size. ``at_leisure``: with time for all work in between."""
        previous = None
        for current in itertools.islice(given, count):
            self.writer.add(encode_step(previous, current, whole=previous is None or self.writer.needs_keyframe))
            previous = current
            self.retention.make_room()
            if at_leisure:
                self.work()
        self.writer.flush()

    def work(self) -> int:
        """All that is to be done; returns in how many slices."""
        return sum(1 for _ in self.retention.work())

    def size_bytes(self) -> int:
        """Of the file, with what is in the log."""
        (pages,) = self.writer.connection.execute("PRAGMA page_count").fetchone()
        return int(pages) * 4096

    def levels(self) -> list[int]:
        return [Kept(segment, 0).level for segment in self.told.timeline]

    def read(self) -> list[Frame]:
        return list(frames(self.told.timeline, *ALWAYS))

    def close(self) -> None:
        self.file.database.close()
        self.writer.close()


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ztopd.history.retention, "GRACE_SECONDS", 0.0)


def large(seq: int) -> Frame:
    """A frame that does not compress well."""
    chance = random.Random(seq)
    return frame(
        seq,
        [
            process(pid, rss_bytes=chance.randrange(1 << 40), minor_faults=chance.randrange(1 << 40))
            for pid in range(60)
        ],
    )


def numbered(make: "type[Frame] | object", first: int = 1) -> Iterator[Frame]:
    for seq in itertools.count(first):
        yield make(seq)  # type: ignore[operator]


@pytest.mark.slow
def test_a_small_store_has_all_levels_and_stays_small(tmp_path: Path) -> None:
    limits = Limits(FOR_EVER, MEBIBYTE)
    shelf = Shelf(tmp_path / "store", limits)
    given, sizes = numbered(large), []
    for _ in range(12):
        shelf.write(given, 300)
        sizes.append(shelf.size_bytes())
        assert sizes[-1] <= limits.size_bytes
        assert os.path.getsize(tmp_path / "store" / "timeline.ztop-wal") <= 2 * WAL_BYTES
    assert max(sizes) > 0.85 * limits.size_bytes
    levels = shelf.levels()
    assert levels == sorted(levels, reverse=True), "the older, the thinner"
    assert set(levels) == {0, 1, 2}
    kept = shelf.read()
    seqs = [one.seq for one in kept]
    assert seqs == sorted(set(seqs))
    # nobody ended here: every frame that was kept is as it was
    assert all(one == large(one.seq) for one in kept)
    oldest, newest = kept[0].time_ns, kept[-1].time_ns
    for time_ns in range(oldest, newest, 97 * SECOND):
        place = shelf.told.timeline.at_time(time_ns)
        assert place is not None
        assert place.stamp.time_ns == max(one.time_ns for one in kept if one.time_ns <= time_ns)
    shelf.close()
    # nothing that was given up is left behind, and it goes on
    assert [one.seq for one in stored(tmp_path / "store" / "timeline.ztop")][: len(seqs)] == seqs
    again = Shelf(tmp_path / "store", limits)
    assert again.levels()[: len(levels)] == levels
    again.close()


def test_the_age(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "store", Limits(1000 * SECOND, 100 * MEBIBYTE))
    shelf.write(numbered(made), 3000)
    # it is counted from the end of the newest that is complete
    assert [one.seq for one in shelf.read()] == list(range(1501, 2701))
    shelf.close()


def test_a_smaller_size_than_before(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "store", Limits(FOR_EVER, 100 * MEBIBYTE))
    shelf.write(numbered(large), 2000, at_leisure=False)
    assert shelf.size_bytes() > 1.3 * MEBIBYTE
    shelf.close()
    shelf = Shelf(tmp_path / "store", Limits(FOR_EVER, MEBIBYTE))
    assert shelf.work() > 5
    assert shelf.size_bytes() <= MEBIBYTE
    assert shelf.levels()
    shelf.close()
    assert os.path.getsize(tmp_path / "store" / "timeline.ztop") <= MEBIBYTE


def test_what_is_being_read_is_there_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ztopd.history.retention, "GRACE_SECONDS", 3600.0)
    shelf = Shelf(tmp_path / "store", Limits(FOR_EVER, MEBIBYTE))
    given = numbered(large)
    while True:
        reading = next(iter(shelf.told.timeline), None)
        shelf.write(given, 10)
        if 1 in shelf.levels():
            break
    assert reading is not None
    assert reading not in list(shelf.told.timeline)
    assert reading.interval_ns == SECOND and len(reading.stamps) == reading.last.seq
    assert reading.opened().tracks
    shelf.close()
    # whoever ended before it was deleted leaves both: the thinned one counts, the other goes
    ids = len(stored_ids(tmp_path))
    seqs = [one.seq for one in stored(tmp_path / "store" / "timeline.ztop")]
    assert seqs == sorted(set(seqs))
    again = Shelf(tmp_path / "store", Limits(FOR_EVER, 100 * MEBIBYTE))
    assert (thinned := sum(again.levels())) > 0
    again.work()
    assert len(stored_ids(tmp_path)) == ids - thinned
    seqs = [one.seq for one in again.read()]
    assert seqs == sorted(set(seqs))
    again.close()


def stored_ids(tmp_path: Path) -> list[int]:
    database = open_to_write(str(tmp_path / "store"), SECOND, 100 * MEBIBYTE)
    assert database.writer is not None
    found = [id for (id,) in database.writer.connection.execute("SELECT id FROM segments")]
    database.close()
    return found


def test_a_damaged_segment_is_passed_over(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "store", Limits(FOR_EVER, MEBIBYTE))
    given = numbered(large)
    shelf.write(given, 300)
    with shelf.writer.connection:
        shelf.writer.connection.execute("UPDATE tracks SET body = substr(body, 1, 50) WHERE segment = 1")
    shelf.write(given, 1500)
    assert shelf.size_bytes() <= MEBIBYTE
    assert 1 in shelf.levels()
    shelf.close()


def test_the_stores_own_thread_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ztopd.history.keeper, "_SLICE_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(ztopd.history.keeper, "_WORK_SECONDS", 0.01)
    keeping, sampler = Keeping(tmp_path / "store", size_bytes=MEBIBYTE), Sampler()
    monkeypatch.setattr(sampler, "make", large)
    taken = 0
    while not any(Kept(one, 0).level for one in keeping.store.timeline):
        keeping.take(sampler, 20)
        taken += 20
        keeping.until(lambda: True, "")
        time.sleep(0.02)
        assert keeping.store.size_bytes <= MEBIBYTE + 2 * WAL_BYTES
        assert taken < 20_000
    keeping.close()
    assert keeping.states == [StoreState.OK]
    kept = keeping.written()
    assert kept[-1] == large(taken)
    assert all(one == large(one.seq) for one in kept)


def test_a_step_is_a_value() -> None:
    kept = TestRule().kept((FULL, 1))[0]
    assert Step(kept, TEN) == Step(kept, TEN) != Step(kept, None)
