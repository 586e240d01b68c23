"""The processes that were there between two moments: what each used, when it began, when it ended. Pure.

What a process did to its files is read within 10 s where it rests, and counts when it was read. What one used after
it was seen last, at most until the next frame, is not known; nor is anything of one that no frame shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import TypeAlias

from ztop_client.difference.growth import Growth
from ztop_protocol.frame import Cell, Frame, Key, Row, Section
from ztop_protocol.schema import PROCESSES

MOST_ENDED = 10_000
"""So many processes that ended keep a row of their own, those with the most CPU time; the others are summed by name."""
MOST_SUMS = 4096
"""Of name, user and cgroup; what is more is one sum without any of them."""

_COUNTERS = ("user_time_ns", "system_time_ns", "minor_faults", "major_faults", "block_io_delay_ns")
_IO = ("io_read_bytes", "io_write_bytes")
_RSS, _STATE, _START, _COMM, _USER, _CGROUP, _COMMAND_LINE, _KERNEL_THREAD = (
    PROCESSES.position[name]
    for name in ("rss_bytes", "state", "start_boottime_ns", "comm", "user", "cgroup", "command_line", "kernel_thread")
)


@dataclass(frozen=True, slots=True)
class Use:
    """What one process, or several, used between two moments. None: not known, or not visible.

    ``rss_before_bytes``: resident memory at the first moment, 0 of what was born since. ``rss_after_bytes``: at the
    second one, or when it was seen last. ``rss_grown_bytes``: by how much it grew; negative where it shrank.
    """

    cpu_time_ns: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    block_io_delay_ns: int | None = None
    rss_before_bytes: int | None = None
    rss_after_bytes: int | None = None
    rss_grown_bytes: int | None = None

    @property
    def io_bytes(self) -> int | None:
        """Read and written."""
        return sum_of_known((self.io_read_bytes, self.io_write_bytes))


_cells = attrgetter(*(field.name for field in fields(Use)))


def together(uses: Iterable[Use]) -> Use:
    """What several used, as far as it is known."""
    return Use(*map(sum_of_known, zip(*map(_cells, uses), strict=True)))


def sum_of_known(numbers: Iterable[int | None]) -> int | None:
    """None where nothing is known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """One process between two moments, its texts as they were last.

    Where very many ended, those that used least are summed up: such a row stands for ``processes`` of one name, user
    and cgroup (None of each: of any), and has no pid and no times.
    """

    pid: int | None
    start_boottime_ns: int | None
    name: str | None
    user: str | None
    cgroup: str | None
    command_line: str | None
    kernel_thread: bool
    is_born: bool
    """It began between the moments."""
    born_time_ns: int | None
    """The wall time of that."""
    is_ended: bool
    ended_after_time_ns: int | None
    """When it was last seen (wall time); it ended between then and the next frame."""
    ended_before_time_ns: int | None
    blocked_frames: int
    """In how many frames it waited for a device (state D)."""
    use: Use
    processes: int = 1


_Texts: TypeAlias = tuple[str | None, str | None, str | None, bool]
"""Name, user, cgroup, and whether they were born in between."""


@dataclass(slots=True)
class _Life:
    is_born: bool
    born_time_ns: int | None
    rss_before_bytes: int | None
    blocked_frames: int = 0
    ended: tuple[int, int] | None = None


class Lives:
    """Follows the processes from frame to frame; ``since_boot``: everything there is began since."""

    def __init__(self, *, since_boot: bool) -> None:
        self._counters = Growth("processes", _COUNTERS, since_boot=since_boot)
        self._io = Growth("process_io", _IO, since_boot=since_boot)
        self._is_first = not since_boot
        self._lives: dict[Key, _Life] = {}
        self._ended: dict[Key, None] = {}
        self._blocked: set[Key] = set()
        self._sampled_ns = self._time_ns = 0
        """When the processes were seen last, in boot time and in wall time."""
        self._sums: dict[_Texts, ProcessUse] = {}
        self.born = 0
        self.ended = 0

    @property
    def interval_ns(self) -> int | None:
        """The boot time over which CPU time was counted."""
        return self._counters.interval_ns

    def take(self, frame: Frame) -> None:
        """The next frame."""
        section, io = frame.sections.get("processes"), frame.sections.get("process_io")
        if self._is_first:
            # what comes later is not known from here on
            nothing = Section(frame.boottime_ns, {})
            section, io = section or nothing, io or nothing
        for key in self._io.take(io).gone:
            if key not in self._lives:
                self._io.drop(key)
        if section is None or section.sampled_boottime_ns <= self._sampled_ns:
            return
        changes = self._counters.take(section)
        time_ns = frame.time_ns - frame.boottime_ns + section.sampled_boottime_ns
        for key in changes.appeared:
            self._appear(key, section.rows[key], frame)
        for key in (*changes.appeared, *changes.changed):
            if section.rows[key][_STATE] == "D":
                self._blocked.add(key)
            else:
                self._blocked.discard(key)
        for key in changes.gone:
            self._blocked.discard(key)
            self._lives[key].ended = (self._time_ns, time_ns)
            self._ended[key] = None
            self.ended += 1
        for key in self._blocked:
            self._lives[key].blocked_frames += 1
        self._sampled_ns, self._time_ns, self._is_first = section.sampled_boottime_ns, time_ns, False
        if len(self._ended) >= 2 * MOST_ENDED:
            self._sum_up()

    def _appear(self, key: Key, row: Row, frame: Frame) -> None:
        life = self._lives.get(key)
        if life is not None:
            # it was hidden, or left out
            life.ended = None
            del self._ended[key]
            self.ended -= 1
            return
        is_born = self._counters.is_born(key)
        rss = 0 if is_born else row[_RSS] if self._is_first else None
        born_time_ns = None
        if is_born:
            self.born += 1
            start = row[_START]
            born_time_ns = frame.time_ns - frame.boottime_ns + start if isinstance(start, int) else None
        self._lives[key] = _Life(is_born, born_time_ns, rss if isinstance(rss, int) else None)

    def _sum_up(self) -> None:
        rows = sorted(((self._row(key), key) for key in self._ended), key=lambda row: row[0].use.cpu_time_ns or 0)
        for row, key in rows[:-MOST_ENDED]:
            self._counters.drop(key)
            self._io.drop(key)
            del self._lives[key], self._ended[key]
            self._add_to_sum(row)

    def _add_to_sum(self, row: ProcessUse) -> None:
        texts: _Texts = (row.name, row.user, row.cgroup, row.is_born)
        if texts not in self._sums and len(self._sums) >= MOST_SUMS:
            texts = (None, None, None, row.is_born)
        name, user, cgroup, is_born = texts
        known = self._sums.get(texts) or ProcessUse(
            *(None, None, name, user, cgroup, None, False, is_born, None, True, None, None, 0), Use(), processes=0
        )
        self._sums[texts] = replace(known, use=together((known.use, row.use)), processes=known.processes + 1)

    def rows(self) -> list[ProcessUse]:
        """Every process that was seen, and the sums."""
        return [*(self._row(key) for key in self._lives), *self._sums.values()]

    def _row(self, key: Key) -> ProcessUse:
        life, row = self._lives[key], self._counters.row(key)
        after_ns, before_ns = life.ended or (None, None)
        return ProcessUse(
            pid=_number(key[0]),
            start_boottime_ns=_number(key[1]),
            name=_text(row[_COMM]),
            user=_text(row[_USER]),
            cgroup=_text(row[_CGROUP]),
            command_line=_text(row[_COMMAND_LINE]),
            kernel_thread=row[_KERNEL_THREAD] is True,
            is_born=life.is_born,
            born_time_ns=life.born_time_ns,
            is_ended=life.ended is not None,
            ended_after_time_ns=after_ns,
            ended_before_time_ns=before_ns,
            blocked_frames=life.blocked_frames,
            use=self._use(key, life, _number(row[_RSS])),
        )

    def _use(self, key: Key, life: _Life, rss_bytes: int | None) -> Use:
        user, system, minor, major, delay = (self._counters.of(key, name) for name in _COUNTERS)
        read, write = (self._io.of(key, name) for name in _IO)
        before = life.rss_before_bytes
        return Use(
            cpu_time_ns=None if user is None or system is None else user + system,
            io_read_bytes=read,
            io_write_bytes=write,
            minor_faults=minor,
            major_faults=major,
            block_io_delay_ns=delay,
            rss_before_bytes=before,
            rss_after_bytes=rss_bytes,
            rss_grown_bytes=None if before is None or rss_bytes is None else rss_bytes - before,
        )


def _text(cell: Cell) -> str | None:
    return cell if isinstance(cell, str) else None


def _number(cell: Cell) -> int | None:
    return cell if isinstance(cell, int) else None
