"""What ztop has of GPUs: a meter and two columns, and nothing of them where there are none."""

import pytest

from tests.ztop_client.fake_source import SECOND, frame, process, with_sections
from tests.ztop_client.gpu.scripted_gpus import gpu, machine, on_gpu
from ztop_client.columns.column import process_table
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import ASCII, UNICODE
from ztop_client.machine import machine as machine_of
from ztop_client.rewind.overview import PINNED_KINDS
from ztop_client.view import View
from ztop_client.widgets.gauges import gauges
from ztop_client.widgets.table import Table
from ztop_protocol.event_kinds import EventKind
from ztop_protocol.frame import Cell, Frame


@pytest.fixture
def view() -> View:
    return View(tabs("alice"), ASCII)


def gauge(made: Frame, width: int = 60) -> str:
    lines = ["".join(text for _, text in line) for line in gauges(machine_of(None, made), width, UNICODE)]
    return next((line for line in lines if "GPU" in line), "")


def names(view: View) -> list[str]:
    return [column.name for column in view.columns]


def test_columns_where_there_are_gpus_alone(view: View) -> None:
    gpus, none = machine("2", 2), machine("none", 2)
    assert "gpus" in view.sections, "asked for: else nobody would know"
    view.show(process_table(None, none))
    assert not {"vram_bytes", "sm_utilization_percent"} & set(names(view))
    before = view.columns
    view.show(process_table(None, gpus))
    at = names(view).index("memory_percent")
    assert names(view)[at + 1 : at + 3] == ["vram_bytes", "sm_utilization_percent"]
    view.order_by("vram_bytes")
    assert view.sort.name == "vram_bytes" and view.descending
    view.show(process_table(None, none))
    assert view.sort.name == "cpu_percent", "what it is sorted by is on the screen"
    assert view.columns == before
    view.show(process_table(None, gpus))
    assert view.sort.name == "vram_bytes"


def test_the_columns_are_one_object_from_frame_to_frame(view: View) -> None:
    view.show(process_table(None, machine("2", 2)))
    columns = view.columns
    view.show(process_table(None, machine("2", 3)))
    assert view.columns is columns


@pytest.mark.parametrize(("second", "expected"), [(3 << 30, 5 << 30), (None, None)])
def test_a_process_has_what_it_holds_on_all_gpus(view: View, second: Cell, expected: Cell) -> None:
    made = with_sections(
        frame(1, [process(50), process(51)]),
        ("gpus", [gpu(1, 0), gpu(1, 1)]),
        ("gpu_processes", [on_gpu("GPU-0000", 50, 1), on_gpu("GPU-0001", 50, 1, vram_bytes=second)]),
    )
    view.show(process_table(None, made))
    column = next(column for column in view.columns if column.name == "vram_bytes")
    assert view.table is not None
    assert column.value(view.table, (50, SECOND)) == expected
    assert column.value(view.table, (51, SECOND)) is None


def headings(view: View, width: int) -> list[str]:
    first = Table(ASCII).lines(view, width, 5)[0]
    return b"".join(text for _, _, text in first).decode().split()


def test_eighty_columns_have_room_for_them(view: View) -> None:
    view.show(process_table(None, machine("none", 2)))
    assert headings(view, 80) == [
        "PID",
        "USER",
        "PRI",
        "NI",
        "VIRT",
        "RES",
        "SHR",
        "S",
        "CPU%v",
        "MEM%",
        "TIME+",
        "Command",
    ]
    view.show(process_table(None, machine("2", 2)))
    assert headings(view, 80) == [
        "PID",
        "USER",
        "PRI",
        "NI",
        "RES",
        "S",
        "CPU%v",
        "MEM%",
        "VRAM",
        "GPU%",
        "TIME+",
        "Command",
    ]
    assert {"VIRT", "SHR"} <= set(headings(view, 100))
    assert headings(view, 50)[:6] == ["PID", "USER", "PRI", "NI", "RES", "S"], "six at the least"


def test_the_meter() -> None:
    assert gauge(machine("none", 2)) == ""
    one = gauge(machine("1", 2))
    assert one.startswith("GPU ") and "%" in one and "VRAM" in one and "24.0G/80.0G" in one
    assert gauge(machine("8", 2)).startswith("8 GPU ") and "282G/640G" in gauge(machine("8", 2))
    assert "24.0G/80.0G" in gauge(machine("mig", 2)), "an instance's memory is its GPU's"
    assert gauge(machine("growing", 1)) == "GPU  0: !! MEMORY FULL IN 39s (33s to 49s) "
    assert "LOST" in gauge(machine("lost", 2))


def test_the_warning_has_a_pin() -> None:
    assert EventKind.VRAM_LOW in PINNED_KINDS
