"""``--replay`` and ``--at`` in batch mode: what is printed is what was printed when it was."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_daemon import FakeDaemon, memory
from tests.ztop_client.fake_source import SECOND, process_io, with_sections
from ztop_client import batch
from ztop_client.cli import main
from ztop_client.moments import moment_text
from ztop_client.options import Options
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Frame, Row
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.segment import encode_step

COUNT = 30


def frame(seq: int) -> Frame:
    base = made(seq)
    return with_sections(base, ("process_io", process_io(seq, base.rows("processes").values())))


FRAMES = [frame(seq) for seq in range(1, COUNT + 1)]


def write(path: Path, frames: list[Frame], *, complete: bool = True) -> RecordingWriter:
    writer = RecordingWriter(str(path), SECOND, segment_frames=12)
    before = None
    for one in frames:
        writer.add(encode_step(before, one, whole=writer.needs_keyframe))
        before = one
    writer.close() if complete else writer.flush()
    return writer


@pytest.fixture
def recording(tmp_path: Path) -> str:
    write(tmp_path / "incident.ztop", FRAMES)
    return str(tmp_path / "incident.ztop")


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[str]:
    """Of a daemon that remembers the same."""
    path = str(tmp_path / "socket")
    with FakeDaemon(FRAMES, path=path) as daemon:
        daemon.answers |= memory(FRAMES)
        daemon.in_background()
        yield path


Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What ``ztop -b`` prints where it has nothing to complain about."""

    def run(*arguments: str) -> str:
        assert main(["-b", *arguments]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def seqs(output: str) -> list[int]:
    return [json.loads(line)["seq"] for line in output.splitlines()]


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--json",
        "--json --sort rss_bytes --limit 3 --columns pid,comm,io_read_bytes_per_second",
        "--filter short -u 61234",
        "-p 10,12 --columns pid,cpu_percent,io_write_bytes_per_second",
    ],
)
def test_a_recording_prints_what_was_printed_live(
    tmp_path: Path, recording: str, printed: Printed, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "live")
    with FakeDaemon(FRAMES[:2], path=path) as daemon:
        waiting = iter(FRAMES[2:])

        def chosen(pair: Pair, asked: Options) -> list[Row]:
            # the next one when this one is printed: who reads slowly is not shown all
            if (new := next(waiting, None)) is not None:
                daemon.publish(new)
            return batch_chosen(pair, asked)

        batch_chosen = batch.chosen
        daemon.in_background()
        with monkeypatch.context() as patched:
            patched.setattr(batch, "chosen", chosen)
            live = printed("--socket", path, "-n", str(COUNT - 1), *options.split())
    assert printed("--replay", recording, *options.split()) == live
    assert live.count("\n") >= COUNT - 1


def test_how_many(recording: str, printed: Printed) -> None:
    assert seqs(printed("--replay", recording, "--json")) == list(range(2, COUNT + 1))
    assert seqs(printed("--replay", recording, "--json", "-n", "3")) == [2, 3, 4]


def test_from_and_to(recording: str, printed: Printed) -> None:
    whole = printed("--replay", recording, "--json").splitlines(keepends=True)
    at = f"@{FRAMES[19].time_ns // SECOND}"
    # the end of the recording is its present, whenever it was
    for begin, end, expected in (("-10s", "now", slice(18, 29)), (at, "-5s", slice(18, 24)), ("@0", at, slice(0, 19))):
        found = printed("--replay", recording, "--json", "--from", begin, "--to", end).splitlines(keepends=True)
        assert found == whole[expected]


def test_one_moment_of_a_recording_and_of_a_daemon(recording: str, socket: str, printed: Printed) -> None:
    whole = printed("--replay", recording, "--json").splitlines(keepends=True)
    at = f"@{FRAMES[19].time_ns // SECOND}"
    assert printed("--replay", recording, "--json", "--at", at) == whole[18]
    assert printed("--replay", recording, "--json", "--at", "-10s") == whole[18]
    assert printed("--socket", socket, "--json", "--at", at) == whole[18]
    assert printed("--socket", socket, "--at", at, "--limit", "2").count("\n") == 9


@pytest.mark.parametrize("of", ["recording", "daemon"])
def test_how_old_it_is_is_said(recording: str, socket: str, of: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--replay", recording] if of == "recording" else ["--socket", socket]
    last = FRAMES[-1].time_ns // SECOND
    for later, words in (
        ("0.4", "400 ms before what was asked for"),
        ("2", "2000 ms before what was asked for"),
        ("3", "3000 ms before what was asked for: nothing was kept in between"),
        ("150", "2m30s before what was asked for: nothing was kept in between"),
    ):
        seconds, _, tenths = later.partition(".")
        at = f"@{last + int(seconds)}.{tenths or 0}"
        assert main(["-b", "--json", *where, "--at", at]) == 0
        captured = capsys.readouterr()
        assert captured.err == f"ztop: this is of {moment_text(FRAMES[-1].time_ns)}, {words}\n"
        assert seqs(captured.out) == [COUNT]


def test_nothing_of_that_time(recording: str, socket: str, capsys: pytest.CaptureFixture[str]) -> None:
    oldest = moment_text(FRAMES[0].time_ns)
    for arguments, sentence in (
        (["--replay", recording, "--at", "@5"], f"{recording} has nothing of {moment_text(5)}: the first frame is of "),
        (["--socket", socket, "--at", "@5"], f"the oldest frame is of {FRAMES[0].time_ns}"),
        (["--replay", recording, "--from", "@9000000000"], "replay incident.ztop has no frame of that time"),
        # one that has none before it has no rates
        (["--replay", recording, "--to", f"@{FRAMES[0].time_ns // SECOND}"], "replay incident.ztop has no frame of"),
    ):
        assert main(["-b", *arguments]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.replace("1970-01-01 00:00:05", moment_text(5)).startswith(f"ztop: {sentence}")
        assert captured.err.count("\n") == 1
    assert main(["-b", "--replay", recording, "--at", "@5"]) == 1
    assert oldest in capsys.readouterr().err


def test_a_recording_that_is_being_written(tmp_path: Path, printed: Printed) -> None:
    path = tmp_path / "growing.ztop"
    writer = write(path, FRAMES[:20], complete=False)
    assert seqs(printed("--replay", str(path), "--json")) == list(range(2, 21))
    writer.close()


def test_what_is_damaged_is_said_once(recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(recording) as connection:
        connection.execute("UPDATE tracks SET body = zeroblob(99) WHERE section = 'memory' AND segment > 1")
    connection.close()
    for arguments in ((), ("--at", f"@{FRAMES[11].time_ns // SECOND}")):
        assert main(["-b", "--json", "--replay", recording, *arguments]) == 0
        captured = capsys.readouterr()
        assert seqs(captured.out)[-1] == 12
        assert captured.err.startswith(f"ztop: {recording}: a segment was left out: ")
        assert captured.err.endswith(" (and 1 more)\n")
        assert captured.err.count("\n") == 1


def test_half_a_file_opens_to_its_last_intact_frame(recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = Path(recording).read_bytes()
    whole = main(["-b", "--json", "--replay", recording]), capsys.readouterr().out
    Path(recording).write_bytes(content[: len(content) * 5 // 6])
    status = main(["-b", "--json", "--replay", recording])
    captured = capsys.readouterr()
    assert status == 0
    lines = captured.out.splitlines()
    assert lines and lines == whole[1].splitlines()[: len(lines)]
    assert len(lines) < COUNT - 1
    assert "is damaged" in captured.err and captured.err.count("\n") == 1


def test_a_name_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"a\x1b]0;x\x07?#%41\xff")
    write(path, FRAMES[:5])
    assert main(["-b", "--json", "--replay", str(path)]) == 0
    assert seqs(capsys.readouterr().out) == [2, 3, 4, 5]
    assert main(["-b", "--json", "--replay", str(path), "--at", "@5"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"ztop: {tmp_path}/a?]0;x??#%41? has nothing of ") and said[:-1].isprintable()


@pytest.mark.parametrize("name", ["/etc/passwd", "/", "/no\x1b/such", "/dev/null"])
def test_what_is_no_recording(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-b", "--replay", name]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ztop: /") and captured.err[:-1].isprintable()


def test_the_screen_needs_a_terminal_first(recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay", recording]) == 2
    assert capsys.readouterr().err == "ztop: the screen needs a terminal; ztop -b prints without one\n"
