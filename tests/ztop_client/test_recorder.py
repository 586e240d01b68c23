"""What is recorded: every frame, whatever is shown, whatever goes wrong."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.patience import KILLS
from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import SECOND
from ztop_client.incident import redacted
from ztop_client.recorder import Recorder
from ztop_client.sources.past import RecordedPast
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.recording_format import RecordingError
from ztop_protocol.schema import SECTIONS

OTHER_BOOT = "99999999-2222-3333-4444-555555555555"


def recorded(path: Path, *, with_notes: bool = False) -> list[Frame]:
    with closing(RecordedPast(str(path))) as past:
        assert with_notes or not past.notes
        return list(past.frames(0, 1 << 62))


def chunks(path: Path) -> int:
    """How often something was written since the last segment was complete."""
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
        return int(count)


def numbers(path: Path) -> list[int]:
    return [frame.seq for frame in recorded(path)]


def record(path: Path, frames: Iterable[Frame], **how: object) -> Recorder:
    with Recorder(str(path), SECOND, **how) as recorder:  # type: ignore[arg-type]
        for frame in frames:
            recorder.take(frame)
    return recorder


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.ztop"


class TestWhatIsRecorded:
    def test_every_frame_as_it_was(self, path: Path) -> None:
        frames = [made(seq) for seq in range(1, 40)]
        assert record(path, frames).problem is None
        assert recorded(path) == frames
        assert os.listdir(path.parent) == [path.name]

    def test_redacted_it_names_nobody_the_time_before_included(self, path: Path) -> None:
        frames = [made(seq) for seq in range(1, 9)]
        assert record(path, frames[4:], before=lambda _: iter(frames[:4]), redact=True).problem is None
        assert recorded(path) == [redacted(frame) for frame in frames]
        texts = {
            str(cell) for frame in frames for cell in (frame.cell("host", "hostname"), *(
                row[SECTIONS["processes"].position[name]]
                for row in frame.rows("processes").values() for name in ("command_line", "user")
            )) if cell is not None
        }  # fmt: skip
        assert texts
        with closing(RecordedPast(str(path))) as past:
            kept = {str(cell) for frame in past.frames(0, 1 << 62) for section in frame.sections.values()
                    for row in section.rows.values() for cell in row}  # fmt: skip
        assert not texts & kept

    def test_it_is_in_the_file_soon_though_no_other_frame_comes(self, path: Path) -> None:
        with Recorder(str(path), SECOND) as recorder:
            recorder.take(made(1))
            until(lambda: recorder.size_bytes > 0)
            until(lambda: chunks(path) == 1)
            assert recorded(path) == [made(1)]

    def test_frames_that_came_before_are_passed_over(self, path: Path) -> None:
        record(path, [made(seq) for seq in (1, 2, 3, 2, 3, 4, 4, 5)])
        assert numbers(path) == [1, 2, 3, 4, 5]

    def test_frames_that_are_missing(self, path: Path) -> None:
        frames = [made(seq) for seq in (1, 2, 9, 10)]
        record(path, frames)
        assert recorded(path) == frames

    def test_a_daemon_that_was_started_anew(self, path: Path) -> None:
        again = [replace(made(seq), seq=seq - 10) for seq in range(11, 14)]
        record(path, [*(made(seq) for seq in range(1, 6)), *again])
        assert numbers(path) == [1, 2, 3, 4, 5, 6, 7, 8]
        assert recorded(path)[5:] == [replace(made(seq), seq=seq - 5) for seq in range(11, 14)]

    def test_a_boot_and_a_clock_that_was_set(self, path: Path) -> None:
        after_boot = [replace(made(seq), boot_id=OTHER_BOOT, boottime_ns=seq * SECOND) for seq in (3, 4)]
        clock_set = [replace(made(seq), boot_id=OTHER_BOOT, boottime_ns=seq * SECOND, time_ns=seq) for seq in (5, 6)]
        frames = [made(1), made(2), *after_boot, *clock_set]
        record(path, frames)
        assert recorded(path) == frames

    def test_nothing_at_all(self, path: Path) -> None:
        assert record(path, []).problem is None
        with pytest.raises(RecordingError, match="holds no frame"):
            recorded(path)
        record(path, [made(1)])
        assert numbers(path) == [1]


class TestDuration:
    def test_the_frame_that_reaches_it_is_the_last(self, path: Path) -> None:
        with Recorder(str(path), SECOND, duration_ns=3 * SECOND) as recorder:
            wanted = [recorder.take(made(seq)) for seq in range(1, 9)]
            assert wanted == [True, True, True, False, False, False, False, False]
            assert recorder.is_complete
            until(lambda: recorder.mark is None)
            assert "complete" in (recorder.news() or "")
            assert recorder.news() is None
        assert numbers(path) == [1, 2, 3, 4]

    def test_it_ends_though_no_frame_comes(self, path: Path) -> None:
        with Recorder(str(path), SECOND, duration_ns=1) as recorder:
            assert recorder.take(made(1))
            assert not recorder.is_complete
            until(lambda: recorder.is_complete)
        assert numbers(path) == [1]


class TestGoingOn:
    def test_with_the_same_daemon(self, path: Path) -> None:
        record(path, [made(seq) for seq in range(1, 6)])
        record(path, [made(seq) for seq in range(4, 9)])
        assert numbers(path) == list(range(1, 9))

    def test_with_another_daemon_of_the_same_boot(self, path: Path) -> None:
        record(path, [made(seq) for seq in range(5, 9)])
        record(path, [replace(made(seq), seq=seq - 20) for seq in range(21, 24)])
        assert numbers(path) == [5, 6, 7, 8, 9, 10, 11]

    def test_after_a_boot_where_the_numbers_go_on(self, path: Path) -> None:
        record(path, [made(1), made(2)])
        record(path, [replace(made(seq), boot_id=OTHER_BOOT, boottime_ns=seq) for seq in (3, 4)])
        assert numbers(path) == [1, 2, 3, 4]

    def test_another_boot_or_machine_is_refused(self, path: Path) -> None:
        record(path, [made(5), made(6)])
        before = recorded(path)
        recorder = record(path, [replace(made(seq), boot_id=OTHER_BOOT) for seq in (1, 2, 3)])
        assert recorder.problem == f"{path} is a recording of another boot, or another machine: --record another file"
        assert recorder.mark == "REC stopped"
        assert recorder.new_problem() == recorder.problem
        assert recorder.new_problem() is None
        assert recorded(path) == before

    def test_not_in_a_file_of_another_kind(self, path: Path) -> None:
        path.write_text("precious\n" * 100)
        with pytest.raises(RecordingError, match="cannot be recorded to: file is not a database"):
            Recorder(str(path), SECOND)
        assert path.read_text() == "precious\n" * 100

    def test_not_in_another_database(self, path: Path) -> None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE t (x)")
        other.close()
        before = path.read_bytes()
        with pytest.raises(RecordingError, match="no recording of ztop"):
            Recorder(str(path), SECOND)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("name", ["folder", "fifo", "missing/x"])
    def test_where_there_can_be_no_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(RecordingError) as caught:
            Recorder(str(tmp_path / name), SECOND)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_not_beside_another_recorder(self, path: Path) -> None:
        with Recorder(str(path), SECOND) as recorder:
            recorder.take(made(1))
            with pytest.raises(RecordingError, match="another ztop records to it"):
                Recorder(str(path), SECOND)
            recorder.take(made(2))
        assert numbers(path) == [1, 2]


class TestWhatGoesWrong:
    def test_a_disk_that_refuses(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        written = []

        def full(self: RecordingWriter) -> None:
            if written:
                raise sqlite3.OperationalError("database or disk is full")
            written.append(real(self))  # type: ignore[func-returns-value]

        real = RecordingWriter.flush
        monkeypatch.setattr(RecordingWriter, "flush", full)
        with Recorder(str(path), SECOND) as recorder:
            assert recorder.take(made(1))
            until(lambda: bool(written))
            recorder.take(made(2))
            until(lambda: recorder.problem is not None)
            until(lambda: not recorder.take(made(3)))
        assert recorder.problem == f"recording to {path} stopped: database or disk is full"
        assert numbers(path) == [1]
        monkeypatch.undo()
        record(path, [made(4)])
        assert numbers(path) == [1, 4]

    def test_a_disk_that_is_too_slow(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        go_on: list[bool] = []
        real = RecordingWriter.add

        def slow(self: RecordingWriter, frame: object) -> None:
            until(lambda: bool(go_on))
            real(self, frame)  # type: ignore[arg-type]

        monkeypatch.setattr(RecordingWriter, "add", slow)
        with Recorder(str(path), SECOND) as recorder:
            for seq in range(1, 301):
                recorder.take(made(seq))
            go_on.append(True)
        assert recorder.problem == f"{path} lacks frames: the disk was too slow"
        found = numbers(path)
        assert found == list(range(1, len(found) + 1))
        assert 256 <= len(found) < 300

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(RecordingError, match="Permission denied"):
            Recorder(str(tmp_path / "x"), SECOND)


def killed(path: Path, seconds: Iterable[float]) -> Iterator[float]:
    """Kills recordings after so many seconds; gives for how long, when it was killed, a frame had waited in vain."""
    first = 1
    for pause in seconds:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.ztop_client.recorded_until_killed", str(path), str(first), "0.02"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None and child.stderr is not None
        with child:
            said = [child.stdout.readline()]
            time.sleep(pause)
            child.kill()
            at = time.monotonic()
            said += child.stdout.readlines()
            assert child.stderr.read() == ""
        taken = {int(seq): float(moment) for seq, moment in (line.split() for line in said if line.endswith("\n"))}
        found = set()
        # the first one may have been killed before anything was written
        if not path.exists() or path.stat().st_size > 0:
            with suppress(RecordingError):
                # what was half written when it was killed may be noted
                frames = recorded(path, with_notes=True)
                assert all(frame == made(frame.seq) for frame in frames)
                found = {frame.seq for frame in frames}
        yield at - min((moment for seq, moment in taken.items() if seq not in found), default=at)
        first = max(taken, default=first) + 100


class TestKilled:
    def test_a_few_times(self, path: Path) -> None:
        assert max(killed(path, (0.05, 2.3, 0.2))) < 2

    @pytest.mark.slow
    @pytest.mark.timeout(400)
    def test_many_times(self, path: Path) -> None:
        chosen = random.Random(3)
        lost = list(killed(path, (2.5 if number % 20 == 7 else chosen.uniform(0, 0.2) for number in range(KILLS))))
        assert len(lost) == KILLS
        assert max(lost) < 2
        # the runs that lasted are all there
        assert len(recorded(path)) > 3 * KILLS
        record(path, [made(1_000_000)])
        assert numbers(path)[-1] == 1_000_000

    def test_copied_while_it_is_written(self, path: Path) -> None:
        with Recorder(str(path), SECOND) as recorder:
            for seq in range(1, 51):
                recorder.take(made(seq))
            until(lambda: chunks(path) == 1)
            shutil.copyfile(path, path.with_suffix(".copy"))
            recorder.take(made(51))
        assert numbers(path.with_suffix(".copy")) == list(range(1, 51))
        assert numbers(path) == list(range(1, 52))


class TestBefore:
    def frames(self, first: Frame) -> Iterator[Frame]:
        yield from (made(seq) for seq in range(1, first.seq))

    def test_it_begins_with_what_was_before(self, path: Path) -> None:
        frames = [made(seq) for seq in range(20, 25)]
        assert record(path, frames, before=self.frames).problem is None
        assert recorded(path) == [made(seq) for seq in range(1, 25)]

    def test_only_with_that(self, path: Path) -> None:
        record(path, [made(seq) for seq in range(20, 25)], before=self.frames, duration_ns=0)
        assert numbers(path) == list(range(1, 21))

    def test_what_the_file_has_is_not_recorded_again(self, path: Path) -> None:
        record(path, [made(seq) for seq in range(1, 11)])
        record(path, [made(20)], before=self.frames)
        assert numbers(path) == list(range(1, 21))

    def test_what_the_file_lacks_is_recorded_though_the_clock_was_set_back(self, path: Path) -> None:
        def set_back(seq: int) -> Frame:
            return replace(made(seq), time_ns=made(seq).time_ns - 3600 * SECOND)

        def before(first: Frame) -> Iterator[Frame]:
            yield from (made(seq) if seq <= 10 else set_back(seq) for seq in range(1, first.seq))

        record(path, [made(seq) for seq in range(1, 11)])
        record(path, [set_back(20)], before=before)
        assert numbers(path) == list(range(1, 21))

    def test_the_present_is_recorded_all_the_same(self, path: Path) -> None:
        def nothing(_: Frame) -> Iterator[Frame]:
            raise RecordingError("it remembers nothing")

        recorder = record(path, [made(1), made(2)], before=nothing)
        assert recorder.problem == f"{path} begins with the present: it remembers nothing"
        assert numbers(path) == [1, 2]
