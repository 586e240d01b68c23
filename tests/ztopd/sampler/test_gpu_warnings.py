"""A warning of a GPU's becomes an event, and names who grows where everyone may know."""

from typing import Any

import pytest

from tests.ztopd.sampler.section_rows import row, section
from ztop_protocol.frame import Section
from ztopd.collectors.nvml.card import VramLow
from ztopd.collectors.nvml.velocity import Eta
from ztopd.collectors.nvml.warnings import MOST_UNTOLD, Warnings
from ztopd.sampler.clocks import Clocks
from ztopd.sampler.events import Events

ETA = Eta(40.0, 38.0, 42.0)
MIB = 1 << 20


def warning(pid: int | None = 7, name: str | None = "NVIDIA T4", **which: Any) -> VramLow:
    return VramLow("GPU-1", name, which.get("is_instance", False), 3, ETA, 200.0 * MIB, 8000 * MIB, pid)


def told(one: VramLow, hidepid: int = 0, start: int | None = 5) -> tuple[object, ...]:
    sections: dict[str, Section] = {
        "host": section("host", 0, [row("host", hidepid=hidepid)]),
        "processes": section("processes", 0, [row("processes", 7, 5, comm="python3")]),
        "gpu_processes": section("gpu_processes", 0, [row("gpu_processes", "GPU-1", 7, start_boottime_ns=start)]),
    }
    warnings = [one]
    events = Events(sections, dict, lambda: Clocks(1, 2, 1), lambda: [warnings.pop()] if warnings else [])
    rows = list(events.collect().sections["events"].values())
    assert events.collect().sections["events"] == {}, "once"
    return next(found[1:] for found in rows if found[1] == "vram_low")


SENTENCE = (
    "the memory of GPU 3 (NVIDIA T4) will be full in about 40 s: 8000 MiB are free, and 200.0 MiB more are used"
    " every second"
)


def test_an_event() -> None:
    assert told(warning()) == ("vram_low", "GPU-1", 40.0, f"{SENTENCE}; pid 7 (python3) grows most")


@pytest.mark.parametrize(
    ("one", "hidepid", "start", "about"),
    [
        (warning(None), 0, 5, ""),
        (warning(), 2, 5, ""),
        (warning(), 0, None, "; pid 7 grows most"),
        (warning(), 0, 6, "; pid 7 grows most"),
        (warning(8), 0, 5, "; pid 8 grows most"),
    ],
    ids=["nobody", "hidden", "of another namespace", "another life", "gone"],
)
def test_who_grows(one: VramLow, hidepid: int, start: int | None, about: str) -> None:
    assert told(one, hidepid, start)[3] == SENTENCE + about


def test_titles() -> None:
    assert warning(name=None).title == "GPU 3"
    assert warning(is_instance=True).title == "MIG instance 3 (NVIDIA T4)"


def test_the_log_has_a_line_that_steers_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    started: list[VramLow] = []
    warnings = Warnings(started.append)
    hostile = warning(name="\x1b[2Jx")
    warnings.warn(hostile)
    assert "GPU 3 (?[2Jx) will be full" in caplog.text and "pid 7 grows most" in caplog.text
    assert started == warnings.take() == [hostile] and warnings.take() == []
    for _ in range(2 * MOST_UNTOLD):
        warnings.warn(hostile)
    assert len(warnings.take()) == MOST_UNTOLD
