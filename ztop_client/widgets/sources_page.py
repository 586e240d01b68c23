"""The page of what the monitor costs, what is missing, and why; it goes along with the frames."""

from collections.abc import Callable, Iterator, Sequence

from ztop_client.costs import PROCESSES, OwnCost, Source
from ztop_client.formats import ABSENT, bytes_text, label_text, percent_text, ratio_text
from ztop_client.glyphs import Glyphs
from ztop_client.widgets.canvas import Line, Piece
from ztop_client.widgets.dialogs import Page
from ztop_client.widgets.explain_page import wrapped
from ztop_protocol.frame import Cell

_WIDEST = 100
"""Longer sentences are hard to read."""
_INDENT = "    "
_WIDTHS = (20, 9, 8, 8, 7, 7, 7)
_HEADS = ("Source", "State", "CPU ms", "Took ms", "Every", "Age", "Missed")


class SourcesPage(Page):
    """Esc leaves it. Under what is not as it should be stands why, and what to do."""

    def __init__(
        self, sources: Callable[[], Sequence[Source]], program: str, closed: Callable[[], None], own: OwnCost
    ) -> None:
        """``sources`` gives those of the frame that is shown, ``program`` is whose own cost ``own`` is."""
        super().__init__("What the monitor costs, what is missing and why", ())
        self._sources = sources
        self._program = program
        self._closed = closed
        self._own = own

    def box(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        room = max(min(width - 5, _WIDEST), 1)
        self._rows = list(self._lines(self._sources(), room, glyphs))
        return super().box(width, height, glyphs)

    def key(self, key: str) -> bool:
        stays = super().key(key)
        if not stays:
            self._closed()
        return stays

    def click(self, x: int, y: int) -> bool:
        self._closed()
        return super().click(x, y)

    def _lines(self, sources: Sequence[Source], room: int, glyphs: Glyphs) -> Iterator[list[Piece]]:
        processes = {one.name: one for one in sources if one.name in PROCESSES}
        shares = [one.cpu_percent for one in processes.values()]
        known = [share for share in shares if share is not None]
        # a sum of some of them would look like that of all
        is_known = known and len(known) == len(shares)
        total = f"{percent_text(sum(known))}% of a core" if is_known else "its CPU is not known yet"
        yield [("box_heading", f"ztopd: {total}")]
        for name in PROCESSES:
            if name in processes:
                yield _process_line(f"  {name}", processes[name].cpu_percent, processes[name].rss_bytes)
        yield _process_line(f"{self._program}, this screen", self._own.cpu_percent(), self._own.rss_bytes())
        yield []
        if not sources:
            yield [("box_text", "This frame says nothing about its sources.")]
            return
        yield [("box_heading", _table_line(_HEADS))]
        for one in sources:
            cells = (
                *(glyphs.showable(one.name), glyphs.showable(one.state), _milliseconds(one.cost_ns)),
                *(_milliseconds(one.duration_ns), _seconds(one.period_ns), _seconds(one.age_ns)),
                label_text(one.skipped if one.skipped else None),
            )
            yield [("box_text" if one.is_ok else "box_key", _table_line(cells))]
            said = " ".join(part for part in (_ended(one.reason), one.fix and f"Fix: {one.fix}") if part)
            for line in wrapped(glyphs.showable(said), room - len(_INDENT)) if said else ():
                yield [("box_text", _INDENT + line)]


def _process_line(name: str, cpu_percent: float | None, rss_bytes: Cell) -> list[Piece]:
    return [("box_text", f"{name:<24}{percent_text(cpu_percent):>6}%  {bytes_text(rss_bytes):>6} in memory")]


def _table_line(cells: Sequence[str]) -> str:
    first, second, *others = zip(cells, _WIDTHS, strict=True)
    return f"{first[0]:<{first[1]}} {second[0]:<{second[1]}}" + "".join(f"{text:>{width}}" for text, width in others)


def _ended(sentence: str | None) -> str | None:
    return None if sentence is None else f"{sentence}." if sentence[-1:].isalnum() else sentence


def _milliseconds(time_ns: Cell) -> str:
    return ratio_text(time_ns / 1e6) if isinstance(time_ns, int) else ABSENT


def _seconds(time_ns: Cell) -> str:
    """What is a tick, or of this frame, is not worth a number."""
    return f"{ratio_text(time_ns / 1e9)}s" if isinstance(time_ns, int) and time_ns > 0 else ABSENT
