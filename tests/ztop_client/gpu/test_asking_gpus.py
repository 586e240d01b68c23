"""Questions about GPUs: filters of both programs, --find, and why nothing is found where there is none."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.ztop_client.fake_source import SECOND, frame, process, with_sections
from tests.ztop_client.gpu.scripted_gpus import GIBIBYTE, MEBIBYTE, gpu, machine, on_gpu, write
from ztop_client.cli import main
from ztop_client.columns.column import process_table
from ztop_client.columns.processes import tabs
from ztop_client.find import find, needed_sections
from ztop_client.glyphs import ASCII
from ztop_client.gpu.cli import main as main_g
from ztop_client.gpu.columns import tabs as tabs_g
from ztop_client.gpu.program import ZTOP_G
from ztop_client.gpu.table import gpu_table
from ztop_client.sources.source import Pair
from ztop_client.view import View
from ztop_protocol.frame import Cell, Frame
from ztop_protocol.query import parse_question
from ztop_protocol.schema import SourceState

NO_GPU = "no GPU {} (libnvidia-ml.so.1 cannot be loaded)"


def two_gpus() -> Frame:
    """50 is on both GPUs, 51 on the second one."""
    return with_sections(
        frame(1, [process(50), process(51), process(52)]),
        ("gpus", [gpu(1, 0), gpu(1, 1)]),
        ("gpu_processes", [
            on_gpu("GPU-0000", 50, 1, vram_bytes=GIBIBYTE, sm_utilization_percent=30),
            on_gpu("GPU-0001", 50, 1, vram_bytes=3 * GIBIBYTE, sm_utilization_percent=30),
            on_gpu("GPU-0001", 51, 1, vram_bytes=2 * GIBIBYTE, sm_utilization_percent=45,
                   vram_velocity_bytes_per_second=120.0 * MEBIBYTE, oom_eta_seconds=50.0, oom_share_percent=100.0),
        ]),
    )  # fmt: skip


def rows_of(view: View, text: str) -> list[Cell]:
    view.filter_by(text)
    return sorted(key[0] for key in view.keys)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("text", "processes", "rows"),
    [
        ("vram > 2G", [50], ["GPU-0001"]),
        ("vram >= 2G and not vram >= 3G", [51], ["GPU-0001"]),
        ("vram_velocity > 100M", [51], ["GPU-0001"]),
        ("oom_eta < 60", [51], ["GPU-0001"]),
        ("oom_eta < 1m and oom_share == 100", [51], ["GPU-0001"]),
        ("gpu > 50", [50], []),
        ("gpu > 40", [50, 51], ["GPU-0001"]),
        ("gpu_mem > 3", [], ["GPU-0001"]),
        ("vram_percent < 3 and vram != none", [50, 51], ["GPU-0000", "GPU-0001"]),
        ('gpu_index ~ "0"', [50], ["GPU-0000"]),
        ("gpu_index == 0,1", [50], []),
        ("vram == none", [52], []),
    ],
)
def test_a_filter_asks_of_a_process_over_all_gpus_and_of_a_row_there(
    text: str, processes: list[int], rows: list[str]
) -> None:
    ztop, ztop_g = View(tabs(), ASCII), View(tabs_g(), ASCII, program=ZTOP_G)
    ztop.show(process_table(None, two_gpus()))
    ztop_g.show(gpu_table(None, two_gpus()))
    assert rows_of(ztop, text) == processes
    assert rows_of(ztop_g, text) == rows
    assert {"gpus", "gpu_processes", "sources"} <= ztop.sections


def pairs(frames: Iterable[Frame]) -> list[Pair]:
    made: list[Pair] = []
    for one in frames:
        made.append(Pair(None, one) if not made else made[-1].followed_by(one))
    return made


def test_find_takes_what_grows_on_a_gpu_alone() -> None:
    """Nothing else of the process changes."""

    def at(seq: int, velocity: float) -> Frame:
        own = on_gpu("GPU-0000", 50, seq, vram_bytes=GIBIBYTE * seq, vram_velocity_bytes_per_second=velocity)
        return with_sections(frame(seq, [process(50)]), ("gpus", [gpu(seq, 0)]), ("gpu_processes", [own]))

    question = parse_question("vram_velocity > 100M for 2s")
    assert needed_sections(question) == {"processes", "gpus", "gpu_processes", "sources"}
    grows = {3, 4, 7}
    frames = [at(seq, 200.0 * MEBIBYTE if seq in grows else 0.0) for seq in range(1, 9)]
    (found,) = find(pairs(frames), question)
    assert (found.pid, found.duration_ns, found.still) == (50, 2 * SECOND, False)
    assert found.greatest == {"vram_velocity_bytes_per_second": 200.0 * MEBIBYTE}
    (found,) = find(pairs(frames), parse_question("vram > 5G"))
    assert (found.duration_ns, found.still) == (3 * SECOND, True)


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = str(tmp_path / "growing.ztop")
    write(path, (machine("growing", seq) for seq in range(1, 5)))
    return path


@pytest.fixture
def without(tmp_path: Path) -> str:
    path = str(tmp_path / "none.ztop")
    write(path, (machine("none", seq) for seq in range(1, 5)))
    return path


@pytest.mark.parametrize("program", [main, main_g])
def test_find_on_the_command_line(program: object, recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(program)
    assert program(["--find", "oom_eta < 60 and vram > 2G", "--replay", recording]) == 0
    told = capsys.readouterr()
    assert told.err == "" and "MAX OOM_ETA_SECONDS" in told.out and " 39s " in told.out and " 7000 " in told.out
    assert program(["--find", "vram > 79G", "--replay", recording]) == 1
    assert "(" not in capsys.readouterr().err, "a GPU was there"


@pytest.mark.parametrize(("program", "name"), [(main, "ztop"), (main_g, "ztop-g")])
def test_find_says_that_there_was_no_gpu(
    program: object, name: str, without: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(program)
    assert program(["--find", "vram > 2G", "--replay", without]) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"{name}: there is no process in replay ") and told.err.count("\n") == 1
    assert told.err.endswith(f" of which that held: {NO_GPU.format('in that time')}\n")
    assert program(["--find", "vram > 2G or cpu > 1", "--replay", without, "--limit", "1"]) == 0
    assert f"{name}: {NO_GPU.format('in that time')}\n" in capsys.readouterr().err


def test_find_says_that_there_were_no_counters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "none.ztop")
    source = {"source": "counters", "state": SourceState.ABSENT, "reason": "this machine has no PMU"}

    def at(seq: int) -> Frame:
        from tests.ztop_client.fake_source import row

        return with_sections(frame(seq, [process(50, user_time_ns=seq)]), ("sources", [row("sources", **source)]))

    write(path, map(at, range(1, 4)))
    assert main(["--find", "ipc < 0.5", "--replay", path]) == 1
    assert capsys.readouterr().err.endswith("of which that held: no counters in that time (this machine has no PMU)\n")


def test_batch_mode_of_ztop(recording: str, without: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> str:
        assert main(["-b", "-n", "1", *arguments]) == 0
        return capsys.readouterr().out

    wanted = "pid,gpu_index,vram_bytes,vram_percent,oom_eta_seconds,vram_velocity_bytes_per_second"
    page = run("--replay", recording, "--columns", wanted, "--sort", "vram_bytes", "--limit", "2")
    *_, heading, first, _ = page.splitlines()
    assert heading.split()[0] == "PID" and "VRAM" in heading and "VRAM_PERCENT" in heading
    assert first.split() == ["7000", "0", "68.4G", "85.5", "38s", "200M/s"]
    chosen = run("--replay", recording, "--json", "--columns", "pid,vram_bytes", "--filter", "gpu > 80 and vram > 2G")
    assert [one["pid"] for one in json.loads(chosen)["processes"]] == [7000]
    whole = json.loads(run("--replay", recording, "--json", "--sort", "vram_bytes"))["processes"]
    assert whole[0]["vram_bytes"] > GIBIBYTE and whole[-1]["vram_bytes"] is None
    assert main(["-b", "-n", "1", "--replay", without, "--columns", "pid,vram_bytes"]) == 0
    assert capsys.readouterr().err == f"ztop: There is {NO_GPU.format('here')}.\n"


def test_a_filter_says_why_it_finds_nothing() -> None:
    view = View(tabs(), ASCII)
    view.show(process_table(None, machine("none", 2)))
    assert view.lack is None
    view.filter_by("vram > 1")
    assert view.lack == f"Nothing is found: {NO_GPU.format('here')}."
    view.filter_by("vram == none")
    assert view.keys and view.lack is None, "something is found"
    view.filter_by("nobody")
    assert view.lack is None
    view.filter_by("vram > 900G")
    view.show(process_table(None, machine("2", 2)))
    assert not view.keys and view.lack is None, "there is a GPU"


def test_an_export_of_the_processes_has_them(recording: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert main(["--export", str(out), "--replay", recording]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    grower = [row for row in rows if row["pid"] == "7000"]
    assert len(grower) == 4 and {row["gpu_index"] for row in grower} == {"0"}
    assert float(grower[-1]["oom_eta_seconds"]) < float(grower[0]["oom_eta_seconds"])
    assert int(grower[-1]["vram_bytes"]) - int(grower[0]["vram_bytes"]) == 3 * 200 * MEBIBYTE
