"""Nice values, I/O priorities and CPUs of real processes, and every reason not to change them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest

from tests.ztop_client.fake_source import frame, here, real_row
from tests.ztop_client.test_actions import own_boot_id
from ztop_client.actions import Refused, Target, target
from ztop_client.scheduling import (
    IO_PRIORITIES,
    IoClass,
    IoPriority,
    affinity,
    change_nice,
    io_priority,
    set_affinity,
    set_io_priority,
)

THREADED = """
import threading
release = threading.Event()
for _ in range(3):
    threading.Thread(target=release.wait, daemon=True).start()
print("ready", flush=True)
input()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of four threads."""
    command = [sys.executable, "-c", THREADED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def target_of(pid: int) -> Target:
    row = real_row(pid)
    return target(frame(1, [row], boot_id=own_boot_id(), host=here()), row[:2])


def tids(pid: int) -> list[int]:
    found = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    assert len(found) == 4
    return found


def test_nice_is_changed_for_every_thread_by_the_same_amount(child: subprocess.Popen[bytes]) -> None:
    started = os.getpriority(os.PRIO_PROCESS, child.pid)
    assert change_nice(target_of(child.pid), 1) == started + 1
    other = max(tids(child.pid))
    os.setpriority(os.PRIO_PROCESS, other, started + 5)
    change_nice(target_of(child.pid), 2)
    values = {tid: os.getpriority(os.PRIO_PROCESS, tid) for tid in tids(child.pid)}
    assert values.pop(other) == started + 7
    assert set(values.values()) == {started + 3}


def test_nice_ends_at_19(child: subprocess.Popen[bytes]) -> None:
    assert change_nice(target_of(child.pid), 100) == 19


def test_io_priority(child: subprocess.Popen[bytes]) -> None:
    for wanted in (IoPriority(IoClass.IDLE), IoPriority(IoClass.BEST_EFFORT, 6), IoPriority(IoClass.NONE)):
        set_io_priority(target_of(child.pid), wanted)
        assert io_priority(target_of(child.pid)) == wanted
        for tid in tids(child.pid):
            assert psutil.Process(tid).ionice()[0] == wanted.io_class
    assert len(IO_PRIORITIES) == len(set(map(str, IO_PRIORITIES))) == 18


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_affinity(child: subprocess.Popen[bytes]) -> None:
    cpus = affinity(target_of(child.pid))
    assert cpus == os.sched_getaffinity(child.pid)
    one = {min(cpus)}
    set_affinity(target_of(child.pid), one)
    assert all(os.sched_getaffinity(tid) == one for tid in tids(child.pid))


def test_a_cpu_that_does_not_exist_is_refused(child: subprocess.Popen[bytes]) -> None:
    with pytest.raises(Refused, match="Invalid argument"):
        set_affinity(target_of(child.pid), {1023})


ACTS: dict[str, Callable[[Target], object]] = {
    "nice": lambda one: change_nice(one, 1),
    "io": lambda one: set_io_priority(one, IoPriority(IoClass.IDLE)),
    "get io": io_priority,
    "affinity": lambda one: set_affinity(one, {0}),
    "get affinity": affinity,
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
class TestRefusals:
    def test_another_process_of_that_pid(self, act: Callable[[Target], object], child: subprocess.Popen[bytes]) -> None:
        wanted = target_of(child.pid)
        before = os.getpriority(os.PRIO_PROCESS, child.pid)
        with pytest.raises(Refused, match="another process has its pid"):
            act(replace(wanted, start_boottime_ns=wanted.start_boottime_ns - 10_000_000))
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == before

    def test_one_that_ended(self, act: Callable[[Target], object], child: subprocess.Popen[bytes]) -> None:
        wanted = target_of(child.pid)
        child.kill()
        child.wait()
        with pytest.raises(Refused, match="has ended"):
            act(wanted)

    def test_another_machine(self, act: Callable[[Target], object], child: subprocess.Popen[bytes]) -> None:
        with pytest.raises(Refused, match="another machine"):
            act(replace(target_of(child.pid), boot_id="0"))
        with pytest.raises(Refused, match="another pid namespace"):
            act(replace(target_of(child.pid), pid_namespace=1))


def refused_to_nobody(wanted: Target, act: Callable[[Target], object]) -> str:
    """What somebody without rights is told, in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            act(wanted)
        except Refused as refusal:
            os.write(writer, str(refusal).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
@pytest.mark.parametrize("name", ["nice", "io", "affinity"])
def test_what_the_kernel_does_not_permit_is_said(name: str, child: subprocess.Popen[bytes]) -> None:
    wanted = target_of(child.pid)
    assert "is not yours: only its user and root may do that" in refused_to_nobody(wanted, ACTS[name])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
def test_only_root_raises_a_priority() -> None:
    with subprocess.Popen(["sleep", "60"], user=65534) as process:
        try:
            answer = refused_to_nobody(target_of(process.pid), lambda one: change_nice(one, -1))
        finally:
            process.kill()
    assert "only root may make a nice value smaller" in answer
