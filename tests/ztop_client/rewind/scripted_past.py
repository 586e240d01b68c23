"""A scripted machine that remembers; run as a program it is `ztop` on it, as fake_source.py is without a past.

python -m tests.ztop_client.rewind.scripted_past [--pid PID] [--interval SECONDS] [--hostile] [--redact]
"""

import argparse
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.ztop_client.fake_source import (
    BOOT_ID,
    GIBIBYTE,
    SECOND,
    FakeSource,
    busy_table,
    frame,
    here,
    process,
    process_io,
    real_row,
    row,
    with_sections,
)
from tests.ztop_client.hostile import HOSTILE
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import ASCII
from ztop_client.moments import moment_text
from ztop_client.sources.recorded_answers import answer
from ztop_client.view import View
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Cell, Frame, Row
from ztop_protocol.recording_reader import StoredSegment
from ztop_protocol.schema import SECTIONS, Kind
from ztop_protocol.segment import Segment, encode_step
from ztop_protocol.timeline import Timeline

PAST = 200
"""So many frames were made before it starts."""
BURST_PID = 90
BURST = range(63, 67)
"""The frames in which that process is there; from the second one on it uses a core."""
EVENTS = {
    30: ("oom_kill", "memory ran out: pid 117 (task117) was ended"),
    65: ("cpu_spike", "2.0 cores were busy, usually 1.1; most CPU was used by pid 90 (burst), 100 % of a core"),
    150: ("pressure_spike", "tasks waited for memory 40 % of the time"),
}
"""Frame -> what happened then: kind and detail."""
_SEGMENT_FRAMES = 30


def clock(seq: int) -> str:
    """The wall time of a frame as the title has it."""
    return moment_text((1_700_000_000 + seq) * SECOND)


class ScriptedPast(FakeSource):
    """A source that answers what a daemon that remembers its frames would."""

    def __init__(self) -> None:
        super().__init__()
        self._timeline: Timeline[StoredSegment | Segment] = Timeline()
        self._kept: Frame | None = None
        # frames are made in a thread
        self._lock = threading.Lock()

    def remember(self, new: Frame) -> None:
        """Keeps a frame."""
        with self._lock:
            growing = self._timeline.newest
            if isinstance(growing, Segment) and len(growing.stamps) < _SEGMENT_FRAMES:
                growing.add(encode_step(self._kept, new, whole=False))
            else:
                self._timeline.append(Segment.begun_by(encode_step(None, new, whole=True), SECOND))
            self._kept = new

    def ask(self, method: str, arguments: Arguments, done: Callable[[Any], None]) -> None:
        if method == "threads":
            super().ask(method, arguments, done)
            return
        with self._lock:
            found = answer(self._timeline, method, arguments)
        done(found)


def made(seq: int, pid: int | None = None, hostile: bool = False) -> Frame:
    """The frame of that number: of busy_table's processes, now and then the burst, and a real one."""
    rows = busy_table(60)(seq)
    if pid is not None and Path(f"/proc/{pid}").exists():
        rows.append(real_row(pid))
    if seq in BURST:
        used = (seq - BURST.start) * SECOND
        rows.append(process(BURST_PID, (1000 + BURST.start - 1) * SECOND, comm="burst", user_time_ns=used))
    if hostile:
        busy = seq * SECOND * 99 // 100
        rows += [process(300 + n, comm=text, command_line=text, user_time_ns=busy) for n, text in enumerate(HOSTILE)]
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip() if pid is not None else BOOT_ID
    return with_sections(
        frame(seq, rows, boot_id=boot_id, host=here()),
        ("events", _events(seq, hostile)),
        ("summary", [_summary(seq)]),
        ("process_io", process_io(seq, rows)),
        ("process_executables", []),
    )


def _events(seq: int, hostile: bool) -> list[Row]:
    if hostile and seq % 10 == 0:
        text = HOSTILE[seq // 10 % len(HOSTILE)]
        return [row("events", number=seq, kind="cpu_spike", subject=text, detail=text)]
    if seq not in EVENTS or hostile:
        return []
    kind, detail = EVENTS[seq]
    return [row("events", number=seq, kind=kind, detail=detail)]


def _summary(seq: int) -> Row:
    """Half of the two CPUs is busy, and all of them during the burst."""
    kinds = {column.name: column.kind for column in SECTIONS["summary"].columns}
    cells: dict[str, Cell] = {name: 0 for name, kind in kinds.items() if kind in (Kind.COUNTER, Kind.GAUGE)}
    burst = max(0, min(seq, BURST.stop - 1) - BURST.start)
    cells |= {"cpu_busy_time_ns": (seq + burst) * SECOND, "cpu_count": 2, "disk_read_bytes": seq << 20}
    return row("summary", **{**cells, "memory_total_bytes": 16 * GIBIBYTE, "memory_used_bytes": 5 * GIBIBYTE})


def main() -> int:
    from ztop_client.monitor import watch

    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int)
    parser.add_argument("--interval", type=float, default=0.3)
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--redact", action="store_true")
    options = parser.parse_args()
    source = ScriptedPast()

    def make(seq: int) -> None:
        new = made(seq, options.pid, options.hostile)
        source.remember(new)
        source.push(new)

    def feed() -> None:
        for seq in itertools.count(PAST + 1):
            make(seq)
            time.sleep(options.interval)

    for seq in range(1, PAST + 1):
        make(seq)
    threading.Thread(target=feed, daemon=True).start()
    return watch(source, View(tabs(), ASCII), redact=options.redact)


if __name__ == "__main__":
    raise SystemExit(main())
