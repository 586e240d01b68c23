"""The section ``process_counters``: what the threads of the processes that run do to the PMU.

* Counters come to a process that ran in two ticks in a row, or for :data:`BUSY_NS` in one, the busiest first; they go
  when it rested for :data:`IDLE_NS`, sooner where their descriptors are wanted. What was counted stays.
* A tick spends :data:`OPEN_NS` of CPU time on opening them and leaves the rest to the next.
* Every tick reads what is attached. No ratio made of the counts has a time in it, so that it does not matter when.
* The counts belong to one life and one owner. When the owner changes they begin at 0, in a new epoch, and what was
  counted since the last reading is nobody's.

:mod:`ztopd.collectors.perf.attached` says how threads are counted once.
"""

import os
import time
from collections.abc import Sequence
from typing import Protocol

from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.perf import availability
from ztopd.collectors.perf.accumulate import Layout
from ztopd.collectors.perf.attached import Attached, NoDescriptors
from ztopd.collectors.perf.availability import Rights, read_rights
from ztopd.collectors.perf.counted import Counted, cpu_time_ns
from ztopd.collectors.perf.events import Counting, groups
from ztopd.collectors.perf.pmus import core_pmus, cpu_is_intel
from ztopd.collectors.perf.probe import REFUSALS, Countable, Uncountable, probe
from ztopd.collectors.perf.syscall import Kernel
from ztopd.collectors.process_entry import Process
from ztopd.collectors.source import Problem, Roots, Rows, Sample, Withheld

BUSY_NS = 10_000_000
IDLE_NS = 30_000_000_000
SPARE_NS = 3_000_000_000
"""What rested for so long gives way where descriptors do not suffice."""
OPEN_NS = 1_000_000
PROBE_NS = 120_000_000_000
"""What can be counted, and what was refused, is tried again after so long."""
RETRY_NS = 60_000_000_000
WAIT_NS = 20_000_000_000
"""Who waits longer for its counters is told of in ``sources``."""
MAX_DESCRIPTORS = 8192
"""More are never taken: to read them all would cost some ms a tick, and the kernel keeps about 2 kB for each."""

MISSED_NS = 500_000_000
_MISSED_SHARE = 0.8
"""Of so much CPU time, so much has to be in the time enabled: else threads are not counted, and all is done anew."""
REATTACH_NS = 30_000_000_000
"""But not sooner than this."""


class Scan(Protocol):
    """What is needed of the process table."""

    def ran(self) -> Sequence[Process]:
        """Those that ran between the last two scans."""

    def ended(self) -> Sequence[Process]:
        """Those that are gone since."""


class ProcessCounters:
    """Gives ``process_counters``."""

    name = "counters"
    period_ns = 0

    def __init__(
        self,
        roots: Roots,
        scan: Scan,
        descriptors: Descriptors,
        counting: Counting,
        kernel: Kernel,
        open_ns: int = OPEN_NS,
    ) -> None:
        """``descriptors`` is the budget shared with the process table, ``open_ns`` a tick's CPU time for opening."""
        self._roots = roots
        self._folder = os.open(roots.proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._scan = scan
        self._descriptors = Descriptors(min(MAX_DESCRIPTORS, descriptors.limit // 4), descriptors)
        self._counting = counting
        self._kernel = kernel
        self._open_ns = open_ns
        self._layout: Layout | None = None
        self._rights: Rights | None = None
        self._problem: Problem | None = None
        self._probe_due_ns = 0
        self._counted: dict[Process, Counted] = {}
        self._tick = 0
        self._checked_boottime_ns = 0
        self._left_out = self._waiting = 0
        self._failing: OSError | None = None

    def close(self) -> None:
        """Lets go of every descriptor."""
        self._forget()
        os.close(self._folder)

    def _forget(self) -> None:
        for counted in self._counted.values():
            self._detach(counted)
        self._counted.clear()

    def collect(self) -> Sample:
        """Reads what is attached, then attaches and lets go. Raises :exc:`Withheld` where nothing can be counted."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if now >= self._probe_due_ns:
            self._probe_due_ns = now + PROBE_NS
            self._probe()
        if self._layout is None:
            assert self._problem is not None
            raise Withheld(self._problem)
        self._tick += 1
        for process in self._scan.ended():
            if (ended := self._counted.pop(process, None)) is not None:
                self._detach(ended)
        wanted = self._notice(now)
        self._read(now)
        self._attach(wanted, now)
        rows: Rows = {one.process.key: one.row for one in self._counted.values() if one.row is not None}
        return Sample({"process_counters": rows}, self._said(now), shares_rows=True)

    def _probe(self) -> None:
        countable, self._problem = self._found()
        if countable != (None if self._layout is None else self._layout.countable):
            # what was counted in another manner cannot be gone on with
            self._forget()
            self._layout = None if countable is None else Layout(countable)
        for counted in self._counted.values():
            counted.refused = False
        self._failing = None

    def _found(self) -> tuple[Countable | None, Problem | None]:
        roots = self._roots
        if self._counting is Counting.OFF:
            return None, availability.switched_off()
        try:
            own = os.readlink(f"{roots.proc}/self")
        except OSError:
            own = None
        if own != str(os.getpid()):
            return None, availability.foreign_pids()
        self._rights = read_rights(roots)
        wanted = groups(self._counting, is_intel=cpu_is_intel(roots))
        try:
            countable = probe(self._kernel, wanted, core_pmus(roots))
        except Uncountable as nothing:
            return None, availability.why_not(nothing.error, roots, self._rights)
        problems = [availability.stand_ins()] if self._counting is Counting.SOFTWARE else []
        if countable.unnamed_pmus:
            problems.append(availability.one_kind_of_cores(countable.unnamed_pmus))
        if not countable.kernel_mode:
            problems.append(availability.user_mode_alone(roots, self._rights))
        if countable.lacking:
            problems.append(availability.lacking(countable.lacking))
        return countable, availability.together(problems)

    def _notice(self, now: int) -> list[tuple[int, Counted]]:
        """Takes note of who ran; returns those that should get counters, each with the CPU time that it used."""
        assert self._layout is not None
        since, self._checked_boottime_ns = self._checked_boottime_ns, now
        wanted = []
        for process in self._scan.ran():
            if process.stat.kernel_thread and not self._layout.countable.kernel_mode:
                continue
            counted = self._counted.get(process)
            if counted is None:
                counted = self._counted[process] = Counted(process, self._layout)
                if process.stat.start_boottime_ns > since > 0:
                    counted.cpu_time_ns = 0
            elif counted.owner_uid != process.owner_uid:
                self._begin_anew(counted)
            used = -counted.cpu_time_ns
            counted.cpu_time_ns = cpu_time_ns(process)
            used += counted.cpu_time_ns
            ran_before = counted.ran_tick == self._tick - 1
            if now - counted.ran_boottime_ns > SPARE_NS:
                # whatever it waited for before it rested
                counted.waits_since_ns = None
            counted.ran_tick, counted.ran_boottime_ns = self._tick, now
            may_be = counted.attached is None and not counted.refused and now >= counted.not_before_ns
            if may_be and (ran_before or used >= BUSY_NS):
                wanted.append((used, counted))
        return wanted

    def _begin_anew(self, counted: Counted) -> None:
        assert self._layout is not None
        self._detach(counted)
        counted.begin(self._layout)

    def _detach(self, counted: Counted) -> None:
        if counted.attached is not None:
            counted.attached.close()
            counted.attached = None

    def _read(self, now: int) -> None:
        assert self._layout is not None
        for counted in self._counted.values():
            attached, process = counted.attached, counted.process
            if attached is None:
                continue
            if counted.owner_uid != process.owner_uid:
                self._begin_anew(counted)
                continue
            if now - counted.ran_boottime_ns > IDLE_NS:
                self._detach(counted)
                continue
            ran = counted.ran_tick == self._tick
            if not ran and process.schedstat_descriptor is not None:
                # its only thread did not run: there is nothing to be read
                continue
            try:
                changed = attached.read(counted.counts)
                if changed and os.stat(process.stat_path, dir_fd=self._folder).st_uid != counted.owner_uid:
                    # of the time before and of the time after: nobody's
                    self._begin_anew(counted)
                    continue
                if ran:
                    attached.look_for_threads()
            except (FileNotFoundError, ProcessLookupError):
                # it is gone, which the next scan will tell
                self._detach(counted)
                continue
            except OSError as error:
                self._give_up(counted, error, now)
                continue
            if changed:
                counted.make_row()
            if ran and counted.cpu_time_ns - counted.missed_cpu_ns >= MISSED_NS:
                self._check_missed(counted, attached, now)

    def _check_missed(self, counted: Counted, attached: Attached, now: int) -> None:
        """Attaches anew where much of the CPU time is not in the time enabled.

        As when a program that changes its user was executed on the way, which ends all counters on the process.
        """
        assert self._layout is not None
        used = counted.cpu_time_ns - counted.missed_cpu_ns
        enabled_ns = counted.counts.enabled_time_ns // len(self._layout.countable.groups)
        grown = enabled_ns - counted.missed_enabled_ns
        was_long = now - counted.attached_boottime_ns > REATTACH_NS
        if attached.is_complete and grown < used * _MISSED_SHARE and was_long:
            self._detach(counted)
        counted.missed_cpu_ns, counted.missed_enabled_ns = counted.cpu_time_ns, enabled_ns

    def _attach(self, wanted: list[tuple[int, Counted]], now: int) -> None:
        """Goes on with what was begun, then begins with the busiest."""
        until_ns = time.thread_time_ns() + self._open_ns
        self._left_out = self._waiting = 0
        for counted in self._counted.values():
            if counted.attached is not None and not counted.attached.is_complete:
                if time.thread_time_ns() >= until_ns:
                    break
                self._go_on(counted, counted.attached, until_ns, now)
        wanted.sort(key=lambda one: one[0], reverse=True)
        for _, counted in wanted:
            if time.thread_time_ns() < until_ns:
                self._begin(counted, until_ns, now)
            else:
                counted.waits_since_ns = counted.waits_since_ns or now
                self._waiting += now - counted.waits_since_ns > WAIT_NS

    def _begin(self, counted: Counted, until_ns: int, now: int) -> None:
        assert self._layout is not None
        process = counted.process
        needed = process.stat.threads * self._layout.countable.descriptors
        if needed > self._descriptors.left:
            self._make_room(needed, now)
        if needed > self._descriptors.left:
            self._left_out += 1
            return
        counted.attached = attached = Attached(
            self._kernel,
            self._layout,
            self._descriptors,
            self._roots.proc,
            process.pid,
            process.stat.start_boottime_ns,
            counted.owner_uid,
        )
        counted.attached_boottime_ns, counted.waits_since_ns = now, None
        self._go_on(counted, attached, until_ns, now)
        if counted.attached is not None and counted.row is None:
            counted.begin_epoch(now, self._layout.countable.kernel_mode)

    def _make_room(self, needed: int, now: int) -> None:
        """Lets go of what rests longest, where that helps."""
        resting = [
            one for one in self._counted.values() if one.attached is not None and now - one.ran_boottime_ns > SPARE_NS
        ]
        to_be_had = sum(one.attached.descriptors for one in resting if one.attached is not None)
        if self._descriptors.left + to_be_had < needed:
            return
        resting.sort(key=lambda one: one.ran_boottime_ns, reverse=True)
        while resting and self._descriptors.left < needed:
            self._detach(resting.pop())

    def _go_on(self, counted: Counted, attached: Attached, until_ns: int, now: int) -> None:
        assert self._layout is not None
        try:
            attached.go_on(until_ns)
            if attached.is_complete:
                counted.missed_cpu_ns = counted.cpu_time_ns
                counted.missed_enabled_ns = counted.counts.enabled_time_ns // len(self._layout.countable.groups)
        except ProcessLookupError:
            # it is gone, or not what it was when it was scanned
            self._detach(counted)
        except NoDescriptors:
            self._detach(counted)
            self._left_out += 1
        except OSError as error:
            self._give_up(counted, error, now)

    def _give_up(self, counted: Counted, error: OSError, now: int) -> None:
        self._detach(counted)
        if error.errno in REFUSALS:
            counted.refused = True
        else:
            counted.not_before_ns = now + RETRY_NS
            self._failing = error

    def _said(self, now: int) -> Problem | None:
        problems = [] if self._problem is None else [self._problem]
        refused = failing = 0
        for counted in self._counted.values():
            refused += counted.refused
            failing += counted.not_before_ns > now
        if refused and self._rights is not None:
            problems.append(availability.withheld(refused, self._rights))
        if self._left_out:
            problems.append(availability.few_descriptors(self._left_out, self._descriptors.limit))
        if self._waiting:
            problems.append(availability.not_in_time(self._waiting))
        if failing and self._failing is not None:
            problems.append(availability.failing(failing, self._failing))
        return availability.together(problems)
