"""What the store does with files that are damaged, of another kind or version, and with errors of the disk."""

import os
import random
import sqlite3
from pathlib import Path

import pytest

from tests.ztop_client.fake_source import SECOND
from tests.ztopd.history.storing import Keeping, Sampler, stored
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_format import FORMAT_VERSION
from ztopd.history.state import StoreState


class TestFile:
    def test_a_newer_one_is_left_alone(self, filled: Path) -> None:
        connection = sqlite3.connect(filled)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
        connection.close()
        before = filled.read_bytes()
        keeping, sampler = Keeping(filled.parent), Sampler()
        keeping.take(sampler, 5)
        keeping.close()
        assert keeping.states == [StoreState.NEWER]
        assert filled.read_bytes() == before
        assert not list(filled.parent.glob("*.damaged*"))

    def set_aside(self, filled: Path, at_least: int) -> None:
        """The damaged file lies there as it was, the new one has what was intact and goes on."""
        damaged = filled.read_bytes()
        keeping, sampler = Keeping(filled.parent, "after"), Sampler("after", 10**6 * SECOND)
        assert keeping.states == [StoreState.DAMAGED]
        assert (filled.parent / "timeline.ztop.damaged-1").read_bytes() == damaged
        saved = keeping.remembered()
        assert len(saved) >= at_least
        assert all(frame == Sampler().make(frame.seq) for frame in saved)
        assert keeping.store.seq_offset == (saved[-1].seq if saved else 0)
        keeping.take(sampler, 10)
        keeping.close()
        assert len(stored(filled)) == len(saved) + 10
        again = Keeping(filled.parent, "later")
        assert again.states == [StoreState.OK]
        again.close()

    def test_another_kind(self, filled: Path) -> None:
        filled.write_text("something else\n" * 1000)
        self.set_aside(filled, 0)

    def test_another_database(self, filled: Path) -> None:
        connection = sqlite3.connect(filled)
        connection.execute("PRAGMA application_id = 5")
        connection.close()
        self.set_aside(filled, 0)

    def test_broken_at_the_root(self, filled: Path) -> None:
        whole = bytearray(filled.read_bytes())
        # the pages of the tables segments and tracks begin there
        for start in (2 * 4096, 3 * 4096):
            whole[start : start + 8] = b"\xff" * 8
        filled.write_bytes(whole)
        self.set_aside(filled, 0)

    def test_a_schema_that_is_no_text(self, filled: Path) -> None:
        # SQLite quotes it where it complains, and Python cannot decode that
        whole = filled.read_bytes()
        assert b"ON tracks (segment)" in whole
        filled.write_bytes(whole.replace(b"ON tracks (segment)", b"ON tracks (seg\xa0ent)"))
        self.set_aside(filled, 0)

    @pytest.mark.parametrize("place", ["min", "max"])
    @pytest.mark.parametrize("number", ["1 << 32", "(1 << 62) + 1", "-5", "'text'"])
    def test_an_index_that_its_head_contradicts(self, filled: Path, place: str, number: str) -> None:
        with sqlite3.connect(filled) as connection:
            connection.execute(f"UPDATE segments SET last_seq = {number} WHERE id = (SELECT {place}(id) FROM segments)")
            (last,) = connection.execute("SELECT max(last_seq) FROM segments WHERE last_seq < 1000").fetchone()
        connection.close()
        keeping = Keeping(filled.parent, "after")
        assert keeping.store.seq_offset == last
        left = {piece.last.seq for piece in keeping.store.timeline}
        assert len(left) == 2 and max(left) == last
        keeping.take(Sampler("after", 10**6 * SECOND), 10)
        keeping.close()
        assert keeping.states == [StoreState.OK]
        assert {frame.seq for frame in stored(filled)} >= {last + 10}

    @pytest.mark.parametrize("offset", ["(1 << 63) - 1", "-1", "'text'"])
    def test_an_offset_that_leaves_no_room_for_numbers(self, filled: Path, offset: str) -> None:
        with sqlite3.connect(filled) as connection:
            connection.execute(f"UPDATE runs SET seq_offset = {offset}")
        connection.close()
        keeping = Keeping(filled.parent, "before")
        assert keeping.store.seq_offset == 700
        keeping.take(Sampler("after", 10**6 * SECOND), 10)
        keeping.close()
        assert len(stored(filled)) == 710

    def test_cut(self, filled: Path) -> None:
        os.truncate(filled, filled.stat().st_size // 2 // 4096 * 4096)
        self.set_aside(filled, 0)

    def test_a_second_one_has_another_name(self, filled: Path) -> None:
        for number in (1, 2):
            filled.write_text("no database")
            keeping = Keeping(filled.parent, f"run {number}")
            keeping.close()
            assert (filled.parent / f"timeline.ztop.damaged-{number}").read_text() == "no database"

    def test_flipped_bits(self, filled: Path) -> None:
        """Never a wrong frame, never a store that does not go on."""
        whole = filled.read_bytes()
        chosen = random.Random(5)
        kept = []
        for number in range(20):
            damaged = bytearray(whole)
            for _ in range(chosen.choice((1, 10))):
                damaged[chosen.randrange(100, len(damaged))] ^= 1 << chosen.randrange(8)
            filled.write_bytes(damaged)
            keeping = Keeping(filled.parent, f"run {number}")
            assert keeping.states[0] in (StoreState.OK, StoreState.DAMAGED)
            keeping.take(Sampler("after", 10**6 * SECOND), 3)
            keeping.close()
            frames = stored(filled)
            assert all(frame == Sampler().make(frame.seq) for frame in frames if frame.boot_id != "after")
            assert len([frame for frame in frames if frame.boot_id == "after"]) == 3
            kept.append(len(frames))
        assert max(kept) == 703

    def test_damaged_while_it_is_written(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keeping, sampler = Keeping(directory), Sampler()
        keeping.take(sampler, 350)
        keeping.until(lambda: len(keeping.store.timeline) == 1, "a segment is complete")
        flush = RecordingWriter.flush
        broken = iter([True])

        def fails_once(writer: RecordingWriter) -> None:
            if next(broken, False):
                raise sqlite3.DatabaseError("database disk image is malformed")
            flush(writer)

        monkeypatch.setattr(RecordingWriter, "flush", fails_once)
        keeping.until_state(StoreState.DAMAGED)
        keeping.take(sampler, 50)
        keeping.close()
        assert (directory / "timeline.ztop.damaged-1").exists()
        assert {frame.seq: frame for frame in keeping.written()}.items() <= keeping.given.items()
        assert {*range(1, 301), *range(352, 401)} <= {frame.seq for frame in keeping.written()}

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (OSError(28, "No space left on device"), StoreState.FULL),
            (OSError(30, "Read-only file system"), StoreState.READ_ONLY),
            (OSError(5, "Input/output error"), StoreState.FAILED),
            (sqlite3.OperationalError("database is locked"), StoreState.FAILED),
        ],
    )
    def test_an_error_while_it_is_written(
        self, directory: Path, soon: None, monkeypatch: pytest.MonkeyPatch, error: Exception, state: StoreState
    ) -> None:
        keeping, sampler = Keeping(directory), Sampler()
        keeping.take(sampler, 20)
        keeping.until_written(20)
        with monkeypatch.context() as broken:

            def fails(*_: object) -> None:
                raise error

            broken.setattr(RecordingWriter, "flush", fails)
            broken.setattr(RecordingWriter, "__init__", fails)
            keeping.take(sampler, 1)
            keeping.until_state(state)
            keeping.take(sampler, 5)
        keeping.until_state(StoreState.OK)
        keeping.take(sampler, 5)
        keeping.close()
        # before and after; no keyframe was needed to go on
        assert {*range(1, 21), *range(27, 32)} <= {frame.seq for frame in keeping.written()}
        assert {frame.seq: frame for frame in keeping.written()}.items() <= keeping.given.items()
