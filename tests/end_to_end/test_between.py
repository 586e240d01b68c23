"""GPUs move on the screen between two frames: a real ztopd with a tick of seconds, ztop-g in a terminal."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon, until
from tests.nvml.stand_in import GIB, MIB, StandIn, growing, uuid
from tests.ztop_client.terminal_driver import Driver
from ztop_client.formats import bytes_text

TICK_SECONDS = 1.6

Start = Callable[..., Daemon]


@pytest.fixture
def daemon(folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """This process takes 400 MiB of GPU memory every second."""
    stand_in = StandIn(folder / "nvml")
    stand_in.add_gpu(total=80 * GIB)
    stand_in.set("0", used=growing(4 * GIB, 400 * MIB))
    stand_in.set_process("0", os.getpid(), used=growing(4 * GIB, 400 * MIB))
    stand_in.write()
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    return start(interval=TICK_SECONDS)


def of_frames(daemon: Daemon) -> set[str]:
    """What every frame so far has of it, as the table shows it."""
    with daemon.session() as session:
        newest = session.ping()
        found = set()
        for frame in session.frames(since=0):
            cell = frame.cell("gpu_processes", "vram_bytes", (uuid("0"), os.getpid()))
            found.add(bytes_text(cell))
            if newest is None or frame.seq >= newest:
                return found
    raise AssertionError("the frames ended")


def shown(driver: Driver) -> str | None:
    """The memory of this process on the screen."""
    row = next((line.split() for line in driver.screen.display if f" {os.getpid()} " in line), None)
    return None if row is None else row[5]


def test_memory_moves_between_two_frames_and_the_timeline_does_not_know(daemon: Daemon) -> None:
    environ = {"ZTOP_SOCKET": str(daemon.path), "XDG_CONFIG_HOME": str(daemon.path.parent)}
    with Driver([sys.executable, "-P", "-m", "ztop_client.gpu"], 120, 30, environ) as driver:

        def wait_for_other_than(*known: str) -> str:
            """Memory grows by more than is shown of it: what the screen shows is of no frame, nor one of these."""
            driver.wait(lambda: shown(driver) not in {None, "-", *known, *of_frames(daemon)}, 60)
            return str(shown(driver))

        driver.wait(lambda: shown(driver) is not None, 60)
        between = wait_for_other_than()
        driver.send("Z")
        driver.wait("PAUSED")
        held = str(shown(driver))
        with daemon.session() as session:
            seen = session.ping() or 0
            until(lambda: (session.ping() or 0) >= seen + 2, "two more frames")
        driver.quiet(0.1)
        assert shown(driver) == held
        assert between not in of_frames(daemon)
        driver.send("Z")
        live = wait_for_other_than(held)
        # the past has frames and nothing between them
        driver.send("r")
        driver.wait(lambda: "REWOUND" in driver.text and shown(driver) in of_frames(daemon), 60)
        driver.send("\x1b")
        wait_for_other_than(held, live)
        driver.send("q")
        assert driver.ended() == 0
