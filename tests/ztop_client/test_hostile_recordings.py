"""Recordings that somebody made to do harm: whole by their checksums, and nothing else about them is to be believed."""

import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.protocol.recorded_frames import made
from tests.ztop_client.fake_source import SECOND
from ztop_client.cli import main
from ztop_protocol.recording import RecordingWriter, write_segment
from ztop_protocol.recording_format import mark, pack_chunk, pack_head, unmark
from ztop_protocol.segment import SealedSegment, Segment, encode_step, pack_steps, seal, unpack_steps, unseal

COMMANDS = (
    ("-b", "--json", "--replay", "x.ztop"),
    ("-b", "--replay", "x.ztop", "--sort", "rss_bytes"),
    ("-b", "--at", "now", "--replay", "x.ztop"),
    ("--export", "x.jsonl", "--replay", "x.ztop", "--sections", "processes,cpus,host,memory"),
    ("--export", "x.parquet", "--replay", "x.ztop", "--sections", "processes,cpus,host,memory"),
)
HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1 << 63, (1 << 64) - 1, -(1 << 63), 0.5, 1e308, float("nan"), float("inf"), "", "text"),
    *("\x1b]0;x\x07", b"\xff\x00", [], [[]], [None] * 50, {}, {"columns": []}, {1: 2}, "x" * 10_000),
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def segment() -> SealedSegment:
    """Six frames."""
    grown = Segment.begun_by(encode_step(None, made(1), whole=True), SECOND)
    for seq in range(2, 7):
        grown.add(encode_step(made(seq - 1), made(seq), whole=False))
    return grown.sealed()


def changed(value: Any, chosen: random.Random) -> Any:
    """With one leaf, or one branch, replaced or left out."""
    if isinstance(value, list | dict) and value and chosen.random() < 0.9:
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = chosen.choice(list(places))
        new = dict(value) if isinstance(value, dict) else list(value)
        if chosen.random() < 0.05:
            del new[place]
        else:
            new[place] = changed(new[place], chosen)
        return new
    return chosen.choice(HOSTILE)


def mutated(segment: SealedSegment, chosen: random.Random) -> SealedSegment:
    """With something else in one step of one section."""
    name = chosen.choice(list(segment.tracks))
    steps = unpack_steps(unseal(segment.tracks[name]), len(segment.stamps))
    number = chosen.randrange(len(steps))
    index, body = steps[number]
    assert body is not None
    value = changed(msgpack.unpackb(body, strict_map_key=False, unicode_errors="surrogateescape"), chosen)
    steps[number] = index, msgpack.packb(value, unicode_errors="surrogateescape")
    return SealedSegment(
        segment.boot_id, segment.interval_ns, segment.stamps, {**segment.tracks, name: seal(pack_steps(steps))}
    )


def write(segment: SealedSegment) -> None:
    Path("x.ztop").unlink(missing_ok=True)
    writer = RecordingWriter("x.ztop", SECOND)
    with writer.connection:
        write_segment(writer.connection, segment)
    writer.close()


def try_all(capfd: pytest.CaptureFixture[str]) -> Iterator[int]:
    """Every command ends, and says what it has to say in lines of its own; gives the exit statuses."""
    for command in COMMANDS:
        status = main(command)
        printed, said = capfd.readouterr()
        assert status in (0, 1)
        assert all(line.startswith("ztop: ") for line in said.splitlines()), said
        assert status == 0 or said
        assert "\x1b" not in printed + said
        yield status


@pytest.mark.parametrize("seed", [0, pytest.param(range(1, 12), marks=pytest.mark.slow)], ids=str)
def test_whatever_is_in_the_cells(segment: SealedSegment, seed: int | range, capfd: pytest.CaptureFixture[str]) -> None:
    statuses = []
    for number in (seed,) if isinstance(seed, int) else seed:
        chosen = random.Random(number)
        for _ in range(40):
            write(mutated(segment, chosen))
            statuses += try_all(capfd)
    # most of what is changed so does no harm at all
    assert statuses.count(0) > len(statuses) / 2


@pytest.mark.parametrize("place", ["head", "chunk"])
@pytest.mark.parametrize("seed", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_whatever_is_in_a_head_or_a_chunk(
    segment: SealedSegment, place: str, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = random.Random(seed)
    frames = [encode_step(made(seq - 1) if seq > 1 else None, made(seq), whole=seq == 1) for seq in range(1, 7)]
    grown = Segment.begun_by(frames[0], SECOND)
    statuses = []
    for _ in range(40):
        write(segment)
        with closing(sqlite3.connect("x.ztop")) as connection, connection:
            if place == "head":
                _, sealed = unmark(pack_head(segment), None, "head")
                blob = mark(1, "head", seal(msgpack.packb(changed(msgpack.unpackb(unseal(sealed)), chosen))))
                connection.execute("UPDATE segments SET head = ?", (blob,))
            else:
                _, sealed = unmark(pack_chunk(grown, frames), None, "chunk")
                blob = mark(1, "chunk", seal(msgpack.packb(changed(msgpack.unpackb(unseal(sealed)), chosen))))
                connection.execute("DELETE FROM segments")
                connection.execute("INSERT INTO chunks (first_seq, body) VALUES (1, ?)", (blob,))
        statuses += try_all(capfd)
    assert 0 in statuses and 1 in statuses


@pytest.mark.parametrize("later_ns", [-(1 << 63), -1_700_000_010 * SECOND, 7 * 10**18, 1 << 63])
def test_times_that_nobody_lived_in(segment: SealedSegment, later_ns: int, capfd: pytest.CaptureFixture[str]) -> None:
    stamps = tuple(replace(stamp, time_ns=stamp.time_ns + later_ns) for stamp in segment.stamps)
    write(segment)
    with closing(sqlite3.connect("x.ztop")) as connection, connection:
        connection.execute("UPDATE segments SET head = ?", (pack_head(replace(segment, stamps=stamps)),))
    statuses = set(try_all(capfd))
    assert statuses == ({0} if later_ns == 7 * 10**18 else {1})


def bomb(size_bytes: int) -> bytes:
    return seal(bytes(size_bytes))


def array_of(count: int) -> bytes:
    """The head of a MessagePack list of so many elements, of which none follows."""
    return b"\xdd" + count.to_bytes(4, "big")


@pytest.mark.parametrize("place", ["head", "track", "chunk"])
@pytest.mark.parametrize(
    "sealed",
    [bomb(1 << 30), seal(array_of(0xFFFFFFFF)), seal(array_of(1 << 20) * 5000), seal(b"\x91" * (1 << 20)), b""],
    ids=["bomb", "count", "nested counts", "depth", "nothing"],
)
def test_blobs_that_want_to_be_large(segment: SealedSegment, place: str, sealed: bytes) -> None:
    write(segment)
    writer = RecordingWriter("x.ztop", SECOND)
    with writer.connection as connection:
        if place == "head":
            connection.execute("UPDATE segments SET head = ?", (mark(1, "head", sealed),))
        elif place == "chunk":
            connection.execute("DELETE FROM segments")
            connection.execute("INSERT INTO chunks (first_seq, body) VALUES (1, ?)", (mark(1, "chunk", sealed),))
        else:
            for name in segment.tracks:
                connection.execute("UPDATE tracks SET body = ? WHERE section = ?", (mark(1, name, sealed), name))
    writer.connection.close()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ztop_client", "-b", "--json", "--replay", "x.ztop"],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("ztop: ") and done.stderr.count("\n") == 1
    # a stranger's file must not keep a machine busy
    assert time.monotonic() - began < 30
