"""The screen of a recording and of one moment, in a real terminal and without any daemon."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon, memory
from tests.ztop_client.fake_source import BOOT_ID, SECOND, busy_table, frame, here, process_io, real_row, with_sections
from tests.ztop_client.terminal_driver import Driver, first_pid, selected_pid
from ztop_client.moments import moment_text
from ztop_protocol.frame import Frame, Row
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.segment import encode_step

COUNT = 400
F9, ESC = "\x1b[20~", "\x1b"


def recorded(seq: int, step_ns: int, more: list[Row], boot_id: str = BOOT_ID) -> Frame:
    """A frame every ``step_ns``, of a machine that has the processes of the script and some more."""
    rows = [*busy_table(60)(seq), *more]
    base = frame(seq, rows, boot_id=boot_id, host=here())
    at_ns = seq * step_ns
    base = with_sections(
        replace(base, boottime_ns=1000 * SECOND + at_ns, time_ns=1_700_000_000 * SECOND + at_ns),
        ("process_io", process_io(seq, rows)),
        ("process_executables", []),
    )
    sections = {name: replace(one, sampled_boottime_ns=base.boottime_ns) for name, one in base.sections.items()}
    return replace(base, sections=sections)


def write(path: Path, frames: list[Frame]) -> str:
    writer = RecordingWriter(str(path), SECOND // 10, segment_frames=20)
    before = None
    for one in frames:
        writer.add(encode_step(before, one, whole=writer.needs_keyframe))
        before = one
    writer.close()
    return str(path)


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """Forty seconds, ten frames each."""
    return write(tmp_path / "incident.ztop", [recorded(seq, SECOND // 10, []) for seq in range(1, COUNT + 1)])


Start = Callable[..., Driver]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    drivers: list[Driver] = []

    def run(*arguments: str) -> Driver:
        # a daemon that runs here must not be found
        environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "ZTOP_SOCKET": str(tmp_path / "none")}
        command = [sys.executable, "-P", "-m", "ztop_client", *arguments]
        drivers.append(Driver(command, columns=120, environ=environ))
        return drivers[-1]

    yield run
    for driver in drivers:
        driver.__exit__(None, None, None)


def title(driver: Driver) -> str:
    return driver.screen.display[0]


def clock(driver: Driver) -> str:
    found = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", title(driver))
    return found[0] if found else ""


def test_it_plays_and_pauses(recording: str, start: Start) -> None:
    driver = start("--replay", recording)
    driver.wait("recorded")
    driver.wait(lambda: first_pid(driver) == "149")
    assert "replay incident.ztop" in title(driver) and "live" not in title(driver)
    first = clock(driver)
    assert moment_text(1_700_000_000 * SECOND) <= first < moment_text(1_700_000_040 * SECOND)
    driver.wait(lambda: clock(driver) > first)
    driver.send("Z")
    driver.wait("PAUSED")
    driver.quiet()
    still = clock(driver)
    time.sleep(1.2)
    driver.quiet()
    assert clock(driver) == still
    driver.send("Z")
    driver.wait(lambda: "PAUSED" not in title(driver))
    # it goes on from where it stood
    driver.wait(lambda: clock(driver) > still)
    driver.send("+")
    driver.wait("The past has a pace of its own.")
    driver.send("q")
    assert driver.ended() == 0


def test_it_begins_where_it_is_asked_to_and_stays_on_its_last_frame(recording: str, start: Start) -> None:
    driver = start("--replay", recording, "--from", "-1s")
    driver.wait("end of recording")
    assert clock(driver) == moment_text(1_700_000_040 * SECOND)
    driver.send("P")
    driver.wait(lambda: first_pid(driver) == "149")
    driver.send("\t")
    driver.wait("READ/s")
    assert "This moment was kept without" not in driver.text
    driver.send("H")
    driver.wait("This moment was kept without what this view adds.")


def test_one_moment_of_a_recording(recording: str, start: Start) -> None:
    driver = start("--replay", recording, "--at", "-20s")
    driver.wait(lambda: first_pid(driver) == "149")
    assert re.search(r"replay incident\.ztop .* recorded -20s +2023-11-1\d", title(driver))
    shown = clock(driver)
    assert shown == moment_text(1_700_000_020 * SECOND)
    time.sleep(1.2)
    driver.quiet()
    assert clock(driver) == shown


def test_one_moment_of_a_daemon(tmp_path: Path, start: Start) -> None:
    now_ns = time.time_ns()
    frames = [replace(made, time_ns=now_ns + (made.seq - 200) * SECOND) for made in
              (recorded(seq, SECOND, []) for seq in range(1, 60))]  # fmt: skip
    path = str(tmp_path / "socket")
    with FakeDaemon(frames, path=path) as daemon:
        daemon.answers |= memory(frames)
        daemon.in_background()
        driver = start("--socket", path, "--at", "-150s")
        driver.wait(lambda: first_pid(driver) == "149")
        driver.wait(lambda: re.search(r"REWOUND \d+s", title(driver)) is not None)
        assert "live" not in title(driver)
        driver.send("\x1b[F")
        driver.wait(lambda: "live" in title(driver))


def test_nothing_of_that_time_is_a_sentence(recording: str, start: Start) -> None:
    for arguments, sentence in (
        (("--at", "@5"), "has nothing of 1970-01-0"),
        (("--from", "@9000000000"), "no frame from"),
    ):
        driver = start("--replay", recording, *arguments)
        assert driver.ended() == 1
        assert sentence in driver.text


def test_damage_is_said(recording: str, start: Start) -> None:
    with sqlite3.connect(recording) as connection:
        connection.execute("UPDATE tracks SET body = zeroblob(99) WHERE section = 'memory' AND segment > 1")
    connection.close()
    driver = start("--replay", recording)
    driver.wait("a segment was left out: ")
    driver.wait("end of recording")
    assert "replay incident.ztop (damaged)" in title(driver)


def test_its_processes_are_of_another_machine(recording: str, start: Start) -> None:
    driver = start("--replay", recording, "--at", "now")
    driver.wait(lambda: first_pid(driver) == "149")
    driver.send("k\ry")
    driver.wait("149 task149 (alice) is of another machine, or of a time before this boot.")
    driver.send("\r")
    driver.wait("What it is")
    driver.send("2")
    driver.wait("(this was not kept: the threads of a process are read while somebody looks at them)")
    driver.send("3")
    driver.wait("is of another machine, or of a time before this boot.")


def test_a_process_that_is_still_there_can_be_signalled(tmp_path: Path, start: Start) -> None:
    """Boot, namespace, pid and start time are its own: the recording is of this machine."""
    with subprocess.Popen(["sleep", "1000"]) as victim:
        try:
            row = real_row(victim.pid)
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            frames = [recorded(seq, SECOND, [row], boot_id) for seq in range(1, 4)]
            driver = start("--replay", write(tmp_path / "here.ztop", frames), "--at", "now", "-p", str(victim.pid))
            driver.wait(lambda: selected_pid(driver) == str(victim.pid))
            driver.send(F9 + "\r")
            driver.wait("Send SIGTERM to:")
            driver.send("y")
            driver.wait("SIGTERM sent to")
            assert victim.wait(10) == -signal.SIGTERM
        finally:
            victim.kill()


def test_a_terminal_that_hangs_up_ends_it(recording: str, start: Start) -> None:
    driver = start("--replay", recording)
    driver.wait("recorded")
    driver.close_terminal()
    assert driver.ended() in (0, 1, -signal.SIGHUP)
    assert not os.path.exists(f"{recording}-journal")
