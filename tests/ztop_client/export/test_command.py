"""``ztop --export``: from a recording and from a daemon's memory, and what goes wrong."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.recorded_frames import made, record
from tests.ztop_client.fake_daemon import FakeDaemon, memory
from tests.ztop_client.fake_source import SECOND
from tests.ztop_client.terminal_driver import Driver
from ztop_client.cli import main
from ztop_protocol.recording import RecordingWriter

OUT = "out.jsonl"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZTOP_SOCKET", str(tmp_path / "socket"))


@pytest.fixture
def recording() -> str:
    """Fifty seconds."""
    writer = RecordingWriter("x.ztop", SECOND, segment_frames=20)
    record(writer, 1, 50)
    writer.close()
    return "x.ztop"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    frames = [made(seq) for seq in range(1, 51)]
    with FakeDaemon(frames, path=str(tmp_path / "socket")) as fake:
        fake.answers |= memory(frames)
        yield fake.in_background()


def rows(path: str = OUT) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def seqs() -> list[int]:
    return sorted({row["seq"] for row in rows()})


@pytest.fixture(params=["recorded", "remembered"])
def source(request: pytest.FixtureRequest) -> list[str]:
    """The options that name it."""
    if request.param == "recorded":
        return ["--replay", request.getfixturevalue("recording")]
    request.getfixturevalue("daemon")
    return []


def test_all_of_it(source: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--export", OUT, *source]) == 0
    assert seqs() == list(range(1, 51))
    assert capfd.readouterr() == ("", "")
    assert rows()[0]["cpu_percent"] is None


def test_a_part_of_it_and_what_its_first_rates_are_against(source: list[str]) -> None:
    begin, end = (f"@{made(seq).time_ns // SECOND}" for seq in (10, 12))
    assert main(["--export", OUT, "--from", begin, "--to", end, *source]) == 0
    assert seqs() == [10, 11, 12]
    assert all(row["cpu_percent"] is not None for row in rows() if row["pid"] == 10)


def test_the_end_of_a_recording_is_its_now(recording: str) -> None:
    assert main(["--export", OUT, "--from", "-5s", "--replay", recording]) == 0
    assert seqs() == list(range(45, 51))


def test_several_sections(recording: str) -> None:
    assert main(["--export", "out.csv", "--sections", "cpus,host", "--replay", recording]) == 0
    assert sorted(os.listdir()) == ["out.cpus.csv", "out.host.csv", recording]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--export", "out.xls"], "--export: 'out.xls': a name that ends in .parquet, .csv, .jsonl was expected"),
        (["--export", OUT, "--sections", "cpus,\x1b[31m"], "--sections: there is no section '\\x1b[31m', but host, "),
        (["--export", OUT, "--sections", "process_io"], "--sections: there is no section 'process_io', but host, "),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    # before anything is opened
    assert main(arguments) == 2
    printed, said = capfd.readouterr()
    assert printed == "" and said.startswith(f"ztop: {sentence}") and said.count("\n") == 1
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--export", OUT], "no daemon at "),
        (["--export", OUT, "--replay", "missing.ztop"], "missing.ztop: No such file or directory"),
        (["--export", "missing/out.csv", "--replay", "x.ztop"], "missing/out.csv: No such file or directory"),
        (["--export", OUT, "--to", "2001-01-01", "--replay", "x.ztop"], "there is no frame of that time"),
        (["--export", OUT, "--from", "2040-01-01", "--replay", "x.ztop"], "there is no frame of that time"),
    ],
)
@pytest.mark.usefixtures("recording")
def test_what_fails(arguments: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    printed, said = capfd.readouterr()
    assert printed == "" and said.startswith(f"ztop: {sentence}") and said.count("\n") == 1
    assert os.listdir() == ["x.ztop"]


def test_without_pyarrow(recording: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["--export", "out.parquet", "--replay", recording]) == 1
    assert "pip install 'ztop[parquet]'" in capfd.readouterr().err
    assert os.listdir() == [recording]


def test_what_is_damaged_is_left_out_and_told(recording: str, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(recording)) as connection, connection:
        connection.execute("UPDATE tracks SET body = x'00' WHERE segment = 2")
    assert main(["--export", OUT, "--replay", recording]) == 0
    assert seqs() == [*range(1, 21), *range(41, 51)]
    assert capfd.readouterr().err.startswith(f"ztop: {recording}: a segment was left out: ")


def test_a_terminal_has_a_progress_bar(recording: str, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "ztop_client", "--export", str(tmp_path / OUT)]
    with Driver([*command, "--replay", str(tmp_path / recording)], 100, 10) as driver:
        driver.wait("100%")
        assert driver.ended() == 0
    assert seqs() == list(range(1, 51))
