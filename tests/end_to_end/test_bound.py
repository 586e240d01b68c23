"""A real ztopd that may take next to nothing of a core: it samples less often, and every frame says so."""

import sys
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon, frame_where, until
from tests.ztop_client.terminal_driver import Driver
from ztop_protocol.frame import Frame

pytestmark = pytest.mark.slow

NEXT_TO_NOTHING = "cpu_percent = 0.1\n"


def period_ns(frame: Frame) -> object:
    return frame.cell("sources", "period_ns", ("sampler",))


def test_over_its_share_it_samples_less_often_and_no_gap_comes_of_it(tmp_path: Path) -> None:
    configuration = tmp_path / "ztopd.toml"
    configuration.write_text(NEXT_TO_NOTHING)
    daemon = Daemon(tmp_path / "socket", "--config", str(configuration), interval=0.5)
    try:
        with daemon.session() as session:
            assert period_ns(session.snapshot()) == 500_000_000
            slowed = frame_where(session, lambda frame: period_ns(frame) != 500_000_000)
            assert period_ns(slowed) == 1_000_000_000
            assert slowed.cell("sources", "state", ("bound",)) == "degraded"
            reason = slowed.cell("sources", "reason", ("bound",))
            assert isinstance(reason, str) and reason.startswith("a frame every 1 s, not every 0.5 s")
            for process in ("sampler", "server"):
                for column in ("cpu_time_ns", "rss_bytes"):
                    assert slowed.cell("sources", column, (process,)), (process, column)
            frames = session.frames()
            later = [next(frames) for _ in range(4)]
            frames.close()  # type: ignore[attr-defined]
            assert later[-1].boottime_ns - later[-2].boottime_ns > 900_000_000
            assert session.status()["current_interval_ns"] in (1_000_000_000, 2_000_000_000)
            assert session.status()["interval_ns"] == 500_000_000
            # between two frames at the longer interval the past has an answer, and no gap
            middle = later[-2].time_ns + 700_000_000
            assert (then := session.asof(middle)).pair.current.seq == later[-2].seq
            assert not then.gap
            environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
            command = [sys.executable, "-P", "-W", "error", "-m", "ztop_client", "--socket", str(daemon.path)]
            with Driver(command, 80, 24, environ) as driver:
                driver.wait(lambda: "SLOWED to" in driver.screen.display[0])
                driver.send("?s")
                driver.wait("% of a core")
                driver.wait("raise cpu_percent")
            events = [event["kind"] for event in session.events(0) if event["kind"] == "gap"]
            assert events == []
    finally:
        daemon.stop()
    until(lambda: not daemon.family(), "all have ended")
