"""The collector: who gets counters and when, within which budgets, and whose the counts are."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ztopd.collectors.perf.fake_kernel import named_events
from tests.ztopd.collectors.perf.setting import SECOND, Setting
from ztop_protocol.schema import SourceState
from ztopd.collectors.perf import process_counters as module
from ztopd.collectors.perf.events import Counting
from ztopd.collectors.perf.process_counters import BUSY_NS, IDLE_NS, MAX_DESCRIPTORS
from ztopd.collectors.source import Sample, Withheld

PF_KTHREAD = 0x00200000


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    setting = Setting(tmp_path)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: setting.now_ns)
    yield setting
    setting.collector.close()
    assert setting.kernel.open_descriptors == {}
    assert setting.descriptors.used == 0


def test_who_runs_twice_in_a_row_gets_counters(setting: Setting) -> None:
    steady, seldom = setting.machine.start(500), setting.machine.start(600)
    setting.tick(steady, seldom)
    assert setting.kernel.tids() == set()
    setting.tick(steady)
    assert setting.kernel.tids() == {500}
    setting.tick(steady, seldom)
    assert setting.kernel.tids() == {500}
    assert setting.keys() == {steady.key}
    assert setting.reason() is None


def test_who_ran_long_gets_them_at_once(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.tick(process)
    setting.tick()
    setting.tick(process, cpu_ns=BUSY_NS - 1)
    assert setting.kernel.tids() == set()
    setting.tick()
    setting.tick(process, cpu_ns=BUSY_NS)
    assert setting.kernel.tids() == {500}


def test_a_newborn_counts_from_its_birth(setting: Setting) -> None:
    setting.tick()
    process = setting.machine.start(500, start_ticks=(setting.now_ns + 1) * 100 // SECOND + 1)
    setting.tick(process, cpu_ns=BUSY_NS)
    assert setting.kernel.tids() == {500}


def test_the_rows(setting: Setting, assert_follows_schema: Callable[[Sample], None]) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    assert setting.cell(process, "cycles") == 0
    setting.kernel.run(500, SECOND, h0=3000, h1=1500, h4=200, h5=10)
    setting.tick(process)
    assert setting.sample is not None
    assert_follows_schema(setting.sample)
    assert setting.cell(process, "cycles") == 3000
    assert setting.cell(process, "instructions") == 1500
    assert setting.cell(process, "branch_misses") == 10
    assert setting.cell(process, "cycles_time_ns") == SECOND
    assert setting.cell(process, "owner_uid") == process.owner_uid
    assert setting.cell(process, "kernel_mode") is True
    assert setting.cell(process, "epoch_boottime_ns") == setting.now_ns - SECOND
    row = setting.sample.sections["process_counters"][process.key]
    reads = setting.kernel.reads
    setting.tick()
    # what did not run is not even read
    assert setting.kernel.reads == reads
    assert setting.sample.sections["process_counters"][process.key] is row


def test_the_idle_lose_them_and_keep_their_counts(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000)
    setting.tick(process)
    setting.tick(seconds=IDLE_NS / SECOND)
    assert setting.kernel.tids() == {500}
    setting.tick()
    assert setting.kernel.tids() == set()
    assert setting.cell(process, "cycles") == 3000
    epoch = setting.cell(process, "epoch_boottime_ns")
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=10)
    setting.tick(process)
    assert setting.cell(process, "cycles") == 3010
    assert setting.cell(process, "epoch_boottime_ns") == epoch


def test_what_ends_leaves_nothing(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    setting.machine.end(process)
    setting.tick()
    assert setting.kernel.open_descriptors == {}
    assert setting.keys() == set()


def test_the_next_life_of_a_pid_begins_at_zero(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000)
    setting.tick(process)
    setting.machine.end(process)
    again = setting.machine.start(500, start_ticks=200)
    setting.tick(again)
    setting.tick(again)
    assert setting.keys() == {again.key}
    assert setting.cell(again, "cycles") == 0


def test_another_owner_is_another_epoch(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000)
    setting.tick(process)
    epoch = setting.cell(process, "epoch_boottime_ns")
    setting.kernel.run(500, SECOND, h0=777)
    # the file says so before the scan does
    owner = process.owner_uid
    process.owner_uid = owner + 1
    setting.tick(process)
    assert setting.keys() == set()
    process.owner_uid = owner
    setting.tick(process)
    setting.tick(process)
    assert setting.cell(process, "cycles") == 0
    assert setting.cell(process, "epoch_boottime_ns") not in (None, epoch)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_was_read_while_the_owner_changed_is_nobody_s(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000)
    os.chown(setting.machine.proc / "500" / "stat", 12345, -1)
    setting.tick(process)
    assert setting.keys() == set()
    assert setting.kernel.tids() == set()


def test_a_tick_opens_for_so_long_and_leaves_the_rest_to_the_next(setting: Setting) -> None:
    setting.open_ns = 0
    processes = [setting.machine.start(pid) for pid in range(500, 504)]
    setting.tick(*processes)
    setting.tick(*processes)
    assert setting.kernel.tids() == set()


def test_who_waits_long_is_told_of_and_only_while_it_wants_counters(setting: Setting) -> None:
    setting.open_ns = 0
    process = setting.machine.start(500)
    for _ in range(22):
        setting.tick(process)
    assert setting.reason() is None
    setting.tick(process)
    assert setting.reason() == "1 busy processes still wait for counters: each tick attaches a few"
    setting.tick(seconds=60)
    assert setting.reason() is None
    # it waits anew, not since long ago
    setting.tick(process)
    setting.tick(process)
    assert setting.reason() is None


def test_the_busiest_come_first(setting: Setting) -> None:
    setting.descriptors.limit = 64
    small, large = setting.machine.start(500), setting.machine.start(600)
    third = setting.machine.start(700)
    setting.tick(small, large, third)
    setting.machine.tick([large], 5 * BUSY_NS)
    setting.tick(small, large, third)
    assert setting.kernel.tids() == {600, 500}
    assert setting.reason() == "1 busy processes are left out: 16 descriptors for counters do not suffice"
    assert setting.sample is not None
    assert setting.sample.problem is not None
    assert setting.sample.problem.state is SourceState.DEGRADED


def test_who_rests_gives_way(setting: Setting) -> None:
    setting.descriptors.limit = 64
    first, second, third = (setting.machine.start(pid) for pid in (500, 600, 700))
    setting.attach(first, second)
    for _ in range(5):
        setting.tick(second, third)
    assert setting.kernel.tids() == {600, 700}
    assert setting.keys() == {first.key, second.key, third.key}
    assert setting.reason() is None


def test_nobody_gives_way_to_what_would_not_fit_anyway(setting: Setting) -> None:
    setting.descriptors.limit = 64
    resting, huge = setting.machine.start(500), setting.machine.start(600, 601, 602)
    setting.attach(resting)
    for _ in range(5):
        setting.tick(huge)
    assert setting.kernel.tids() == {500}
    assert setting.reason() == "1 busy processes are left out: 16 descriptors for counters do not suffice"


def test_never_more_than_so_many(setting: Setting) -> None:
    setting.descriptors.limit = 1 << 30
    huge = setting.machine.start(500)
    huge.stat = huge.stat._replace(threads=MAX_DESCRIPTORS)
    setting.tick(huge)
    setting.tick(huge)
    assert setting.kernel.tids() == set()
    assert setting.reason() is not None


def test_threads_of_the_kernel(setting: Setting) -> None:
    thread = setting.machine.start(2, flags=PF_KTHREAD)
    setting.kernel.refuses_kernel_mode = errno.EACCES
    setting.tick(thread)
    setting.tick(thread)
    assert setting.kernel.tids() == set()


def test_with_kernel_mode_they_are_counted_too(setting: Setting) -> None:
    setting.attach(setting.machine.start(2, flags=PF_KTHREAD))


def test_what_is_refused_is_not_asked_for_again_soon(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.kernel.refused_tids[500] = errno.EACCES
    for _ in range(3):
        setting.tick(process)
    assert setting.keys() == set()
    assert "1 processes of other users" in (setting.reason() or "") or "even with CAP_PERFMON" in (
        setting.reason() or ""
    )
    setting.kernel.refused_tids.clear()
    setting.tick(process)
    assert setting.kernel.tids() == set()
    # but when it is another's, and in a few minutes anyway
    setting.tick(process, seconds=module.PROBE_NS / SECOND)
    assert setting.kernel.tids() == {500}
    assert setting.reason() is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.ENOMEM, errno.EINVAL, errno.ENOENT])
def test_what_fails_is_said_and_tried_again(setting: Setting, number: int) -> None:
    process = setting.machine.start(500)
    setting.kernel.refused_tids[500] = number
    for _ in range(3):
        setting.tick(process)
    assert setting.reason() == (f"the counters of 1 processes fail: {os.strerror(number)} ({errno.errorcode[number]})")
    assert setting.sample is not None and setting.sample.problem is not None
    assert ("LimitNOFILE" in (setting.sample.problem.fix or "")) == (number in (errno.EMFILE, errno.ENFILE))
    setting.kernel.refused_tids.clear()
    setting.tick(process, seconds=module.RETRY_NS / SECOND)
    setting.tick(process)
    assert setting.kernel.tids() == {500}
    assert setting.reason() is None


def test_counters_that_can_be_read_no_more(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.read_error = errno.ECHILD
    setting.tick(process)
    assert setting.kernel.tids() == set()
    assert "No child processes (ECHILD)" in (setting.reason() or "")


def test_counters_that_the_kernel_ended_are_attached_anew(setting: Setting) -> None:
    """As at the execution of a program that changes its user: the process goes on, the counts do not."""
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000)
    setting.tick(process, cpu_ns=SECOND)
    before = set(setting.kernel.open_descriptors)
    for _ in range(31):
        setting.tick(process, cpu_ns=SECOND)
    assert setting.kernel.tids() == {500}
    assert not before & set(setting.kernel.open_descriptors)
    assert setting.cell(process, "cycles") == 3000


def test_threads_that_nobody_counts_are_found_in_time(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    before = set(setting.kernel.open_descriptors)
    for _ in range(20):
        setting.kernel.run(500, SECOND // 2, h0=3000)
        setting.tick(process, cpu_ns=SECOND)
        assert before == set(setting.kernel.open_descriptors)
    for _ in range(15):
        setting.kernel.run(500, SECOND // 2, h0=3000)
        setting.tick(process, cpu_ns=SECOND)
    assert setting.kernel.tids() == {500}
    assert not before & set(setting.kernel.open_descriptors)


def test_without_a_pmu_nothing_more_is_tried(setting: Setting) -> None:
    setting.kernel.refuses_all = errno.ENOENT
    process = setting.machine.start(500)
    for _ in range(100):
        with pytest.raises(Withheld) as caught:
            setting.tick(process)
        setting.kernel.refuses_all = errno.EFAULT
    assert caught.value.problem.state is SourceState.ABSENT
    assert "no PMU" in caught.value.problem.reason


def test_a_pmu_that_comes_later_is_found(setting: Setting) -> None:
    setting.kernel.refuses_all = errno.EACCES
    process = setting.machine.start(500)
    with pytest.raises(Withheld):
        setting.tick(process)
    setting.kernel.refuses_all = None
    setting.tick(process, seconds=module.PROBE_NS / SECOND)
    setting.tick(process)
    assert setting.kernel.tids() == {500}


def test_counts_of_another_manner_are_not_gone_on_with(setting: Setting) -> None:
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000)
    setting.tick(process)
    setting.kernel.refuses_kernel_mode = errno.EACCES
    setting.tick(process, seconds=module.PROBE_NS / SECOND)
    assert setting.keys() == set()
    setting.tick(process)
    assert setting.cell(process, "kernel_mode") is False
    assert setting.cell(process, "cycles") == 0
    assert "user mode alone" in (setting.reason() or "")


def test_events_that_the_machine_lacks_are_said_and_no_fault(setting: Setting) -> None:
    setting.kernel.refused = {(3, 0): errno.ENOENT, (3, 1 << 16): errno.ENOENT}
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000)
    setting.tick(process)
    assert setting.cell(process, "l1d_loads") is None
    assert setting.cell(process, "cycles") == 3000
    assert setting.sample is not None
    assert setting.sample.problem is not None
    assert setting.sample.problem.state is SourceState.OK
    assert setting.reason() == "this machine does not count l1d_loads (ENOENT), l1d_misses (ENOENT)"


def test_a_kernel_that_counts_one_kind_of_cores_alone_is_said_to(setting: Setting) -> None:
    names = {"armv8_cortex_a55": 9, "armv8_cortex_a76": 10}
    for name, number in names.items():
        folder = setting.machine.sys / "bus/event_source/devices" / name
        folder.mkdir(parents=True)
        (folder / "cpus").write_text("0-3\n")
        (folder / "type").write_text(f"{number}\n")
    setting.kernel.refused_on = named_events(*names.values())
    process = setting.machine.start(500)
    setting.attach(process)
    setting.kernel.run(500, SECOND, h0=3000, h1=1500)
    setting.tick(process)
    assert setting.cell(process, "cycles") == 3000
    assert setting.sample is not None and setting.sample.problem is not None
    assert setting.sample.problem.state is SourceState.DEGRADED
    assert "of armv8_cortex_a55, armv8_cortex_a76 this kernel counts one kind" in setting.sample.problem.reason


def test_switched_off(setting: Setting) -> None:
    setting.counting = Counting.OFF
    with pytest.raises(Withheld, match="switched off"):
        setting.tick()
    assert setting.kernel.opened == 0


@pytest.mark.parametrize("own", ["999999999", None])
def test_pids_of_another_machine(setting: Setting, own: str | None) -> None:
    (setting.machine.proc / "self").unlink()
    if own is not None:
        (setting.machine.proc / "self").symlink_to(own)
    with pytest.raises(Withheld, match="another pid namespace"):
        setting.tick()
    assert setting.kernel.opened == 0


def test_stand_ins_are_said_to_be_some(setting: Setting) -> None:
    setting.counting = Counting.SOFTWARE
    process = setting.machine.start(500)
    setting.attach(process)
    assert "stand in" in (setting.reason() or "")
