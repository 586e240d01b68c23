"""The box that shows what happened between two moments: the machine, then processes, users, cgroups or GPUs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ztop_client.columns.column import Align
from ztop_client.difference.lives import ProcessUse
from ztop_client.difference.result import DEFAULT_SORT, Difference, GroupUse, in_order
from ztop_client.difference.table import (
    CGROUP_COLUMNS,
    GPU_COLUMNS,
    GPU_PROCESS_COLUMNS,
    PROCESS_COLUMNS,
    USER_COLUMNS,
    Told,
    UseColumn,
    headline,
    machine_lines,
    notes,
    remainder_lines,
)
from ztop_client.glyphs import Glyphs
from ztop_client.text import fit_left, fit_right
from ztop_client.widgets.canvas import Line, Piece
from ztop_client.widgets.dialogs import framed
from ztop_protocol.frame import Key

ROOM_FOR_EXTRAS = 110
"""From so many cells on columns are shown that are good to have."""
_ROOM_FOR_MACHINE = 16
"""From so many lines on the machine has its own above the table."""
_LEAST_ROWS = 3
_SORT_KEYS = {"P": "cpu_time_ns", "M": "rss_grown_bytes", "D": "io_bytes"}
_FOOT = "1-{}: chapter  P M D: sort by CPU, memory, disk  Enter: go to it  Esc: leave"


class Chapter(IntEnum):
    """What the rows are, in the order of the tabs."""

    PROCESSES = 0
    USERS = 1
    CGROUPS = 2
    GPUS = 3
    ON_GPUS = 4
    """Processes, once for each GPU."""


_OF_GPUS = (Chapter.GPUS, Chapter.ON_GPUS)


@dataclass(slots=True)
class _Place:
    cursor: int = 0
    top: int = 0


class DifferencePage:
    """A :class:`ztop_client.widgets.dialogs.Dialog`. Tab and digits turn to a chapter, P, M and D sort.

    It begins with ``chapter``; those of GPUs are there where any was seen.
    ``jump`` is called with the key of a process for which Enter was pressed; the box closes then.
    """

    def __init__(
        self, difference: Difference, jump: Callable[[Key], None], chapter: Chapter = Chapter.PROCESSES
    ) -> None:
        self._difference = difference
        self._jump = jump
        self._chapters = [one for one in Chapter if difference.gpus or one not in _OF_GPUS]
        self._chapter = chapter if chapter in self._chapters else Chapter.PROCESSES
        self._sort = DEFAULT_SORT
        self._places = {chapter: _Place() for chapter in Chapter}
        self._page = 1
        self._first_line = 0
        self._processes: list[ProcessUse] = []
        self._groups: dict[Chapter, list[GroupUse]] = {}
        self._sort_by(DEFAULT_SORT)

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        inner, room = max(width - 4, 1), max(height - 2, 1)
        head = list(self._head(room))
        foot = list(self._remainder()) if self._chapter is Chapter.PROCESSES else []
        if room < len(head) + len(foot) + 1 + _LEAST_ROWS:
            foot = []
        self._first_line = len(head) + 2
        self._page = max(room - len(head) - len(foot) - 1, 1)
        place = self._places[self._chapter]
        self._move(0)
        place.top = min(max(place.top, place.cursor - self._page + 1), place.cursor)
        table = list(self._rows_of_chapter(inner))
        blank: list[list[Piece]] = [[] for _ in range(self._page - (len(table) - 1))]
        lines = [*head, *table, *blank, *foot][:room]
        selected = len(head) + 1 + place.cursor - place.top if len(table) > 1 else None
        keys = _FOOT.format(len(self._chapters))
        return framed(headline(self._difference), lines, inner, glyphs, keys if inner > len(keys) else "", selected)

    def _rows_of_chapter(self, inner: int) -> Iterator[list[Piece]]:
        match self._chapter:
            case Chapter.PROCESSES:
                return self._table(self._processes, PROCESS_COLUMNS, inner)
            case Chapter.GPUS:
                return self._table(self._difference.gpus, GPU_COLUMNS, inner)
            case Chapter.ON_GPUS:
                return self._table(self._difference.gpu_processes, GPU_PROCESS_COLUMNS, inner)
            case _:
                columns = USER_COLUMNS if self._chapter is Chapter.USERS else CGROUP_COLUMNS
                return self._table(self._groups[self._chapter], columns, inner)

    def _head(self, room: int) -> Iterator[list[Piece]]:
        if room >= _ROOM_FOR_MACHINE:
            for label, words in machine_lines(self._difference):
                yield [("box_key", f"{label:<5}"), ("box_text", words)]
            for note in notes(self._difference):
                yield [("box_danger", "note "), ("box_text", note)]
        tabs: list[Piece] = []
        for chapter in self._chapters:
            name = f"{self._rows(chapter)} {_NAMES[chapter]}"
            shown = "box_selected" if chapter is self._chapter else "box_text"
            tabs += [("box_key", f"{chapter + 1} "), (shown, f" {name} "), ("box_text", "  ")]
        yield tabs

    def _table(self, rows: Sequence[Told], columns: Sequence[UseColumn[Told]], inner: int) -> Iterator[list[Piece]]:
        """The heading, and the rows of this page."""
        shown = [column for column in columns if inner >= ROOM_FOR_EXTRAS or not column.is_extra]
        yield [
            piece
            for column in shown
            for piece in (
                ("box_key" if self._is_sorted_by(column) else "box_heading", _cell(column, column.title)),
                _GAP,
            )
        ]
        top = self._places[self._chapter].top
        for row in rows[top : top + self._page]:
            cells = (_cell(column, column.text(self._difference, row)) for column in shown)
            yield [("box_text", " ".join(cells))]

    def _is_sorted_by(self, column: UseColumn[Told]) -> bool:
        # what was read and what was written make one order
        return column.sort == self._sort or (self._sort == "io_bytes" and column.sort in _IO)

    def _remainder(self) -> Iterator[list[Piece]]:
        """Under the columns of the processes."""
        for time, share, what in remainder_lines(self._difference):
            yield [("box_key", f"{'':16} {time:>8} {share:>6} "), ("box_text", what)]

    def _sort_by(self, column: str) -> None:
        found = self._difference
        self._sort = column
        self._processes = in_order(found.processes, column)
        self._groups = {
            Chapter.USERS: in_order(found.users, column),
            Chapter.CGROUPS: in_order(found.cgroups, column),
        }
        self._places = {chapter: _Place() for chapter in Chapter}

    def key(self, key: str) -> bool:
        last = self._rows(self._chapter) - 1
        moves = {"up": -1, "down": 1, "page up": -self._page, "page down": self._page, "home": -last, "end": last}
        if key in moves:
            self._move(moves[key])
        elif key in ("tab", "right", "shift tab", "left"):
            step = 1 if key in ("tab", "right") else -1
            self._chapter = Chapter((self._chapter + step) % len(self._chapters))
        elif key.isdecimal() and 0 < int(key) <= len(self._chapters):
            self._chapter = Chapter(int(key) - 1)
        elif key.upper() in _SORT_KEYS:
            self._sort_by(_SORT_KEYS[key.upper()])
        elif key == "enter":
            return self._go()
        else:
            return key not in ("esc", "q", "f10")
        return True

    def click(self, x: int, y: int) -> bool:
        """A row is selected; the one that is selected is gone to."""
        place = self._places[self._chapter]
        number = place.top + y - self._first_line
        if not 0 <= y - self._first_line < self._page or number >= self._rows(self._chapter):
            return True
        if number == place.cursor:
            return self._go()
        place.cursor = number
        return True

    def roll(self, lines: int) -> bool:
        self._move(lines)
        return True

    def _rows(self, chapter: Chapter) -> int:
        match chapter:
            case Chapter.PROCESSES:
                return len(self._processes)
            case Chapter.GPUS:
                return len(self._difference.gpus)
            case Chapter.ON_GPUS:
                return len(self._difference.gpu_processes)
            case _:
                return len(self._groups[chapter])

    def _move(self, lines: int) -> None:
        place = self._places[self._chapter]
        place.cursor = max(0, min(place.cursor + lines, self._rows(self._chapter) - 1))

    def _go(self) -> bool:
        place = self._places[self._chapter].cursor
        if self._chapter is Chapter.PROCESSES and self._processes:
            process = self._processes[place]
            key: Key = (process.pid, process.start_boottime_ns)
        elif self._chapter is Chapter.ON_GPUS and self._difference.gpu_processes:
            on_gpu = self._difference.gpu_processes[place]
            key = (on_gpu.pid, on_gpu.start_boottime_ns)
        else:
            return True
        if key[0] is None:
            return True
        self._jump(key)
        return False


_NAMES = {
    Chapter.PROCESSES: "processes", Chapter.USERS: "users", Chapter.CGROUPS: "cgroups", Chapter.GPUS: "GPUs",
    Chapter.ON_GPUS: "on GPUs",
}  # fmt: skip
_GAP: Piece = ("box_text", " ")
_IO = ("io_read_bytes", "io_write_bytes")


def _cell(column: UseColumn[Told], text: str) -> str:
    if not column.width:
        return text
    return (fit_left if column.align is Align.LEFT else fit_right)(text, column.width)
