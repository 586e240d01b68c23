"""Between two ticks: when it is due, what is sampled, and that no frame knows of it."""

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.ztopd.sampler.test_pipe import follow, frame, received
from tests.ztopd.sampler.test_tick import Scripted, pressure, sample, sampler_of, source
from ztop_protocol.codec import FrameDecoder, unpack
from ztop_protocol.schema import SourceState
from ztopd.collectors.source import ParseError, Problem, Sample, Withheld
from ztopd.feed import FeedDecoder
from ztopd.sampler.halfway import WANTED_SECONDS, Halfway
from ztopd.sampler.pipe import FeedPipe

NOTHING = Withheld(Problem(SourceState.ABSENT, "no such hardware"))


class TestWhen:
    def test_halfway_and_only_while_it_is_wanted(self) -> None:
        halfway = Halfway(1.0, 0.2)
        halfway.ticked(100.0, 101.0)
        assert halfway.due == math.inf
        halfway.want(100.1)
        assert halfway.due == 100.5
        assert halfway.passed(100.51)
        assert halfway.due == math.inf
        halfway.ticked(101.0, 102.0)
        assert halfway.due == 101.5
        ends = 100.1 + WANTED_SECONDS + 2
        halfway.ticked(ends, ends + 1)
        assert halfway.due == math.inf

    @pytest.mark.parametrize(("late", "is_done"), [(0.1, True), (0.2, False), (7.0, False)])
    def test_what_is_late_is_left_out(self, late: float, is_done: bool) -> None:
        halfway = Halfway(1.0, 0.2)
        halfway.want(100.0)
        halfway.ticked(100.0, 101.0)
        assert halfway.passed(100.5 + late) is is_done
        assert halfway.due == math.inf

    def test_not_where_the_next_tick_is_near_already(self) -> None:
        halfway = Halfway(1.0, 0.2)
        halfway.want(100.0)
        # the second frame, and a tick that took long
        for left in (0.25, 0.4):
            halfway.ticked(100.0, 100.0 + left)
            assert halfway.due == math.inf

    def test_not_sooner_than_the_gpus_are_read(self) -> None:
        halfway = Halfway(0.3, 0.2)
        halfway.want(100.0)
        halfway.ticked(100.0, 100.3)
        assert halfway.due == math.inf

    def test_at_a_longer_interval_the_gpus_are_read_by_then(self) -> None:
        halfway = Halfway(0.3, 0.2)
        halfway.want(100.0)
        halfway.ticks_every(0.6)
        halfway.ticked(100.0, 100.6)
        assert halfway.due == pytest.approx(100.3)


class TestWhat:
    def test_nothing_is_kept_of_it(self) -> None:
        collector = Scripted(script=[sample(1), sample(7), sample(1)])
        sampler = sampler_of(collector)
        first = sampler.sample()
        between = sampler.between(collector)
        assert between["pressure"].rows[("cpu",)] == pressure(7)
        second = sampler.sample()
        assert second.seq == first.seq + 1
        assert first.sections["pressure"].sampled_boottime_ns <= between["pressure"].sampled_boottime_ns
        assert between["pressure"].sampled_boottime_ns <= second.sections["pressure"].sampled_boottime_ns
        assert second.rows("pressure")[("cpu",)] is first.rows("pressure")[("cpu",)]

    @pytest.mark.parametrize("error", [NOTHING, OSError(5, "Input/output error"), ParseError("not a number")])
    def test_what_fails_is_for_the_next_tick_to_say(self, error: Exception) -> None:
        collector = Scripted(script=[sample(1), error, sample(2)])
        sampler = sampler_of(collector)
        sampler.sample()
        assert sampler.between(collector) == {}
        frame = sampler.sample()
        assert source(frame, "pressure", "state") == "ok"
        assert source(frame, "pressure", "failures") == 0

    def test_a_bug_of_ours_ends_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        collector = Scripted(script=[sample(1), ValueError("a bug"), sample(2)])
        sampler = sampler_of(collector, strict=False)
        sampler.sample()
        assert sampler.between(collector) == {}
        assert "a bug" in caplog.text
        assert sampler.sample().seq == 2

    def test_rows_of_another_width_are_no_sample(self, caplog: pytest.LogCaptureFixture) -> None:
        collector = Scripted(script=[sample(1), Sample({"pressure": {("cpu",): ("cpu", 1)}}), sample(2)])
        sampler = sampler_of(collector, strict=False)
        sampler.sample()
        assert sampler.between(collector) == {}
        assert "rows of [2] cells" in caplog.text

    def test_who_has_nothing_is_not_asked(self) -> None:
        collector = Scripted(script=[NOTHING])
        sampler = sampler_of(collector)
        sampler.sample()
        assert sampler.between(collector) == {}


class TestPipe:
    @pytest.fixture
    def ends(self) -> Iterator[tuple[int, FeedPipe]]:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        pipe = FeedPipe(write_end)
        yield read_end, pipe
        pipe.close()
        os.close(read_end)

    def test_the_chain_of_frames_does_not_know_of_it(self, ends: tuple[int, FeedPipe]) -> None:
        read_end, pipe = ends
        decoder = FeedDecoder()
        pipe.offer_between(1, 2, frame(1).sections)
        pipe.offer(frame(1))
        pipe.offer_between(17, 8, frame(9).sections)
        messages = decoder.frames(received(read_end))
        between = decoder.take_between()
        assert between is not None and (between.time_ns, between.boottime_ns) == (17, 8)
        section = FrameDecoder().section("networks", unpack(between.sections["networks"]))
        assert section == frame(9).sections["networks"]
        assert decoder.take_between() is None
        pipe.offer(frame(2))
        messages += decoder.frames(received(read_end))
        assert follow(messages) == [frame(1), frame(2)]
        assert messages[1].base_seq == 1

    def test_a_frame_makes_it_old(self, ends: tuple[int, FeedPipe]) -> None:
        read_end, pipe = ends
        pipe.offer(frame(1))
        pipe.offer_between(17, 8, frame(9).sections)
        pipe.offer(frame(2))
        decoder = FeedDecoder()
        assert len(decoder.frames(received(read_end))) == 2
        assert decoder.take_between() is None

    def test_what_cannot_be_encoded_is_not_sent(
        self, ends: tuple[int, FeedPipe], caplog: pytest.LogCaptureFixture
    ) -> None:
        read_end, pipe = ends
        section = frame(9).sections["networks"]
        key, row = next(iter(section.rows.items()))
        garbage: Any = (object(), *row[1:])
        pipe.offer(frame(1))
        pipe.offer_between(17, 8, {"networks": replace(section, rows={key: garbage})})
        decoder = FeedDecoder()
        assert follow(decoder.frames(received(read_end))) == [frame(1)]
        assert decoder.take_between() is None
        assert "cannot be encoded" in caplog.text

    def test_it_never_waits_behind_a_frame(self, ends: tuple[int, FeedPipe]) -> None:
        read_end, pipe = ends
        pipe.offer(frame(1, 40_000))
        assert pipe.has_waiting_bytes
        pipe.offer_between(17, 8, frame(9).sections)
        decoder = FeedDecoder()
        messages = []
        while pipe.has_waiting_bytes:
            messages += decoder.frames(received(read_end))
            pipe.flush()
        messages += decoder.frames(received(read_end))
        assert follow(messages) == [frame(1, 40_000)]
        assert decoder.take_between() is None
