"""The process table: a line of headings and the visible rows, drawn cell by cell and remembered by value."""

from collections.abc import Sequence
from typing import TypeAlias

from ztop_client.colours import SELECTED
from ztop_client.columns.column import Align, Column
from ztop_client.glyphs import Glyphs
from ztop_client.view import View
from ztop_client.widgets.canvas import Line, Piece, Run, cells, cut, draw, slice_cells
from ztop_protocol.frame import Cell, Key
from ztop_protocol.schema import PROCESSES

_KERNEL_THREAD = PROCESSES.position["kernel_thread"]
_REMEMBERED = 4096
"""A column's memory of drawn cells is emptied when it holds so many."""

_CommandKey: TypeAlias = tuple[Cell, bool, str]


class Table:
    """Draws a :class:`~ztop_client.view.View`.

    Rows change little from frame to frame, and many share values: a cell is drawn once for each value of its column.
    """

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._columns: tuple[Column, ...] = ()
        self._cells: tuple[dict[Cell, Run], ...] = ()
        self._commands: dict[_CommandKey, Line] = {}
        self._command_state: tuple[int, int, bool] = (0, 0, True)
        self._selected: dict[object, str] = {}

    def lines(self, view: View, width: int, height: int) -> list[Line]:
        """The heading and ``height - 1`` rows, each ``width`` cells wide."""
        if view.columns is not self._columns:
            self._columns = view.columns
            self._cells = tuple({} for _ in view.columns)
        fixed = sum(column.width + 1 for column in view.columns if column.width)
        state = (max(width - fixed, 0), view.scroll, view.full_path)
        if state != self._command_state or len(self._commands) > _REMEMBERED:
            self._command_state = state
            self._commands.clear()
        for remembered in self._cells:
            if len(remembered) > _REMEMBERED:
                remembered.clear()
        lines = [self._heading(view, width)]
        keys = view.window(height - 1)
        lines += [self._row(view, key, index, width) for index, key in enumerate(keys, view.top)]
        blank: Line = [("text", None, b" " * width)]
        lines += [blank] * (height - len(lines))
        return lines

    def column_at(self, view: View, x: int) -> Column | None:
        """The column whose heading is at the cell ``x``."""
        left = 0
        for column in view.columns:
            if not column.width or x < left + column.width + 1:
                return column
            left += column.width + 1
        return None

    def _heading(self, view: View, width: int) -> Line:
        pieces: list[Piece] = []
        for column in view.columns:
            sorted_by = column is view.sort
            mark = "" if not sorted_by else self._glyphs.descending if view.descending else self._glyphs.ascending
            title = column.title + mark
            # a right-aligned title keeps its place; the mark stands in the gap after it
            missing = column.width + len(mark) - len(title)
            text = title if column.align is Align.LEFT else " " * missing + title
            text = text.ljust(column.width + 1)
            pieces.append(("heading_sort" if sorted_by else "heading", text))
        return draw(pieces, width, self._glyphs, "heading")

    def _row(self, view: View, key: Key, index: int, width: int) -> Line:
        assert view.table is not None
        table = view.table
        line: Line = []
        for column, remembered in zip(self._columns, self._cells, strict=True):
            value = column.value(table, key)
            if not column.width:
                line += self._command(view, key, value)
                continue
            run = remembered.get(value)
            if run is None:
                run = remembered[value] = self._cell(column, value)
            line.append(run)
        if sum(column.width + 1 for column in self._columns if column.width) > width:
            line = cut(line, 0, width)
        if key in view.tagged:
            line = [("tagged", charset, text) for _, charset, text in line]
        if index == view.cursor:
            line = [(f"{attribute}{SELECTED}", charset, text) for attribute, charset, text in line]
        return line

    def _cell(self, column: Column, value: Cell) -> Run:
        text = self._glyphs.showable(column.format(value))
        if cells(text) > column.width:
            text = slice_cells(text, 0, column.width - 1) + "+"
        padding = " " * (column.width - cells(text))
        text = text + padding + " " if column.align is Align.LEFT else padding + text + " "
        return (column.attribute(value), None, self._glyphs.encode(text))

    def _command(self, view: View, key: Key, value: Cell) -> Line:
        assert view.table is not None
        kernel_thread = bool(view.table.processes[key][_KERNEL_THREAD])
        prefix = view.prefixes.get(key, "") if view.tree else ""
        remembered = self._commands.get((value, kernel_thread, prefix))
        if remembered is None:
            width, scroll, full_path = self._command_state
            pieces = [("branch", prefix), *command_pieces(value, kernel_thread, full_path)]
            remembered = draw(pieces, width, self._glyphs, "text", scroll)
            self._commands[value, kernel_thread, prefix] = remembered
        return remembered


def command_pieces(value: Cell, kernel_thread: bool, full_path: bool) -> Sequence[Piece]:
    """A command line in its parts: the program's folder, its name, the arguments."""
    text = "" if value is None else str(value)
    if kernel_thread:
        return [("kernel", text)]
    program, space, arguments = text.partition(" ")
    # a title that a program gave itself ("sshd: user@pts/0") has no path, whatever slashes follow
    folder, slash, name = program.rpartition("/") if program.startswith(("/", "./", "../")) else ("", "", program)
    pieces: list[Piece] = [("program", name), ("arguments", space + arguments)]
    return [("path", folder + slash), *pieces] if full_path and slash else pieces
