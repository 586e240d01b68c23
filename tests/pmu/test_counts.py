"""ztopd on a machine that counts: known loops come out as they are, wherever they run, and as perf has them."""

import pytest

from tests.pmu.guest.findings import Counts, Growth

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = (
    "child",
    "main_thread",
    "early_thread",
    "later_thread",
    "forked",
    "after_exec",
    "beside_perf",
    "another_owners",
)


def near(value: float | None, truth: float, tolerance: float = 0.01) -> bool:
    """Whether there is a value that is off by at most that share of the truth."""
    return value is not None and abs(value - truth) <= tolerance * truth


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_loop_is_counted(counts: Counts, kind: str, shift: int) -> None:
    grown: Growth = getattr(counts, kind)
    assert near(grown.instructions, grown.truth), grown
    assert near(grown.cycles, grown.truth * 2**shift), grown
    # an instruction takes so many cycles there, whatever it is
    assert near(grown.ipc, 1 / 2**shift), grown


@pytest.mark.parametrize("kind", KINDS)
def test_where_counters_suffice_all_of_the_time_is_measured(counts: Counts, kind: str) -> None:
    grown: Growth = getattr(counts, kind)
    assert grown.enabled_time_ns and grown.running_time_ns == grown.enabled_time_ns, grown


def test_a_childs_counts_do_not_go_to_its_parent(counts: Counts) -> None:
    parent = counts.parent_meanwhile
    assert parent.truth >= counts.forked.truth
    assert parent.instructions is not None and parent.instructions < 0.05 * parent.truth, parent


def test_a_new_owner_gets_nothing_of_what_was_counted_before(counts: Counts) -> None:
    assert counts.another_owners.truth < counts.another_owners_total < 1.02 * counts.another_owners_truth


def test_perf_counts_the_same(counts: Counts) -> None:
    assert near(counts.perf_instructions, counts.beside_perf.truth)
    assert near(counts.beside_perf.instructions, counts.perf_instructions)
    assert near(counts.beside_perf.cycles, counts.perf_cycles)


def test_with_too_few_counters_what_was_measured_is_scaled(counts: Counts, shift: int) -> None:
    for grown in counts.contended:
        assert grown.enabled_time_ns and grown.cycles_time_ns and grown.running_time_ns
        assert grown.running_time_ns < 0.9 * grown.enabled_time_ns
        # a piece in which they were never running is left out of the counts and of the time that they stand for
        assert grown.instructions is not None
        assert near(grown.instructions * grown.enabled_time_ns / grown.cycles_time_ns, grown.truth, 0.05), grown
        assert near(grown.ipc, 1 / 2**shift, 0.05), grown


def test_events_that_the_machine_lacks_are_absent_and_said_to_be(counts: Counts) -> None:
    events = {"llc_references", "llc_misses", "l1d_loads", "l1d_misses", "branches", "branch_misses"}
    assert set(counts.absent) == events | {"llc_time_ns"}
    assert counts.source.state == "ok"
    assert counts.source.reason is not None
    assert all(f"{event} (ENOENT)" in counts.source.reason for event in events), counts.source


def test_counters_are_the_owners(counts: Counts) -> None:
    assert {counts.roots_pid, counts.strangers_pid} <= set(counts.root_sees)
    assert counts.stranger_sees == [counts.strangers_pid]
