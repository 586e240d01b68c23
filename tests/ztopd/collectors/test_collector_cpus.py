import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell
from ztopd.collectors import cpus as module
from ztopd.collectors.cpus import Cpus, parse_cpu_times, parse_cpuinfo_frequencies
from ztopd.collectors.source import ParseError, Roots, Sample

Named = Callable[[Sample, str], list[dict[str, Cell]]]
RootsOf = Callable[[str], Roots]
MakeCpus = Callable[[int, bool], Roots]

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
COUNTS = {"ancient-4.4": 4, "laptop-6.8-hybrid": 16, "server-5.10-192cpu": 192, "vm-6.18-2cpu": 2}


def test_every_machine_gives_its_cpus(machine: Roots, assert_follows_schema: Callable[[Sample], None]) -> None:
    sample = Cpus(machine).collect()
    assert_follows_schema(sample)
    assert list(sample.sections["cpus"]) == [(cpu,) for cpu in range(COUNTS[Path(machine.proc).parent.name])]
    assert all(None not in row for row in sample.sections["cpus"].values())
    assert sample.problem is None


def test_the_times_are_the_lines_ticks_in_the_order_of_the_columns(roots_of: RootsOf) -> None:
    roots = roots_of("vm-6.18-2cpu")
    line = next(line for line in Path(roots.proc, "stat").read_text().splitlines() if line.startswith("cpu1 "))
    row = Cpus(roots).collect().sections["cpus"][(1,)]
    assert row[:11] == (1, *(int(field) * TICK_NS for field in line.split()[1:]))


def test_columns_are_named_as_the_kernel_documents_them(named: Named, tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\ncpu7 1 2 3 4 5 6 7 8 9 10 11 12\nintr 5\n")
    (row,) = named(Cpus(Roots(str(tmp_path), str(tmp_path))).collect(), "cpus")
    order = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    assert row == {
        "cpu": 7,
        **{f"{name}_time_ns": ticks * TICK_NS for ticks, name in enumerate(order, 1)},
        "frequency_hertz": None,
    }


def test_columns_that_an_older_kernel_lacks_are_unknown() -> None:
    times = parse_cpu_times(b"cpu  3 3 3 3 3 3 3\ncpu0 1 2 3 4 5 6 7\nintr 1\n")
    assert times == {0: (*(ticks * TICK_NS for ticks in range(1, 8)), None, None, None)}


def test_offline_cpus_leave_gaps() -> None:
    assert list(parse_cpu_times(b"cpu  1\ncpu0 1\ncpu2 1\ncpu11 1\nintr 1\n")) == [0, 2, 11]


def test_a_file_that_ends_after_the_cpus() -> None:
    assert list(parse_cpu_times(b"cpu  1\ncpu0 1\ncpu1 1")) == [0, 1]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "no line of a CPU"),
        (b"cpu  1 2 3\nintr 5\n", "no line of a CPU"),
        (b"cpu  1\ncpu0 1\ncpux 3\nintr 5\n", "line 3: "),
        (b"cpu  1\ncpu0 1 many\nintr 5\n", "line 2: "),
        (b"cpu  1\ncpu0 1\n\ncpu1 1\nintr 5\n", "line 3: "),
    ],
)
def test_the_error_names_file_and_line(data: bytes, place: str) -> None:
    with pytest.raises(ParseError, match=f"^/proc/stat(, |: ){place}"):
        parse_cpu_times(data)


@given(st.binary(max_size=120), st.sampled_from([b"", b"cpu  1\ncpu", b"cpu  1\ncpu0 1 2", b"cpu  1\ncpu0 1\n"]))
def test_any_bytes_give_times_or_a_parse_error(data: bytes, start: bytes) -> None:
    with suppress(ParseError):
        assert all(len(times) == 10 for times in parse_cpu_times(start + data).values())


def test_frequencies_from_cpufreq(roots_of: RootsOf) -> None:
    rows = Cpus(roots_of("laptop-6.8-hybrid")).collect().sections["cpus"]
    assert [row[-1] for row in rows.values()][:2] == [400_000_000, 671_000_000]


def test_frequencies_from_cpuinfo_where_there_is_no_cpufreq(roots_of: RootsOf) -> None:
    rows = Cpus(roots_of("ancient-4.4")).collect().sections["cpus"]
    assert [row[-1] for row in rows.values()] == [1_600_109_000, 3_100_000_000, 3_100_000_000, 3_100_000_000]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"processor\t: 0\nBogoMIPS\t: 108.00\n\nprocessor\t: 1\nBogoMIPS\t: 108.00\n\n",
        b"vendor_id : IBM/S390\nprocessor 0: version = FF\n\ncpu number      : 0\ncpu MHz dynamic : 5000\n\n",
        b"processor\t: 0\nclock\t\t: 3425.000000MHz\n\n",
    ],
)
def test_other_architectures_cpuinfo_has_no_frequencies(data: bytes) -> None:
    assert parse_cpuinfo_frequencies(data) == {}


@pytest.mark.parametrize("megahertz", [b"fast", b"1e999", b"nan", b""])
def test_a_broken_cpuinfo_is_an_error_that_names_it(megahertz: bytes) -> None:
    with pytest.raises(ParseError, match=r"^/proc/cpuinfo: "):
        parse_cpuinfo_frequencies(b"processor\t: 0\ncpu MHz\t\t: %b\n\n" % megahertz)


def test_512_cpus_without_cpufreq(make_cpus: MakeCpus) -> None:
    rows = Cpus(make_cpus(512, False)).collect().sections["cpus"]
    assert len(rows) == 512
    assert rows[(511,)] == (
        *(511, 512 * TICK_NS, 0, 20 * TICK_NS, 812345678 * TICK_NS, 5 * TICK_NS, 0, 3 * TICK_NS, 0, 0, 0),
        2_511_250_000,
    )


def test_cpufreq_is_read_no_sooner_than_after_its_period(make_cpus: MakeCpus, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = make_cpus(3, True)
    now = [1_000_000_000]
    monkeypatch.setattr("time.monotonic_ns", lambda: now[0])
    collector = Cpus(roots)

    def frequencies() -> list[Cell]:
        return [row[-1] for row in collector.collect().sections["cpus"].values()]

    before = [1_000_000_000, 1_000_001_000, 1_000_002_000]
    assert frequencies() == before
    Path(roots.sys, "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq").write_text("3500000\n")
    now[0] += 1_900_000_000
    assert frequencies() == before
    now[0] += 100_000_000
    assert frequencies() == [1_000_000_000, 3_500_000_000, 1_000_002_000]


def test_where_cpufreq_sleeps_cpuinfo_stands_in(make_cpus: MakeCpus, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = make_cpus(192, True)
    now, reads = [0], [0]

    def slow(path: str) -> int:
        now[0] += 11_000_000
        reads[0] += 1
        return 1_000_000

    monkeypatch.setattr("time.monotonic_ns", lambda: now[0])
    monkeypatch.setattr(module, "read_int", slow)
    collector = Cpus(roots)
    assert collector.collect().sections["cpus"][(191,)][-1] == 2_191_250_000
    assert reads == [2]
    for _ in range(55):
        now[0] += 1_000_000_000
        collector.collect()
    assert reads == [2]
    for _ in range(10):
        now[0] += 1_000_000_000
        collector.collect()
    assert reads == [4]


def test_a_cpu_without_a_frequency_is_none_beside_those_with(make_cpus: MakeCpus) -> None:
    roots = make_cpus(2, True)
    Path(roots.sys, "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq").write_text("<unknown>\n")
    Path(roots.proc, "cpuinfo").unlink()
    assert [row[-1] for row in Cpus(roots).collect().sections["cpus"].values()] == [1_000_000_000, None]


def test_without_stat_it_fails_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Cpus(Roots(str(tmp_path), str(tmp_path))).collect()


def test_this_machine_agrees_with_psutil(named: Named) -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("this /proc has no stat")
    before = psutil.cpu_times(percpu=True)
    rows = named(Cpus(Roots()).collect(), "cpus")
    after = psutil.cpu_times(percpu=True)
    assert len(rows) == len(before)
    tick = TICK_NS / 1e9
    for row, earlier, later in zip(rows, before, after, strict=True):
        for name in ("user", "nice", "system", "softirq", "steal"):
            value = row[f"{name}_time_ns"]
            assert isinstance(value, int)
            assert getattr(earlier, name) - tick <= value / 1e9 <= getattr(later, name) + tick, name
