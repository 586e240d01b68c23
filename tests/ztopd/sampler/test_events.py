"""The rows of ``events`` and ``process_events``, from frame to frame."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ztopd.sampler.section_rows import SECOND, cells, process, row, section
from ztop_protocol.frame import Cell, Row, Section
from ztop_protocol.schema import SourceState
from ztop_protocol.version import VERSION
from ztopd.collectors.source import Problem
from ztopd.sampler.clocks import Clocks
from ztopd.sampler.events import Events
from ztopd.sampler.process_events import MAX_ROWS

Cells = dict[str, Cell]


class Machine:
    """A made-up machine that is looked at every second."""

    def __init__(self, processes: Iterable[Row] | None = ()) -> None:
        self.sections: dict[str, Section] = {}
        self.problems: dict[str, Problem | None] = {}
        self.boottime_ns = self.monotonic_ns = 100 * SECOND
        self.wall_ns = 1_790_000_000 * SECOND
        self.events = Events(
            self.sections,
            lambda: self.problems,
            lambda: Clocks(self.boottime_ns, self.boottime_ns + self.wall_ns, self.monotonic_ns),
        )
        self.hidepid(0)
        self.busy_ns = 0
        self.first = self.tick(processes)

    def hidepid(self, value: int | None) -> None:
        self.sections["host"] = section("host", 0, [row("host", hidepid=value)])

    def tick(
        self, processes: Iterable[Row] | None = None, busy_ns: int = 0, asleep_ns: int = 0
    ) -> dict[str, list[Cells]]:
        """What a frame says, a second later; without processes they were not sampled anew."""
        self.boottime_ns += SECOND + asleep_ns
        self.monotonic_ns += SECOND
        self.busy_ns += busy_ns
        counted = row("summary", cpu_busy_time_ns=self.busy_ns)
        self.sections["summary"] = section("summary", self.boottime_ns, [counted])
        if processes is not None:
            self.sections["processes"] = section("processes", self.boottime_ns, processes)
        self.sample = self.events.collect()
        assert self.sample.sampled_boottime_ns == self.boottime_ns
        return {name: [cells(name, found) for found in rows.values()] for name, rows in self.sample.sections.items()}


def kinds(rows: list[Cells]) -> list[Cell]:
    return [found["kind"] for found in rows]


def test_the_first_frame_says_that_it_is() -> None:
    assert Machine([process(1)]).first == {
        "events": [
            {"number": 1, "kind": "started", "subject": None, "value": None, "detail": f"ztopd {VERSION} started"}
        ],
        "process_events": [],
    }


def test_while_nothing_happens_nothing_is_sampled() -> None:
    machine = Machine([process(1)])
    assert machine.tick([process(1)]) == {"events": []}
    for _ in range(100):
        # time that it used, another name, another parent: an exec is no birth
        assert machine.tick([process(1, cpu_time_ns=5, comm="bash")]) == {}


def test_a_process_that_appears_and_ends() -> None:
    machine = Machine([process(1)])
    born = process(77, 100 * SECOND, comm="make")
    assert machine.tick([process(1), born])["process_events"] == [
        {
            "number": 1, "kind": "appeared", "pid": 77, "start_boottime_ns": 100 * SECOND, "ppid": 1, "owner_uid": 0,
            "comm": "make", "cpu_time_ns": None, "rss_bytes": None,
        }
    ]  # fmt: skip
    assert machine.tick([process(1), process(77, 100 * SECOND, 30, "cc1", 8192)]) == {"process_events": []}
    assert machine.tick([process(1)])["process_events"] == [
        {
            "number": 2, "kind": "ended", "pid": 77, "start_boottime_ns": 100 * SECOND, "ppid": 1, "owner_uid": 0,
            "comm": "cc1", "cpu_time_ns": 30, "rss_bytes": 8192,
        }
    ]  # fmt: skip


def test_a_pid_that_is_used_again_ended_and_appeared() -> None:
    found = Machine([process(7, 10)]).tick([process(7, 20)])["process_events"]
    assert [(one["kind"], one["pid"], one["start_boottime_ns"]) for one in found] == [
        ("ended", 7, 10), ("appeared", 7, 20),
    ]  # fmt: skip


def test_processes_that_were_not_listed_have_not_ended() -> None:
    machine = Machine([process(1), process(2)])
    machine.tick()
    assert machine.tick() == {}
    del machine.sections["processes"]
    assert machine.tick() == {}
    # back again: what ended meanwhile did end
    assert kinds(machine.tick([process(1)])["process_events"]) == ["ended"]


def test_processes_that_were_never_listed_have_not_appeared() -> None:
    machine = Machine(None)
    machine.tick()
    assert machine.tick([process(1)]) == {}


def test_two_thousand_births_and_deaths() -> None:
    machine = Machine([process(1)])
    many = [process(pid, cpu_time_ns=pid) for pid in range(2, 2002)]
    told = machine.tick([process(1), *many])
    assert kinds(told["process_events"]) == ["appeared"] * MAX_ROWS
    (left_out,) = told["events"]
    assert (left_out["kind"], left_out["subject"], left_out["value"]) == ("left_out", "process_events", 2000 - MAX_ROWS)
    # those that used most CPU time are not among the left out
    told = machine.tick([process(1), *(process(pid) for pid in range(5000, 5005))])
    assert {found["pid"] for found in told["process_events"]} == set(range(2002 - MAX_ROWS, 2002))
    assert told["events"][0]["value"] == 2000 + 5 - MAX_ROWS
    assert [found["number"] for found in told["process_events"]] == list(range(MAX_ROWS + 1, 2 * MAX_ROWS + 1))


PIDS = st.lists(st.integers(1, 400), unique=True, max_size=300)


@given(st.lists(PIDS, min_size=1, max_size=6))
@example([list(range(1, 200)), list(range(150, 450)), list(range(300))])
def test_what_is_told_is_the_difference(ticks: list[list[int]]) -> None:
    first, *others = ticks
    machine, before, number = Machine([process(pid) for pid in first]), set(first), 0
    for listed in others:
        told = machine.tick([process(pid) for pid in listed])
        rows = told.get("process_events", [])
        left_out = sum(float(one["value"] or 0) for one in told.get("events", []) if one["kind"] == "left_out")
        appeared = {found["pid"] for found in rows if found["kind"] == "appeared"}
        ended = {found["pid"] for found in rows if found["kind"] == "ended"}
        assert appeared <= set(listed) - before
        assert ended <= before - set(listed)
        assert len(appeared) + len(ended) + left_out == len(before ^ set(listed))
        assert len(rows) <= MAX_ROWS
        assert [found["number"] for found in rows] == list(range(number + 1, number + 1 + len(rows)))
        number += len(rows)
        before = set(listed)


def quiet(machine: Machine, *processes: Row) -> None:
    for _ in range(20):
        machine.tick(processes)


def test_a_spike_names_who_used_most() -> None:
    machine = Machine([process(1), process(2)])
    quiet(machine, process(1), process(2))
    told = machine.tick([process(1, cpu_time_ns=SECOND // 10), process(2, cpu_time_ns=9 * SECOND // 10)], SECOND)
    assert told["events"] == [
        {
            "number": 2, "kind": "cpu_spike", "subject": "cpu", "value": 100.0,
            "detail": "1.0 cores were busy, usually 0.0; most CPU was used by pid 2 (sh), 90 % of a core",
        }
    ]  # fmt: skip
    assert machine.tick([process(1, cpu_time_ns=SECOND)], SECOND)["events"] == []


@pytest.mark.parametrize("hidepid", [1, 2, None])
def test_where_proc_hides_processes_a_spike_names_none(hidepid: int | None) -> None:
    machine = Machine([process(1)])
    machine.hidepid(hidepid)
    quiet(machine, process(1))
    (spike,) = machine.tick([process(1, cpu_time_ns=SECOND)], SECOND)["events"]
    assert spike["detail"] == "1.0 cores were busy, usually 0.0"


def test_a_spike_of_nobody_that_is_known() -> None:
    machine = Machine([])
    quiet(machine)
    (spike,) = machine.tick(None, SECOND)["events"]
    assert spike["detail"] == "1.0 cores were busy, usually 0.0"


def test_a_suspend_is_told_and_begins_anew() -> None:
    machine = Machine([])
    for _ in range(30):
        machine.tick(None, 2 * SECOND)
    (told,) = machine.tick(None, 2 * SECOND, 8 * 3600 * SECOND)["events"]
    assert (told["kind"], told["value"], told["detail"]) == ("suspend", 28800.0, "the machine slept for 28800.0 s")
    assert machine.tick(None, 2 * SECOND) == {"events": []}
    for _ in range(100):
        assert machine.tick(None, 2 * SECOND) == {}


def test_a_clock_that_is_set() -> None:
    machine = Machine([])
    machine.wall_ns -= 3600 * SECOND
    (told,) = machine.tick()["events"]
    assert (told["kind"], told["value"]) == ("clock_step", -3600.0)
    assert told["detail"] == "the wall clock was set back by 3600.000 s"
    assert machine.tick() == {"events": []}


def test_ticks_that_were_skipped() -> None:
    machine = Machine([])
    machine.events.skip(2)
    machine.boottime_ns += 2 * SECOND
    machine.monotonic_ns += 2 * SECOND
    (told,) = machine.tick()["events"]
    assert (told["kind"], told["value"]) == ("gap", 3.0)
    assert told["detail"] == "2 ticks were skipped because one took too long"
    assert machine.tick() == {"events": []}


def test_a_source_that_is_lost() -> None:
    machine = Machine([])
    machine.problems["disks"] = None
    quiet(machine)
    machine.problems["disks"] = Problem(SourceState.ABSENT, "unplugged")
    (told,) = machine.tick()["events"]
    assert (told["kind"], told["subject"], told["detail"]) == ("source_lost", "disks", "unplugged")


def test_what_is_found_out_of_sources_at_the_beginning_is_no_event() -> None:
    machine = Machine([])
    machine.problems["disks"] = None
    machine.tick()
    for at_s in range(2, 30):
        machine.problems["disks"] = Problem(SourceState.DEGRADED, "late") if at_s == 9 else None
        machine.problems["nfs"] = Problem(SourceState.DEGRADED, "no answer") if at_s >= 9 else None
        told = kinds(machine.tick().get("events", []))
        # it was not whole at 9 s, and is so for the third time after the beginning
        assert told == (["source_back"] if at_s == 12 else []), at_s


def test_numbers_go_on() -> None:
    machine = Machine([])
    for number in range(2, 20):
        machine.wall_ns += SECOND
        assert [one["number"] for one in machine.tick()["events"]] == [number]


def test_alerts_are_told_where_there_are_counters_and_change() -> None:
    machine = Machine([process(1)])
    spent = instructions = 0

    def tick(ipc: float) -> list[Cells] | None:
        nonlocal spent, instructions
        spent, instructions = spent + SECOND, instructions + round(ipc * SECOND)
        counted = row(
            "process_counters", 1, SECOND, owner_uid=1000, epoch_boottime_ns=5, cycles=spent, instructions=instructions
        )
        machine.sections["process_counters"] = section("process_counters", machine.boottime_ns + SECOND, [counted])
        return machine.tick([process(1, cpu_time_ns=spent)]).get("alerts")

    assert tick(2.0) == []
    for _ in range(130):
        assert tick(2.0) is None
    tick(0.5)
    tick(0.5)
    began = tick(0.5)
    assert began is not None and kinds(began) == ["ipc_drop"]
    assert tick(0.5) is None
    del machine.sections["process_counters"]
    assert machine.tick([process(1)])["alerts"] == []
