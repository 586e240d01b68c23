"""The reader child: answers, a read that blocks for ever, a child that dies."""

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from ztopd.collectors.blocking import Answer, Argument, Question
from ztopd.sampler import reader as module
from ztopd.sampler.reader import Reader


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def wait_for_answer(reader: Reader, question: Question, argument: Argument, seconds: float = 10) -> Answer:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = reader.take(question)
        if argument in found:
            return found[argument]
        time.sleep(0.01)
    raise AssertionError(f"no answer within {seconds} s")


def test_it_answers(reader: Reader) -> None:
    reader.ask(Question.COMMAND_LINE, os.getpid())
    reader.ask(Question.USER_NAME, 0)
    reader.ask(Question.FILESYSTEM, b"/")
    assert wait_for_answer(reader, Question.USER_NAME, 0).data == b"root"
    with open("/proc/self/cmdline", "rb") as file:
        whole = file.read()
    data = wait_for_answer(reader, Question.COMMAND_LINE, os.getpid()).data
    assert data is not None and whole.startswith(data) and len(data) == min(len(whole), 4097)
    numbers = (wait_for_answer(reader, Question.FILESYSTEM, b"/").data or b"").split()
    assert len(numbers) == 10
    assert int(numbers[2]) == os.statvfs("/").f_blocks


def test_what_does_not_exist_is_an_answer_with_a_reason(reader: Reader) -> None:
    reader.ask(Question.COMMAND_LINE, 1 << 30)
    answer = wait_for_answer(reader, Question.COMMAND_LINE, 1 << 30)
    assert answer.data is None and answer.reason == "No such file or directory"
    reader.ask(Question.USER_NAME, 3_999_999_999)
    assert wait_for_answer(reader, Question.USER_NAME, 3_999_999_999).data is None


def test_settle_waits_for_what_was_asked(reader: Reader) -> None:
    reader.ask(Question.USER_NAME, 0)
    wait_for_answer(reader, Question.USER_NAME, 0)
    for pid in range(1, 200):
        reader.ask(Question.COMMAND_LINE, pid)
    reader.settle()
    assert len(reader.take(Question.COMMAND_LINE)) == 199


def test_a_read_that_blocks_is_given_up_and_the_others_are_answered(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, tmp_path: "os.PathLike[str]"
) -> None:
    """A FIFO without a writer blocks its reader, as /proc/PID/cmdline does while somebody holds mmap_lock."""
    monkeypatch.setattr(module, "DEADLINE_S", 0.3)
    proc = os.fspath(tmp_path)
    for pid in ("1", "2", "3"):
        os.mkdir(f"{proc}/{pid}")
    os.mkfifo(f"{proc}/2/cmdline")
    for pid in ("1", "3"):
        with open(f"{proc}/{pid}/cmdline", "wb") as file:
            file.write(b"fine\0")
    reader = Reader(proc)
    try:
        for argument in (1, 2, 3):
            reader.ask(Question.COMMAND_LINE, argument)
        assert wait_for_answer(reader, Question.COMMAND_LINE, 3).data == b"fine\0"
        problem = reader.problem()
        assert problem is not None and "command_line of 2" in problem.reason
        # it is left alone from now on
        reader.ask(Question.COMMAND_LINE, 2)
        reader.ask(Question.COMMAND_LINE, 1)
        assert wait_for_answer(reader, Question.COMMAND_LINE, 1).data == b"fine\0"
        started = time.monotonic()
        reader.settle()
        assert time.monotonic() - started < 0.3
    finally:
        reader.close()


def test_a_killed_child_is_replaced(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_S", 0.1)
    reader.ask(Question.USER_NAME, 0)
    wait_for_answer(reader, Question.USER_NAME, 0)
    child = reader._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    reader.ask(Question.USER_NAME, 0)
    assert wait_for_answer(reader, Question.USER_NAME, 0).data == b"root"


def test_a_child_that_cannot_start_is_tried_again_at_leisure(reader: Reader) -> None:
    reader._command = [sys.executable, "-c", "raise SystemExit(1)"]
    for uid in range(5):
        reader.ask(Question.USER_NAME, uid)
    started, pids = time.monotonic(), set()
    while time.monotonic() - started < 1:
        reader.take(Question.USER_NAME)
        if reader._child is not None:
            pids.add(reader._child.pid)
        time.sleep(0.01)
    assert len(pids) == 1


def test_a_child_that_cannot_even_be_made_is_no_error_of_the_collector(reader: Reader) -> None:
    """No room for another process or descriptor."""
    reader._command = ["/nonexistent/python"]
    reader.ask(Question.USER_NAME, 0)
    assert not reader.take(Question.USER_NAME)
    reader.settle()
    assert reader._child is None


def test_an_answer_is_as_old_as_its_reading_however_late_it_is_taken(reader: Reader) -> None:
    asked = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    reader.ask(Question.FILESYSTEM, b"/")
    reader.settle()
    reader.ask(Question.USER_NAME, 0)
    wait_for_answer(reader, Question.USER_NAME, 0)
    taken = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    time.sleep(0.3)
    answer = reader.take(Question.FILESYSTEM)[b"/"]
    assert asked < answer.boottime_ns <= taken


def test_the_childs_terminal_does_not_end_it(reader: Reader) -> None:
    reader.ask(Question.USER_NAME, 0)
    wait_for_answer(reader, Question.USER_NAME, 0)
    child = reader._child
    assert child is not None
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGHUP)
    reader.ask(Question.USER_NAME, 1)
    wait_for_answer(reader, Question.USER_NAME, 1)
    assert child.poll() is None
