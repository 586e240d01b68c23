"""What a daemon of an ordinary user counts, with and without a capability, by the level of perf_event_paranoid."""

import pytest

from tests.pmu.guest.findings import Growth, Rights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NOTHING = (None, None, None)


def told(growth: Growth) -> tuple[int | None, int | None, float | None]:
    """What the row had; all None where there was no row."""
    return growth.instructions, growth.cycles, growth.ipc


def is_counted(growth: Growth) -> bool:
    """Whether the row has the loop."""
    return growth.instructions is not None and abs(growth.instructions - growth.truth) <= 0.01 * growth.truth


@pytest.mark.parametrize("which", ["plain", "perfmon"])
def test_level_3_refuses_all_but_root_and_it_is_said(rights: Rights, which: str) -> None:
    right = getattr(rights, which)["3"]
    assert told(right.own) == told(right.root) == NOTHING
    assert right.source.state == "absent"
    assert "/proc/sys/kernel/perf_event_paranoid is 3" in right.source.reason
    assert "kernel.perf_event_paranoid=2" in right.source.fix


@pytest.mark.parametrize("level", ["2", "1"])
def test_with_the_capability_every_process_is_counted(rights: Rights, level: str) -> None:
    right = rights.perfmon[level]
    assert is_counted(right.own) and is_counted(right.root), right
    assert right.own_kernel_mode is True


@pytest.mark.parametrize("level", ["2", "1"])
def test_without_it_only_the_own_ones_are_and_it_is_said(rights: Rights, level: str) -> None:
    right = rights.plain[level]
    assert is_counted(right.own), right
    assert told(right.root) == NOTHING
    assert right.source.state == "degraded"
    assert "CAP_PERFMON" in str(right.source.reason)


def test_kernel_mode_takes_level_1_or_the_capability(rights: Rights) -> None:
    assert rights.plain["2"].own_kernel_mode is False
    assert rights.plain["1"].own_kernel_mode is True
    # what runs in user mode only is exact
    own = rights.plain["2"].own
    assert own.instructions is not None and abs(own.instructions - own.truth) < 1000, own
