"""Rewind in a real terminal, against a real ztopd: what was is found, shown whole, and acted on only where it lives."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon, until
from tests.ztop_client.terminal_driver import Driver, first_pid, rows, selected_pid

pytestmark = pytest.mark.slow

COLUMNS, LINES = 120, 32
LEFT, RIGHT, END, HOME, ESC, F9 = "\x1b[D", "\x1b[C", "\x1b[F", "\x1b[H", "\x1b", "\x1b[20~"
BURN_SECONDS = 3
SECOND = 10**9
BURN = f"import time\nend = time.monotonic() + {BURN_SECONDS}\nwhile time.monotonic() < end: pass"
CLOCK = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")

Start = Callable[..., Driver]


@pytest.fixture
def ztop(tmp_path: Path) -> Iterator[Start]:
    drivers: list[Driver] = []

    def run(*arguments: str) -> Driver:
        environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
        command = [sys.executable, "-P", "-W", "error", "-m", "ztop_client", *arguments]
        drivers.append(Driver(command, COLUMNS, LINES, environ))
        return drivers[-1]

    yield run
    for driver in drivers:
        driver.__exit__(None, None, None)


def title(driver: Driver) -> str:
    return driver.screen.display[0]


def clock(driver: Driver) -> str:
    found = CLOCK.search(title(driver))
    return found[0] if found else ""


def is_live(driver: Driver) -> bool:
    return "live" in title(driver) and "REWOUND" not in title(driver)


def enter(driver: Driver) -> None:
    driver.wait(lambda: is_live(driver) and bool(rows(driver)))
    driver.send("r")
    driver.wait(lambda: "REWOUND" in title(driver) and bool(clock(driver)))


@dataclass(frozen=True, slots=True)
class Loop:
    """A process that burned CPU, and is gone. Wall times."""

    pid: int
    began_ns: int
    ended_ns: int


def burn() -> Loop:
    began_ns = time.time_ns()
    # beside others on a busy machine it is to be the greatest
    before = (lambda: os.setpriority(os.PRIO_PROCESS, 0, -15)) if os.geteuid() == 0 else None
    with subprocess.Popen([sys.executable, "-c", BURN], preexec_fn=before) as burning:
        pass
    return Loop(burning.pid, began_ns, time.time_ns())


def spikes(daemon: Daemon, loop: Loop) -> int:
    """How many spikes began while it burned: on a machine that is busy anyway there is none."""
    with daemon.session() as session:
        kinds = ["cpu_spike", "pressure_spike"]
        return sum(1 for _ in session.events(since=loop.began_ns, until=loop.ended_ns, kinds=kinds))


def event_said(driver: Driver) -> str:
    """The event that the last line speaks of, or the last two for a long sentence."""
    for first in (LINES - 1, LINES - 2):
        said = " ".join(line.strip() for line in driver.screen.display[first:])
        if CLOCK.match(said):
            return said
    return ""


def has_come_to_another(driver: Driver, before: str) -> bool:
    """Whether another event than that one is said and its frame is shown, or there is none."""
    said = event_said(driver)
    is_there = said not in ("", before) and said.startswith(clock(driver))
    return is_there or "No event is remembered" in driver.text


def go_to(driver: Driver, loop: Loop, is_spike_known: bool) -> None:
    """With ``[`` to the spike that the loop made, where there is one; then to a frame in which it is the greatest."""
    began, ended = (f"{datetime.fromtimestamp(ns / 1e9):%Y-%m-%d %H:%M:%S}" for ns in (loop.began_ns, loop.ended_ns))
    driver.send("P")
    for _ in range(50):
        if began <= clock(driver) <= ended or "No event is remembered" in driver.text:
            break
        before = event_said(driver)
        driver.send("[")
        driver.wait(lambda before=before: has_come_to_another(driver, before))  # type: ignore[misc]
    if is_spike_known:
        assert began <= clock(driver) <= ended, f"{began} {ended}\n{driver.text}"
    # the spike's frame may be the first in which it ran, and beside others it is not the greatest in every frame
    middle_ns = (loop.began_ns + loop.ended_ns) // 2
    driver.send(f"b@{middle_ns / SECOND:.1f}\r")
    driver.wait(lambda: began <= clock(driver) <= ended and "Go to" not in driver.text and "…" not in title(driver))
    for key in (RIGHT, LEFT):
        for _ in range(10):
            driver.quiet(0.2)
            if first_pid(driver) == str(loop.pid):
                return
            driver.send(key)
    raise AssertionError(f"{loop.pid} is not on top\n{driver.text}")


def check_it_is_shown_whole(driver: Driver, loop: Loop) -> None:
    """On top with its CPU; its page; no signal reaches it."""
    row = driver.screen.display[rows(driver)[0]].split()
    assert row[0] == str(loop.pid)
    assert float(row[8]) > 20, row
    driver.send("N")
    driver.wait("PID▲")
    driver.send("P")
    driver.wait(lambda: "CPU%▼" in driver.text and first_pid(driver) == str(loop.pid))
    while selected_pid(driver) != str(loop.pid):
        driver.send("\x1b[A" * 50)
        driver.wait(lambda: selected_pid(driver) == str(loop.pid))
    driver.send("\r")
    driver.wait(lambda: "What it is" in driver.text and f"{loop.pid} " in driver.text)
    assert "-c" in driver.line_with("Command")
    # the page goes along through time
    for key, said in ((".", "HAS ENDED"), (",", "NOT STARTED YET")):
        for _ in range(30):
            driver.send(key)
            driver.quiet(0.1)
            if said in driver.text:
                break
        else:
            raise AssertionError(f"never: {said}\n{driver.text}")
    driver.send(ESC)
    driver.wait("PID USER")


def check_no_signal_reaches_it(driver: Driver, loop: Loop) -> None:
    driver.send(F9)
    driver.wait(f"Signal to {loop.pid}")
    driver.send("\r")
    driver.wait("Send SIGTERM to:")
    driver.send("y")
    driver.wait(lambda: f"{loop.pid} " in driver.text and "has ended" in driver.text)


def test_a_loop_that_is_gone_is_found_and_shown_whole(
    start: Callable[..., Daemon], ztop: Start, tmp_path: Path
) -> None:
    daemon = start()
    # what is usual is known by then
    with daemon.session() as session:
        until(lambda: (session.ping() or 0) > 60, "twelve seconds")
    loop = burn()
    with daemon.session() as session:
        until(lambda: session.snapshot([]).time_ns > loop.ended_ns + SECOND, "a frame after it")
    is_spike_known = spikes(daemon, loop) > 0
    driver = ztop("--socket", str(daemon.path))
    enter(driver)
    go_to(driver, loop, is_spike_known)
    check_no_signal_reaches_it(driver, loop)
    check_it_is_shown_whole(driver, loop)
    driver.send(END)
    driver.wait(lambda: is_live(driver))
    driver.wait(lambda: first_pid(driver) != str(loop.pid))

    # the same from a file, without a daemon
    path = tmp_path / "incident.ztop"
    enter(driver)
    driver.send(f"S\x15{path}\r")
    driver.wait("frames are in")
    driver.send("q")
    assert driver.ended() == 0
    daemon.stop()
    driver = ztop("--replay", str(path), "--at", "now")
    driver.wait(lambda: "recorded -0s" in title(driver) and bool(rows(driver)))
    go_to(driver, loop, is_spike_known)
    check_no_signal_reaches_it(driver, loop)
    check_it_is_shown_whole(driver, loop)
    driver.send(END)
    driver.wait(lambda: "recorded -" not in title(driver) and "reco" in title(driver))
    driver.send("q")
    assert driver.ended() == 0


def test_one_that_lives_still_can_be_signalled_from_the_past(daemon: Daemon, ztop: Start) -> None:
    with subprocess.Popen(["sleep", "1000"]) as victim:
        try:
            with daemon.session() as session:
                seen = session.ping() or 0
                until(lambda: (session.ping() or 0) > seen + 10, "frames with it")
            driver = ztop("--socket", str(daemon.path), "-p", str(victim.pid))
            enter(driver)
            driver.send(LEFT * 5)
            driver.wait(lambda: selected_pid(driver) == str(victim.pid) and "REWOUND 0s" not in title(driver))
            driver.send(F9)
            driver.wait(f"Signal to {victim.pid} sleep")
            driver.send("\r")
            driver.wait("Send SIGTERM to:")
            driver.send("y")
            driver.wait("SIGTERM sent to")
            assert victim.wait(10) == -signal.SIGTERM
        finally:
            victim.kill()


def mouse(driver: Driver, event: int, column: int, line: int, end: str = "M") -> None:
    driver.send(f"\x1b[<{event};{column};{line}{end}")


def test_a_click_goes_there_and_dragging_scrubs(daemon: Daemon, ztop: Start) -> None:
    with daemon.session() as session:
        until(lambda: (session.ping() or 0) > 60, "twelve seconds")
    driver = ztop("--socket", str(daemon.path))
    enter(driver)
    newest = clock(driver)
    strip = LINES - 2
    mouse(driver, 0, 30, strip)
    driver.wait(lambda: clock(driver) < newest)
    first = clock(driver)
    for column in (40, 60, 90):
        mouse(driver, 32, column, strip)
    driver.wait(lambda: clock(driver) > first)
    dragged = clock(driver)
    # outside of it, too, as long as the button is held
    mouse(driver, 32, 2, 5)
    driver.wait(lambda: clock(driver) < first)
    mouse(driver, 0, 2, 5, "m")
    mouse(driver, 32, 90, strip)
    driver.quiet()
    assert clock(driver) < first < dragged
    # a button of the last line
    mouse(driver, 0, 1 + driver.screen.display[LINES - 1].index("EndLive"), LINES)
    driver.wait(lambda: is_live(driver))


def test_esc_is_live_again_and_q_quits_from_there(daemon: Daemon, ztop: Start) -> None:
    driver = ztop("--socket", str(daemon.path))
    enter(driver)
    driver.send(LEFT)
    driver.send(ESC)
    driver.wait(lambda: is_live(driver))
    enter(driver)
    driver.send("q")
    assert driver.ended() == 0


def test_what_is_at_hand_is_shown_without_the_daemon_and_the_store_has_the_rest(folder: Path, ztop: Start) -> None:
    path, store = folder / "kept.sock", str(folder / "store")
    daemon = Daemon(path, "--store", store)
    driver = ztop("--socket", str(path))
    driver.wait(lambda: is_live(driver))
    with daemon.session() as session:
        until(lambda: (session.ping() or 0) > 30, "six seconds")
    enter(driver)
    driver.send(LEFT * 3)
    driver.wait(lambda: "REWOUND 0s" not in title(driver))
    daemon.stop()
    driver.wait(lambda: "reconnecting" in title(driver) and "REWOUND" in title(driver))
    before = clock(driver)
    driver.send(LEFT * 6)
    driver.wait(lambda: "" < clock(driver) < before)
    last = clock(driver)
    # what is not at hand is said to be out of reach, and the screen stays
    driver.send("]")
    driver.wait(lambda: "no connection" in driver.text or "No event" in driver.text)
    assert clock(driver) == last
    again = Daemon(path, "--store", store)
    try:
        driver.wait(lambda: "reconnecting" not in title(driver))
        with again.session() as session:
            until(lambda: session.ping() is not None, "a frame")
        driver.send(END)
        enter(driver)
        driver.wait(lambda: clock(driver) > last)
        driver.send(f"b{last}\r")
        driver.wait(lambda: "" < clock(driver) <= last)
        driver.send(HOME)
        driver.wait(lambda: "" < clock(driver) < before)
        driver.send("q")
        assert driver.ended() == 0
    finally:
        again.stop()


@pytest.mark.skipif(os.path.exists("/run/ztopd/ztopd.sock"), reason="a daemon runs here: ztop would talk to it")
def test_a_private_daemon_remembers_too(ztop: Start) -> None:
    driver = ztop("-d", "0.2")
    driver.wait(lambda: is_live(driver) and "private" in title(driver))
    driver.wait(lambda: bool(rows(driver)))
    for _ in range(3):
        second = driver.screen.display[0].split()[-1]
        driver.wait(lambda second=second: driver.screen.display[0].split()[-1] != second)  # type: ignore[misc]
    enter(driver)
    newest = clock(driver)
    driver.send(HOME)
    driver.wait(lambda: "" < clock(driver) < newest)
    driver.send(RIGHT * 3)
    driver.quiet()
    driver.send("x")
    driver.wait("Explain: ")
    driver.send(ESC)
    driver.wait(lambda: "Explain: " not in driver.text)
    driver.send(END)
    driver.wait(lambda: is_live(driver))
    driver.send("q")
    assert driver.ended() == 0
