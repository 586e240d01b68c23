"""Recordings: written and read, killed, copied, cut, damaged, hostile."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.patience import FLIPPED_BITS, KILLS
from tests.protocol.recorded_frames import made, record
from tests.ztop_client.fake_source import SECOND
from ztop_protocol.codec import Malformed
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_format import (
    FORMAT_VERSION,
    NewerFormat,
    NotARecording,
    RecordingError,
    pack_chunk,
    pack_head,
    unpack_chunk,
    unpack_head,
)
from ztop_protocol.recording_reader import RecordingReader
from ztop_protocol.segment import Segment, encode_step, seal, segment_as_map, segment_from
from ztop_protocol.timeline import frames

ALWAYS = (0, 1 << 62)


def read(path: Path) -> list[Frame]:
    """Every frame, each of them compared with what was recorded. Raises :exc:`RecordingError`."""
    reader = RecordingReader(str(path))
    try:
        found = list(frames(reader.timeline, *ALWAYS))
    finally:
        reader.close()
    for one in found:
        assert one == made(one.seq)
    return found


def numbers(path: Path) -> list[int]:
    return [one.seq for one in read(path)]


def numbers_or_sentence(path: Path) -> list[int]:
    """Nothing where the file was refused, in one line."""
    try:
        return numbers(path)
    except RecordingError as error:
        sentence = str(error)
    assert sentence and "\n" not in sentence
    return []


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten complete segments of 20 frames and a growing one of 10, whose writer was never closed."""
    path = tmp_path_factory.mktemp("recording") / "whole.ztop"
    writer = RecordingWriter(str(path), SECOND, segment_frames=20)
    record(writer, 1, 210)
    writer.flush()
    shutil.copyfile(path, path.with_suffix(".copy"))
    writer.close()
    return path.with_suffix(".copy")


class TestWritten:
    def test_is_read(self, recording: Path) -> None:
        assert numbers(recording) == list(range(1, 211))

    def test_closed_it_is_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "one.ztop"
        writer = RecordingWriter(str(path), SECOND, segment_frames=20)
        record(writer, 1, 30)
        writer.close()
        assert os.listdir(tmp_path) == ["one.ztop"]
        assert numbers(path) == list(range(1, 31))
        assert path.stat().st_mode & 0o777 == 0o600

    def test_goes_on(self, recording: Path, tmp_path: Path) -> None:
        path = tmp_path / "again.ztop"
        shutil.copyfile(recording, path)
        writer = RecordingWriter(str(path), SECOND, segment_frames=20)
        record(writer, 300, 310)
        writer.close()
        assert numbers(path) == [*range(1, 211), *range(300, 311)]

    def test_a_frame_that_follows_nothing(self, tmp_path: Path) -> None:
        writer = RecordingWriter(str(tmp_path / "x.ztop"), SECOND)
        with pytest.raises(ValueError, match="follows nothing"):
            writer.add(encode_step(made(1), made(2), whole=False))
        writer.close()

    def test_while_it_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / "live.ztop"
        writer = RecordingWriter(str(path), SECOND, segment_frames=20)
        record(writer, 1, 30)
        writer.flush()
        reader = RecordingReader(str(path))
        assert [one.seq for one in frames(reader.timeline, *ALWAYS)] == list(range(1, 31))
        assert not reader.refresh()
        record(writer, 31, 65)
        writer.flush()
        assert reader.refresh()
        assert [one.seq for one in frames(reader.timeline, *ALWAYS)] == list(range(1, 66))
        reader.close()
        writer.close()

    def test_a_store_is_read_while_it_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / "store.ztop"
        writer = RecordingWriter(str(path), SECOND, wal=True, segment_frames=20)
        record(writer, 1, 30)
        writer.flush()
        assert numbers(path) == list(range(1, 31))
        writer.close()

    def test_segments_are_told(self, tmp_path: Path) -> None:
        told = []
        writer = RecordingWriter(str(tmp_path / "x.ztop"), SECOND, segment_frames=20)
        writer.on_sealed = lambda id, segment: told.append((segment.first.seq, len(segment.stamps)))
        record(writer, 1, 50)
        writer.close()
        assert told == [(1, 20), (21, 20), (41, 10)]


def killed_recordings(path: Path, times: int) -> Iterator[float]:
    """Kills a recording program at random moments; gives how long before that the last frame read was made."""
    chosen = random.Random(7)
    first = 1
    for _ in range(times):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.protocol.recorded_frames", str(path), str(first), "0.02"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        said = [child.stdout.readline()]
        time.sleep(chosen.uniform(0.0, 1.5))
        child.kill()
        killed = time.monotonic()
        said += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        told = [line.split() for line in said if line.endswith("\n")]
        made_at = {int(seq): float(moment) for seq, moment in told}
        last = max(numbers_or_sentence(path), default=0)
        missing = [moment for seq, moment in made_at.items() if seq > last]
        yield killed - min(missing, default=killed)
        first = max(made_at) + 100


class TestKilled:
    def test_a_few_times(self, tmp_path: Path) -> None:
        assert max(killed_recordings(tmp_path / "killed.ztop", 5)) < 2

    @pytest.mark.slow
    @pytest.mark.timeout(400)
    def test_many_times(self, tmp_path: Path) -> None:
        assert max(killed_recordings(tmp_path / "killed.ztop", KILLS)) < 2

    def test_copied_while_it_is_written(self, tmp_path: Path) -> None:
        path, copy = tmp_path / "written.ztop", tmp_path / "copy.ztop"
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.protocol.recorded_frames", str(path), "1", "0.005"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        found = []
        try:
            for _ in range(20):
                deadline = time.monotonic() + 0.15
                while time.monotonic() < deadline:
                    child.stdout.readline()
                shutil.copyfile(path, copy)
                found.append(len(numbers_or_sentence(copy)))
        finally:
            child.kill()
            child.stdout.close()
            child.wait()
        # copies of a file that changes meanwhile may lack what was just written, not all of it
        assert found[-1] > 0
        assert max(found) > 100


class TestDamaged:
    def cut(self, recording: Path, path: Path, step: int) -> list[int]:
        whole = recording.read_bytes()
        found = []
        for length in range(0, len(whole), step):
            path.write_bytes(whole[:length])
            seqs = numbers_or_sentence(path)
            assert seqs == sorted(set(seqs))
            found.append(len(seqs))
        return found

    def test_cut(self, recording: Path, tmp_path: Path) -> None:
        found = self.cut(recording, tmp_path / "cut.ztop", 9970)
        assert found[0] == 0
        assert found[-1] >= 20

    @pytest.mark.slow
    def test_cut_at_every_997th_byte(self, recording: Path, tmp_path: Path) -> None:
        found = self.cut(recording, tmp_path / "cut.ztop", 997)
        assert found[-1] >= 20

    def flip(self, recording: Path, path: Path, times: int) -> int:
        whole = recording.read_bytes()
        chosen = random.Random(11)
        most = 0
        for _ in range(times):
            damaged = bytearray(whole)
            for _ in range(chosen.choice((1, 1, 1, 20))):
                damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
            path.write_bytes(damaged)
            most = max(most, len(numbers_or_sentence(path)))
        return most

    def test_flipped_bits(self, recording: Path, tmp_path: Path) -> None:
        assert self.flip(recording, tmp_path / "flipped.ztop", 60) >= 190

    @pytest.mark.slow
    def test_many_flipped_bits(self, recording: Path, tmp_path: Path) -> None:
        assert self.flip(recording, tmp_path / "flipped.ztop", FLIPPED_BITS) >= 190

    def test_a_lost_page_costs_one_segment(self, recording: Path, tmp_path: Path) -> None:
        whole = recording.read_bytes()
        path = tmp_path / "page.ztop"
        found = []
        for start in range(4096, len(whole), 4096):
            path.write_bytes(whole[:start] + bytes(4096) + whole[start + 4096 :])
            found.append(len(numbers_or_sentence(path)))
        # but for the few pages through which all others are found
        assert sum(count >= 150 for count in found) > len(found) * 0.7


class TestHostile:
    def changed(self, recording: Path, path: Path, *statements: str, values: tuple[object, ...] = ()) -> Path:
        shutil.copyfile(recording, path)
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement, values)
        connection.commit()
        connection.close()
        return path

    def test_a_trigger(self, recording: Path, tmp_path: Path) -> None:
        path = self.changed(
            recording, tmp_path / "x", "CREATE TRIGGER t AFTER INSERT ON chunks BEGIN DELETE FROM segments; END"
        )
        with pytest.raises(NotARecording, match="tables of a recording"):
            RecordingReader(str(path))
        with pytest.raises(NotARecording, match="tables of a recording"):
            RecordingWriter(str(path), SECOND)

    def test_a_view_in_place_of_a_table(self, recording: Path, tmp_path: Path) -> None:
        endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x AS id, x AS body FROM c"
        path = self.changed(recording, tmp_path / "x", "DROP TABLE chunks", f"CREATE VIEW chunks AS {endless}")
        with pytest.raises(NotARecording):
            RecordingReader(str(path))

    def test_a_bomb(self, recording: Path, tmp_path: Path) -> None:
        bomb = seal(bytes(1 << 28))
        path = self.changed(
            recording, tmp_path / "x", "UPDATE tracks SET body = substr(body, 1, 12) || ?", values=(bomb,)
        )
        assert numbers(path) == list(range(201, 211))

    @pytest.mark.parametrize("value", [None, 1.5, "text", b"", b"\x00" * 40, 1 << 62])
    def test_values_of_other_types(self, recording: Path, tmp_path: Path, value: object) -> None:
        path = self.changed(recording, tmp_path / "x", "UPDATE segments SET head = ?", values=(value,))
        assert numbers(path) == list(range(201, 211))

    def test_a_newer_format(self, recording: Path, tmp_path: Path) -> None:
        path = self.changed(recording, tmp_path / "x", f"PRAGMA user_version = {FORMAT_VERSION + 1}")
        for open_it in (RecordingReader, lambda path: RecordingWriter(path, SECOND)):
            with pytest.raises(NewerFormat, match="written by a newer ztop"):
                open_it(str(path))

    def test_another_database(self, tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE t (x)")
        connection.close()
        with pytest.raises(NotARecording, match="no recording of ztop"):
            RecordingReader(str(path))

    def test_no_database_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("just some text\n" * 1000)
        with pytest.raises(RecordingError):
            RecordingReader(str(tmp_path / "text"))

    def test_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "empty").touch()
        for path in (tmp_path, tmp_path / "fifo", tmp_path / "empty", tmp_path / "missing", Path("/dev/null")):
            with pytest.raises(RecordingError) as caught:
                RecordingReader(str(path))
            assert str(path) in str(caught.value)

    @pytest.mark.parametrize("interval_ns", [0, -1, 1 << 63])
    def test_intervals_that_nobody_can_divide_by(self, interval_ns: int) -> None:
        segment = Segment.begun_by(encode_step(None, made(1), whole=True), interval_ns)
        for read_it, what in (
            (unpack_head, pack_head(segment.sealed())),
            (unpack_chunk, pack_chunk(segment, [encode_step(None, made(1), whole=True)])),
            (segment_from, segment_as_map(segment.sealed())),
        ):
            with pytest.raises(Malformed):
                read_it(what)

    def test_a_frame_that_follows_a_later_one(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ztop"
        first, second = (
            encode_step(None, made(5), whole=True),
            replace(encode_step(made(5), made(6), whole=False), seq=3),
        )
        RecordingWriter(str(path), SECOND).close()
        with sqlite3.connect(path) as connection:
            chunk = pack_chunk(Segment.begun_by(first, SECOND), [first, second])
            connection.execute("INSERT INTO chunks (first_seq, body) VALUES (5, ?)", (chunk,))
        connection.close()
        assert numbers(path) == [5]

    def test_frames_that_contradict_each_other(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ztop"
        writer = RecordingWriter(str(path), SECOND)
        # process 1001 ends between frames 9 and 10; frame 1 does not have it
        writer.add(encode_step(None, made(1), whole=True))
        writer.add(replace(encode_step(made(9), made(10), whole=False), seq=2, base_seq=1, time_ns=made(2).time_ns,
                           boottime_ns=made(2).boottime_ns))  # fmt: skip
        writer.close()
        reader = RecordingReader(str(path))
        with pytest.raises(Malformed):
            list(frames(reader.timeline, *ALWAYS))
        reader.close()
