"""The rule of the event ipc_drop, on series of made-up frames, and the rows of ``alerts``."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztopd.sampler.section_rows import SECOND, cells, process, row, section
from ztop_protocol.frame import Cell, Row, Section
from ztopd.sampler.ipc_drops import (
    FORGET_NS,
    FRAMES,
    MAX_FOLLOWED,
    USUAL_NS,
    WARM_UP_NS,
    Drop,
    DropDetector,
    DropWatch,
)

Frames = Iterable[tuple[float | None, float | None]]
CYCLES = 10**9
"""Of a second of CPU time."""


def begins(detector: DropDetector, frames: Frames, interval_ns: int = SECOND) -> list[int]:
    """The places in the series at which a drop begins."""
    found = []
    for place, (ipc, cpu) in enumerate(frames):
        before = detector.drop
        detector.take(interval_ns, ipc, cpu)
        if before is None and detector.drop is not None:
            found.append(place)
    return found


def warm(ipc: float = 2.0, cpu: float = 100.0) -> DropDetector:
    """A detector that has seen this for long enough."""
    detector = DropDetector()
    assert begins(detector, [(ipc, cpu)] * (WARM_UP_NS // SECOND)) == []
    return detector


def test_a_drop_begins_with_the_third_frame_below_half() -> None:
    detector = warm()
    assert begins(detector, [(0.99, 100.0)] * 10) == [FRAMES - 1]
    assert detector.drop == Drop(pytest.approx(0.99), pytest.approx(2.0), 100.0)  # type: ignore[arg-type]


def test_half_is_no_drop_and_two_frames_are_none() -> None:
    assert begins(warm(), [(1.0, 100.0)] * 10) == []
    assert begins(warm(), [(0.9, 100.0), (0.9, 100.0), (2.0, 100.0)] * 5) == []


@pytest.mark.parametrize(("cpu", "is_one"), [(76.0, True), (74.0, False), (124.0, True), (126.0, False)])
def test_only_where_the_cpu_time_stays(cpu: float, is_one: bool) -> None:
    assert bool(begins(warm(), [(0.5, cpu)] * 3)) is is_one


def test_none_before_there_is_a_mean() -> None:
    series = [(2.0, 100.0)] * (WARM_UP_NS // SECOND - 1) + [(0.5, 100.0)] * 4
    # the first of them is needed for the mean
    assert begins(DropDetector(), series) == [len(series) - 1]
    assert begins(DropDetector(), series[:-1]) == []
    # so many seconds, and not so many frames
    long = [(2.0, 100.0)] * (WARM_UP_NS // (10 * SECOND)) + [(0.5, 100.0)] * 5
    assert begins(DropDetector(), long, 10 * SECOND) == [WARM_UP_NS // (10 * SECOND) + FRAMES - 1]


def test_it_is_told_once_however_long_it_wavers() -> None:
    # above half of the mean, and not yet halfway back
    assert begins(warm(), [(0.5, 100.0), (1.4, 100.0)] * 30) == []
    assert begins(warm(), [(0.5, 100.0)] * 3 + [(0.9, 100.0), (1.4, 100.0)] * 30) == [2]


def test_it_is_over_after_three_frames_and_may_begin_again() -> None:
    detector = warm()
    low, back = [(0.5, 100.0)] * 3, [(1.6, 100.0)] * 3
    assert begins(detector, low) == [2]
    assert begins(detector, back[:2] + low[:1] + back[:2]) == []
    assert detector.drop is not None
    assert begins(detector, back) == []
    assert detector.drop is None
    assert begins(detector, low) == [2]


def test_it_is_over_when_the_process_stops_or_does_something_else() -> None:
    for after in ((None, 0.0), (0.5, 30.0), (None, None)):
        detector = warm()
        begins(detector, [(0.5, 100.0)] * 3)
        begins(detector, [after] * 3)
        assert detector.drop is None


def test_what_lasts_is_usual() -> None:
    detector = warm()
    assert begins(detector, [(0.5, 100.0)] * (3 + USUAL_NS // SECOND - 1)) == [2]
    assert detector.drop is not None
    assert begins(detector, [(0.5, 100.0)] * 1000) == []
    assert detector.drop is None


def test_the_mean_forgets() -> None:
    # ten minutes of 0.9 are what is usual after an hour of 2
    detector = DropDetector()
    begins(detector, [(2.0, 100.0)] * 3600)
    begins(detector, [(1.1, 100.0)] * 600)
    assert begins(detector, [(0.9, 100.0)] * 10) == []
    assert begins(detector, [(0.5, 100.0)] * 3) == [2]


def test_what_hardly_works_is_not_compared() -> None:
    assert begins(DropDetector(), [(2.0, 5.0)] * 200 + [(0.1, 5.0)] * 10) == []
    assert begins(warm(), [(0.1, 5.0)] * 10) == []


NUMBERS = st.none() | st.floats(0, 8)


@given(
    st.lists(st.tuples(NUMBERS, st.none() | st.floats(0, 6400)), max_size=400), st.sampled_from((SECOND, 60 * SECOND))
)
def test_whatever_comes_a_drop_is_below_half_of_what_is_usual(
    series: list[tuple[float, float]], interval_ns: int
) -> None:
    detector = DropDetector()
    for ipc, cpu in series:
        detector.take(interval_ns, ipc, cpu)
        if detector.drop is not None:
            assert detector.drop.ipc < detector.drop.usual_ipc / 2


class Machine:
    """Processes that each use a whole core; their instructions per cycle are what a test says."""

    def __init__(self, owners: dict[int, int]) -> None:
        self.owners = owners
        self.watch = DropWatch()
        self.now_ns = 100 * SECOND
        self.epochs = dict.fromkeys(owners, SECOND)
        self.spent_ns = dict.fromkeys(owners, 0)
        self.instructions = dict.fromkeys(owners, 0)

    def tick(self, **ipc: float) -> list[dict[str, Cell]] | None:
        """A second later; ``p7=0.5``: process 7 made so many instructions per cycle. Who is not named rested."""
        self.now_ns += SECOND
        for name, value in ipc.items():
            pid = int(name.removeprefix("p"))
            self.spent_ns[pid] += SECOND
            self.instructions[pid] += round(value * CYCLES)
        found = self.watch.take(self.counters(), self.processes())
        return None if found is None else [cells("alerts", one) for one in found]

    def counters(self) -> Section:
        return section("process_counters", self.now_ns, [self._counted(pid) for pid in self.owners])

    def processes(self) -> Section:
        rows = [process(pid, cpu_time_ns=self.spent_ns[pid], comm=f"task{pid}") for pid in self.owners]
        return section("processes", self.now_ns, rows)

    def _counted(self, pid: int) -> Row:
        spent = self.spent_ns[pid]
        return row(
            "process_counters", pid, SECOND, owner_uid=self.owners[pid], epoch_boottime_ns=self.epochs[pid],
            kernel_mode=True, cycles=spent, cycles_time_ns=spent, instructions=self.instructions[pid],
            enabled_time_ns=spent, running_time_ns=spent,
        )  # fmt: skip


def test_the_row_of_a_drop_stays_for_as_long_as_it_lasts() -> None:
    machine = Machine({7: 1000, 8: 0})
    for _ in range(130):
        assert machine.tick(p7=2.0, p8=0.5) == []
    assert machine.tick(p7=0.5, p8=0.5) == machine.tick(p7=0.5, p8=0.5) == []
    began = machine.tick(p7=0.5, p8=0.5)
    assert began is not None
    assert began == [
        {
            "pid": 7, "start_boottime_ns": SECOND, "kind": "ipc_drop", "owner_uid": 1000, "comm": "task7",
            "since_boottime_ns": machine.now_ns, "value": pytest.approx(0.5), "usual_value": pytest.approx(2.0),
            "detail": "pid 7 (task7) made 0.50 instructions per cycle, usually 2.00, at 100 % of a core as before",
        }
    ]  # fmt: skip
    # whatever it does meanwhile, the row is the same
    assert machine.tick(p7=0.6, p8=0.5) == began
    for _ in range(2):
        assert machine.tick(p7=2.0, p8=0.5) != []
    assert machine.tick(p7=2.0, p8=0.5) == []


def test_another_owner_has_another_past() -> None:
    machine = Machine({7: 1000})
    for _ in range(130):
        machine.tick(p7=2.0)
    machine.owners[7], machine.epochs[7] = 0, machine.now_ns
    machine.instructions[7] = 0
    for _ in range(20):
        assert machine.tick(p7=0.5) == []


def test_a_drop_ends_with_its_owner_whatever_the_next_one_does() -> None:
    machine = Machine({7: 1000})
    for _ in range(130):
        machine.tick(p7=2.0)
    for _ in range(3):
        rows = machine.tick(p7=0.5)
    assert rows
    machine.owners[7], machine.epochs[7] = 0, machine.now_ns
    assert machine.tick() == []


def test_who_ends_or_rests_for_long_is_forgotten() -> None:
    machine = Machine({7: 0, 8: 0})
    for _ in range(130):
        machine.tick(p7=2.0, p8=2.0)
    for _ in range(3):
        machine.tick(p7=0.5, p8=0.5)
    del machine.owners[7]
    rows = machine.tick(p8=0.5)
    assert rows is not None and [one["pid"] for one in rows] == [8]
    for _ in range(FORGET_NS // SECOND + 1):
        machine.tick()
    for _ in range(10):
        assert machine.tick(p8=0.5) == []


def test_sleep_begins_anew_and_so_does_a_machine_that_lost_its_counters() -> None:
    machine = Machine({7: 0})
    for _ in range(130):
        machine.tick(p7=2.0)
    machine.watch.begin_anew()
    for _ in range(10):
        assert machine.tick(p7=0.5) == []
    assert machine.watch.take(None, machine.processes()) == []
    assert machine.watch.take(None, machine.processes()) is None
    assert machine.watch.take(machine.counters(), machine.processes()) == []


def test_nothing_is_said_where_nothing_was_sampled() -> None:
    machine = Machine({7: 0})
    machine.tick(p7=1.0)
    same = machine.counters()
    assert machine.watch.take(same, machine.processes()) == []
    assert machine.watch.take(same, machine.processes()) is None
    assert DropWatch().take(None, None) is None


def test_only_so_many_are_followed() -> None:
    machine = Machine(dict.fromkeys(range(1, MAX_FOLLOWED + 3), 0))
    everyone = {f"p{pid}": 2.0 for pid in machine.owners}
    machine.tick()
    machine.tick(**everyone)
    assert len(machine.watch._followed) == MAX_FOLLOWED
    del machine.owners[1]
    everyone.pop("p1")
    machine.tick(**everyone)
    machine.tick(**everyone)
    assert len(machine.watch._followed) == MAX_FOLLOWED
    assert (MAX_FOLLOWED + 1, SECOND) in machine.watch._followed
