"""``ztop --find``: what is printed of a recording and of a daemon's memory, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon, memory
from tests.ztop_client.fake_source import SECOND, frame, process
from tests.ztop_client.terminal_driver import Driver
from ztop_client import finding
from ztop_client.cli import main
from ztop_client.moments import moment_text
from ztop_client.sources.past import RecordedPast, RememberedPast
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.segment import encode_step

HOSTILE = "a\x1b]52;c;x\x07\nb\u202e\udcff漢"


def machine(seq: int) -> Frame:
    """In the seconds 11 to 14 and from 21 to the end, 7 is busy; 8 always is; 9 grows."""
    busy = min(max(seq - 10, 0), 4) + max(seq - 20, 0)
    return frame(
        seq,
        [
            process(7, comm="burn", user_time_ns=busy * SECOND),
            process(8, comm=HOSTILE, command_line=HOSTILE, user=HOSTILE, user_time_ns=seq * SECOND // 2),
            process(9, comm="grow", rss_bytes=seq << 30),
        ],
    )


FRAMES = [machine(seq) for seq in range(1, 31)]
BEGIN_NS = FRAMES[0].time_ns - SECOND


def write(path: Path, frames: list[Frame], segment_frames: int = 12) -> str:
    writer, before = RecordingWriter(str(path), SECOND, segment_frames=segment_frames), None
    for one in frames:
        writer.add(encode_step(before, one, whole=writer.needs_keyframe))
        before = one
    writer.close()
    return str(path)


@pytest.fixture
def recording(tmp_path: Path) -> str:
    return write(tmp_path / "incident.ztop", FRAMES)


@pytest.fixture(params=["recorded", "remembered"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """The options that name it."""
    if request.param == "recorded":
        yield ["--replay", request.getfixturevalue("recording")]
        return
    path = str(tmp_path / "socket")
    with FakeDaemon(FRAMES, path=path) as daemon:
        daemon.answers |= memory(FRAMES)
        daemon.in_background()
        yield ["--socket", path]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """The lines of JSON."""
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out.isascii()
    return [json.loads(line) for line in captured.out.splitlines()]


def test_json(source: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = told(capsys, "--find", "cpu > 80 and rss > 1M for 3s", *source)
    assert first == {
        "pid": 7,
        "start_boottime_ns": SECOND,
        "boot_id": FRAMES[0].boot_id,
        "comm": "burn",
        "user": "alice",
        "command_line": "/usr/bin/burn --id 7",
        "from_ns": FRAMES[9].time_ns,
        "to_ns": FRAMES[13].time_ns,
        "duration_ns": 4 * SECOND,
        "still": False,
        "first_seq": 11,
        "greatest": {"cpu_percent": 100.0, "rss_bytes": 10 << 20},
    }
    assert (second["from_ns"], second["to_ns"], second["still"]) == (FRAMES[19].time_ns, FRAMES[29].time_ns, True)
    assert second.keys() == first.keys()


def test_of_a_time(source: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def asked(*arguments: str) -> list[list[int]]:
        found = told(capsys, "--find", "cpu > 80", *arguments, *source)
        return [[(one[name] - BEGIN_NS) // SECOND for name in ("from_ns", "to_ns")] for one in found]

    def moment(seconds: float) -> str:
        return f"@{(BEGIN_NS + seconds * SECOND) / SECOND:.1f}"

    assert asked() == [[10, 14], [20, 30]]
    # the first frame has what was before it
    assert asked("--from", moment(12), "--to", moment(22)) == [[11, 14], [20, 22]]
    assert asked("--since", moment(14.5)) == [[20, 30]]
    if source[0] == "--replay":
        # the end of a recording is its present
        assert asked("--since", "-5s") == [[24, 30]]


def test_text(source: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--find", "(cpu > 40 or rss > 29G) for 2s", *source]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert not any(ord(character) < 32 for character in captured.out.replace("\n", ""))
    heading, *lines = captured.out.splitlines()
    assert " ".join(heading.split()) == "FROM TO FOR PID USER NAME MAX CPU_PERCENT MAX RSS_BYTES COMMAND"
    assert [line[heading.index("PID") : heading.index("PID") + 3].strip() for line in lines] == ["8", "7", "7"]
    begin, end = moment_text(FRAMES[9].time_ns), moment_text(FRAMES[13].time_ns)
    ended = f"{begin} {end.split()[1]} 4.0s 7 alice burn 100.0 10.0M /usr/bin/burn --id 7"
    assert " ".join(lines[1].split()) == ended
    assert lines[2].split()[3:5] == ["still", "10.0s"]
    assert "a?]52;c;x??b??漢" in lines[0]


def test_by_their_begin_and_a_limit(recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--find", "cpu > 40", "--limit", "2", "--json", "--replay", recording]) == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["pid"] for line in captured.out.splitlines()] == [8, 7]
    assert captured.err == "ztop: 1 more were found\n"


def test_more_than_are_kept(
    recording: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MOST_FOUND", 1)
    assert main(["--find", "cpu > 80", "--replay", recording]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert captured.err == "ztop: more than 1 were found: the search ended there\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cpu > 101"], "there is no process in replay incident.ztop of which that held"),
        (["cpu > 80 for 1m"], "there is no process in replay incident.ztop of which that held"),
        (["cpu > 80", "--to", "@1000"], "replay incident.ztop has no frame of that time: nothing was asked"),
    ],
)
def test_nothing_is_one_sentence(
    arguments: list[str], sentence: str, recording: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--find", *arguments, "--replay", recording]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"ztop: {sentence}\n")


def test_no_recording_and_no_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--replay", "--socket"):
        assert main(["--find", "pid = 1", option, str(tmp_path / "none")]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("ztop: ") and captured.err.count("\n") == 1


def test_only_the_sections_that_are_needed_are_fetched(
    source: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    past = RecordedPast if source[0] == "--replay" else RememberedPast
    asked: list[object] = []
    frames = past.frames

    def seen(self: object, from_ns: int, to_ns: int, sections: object = None) -> Iterator[Frame]:
        asked.append(sections)
        return frames(self, from_ns, to_ns, sections)  # type: ignore[arg-type]

    monkeypatch.setattr(past, "frames", seen)
    assert main(["--find", "cpu > 80 and mem < 90", *source]) == 0
    assert capsys.readouterr().out
    assert asked == [{"processes", "memory"}]


def test_ctrl_c_ends_it_with_what_was_found(
    recording: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = RecordedPast.frames

    def interrupted(self: RecordedPast, *arguments: Any) -> Iterator[Frame]:
        for one in frames(self, *arguments):
            if one.seq == 22:
                os.kill(os.getpid(), signal.SIGINT)
            yield one

    monkeypatch.setattr(RecordedPast, "frames", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    assert main(["--find", "cpu > 80", "--json", "--replay", recording]) == 130
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["from_ns"], one["still"]) for one in found] == [(FRAMES[9].time_ns, False), (FRAMES[19].time_ns, True)]
    assert main(["--find", "cpu > 200", "--replay", recording]) == 130
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_ends_it_at_once(recording: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(self: RecordedPast, *arguments: Any) -> Iterator[Frame]:
        yield FRAMES[0]
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it went on")

    monkeypatch.setattr(RecordedPast, "frames", stuck)
    assert main(["--find", "cpu > 80", "--replay", recording]) == 130


def test_a_reader_that_has_gone_is_no_error(recording: str) -> None:
    command = [sys.executable, "-P", "-m", "ztop_client", "--find", "cpu > 40", "--replay", recording]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    long = [replace(machine(seq), sections={"processes": machine(seq).sections["processes"]}) for seq in range(1, 400)]
    path = write(tmp_path / "long.ztop", long, 300)
    command = [sys.executable, "-P", "-m", "ztop_client", "--find", "cpu > 80 for 3s", "--replay", path]
    with Driver(command, 100, 24) as driver:
        driver.wait("/usr/bin/burn")
        assert driver.ended() == 0
        assert b"find: " in driver.output
        assert "find: " not in driver.text
        assert all(len(line.rstrip()) <= 100 for line in driver.screen.display)
