"""The whole screen as one widget: title, meters, table, bottom line, and the dialogs over them."""

from collections.abc import Callable, Iterable
from typing import Protocol

import urwid

from ztop_client.columns.column import Column
from ztop_client.glyphs import Glyphs
from ztop_client.keys import Action, Binding
from ztop_client.view import View
from ztop_client.widgets.canvas import Line, LinesCanvas, Piece, cells, overlay
from ztop_client.widgets.dialogs import Dialog
from ztop_client.widgets.footer import Prompt, button_at, button_bar, message_lines
from ztop_client.widgets.header import Title, title_line
from ztop_client.widgets.table import Table, tab_at, tab_pieces
from ztop_client.widgets.timeline import LEAST_WIDTH, Timeline, lines_for, moments_of, time_at, timeline_lines
from ztop_protocol.frame import Frame

_WHEEL_LINES = 3
_LEAST_HEIGHT = 12
"""On a lower screen there is no room for the strip of rewind."""


def title_tabs(view: View) -> list[Piece]:
    """The names of the tabs for the title line: on a narrow screen the table's heading has no room for them."""
    return tab_pieces(view, "title_paused", "title")


def title_tab_at(view: View, title: Title, x: int) -> int | None:
    """The place of the tab whose name is at the cell ``x`` of the title line."""
    return tab_at(view, x - len(title.name))


class Handler(Protocol):
    """What is done about keys and clicks."""

    def key(self, key: str) -> None:
        """A key, while no dialog is open."""

    def act(self, action: Action) -> None:
        """A button of the bottom line was clicked."""

    def heading(self, column: Column) -> None:
        """A heading of the table was clicked."""

    def tab(self, place: int) -> None:
        """The name of a tab was clicked."""

    def seek(self, time_ns: int) -> None:
        """A moment of the strip was clicked, or dragged to."""


class Screen(urwid.Widget):
    """Draws what it was given last. Call :meth:`changed` after a change; until then the same canvas is handed out."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True

    def __init__(self, view: View, title: Title, glyphs: Glyphs) -> None:
        super().__init__()
        self.view = view
        self.title = title
        self.prompt: Prompt | None = None
        self.message: str | None = None
        self.handler: Handler | None = None
        self.timeline: Callable[[int], Timeline] | None = None
        """What the strip of rewind shows, for so many values; None while the screen is live."""
        self._strip: tuple[int, int, Timeline] | None = None
        """Its first line, its height and what it shows, as drawn last."""
        self._drags = False
        self._dialogs: list[Dialog] = []
        self._glyphs = glyphs
        self._frame: Frame | None = None
        self._meters = view.program.header(glyphs)
        self._table = Table(glyphs)
        self._header: tuple[tuple[int, int], list[Line]] | None = None
        self._table_place = (0, 0)
        self._box_place = (0, 0, 0, 0)

    def show(self, previous: Frame | None, current: Frame) -> None:
        """A new frame for the title and the meters; the view is given its table apart."""
        self._frame = current
        self._meters.show(previous, current)
        self._header = None
        self.changed()

    def remember(self, previous: Frame | None, current: Frame) -> None:
        """A frame that is not shown, for what is drawn of the last minutes."""
        self._meters.remember(previous, current)

    def remember_before(self, pairs: Iterable[tuple[Frame | None, Frame]]) -> None:
        """Frames of the minutes before the one that is shown, which nobody looked at."""
        for previous, current in pairs:
            self._meters.remember(previous, current)
        self._header = None
        self.changed()

    def changed(self) -> None:
        """Something is to be drawn again."""
        self._invalidate()

    def open(self, dialog: Dialog) -> None:
        """Opens a dialog over whatever is open."""
        self._dialogs.append(dialog)
        self.changed()

    def close(self, dialog: Dialog) -> None:
        """Closes a dialog, wherever it lies; harmless where it is closed already."""
        self._keep(dialog, False)
        self.changed()

    def render(self, size: tuple[int, int], focus: bool = False) -> LinesCanvas:  # type: ignore[override]
        width, height = size
        meters = self._meter_lines(width, height)
        foot = self._foot(width) if height >= 6 or self.prompt is not None or self.message is not None else []
        above = len(meters) + (height >= 4)
        strip = self._strip_lines(width, height, height - len(foot))
        self._table_place = (above, height - above - len(foot) - len(strip))
        table = self._table.lines(self.view, width, self._table_place[1])
        lines: list[Line] = []
        if height >= 4:
            tabs = () if self._table.shows_tabs else title_tabs(self.view)
            lines.append(title_line(self._frame, self.title, width, self._glyphs, tabs))
        lines += [*meters, *table, *strip, *foot]
        if self._dialogs:
            # under a page that is as large as the screen the moment would not be seen
            room = height - len(foot) - len(strip)
            self._draw_dialog(lines, width, room if room >= _LEAST_HEIGHT else height - len(foot))
        return LinesCanvas(lines[:height], width)

    def _meter_lines(self, width: int, height: int) -> list[Line]:
        # the same for every key that is pressed between two frames
        most = self._meters.most(height)
        if self._header is None or self._header[0] != (width, most):
            self._header = ((width, most), self._meters.lines(width, most))
        return self._header[1]

    def _strip_lines(self, width: int, height: int, bottom: int) -> list[Line]:
        """The strip, which ends above the line ``bottom``; nothing where the screen is live, or too small for it."""
        self._strip = None
        if self.timeline is None or width < LEAST_WIDTH or height < _LEAST_HEIGHT:
            return []
        shown, count = self.timeline(moments_of(width, self._glyphs)), lines_for(height)
        self._strip = (bottom - count, count, shown)
        return timeline_lines(shown, width, count, self._glyphs)

    def _foot(self, width: int) -> list[Line]:
        if self.prompt is not None:
            return [self.prompt.line(width, self._glyphs)]
        if self.message is not None:
            return message_lines(self.message, width, self._glyphs)
        return [button_bar(width, self._glyphs, self.timeline is not None, self.view.program.bindings)]

    def _draw_dialog(self, lines: list[Line], width: int, height: int) -> None:
        if width < 8 or height < 3:
            return
        box = self._dialogs[-1].box(width, height, self._glyphs)[:height]
        box_width = min(sum(cells(text.decode()) for _, _, text in box[0]), width)
        left, top = (width - box_width) // 2, (height - len(box)) // 2
        self._box_place = (left, top, box_width, len(box))
        overlay(lines, box, left, top, box_width, width)

    def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]
        self.message = None
        if self._dialogs:
            dialog = self._dialogs[-1]
            self._keep(dialog, dialog.key(key))
        elif self.handler is not None:
            self.handler.key(key)
        self.changed()
        return None

    def _keep(self, dialog: Dialog, open_still: bool) -> None:
        if not open_still and dialog in self._dialogs:
            self._dialogs.remove(dialog)

    def mouse_event(  # type: ignore[override]
        self, size: tuple[int, int], event: str, button: int, x: int, y: int, focus: bool
    ) -> bool:
        if event.endswith("mouse drag") and self._drags and self.handler is not None:
            self._seek(self.handler, x, size[0])
            self.changed()
            return True
        if not event.endswith("mouse press") or self.handler is None:
            self._drags = False
            return False
        wheel = {4: -_WHEEL_LINES, 5: _WHEEL_LINES}.get(button)
        if self._dialogs:
            self._dialog_mouse(wheel, button, x, y, size)
        elif wheel is not None:
            self.view.roll(wheel)
        elif button == 1:
            self._click(self.handler, size, x, y)
        self.changed()
        return True

    def _dialog_mouse(self, wheel: int | None, button: int, x: int, y: int, size: tuple[int, int]) -> None:
        dialog = self._dialogs[-1]
        left, top, width, height = self._box_place
        inside = left <= x < left + width and top <= y < top + height
        if wheel is not None:
            self._keep(dialog, dialog.roll(wheel))
        elif button == 1 and y == size[1] - 1 and not inside and (binding := self._button_at(x, size)) is not None:
            self._keep(dialog, dialog.key(binding.keys[0]))
        elif button == 1:
            self._keep(dialog, inside and dialog.click(x - left, y - top))

    def _click(self, handler: Handler, size: tuple[int, int], x: int, y: int) -> None:
        top, height = self._table_place
        if self._strip is not None and self._strip[0] <= y < self._strip[0] + self._strip[1]:
            self._drags = True
            self._seek(handler, x, size[0])
        elif y == 0 and top and not self._table.shows_tabs:
            place = title_tab_at(self.view, self.title, x)
            if place is not None:
                handler.tab(place)
        elif y == top:
            place, column = self._table.tab_at(self.view, x), self._table.column_at(x)
            if place is not None:
                handler.tab(place)
            elif column is not None:
                handler.heading(column)
        elif top < y < top + height:
            self.view.point(y - top - 1)
        elif y == size[1] - 1 and self.prompt is None:
            binding = self._button_at(x, size)
            if binding is not None:
                handler.act(binding.action)

    def _button_at(self, x: int, size: tuple[int, int]) -> Binding | None:
        return button_at(x, size[0], self._glyphs, self.timeline is not None, self.view.program.bindings)

    def _seek(self, handler: Handler, x: int, width: int) -> None:
        if self._strip is not None:
            handler.seek(time_at(self._strip[2], x, width))
