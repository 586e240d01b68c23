"""The machines of tests/fixtures: what they are and where they come from stands in the README there."""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.ztopd.collectors.process_table import Table
from ztop_protocol.frame import Cell
from ztop_protocol.schema import SECTIONS, Kind, Unit
from ztopd.collectors.source import Roots, Sample

_FIXTURES = Path(__file__).parents[2] / "fixtures"
MACHINES = tuple(sorted(path.name for path in _FIXTURES.iterdir() if (path / "proc").is_dir()))


def _roots(name: str) -> Roots:
    return Roots(str(_FIXTURES / name / "proc"), str(_FIXTURES / name / "sys"))


@pytest.fixture
def roots_of() -> Callable[[str], Roots]:
    """The roots of the machine of that name."""
    return _roots


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Roots:
    """Every machine in turn."""
    return _roots(request.param)


@pytest.fixture
def assert_follows_schema() -> Callable[[Sample], None]:
    """Fails unless every row has the cells, the types and the key that the schema declares."""

    def check(sample: Sample) -> None:
        for section, rows in sample.sections.items():
            schema = SECTIONS[section]
            for key, row in rows.items():
                assert len(row) == len(schema.columns), section
                assert key == row[: schema.key_length]
                for column, cell in zip(schema.columns, row, strict=True):
                    assert isinstance(cell, _types(column.kind, column.unit)), f"{section}.{column.name}: {cell!r}"
                    assert cell is not None or column.kind is not Kind.IDENTITY
                    assert not (isinstance(cell, bool) and column.kind is not Kind.LABEL)

    return check


def _types(kind: Kind, unit: Unit) -> tuple[type, ...]:
    if kind is Kind.COUNTER or unit in (Unit.BYTES, Unit.NANOSECONDS):
        return (int, type(None))
    if unit is Unit.NONE:
        return (int, str, bool, type(None))
    return (int, float, type(None))


@pytest.fixture
def named() -> Callable[[Sample, str], list[dict[str, Cell]]]:
    """The rows of a section as dicts by column name."""

    def rows(sample: Sample, section: str) -> list[dict[str, Cell]]:
        return [dict(zip(SECTIONS[section].names, row, strict=True)) for row in sample.sections[section].values()]

    return rows


@pytest.fixture
def make_cpus(tmp_path: Path) -> Callable[[int, bool], Roots]:
    """Makes a machine of that many CPUs, with cpufreq or without. The user time of CPU n is n + 1 ticks."""

    def make(cpus: int, cpufreq: bool) -> Roots:
        proc, folder = tmp_path / "proc", tmp_path / "sys/devices/system/cpu"
        proc.mkdir()
        folder.mkdir(parents=True)
        times = [f"cpu{cpu} {cpu + 1} 0 20 812345678 5 0 3 0 0 0" for cpu in range(cpus)]
        interrupts = " ".join(["0"] * (8 * cpus))
        (proc / "stat").write_text(_lines(["cpu  1 0 20 9 5 0 3 0 0 0", *times, f"intr 77 {interrupts}", "ctxt 9"]))
        flags = " ".join(f"flag{number}" for number in range(120))
        blocks = (f"processor\t: {cpu}\ncpu MHz\t\t: {2000 + cpu}.250\nflags\t\t: {flags}\n\n" for cpu in range(cpus))
        (proc / "cpuinfo").write_text("".join(blocks))
        for cpu in range(cpus if cpufreq else 0):
            (folder / f"cpu{cpu}/cpufreq").mkdir(parents=True)
            (folder / f"cpu{cpu}/cpufreq/scaling_cur_freq").write_text(f"{1_000_000 + cpu}\n")
        return Roots(str(proc), str(tmp_path / "sys"))

    return make


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table()
    table.scan()
    yield table
    table.collector.close()


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts processes that end with the test."""
    children: list[subprocess.Popen[bytes]] = []

    def run(*command: str, **options: object) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
        children.append(child)
        return child  # type: ignore[no-any-return]

    yield run
    for child in children:
        child.kill()
        child.communicate()
