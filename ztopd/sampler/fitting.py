"""What a frame has room for: where processes are too many for one, those that used most CPU time in their lives stay.

That order hardly changes from frame to frame, so that deltas stay small; what begins to work comes in soon.
"""

from collections.abc import Mapping
from dataclasses import replace
from heapq import nlargest

from ztop_protocol.codec import MAX_FRAME_BYTES
from ztop_protocol.frame import Frame, Key, Row, Section
from ztop_protocol.schema import PROCESSES

PROCESS_SECTIONS = ("processes", "process_executables", "process_io", "process_counters")
"""They have the same keys."""
SPARE = 0.9
"""So much of the room is used: rows grow."""
MORE = 1.1
"""So many times more processes are tried with each keyframe that has room."""

_ALL = 1 << 22
"""No kernel has more."""

_USER, _SYSTEM = PROCESSES.position["user_time_ns"], PROCESSES.position["system_time_ns"]


class Fitting:
    """Learns from the sizes of encoded frames how many processes fit."""

    def __init__(self) -> None:
        self._most: int | None = None
        """None while all do."""
        self.left_out = 0
        """How many processes the last frame was cut by."""

    def fitted(self, frame: Frame) -> Frame:
        """The frame with as many processes as fit."""
        processes = frame.rows("processes")
        self.left_out = 0 if self._most is None else max(0, len(processes) - self._most)
        if not self.left_out:
            return frame
        kept = {key for key, _ in nlargest(self._most or 0, processes.items(), key=_cpu_time)}
        sections = {
            name: _cut(section, kept) if name in PROCESS_SECTIONS else section
            for name, section in frame.sections.items()
        }
        return replace(frame, sections=sections)

    def shrink(self, frame: Frame, sizes: Mapping[str, int]) -> bool:
        """The frame's encoded sections, of these sizes, are too large together: whether fewer processes would do."""
        count = len(frame.rows("processes"))
        of_processes = sum(sizes.get(name, 0) for name in PROCESS_SECTIONS)
        room = MAX_FRAME_BYTES - (sum(sizes.values()) - of_processes)
        if not count or room < MAX_FRAME_BYTES / 2:
            # others are what is too large
            return False
        self._most = min(count - 1, int(SPARE * room * count / of_processes))
        return True

    def grow(self, sizes: Mapping[str, int]) -> None:
        """A whole frame had these sizes: where there is room, the next ones may have more processes."""
        if self._most is not None and sum(sizes.values()) * MORE < SPARE * MAX_FRAME_BYTES:
            more = int(self._most * MORE) + 1
            self._most = more if more < _ALL else None


def _cpu_time(item: tuple[Key, Row]) -> tuple[int, int]:
    (pid, _), row = item
    user, system = row[_USER], row[_SYSTEM]
    used = (user if isinstance(user, int) else 0) + (system if isinstance(system, int) else 0)
    # of equals those with the lower number
    return used, -pid if isinstance(pid, int) else 0


def _cut(section: Section, kept: set[Key]) -> Section:
    return Section(section.sampled_boottime_ns, {key: row for key, row in section.rows.items() if key in kept})
