"""Counters on the threads of a process: each once, whatever comes and goes meanwhile."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ztopd.collectors.perf.fake_kernel import FakeKernel
from tests.ztopd.collectors.perf.fake_machine import START_NS, Machine
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.perf.accumulate import Counts, Layout
from ztopd.collectors.perf.attached import TRIES, Attached, NoDescriptors
from ztopd.collectors.perf.events import Counting, groups
from ztopd.collectors.perf.pmus import Pmu
from ztopd.collectors.perf.probe import place_of, probe

PID = 500
AT_ONCE = 1 << 62
ONE_THREAD = 0
GROUPS = groups(Counting.HARDWARE, is_intel=True)
OLD_KERNEL, NEW_KERNEL = True, False


class Setting:
    """A process, a kernel, and counters that are about to be attached."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder)
        self.kernel = FakeKernel()
        self.descriptors = Descriptors(1000)
        self.counts: Counts | None = None

    def attach(self, *more_tids: int, is_old: bool = NEW_KERNEL, pmus: tuple[Pmu, ...] = ()) -> Attached:
        self.machine.start(PID, *more_tids)
        self.kernel.is_before_inherit_thread = is_old
        layout = Layout(probe(self.kernel, GROUPS, pmus))
        self.kernel.opened = 0
        self.counts = Counts(layout)
        owner_uid = os.stat(self.machine.proc / str(PID) / "stat").st_uid
        return Attached(self.kernel, layout, self.descriptors, str(self.machine.proc), PID, START_NS, owner_uid)

    def count(self, name: str) -> int | None:
        assert self.counts is not None
        return self.counts.cells[place_of(name)]

    def read(self, attached: Attached) -> bool:
        assert self.counts is not None
        return attached.read(self.counts)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    setting = Setting(tmp_path)
    yield setting
    # whatever happened: what is not counted as open is not open
    assert setting.descriptors.used == len(setting.kernel.open_descriptors)


def test_every_thread_is_attached(setting: Setting) -> None:
    attached = setting.attach(501, 502)
    attached.go_on(AT_ONCE)
    assert attached.is_complete
    assert setting.kernel.tids() == {PID, 501, 502}
    assert setting.descriptors.used == 24
    attached.close()
    assert setting.kernel.open_descriptors == {}


def test_what_they_count_is_added_up(setting: Setting) -> None:
    attached = setting.attach(501)
    attached.go_on(AT_ONCE)
    setting.read(attached)
    assert (setting.count("cycles"), setting.count("enabled_time_ns")) == (0, 0)
    setting.kernel.run(PID, 1000, h0=3000, h1=6000, h2=10, h3=1)
    setting.kernel.run(501, 1000, share=0.5, h0=1000, h1=500)
    assert setting.read(attached)
    assert (setting.count("cycles"), setting.count("instructions")) == (5000, 7000)
    assert (setting.count("llc_references"), setting.count("llc_misses")) == (10, 1)
    assert setting.count("cycles_time_ns") == 2000
    assert (setting.count("enabled_time_ns"), setting.count("running_time_ns")) == (8000, 6000)
    reads = setting.kernel.reads
    assert not setting.read(attached)
    assert setting.kernel.reads - reads == 8
    assert setting.count("cycles") == 5000
    attached.close()


def test_both_kinds_of_cores(setting: Setting) -> None:
    attached = setting.attach(pmus=(Pmu("cpu_core", 4), Pmu("cpu_atom", 10)))
    attached.go_on(AT_ONCE)
    assert setting.descriptors.used == 16
    setting.kernel.run(PID, 600, pmu_type=4, h0=1800)
    setting.kernel.run(PID, 400, pmu_type=10, h0=800)
    setting.read(attached)
    # on one kind of core the events of the other count nothing
    assert (setting.count("enabled_time_ns"), setting.count("running_time_ns")) == (4000, 4000)
    assert setting.count("cycles") == 1800 + 800
    attached.close()


@pytest.mark.parametrize("is_old", [OLD_KERNEL, NEW_KERNEL])
def test_a_few_threads_a_tick(setting: Setting, is_old: bool) -> None:
    attached = setting.attach(501, 502, is_old=is_old)
    for tids in ({PID}, {PID, 501}, {PID, 501, 502}):
        assert not attached.is_complete
        attached.go_on(ONE_THREAD)
        assert setting.kernel.tids() == tids
    assert attached.is_complete
    assert setting.kernel.opened == 24
    attached.close()


def test_a_thread_that_came_meanwhile_is_counted_once(setting: Setting) -> None:
    """Whether it inherited counters depends on who started it: all begin anew, and none is attached that may have."""
    attached = setting.attach(501)
    attached.go_on(ONE_THREAD)
    setting.machine.set_threads(PID, PID, 501, 502)
    attached.go_on(AT_ONCE)
    assert attached.is_complete
    assert setting.kernel.tids() == {PID, 501, 502}
    assert len(setting.kernel.open_descriptors) == 24
    attached.close()


def test_threads_that_come_faster_than_they_are_attached(setting: Setting) -> None:
    attached = setting.attach()
    for number in range(TRIES):
        tids = [PID, *range(501, 502 + number)]
        setting.machine.set_threads(PID, *tids)
        while setting.kernel.tids() < set(tids[:-1]):
            attached.go_on(ONE_THREAD)
    for _ in range(20):
        attached.go_on(AT_ONCE)
    assert attached.is_complete
    assert len(setting.kernel.open_descriptors) == 8 * len(setting.kernel.tids())
    attached.close()


def test_later_threads_inherit(setting: Setting) -> None:
    attached = setting.attach()
    attached.go_on(AT_ONCE)
    setting.machine.set_threads(PID, PID, 501)
    attached.look_for_threads()
    assert attached.is_complete
    assert setting.kernel.tids() == {PID}
    attached.close()


def test_on_old_kernels_later_threads_are_attached_by_themselves(setting: Setting) -> None:
    attached = setting.attach(501, is_old=OLD_KERNEL)
    attached.go_on(AT_ONCE)
    setting.kernel.run(501, 1000, h0=1000)
    setting.read(attached)
    setting.machine.set_threads(PID, PID, 502)
    attached.look_for_threads()
    assert setting.kernel.tids() == {PID}
    attached.go_on(AT_ONCE)
    assert attached.is_complete
    assert setting.kernel.tids() == {PID, 502}
    setting.kernel.run(502, 1000, h0=500)
    setting.read(attached)
    assert setting.count("cycles") == 1500
    attached.close()


def test_a_thread_that_ended_meanwhile(setting: Setting) -> None:
    attached = setting.attach(501, 502)
    setting.kernel.refused_tids[501] = errno.ESRCH
    attached.go_on(AT_ONCE)
    assert attached.is_complete
    assert setting.kernel.tids() == {PID, 502}
    attached.close()


def test_a_thread_id_that_is_another_process_s_by_now(setting: Setting) -> None:
    """It was listed and it can be opened, but it is not among the threads any more."""
    attached = setting.attach(501)

    setting.kernel.before_open = lambda: setting.machine.set_threads(PID, PID)
    attached.go_on(AT_ONCE)
    assert setting.kernel.tids() == {PID}
    attached.close()


@pytest.mark.parametrize("change", ["gone", "another life", "another owner", "unreadable"])
def test_what_is_not_the_same_process_any_more(setting: Setting, change: str) -> None:
    attached = setting.attach()
    stat = setting.machine.proc / str(PID) / "stat"
    if change == "gone":
        stat.unlink()
    elif change == "another life":
        stat.write_bytes(stat.read_bytes().replace(b" 100 ", b" 101 "))
    elif change == "another owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        os.chown(stat, 12345, -1)
    else:
        stat.write_bytes(b"nonsense")
    with pytest.raises(ProcessLookupError):
        attached.go_on(AT_ONCE)
    attached.close()


def test_a_process_without_a_folder(setting: Setting) -> None:
    attached = setting.attach()
    (setting.machine.proc / str(PID) / "task" / str(PID)).rmdir()
    (setting.machine.proc / str(PID) / "task").rmdir()
    with pytest.raises(ProcessLookupError):
        attached.go_on(AT_ONCE)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.ENOMEM, errno.EINVAL])
def test_errors_leave_nothing_open(setting: Setting, number: int) -> None:
    attached = setting.attach(501)
    setting.kernel.refused_tids[501] = number
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        attached.go_on(AT_ONCE)
    assert caught.value.errno == number
    attached.close()
    assert setting.kernel.open_descriptors == {}


def test_no_descriptors_are_left(setting: Setting) -> None:
    setting.descriptors.limit = 15
    attached = setting.attach(501)
    with pytest.raises(NoDescriptors):
        attached.go_on(AT_ONCE)
    attached.close()
    assert setting.descriptors.used == 0


def test_a_group_that_can_be_read_no_more(setting: Setting) -> None:
    attached = setting.attach()
    attached.go_on(AT_ONCE)
    setting.kernel.read_error = errno.ECHILD
    with pytest.raises(OSError, match=os.strerror(errno.ECHILD)):
        setting.read(attached)
    setting.kernel.read_error = None
    setting.kernel.is_at_end = True
    with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
        setting.read(attached)
    attached.close()


def test_readings_that_go_back_add_nothing(setting: Setting) -> None:
    attached = setting.attach()
    attached.go_on(AT_ONCE)
    setting.kernel.run(PID, 1000, h0=1000)
    setting.read(attached)
    for one in setting.kernel.open_descriptors.values():
        one.count = one.enabled_ns = one.running_ns = 0
    setting.read(attached)
    assert setting.count("cycles") == 1000
    setting.kernel.run(PID, 1000, h0=10)
    setting.read(attached)
    assert setting.count("cycles") == 1010
    attached.close()


def test_a_budget_within_a_budget() -> None:
    whole = Descriptors(10)
    part = Descriptors(4, whole)
    assert part.take(3)
    assert (part.left, whole.left, whole.used) == (1, 7, 3)
    assert not part.take(2)
    assert whole.take(7)
    assert part.left == 0
    assert not part.take()
    part.give_back(3)
    assert (part.used, whole.used) == (0, 7)
