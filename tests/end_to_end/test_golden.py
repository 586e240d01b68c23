"""From the files of a machine to what a client gets of it, the whole way, beside what it was when last looked at.

``pytest tests/end_to_end/test_golden.py --update-golden`` writes ``golden/<machine>.json`` anew: read the difference.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import SECONDS, Daemon
from ztop_client import Session
from ztop_protocol.frame import Cell
from ztop_protocol.schema import SECTIONS

FIXTURES = Path(__file__).parents[1] / "fixtures"
GOLDEN = Path(__file__).parent / "golden"
MACHINES = tuple(sorted(path.name for path in FIXTURES.iterdir() if (path / "proc").is_dir()))

LONGEST = 8
"""So many rows of a section are kept; most CPUs, and most processes, are alike."""
VARIES = {
    # the machine that the tests run on, its users, and whose the checkout is
    "host": {"machine"},
    "processes": {"user", "owner_uid", "status_boottime_ns"},
    "process_io": {"owner_uid", "sampled_boottime_ns"},
    "process_executables": {"owner_uid"},
    "filesystems": {
        *("size_bytes", "used_bytes", "available_bytes", "inodes_total", "inodes_used", "inodes_available"),
        "answered_boottime_ns",
    },
    # what time it is, and what that costs here
    "sources": {
        *("cost_ns", "duration_ns", "period_ns", "cpu_time_ns", "rss_bytes"),
        *("sampled_boottime_ns", "skipped"),
    },
}
"""The columns that are left out, by section."""
HAPPENED = {"events", "process_events"}
"""What happens to a machine that stands still happens to ztopd: it started, or was kept waiting."""
GPUS = {"gpus", "gpu_processes"}
"""They are asked of a library, not of files: they are those of the machine that the tests run on."""

Table = list[dict[str, Cell]]


def tables(session: Session) -> dict[str, Table]:
    """The newest frame, its rows in the order of their keys."""
    frame = session.snapshot()
    found: dict[str, Table] = {}
    for name in SECTIONS:
        if name not in frame.sections or name in HAPPENED | GPUS:
            continue
        left_out = VARIES.get(name, set())
        rows = sorted(frame.rows(name).items(), key=lambda item: tuple(map(_in_order, item[0])))
        named = [dict(zip(SECTIONS[name].names, row, strict=True)) for _, row in rows]
        found[name] = [{key: cell for key, cell in row.items() if key not in left_out} for row in named]
        if name == "sources":
            found[name] = [_without_mounts_and_gpus(row) for row in found[name]]
    return found


def _in_order(cell: Cell) -> tuple[bool, float, str]:
    return isinstance(cell, str), 0 if isinstance(cell, str) else float(cell or 0), str(cell)


def _without_mounts_and_gpus(row: dict[str, Cell]) -> dict[str, Cell]:
    # the fixture's mount points are not there, most of them: how it is said varies with the time
    return {"source": row["source"]} if row["source"] in ("filesystems", "gpus") else row


def shortened(found: dict[str, Table]) -> dict[str, object]:
    """What is kept: the first rows of each section, and how many there are."""
    return {name: {"rows": len(rows), "first": rows[:LONGEST]} for name, rows in found.items()}


def is_whole(found: dict[str, Table]) -> bool:
    """Whether the server was there for a tick, and the reader child has answered.

    Every process that has a program has its command line then.
    """
    with_program = {row["pid"] for row in found.get("process_executables", [])}
    with_line = {row["pid"] for row in found["processes"] if row["command_line"] is not None}
    return with_program <= with_line and any(row["source"] == "server" for row in found["sources"])


@pytest.mark.skipif(
    os.geteuid() not in (0, FIXTURES.stat().st_uid), reason="the fixtures' processes belong to the checkout's owner"
)
@pytest.mark.parametrize("machine", MACHINES)
def test_golden(machine: str, start: Callable[..., Daemon], update_golden: bool) -> None:
    fixture = FIXTURES / machine
    daemon = start("--proc", str(fixture / "proc"), "--sys", str(fixture / "sys"))
    with daemon.session() as session:
        deadline = time.monotonic() + SECONDS
        found = tables(session)
        while not is_whole(found):
            assert time.monotonic() < deadline, "not all came"
            time.sleep(0.1)
            found = tables(session)
        # the machine stands still: so does what is said of it
        first = session.ping()
        assert first is not None
        while (session.ping() or 0) < first + 2:
            time.sleep(0.05)
        assert tables(session) == found
        for row in session.top(limit=1000):
            assert row["cpu_percent"] in (0, None)
        (host,) = found["host"]
        pid = min(int(str(row["pid"])) for row in found["processes"] if row["threads"] == 1)
        assert host["hostname"]
        if (fixture / "proc" / str(pid) / "task").is_dir():
            # the server reads threads from the same place
            assert [row["tid"] for row in session.threads(pid)] == [pid]
    text = json.dumps(shortened(found), indent=1) + "\n"
    file = GOLDEN / f"{machine}.json"
    if update_golden:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert len(text) < 100_000
    assert json.loads(text) == json.loads(file.read_text())
