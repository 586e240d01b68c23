"""Exports: what is in the files, as other programs read them."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pandas
import pyarrow.parquet
import pytest

from tests.ztop_client.fake_source import SECOND, frame, process
from ztop_client.export.files import ExportError, Format
from ztop_client.export.run import Export, export, format_of, paths
from ztop_client.export.table import EXPORTED_SECTIONS, columns
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Frame
from ztop_protocol.schema import SECTIONS

HOSTILE = '\x1b[31mr\udcffm\n,"'


def machine(count: int) -> Iterator[Frame]:
    """A process that uses a quarter of a core, one that ends, one of a hostile name that begins."""
    for seq in range(1, count + 1):
        rows = [process(10, user_time_ns=seq * SECOND // 4, comm="busy")]
        if seq < 3:
            rows.append(process(20, comm="short"))
        if seq > 1:
            rows.append(process(30, start=(1000 + seq) * SECOND - SECOND // 2, comm=HOSTILE, swap_bytes=None))
        yield frame(seq, rows)


def frames(count: int = 4) -> Iterator[Pair]:
    """Each frame with the one before it."""
    return chained(machine(count))


def chained(made: Iterable[Frame]) -> Iterator[Pair]:
    pair: Pair | None = None
    for one in made:
        pair = Pair(None, one) if pair is None else pair.followed_by(one)
        yield pair


class TestTypes:
    @pytest.mark.parametrize("section", EXPORTED_SECTIONS)
    def test_names_differ_and_every_column_says_what_it_is(self, section: str) -> None:
        names = [column.name for column in columns(section)]
        assert len(set(names)) == len(names)
        assert all(column.source for column in columns(section))

    def test_rates_are_floats_with_units(self) -> None:
        by_name = {column.name: column for column in columns("processes")}
        assert (by_name["cpu_percent"].type, by_name["cpu_percent"].unit) == (float, "percent")
        assert (by_name["rss_bytes"].type, by_name["rss_bytes"].unit) == (int, "bytes")
        assert (by_name["comm"].type, by_name["kernel_thread"].type) == (str, bool)
        assert by_name["user_time_ns"].kind == "counter"


class TestParquet:
    def test_counters_rates_types_and_units(self, tmp_path: Path) -> None:
        out = tmp_path / "out.parquet"
        assert export(frames(), str(out), ["processes"]) == 4
        table = pyarrow.parquet.read_table(out)
        of_column = {field.name: field for field in table.schema}
        assert str(of_column["time"].type) == "timestamp[ns, tz=UTC]"
        assert of_column["rss_bytes"].metadata[b"unit"] == b"bytes"
        busy = [row for row in table.to_pylist() if row["comm"] == "busy"]
        assert [row["cpu_percent"] for row in busy] == [None, 25.0, 25.0, 25.0]
        assert [row["user_time_ns"] for row in busy] == [seq * SECOND // 4 for seq in range(1, 5)]

    def test_other_bytes_are_escaped_and_absence_is_null(self, tmp_path: Path) -> None:
        out = tmp_path / "out.parquet"
        export(frames(), str(out), ["processes"])
        found = duckdb.sql(f"select distinct comm, swap_bytes from '{out}' where pid = 30").fetchall()
        assert found == [('\x1b[31mr\\xffm\n,"', None)]

    def test_duckdb_and_pandas_agree(self, tmp_path: Path) -> None:
        out = tmp_path / "out.parquet"
        export(frames(), str(out), ["processes"])
        by_duckdb = duckdb.sql(f"select pid, max(cpu_percent) from '{out}' group by pid order by pid").fetchall()
        by_pandas = pandas.read_parquet(out).groupby("pid")["cpu_percent"].max()
        assert [pid for pid, _ in by_duckdb] == [10, 20, 30]
        assert by_duckdb[0][1] == by_pandas[10] == 25.0

    def test_every_section_of_a_machine(self, tmp_path: Path) -> None:
        out = tmp_path / "out.parquet"
        export(frames(), str(out), EXPORTED_SECTIONS)
        for section, path in paths(str(out), EXPORTED_SECTIONS).items():
            table = pyarrow.parquet.read_table(path)
            assert table.schema.names == ["time", *(column.name for column in columns(section))]
        assert pyarrow.parquet.read_table(tmp_path / "out.cpus.parquet").num_rows > 0


class TestText:
    def test_csv(self, tmp_path: Path) -> None:
        out = tmp_path / "out.csv"
        export(frames(), str(out), ["processes"])
        with open(out, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["cpu_percent"] for row in rows if row["comm"] == "busy"] == ["", "25.0", "25.0", "25.0"]
        assert {row["comm"] for row in rows if row["pid"] == "30"} == {'\x1b[31mr\\xffm\n,"'}

    def test_json_lines(self, tmp_path: Path) -> None:
        out = tmp_path / "out.jsonl"
        export(frames(), str(out), ["processes"])
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["cpu_percent"] for row in rows if row["pid"] == 10] == [None, 25.0, 25.0, 25.0]
        assert rows[0]["time"].endswith("Z")

    def test_a_section_that_was_not_sampled_anew_is_not_written_again(self, tmp_path: Path) -> None:
        out = tmp_path / "out.jsonl"
        first, second = machine(2)
        still = Frame(
            *(second.seq, second.time_ns, second.boottime_ns, second.boot_id),
            {**second.sections, "memory": first.sections["memory"]},
        )
        export(chained([first, still]), str(out), ["memory"])
        assert len(out.read_text().splitlines()) == 1


class TestFiles:
    @pytest.mark.parametrize("name", ["out", "out.txt", ".csv", "dir/.parquet", "out.parquet.gz"])
    def test_a_name_that_says_no_format(self, name: str) -> None:
        with pytest.raises(ExportError, match=r"\.parquet, \.csv, \.jsonl"):
            format_of(name)

    def test_formats(self) -> None:
        assert [format_of(f"a.b{end}") for end in (".parquet", ".csv", ".jsonl")] == list(Format)

    def test_an_unknown_section(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match="there is no section 'nonsense'"):
            Export(str(tmp_path / "out.csv"), ["nonsense"])
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("kind", list(Format))
    def test_what_fails_leaves_nothing_and_keeps_what_was_there(self, tmp_path: Path, kind: Format) -> None:
        out = tmp_path / f"out{kind}"
        out.write_text("before")

        def failing() -> Iterator[Pair]:
            yield from frames(2)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export(failing(), str(out), ["processes"])
        assert os.listdir(tmp_path) == [out.name]
        assert out.read_text() == "before"

    @pytest.mark.parametrize("kind", list(Format))
    def test_it_is_for_nobody_else_and_written_through_no_link(self, tmp_path: Path, kind: Format) -> None:
        out, theirs = tmp_path / f"out{kind}", tmp_path / "theirs"
        export(frames(), str(out), ["processes"])
        assert out.stat().st_mode & 0o777 == 0o600
        theirs.write_text("before")
        Path(f"{out}.{os.getpid()}.part").symlink_to(theirs)
        with pytest.raises(FileExistsError):
            export(frames(), str(out), ["processes"])
        assert theirs.read_text() == "before"

    def test_no_frame_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match="no frame of that time"):
            export([], str(tmp_path / "out.csv"), ["processes"])
        assert os.listdir(tmp_path) == []

    def test_without_pyarrow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        with pytest.raises(ExportError, match=r"pip install 'ztop\[parquet\]'"):
            export(frames(), str(tmp_path / "out.parquet"), ["processes"])


def test_the_sections_are_those_of_batch_mode() -> None:
    assert set(EXPORTED_SECTIONS) <= set(SECTIONS)
    assert "processes" in EXPORTED_SECTIONS and "process_io" not in EXPORTED_SECTIONS
