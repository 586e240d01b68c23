"""The terminal: urwid's raw display, with each frame in one write(2)."""

import errno
import os
import select
import sys
from typing import TextIO

import urwid
from urwid.display import raw

from ztop_client.colours import palette
from ztop_client.glyphs import Glyphs, glyphs_for


class TerminalGone(Exception):
    """The terminal was closed, or hung up."""


class Terminal(raw.Screen):
    """urwid's display on a tty. Colours follow NO_COLOR, COLORTERM and TERM as urwid detects them."""

    def __init__(self, source: TextIO = sys.stdin, output: TextIO = sys.stdout) -> None:
        super().__init__(source, output, bracketed_paste_mode=False, focus_reporting=False)
        self._output = output.fileno()
        self._waiting: list[str] = []
        self.glyphs: Glyphs = glyphs_for(os.environ, self.colors)
        # what the locale's character set is, Python no longer says: it takes UTF-8 for C
        urwid.set_encoding("ascii" if self.glyphs.ascii_only else "utf-8")
        self.register_palette(list(palette()))

    def write(self, data: str) -> None:
        """Keeps ``data`` for the next :meth:`flush`."""
        self._waiting.append(data)

    def flush(self) -> None:
        """Writes what is kept, at once. Raises :exc:`TerminalGone`."""
        data = memoryview("".join(self._waiting).encode("utf-8", "replace"))
        self._waiting.clear()
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
