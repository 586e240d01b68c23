"""The terminal: urwid's raw display, with a painter of its own and each frame in one write(2).

urwid's ``draw_screen`` looks at every run of every row; the lines here are finished and compare at once, which takes
a third of its time.
"""

import errno
import os
import select
import sys
from collections.abc import Hashable
from typing import TextIO

import urwid
from urwid.display import raw

from ztop_client.colours import palette
from ztop_client.glyphs import Glyphs, glyphs_for
from ztop_client.widgets.canvas import Line

_HIDE_CURSOR = b"\x1b[?25l"
_NO_WRAP, _WRAP = b"\x1b[?7l", b"\x1b[?7h"
"""DECAWM: the last cell of the last row must not scroll the screen."""
_CLEAR = b"\x1b[0m\x1b[2J"
_ERASE_RIGHT = b"\x1b[K"
_BEGIN_FRAME, _END_FRAME = b"\x1b[?2026h", b"\x1b[?2026l"
"""The terminal shows what is between them at once."""


class TerminalGone(Exception):
    """The terminal was closed, or hung up."""


class Terminal(raw.Screen):
    """urwid's display on a tty. Colours follow NO_COLOR, COLORTERM and TERM as urwid detects them."""

    def __init__(self, source: TextIO = sys.stdin, output: TextIO = sys.stdout) -> None:
        self._styles: dict[Hashable, bytes] = {}
        self._painted: list[Line] = []
        self._painted_size = (0, 0)
        self._painted_canvas: urwid.Canvas | None = None
        super().__init__(source, output, bracketed_paste_mode=False, focus_reporting=False)
        self._output = output.fileno()
        self._waiting: list[str] = []
        self.glyphs: Glyphs = glyphs_for(os.environ, self.colors)
        # what the locale's character set is, Python no longer says: it takes UTF-8 for C
        urwid.set_encoding("ascii" if self.glyphs.ascii_only else "utf-8")
        self.register_palette(list(palette()))

    def clear(self) -> None:
        """Paints everything anew next time."""
        super().clear()
        self._painted = []
        self._painted_size = (0, 0)
        self._painted_canvas = None

    def draw_screen(self, size: tuple[int, int], canvas: urwid.Canvas) -> None:
        """Paints the rows that changed. Raises :exc:`TerminalGone`."""
        if canvas is self._painted_canvas or self._resized:
            # urwid asks again once it has heard of the resize
            return
        lines = [list(line) for line in canvas.content()]
        output = [_HIDE_CURSOR, _NO_WRAP]
        if size != self._painted_size:
            output.append(_CLEAR)
            self._painted = []
        unpainted = len(output)
        for row, line in enumerate(lines):
            if row >= len(self._painted) or self._painted[row] != line:
                output.append(b"\x1b[%dH" % (row + 1))
                self._paint(line, output)
        if len(output) == unpainted and size == self._painted_size:
            # a terminal that is woken for nothing costs as much as to find that there is nothing
            self._painted_canvas = canvas
            return
        output.append(_WRAP)
        if self.modes.synchronized_output:
            output = [_BEGIN_FRAME, *output, _END_FRAME]
        self._painted, self._painted_size, self._painted_canvas = lines, size, canvas
        self._send(b"".join(output))

    def _paint(self, line: Line, output: list[bytes]) -> None:
        styles = self._styles
        painted: Hashable = self
        for attribute, _, text in line:
            if attribute != painted:
                style = styles.get(attribute)
                if style is None:
                    style = styles[attribute] = self._attr_to_escape(attribute).encode()
                output.append(style)
                painted = attribute
            output.append(text)
        if painted == "text" and text.endswith(b"  "):
            # erased in the terminal's own background
            output[-1] = text.rstrip(b" ")
            output.append(_ERASE_RIGHT)

    def write(self, data: str) -> None:
        """Keeps ``data`` for the next :meth:`flush`."""
        self._waiting.append(data)

    def flush(self) -> None:
        """Writes what is kept, at once. Raises :exc:`TerminalGone`."""
        text = "".join(self._waiting)
        self._waiting.clear()
        self._send(text.encode("utf-8", "replace"))

    def _send(self, message: bytes) -> None:
        data = memoryview(message)
        while data:
            try:
                data = data[os.write(self._output, data) :]
            except BlockingIOError:
                # whoever shares the terminal made it non-blocking
                select.select((), (self._output,), ())
            except OSError as error:
                if error.errno in (errno.EIO, errno.ENXIO, errno.EPIPE):
                    raise TerminalGone from error
                raise
