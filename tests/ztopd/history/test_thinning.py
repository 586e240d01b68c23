"""Thinned segments against a naive account of what is to be in them."""

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ztop_client.fake_source import SECOND, frame, process, row, section
from ztop_protocol.frame import Frame, Key, Row, Section
from ztop_protocol.schema import SECTIONS
from ztop_protocol.segment import SealedSegment, Segment, SegmentReader, encode_step
from ztop_protocol.timeline import Timeline
from ztopd.history.thinning import OF_PROCESSES, staying, thinned

TEN = 10 * SECOND
MINUTE = 60 * SECOND


def test_the_sections_of_processes() -> None:
    assert {"processes", "process_io", "process_executables"} <= set(OF_PROCESSES)
    assert "threads" not in OF_PROCESSES


MACHINES = st.tuples(st.integers(1, 90), st.integers(0, 1 << 32))
"""How many frames, and by what chance they are made: the frames themselves would be too long to be printed."""


def machine(count: int, seed: int) -> list[Frame]:
    """Frames of about a second each: processes come, go and count, things happen, sections are missing."""
    chance = random.Random(seed)
    frames: list[Frame] = []
    boottime_ns, events = 1000 * SECOND, 0
    for seq in range(1, count + 1):
        pids = sorted(chance.sample(range(1, 7), chance.randrange(7)))
        made = frame(seq, [process(pid, user_time_ns=seq * pid, rss_bytes=chance.randrange(1, 9)) for pid in pids])
        sections = dict(made.sections)
        if chance.random() < 0.5:
            io = [row("process_io", pid=pid, start_boottime_ns=SECOND, io_read_bytes=seq) for pid in pids[1:]]
            sections["process_io"] = section("process_io", boottime_ns, io)
        if chance.random() < 0.3:
            happened = [row("events", number=events + n, kind="k", subject="s") for n in range(chance.randrange(4))]
            events += len(happened)
            sections["events"] = section("events", boottime_ns, happened)
        if chance.random() < 0.1:
            del sections["processes"]
        time_ns = 1_700_000_000 * SECOND + boottime_ns
        frames.append(replace(made, time_ns=time_ns, boottime_ns=boottime_ns, sections=sections))
        boottime_ns += chance.randrange(SECOND * 8 // 10, SECOND * 12 // 10)
    return frames


def recorded(frames: list[Frame], interval_ns: int = SECOND) -> Segment:
    segment = Segment.begun_by(encode_step(None, frames[0], whole=True), interval_ns)
    for before, after in pairwise(frames):
        segment.add(encode_step(before, after, whole=False))
    return segment


def thin(segment: Segment, interval_ns: int) -> SealedSegment:
    making = thinned(segment, interval_ns)
    while True:
        try:
            next(making)
        except StopIteration as done:
            made: SealedSegment = done.value
            return made


def frames_of(segment: SealedSegment) -> list[Frame]:
    reader = SegmentReader(segment.opened())
    return [reader.frame(index) for index in range(len(segment.stamps))]


def naive(frames: list[Frame], kept_seqs: set[int]) -> list[Frame]:
    """The frames that stay, each with what the frames before it that do not stay leave behind."""
    made = []
    left: list[Frame] = []
    for one in frames:
        if one.seq not in kept_seqs:
            left.append(one)
            continue
        sections = dict(one.sections)
        for name in SECTIONS:
            rows: dict[Key, Row] = {}
            for other in left:
                rows.update(other.rows(name))
            if name == "events" and rows:
                sampled_ns = sections[name].sampled_boottime_ns if name in sections else one.boottime_ns
                sections[name] = Section(sampled_ns, rows | dict(one.rows(name)))
            elif name in OF_PROCESSES and name in sections:
                ended = {key: cells for key, cells in rows.items() if key not in one.rows("processes")}
                sections[name] = Section(sections[name].sampled_boottime_ns, ended | dict(one.rows(name)))
        made.append(replace(one, sections=sections))
        left = []
    return made


@settings(deadline=None, max_examples=60)
@given(MACHINES)
def test_what_stays_is_as_it_was_with_what_is_gone_added(made: tuple[int, int]) -> None:
    frames = machine(*made)
    segment = recorded(frames)
    found = thin(segment, TEN)
    kept = {stamp.seq for stamp in found.stamps}
    assert frames_of(found) == naive(frames, kept)
    assert (found.first, found.last, found.boot_id) == (segment.first, segment.last, segment.boot_id)
    assert found.interval_ns == TEN
    assert found.size_bytes <= segment.sealed().size_bytes or len(kept) > len(frames) // 2
    # once more: what was added counts like all else
    again = thin(found.opened(), MINUTE)
    assert frames_of(again) == naive(naive(frames, kept), {stamp.seq for stamp in again.stamps})
    assert {stamp.seq for stamp in again.stamps} <= kept


@settings(deadline=None, max_examples=60)
@given(MACHINES)
def test_the_last_row_of_every_process_is_still_there(made: tuple[int, int]) -> None:
    frames = [one for one in machine(*made) if "processes" in one.sections]
    if not frames:
        return
    last: dict[Key, Row] = {}
    events: set[Key] = set()
    for one in frames:
        last.update(one.rows("processes"))
        events.update(one.rows("events"))
    segment = recorded(frames)
    for interval_ns in (TEN, MINUTE):
        sealed = thin(segment, interval_ns)
        segment = sealed.opened()
        kept: dict[Key, Row] = {}
        kept_events: set[Key] = set()
        for one in frames_of(sealed):
            kept.update(one.rows("processes"))
            assert kept_events.isdisjoint(one.rows("events"))
            kept_events.update(one.rows("events"))
        assert (kept, kept_events) == (last, events)


@settings(deadline=None, max_examples=60)
@given(MACHINES, st.integers(-5, 100))
def test_as_of_answers_with_the_greatest_time_that_stayed(made: tuple[int, int], second: int) -> None:
    frames = machine(*made)
    segment = thin(recorded(frames), TEN)
    timeline: Timeline[SealedSegment] = Timeline()
    timeline.append(segment)
    asked_ns = frames[0].time_ns + second * SECOND
    place = timeline.at_time(asked_ns)
    times = [stamp.time_ns for stamp in segment.stamps if stamp.time_ns <= asked_ns]
    assert (place is None) == (not times)
    if place is not None:
        assert place.stamp.time_ns == max(times)
        is_last = place.stamp == segment.last
        assert is_last or not place.is_before_gap(asked_ns)


def test_which_frames_stay() -> None:
    segment = recorded([frame(seq, []) for seq in range(1, 301)])
    ten = staying(segment.stamps, TEN, SECOND)
    assert ten == {*range(0, 300, 10), 299}
    assert staying(segment.stamps[:1], TEN, SECOND) == {0}
    assert staying(segment.stamps[:5], TEN, SECOND) == {0, 4}
    # what was recorded as seldom all stays
    seldom = [replace(one, boottime_ns=one.boottime_ns * 12, time_ns=one.time_ns * 12) for one in segment.stamps]
    assert staying(seldom, TEN, 12 * SECOND) == set(range(300))


def test_a_process_that_lived_in_between_is_gone_in_the_frame_after() -> None:
    def rows(seq: int) -> list[Row]:
        return [process(1), *([process(77, start=1012 * SECOND, comm="brief")] if 12 <= seq <= 14 else [])]

    made = frames_of(thin(recorded([frame(seq, rows(seq)) for seq in range(1, 41)]), TEN))
    seen = {one.seq: any(key[0] == 77 for key in one.rows("processes")) for one in made}
    assert seen == {1: False, 11: False, 21: True, 31: False, 40: False}
