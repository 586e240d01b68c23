"""What changed on GPUs between two moments: as data, as text, in the box."""

import json
from pathlib import Path

import pytest

from tests.ztop_client.fake_source import frame, process, row, with_sections
from tests.ztop_client.gpu.scripted_gpus import GIBIBYTE, MEBIBYTE, gpu, machine, on_gpu, write
from ztop_client.cli import main
from ztop_client.difference import gpus as difference_of_gpus
from ztop_client.difference.compare import difference
from ztop_client.difference.gpus import GpuProcessUse, OnGpus, Vram
from ztop_client.difference.result import Difference
from ztop_client.glyphs import ASCII, UNICODE
from ztop_client.gpu.cli import main as main_g
from ztop_client.widgets.difference_page import Chapter, DifferencePage
from ztop_protocol.frame import Frame, Key, Row

G = GIBIBYTE


def at(seq: int, *rows: Row, used: int | None = 10 * G, **of_gpu: object) -> Frame:
    """A machine with one GPU, on which these processes are; 50 and 51 are the host's."""
    own = gpu(seq, 0, memory_used_bytes=used, **of_gpu)  # type: ignore[arg-type]
    return with_sections(frame(seq, [process(50), process(51)]), ("gpus", [own]), ("gpu_processes", rows))


def holds(seq: int, pid: int, size: int | None, start: int | None = 10**9) -> Row:
    return on_gpu("GPU-0000", pid, seq, start, vram_bytes=size)


def of(found: Difference, pid: int) -> GpuProcessUse:
    (one,) = (one for one in found.gpu_processes if one.pid == pid)
    return one


def grown() -> Difference:
    """50 grows; 51 goes; 60 comes, and nobody knows it; 61 comes and goes."""
    return difference([
        at(1, holds(1, 50, G), holds(1, 51, 4 * G), gpu_utilization_percent=10),
        at(2, holds(2, 50, 5 * G), holds(2, 51, 4 * G), holds(2, 61, G), used=20 * G, gpu_utilization_percent=None),
        at(3, holds(3, 50, 3 * G), holds(3, 60, 2 * G, None), used=12 * G, gpu_utilization_percent=30),
    ])  # fmt: skip


def test_who_grew_came_and_went() -> None:
    found = grown()
    (card,) = found.gpus
    assert card.vram == Vram(10 * G, 12 * G, 2 * G, 20 * G)
    assert (card.index, card.busy_percent, card.memory_total_bytes, card.is_gone) == ("0", 20.0, 80 * G, False)
    assert [one.pid for one in found.gpu_processes] == [50, 60, 61, 51]
    assert of(found, 50).vram == Vram(G, 3 * G, 2 * G, 5 * G)
    assert (of(found, 50).user, of(found, 50).name) == ("alice", "task50")
    assert of(found, 60).vram == Vram(0, 2 * G, 2 * G, 2 * G) and of(found, 60).name is None
    assert of(found, 51).vram == Vram(4 * G, 0, -4 * G, 4 * G)
    lives = {one.pid: (one.has_come, one.has_gone) for one in found.gpu_processes}
    assert lives == {50: (False, False), 51: (False, True), 60: (True, False), 61: (True, True)}
    assert of(found, 61).vram == Vram(0, 0, 0, G)


def test_one_that_hangs_is_not_as_busy_as_it_was_last() -> None:
    found = difference([
        at(1, gpu_utilization_percent=10),
        at(2, gpu_utilization_percent=90, state="hung"),
        at(3, gpu_utilization_percent=90, state="hung"),
    ])  # fmt: skip
    assert found.gpus[0].busy_percent == 10.0


def test_what_is_not_known_is_not_known() -> None:
    found = difference([at(1, holds(1, 50, None), used=None), at(2, holds(2, 50, None), holds(2, 51, None), used=None)])
    assert found.gpus[0].vram == Vram(None, None, None, None)
    assert of(found, 50).vram == Vram(None, None, None, None)
    assert of(found, 51).vram == Vram(0, None, None, None) and of(found, 51).has_come


def test_a_driver_that_was_gone_in_between_is_no_coming_and_going() -> None:
    found = difference([frame(1, [process(50)]), at(2, holds(2, 50, G)), frame(3, []), at(4, holds(4, 50, 2 * G))])
    assert of(found, 50).vram == Vram(G, 2 * G, G, 2 * G)
    assert not of(found, 50).has_come and not of(found, 50).has_gone


def test_since_a_start_of_the_machine_everybody_came() -> None:
    found = OnGpus(since_boot=True)
    found.take(at(1, holds(1, 50, G)))
    assert [(one.has_come, one.vram.grown_bytes) for one in found.processes()] == [(True, G)]


def test_a_gpu_that_is_gone_is_said_to_be() -> None:
    first, last = machine("2", 1), machine("1", 2)
    assert [one.is_gone for one in difference([first, last]).gpus] == [False, True]


def test_what_went_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference_of_gpus, "MOST_GONE", 3)
    found = OnGpus(since_boot=False)
    for seq in range(1, 40):
        found.take(at(seq, holds(seq, 50, G), holds(seq, 1000 + seq, MEBIBYTE * seq)))
    kept = found.processes()
    assert len(kept) <= 8 and kept[0].pid in (50, 1039) and {one.pid for one in kept} >= {50, 1038, 1039}


def text_of(page: DifferencePage, width: int = 100) -> str:
    return "\n".join(b"".join(part for _, _, part in line).decode() for line in page.box(width, 30, UNICODE))


def test_the_box_has_two_chapters_more() -> None:
    gone_to: list[Key] = []
    page = DifferencePage(grown(), gone_to.append, Chapter.ON_GPUS)
    shown = text_of(page)
    assert "4  1 GPUs" in shown and "5  4 on GPUs" in shown and "1-5: chapter" in shown
    heading, first, *_ = (line for line in shown.splitlines() if "VRAM+" in line or "task50" in line)
    assert heading.split()[1:-1] == ["GPU", "PID", "USER", "VRAM+", "FROM", "TO", "MOST", "LIFE", "COMMAND"]
    assert first.split()[1:9] == ["0", "50", "alice", "+2.0G", "1.0G", "3.0G", "5.0G", "/usr/bin/task50"]
    assert page.key("4")
    assert "NVIDIA H100" in text_of(page, 80)
    assert page.key("tab") and page.key("down") and not page.key("enter")
    assert gone_to == [(60, None)]
    assert text_of(DifferencePage(grown(), gone_to.append)).count("CPU TIME") == 1, "ztop begins with the processes"


def test_without_gpus_there_are_three() -> None:
    page = DifferencePage(
        difference([frame(1, [process(50)]), frame(2, [process(50)])]), lambda _: None, Chapter.ON_GPUS
    )
    assert "1-3: chapter" in text_of(page) and "GPU" not in text_of(page)
    assert page.key("5") and "CPU TIME" in text_of(page)
    assert page.box(20, 5, ASCII)


@pytest.mark.parametrize(("program", "name"), [(main, "ztop"), (main_g, "ztop-g")])
def test_on_the_command_line(program: object, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(program)
    path = str(tmp_path / "growing.ztop")
    write(path, (machine("growing", seq) for seq in range(1, 8)))
    assert program(["--diff", "-6s", "now", "--replay", path, "--limit", "2"]) == 0
    told = capsys.readouterr()
    assert told.err == "" and told.out.startswith(f"{name} --diff ")
    lines = [" ".join(line.split()) for line in told.out.splitlines()]
    assert "GPU VRAM+ FROM TO MOST OF BUSY% LIFE NAME" in lines
    assert any(line.startswith("0 +1.2G 72.2G 73.4G 73.4G 80.0G ") for line in lines)
    assert any(line.startswith("0 7000 alice +1.2G 68.2G 69.4G 69.4G python3 -u train.py") for line in lines)
    assert program(["--diff", "-6s", "now", "--replay", path, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["gpu_processes"][0]["vram"]["grown_bytes"] == 6 * 200 * MEBIBYTE
    assert [one["index"] for one in made["gpus"]] == ["0", "1"]


def test_a_row_that_lies_in_no_listed_gpu() -> None:
    lone = with_sections(
        frame(1, []), ("gpus", []), ("gpu_processes", [row("gpu_processes", gpu_uuid="gone", pid=7, vram_bytes=G)])
    )
    found = OnGpus(since_boot=False)
    found.take(lone)
    assert [(one.gpu_index, one.pid) for one in found.processes()] == [("?", 7)]
