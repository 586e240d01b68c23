"""The process table: a line of headings and the visible rows, drawn cell by cell and remembered by value."""

import re
from collections.abc import Sequence
from typing import TypeAlias

from ztop_client.colours import SELECTED
from ztop_client.columns.column import Align, Column
from ztop_client.glyphs import Glyphs
from ztop_client.view import View
from ztop_client.widgets.canvas import Line, Piece, Run, cells, cut, draw, slice_cells
from ztop_client.widgets.footer import message_lines
from ztop_protocol.frame import Cell, Key
from ztop_protocol.schema import PROCESSES

_KERNEL_THREAD = PROCESSES.position["kernel_thread"]
_REMEMBERED = 4096
"""A column's memory of drawn cells is emptied when it holds so many."""

_LEAST_COMMAND = 12
"""On a screen that leaves fewer cells for the command line, a tab's last columns are left out."""

_ColumnCells: TypeAlias = tuple[Column, int | None, dict[Cell, Run]]
"""A column, its place in a process's row if it is simply that, and its cells drawn by value."""

_CommandKey: TypeAlias = tuple[Cell, str, str]
"""Text, the style of a row that is no plain process, what is drawn before it."""


class Table:
    """Draws a :class:`~ztop_client.view.View`.

    Rows change little from frame to frame, and many share values: a cell is drawn once for each value of its column.
    """

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._all_columns: tuple[Column, ...] = ()
        self._width = 0
        self._columns: tuple[Column, ...] = ()
        self._tabs_left: int | None = None
        self._cells: tuple[_ColumnCells, ...] = ()
        self._commands: dict[_CommandKey, Line] = {}
        self._command_state: tuple[int, int, bool] = (0, 0, True)
        self._too_wide = False

    def lines(self, view: View, width: int, height: int) -> list[Line]:
        """The heading and ``height - 1`` rows, each ``width`` cells wide."""
        if view.columns is not self._all_columns or width != self._width:
            self._all_columns, self._width = view.columns, width
            self._columns = fitting(view.columns, width)
            self._cells = tuple((column, column.place_in_row(), {}) for column in self._columns)
        fixed = _fixed_width(self._columns)
        self._too_wide = fixed > width
        state = (max(width - fixed, 0), view.scroll, view.full_path)
        if state != self._command_state or len(self._commands) > _REMEMBERED:
            self._command_state = state
            self._commands.clear()
        for _, _, remembered in self._cells:
            if len(remembered) > _REMEMBERED:
                remembered.clear()
        lines = [self._heading(view, width)]
        keys = view.window(height - 1)
        lines += [self._row(view, key, index, width) for index, key in enumerate(keys, view.top)]
        if height > 1 and (why := view.lack) is not None:
            lines += message_lines(why, width, self._glyphs)[: height - 1]
        blank: Line = [("text", None, b" " * width)]
        lines += [blank] * (height - len(lines))
        return lines

    def column_at(self, x: int) -> Column | None:
        """The column whose heading is at the cell ``x``."""
        left = 0
        for column in self._columns:
            if not column.width or x < left + column.width + 1:
                return column
            left += column.width + 1
        return None

    def tab_at(self, view: View, x: int) -> int | None:
        """The place of the tab whose name is at the cell ``x`` of the heading."""
        return None if self._tabs_left is None else tab_at(view, x - self._tabs_left)

    @property
    def shows_tabs(self) -> bool:
        """Whether the heading had room for the names of the tabs, when it was drawn last."""
        return self._tabs_left is not None

    def _heading(self, view: View, width: int) -> Line:
        pieces: list[Piece] = []
        sort = view.sort
        for column in self._columns:
            sorted_by = column is sort
            mark = "" if not sorted_by else self._glyphs.descending if view.descending else self._glyphs.ascending
            title = column.title + mark
            # a right-aligned title keeps its place; the mark stands in the gap after it
            missing = column.width + len(mark) - len(title)
            text = title if column.align is Align.LEFT else " " * missing + title
            text = text.ljust(column.width + 1)
            pieces.append(("heading_sort" if sorted_by else "heading", text))
        tabs = tab_pieces(view, "heading_sort", "heading")
        tabs_width = sum(len(text) for _, text in tabs)
        room = width - sum(len(text) for _, text in pieces)
        self._tabs_left = width - tabs_width if room > tabs_width else None
        if self._tabs_left is not None:
            pieces += [("heading", " " * (room - tabs_width)), *tabs]
        return draw(pieces, width, self._glyphs, "heading")

    def _row(self, view: View, key: Key, index: int, width: int) -> Line:
        assert view.table is not None
        table = view.table
        row = table.processes[key]
        line: Line = []
        for column, place, remembered in self._cells:
            value = column.value(table, key) if place is None else row[place]
            if not column.width:
                line += self._command(view, key, value)
                continue
            run = remembered.get(value)
            if run is None:
                run = remembered[value] = self._cell(column, value)
            mark = None if column.mark is None else column.mark(table, key)
            line.append(run if mark is None else (mark, *run[1:]))
        if self._too_wide:
            line = cut(line, 0, width)
        if key in view.tagged:
            line = [("tagged", charset, text) for _, charset, text in line]
        if index == view.cursor:
            line = [(f"{attribute}{SELECTED}", charset, text) for attribute, charset, text in line]
        return line

    def _cell(self, column: Column, value: Cell) -> Run:
        text = column.format(value)
        if text.isascii() and text.isprintable() and len(text) <= column.width:
            padded = text.ljust(column.width) if column.align is Align.LEFT else text.rjust(column.width)
            return (column.attribute(value), None, f"{padded} ".encode())
        if not text.isascii() or not text.isprintable():
            text = self._glyphs.showable(text)
        missing = column.width - cells(text)
        if missing < 0:
            text = slice_cells(text, 0, column.width - 1) + "+"
            missing = column.width - cells(text)
        padding = " " * missing
        text = text + padding + " " if column.align is Align.LEFT else padding + text + " "
        return (column.attribute(value), None, self._glyphs.encode(text))

    def _command(self, view: View, key: Key, value: Cell) -> Line:
        assert view.table is not None
        special = ""
        if view.table.processes[key][_KERNEL_THREAD]:
            special = "kernel"
        elif key in view.table.threads:
            special = "thread"
        prefix = view.prefixes.get(key, "") if view.tree else ""
        remembered = self._commands.get((value, special, prefix))
        if remembered is None:
            width, scroll, full_path = self._command_state
            pieces: Sequence[Piece] = [(special, str(value))] if special else command_pieces(value, full_path)
            remembered = draw([("branch", prefix), *pieces], width, self._glyphs, "text", scroll)
            self._commands[value, special, prefix] = remembered
        return remembered


def tab_pieces(view: View, chosen: str, style: str) -> list[Piece]:
    """The names of the tabs in these styles, ``[Main] I/O``: each takes two cells more than its name."""
    return [(chosen, f"[{tab.name}]") if tab is view.tab else (style, f" {tab.name} ") for tab in view.tabs]


def tab_at(view: View, x: int) -> int | None:
    """The place of the tab at the cell ``x`` of those pieces."""
    right = 0
    for place, tab in enumerate(view.tabs):
        left, right = right, right + len(tab.name) + 2
        if left <= x < right:
            return place
    return None


def _fixed_width(columns: Sequence[Column]) -> int:
    return sum(column.width + 1 for column in columns if column.width)


def fitting(columns: tuple[Column, ...], width: int) -> tuple[Column, ...]:
    """The columns that leave room for the last one, the command line: never fewer than six of them.

    The last one that is spare goes first, then the last one.
    """
    *shown, last = columns
    while len(shown) > 6 and _fixed_width(shown) + _LEAST_COMMAND > width:
        spare = (place for place, column in reversed(list(enumerate(shown))) if column.is_spare)
        del shown[next(spare, -1)]
    return (*shown, last)


_INTERPRETER = re.compile(r"(?:python|perl|ruby|node|lua|php|java|tclsh|bash|dash|zsh|fish|ksh|sh)[\d.]*")


def command_pieces(value: Cell, full_path: bool) -> Sequence[Piece]:
    """A command line in its parts: the program's folder, its name, the arguments; of an interpreter, its script."""
    text = "" if value is None else str(value)
    program, space, arguments = text.partition(" ")
    # a title that a program gave itself ("sshd: user@pts/0") has no path, whatever slashes follow
    folder, slash, name = program.rpartition("/") if program.startswith(("/", "./", "../")) else ("", "", program)
    pieces: list[Piece] = [("program", name)]
    if full_path and slash:
        pieces.insert(0, ("path", folder + slash))
    script, rest_space, rest = arguments.partition(" ")
    if script and not script.startswith("-") and _INTERPRETER.fullmatch(name):
        script_folder, script_slash, script_name = script.rpartition("/")
        return [
            *pieces,
            ("arguments", space + script_folder + script_slash),
            ("program", script_name),
            ("arguments", rest_space + rest),
        ]
    return [*pieces, ("arguments", space + arguments)]
