"""Signals to real processes, and every reason not to send one."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ztop_client.fake_source import frame, here, process, real_row
from ztop_client.actions import Refused, Target, held, send_signal, signals, target
from ztop_client.inspection import Part, inspect, request
from ztop_client.scheduling import IO_PRIORITIES, affinity, change_nice, set_affinity, set_io_priority
from ztop_protocol.frame import Frame


def own_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        if process.poll() is None:
            process.kill()


def target_of(pid: int) -> Target:
    row = real_row(pid)
    current: Frame = frame(1, [row], boot_id=own_boot_id(), host=here())
    return target(current, row[:2])


def test_the_process_gets_the_signal(child: subprocess.Popen[bytes]) -> None:
    send_signal(target_of(child.pid), signal.SIGTERM)
    assert child.wait(5) == -signal.SIGTERM


def test_a_process_of_that_pid_with_another_start_time_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    reused = replace(target_of(child.pid), start_boottime_ns=target_of(child.pid).start_boottime_ns - 10_000_000)
    with pytest.raises(Refused, match="another process has its pid"):
        send_signal(reused, signal.SIGKILL)
    time.sleep(0.05)
    assert child.poll() is None


def test_a_process_that_ended_is_refused(child: subprocess.Popen[bytes]) -> None:
    wanted = target_of(child.pid)
    child.kill()
    child.wait()
    with pytest.raises(Refused, match="has ended"):
        send_signal(wanted, signal.SIGTERM)


def test_another_boot_or_machine_is_refused(child: subprocess.Popen[bytes]) -> None:
    with pytest.raises(Refused, match="another machine"):
        send_signal(replace(target_of(child.pid), boot_id="0" * 8), signal.SIGKILL)
    assert child.poll() is None


def test_what_may_be_elsewhere_is_refused_though_all_else_is_right(child: subprocess.Popen[bytes]) -> None:
    wanted = replace(target_of(child.pid), elsewhere="is of build7, which is seen over ssh")
    sentence = "is of build7, which is seen over ssh: from here it can be watched, and nothing more"
    for do in (
        lambda: send_signal(wanted, signal.SIGKILL),
        lambda: change_nice(wanted, 1),
        lambda: set_io_priority(wanted, IO_PRIORITIES[1]),
        lambda: set_affinity(wanted, affinity(target_of(child.pid))),
    ):
        with pytest.raises(Refused, match=sentence):
            do()
    for part in Part:
        (block,) = inspect(wanted, part)
        assert block.entries == ()
        assert sentence in str(block.reason)
    # as the child that reads it is told
    assert json.loads(request(wanted, Part.FILES))["target"]["elsewhere"] == wanted.elsewhere
    time.sleep(0.05)
    assert child.poll() is None
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.parametrize("namespace", [None, 1])
def test_another_pid_namespace_is_refused(child: subprocess.Popen[bytes], namespace: int | None) -> None:
    with pytest.raises(Refused, match="another pid namespace"):
        send_signal(replace(target_of(child.pid), pid_namespace=namespace), signal.SIGKILL)
    assert child.poll() is None


def test_what_the_kernel_does_not_permit_is_said(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with pytest.raises(Refused, match="somebody else"):
        send_signal(target_of(child.pid), signal.SIGTERM)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
def test_another_users_process_is_refused_by_the_kernel(child: subprocess.Popen[bytes]) -> None:
    wanted = target_of(child.pid)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setuid(65534)
            send_signal(wanted, signal.SIGKILL)
        except Refused as refusal:
            status = 0 if "somebody else" in str(refusal) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert child.poll() is None


def test_no_descriptor_is_left_open(child: subprocess.Popen[bytes]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with held(target_of(child.pid)):
        assert len(os.listdir("/proc/self/fd")) == before + 1
    with pytest.raises(Refused), held(replace(target_of(child.pid), start_boottime_ns=1)):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pid_that_is_no_pid_is_refused() -> None:
    wanted = replace(target_of(os.getpid()), pid=1 << 40)
    with pytest.raises(Refused):
        send_signal(wanted, 0)


def test_a_process_that_is_not_in_the_frame_is_refused() -> None:
    with pytest.raises(Refused, match="gone"):
        target(frame(1, [process(1)]), (2, 3))


def test_signals_by_name() -> None:
    offered = {name: number for name, number, _ in signals()}
    assert offered["SIGTERM"] == 15
    assert offered["SIGKILL"] == 9
    assert len(offered) == len(set(offered.values()))
