"""Clock steps, sleep, sources that come and go, and processes killed for want of memory."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztopd.sampler.section_rows import SECOND, row, section
from ztop_protocol.event_kinds import EventKind
from ztop_protocol.frame import Section
from ztop_protocol.schema import SourceState
from ztopd.collectors.source import Problem
from ztopd.sampler.clocks import Clocks, read_clocks
from ztopd.sampler.happenings import CGROUPS_AWAITED_NS, Event, OomWatch, SourceWatch, SpikeWatch, clock_events

MS = 1_000_000
START = Clocks(boottime_ns=100 * SECOND, time_ns=1_790_000_000 * SECOND, monotonic_ns=90 * SECOND)


def later(clocks: Clocks, awake_ns: int, asleep_ns: int = 0, stepped_ns: int = 0) -> Clocks:
    """The clocks after a time awake and asleep, in which the wall clock was set too."""
    return Clocks(
        clocks.boottime_ns + awake_ns + asleep_ns,
        clocks.time_ns + awake_ns + asleep_ns + stepped_ns,
        clocks.monotonic_ns + awake_ns,
    )


def of_clocks(now: Clocks) -> list[tuple[EventKind, float | None]]:
    return [(event.kind, event.value) for event in clock_events(START, now)]


@pytest.mark.parametrize(
    ("stepped_ns", "value"),
    [(0, None), (49 * MS, None), (-49 * MS, None), (50 * MS, 0.05), (-50 * MS, -0.05), (-3600 * SECOND, -3600.0)],
)
def test_a_clock_step(stepped_ns: int, value: float | None) -> None:
    expected = [] if value is None else [(EventKind.CLOCK_STEP, value)]
    assert of_clocks(later(START, SECOND, 0, stepped_ns)) == expected


@pytest.mark.parametrize(("asleep_ns", "value"), [(0, None), (99 * MS, None), (100 * MS, 0.1), (7200 * SECOND, 7200.0)])
def test_a_suspend_is_no_clock_step(asleep_ns: int, value: float | None) -> None:
    expected = [] if value is None else [(EventKind.SUSPEND, value)]
    assert of_clocks(later(START, SECOND, asleep_ns)) == expected


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**15), st.integers(1, 10**12))
def test_clocks(stepped_ns: int, asleep_ns: int, awake_ns: int) -> None:
    expected = [(EventKind.CLOCK_STEP, stepped_ns / 1e9)] if abs(stepped_ns) >= 50 * MS else []
    expected += [(EventKind.SUSPEND, asleep_ns / 1e9)] if asleep_ns >= 100 * MS else []
    assert of_clocks(later(START, awake_ns, asleep_ns, stepped_ns)) == expected


def test_the_clocks_are_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read with a pause in between is read again: it would look like a step of the wall clock."""
    now_ns, pauses = 0, [70 * MS, 70 * MS, 0]

    def boottime(_clock: int) -> int:
        return now_ns

    def wall() -> int:
        nonlocal now_ns
        now_ns += pauses.pop(0)
        return now_ns

    monkeypatch.setattr("ztopd.sampler.clocks.time.clock_gettime_ns", boottime)
    monkeypatch.setattr("ztopd.sampler.clocks.time.time_ns", wall)
    clocks = read_clocks()
    assert clocks.boottime_ns == clocks.time_ns == 140 * MS


PROBLEM = Problem(SourceState.DEGRADED, "it cannot be read")


def of_source(*states: bool) -> list[str]:
    """What is told, by frame, of a source that is whole or not."""
    watch = SourceWatch()
    told = []
    for place, is_whole in enumerate(states):
        for event in watch.take({"io": None if is_whole else PROBLEM, "other": None}):
            assert event.subject == "io"
            assert event.kind is EventKind.SOURCE_BACK or event.detail == PROBLEM.reason
            told.append(f"{place} {event.kind}")
    return told


def test_a_source_that_goes_and_comes_back() -> None:
    assert of_source(True, True, False, False, True, True, True, True) == ["2 source_lost", "6 source_back"]


def test_how_a_source_is_at_first_is_no_event() -> None:
    assert of_source(True, True) == []
    assert of_source(False, False) == []
    assert of_source(False, True, True, True) == ["3 source_back"]


def test_a_source_that_flaps_is_lost_once() -> None:
    assert of_source(True, *([False, True] * 50)) == ["1 source_lost"]
    assert of_source(True, *([False, True, True] * 50)) == ["1 source_lost"]
    assert of_source(True, *([False, True] * 50), True, True) == ["1 source_lost", "102 source_back"]


def test_another_reason_is_no_event() -> None:
    watch = SourceWatch()
    told = [list(watch.take({"io": problem})) for problem in (None, PROBLEM, replace(PROBLEM, reason="worse"))]
    assert [len(events) for events in told] == [0, 1, 0]


def memory(kills: int | None) -> Section:
    return section("memory", 0, [row("memory", oom_kills=kills)])


def cgroups(**kills: int | None) -> Section:
    return section("cgroups", 0, [row("cgroups", path.replace("_", "/"), oom_kills=n) for path, n in kills.items()])


def told(events: list[Event]) -> list[tuple[str | None, float | None]]:
    assert all(event.kind is EventKind.OOM_KILL for event in events)
    return [(event.subject, event.value) for event in events]


class Oom:
    """An OOM watch that is given a frame every second."""

    def __init__(self, kills: int | None, groups: Section | None) -> None:
        self._watch = OomWatch()
        self._seconds = 0
        assert self.give(kills, groups) == []

    def give(self, kills: int | None, groups: Section | None) -> list[tuple[str | None, float | None]]:
        self._seconds += 1
        return told(list(self._watch.take(self._seconds * SECOND, memory(kills), groups)))


def test_the_deepest_cgroup_whose_kills_grew() -> None:
    oom = Oom(3, cgroups(_=3, _a=3, _a_b=2, _a_c=1))
    assert oom.give(3, cgroups(_=3, _a=3, _a_b=2, _a_c=1)) == []
    assert oom.give(5, cgroups(_=5, _a=5, _a_b=4, _a_c=1)) == [("/a/b", 2.0)]
    assert oom.give(8, cgroups(_=8, _a=8, _a_b=5, _a_c=3)) == [("/a/c", 3.0)]


def test_a_new_cgroup() -> None:
    assert Oom(0, cgroups(_a=0)).give(1, cgroups(_a=1, _a_b=1)) == [("/a/b", 1.0)]


def test_a_kill_in_no_cgroup_that_is_known() -> None:
    oom = Oom(0, cgroups(_a=None))
    assert oom.give(2, cgroups(_a=None)) == [(None, 2.0)]
    assert Oom(0, None).give(1, None) == [(None, 1.0)]


def test_a_kill_waits_for_the_cgroups_to_be_read() -> None:
    groups = cgroups(_a=0)
    oom = Oom(0, groups)
    assert oom.give(1, groups) == []
    assert oom.give(2, groups) == []
    assert oom.give(2, cgroups(_a=2)) == [("/a", 2.0)]
    assert oom.give(2, cgroups(_a=2)) == []


def test_a_kill_does_not_wait_for_ever() -> None:
    groups = cgroups(_a=0)
    oom = Oom(0, groups)
    waits = CGROUPS_AWAITED_NS // SECOND
    assert [oom.give(1, groups) for _ in range(waits + 2)] == [[]] * waits + [[(None, 1.0)], []]


def test_the_cgroups_may_be_ahead_of_memory() -> None:
    oom = Oom(0, cgroups(_a=0))
    ahead = cgroups(_a=1)
    assert oom.give(0, ahead) == []
    assert oom.give(1, ahead) == [("/a", 1.0)]
    # long before it is another kill, that vmstat does not count here
    assert oom.give(1, cgroups(_a=2)) == []
    assert oom.give(1, cgroups(_a=2)) == []
    assert oom.give(2, cgroups(_a=2)) == [(None, 1.0)]


def test_counters_that_are_absent_or_went_back() -> None:
    oom = Oom(5, None)
    assert oom.give(None, None) == []
    assert oom.give(6, None) == [(None, 1.0)]
    assert oom.give(2, None) == []
    assert oom.give(3, None) == [(None, 1.0)]
    assert Oom(None, None).give(7, None) == []


def summary(at_s: int, busy_s: int | None, io_s: int | None = 0) -> Section:
    def ns(seconds: int | None) -> int | None:
        return None if seconds is None else seconds * SECOND

    found = row("summary", cpu_busy_time_ns=ns(busy_s), io_pressure_time_ns=ns(io_s))
    return section("summary", at_s * SECOND, [found])


class Spikes:
    """A spike watch after 20 s at rest."""

    def __init__(self) -> None:
        self.watch = SpikeWatch()
        for at_s in range(21):
            assert self.give(summary(at_s, 0)) == []

    def give(self, found: Section | None) -> list[Event]:
        return list(self.watch.take(found, lambda: "; somebody"))


def test_a_spike_in_words() -> None:
    assert Spikes().give(summary(21, 3)) == [
        Event(EventKind.CPU_SPIKE, "3.0 cores were busy, usually 0.0; somebody", "cpu", 300.0)
    ]
    assert Spikes().give(summary(22, 0, 1)) == [
        Event(EventKind.PRESSURE_SPIKE, "tasks waited for io 50 % of the time, usually 0 %; somebody", "io", 50.0)
    ]


def test_counters_that_went_back_or_are_absent_are_no_spike() -> None:
    for lacking in (summary(22, None), None):
        spikes = Spikes()
        assert spikes.give(summary(21, -5)) == []
        assert spikes.give(lacking) == []
        # from nothing, or over another interval, there is no growth
        assert spikes.give(summary(23, 9)) == []
        assert [event.value for event in spikes.give(summary(24, 10))] == [100.0]


def test_a_time_that_does_not_advance_is_no_interval() -> None:
    spikes = Spikes()
    assert spikes.give(summary(20, 50)) == []
    assert spikes.give(summary(19, 60)) == []


def test_what_ran_around_a_suspend_is_no_spike() -> None:
    spikes = Spikes()
    spikes.watch.begin_anew()
    # a night at rest, then 2 cores as before it
    for at_s in range(30_000, 30_100):
        assert spikes.give(summary(at_s, 2 * at_s)) == []
