"""The table of ztop-g without a terminal: its rows, and what is done to the processes that they stand for."""

import pytest

from tests.ztop_client.fake_source import SECOND, frame, process, with_sections
from tests.ztop_client.gpu.scripted_gpus import gpu, machine, on_gpu
from ztop_client.actions import Refused, target
from ztop_client.columns.column import ProcessTable
from ztop_client.glyphs import ASCII
from ztop_client.gpu.columns import eta_attribute, vram_low
from ztop_client.gpu.program import ZTOP_G
from ztop_client.gpu.table import gpu_table
from ztop_client.view import View
from ztop_protocol.frame import Cell, Frame, Key


@pytest.fixture
def view() -> View:
    return View(ZTOP_G.tabs("alice"), ASCII, program=ZTOP_G)


def shown(view: View, kind: str, seq: int = 20) -> ProcessTable:
    table = gpu_table(machine(kind, seq - 1), machine(kind, seq))
    view.show(table)
    return table


def value(view: View, key: Key, name: str) -> Cell:
    assert view.table is not None
    column = next(column for tab in view.tabs for column in tab.columns if column.name == name)
    return column.value(view.table, key)


def one_process_on_two_gpus(seq: int = 1, start: int = SECOND) -> Frame:
    return with_sections(
        frame(seq, [process(50, start, comm="train"), process(51)]),
        ("gpus", [gpu(seq, 0), gpu(seq, 1)]),
        ("gpu_processes", [on_gpu("GPU-0000", 50, seq, start), on_gpu("GPU-0001", 50, seq, start)]),
    )


def test_a_row_for_each_gpu_and_process_and_no_other(view: View) -> None:
    view.show(gpu_table(None, one_process_on_two_gpus()))
    assert view.keys == [("GPU-0000", 50, SECOND), ("GPU-0001", 50, SECOND)]
    assert [value(view, key, "pid") for key in view.keys] == [50, 50]


def test_what_is_done_is_done_to_the_process_once(view: View) -> None:
    view.show(gpu_table(None, one_process_on_two_gpus()))
    view.tag()
    view.tag()
    assert len(view.tagged) == 2
    assert view.targets() == [(50, SECOND)]
    assert view.table is not None and not view.table.threads
    assert target(view.table.frame, view.targets()[0]).name == "train"


def test_a_process_is_found_by_its_own_key(view: View) -> None:
    view.show(gpu_table(None, one_process_on_two_gpus()))
    view.cursor = 1
    assert view.select((50, SECOND)) and view.cursor == 0
    assert view.select(("GPU-0001", 50, SECOND)) and view.cursor == 1
    assert not view.select((51, SECOND)) and view.cursor == 1


def test_a_pid_that_was_taken_over_is_not_tagged(view: View) -> None:
    view.show(gpu_table(None, one_process_on_two_gpus()))
    view.tag()
    view.show(gpu_table(None, one_process_on_two_gpus(2, 1001 * SECOND)))
    assert not view.tagged


def test_the_host_says_who_it_is_and_what_it_uses(view: View) -> None:
    shown(view, "2")
    key = ("GPU-0001", 7004, SECOND)
    assert value(view, key, "user") == "alice"
    assert value(view, key, "cpu_percent") == pytest.approx(50)
    assert value(view, key, "rss_bytes") == 1 << 30
    assert str(value(view, key, "command_line")).startswith("python3 -u train.py")
    assert value(view, key, "vram_percent") == pytest.approx(100 * (3 * 1024 + 100) / (80 * 1024))


def test_strangers_say_why_they_are(view: View) -> None:
    table = shown(view, "foreign")
    foreign, unknown = ("GPU-0000", 4242, None), ("GPU-0001", 7001, None)
    assert value(view, foreign, "command_line") == "(a pid of another pid namespace)"
    assert value(view, unknown, "command_line") == "(no process here has this pid)"
    for name in ("user", "cpu_percent", "rss_bytes", "vram_percent"):
        assert value(view, foreign, name) is None
    for key in (foreign, unknown):
        assert view.select(key)
        with pytest.raises(Refused, match="known to its GPU alone"):
            target(table.frame, view.targets()[0])


def test_the_index_of_an_instance_is_that_of_its_gpu_and_its_own(view: View) -> None:
    shown(view, "mig")
    column = view.columns[0]
    assert view.table is not None
    assert [column.format(column.value(view.table, key)) for key in sorted(view.keys)] == ["0.0", "0.1", "0.2"]


def test_order_filter_and_search(view: View) -> None:
    shown(view, "growing")
    assert view.keys[0] == ("GPU-0000", 7000, SECOND), "the most memory first"
    view.order_by("oom_eta_seconds")
    assert view.keys[0] == ("GPU-0000", 7000, SECOND)
    view.order_by("gpu_index")
    assert [key[0] for key in view.keys] == ["GPU-0000"] * 4 + ["GPU-0001"] * 4
    view.filter_by("train.py")
    assert {key[1] for key in view.keys} == {7000, 7004}
    view.filter_by("cpu > 40 and age > 1s and user == alice")
    assert {key[1] for key in view.keys} == {7000, 7004}
    view.filter_by("age < 1s")
    assert not view.keys
    view.filter_by("")
    assert view.search("blender") and view.selected is not None and view.selected[1] in (7002, 7006)
    assert [name for name, _ in view.users()] == ["alice", "bob"]


def test_every_key_of_sorting_has_its_column(view: View) -> None:
    shown(view, "1")
    for column in ZTOP_G.sorts.values():
        view.order_by(column)
        assert view.sort.name == column


def test_a_hidden_process_is_not_shown_as_another(view: View) -> None:
    made = with_sections(frame(1, []), ("gpus", [gpu(1, 0)]), ("gpu_processes", [on_gpu("GPU-0000", 50, 1)]))
    view.show(gpu_table(None, made))
    assert value(view, view.keys[0], "command_line") == "(the process is not shown here)"
    assert view.table is not None
    with pytest.raises(Refused, match="is gone"):
        target(view.table.frame, view.targets()[0])


@pytest.mark.parametrize(("stands", "marked"), [(True, True), (False, False), (None, None)])
def test_the_alarm_is_the_daemons_and_of_those_that_grow(view: View, stands: Cell, marked: Cell) -> None:
    rows = [
        on_gpu("GPU-0000", 50, 1, oom_eta_seconds=9.0),
        on_gpu("GPU-0000", 51, 1),
        on_gpu("gone", 52, 1, oom_eta_seconds=9.0),
    ]
    view.show(
        gpu_table(None, with_sections(frame(1, []), ("gpus", [gpu(1, 0, vram_low=stands)]), ("gpu_processes", rows)))
    )
    assert view.table is not None
    eta = next(column for column in view.columns if column.name == "oom_eta_seconds")
    assert eta.mark is not None
    told = {key[1]: (vram_low(view.table, key), eta.mark(view.table, key)) for key in view.keys}
    assert told[50] == (marked, "alarm" if marked else None)
    assert told[51] == (None if stands is None else False, None) and told[52] == (None, None)
    assert [eta_attribute(value) for value in (None, 9.0, 299.0, 300.0)] == ["dim", "warm", "warm", "text"]
