"""What happened between two moments: scripted machines, the contract cell by cell, and a property."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztop_client.fake_source import section
from tests.ztop_client.scripted import EPOCH, MEBIBYTE, MILLISECOND, SECOND, Scripted, short_lived
from ztop_client.difference import lives
from ztop_client.difference.compare import MOST_TOLD, NoTwoMoments, difference
from ztop_client.difference.growth import Growth
from ztop_client.difference.lives import ProcessUse
from ztop_client.difference.result import Difference, in_order
from ztop_protocol.frame import Frame


def hog_frames() -> list[Frame]:
    """Ten seconds: a hog uses 0.9 of a core, a server a tenth, interrupts and the host take a little."""
    machine = Scripted()
    hog = machine.start("hog", user="bob", cgroup="/batch")
    server = machine.start("server", user="www", cgroup="/web")
    machine.run(hog, 5 * SECOND)
    machine.run(server, 0)
    frames = [machine.tick()]
    for _ in range(10):
        machine.run(hog, 850 * MILLISECOND, 50 * MILLISECOND)
        machine.run(server, 60 * MILLISECOND, 40 * MILLISECOND, read=MEBIBYTE, written=2 * MEBIBYTE)
        machine.spend(irq=10 * MILLISECOND, softirq=20 * MILLISECOND, steal=100 * MILLISECOND, iowait=SECOND)
        frames.append(machine.tick())
    return frames


def named(found: Difference, name: str) -> ProcessUse:
    (one,) = (process for process in found.processes if process.name == name)
    return one


def test_who_used_the_cpu_and_what_is_left() -> None:
    found = difference(hog_frames())
    assert (found.span_ns, found.frames, found.gap_count, found.since_boot) == (10 * SECOND, 11, 0, False)
    assert [process.name for process in found.processes] == ["hog", "server"]
    assert [process.use.cpu_time_ns for process in found.processes] == [9 * SECOND, SECOND]
    assert [group.name for group in found.users] == ["bob", "www"]
    assert [group.name for group in found.cgroups] == ["/batch", "/web"]
    assert found.cgroups[0].use.cpu_time_ns == found.cgroups[0].counted_cpu_time_ns == 9 * SECOND
    assert found.machine.cpu_busy_time_ns == 11_300 * MILLISECOND
    assert found.cpu_share_percent(9 * SECOND) == pytest.approx(100 * 9 / 11.3)
    assert found.machine.cpu_iowait_time_ns == 10 * SECOND
    rest = found.remainder
    assert (rest.unseen_cpu_time_ns, rest.interrupt_time_ns, rest.steal_time_ns) == (0, 3 * SECOND // 10, SECOND)
    server = named(found, "server").use
    assert (server.io_read_bytes, server.io_write_bytes) == (10 * MEBIBYTE, 20 * MEBIBYTE)
    # what lies on another disk counts once
    assert (found.machine.disk_read_bytes, found.machine.disk_write_bytes) == (10 * MEBIBYTE, 20 * MEBIBYTE)
    assert found.machine.network_receive_bytes == 0


def test_two_frames_alone_say_the_same_of_what_was_there_all_the_time() -> None:
    frames = hog_frames()
    assert difference((frames[0], frames[-1])) == replace(difference(frames), frames=2)


def test_born_and_ended() -> None:
    machine = Scripted()
    old = machine.start("old")
    frames = [machine.tick()]
    machine.run(old, 100 * MILLISECOND)
    new = machine.start("new", rss_bytes=0)
    machine.run(new, 300 * MILLISECOND, grow=50 * MEBIBYTE, read=7)
    frames.append(machine.tick())
    machine.run(new, 200 * MILLISECOND)
    frames.append(machine.tick())
    machine.end(new)
    frames.append(machine.tick())
    found = difference(frames)
    one = named(found, "new")
    assert one.is_born and one.born_time_ns == frames[0].time_ns
    assert (one.ended_after_time_ns, one.ended_before_time_ns) == (frames[2].time_ns, frames[3].time_ns)
    assert (one.use.cpu_time_ns, one.use.io_read_bytes) == (500 * MILLISECOND, 7)
    use = one.use
    assert (use.rss_before_bytes, use.rss_after_bytes, use.rss_grown_bytes) == (0, 50 * MEBIBYTE, 50 * MEBIBYTE)
    assert not named(found, "old").is_born and not named(found, "old").is_ended
    assert (found.machine.processes_born, found.machine.processes_ended, found.machine.forks) == (1, 1, 1)
    (user,) = found.users
    assert (user.processes, user.born, user.ended) == (2, 1, 1)
    # the two alone do not show it: what it used is nobody's
    alone = difference((frames[0], frames[-1]))
    assert [process.name for process in alone.processes] == ["old"]
    assert alone.remainder.unseen_cpu_time_ns == 500 * MILLISECOND


def test_what_was_there_before_but_was_seen_later_is_not_known() -> None:
    machine = Scripted()
    late = machine.start("late")
    machine.run(late, SECOND)
    hidden = machine.tasks.pop(late)
    first = machine.tick()
    machine.tasks[late] = hidden
    machine.run(late, SECOND)
    second = machine.tick()
    machine.run(late, SECOND)
    found = difference((first, second, machine.tick()))
    one = named(found, "late")
    assert not one.is_born
    assert (one.use.cpu_time_ns, one.use.rss_before_bytes, one.use.rss_grown_bytes) == (None, None, None)
    assert one.use.rss_after_bytes == 10 * MEBIBYTE
    assert found.remainder.unknown_processes == 1
    assert found.remainder.unseen_cpu_time_ns is None


def test_what_is_not_seen_for_a_while_did_not_end() -> None:
    machine = Scripted()
    key = machine.start("shy")
    machine.start("other")
    frames = [machine.tick()]
    hidden = machine.tasks.pop(key)
    frames.append(machine.tick())
    machine.tasks[key] = hidden
    machine.run(key, SECOND)
    frames.append(machine.tick())
    found = difference(frames)
    assert not named(found, "shy").is_ended and named(found, "shy").use.cpu_time_ns == SECOND
    assert found.machine.processes_ended == 0


def test_io_that_is_not_visible_is_none_and_so_are_counters_that_went_back() -> None:
    machine = Scripted(sees_io=False)
    key = machine.start("one")
    machine.run(key, SECOND)
    frames = [machine.tick()]
    machine.change(key, user_time_ns=0, minor_faults=5)
    frames.append(machine.tick())
    machine.run(key, 2 * SECOND)
    frames.append(machine.tick())
    use = named(difference(frames), "one").use
    assert (use.io_read_bytes, use.io_write_bytes, use.io_bytes) == (None, None, None)
    assert (use.cpu_time_ns, use.minor_faults) == (None, 5)


def test_iowait_may_go_back() -> None:
    machine = Scripted()
    frames = []
    for iowait in (100, 300, 280):
        machine.spent["iowait"] = iowait * MILLISECOND
        frames.append(machine.tick())
    assert difference(frames).machine.cpu_iowait_time_ns == 180 * MILLISECOND


def test_a_start_of_the_machine_is_where_it_begins() -> None:
    before = Scripted()
    key = before.start("old")
    before.run(key, SECOND)
    frames = [before.tick(), before.tick()]
    after = before.rebooted()
    key = after.start("init")
    after.run(key, 2 * SECOND)
    frames += [after.tick(), after.tick()]
    for some in (frames, (frames[0], frames[-1])):
        found = difference(some)
        assert found.since_boot and found.span_ns == 5 * SECOND
        assert found.from_time_ns == after.clock
        assert [process.name for process in found.processes] == ["init"]
        assert named(found, "init").use.cpu_time_ns == found.machine.cpu_busy_time_ns == 2 * SECOND
        assert found.machine.memory_used_before_bytes is None


def test_gaps_are_told_and_longer_intervals_are_none() -> None:
    machine = Scripted()
    frames = [machine.tick(seconds) for seconds in (10, 10, 10, 1, 1, 60, 1, 1, 5)]
    found = difference(frames)
    assert [(gap.after_time_ns, gap.span_ns) for gap in found.gaps] == [
        (frames[4].time_ns, 60 * SECOND), (frames[7].time_ns, 5 * SECOND),
    ]  # fmt: skip
    assert found.gap_count == 2


def test_many_gaps_and_events_are_counted_and_few_kept() -> None:
    machine = Scripted()
    frames = []
    for number in range(3 * MOST_TOLD):
        machine.happen("gap", f"number {number}")
        frames.append(machine.tick(100 if number % 2 else 1))
    found = difference(frames)
    # at both ends there is a second with one neighbour only
    assert found.gap_count == 3 * MOST_TOLD // 2 and len(found.gaps) == MOST_TOLD
    assert found.event_count == 3 * MOST_TOLD - 1 and len(found.events) == MOST_TOLD
    assert found.events[0].detail == "number 1"


def test_frames_that_are_not_newer_change_nothing() -> None:
    frames = hog_frames()
    assert difference([*frames[:5], frames[2], *frames[4:]]) == difference(frames)


def test_a_section_that_was_not_sampled_anew_counts_over_no_time() -> None:
    frames = hog_frames()
    first, last = frames[0], frames[-1]
    stale = replace(last, sections={**last.sections, "cpus": first.sections["cpus"]})
    found = difference((first, stale))
    assert found.machine.cpu_busy_time_ns is found.machine.cpu_interval_ns is None
    assert found.remainder.unseen_cpu_time_ns is None
    assert found.cpu_share_percent(SECOND) is None
    without = replace(first, sections={name: part for name, part in first.sections.items() if name != "process_io"})
    use = named(difference((without, *frames[1:])), "server").use
    assert (use.io_read_bytes, use.cpu_time_ns) == (None, SECOND)


@pytest.mark.parametrize("count", [0, 1])
def test_one_frame_is_no_two_moments(count: int) -> None:
    with pytest.raises(NoTwoMoments):
        difference(hog_frames()[:count])


def test_a_disk_that_comes_is_no_burst() -> None:
    machine = Scripted()
    machine.disk = [500, 500, 0]
    frames = [machine.tick(), machine.tick()]
    first = frames[0]
    empty = replace(first, sections={**first.sections, "disks": section("disks", first.boottime_ns, [])})
    machine.disk = [510, 500, 0]
    frames.append(machine.tick())
    assert difference((empty, *frames[1:])).machine.disk_read_bytes == 10


def test_order_has_what_is_not_known_last() -> None:
    machine = Scripted()
    grown = [0, 5 * MEBIBYTE, -MEBIBYTE, 9 * MEBIBYTE]
    keys = [machine.start(f"task{number}") for number in range(4)]
    first = machine.tick()
    for key, bytes_more in zip(keys, grown, strict=True):
        machine.run(key, 0, grow=bytes_more)
    machine.change(keys[0], rss_bytes=None)
    found = difference((first, machine.tick()))
    assert [one.name for one in in_order(found.processes, "rss_grown_bytes")] == ["task3", "task1", "task2", "task0"]
    with pytest.raises(KeyError):
        in_order(found.processes, "pid")


def test_short_lived_processes_are_in_the_remainder() -> None:
    frames = short_lived(10, 3)
    found = difference(frames)
    assert found.machine.forks == 20_000
    assert found.machine.processes_born == 30
    assert found.machine.cpu_busy_time_ns == 10 * 2050 * MILLISECOND
    assert found.remainder.unseen_cpu_time_ns == 10 * 1997 * MILLISECOND
    assert found.processes[0].name == "make"
    # the cgroup knows them all
    assert found.cgroups[0].counted_cpu_time_ns == found.machine.cpu_busy_time_ns


def test_of_many_that_ended_only_the_greatest_keep_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MOST_ENDED", 10)
    monkeypatch.setattr(lives, "MOST_SUMS", 3)
    machine = Scripted()
    big = machine.start("big")
    frames = [machine.tick()]
    for second in range(20):
        keys = [machine.start("cc1", user=f"user{second % 5}") for _ in range(4)]
        for number, key in enumerate(keys):
            machine.run(key, (number + 1) * MILLISECOND, written=100)
        machine.run(big, MILLISECOND)
        frames.append(machine.tick())
        for key in keys:
            machine.end(key)
    frames.append(machine.tick())
    found = difference(frames)
    sums = [one for one in found.processes if one.pid is None]
    assert len(found.processes) <= 1 + 2 * 10 + 4
    assert 1 <= len(sums) <= 4
    assert sum(one.processes for one in found.processes) == 81
    assert sum(group.processes for group in found.users) == 81
    assert found.machine.processes_ended == sum(one.processes for one in found.processes if one.is_ended) == 80
    assert found.remainder.unseen_cpu_time_ns == 0
    assert sum(one.use.io_write_bytes or 0 for one in found.processes) == found.machine.disk_write_bytes == 8000
    # nothing of them is kept
    counted = lives.Lives(since_boot=False)
    for frame in frames:
        counted.take(frame)
    assert len(list(counted._counters)) <= 22 and len(list(counted._io)) <= 22


def test_growth_refuses_what_is_no_counter() -> None:
    with pytest.raises(ValueError, match="rss_bytes is no counter"):
        Growth("processes", ("rss_bytes",))


step = st.tuples(
    st.sampled_from(("run", "start", "end", "spend", "events", "gap")), st.integers(0, 7), st.integers(0, 3 * SECOND)
)


@given(st.lists(st.lists(step, max_size=4), min_size=2, max_size=12), st.data())
def test_the_parts_make_up_the_whole(script: list[list[tuple[str, int, int]]], data: st.DataObject) -> None:
    machine = Scripted()
    keys = [machine.start(f"task{number}") for number in range(3)]
    frames = [machine.tick()]
    for steps in script:
        for what, which, amount in steps:
            if what == "start":
                keys.append(machine.start(f"task{which}", user=f"user{which % 3}"))
            elif what == "spend":
                machine.spend(user=amount, steal=amount // 7, irq=which)
            elif what == "events":
                machine.happen("spike", str(amount))
            elif what == "gap":
                machine.now += amount
            elif keys:
                key = keys[which % len(keys)]
                machine.run(key, amount, which, read=amount, grow=which)
                if what == "end":
                    machine.end(key)
                    keys.remove(key)
        frames.append(machine.tick())
    cut = data.draw(st.integers(1, len(frames) - 2))
    whole, parts = difference(frames), [difference(frames[: cut + 1]), difference(frames[cut:])]

    assert whole.span_ns == sum(part.span_ns for part in parts)
    assert whole.event_count == sum(part.event_count for part in parts)
    for name in (
        *("cpu_busy_time_ns", "cpu_steal_time_ns", "disk_read_bytes", "forks", "processes_born", "processes_ended"),
    ):
        assert getattr(whole.machine, name) == sum(getattr(part.machine, name) for part in parts)
    assert whole.remainder.unseen_cpu_time_ns == sum(part.remainder.unseen_cpu_time_ns or 0 for part in parts)
    for process in whole.processes:
        uses = [
            other.use
            for part in parts
            for other in part.processes
            if (other.pid, other.start_boottime_ns) == (process.pid, process.start_boottime_ns)
        ]
        for name in ("cpu_time_ns", "io_read_bytes", "rss_grown_bytes", "minor_faults"):
            values = [getattr(use, name) for use in uses]
            assert None not in values
            assert getattr(process.use, name) == sum(values), name
    for group in whole.users:
        members = [one for one in whole.processes if one.user == group.name]
        assert group.use.cpu_time_ns == sum(one.use.cpu_time_ns or 0 for one in members)
    assert whole.from_time_ns == frames[0].time_ns >= EPOCH
