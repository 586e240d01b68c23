"""The incident file: what it holds, and what it does not say."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.protocol.recorded_frames import made
from tests.ztop_client import fake_source
from ztop_client.incident import incident_path, redacted, save
from ztop_client.sources.past import RecordedPast
from ztop_protocol.frame import Frame
from ztop_protocol.recording_format import RecordingError
from ztop_protocol.schema import SECTIONS

SECOND = 10**9
EPOCH = 1_700_000_000 * SECOND


def read(path: Path) -> list[Frame]:
    past = RecordedPast(str(path))
    span = past.span()
    assert span is not None
    frames = list(past.frames(*span))
    past.close()
    return frames


def test_what_is_saved_is_what_was(tmp_path: Path) -> None:
    frames = [made(seq) for seq in (1, 2, 3, 9, 10)]
    assert save(frames, str(tmp_path / "a.ztop"), SECOND) == 5
    found = read(tmp_path / "a.ztop")
    assert [frame.seq for frame in found] == [1, 2, 3, 9, 10]
    for frame, expected in zip(found, frames, strict=True):
        assert {n: s.rows for n, s in frame.sections.items()} == {n: s.rows for n, s in expected.sections.items()}


def test_what_was_sampled_less_often_has_no_gaps(tmp_path: Path) -> None:
    frames: list[Frame] = []
    now = 0
    for seq, seconds in enumerate((1, 1, 4, 4, 4, 1, 1), 1):
        now += seconds * SECOND
        sampler = fake_source.row("sources", source="sampler", state="ok", period_ns=seconds * SECOND)
        plain = replace(made(seq), time_ns=EPOCH + now, boottime_ns=now)
        frames.append(fake_source.with_sections(plain, ("sources", [sampler])))
    save(frames, str(tmp_path / "a.ztop"), SECOND)
    past = RecordedPast(str(tmp_path / "a.ztop"))
    try:
        for before, after in pairwise(frames[2:]):
            moment = past.at(after.time_ns - 1_000_000)
            assert moment.pair.current.seq == before.seq
            assert not moment.gap
    finally:
        past.close()


def test_redacted_it_names_nobody(tmp_path: Path) -> None:
    frames = [made(seq) for seq in range(1, 8)]
    save(frames, str(tmp_path / "a.ztop"), SECOND, redact=True)
    position = SECTIONS["processes"].position
    secrets = {
        str(row[position[name]]).encode() for frame in frames for row in frame.rows("processes").values()
        for name in ("user", "command_line") if row[position[name]]
    }  # fmt: skip
    assert secrets
    for frame, expected in zip(read(tmp_path / "a.ztop"), frames, strict=True):
        assert "process_executables" not in frame.sections
        assert frame.cell("host", "hostname") is None
        rows = frame.rows("processes")
        assert rows.keys() == expected.rows("processes").keys()
        for key, row in rows.items():
            assert row[position["command_line"]] is None
            assert row[position["user"]] is None
            assert row[position["comm"]] == expected.rows("processes")[key][position["comm"]]


def test_what_did_not_change_is_the_same_object_after_redaction_too() -> None:
    frames = [redacted(made(seq)) for seq in (1, 2)]
    for before, after in pairwise(frames):
        for key, row in after.rows("host").items():
            if row == before.rows("host").get(key):
                assert row is before.rows("host")[key]


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.ztop"
    path.write_bytes(b"precious")
    with pytest.raises(RecordingError, match="is there already"):
        save([made(1)], str(path), SECOND)
    assert path.read_bytes() == b"precious"


def test_nothing_then(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="nothing was written"):
        save([], str(tmp_path / "a.ztop"), SECOND)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be written"):
        save([made(1)], str(tmp_path / "none" / "a.ztop"), SECOND)


def test_names_do_not_collide(tmp_path: Path) -> None:
    first = incident_path(1_790_000_000 * SECOND, str(tmp_path))
    Path(first).touch()
    assert incident_path(1_790_000_000 * SECOND, str(tmp_path)) == first.removesuffix(".ztop") + "-2.ztop"
