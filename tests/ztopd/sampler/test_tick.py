"""The tick: every collector degrades alone, and what did not change stays the same object."""

from dataclasses import dataclass, field

import pytest

from ztop_protocol.frame import Frame, Row
from ztop_protocol.schema import EVENTS, PRESSURE, SOURCES, SourceState
from ztopd.collectors.source import ParseError, Problem, Sample, Withheld
from ztopd.sampler.reader import Reader
from ztopd.sampler.tick import Sampler


@dataclass
class Scripted:
    """A collector that gives or raises what it is told to."""

    name: str = "pressure"
    period_ns: int = 0
    script: list[object] = field(default_factory=list)

    def collect(self) -> Sample:
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        assert isinstance(step, Sample)
        return step


def pressure(total: int) -> Row:
    return ("cpu", 0.0, 0.0, 0.0, total, None, None, None, None)


def sample(total: int, problem: Problem | None = None) -> Sample:
    assert len(pressure(total)) == len(PRESSURE.columns)
    return Sample({"pressure": {("cpu",): pressure(total)}}, problem)


def sampler_of(*collectors: Scripted, strict: bool = True) -> Sampler:
    return Sampler(collectors, Reader(), "boot", strict)


def source(frame: Frame, name: str, column: str) -> object:
    return frame.cell("sources", column, (name,))


def test_seq_grows_by_one_and_time_goes_on() -> None:
    sampler = sampler_of(Scripted(script=[sample(1), sample(2), sample(3)]))
    frames = [sampler.sample() for _ in range(3)]
    assert [frame.seq for frame in frames] == [1, 2, 3]
    assert frames[0].boottime_ns < frames[1].boottime_ns < frames[2].boottime_ns
    assert [frame.cell("pressure", "some_time_ns", ("cpu",)) for frame in frames] == [1, 2, 3]


def test_a_row_that_did_not_change_is_the_same_object() -> None:
    sampler = sampler_of(Scripted(script=[sample(1), sample(1)]))
    first, second = sampler.sample(), sampler.sample()
    assert first.rows("pressure")[("cpu",)] is second.rows("pressure")[("cpu",)]
    assert second.sections["pressure"].sampled_boottime_ns > first.sections["pressure"].sampled_boottime_ns


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "/proc/pressure/cpu"), "/proc/pressure/cpu: No such file"),
        (ParseError("/proc/pressure/cpu: nonsense"), "/proc/pressure/cpu: nonsense"),
    ],
)
def test_a_failure_keeps_the_old_rows_and_says_why(error: Exception, reason: str) -> None:
    sampler = sampler_of(Scripted(script=[sample(1), error, sample(2)]), Scripted("other", script=[Sample({})] * 3))
    first, second, third = (sampler.sample() for _ in range(3))
    assert second.sections["pressure"] is first.sections["pressure"]
    assert source(second, "pressure", "state") == "degraded"
    assert str(source(second, "pressure", "reason")).startswith(reason)
    assert source(second, "pressure", "failures") == 1
    assert source(second, "other", "state") == "ok"
    assert source(third, "pressure", "state") == "ok"
    assert source(third, "pressure", "reason") is None
    assert third.cell("pressure", "some_time_ns", ("cpu",)) == 2


def test_what_the_machine_withholds_is_no_failure() -> None:
    absent = Withheld(Problem(SourceState.ABSENT, "this kernel has none", "boot with psi=1"))
    frame = sampler_of(Scripted(script=[absent])).sample()
    assert "pressure" not in frame.sections
    assert [source(frame, "pressure", name) for name in ("state", "reason", "fix", "failures")] == [
        "absent", "this kernel has none", "boot with psi=1", 0,
    ]  # fmt: skip


def test_what_is_withheld_from_now_on_is_gone() -> None:
    absent = Withheld(Problem(SourceState.ABSENT, "unplugged"))
    sampler = sampler_of(Scripted(script=[sample(1), absent, sample(2)]))
    frames = [sampler.sample() for _ in range(3)]
    assert ["pressure" in frame.sections for frame in frames] == [True, False, True]


def test_an_error_of_ours_is_loud_in_tests_and_logged_once_in_production(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        sampler_of(Scripted(script=[ZeroDivisionError("oops")])).sample()
    sampler = sampler_of(Scripted(script=[ZeroDivisionError("oops")] * 3), strict=False)
    frames = [sampler.sample() for _ in range(3)]
    assert source(frames[2], "pressure", "failures") == 3
    assert "oops" in str(source(frames[2], "pressure", "reason"))
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_collector_with_a_period_is_not_asked_at_every_tick() -> None:
    slow = Scripted(period_ns=3_600_000_000_000, script=[sample(1)])
    sampler = sampler_of(slow)
    frames = [sampler.sample() for _ in range(3)]
    assert frames[2].sections["pressure"] is frames[0].sections["pressure"]


def test_skipped_ticks_are_counted_and_said() -> None:
    sampler = sampler_of(Scripted(script=[sample(1), sample(2)]))
    sampler.sample()
    sampler.skip(3)
    frame = sampler.sample()
    assert source(frame, "pressure", "skipped") == 3
    assert source(frame, "sampler", "state") == "degraded"
    assert len(frame.rows("sources")[("sampler",)]) == len(SOURCES.columns)


def test_further_sources_have_rows_of_their_own() -> None:
    problem = Problem(SourceState.DEGRADED, "withheld")
    sampler = sampler_of(Scripted(script=[Sample({}, None, {"process_io": problem})]))
    frame = sampler.sample()
    assert source(frame, "process_io", "reason") == "withheld"
    assert source(frame, "process_io", "sampled_boottime_ns") is not None


def test_what_a_frame_was_sent_without_is_said_as_long_as_it_is_so() -> None:
    sampler = sampler_of()
    sampler.note_left_out(("processes",))
    reason = source(sampler.sample(), "sampler", "reason")
    assert reason == "processes left out: a frame holds at most 8 MiB"
    sampler.note_left_out(())
    assert source(sampler.sample(), "sampler", "reason") is None


def test_a_collection_that_takes_long_says_when_it_read() -> None:
    late = Sample(dict(sample(1).sections), sampled_boottime_ns=123)
    frame = sampler_of(Scripted(script=[late])).sample()
    assert frame.sections["pressure"].sampled_boottime_ns == 123
    assert source(frame, "pressure", "sampled_boottime_ns") == 123


def kinds(frame: Frame) -> list[object]:
    place = EVENTS.position["kind"]
    return [row[place] for row in frame.rows("events").values()]


def test_events_are_of_the_frame_in_which_they_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ztopd.sampler.events.BEGINNING_NS", 1)
    absent = Withheld(Problem(SourceState.ABSENT, "unplugged"))
    sampler = sampler_of(Scripted(script=[sample(1), sample(2), absent, sample(3), sample(4), sample(5), sample(6)]))
    assert kinds(sampler.sample()) == ["started"]
    assert kinds(sampler.sample()) == []
    lost = sampler.sample()
    assert kinds(lost) == ["source_lost"]
    assert source(lost, "pressure", "state") == "absent"
    assert [kinds(sampler.sample()) for _ in range(4)] == [[], [], ["source_back"], []]


def test_skipped_ticks_are_a_gap() -> None:
    sampler = sampler_of()
    sampler.sample()
    sampler.skip(2)
    # what the sampler itself says of it is not told once more
    assert [kinds(sampler.sample()) for _ in range(2)] == [["gap"], []]


def test_the_summary_is_of_the_same_tick() -> None:
    sampler = sampler_of(Scripted(script=[sample(1), sample(2)]))
    for total in (1, 2):
        frame = sampler.sample()
        assert frame.cell("summary", "cpu_pressure_time_ns") == total
        assert frame.sections["summary"].sampled_boottime_ns == frame.sections["pressure"].sampled_boottime_ns
