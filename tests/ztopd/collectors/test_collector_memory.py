import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell
from ztop_protocol.schema import MEMORY, SourceState
from ztopd.collectors import memory as module
from ztopd.collectors.memory import Memory, parse_arcstats, parse_meminfo, parse_vmstat, parse_zram
from ztopd.collectors.process_stat import PAGE_BYTES
from ztopd.collectors.source import ParseError, Roots, Sample

Named = Callable[[Sample, str], list[dict[str, Cell]]]
RootsOf = Callable[[str], Roots]


def test_every_machine_gives_one_row_of_the_schema(
    machine: Roots, assert_follows_schema: Callable[[Sample], None]
) -> None:
    sample = Memory(machine).collect()
    assert_follows_schema(sample)
    assert list(sample.sections["memory"]) == [()]
    assert sample.problem is None


def test_the_fields_stand_in_the_order_of_the_schema() -> None:
    assert (
        *(column for column, _, _ in module.MEMINFO),
        *module.ZRAM,
        *(column for column, _, _ in module.ARCSTATS),
        *(column for column, _, _ in module.VMSTAT),
    ) == MEMORY.names


def test_the_cells_of_a_laptop(roots_of: RootsOf, named: Named) -> None:
    (row,) = named(Memory(roots_of("laptop-6.8-hybrid")).collect(), "memory")
    kib = 1024
    expected = {
        "total_bytes": 32_512_340 * kib,
        "free_bytes": 3_012_344 * kib,
        "available_bytes": 18_123_456 * kib,
        "buffers_bytes": 1_234 * kib,
        # neither SwapCached nor Active(anon)
        "cached_bytes": 15_234_568 * kib,
        "active_bytes": 11_234_560 * kib,
        "shared_bytes": 1_812_344 * kib,
        "slab_reclaimable_bytes": 912_344 * kib,
        "slab_unreclaimable_bytes": 612_344 * kib,
        "locked_bytes": 96 * kib,
        "swap_cached_bytes": 21_232 * kib,
        "zswap_pool_bytes": 81_236 * kib,
        "zswap_stored_bytes": 301_232 * kib,
        "anonymous_huge_pages_bytes": 2_123_776 * kib,
        "huge_page_size_bytes": 2048 * kib,
        "huge_pages_total": 0,
        "zram_stored_bytes": 1_294_336_000,
        "zram_compressed_bytes": 301_234_176,
        "zram_used_bytes": 318_767_104,
        "arc_bytes": None,
        "swap_in_bytes": 40_960 * PAGE_BYTES,
        "swap_out_bytes": 327_680 * PAGE_BYTES,
        "page_in_bytes": 81_234_568 * kib,
        "page_out_bytes": 61_234_568 * kib,
        "page_faults": 912_345_678,
        "major_page_faults": 81_234,
        "oom_kills": 0,
    }
    assert {name: row[name] for name in expected} == expected


def test_the_arc_and_huge_pages_of_a_server(roots_of: RootsOf, named: Named) -> None:
    (row,) = named(Memory(roots_of("server-5.10-192cpu")).collect(), "memory")
    assert row["arc_bytes"] == (639 << 30) + 123_456_789
    assert (row["arc_target_bytes"], row["arc_minimum_bytes"], row["arc_maximum_bytes"]) == (
        *(640 << 30, 47 << 30, 756 << 30),
    )
    assert (row["huge_pages_total"], row["huge_pages_free"], row["oom_kills"]) == (16384, 4096, 3)
    # Zswap is in meminfo since 5.19; there is no zram
    assert row["zswap_pool_bytes"] is row["zram_stored_bytes"] is None


def test_what_an_old_kernel_lacks_is_unknown(roots_of: RootsOf, named: Named) -> None:
    (row,) = named(Memory(roots_of("ancient-4.4")).collect(), "memory")
    missing = [name for name, cell in row.items() if cell is None]
    assert missing == ["zswap_pool_bytes", "zswap_stored_bytes", *module.ZRAM, *MEMORY.names[32:36], "oom_kills"]


def test_a_zram_device_that_is_not_set_up_is_not_there(roots_of: RootsOf, named: Named) -> None:
    roots = roots_of("vm-6.18-2cpu")
    assert Path(roots.sys, "block/zram0/mm_stat").exists()
    (row,) = named(Memory(roots).collect(), "memory")
    assert [row[name] for name in module.ZRAM] == [None, None, None]


def test_zram_devices_are_summed_and_found_later(
    roots_of: RootsOf, tmp_path: Path, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1]
    monkeypatch.setattr("time.monotonic_ns", lambda: now[0])
    collector = Memory(Roots(roots_of("ancient-4.4").proc, str(tmp_path)))
    assert named(collector.collect(), "memory")[0]["zram_stored_bytes"] is None
    for number in range(2):
        folder = tmp_path / f"block/zram{number}"
        folder.mkdir(parents=True)
        (folder / "disksize").write_text("4096\n")
        (folder / "mm_stat").write_text(f"{number + 1} {(number + 1) * 10} {(number + 1) * 100} 0 5 0 0\n")
    now[0] += 11_000_000_000
    (row,) = named(collector.collect(), "memory")
    assert [row[name] for name in module.ZRAM] == [3, 30, 300]


def test_without_vmstat_it_is_degraded(tmp_path: Path, roots_of: RootsOf, named: Named) -> None:
    shutil.copy(Path(roots_of("ancient-4.4").proc, "meminfo"), tmp_path)
    sample = Memory(Roots(str(tmp_path), str(tmp_path))).collect()
    (row,) = named(sample, "memory")
    assert (row["total_bytes"], row["page_faults"]) == (8_046_416 * 1024, None)
    assert sample.problem is not None
    assert sample.problem.state is SourceState.DEGRADED
    assert sample.problem.reason == f"cannot read {tmp_path}/vmstat: No such file or directory"


def test_without_meminfo_it_fails_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Memory(Roots(str(tmp_path), str(tmp_path))).collect()


@pytest.mark.parametrize(
    ("parse", "data", "message"),
    [
        (parse_meminfo, b"MemTotal:  plenty kB\n", "^/proc/meminfo, line MemTotal:: no number in"),
        (parse_meminfo, b"MemTotal:\nMemFree: 1 kB\n", "^/proc/meminfo, line MemTotal:: "),
        (parse_vmstat, b"pgfault 1\noom_kill ?\n", "^/proc/vmstat, line oom_kill: "),
        (parse_arcstats, b"size 4\n", "^/proc/spl/kstat/zfs/arcstats, line size: "),
        (parse_zram, b"1 2\n", "^mm_stat of a zram device: "),
        (parse_zram, b"1 2 x\n", "^mm_stat of a zram device: "),
    ],
)
def test_the_error_names_file_and_line(parse: Callable[[bytes], object], data: bytes, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse(data)


def test_the_last_line_counts_without_its_newline_too() -> None:
    assert parse_vmstat(b"pgfault 12\noom_kill 34")[-3:] == (12, None, 34)


@given(st.binary(max_size=120), st.sampled_from([b"", b"MemTotal:", b"pgfault ", b"size ", b"12 13 "]))
def test_any_bytes_give_cells_or_a_parse_error(data: bytes, start: bytes) -> None:
    for parse, cells in ((parse_meminfo, 29), (parse_vmstat, 7), (parse_arcstats, 4), (parse_zram, 3)):
        with suppress(ParseError):
            assert len(parse(start + data)) == cells


def test_this_machine_agrees_with_psutil(named: Named) -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("this /proc has no meminfo")
    (row,) = named(Memory(Roots()).collect(), "memory")
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    assert (row["total_bytes"], row["swap_total_bytes"]) == (memory.total, swap.total)
    available, swapped_out = row["available_bytes"], row["swap_out_bytes"]
    assert isinstance(available, int)
    assert isinstance(swapped_out, int)
    assert abs(available - memory.available) < 0.1 * memory.total
    assert 0 <= swap.sout - swapped_out < 1 << 30
