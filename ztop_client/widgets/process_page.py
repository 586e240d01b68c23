"""The page of one process, over the whole screen: chapters, each a scrollable list of labelled texts."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias

from ztop_client.actions import Target
from ztop_client.columns.column import ProcessTable
from ztop_client.glyphs import Glyphs
from ztop_client.inspection import Block, Part
from ztop_client.ipc_history import IpcHistory
from ztop_client.keys import ACTS_ON_PROCESSES, MOVES_IN_TIME, Action
from ztop_client.process_page import ThreadReader, counted, overview, threads
from ztop_client.widgets.canvas import Line, Piece, cells, slice_cells
from ztop_client.widgets.dialogs import framed
from ztop_client.widgets.ipc_chart import ipc_chart
from ztop_protocol.frame import Frame, Key


class Chapter(StrEnum):
    """What the page turns to."""

    OVERVIEW = "Overview"
    THREADS = "Threads"
    FILES = "Files"
    ENVIRONMENT = "Environment"
    MEMORY = "Memory"
    LIMITS = "Limits"
    COUNTERS = "Counters"


CHAPTERS = tuple(Chapter)
_PARTS = {
    Chapter.FILES: Part.FILES,
    Chapter.ENVIRONMENT: Part.ENVIRONMENT,
    Chapter.MEMORY: Part.MEMORY,
    Chapter.LIMITS: Part.LIMITS,
}
_ACTIONS = ACTS_ON_PROCESSES | MOVES_IN_TIME | {Action.HELP}
_READING = (Block("", reason="reading…"),)
_WIDEST_LABEL = 28

Recall: TypeAlias = Callable[
    [Key, Frame, Callable[[IpcHistory | Exception], None], Callable[[float], None]], Callable[[], None]
]
"""Gathers the past of a process up to a frame, and says how far it is (0 to 1); what it returns gives that up."""


class ProcessPage:
    """A dialog as large as the screen. It asks for what the chapter needs, and keeps the last facts of the ended."""

    def __init__(
        self,
        target: Target,
        key: Key,
        chapter: Chapter,
        *,
        table: Callable[[], ProcessTable | None],
        read_threads: ThreadReader,
        recall: Recall,
        ask: Callable[[Target, Part, Callable[[Sequence[Block]], None]], None],
        action_of: Callable[[str], Action | None],
        act: Callable[[Action, Key], None],
        closed: Callable[[], None],
    ) -> None:
        self._target = target
        self._key = key
        self._table = table
        self._read_threads = read_threads
        self._recall = recall
        self._ask = ask
        self._action_of = action_of
        self._act = act
        self._closed = closed
        self._chapter = chapter
        self._top = 0
        self._page = 1
        self._rows = 0
        self._facts: list[Block] = []
        self._absent: str | None = None
        """Why the frame does not have it."""
        self._thread_frames: tuple[Frame | None, Frame] | None = None
        self._threads: Sequence[Block] = _READING
        self._threads_asked = False
        self._seq = -1
        self._found: dict[Chapter, Sequence[Block]] = {}
        self._counted: list[Block] = []
        self._history: IpcHistory | None = None
        self._history_note = "nothing of it is remembered yet"
        """Why there is no chart."""
        self._give_up: Callable[[], None] | None = None
        self._tabs: list[tuple[int, int]] = []
        self._turn_to(chapter)

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        self._renew()
        inner = max(width - 4, 1)
        body = [*_body(self._blocks(), inner, glyphs), *self._chart(inner, glyphs)]
        self._page, self._rows = max(height - 4, 1), len(body)
        self._move(0)
        shown: list[list[Piece]] = [self._tab_line(inner), [], *body[self._top : self._top + self._page]]
        shown += [[] for _ in range(height - 2 - len(shown))]
        below = self._rows - self._top - self._page
        more = f", {below} more below" if below > 0 else ""
        foot = f"Tab, 1-{len(CHAPTERS)}: turn  arrows: scroll{more}  k: signal  Esc: back"
        absent = "" if self._absent is None else f": {self._absent}"
        return framed(
            f"{self._target}{absent}",
            shown[: max(height - 2, 1)],
            inner,
            glyphs,
            foot if len(foot) < inner else "Esc: back",
        )

    def _tab_line(self, inner: int) -> list[Piece]:
        pieces: list[Piece] = []
        self._tabs = []
        left = 2
        # without the space where the screen is narrow
        space = " " if sum(len(chapter) + 5 for chapter in CHAPTERS) <= inner else ""
        for number, chapter in enumerate(CHAPTERS, 1):
            text = f"{space}{number} {chapter}{space}"
            pieces += [("box_selected" if chapter is self._chapter else "box_key", text), ("box_text", " ")]
            self._tabs.append((left, left + len(text)))
            left += len(text) + 1
        return pieces

    def _blocks(self) -> Sequence[Block]:
        if self._chapter is Chapter.OVERVIEW:
            return self._facts
        if self._chapter is Chapter.THREADS:
            return self._threads
        if self._chapter is Chapter.COUNTERS:
            return self._counted
        return self._found.get(self._chapter, _READING)

    def _chart(self, inner: int, glyphs: Glyphs) -> list[list[Piece]]:
        table = self._table()
        if self._chapter is not Chapter.COUNTERS or table is None:
            return []
        chart = [] if self._history is None else ipc_chart(self._history, table.frame.boottime_ns, inner, glyphs)
        return [[], *(chart or [[("box_text", f"({self._history_note})")]])]

    def _renew(self) -> None:
        """What a new frame brings."""
        table = self._table()
        if table is None or table.frame.seq == self._seq:
            return
        self._seq = table.frame.seq
        self._absent = self._why_absent(table)
        if self._absent is None:
            self._facts, self._counted = overview(table, self._key), [counted(table, self._key)]
            if self._history is not None:
                self._history.take(table.frame)
            if self._chapter is Chapter.THREADS:
                self._renew_threads()

    def _why_absent(self, table: ProcessTable) -> str | None:
        if table.frame.boot_id != self._target.boot_id:
            return "OF ANOTHER BOOT"
        if self._key in table.processes:
            return None
        return "NOT STARTED YET" if table.frame.boottime_ns < self._target.start_boottime_ns else "HAS ENDED"

    def _renew_threads(self) -> None:
        if not self._threads_asked:
            self._threads_asked = True
            self._read_threads(self._key, self._threads_read)

    def _gather(self) -> None:
        """Begins to gather what is remembered of its counters."""
        table = self._table()
        if table is None:
            return
        self._stop_gathering()
        self._history_note = "looking back…"
        self._give_up = self._recall(self._key, table.frame, self._gathered, self._gathering)

    def _stop_gathering(self) -> None:
        if self._give_up is not None:
            self._give_up()
            self._give_up = None

    def _gathering(self, share: float) -> None:
        self._history_note = f"looking back: {100 * share:.0f} %"

    def _gathered(self, found: IpcHistory | Exception) -> None:
        self._give_up = None
        if isinstance(found, Exception):
            self._history_note = str(found)
        else:
            self._history, self._history_note = found, "nothing was counted of it in what is remembered"

    def _threads_read(self, frame: Frame | Exception) -> None:
        self._threads_asked = False
        if isinstance(frame, Exception):
            self._threads = [Block("Threads", reason=str(frame))]
            return
        before = None if self._thread_frames is None else self._thread_frames[1]
        if before is not None and before.boottime_ns >= frame.boottime_ns:
            return
        self._thread_frames = (before, frame)
        self._threads = [threads(*self._thread_frames)]

    def _turn_to(self, chapter: Chapter) -> None:
        self._chapter, self._top = chapter, 0
        if chapter is Chapter.THREADS and self._absent is None:
            self._renew_threads()
        elif chapter is Chapter.COUNTERS:
            self._gather()
        elif (part := _PARTS.get(chapter)) is not None:
            self._ask(self._target, part, lambda blocks: self._found.update({chapter: blocks}))

    def key(self, key: str) -> bool:
        place = CHAPTERS.index(self._chapter)
        steps = {"tab": 1, "right": 1, "left": -1, "shift tab": -1}
        moves = {
            "up": -1, "down": 1, "page up": -self._page, "page down": self._page, " ": self._page,
            "home": -self._rows, "end": self._rows,
        }  # fmt: skip
        if key in steps:
            self._turn_to(CHAPTERS[(place + steps[key]) % len(CHAPTERS)])
        elif key.isdigit() and 0 < int(key) <= len(CHAPTERS):
            self._turn_to(CHAPTERS[int(key) - 1])
        elif key in moves:
            self._move(moves[key])
        elif key == "r":
            self._turn_to(self._chapter)
        elif key in ("esc", "q", "f10", "enter", "backspace"):
            self._stop_gathering()
            self._closed()
            return False
        elif (action := self._action_of(key)) is not None and action in _ACTIONS:
            self._act(action, self._key)
        return True

    def click(self, x: int, y: int) -> bool:
        if y == 1:
            for chapter, (left, right) in zip(CHAPTERS, self._tabs, strict=True):
                if left <= x < right:
                    self._turn_to(chapter)
        return True

    def roll(self, lines: int) -> bool:
        self._move(lines)
        return True

    def _move(self, lines: int) -> None:
        self._top = max(0, min(self._top + lines, self._rows - self._page))


def _body(blocks: Sequence[Block], inner: int, glyphs: Glyphs) -> list[list[Piece]]:
    rows: list[list[Piece]] = []
    for block in blocks:
        if rows:
            rows.append([])
        if block.title:
            rows.append([("box_heading", block.title)])
        labels = [glyphs.showable(label) for label, _ in block.entries]
        column = min(max([cells(label) for label in labels], default=0), _WIDEST_LABEL, max(inner // 3, 1))
        for label, (_, text) in zip(labels, block.entries, strict=True):
            room = max(inner - column - 2, 1)
            shown_text = glyphs.showable(text)
            parts = [slice_cells(shown_text, 0, room)] if block.one_line else _wrapped(shown_text, room)
            for number, part in enumerate(parts):
                if number == 0 and cells(label) > column:
                    # a name longer than the column has a line of its own
                    rows.append([("box_key", label)])
                shown = label if number == 0 and cells(label) <= column else ""
                rows.append([("box_key", shown + " " * (column - cells(shown))), ("box_text", f"  {part}")])
        if block.reason is not None:
            rows += [[("box_text", part)] for part in _wrapped(f"({block.reason})", inner)]
    return rows


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most so many cells, cut where they are full; one at least."""
    lines = [slice_cells(text, 0, width)]
    taken = width
    total = cells(text)
    while taken < total and len(lines) < 100:
        lines.append(slice_cells(text, taken, width))
        taken += width
    return lines
