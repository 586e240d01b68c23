"""Explanations of scripted situations: the right culprit on top, and nothing that the frames do not show."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ztop_client.hostile import HOSTILE
from tests.ztop_client.scripted import MEBIBYTE, MILLISECOND, SECOND, Scripted, short_lived
from ztop_client.difference.compare import difference
from ztop_client.difference.result import Difference
from ztop_client.explain.explain import difference_before, explain
from ztop_client.explain.finding import REMARKABLE, Finding
from ztop_client.text import printable
from ztop_protocol.frame import Frame

Work = Callable[[Scripted], None]


def situation(seconds: int, work: Work, machine: Scripted | None = None) -> tuple[Difference, Difference]:
    """A quiet minute, and then so many seconds of that work."""
    machine = machine or Scripted()
    quiet = machine.start("init", user="root", cgroup="/init.scope")
    frames: list[Frame] = [machine.tick()]
    for _ in range(60):
        machine.run(quiet, 20 * MILLISECOND)
        machine.forks += 1
        frames.append(machine.tick())
    before = difference_before(frames)
    assert before is not None
    span = [frames[-1]]
    for _ in range(seconds):
        machine.run(quiet, 20 * MILLISECOND)
        work(machine)
        span.append(machine.tick())
    return before, difference(span)


def found_in(seconds: int, work: Work, machine: Scripted | None = None) -> list[Finding]:
    before, span = situation(seconds, work, machine)
    # whatever is done is somebody's: the sums are the machine's, to a fiftieth
    rest = span.remainder
    parts = [sum(one.use.cpu_time_ns or 0 for one in span.processes), rest.unseen_cpu_time_ns]
    parts += [rest.interrupt_time_ns, rest.steal_time_ns]
    assert sum(part or 0 for part in parts) == pytest.approx(span.machine.cpu_busy_time_ns, rel=0.02)
    return explain(span, before)


def lines(findings: list[Finding]) -> list[str]:
    return [line for one in findings for line in (one.headline, *one.details)]


def test_a_cpu_hog() -> None:
    machine = Scripted()
    hog = machine.start("hog", user="bob", cgroup="/batch")

    found = found_in(5, lambda machine: machine.run(hog, 990 * MILLISECOND), machine)
    assert found[0].headline == "1.0 of 4 cores were busy, 25 %; before it 0.02"
    assert found[0].details == (
        "of the cores' time: 25 % user, 0.0 % system, 0.0 % interrupts, 0.0 % steal, 0.0 % iowait",
        "5.0 s of CPU time in 5.0 s",
    )
    assert found[1].headline == "pid 101 (hog, bob) used 99 % of a core, 98 % of what was used"
    assert found[1].details == ("command: /usr/bin/hog --now", "cgroup: /batch")
    assert all(one.weight < REMARKABLE for one in found[2:])


def test_many_of_one_user() -> None:
    machine = Scripted()
    keys = [machine.start("cc1", user="carol") for _ in range(10)]

    def compile_all(machine: Scripted) -> None:
        for key in keys:
            machine.run(key, 300 * MILLISECOND)

    found = found_in(3, compile_all, machine)
    assert found[1].headline == "user carol used 3.0 cores, 99 % of what was used, with 10 processes"


def test_a_memory_leak() -> None:
    machine = Scripted()
    leak = machine.start("leak")
    found = found_in(10, lambda machine: machine.run(leak, MILLISECOND, grow=400 * MEBIBYTE), machine)
    assert found[0].headline == "Memory in use grew by 3.9G, from 5.0G to 8.9G of 16.0G"
    assert found[0].details == ("pid 101 (leak, alice) grew by 3.9G, from 10.0M to 3.9G",)


def test_memory_that_runs_out() -> None:
    machine = Scripted()

    def work(machine: Scripted) -> None:
        machine.memory.update(available_bytes=200 * MEBIBYTE, oom_kills=machine.seq - 60)
        machine.memory["swap_out_bytes"] = (machine.seq - 60) * 100 * MEBIBYTE
        machine.memory["swap_free_bytes"] = 0
        machine.happen("oom_kill", "1 process was killed because memory ran out", "/batch", 1.0)

    found = found_in(2, work, machine)
    assert found[0].headline == "The kernel killed 2 processes: memory ran out"
    assert found[0].details[0] == "1 process was killed because memory ran out"
    assert "Only 200M of 16.0G of memory was available at the end" in lines(found)
    assert "Memory was swapped: 200M out, 0B in; swap in use went from 0B to 2.0G" in lines(found)


@pytest.mark.parametrize("delays", [True, False])
def test_an_io_storm(delays: bool) -> None:
    machine = Scripted()
    writer = machine.start("dd", user="bob")
    victim = machine.start("postgres", user="postgres")

    def work(machine: Scripted) -> None:
        machine.run(writer, 100 * MILLISECOND, 200 * MILLISECOND, written=300 * MEBIBYTE)
        machine.disk[2] += 980 * MILLISECOND
        machine.spend(iowait=900 * MILLISECOND)
        machine.wait("io", 950 * MILLISECOND, 600 * MILLISECOND)
        delay = {"block_io_delay_ns": (machine.seq - 60) * 800 * MILLISECOND} if delays else {"block_io_delay_ns": None}
        machine.change(victim, state="D", **delay)

    found = found_in(4, work, machine)
    assert found[0].headline == ("Tasks waited for disks 95 % of the time, all at once 60 %; before it 0.0 %")
    waited = "waited 80 % of the time" if delays else "was blocked (state D) in 4 of 5 frames"
    assert found[0].details == (f"pid 102 (postgres, postgres) {waited}",)
    assert found[1].headline == "Disk sda: 0B/s read, 300M/s written, busy 98 % of the time; before it 0B/s"
    assert found[1].details == ("pid 101 (dd, bob) read 0B and wrote 1.2G",)
    assert any("waited for disks 22 % of their time (iowait)" in one.headline for one in found)


def test_io_that_is_not_visible_is_nobodys() -> None:
    machine = Scripted(sees_io=False)
    writer = machine.start("dd")
    found = found_in(4, lambda machine: machine.run(writer, 0, written=300 * MEBIBYTE), machine)
    (disk,) = (one for one in found if one.headline.startswith("Disk"))
    assert disk.details == ("whose it was the frames do not show",)


def test_what_little_is_visible_does_not_stand_for_the_rest() -> None:
    machine = Scripted()
    writer, own = machine.start("postgres"), machine.start("sh", user="bob")

    def work(machine: Scripted) -> None:
        machine.run(writer, 0, written=300 * MEBIBYTE)
        machine.run(own, 0, written=1000)

    before, span = situation(4, work, machine)
    hidden = [
        replace(one, use=replace(one.use, io_read_bytes=None, io_write_bytes=None)) if one.name == "postgres" else one
        for one in span.processes
    ]
    found = explain(replace(span, processes=tuple(hidden)), before)
    (disk,) = (one for one in found if one.headline.startswith("Disk"))
    assert disk.details == ("whose it was the frames do not show",)


def test_2000_short_lived_processes_a_second() -> None:
    found = explain(difference(short_lived(10, 3)))
    assert found[0].headline == (
        "2.0 cores, 97 % of what was used, went to processes that ended or were too short-lived to be seen"
    )
    assert found[0].details == (
        "20000 processes and threads were started, frames show 30 processes",
        "cgroup /user.slice counts 20 s more than its processes that were seen",
    )
    assert "27 short-lived cc1" in lines(found)


def test_what_was_seen_below_a_cgroup_is_not_said_to_be_unseen() -> None:
    machine = Scripted()
    worker = machine.start("worker", cgroup="/jobs/one")
    machine.count("/jobs", 0)

    def work(machine: Scripted) -> None:
        # the kernel counts for /jobs alone: what is below it, and what no frame shows
        machine.run(worker, 500 * MILLISECOND)
        machine.count("/jobs/one", -500 * MILLISECOND)
        machine.spend(user=300 * MILLISECOND)
        machine.count("/jobs", 800 * MILLISECOND)

    (unseen,) = (one for one in found_in(10, work, machine) if "too short-lived" in one.headline)
    assert "cgroup /jobs counts 3.0 s more than its processes that were seen" in unseen.details


def test_a_throttled_cgroup() -> None:
    machine = Scripted()
    worker = machine.start("worker", cgroup="/docker/abc")

    def work(machine: Scripted) -> None:
        machine.run(worker, 100 * MILLISECOND)
        machine.count("/docker/abc", 0, throttled=700 * MILLISECOND)

    found = found_in(10, work, machine)
    assert found[0].headline == (
        "cgroup /docker/abc wanted more CPU than its quota: throttled for 7.0 s in 10 s, all cores added"
    )
    assert found[0].details == ("it used 0.10 cores meanwhile", "pid 101 (worker, alice) used 1.0 s")


def test_steal() -> None:
    found = found_in(10, lambda machine: machine.spend(steal=3 * SECOND))
    assert "The host kept 75 % of the cores' time from this machine (steal)" in [one.headline for one in found[:2]]
    # it is not a process that was too short-lived to be seen
    assert not any("short-lived" in line for line in lines(found))


def test_nothing() -> None:
    found = found_in(10, lambda machine: None)
    assert found[0].headline == "Nothing stands out"
    assert found[0].details == ("11 frames over 10 s, 1 processes",)
    assert all(one.weight < REMARKABLE for one in found[1:])


def test_what_happened_to_the_machine() -> None:
    machine = Scripted()

    def work(machine: Scripted) -> None:
        if machine.seq == 62:
            machine.happen("clock_step", "the wall clock was set forward by 3.000 s", None, 3.0)
        if machine.seq == 64:
            machine.now += 9 * SECOND

    found = found_in(5, work, machine)
    assert any(one.endswith("the wall clock was set forward by 3.000 s") for one in lines(found))
    assert "Of 10 s in it no frame was kept" in lines(found)


def test_a_start_of_the_machine_is_said() -> None:
    machine = Scripted()
    machine.start("old")
    frames = [machine.tick()]
    after = machine.rebooted()
    after.start("init")
    frames += [after.tick(), after.tick()]
    assert explain(difference(frames))[0].headline.startswith("The machine was started at ")
    assert difference_before(frames) is None
    assert difference_before(frames[:1]) is None


def test_what_is_none_is_in_no_sentence() -> None:
    machine = Scripted()
    key = machine.start("one")
    frames = [machine.tick()]
    machine.run(key, 900 * MILLISECOND, written=200 * MEBIBYTE)
    frames.append(machine.tick())
    nothing = [replace(frame, sections={}) for frame in frames]
    assert [one.headline for one in explain(difference(nothing))] == ["Nothing stands out"]
    for gone in frames[0].sections:
        partial = [
            replace(frame, sections={name: part for name, part in frame.sections.items() if name != gone})
            for frame in frames
        ]
        for line in lines(explain(difference(partial))):
            assert "None" not in line
            assert " - " not in line and not line.endswith(" -")


def test_hostile_names_steer_nothing() -> None:
    machine = Scripted()
    keys = [machine.start(name, user=name, cgroup=name, command_line=name) for name in HOSTILE]
    frames = [machine.tick()]
    for key in keys:
        machine.run(key, SECOND, written=50 * MEBIBYTE, grow=400 * MEBIBYTE)
        machine.change(key, state="D")
        machine.count(str(machine.cells(key)["cgroup"]), 0, SECOND)
    machine.happen("gap", HOSTILE[0] + "\x1b[31m")
    machine.wait("io", SECOND)
    frames.append(machine.tick())
    found = explain(difference(frames))
    assert len(found) > 5
    for line in lines(found):
        assert line == printable(line) and len(line) < 600
