"""``ztop --export``: frames in, a file for each section out."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tqdm import tqdm

from ztop_client.export.files import ExportError, Format, TableFile, open_table
from ztop_client.export.table import EXPORTED_SECTIONS, Exported, columns, rows
from ztop_client.json_lines import IN_PROCESSES
from ztop_client.sources.source import Pair
from ztop_protocol import on_gpus

_BATCH_ROWS = 50_000
_SECOND_NS = 1_000_000_000


def format_of(path: str) -> Format:
    """By the end of the name. Raises :exc:`ExportError`."""
    for kind in Format:
        if path.endswith(kind) and os.path.basename(path) != str(kind):
            return kind
    raise ExportError(f"{path!a}: a name that ends in {', '.join(Format)} was expected")


def paths(path: str, sections: Sequence[str]) -> dict[str, str]:
    """The file of every section: the path itself for one, ``out.SECTION.parquet`` for several."""
    if len(sections) == 1:
        return {sections[0]: path}
    stem = path.removesuffix(format_of(path))
    return {name: f"{stem}.{name}{format_of(path)}" for name in sections}


def needed_sections(sections: Sequence[str]) -> tuple[str, ...]:
    """Those that frames must have so that these can be exported."""
    beside = (*IN_PROCESSES, "memory", *sorted(on_gpus.SECTIONS)) if "processes" in sections else ()
    return tuple(dict.fromkeys((*sections, *beside)))


@dataclass(slots=True)
class _Table:
    file: TableFile
    waiting: list[Exported]
    sampled_boottime_ns: int | None = None
    """Of what was written last: a section that was not sampled since is not written again."""

    def take(self, pair: Pair, section: str) -> None:
        sampled = pair.current.sections.get(section)
        if sampled is None or sampled.sampled_boottime_ns == self.sampled_boottime_ns:
            return
        self.sampled_boottime_ns = sampled.sampled_boottime_ns
        self.waiting.extend(rows(pair, section))
        if len(self.waiting) >= _BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        self.file.write(self.waiting)
        self.waiting.clear()


class Export:
    """Files in the making; they get their names at the end of a ``with`` statement that raised nothing."""

    def __init__(self, path: str, sections: Sequence[str]) -> None:
        """Raises :exc:`ExportError` and :exc:`OSError`."""
        for name in sections:
            if name not in EXPORTED_SECTIONS:
                raise ExportError(f"there is no section {name!a} to export; there are {', '.join(EXPORTED_SECTIONS)}")
        kind = format_of(path)
        self.frames = 0
        self._tables: dict[str, _Table] = {}
        try:
            for name, place in paths(path, sections).items():
                self._tables[name] = _Table(open_table(place, kind, columns(name)), [])
        except BaseException:
            self._abandon()
            raise

    def add(self, pair: Pair) -> None:
        """The next frame, and what its rates are computed against. Raises :exc:`OSError`."""
        self.frames += 1
        for name, table in self._tables.items():
            table.take(pair, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for table in self._tables.values():
                    table.flush()
                for table in self._tables.values():
                    table.file.finish()
        finally:
            self._abandon()

    def _abandon(self) -> None:
        for table in self._tables.values():
            table.file.abandon()


def export(pairs: Iterable[Pair], path: str, sections: Sequence[str], between: tuple[int, int] | None = None) -> int:
    """Writes the frames; returns how many. ``between``: the wall times that they are of, for the progress bar.

    Raises :exc:`ExportError` and :exc:`OSError`, and what ``pairs`` raises.
    """
    seconds = None if between is None else max(1, (between[1] - between[0]) // _SECOND_NS)
    with (
        Export(path, sections) as tables,
        tqdm(total=seconds, unit="s", desc=os.path.basename(path), disable=not sys.stderr.isatty()) as bar,
    ):
        for pair in pairs:
            tables.add(pair)
            if between is not None and seconds is not None:
                done = min((pair.current.time_ns - between[0]) // _SECOND_NS, seconds)
                bar.update(max(0, done - int(bar.n)))
        if not tables.frames:
            raise ExportError("there is no frame of that time: nothing was written")
    return tables.frames
