"""The files: rows go in by batches; a file has its name only once it is complete."""

import csv
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, TextIO

from ztop_client.export.table import TIME, ExportColumn, Exported


class Format(StrEnum):
    """What a file is, by the end of its name."""

    PARQUET = ".parquet"
    CSV = ".csv"
    JSON_LINES = ".jsonl"


class ExportError(Exception):
    """The export cannot be made; the sentence says why."""


class TableFile(Protocol):
    """A table in the making."""

    def write(self, rows: Sequence[Exported]) -> None:
        """Adds rows. Raises :exc:`OSError`."""

    def finish(self) -> None:
        """Gives the complete file its name. Raises :exc:`OSError`."""

    def abandon(self) -> None:
        """Removes what there is of it; harmless after :meth:`finish`."""


def open_table(path: str, kind: Format, columns: Sequence[ExportColumn]) -> TableFile:
    """A new table, which will replace the file at ``path``. Raises :exc:`ExportError` and :exc:`OSError`."""
    if kind is Format.PARQUET:
        return _ParquetFile(path, columns)
    return _TextFile(path, kind, columns)


def _iso(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _timed(row: Exported) -> str:
    time_ns = row[TIME]
    assert isinstance(time_ns, int)
    return _iso(time_ns)


class _Unfinished:
    """The name under which a file is written until it is complete."""

    def __init__(self, path: str) -> None:
        """Makes the file. Raises :exc:`OSError`, also where one, or a link, has that name already."""
        self._path = path
        self.path = f"{path}.{os.getpid()}.part"
        # as a recording: what was shown to its user may be for nobody else
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def finish(self) -> None:
        os.replace(self.path, self._path)

    def abandon(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path)


class _TextFile:
    """CSV (absent: empty) or JSON lines (absent: null)."""

    def __init__(self, path: str, kind: Format, columns: Sequence[ExportColumn]) -> None:
        self._unfinished = _Unfinished(path)
        self._names = ("time", *(column.name for column in columns))
        self._file: TextIO = open(self._unfinished.path, "w", encoding="utf-8", newline="")  # noqa: SIM115
        self._csv = csv.writer(self._file) if kind is Format.CSV else None
        if self._csv is not None:
            self._csv.writerow(self._names)

    def write(self, rows: Sequence[Exported]) -> None:
        if self._csv is not None:
            self._csv.writerows((_timed(row), *row) for row in rows)
            return
        for row in rows:
            made = dict(zip(self._names, (_timed(row), *row), strict=True))
            self._file.write(json.dumps(made, separators=(",", ":"), allow_nan=False, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        self._file.close()
        self._unfinished.finish()

    def abandon(self) -> None:
        # what cannot be flushed is to be removed anyway
        with suppress(OSError):
            self._file.close()
        self._unfinished.abandon()


class _ParquetFile:
    """Through pyarrow; units and sources are in the metadata of the columns."""

    def __init__(self, path: str, columns: Sequence[ExportColumn]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise ExportError(
                "Parquet needs pyarrow: pip install 'ztop[parquet]', or export to .csv or .jsonl"
            ) from None
        self._arrow: Any = pyarrow
        kinds = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string(), bool: pyarrow.bool_()}
        self._types = [pyarrow.timestamp("ns", tz="UTC"), *(kinds[column.type] for column in columns)]
        fields = [
            pyarrow.field("time", self._types[0], metadata={"unit": "ns", "source": "time_ns"}),
            *(
                pyarrow.field(
                    column.name,
                    kinds[column.type],
                    metadata={"unit": column.unit, "kind": column.kind, "source": column.source},
                )
                for column in columns
            ),
        ]
        self._schema = pyarrow.schema(fields)
        self._unfinished = _Unfinished(path)
        self._writer: Any = pyarrow.parquet.ParquetWriter(self._unfinished.path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Exported]) -> None:
        if not rows:
            return
        cells = list(zip(*rows, strict=True))
        arrays = [
            self._arrow.array(values, kind) for values, kind in zip((cells[TIME], *cells), self._types, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def finish(self) -> None:
        self._writer.close()
        self._unfinished.finish()

    def abandon(self) -> None:
        with suppress(OSError):
            self._writer.close()
        self._unfinished.abandon()
