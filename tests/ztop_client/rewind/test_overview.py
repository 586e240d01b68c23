"""What the strip is drawn from: windows, zoom, curves out of whatever came, events looked for ever farther away."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztop_client.hostile import HOSTILE
from ztop_client.rewind.overview import SPANS_NS, Happening, Overview
from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments

SECOND = 10**9
NOW = 1_790_000_000 * SECOND
Answer = Callable[[Arguments], Wire | RequestFailed]


class Daemon:
    """Answers at once what a test tells it to; otherwise that it does not know."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Arguments]] = []
        self.changes = 0

    def ask(self, method: str, arguments: Arguments, done: Callable[[Wire | RequestFailed], None]) -> None:
        self.asked.append((method, arguments))
        answer = self.answers.get(method)
        done(RequestFailed(f"no {method}") if answer is None else answer(arguments))

    def changed(self) -> None:
        self.changes += 1

    def asked_for(self, method: str) -> list[Arguments]:
        return [arguments for name, arguments in self.asked if name == method]


def remembering(seconds: int, **answers: Answer) -> tuple[Daemon, Overview]:
    """An overview at NOW, of a daemon that remembers so many seconds."""
    known: dict[str, Answer] = {
        "status": lambda _: {"ring_oldest_time_ns": NOW - seconds * SECOND, "store_oldest_time_ns": None},
        "ping": lambda _: {"seq": 5000, "time_ns": NOW},
    }
    daemon = Daemon(**{**known, **answers})
    overview = Overview(daemon.ask, daemon.changed)
    overview.look(NOW, NOW)
    overview.learn()
    return daemon, overview


def window(overview: Overview) -> tuple[float, float]:
    """Both ends in seconds before NOW."""
    shown = overview.timeline(100, None)
    return (NOW - shown.start_ns) / SECOND, (NOW - shown.end_ns) / SECOND


class TestWindow:
    def test_five_minutes_at_first_and_less_where_less_is_remembered(self) -> None:
        assert window(remembering(3600)[1]) == (300, 0)
        assert window(remembering(75)[1]) == (75, 0)
        # a curve of two seconds would say nothing
        assert window(remembering(2)[1]) == (10, 0)

    def test_it_has_the_cursor_in_it_and_stays_while_it_has(self) -> None:
        daemon, overview = remembering(3600)
        assert window(overview) == (300, 0)
        for ago in (100, 290, 300):
            overview.look(NOW - ago * SECOND, NOW)
            assert window(overview) == (300, 0)
        overview.look(NOW - 1000 * SECOND, NOW)
        assert window(overview) == (1150, 850)
        assert len(daemon.asked_for("series")) == len(daemon.asked_for("events")) == 2

    def test_it_does_not_reach_beyond_what_is_remembered(self) -> None:
        _, overview = remembering(3600)
        overview.look(NOW - 3590 * SECOND, NOW)
        assert window(overview) == (3600, 3300)

    def test_what_is_older_than_it_was_thought_is_in_it(self) -> None:
        _, overview = remembering(75)
        overview.look(NOW - 90 * SECOND, NOW)
        start, end = window(overview)
        assert start >= 90 > end

    def test_a_recording_goes_on_after_what_was_played_of_it(self) -> None:
        _, overview = remembering(3600)
        overview.look(NOW - 3000 * SECOND, NOW - 3000 * SECOND)
        assert overview.newest_ns == NOW
        assert window(overview) == (3150, 2850)

    def test_without_an_answer_it_is_five_minutes(self) -> None:
        daemon = Daemon()
        overview = Overview(daemon.ask, daemon.changed)
        overview.look(NOW, NOW)
        overview.learn()
        assert window(overview) == (300, 0)
        overview.zoom(-10)
        assert window(overview)[1] == 0

    @pytest.mark.parametrize("status", [None, [], {}, {"ring_oldest_time_ns": "old"}, {"ring_oldest_time_ns": True}])
    def test_a_status_that_says_nothing_is_none(self, status: Wire) -> None:
        _, overview = remembering(75, status=lambda _: status)
        assert window(overview) == (300, 0)


class TestZoom:
    def test_each_step_is_said_and_the_last_one_is_everything(self) -> None:
        _, overview = remembering(3000)
        said = [overview.zoom(-1) for _ in range(3)]
        assert said == ["The strip shows 15m00s.", *["The strip shows all that is remembered: 50m00s."] * 2]
        assert window(overview) == (3000, 0)
        assert [overview.zoom(1) for _ in range(4)] == [
            "The strip shows 15m00s.", "The strip shows 5m00s.", *["The strip shows 1m00s."] * 2,
        ]  # fmt: skip
        assert window(overview) == (60, 0)

    def test_little_is_shown_whole_from_the_start(self) -> None:
        _, overview = remembering(75)
        assert overview.zoom(-1) == "The strip shows all that is remembered: 1m15s."
        assert overview.zoom(1) == "The strip shows 1m00s."

    @given(st.integers(1, 10**7), st.integers(0, 10**7), st.lists(st.integers(-2, 2), max_size=12))
    def test_the_cursor_is_always_in_the_window(self, seconds: int, ago: int, zooms: list[int]) -> None:
        _, overview = remembering(seconds)
        overview.look(NOW - min(ago, seconds) * SECOND, NOW)
        for steps in zooms:
            overview.zoom(steps)
            shown = overview.timeline(50, None)
            assert shown.start_ns <= shown.cursor_ns <= shown.end_ns
            assert shown.end_ns <= NOW
            assert 10 * SECOND <= shown.end_ns - shown.start_ns <= max(SPANS_NS[-1], seconds * SECOND)


def series(step: int, *rows: tuple[int, float | None]) -> Answer:
    """Rows of so many seconds before NOW, and the CPU's percentage."""
    made: list[Wire] = [[NOW - ago * SECOND, percent] for ago, percent in rows]
    return lambda _: {"step_ns": step * SECOND, "complete": True, "columns": ["time_ns", "cpu_percent"], "rows": made}


class TestCurve:
    def test_a_step_fills_its_time(self) -> None:
        _, overview = remembering(100, series=series(10, (100, 50.0), (90, None), (80, 100.0), (10, 20.0)))
        values = overview.timeline(100, None).values
        assert values[:10] == (0.5,) * 10
        assert values[10:20] == (None,) * 10
        assert values[20:30] == (1.0,) * 10
        assert values[30:90] == (None,) * 60
        assert values[90:] == (0.2,) * 10

    def test_fine_steps_on_a_narrow_strip(self) -> None:
        _, overview = remembering(100, series=series(1, *((ago, float(ago)) for ago in range(100, 0, -1))))
        values = overview.timeline(10, None).values
        assert len(values) == 10
        assert all(one is not None and two is not None and one > two for one, two in pairwise(values))

    def test_a_step_that_began_before_the_window_fills_what_is_in_it(self) -> None:
        _, overview = remembering(100, series=series(10, (120, 70.0), (105, 50.0)))
        assert overview.timeline(100, None).values[:6] == (0.5,) * 5 + (None,)

    def test_rates_have_their_greatest_for_a_top(self) -> None:
        rows: list[Wire] = [[NOW - 100 * SECOND, 1 << 20], [NOW - 50 * SECOND, 4 << 20]]
        columns: list[Wire] = ["time_ns", "disk_bytes_per_second"]
        _, overview = remembering(100, series=lambda _: {"step_ns": 50 * SECOND, "columns": columns, "rows": rows})
        while overview.next_chart() != "Dsk":
            pass
        shown = overview.timeline(2, None)
        assert (shown.name, shown.top, shown.values) == ("Dsk", "4.0M/s", (0.25, 1.0))

    @pytest.mark.parametrize("percent", [None, 0, 40])
    def test_gpus_have_their_turn_where_there_are_some(self, percent: int | None) -> None:
        rows: list[Wire] = [[NOW - 100 * SECOND, None], [NOW - 50 * SECOND, percent]]
        columns: list[Wire] = ["time_ns", "gpu_percent"]
        _, overview = remembering(100, series=lambda _: {"step_ns": 50 * SECOND, "columns": columns, "rows": rows})
        overview.timeline(2, None)
        turns = [overview.next_chart() for _ in range(7)]
        assert ("GPU" in turns) is (percent is not None)
        if percent is not None:
            while overview.next_chart() != "GPU":
                pass
            assert overview.timeline(2, None).values == (None, percent / 100)

    def test_it_is_asked_for_again_until_it_is_complete(self) -> None:
        answers: list[Wire] = [
            {"step_ns": SECOND, "complete": complete, "columns": ["time_ns", "cpu_percent"],
             "rows": [[NOW - SECOND, percent]]}
            for complete, percent in ((False, 1.0), (False, 2.0), (True, 3.0))
        ]  # fmt: skip
        daemon, overview = remembering(100, series=lambda _: answers.pop(0))
        overview.timeline(100, None)
        assert overview.timeline(100, None).values[-1] == 0.03
        assert len(daemon.asked_for("series")) == 3

    def test_one_that_is_never_complete_is_not_asked_for_ever(self) -> None:
        whole = series(1)({})
        assert isinstance(whole, dict)
        daemon, overview = remembering(100, series=lambda _: {**whole, "complete": False})
        overview.timeline(100, None)
        assert len(daemon.asked_for("series")) <= 20

    @pytest.mark.parametrize(
        "answer",
        [
            None, 7, [], {}, {"columns": [], "rows": [], "step_ns": 1},
            {"columns": ["time_ns"], "rows": [], "step_ns": 0},
            {"columns": [[]], "rows": [], "step_ns": 1}, {"columns": ["cpu_percent"], "rows": [[1]], "step_ns": 1},
            *(
                {"columns": ["time_ns", "cpu_percent"], "rows": [row], "step_ns": SECOND}
                for row in (None, [], ["now", 1], [NOW], [NOW, 1, 2], [-(1 << 63), 5.0], [(1 << 64) - 1, 5.0])
            ),
            *(
                {"columns": ["time_ns", "cpu_percent"], "rows": [[NOW - SECOND, cell]], "step_ns": SECOND}
                for cell in ("x", float("nan"), float("inf"), [1], b"1")
            ),
            {"columns": ["time_ns", "what_is_this"], "rows": [[NOW, 1.0]], "step_ns": SECOND},
            {"columns": ["time_ns", "cpu_percent"], "rows": [[NOW - 300 * SECOND, 1.0]], "step_ns": 1 << 62},
        ],
    )  # fmt: skip
    def test_whatever_comes_is_a_curve_or_none(self, answer: Any) -> None:
        _, overview = remembering(300, series=lambda _: answer)
        values = overview.timeline(100, None).values
        assert len(values) in (0, 100)
        assert all(value is None or value == 0.01 for value in values)


def event(seq: int, ago: int, kind: str = "cpu_spike", detail: Wire = "busy") -> dict[str, Wire]:
    return {"time_ns": NOW - ago * SECOND, "seq": seq, "kind": kind, "detail": detail}


def events(*known: dict[str, Wire], at_a_time: int = 1000) -> Answer:
    """Those of the time asked for, so many at a time."""

    def answer(arguments: Arguments) -> Wire:
        cursor = arguments.get("cursor", 0)
        found = [one for one in known if arguments["from_ns"] <= one["time_ns"] <= arguments["to_ns"]]
        end = cursor + at_a_time
        return {"events": found[cursor:end], "cursor": end if end < len(found) else None}

    return answer


def found(overview: Overview, seq: int, direction: int) -> Happening | RequestFailed | None:
    answers: list[Happening | RequestFailed | None] = []
    overview.find_event(seq, direction, answers.append)
    [answer] = answers
    return answer


class TestEvents:
    def test_they_are_pins_with_the_style_of_their_kind(self) -> None:
        known = event(1, 200, "oom_kill"), event(2, 100), event(3, 50, "gap"), event(4, 20, "appeared")
        _, overview = remembering(3600, events=events(*known))
        overview.timeline(100, None)
        assert [(pin.time_ns, pin.style) for pin in overview.timeline(100, None).pins] == [
            (NOW - 200 * SECOND, "strip_pin_hot"),
            (NOW - 100 * SECOND, "strip_pin_warm"),
            (NOW - 50 * SECOND, "strip_pin"),
        ]

    def test_the_next_one_is_found_among_those_shown(self) -> None:
        daemon, overview = remembering(3600, events=events(event(10, 200), event(20, 100), event(30, 50)))
        overview.timeline(100, None)
        asked = len(daemon.asked)
        for seq, direction, wanted in ((20, -1, 10), (20, 1, 30), (25, -1, 20), (5, 1, 10)):
            happening = found(overview, seq, direction)
            assert isinstance(happening, Happening)
            assert happening.seq == wanted
        assert len(daemon.asked) == asked

    def test_farther_away_the_span_is_doubled(self) -> None:
        daemon, overview = remembering(100_000, events=events(event(10, 50_000)))
        overview.timeline(100, None)
        happening = found(overview, 900, -1)
        assert isinstance(happening, Happening)
        assert happening.seq == 10
        spans = [asked["to_ns"] - asked["from_ns"] for asked in daemon.asked_for("events")]
        assert spans == [300 * SECOND << max(number - 1, 0) for number in range(len(spans))]
        assert len(spans) < 12

    def test_none_is_none_and_ends_where_the_memory_does(self) -> None:
        daemon, overview = remembering(3600, events=events())
        overview.timeline(100, None)
        assert found(overview, 900, -1) is None
        assert found(overview, 900, 1) is None
        assert len(daemon.asked_for("events")) < 10

    def test_where_the_memory_ends_unknown_it_ends_too(self) -> None:
        daemon, overview = remembering(3600, events=events(), status=lambda _: None)
        assert found(overview, 900, -1) is None
        assert len(daemon.asked_for("events")) < 40

    def test_of_an_answer_in_parts_the_nearest_counts(self) -> None:
        known = [event(seq, 1000 - seq) for seq in range(100, 190)]
        _, overview = remembering(3600, events=events(*known, at_a_time=7))
        overview.look(NOW - 500 * SECOND, NOW)
        before = found(overview, 180, -1)
        assert isinstance(before, Happening)
        assert before.seq == 179
        overview.look(NOW - 1000 * SECOND, NOW)
        after = found(overview, 120, 1)
        assert isinstance(after, Happening)
        assert after.seq == 121

    def test_before_the_pins_have_come_it_is_looked_for_from_here(self) -> None:
        daemon, overview = remembering(3600, events=events(event(10, 30)))
        happening = found(overview, 900, -1)
        assert isinstance(happening, Happening)
        assert happening.seq == 10
        assert daemon.asked_for("events")[0]["to_ns"] == NOW

    def test_no_answer_is_no_absence_of_events(self) -> None:
        _, overview = remembering(3600)
        overview.timeline(100, None)
        answer = found(overview, 900, -1)
        assert isinstance(answer, RequestFailed)
        assert str(answer) == "no events"

    def test_a_cursor_that_stands_still_ends_it(self) -> None:
        daemon, overview = remembering(3600, events=lambda _: {"events": [], "cursor": 5})
        overview.timeline(100, None)
        assert found(overview, 900, -1) is None
        assert len(daemon.asked) < 100

    @pytest.mark.parametrize(
        "answer",
        [
            None, [], {"events": 5}, {"events": [None, 5, [], {}]},
            {"events": [{"time_ns": "x", "seq": 1, "kind": "gap"}]},
            {"events": [{"time_ns": 1, "seq": None, "kind": "gap"}]}, {"events": [{"time_ns": 1, "seq": 1, "kind": 5}]},
            {"events": [{"time_ns": True, "seq": 1, "kind": "gap"}]}, {"events": {}},
        ],
    )  # fmt: skip
    def test_whatever_comes_is_no_event(self, answer: Any) -> None:
        _, overview = remembering(3600, events=lambda _: answer)
        overview.timeline(100, None)
        assert overview.timeline(100, None).pins == ()
        assert found(overview, 900, -1) is None

    @pytest.mark.parametrize("detail", [None, "", 5, b"\xff", *HOSTILE])
    def test_its_sentence_is_text(self, detail: Wire) -> None:
        _, overview = remembering(3600, events=events(event(10, 30, "source_lost", detail)))
        happening = found(overview, 900, -1)
        assert isinstance(happening, Happening)
        assert happening.sentence == (detail if isinstance(detail, str) and detail else "source lost")


def test_another_memory_is_learned_anew() -> None:
    daemon, overview = remembering(75)
    assert window(overview) == (75, 0)
    overview.forget()
    assert window(overview) == (300, 0)
    daemon.answers["status"] = lambda _: {"ring_oldest_time_ns": NOW - 20 * SECOND}
    overview.learn()
    assert window(overview) == (20, 0)
