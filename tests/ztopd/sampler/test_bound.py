"""The bound: synthetic machines that cost what they cost, and how often they are sampled."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztop_protocol.schema import SourceState
from ztopd.sampler import own
from ztopd.sampler.bound import BACK_SHARE, MOST_SECONDS, Bound, Spent

MILLISECOND = 1_000_000


class Machine:
    """Ticks that cost CPU time, on a clock of its own."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.now = 1000.0
        self.spent = Spent(0, 0, 0)
        self.changes: list[float] = []

    def run(self, seconds: float, *, tick_ms: float, server_ms: float = 0, reader_ms: float = 0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.spent = Spent(
                self.spent.sampler_ns + round(tick_ms * MILLISECOND),
                self.spent.reader_ns + round(reader_ms * MILLISECOND),
                self.spent.server_ns + round(server_ms * MILLISECOND),
            )
            if self.bound.ticked(self.now, self.spent):
                self.changes.append(self.bound.interval_seconds)
            # a tick that takes longer than the interval has the next ones skipped
            ticks = max(1, -(-tick_ms // (1000 * self.bound.interval_seconds)))
            self.now += ticks * self.bound.interval_seconds


def test_under_the_share_nothing_changes() -> None:
    machine = Machine(Bound(1.0, 20))
    machine.run(600, tick_ms=190)
    assert machine.changes == [] and machine.bound.problem() is None


def test_over_the_share_the_interval_is_doubled_until_it_holds_and_no_further() -> None:
    machine = Machine(Bound(1.0, 20))
    machine.run(600, tick_ms=500)
    assert machine.changes == [2.0, 4.0]
    problem = machine.bound.problem()
    assert problem is not None and problem.state is SourceState.DEGRADED
    assert problem.reason == (
        "a frame every 4 s, not every 1 s: sampling may take 20 % of a core, and took 25.0 % when that was changed last"
    )


def test_what_costs_less_again_is_sampled_as_often_as_it_was_set() -> None:
    machine = Machine(Bound(0.5, 20))
    machine.run(300, tick_ms=300)
    assert machine.changes == [1.0, 2.0]
    machine.run(600, tick_ms=10)
    assert machine.changes == [1.0, 2.0, 1.0, 0.5]
    assert machine.bound.problem() is None


def test_a_machine_that_cannot_be_sampled_within_the_share_is_sampled_at_the_longest_interval() -> None:
    machine = Machine(Bound(1.0, 20))
    machine.run(4000, tick_ms=30_000)
    assert machine.changes == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert machine.bound.interval_seconds <= MOST_SECONDS
    slow = Machine(Bound(60.0, 20))
    slow.run(4000, tick_ms=30_000)
    assert slow.changes == []


def test_one_dear_tick_among_cheap_ones_does_nothing() -> None:
    machine = Machine(Bound(1.0, 20))
    machine.run(100, tick_ms=20)
    machine.run(1, tick_ms=900)
    machine.run(100, tick_ms=20)
    assert machine.changes == []


def test_the_server_counts_no_more_than_sampling_whatever_it_is_asked() -> None:
    machine = Machine(Bound(1.0, 20))
    machine.run(600, tick_ms=90, server_ms=900)
    assert machine.changes == []
    machine.run(600, tick_ms=110, server_ms=900)
    assert machine.changes == [2.0]


def test_the_reader_counts_and_a_process_that_was_started_anew_counts_nothing_once() -> None:
    machine = Machine(Bound(1.0, 20))
    machine.run(60, tick_ms=150, reader_ms=100)
    assert machine.changes == [2.0]
    before, after = Spent(100, 5_000, 9_000), Spent(150, 10, 20)
    assert after.since(before) == 50


@settings(deadline=None, max_examples=30)
@given(st.floats(0.5, 60), st.floats(0.5, 100), st.lists(st.floats(0, 5000), min_size=1, max_size=4))
def test_it_comes_to_rest_within_its_limits(usual: float, most_percent: float, costs: list[float]) -> None:
    machine = Machine(Bound(usual, most_percent))
    for cost in costs:
        machine.run(1500, tick_ms=cost)
        interval = machine.bound.interval_seconds
        assert usual <= interval <= max(usual, MOST_SECONDS)
        settled = len(machine.changes)
        machine.run(500, tick_ms=cost)
        assert len(machine.changes) == settled
        # by the time from one tick to the next, skipped ones included
        percent = cost / 10 / (interval * max(1, -(-cost // (1000 * interval))))
        assert percent <= most_percent * 1.1 or interval * 2 > MOST_SECONDS
        assert percent >= BACK_SHARE * most_percent * 0.9 or interval == usual


def test_the_kernel_says_what_a_process_costs() -> None:
    working = subprocess.Popen([sys.executable, "-c", "print(sum(range(3_000_000))); input()"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)  # fmt: skip
    assert working.stdout is not None and working.stdout.readline()
    try:
        spent = own.cpu_time_ns(working.pid)
        assert spent is not None and spent > MILLISECOND
        again = own.cpu_time_ns(working.pid)
        assert again is not None and again >= spent
        rss = own.rss_bytes(working.pid)
        assert rss is not None and rss > 1 << 20
    finally:
        working.communicate(b"\n")
    assert own.cpu_time_ns(working.pid) is None
    assert own.rss_bytes(working.pid) is None


def test_ones_own_cost_is_that_of_all_threads() -> None:
    spent = own.cpu_time_ns(os.getpid())
    assert spent is not None and spent == pytest.approx(sum(os.times()[:2]) * 1e9, abs=5e8)
