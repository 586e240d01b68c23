"""``--diff`` and ``--explain``, of a recording and of a daemon."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon, memory
from tests.ztop_client.hostile import HOSTILE
from tests.ztop_client.scripted import EPOCH, MEBIBYTE, MILLISECOND, SECOND, Scripted
from ztop_client.cli import main
from ztop_client.difference.table import grown_text, headline, machine_lines, notes
from ztop_client.text import printable
from ztop_protocol.frame import Frame
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.segment import encode_step


def hog_frames() -> list[Frame]:
    """Thirty quiet seconds, then ten of a hog, a short-lived process in between."""
    machine = Scripted()
    hog, writer = machine.start("hog", user="bob"), machine.start("writer")
    frames = [machine.tick()]
    for second in range(1, 41):
        machine.run(writer, 10 * MILLISECOND, written=MEBIBYTE, grow=MEBIBYTE)
        if second > 30:
            machine.run(hog, 900 * MILLISECOND)
        if second == 35:
            brief = machine.start("brief")
            machine.run(brief, 20 * MILLISECOND)
        if second == 37:
            machine.end(brief)
        frames.append(machine.tick())
    return frames


FRAMES = hog_frames()


def write(path: Path, frames: list[Frame]) -> str:
    writer = RecordingWriter(str(path), SECOND, segment_frames=12)
    before = None
    for one in frames:
        writer.add(encode_step(before, one, whole=writer.needs_keyframe))
        before = one
    writer.close()
    return str(path)


@pytest.fixture(params=["recording", "daemon"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """The options that say where it is remembered."""
    if request.param == "recording":
        yield ["--replay", write(tmp_path / "incident.ztop", FRAMES)]
        return
    path = str(tmp_path / "socket")
    with FakeDaemon(FRAMES, path=path) as daemon:
        daemon.answers |= memory(FRAMES)
        daemon.in_background()
        yield ["--socket", path]


def at(number: int) -> str:
    return f"@{FRAMES[number].time_ns / SECOND:.3f}"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_diff_as_a_page(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--diff", at(30), at(40), *where).splitlines()
    assert lines[0].startswith("ztop --diff ") and lines[0].endswith(": 10.0s, 11 frames")
    assert lines[1].startswith("CPU  0.91 of 4 cores busy, 0:09.12 in all: 0:09.12 user, 0:00.00 system")
    assert lines[5] == ("Life 1 seen to be born, 1 to end; 1 started, threads too; OOM kills 0")
    heading = lines.index(next(line for line in lines if line.startswith("    PID")))
    assert [line.split()[-2] for line in lines[heading + 1 : heading + 4]] == [
        "/usr/bin/hog", "/usr/bin/writer", "/usr/bin/brief",
    ]  # fmt: skip
    assert lines[heading + 1].split()[:4] == ["101", "bob", "0:09.00", "98.7"]
    assert " brief " in lines[heading + 3]
    assert lines[heading + 4].split() == ["0:00.00", "0.0", "ended", "or", "too", "short-lived", "to", "be", "seen"]
    assert any(line.endswith(" bob") for line in lines) and any(line.endswith(" /user.slice") for line in lines)


def test_diff_as_json(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "--diff", at(30), at(40), "--json", *where))
    assert (found["from_time_ns"], found["to_time_ns"]) == (FRAMES[30].time_ns, FRAMES[40].time_ns)
    assert (found["span_ns"], found["frames"], found["gaps"]) == (10 * SECOND, 11, [])
    assert [one["name"] for one in found["processes"]] == ["hog", "writer", "brief"]
    assert found["processes"][0]["use"]["cpu_time_ns"] == 9 * SECOND
    assert found["remainder"]["unseen_cpu_time_ns"] == 0
    by_disk = json.loads(printed(capsys, "--diff", at(30), at(40), "--json", "--sort", "io_bytes", *where))
    assert by_disk["processes"][0]["name"] == "writer"
    few = json.loads(printed(capsys, "--diff", at(30), at(40), "--json", "--limit", "1", *where))
    assert [one["name"] for one in few["processes"]] == ["hog"] and len(few["users"]) == 1


def test_the_order_of_the_moments_does_not_matter(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--diff", at(40), at(30), *where) == printed(capsys, "--diff", at(30), at(40), *where)


def test_explain(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--explain", at(30), at(40), *where)
    assert "* pid 101 (hog, bob) used 90 % of a core, 99 % of what was used\n" in text
    assert "* 0.91 of 4 cores were busy, 23 %; before it 0.01\n" in text
    found = json.loads(printed(capsys, "--explain", at(30), at(40), "--json", *where))
    assert found["span_ns"] == 10 * SECOND and found["frames"] == 11
    assert {one["headline"] for one in found["findings"]} <= {line[2:] for line in text.splitlines()}
    # one moment: the time since the frame before it
    text = printed(capsys, "--explain", at(31), *where)
    assert text.splitlines()[0].endswith(": 1.0s, 2 frames")
    assert "(hog, bob) used 90 % of a core" in text
    assert "Nothing stands out" in printed(capsys, "--explain", at(10), *where)


def test_times_before_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replay = ["--replay", write(tmp_path / "incident.ztop", FRAMES)]
    absolute = printed(capsys, "--diff", at(30), at(40), *replay)
    assert printed(capsys, "--diff", "-10s", "now", *replay) == absolute
    assert printed(capsys, *replay, "--diff", "-0s", "-10s") == absolute
    assert printed(capsys, "--explain", "-10s", "-2s", *replay) == printed(capsys, "--explain", at(30), at(38), *replay)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--diff", "@1", "now"], "has nothing of"),
        (["--explain", "@1"], "has nothing of"),
        (["--explain", f"@{FRAMES[0].time_ns / SECOND:.3f}"], "that is the first frame"),
        (["--diff", "now", "now"], "there are no two frames of that time to compare"),
    ],
)
def test_nothing_of_that_time_is_a_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--replay", write(tmp_path / "incident.ztop", FRAMES)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and sentence in captured.err and captured.err.count("\n") == 1


def test_hostile_names_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Scripted()
    keys = [machine.start(name, user=name, cgroup=name, command_line=name) for name in HOSTILE]
    frames = [machine.tick()]
    for key in keys:
        machine.run(key, SECOND // 10)
    frames.append(machine.tick())
    path = write(tmp_path / "hostile.ztop", frames)
    for arguments in (["--diff", "-1s", "now"], ["--explain", "-1s", "now"]):
        text = printed(capsys, *arguments, "--replay", path)
        assert all(line == printable(line) for line in text.split("\n"))
    assert len(json.loads(printed(capsys, "--diff", "-1s", "now", "--json", "--replay", path))["processes"]) == len(
        keys
    )


def test_what_has_to_be_known_is_noted() -> None:
    from ztop_client.difference.compare import difference

    machine = Scripted()
    late = machine.start("late")
    hidden = machine.tasks.pop(late)
    frames = [machine.tick(), machine.tick(), machine.tick(90)]
    machine.tasks[late] = hidden
    frames.append(machine.tick())
    found = list(notes(difference(frames)))
    assert found[0].startswith("1 gap, 1m30s in all, the first after ")
    assert found[1].startswith("processes whose CPU time is not known") and found[1].endswith(": 1")
    after = machine.rebooted()
    rebooted = difference([*frames, after.tick(), after.tick()])
    assert next(iter(notes(rebooted))).startswith("the machine was started in between")
    assert rebooted.from_time_ns > EPOCH and headline(rebooted).endswith(": 5.0s, 2 frames")
    assert dict(machine_lines(rebooted))["Mem"] == "- used, then 5.0G of 16.0G: -"
    assert [grown_text(size) for size in (None, 0, 5 * MEBIBYTE, -MEBIBYTE)] == ["-", "0B", "+5.0M", "-1.0M"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--diff", "now"], "argument --diff: expected 2 arguments"),
        (["--diff", "now", "soon"], "argument --diff: 'soon' is no time"),
        (["--diff", "-1s", "-3x"], "argument --diff: '-3x' is no time"),
        (["--explain", "now", "now", "now"], "argument --explain: one moment was expected, or the two ends of a span"),
        (["--diff", "now", "now", "-b"], "-b and --diff exclude each other: --diff compares two moments"),
        (["--diff", "now", "now", "--at", "now"], "--at and --diff exclude each other"),
        (["--diff", "now", "now", "--explain", "now"], "--explain and --diff exclude each other"),
        (["--explain", "now", "--sort", "io_bytes"], "--sort and --explain exclude each other"),
        (["--explain", "now", "--limit", "3"], "--limit is for batch mode"),
        (["--diff", "now", "now", "--sort", "cpu_percent"], "argument --sort: --diff is sorted by one of cpu_time_ns"),
        (["-b", "--sort", "io_bytes"], "argument --sort: io_bytes is a column of --diff alone"),
    ],
)
def test_wrong_options_are_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(f"ztop: {sentence}") and captured.err.count("\n") == 1


def test_options_after_the_times_are_options() -> None:
    from ztop_client.cli import parse

    options = parse(["--diff", "-10m", "-5m", "--limit", "3", "--json", "--sort", "rss_grown_bytes"])
    assert (options.diff_texts, options.limit, options.json) == (("-10m", "-5m"), 3, True)
    assert options.order is not None and options.order.column == "rss_grown_bytes"
    assert parse(["--explain", "-10m", "--replay", "f"]).explain_texts == ("-10m",)
