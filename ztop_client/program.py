"""What the screens of ``ztop`` and ``ztop-g`` do not share, as data."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ztop_client.columns.column import ProcessTable, Tab, process_table
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import Glyphs
from ztop_client.keys import BINDINGS, Action, Binding
from ztop_client.rewind.chart import Chart
from ztop_client.sources.source import Pair
from ztop_client.text import printable
from ztop_protocol.frame import Frame
from ztop_protocol.processes import COLUMNS, Order, natural_order

if TYPE_CHECKING:
    from ztop_client.options import Options
    from ztop_client.widgets.canvas import Line


Printer: TypeAlias = Callable[[Pair], str]
"""The text of a frame in batch mode."""


class NothingToShow(Exception):
    """There is nothing of what the program shows; the sentence says why."""


class Header(Protocol):
    """What stands above the table. It is given each frame once; the lines are made when they are asked for."""

    def show(self, previous: Frame | None, current: Frame) -> None:
        """A new frame."""

    def remember(self, previous: Frame | None, current: Frame) -> None:
        """A frame that may not be shown, for what is drawn of the last minutes."""

    def most(self, height: int) -> int:
        """So many lines of a screen of ``height`` it may take."""

    def lines(self, width: int, most: int) -> "list[Line]":
        """At most so many lines."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program with a screen of its own."""

    name: str
    shows: str
    """What it shows, in words."""
    tabs: Callable[[str], tuple[Tab, ...]]
    """Given the name of the user who looks at it."""
    columns: tuple[str, ...]
    """The names that --sort and --columns know."""
    order: Callable[[str], Order]
    """What a person means who names just the column."""
    header: Callable[[Glyphs], Header]
    has_meters: bool
    """The header has the machine's meters, whose colours are explained."""
    header_sections: frozenset[str]
    """What the title line and the header are drawn from."""
    table: Callable[[Frame | None, Frame, bool], ProcessTable]
    """Made of a frame and the one before it; with threads or without."""
    bindings: tuple[Binding, ...]
    sorts: Mapping[Action, str]
    """The column that a key sorts by."""
    settings_file: str
    printer: "Callable[[Options], Printer]"
    worth_printing: Callable[[Iterable[Pair]], Iterator[Pair]]
    """Of these frames, those that have what it shows. Raises :exc:`NothingToShow`."""
    chart: Chart = Chart.CPU
    """What the strip of rewind shows at first."""
    between: bool = False
    """What is sampled between two frames is drawn, too."""

    def say(self, sentence: str) -> None:
        """Says a sentence on standard error, and who says it."""
        print(f"{self.name}: {printable(sentence)}", file=sys.stderr)


def _meters(glyphs: Glyphs) -> Header:
    # imported where it is needed: urwid takes its time
    from ztop_client.widgets.header import Meters

    return Meters(glyphs)


def _printer(options: "Options") -> Printer:
    # imported where it is needed: the screen does without it
    from ztop_client.batch import printer

    return printer(options)


ZTOP = Program(
    name="ztop",
    shows="the processes of this machine and what they use",
    tabs=tabs,
    columns=COLUMNS,
    order=natural_order,
    header=_meters,
    has_meters=True,
    header_sections=frozenset({"host", "cpus", "memory", "pressure", "disks", "networks", "sensors", "gpus"}),
    table=process_table,
    bindings=BINDINGS,
    sorts={
        Action.SORT_CPU: "cpu_percent",
        Action.SORT_MEMORY: "memory_percent",
        Action.SORT_TIME: "cpu_time_ns",
        Action.SORT_PID: "pid",
    },
    settings_file="settings.json",
    printer=_printer,
    worth_printing=iter,
)
