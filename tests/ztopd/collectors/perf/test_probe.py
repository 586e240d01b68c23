"""What can be counted, as kernels and machines of many kinds answer."""

import errno

import pytest

from tests.ztopd.collectors.perf.fake_kernel import FakeKernel, named_events, unpacked
from ztopd.collectors.perf.events import Counting, groups
from ztopd.collectors.perf.pmus import Pmu
from ztopd.collectors.perf.probe import Countable, Uncountable, place_of, probe

HARDWARE = groups(Counting.HARDWARE, is_intel=False)
ONE = (Pmu("cpu", 4),)
HYBRID = (Pmu("cpu_core", 4), Pmu("cpu_atom", 10))
L1D_MISSES = (3, 1 << 16)
EVERY_COLUMN = {
    *("cycles", "instructions", "llc_references", "llc_misses"),
    *("l1d_loads", "l1d_misses", "branches", "branch_misses"),
}


def counted(found: Countable) -> set[str]:
    return {name for name in EVERY_COLUMN if any(place_of(name) in group.places for group in found.groups)}


def test_everything_is_there() -> None:
    kernel = FakeKernel()
    found = probe(kernel, HARDWARE, ONE)
    assert found.kernel_mode
    assert found.inherits
    assert found.lacking == ()
    assert counted(found) == EVERY_COLUMN
    assert found.descriptors == 8
    assert kernel.open_descriptors == {}
    assert found == probe(FakeKernel(), HARDWARE, ONE)
    # with one PMU an event need not name it, and kernels before 5.13 would not take the name
    assert {unpacked(one).pmu_type for group in found.groups for pmu in group.attributes for one in pmu} == {0}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_user_mode_alone(number: int) -> None:
    found = probe(FakeKernel(refuses_kernel_mode=number), HARDWARE, ONE)
    assert not found.kernel_mode
    assert counted(found) == EVERY_COLUMN
    assert not any(unpacked(one).kernel_mode for group in found.groups for pmu in group.attributes for one in pmu)


def test_before_inherit_thread() -> None:
    found = probe(FakeKernel(is_before_inherit_thread=True), HARDWARE, ONE)
    assert not found.inherits
    assert not any(unpacked(one).inherits for group in found.groups for pmu in group.attributes for one in pmu)


ERRORS = (
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENXIO, errno.EINVAL),
    *(errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOSYS, errno.E2BIG, errno.ENOSPC, errno.ENOMEM, errno.EFAULT),
)


@pytest.mark.parametrize("number", ERRORS, ids=[errno.errorcode[number] for number in ERRORS])
def test_nothing_can_be_counted(number: int) -> None:
    kernel = FakeKernel(refuses_all=number)
    with pytest.raises(Uncountable) as caught:
        probe(kernel, HARDWARE, ONE)
    assert caught.value.error.errno == number
    assert kernel.open_descriptors == {}


def test_no_pmu_is_not_taken_for_a_refusal() -> None:
    """Rights are looked at before events: without any PMU the user hears of rights first."""
    no_events = {(event.type, event.config): errno.ENOENT for group in HARDWARE for event in group.events}
    with pytest.raises(Uncountable) as caught:
        probe(FakeKernel(refuses_kernel_mode=errno.EACCES, refused=no_events), HARDWARE, ONE)
    assert caught.value.error.errno == errno.ENOENT


def test_an_event_that_the_machine_lacks_is_left_out_alone() -> None:
    found = probe(FakeKernel(refused={L1D_MISSES: errno.ENOENT, (0, 5): errno.EINVAL}), HARDWARE, ONE)
    assert counted(found) == EVERY_COLUMN - {"l1d_misses", "branch_misses"}
    assert found.lacking == ("l1d_misses (ENOENT)", "branch_misses (EINVAL)")


def test_a_leader_that_the_machine_lacks() -> None:
    found = probe(FakeKernel(refused={(0, 0): errno.ENOENT}), HARDWARE, ONE)
    assert counted(found) == EVERY_COLUMN - {"cycles"}
    assert found.lacking == ("cycles (ENOENT)",)


def test_a_group_that_the_machine_lacks() -> None:
    no_cache = {(3, config): errno.EOPNOTSUPP for config in (0, 1 << 16, 2, 2 | 1 << 16)}
    found = probe(FakeKernel(refused=no_cache), HARDWARE, ONE)
    assert len(found.groups) == 2
    assert counted(found) == {"cycles", "instructions", "branches", "branch_misses"}


def test_a_set_for_each_kind_of_core() -> None:
    found = probe(FakeKernel(), HARDWARE, HYBRID)
    assert found.descriptors == 16
    for group in found.groups:
        assert [[unpacked(one).pmu_type for one in pmu] for pmu in group.attributes] == [[4, 4], [10, 10]]


def test_what_one_kind_of_core_lacks_is_counted_on_the_other() -> None:
    found = probe(FakeKernel(refused_on={(10, *L1D_MISSES): errno.ENOENT}), HARDWARE, HYBRID)
    assert found.lacking == ("l1d_misses on cpu_atom (ENOENT)",)
    l1d = next(group for group in found.groups if place_of("l1d_loads") in group.places)
    assert place_of("l1d_misses") in l1d.places
    assert [[unpacked(one).pmu_type for one in pmu] for pmu in l1d.attributes] == [[4, 4]]
    assert counted(found) == EVERY_COLUMN


def test_a_kernel_that_lets_no_event_name_its_pmu() -> None:
    found = probe(FakeKernel(refused_on=named_events(4, 10)), HARDWARE, HYBRID)
    assert found.unnamed_pmus == ("cpu_core", "cpu_atom")
    assert counted(found) == EVERY_COLUMN
    assert {unpacked(one).pmu_type for group in found.groups for pmu in group.attributes for one in pmu} == {0}
    # where one of them can be named, it is
    found = probe(FakeKernel(refused_on=named_events(4)), HARDWARE, HYBRID)
    assert found.unnamed_pmus == ()
    assert {unpacked(one).pmu_type for group in found.groups for pmu in group.attributes for one in pmu} == {10}


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_several_pmus_and_nothing_can_be_counted(number: int) -> None:
    with pytest.raises(Uncountable) as caught:
        probe(FakeKernel(refuses_all=number), HARDWARE, HYBRID)
    assert caught.value.error.errno == number


def test_software_events_know_no_pmu() -> None:
    found = probe(FakeKernel(), groups(Counting.SOFTWARE, is_intel=True), HYBRID)
    assert {unpacked(one)[:3:2] for group in found.groups for pmu in group.attributes for one in pmu} == {(1, 0)}
    assert found.descriptors == 8
