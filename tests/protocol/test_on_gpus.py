"""What a process does on several GPUs, as one row."""

import pytest

from ztop_protocol.frame import Cell, Frame, Row, Section
from ztop_protocol.on_gpus import NAMES, NOWHERE, on_gpus, place_text
from ztop_protocol.processes import joined
from ztop_protocol.schema import SECTIONS

SECOND = 10**9


def row(section: str, **cells: Cell) -> Row:
    return tuple(cells.get(name) for name in SECTIONS[section].names)


def frame(gpus: list[Row], gpu_processes: list[Row]) -> Frame:
    listed = {"gpus": gpus, "gpu_processes": gpu_processes, "processes": [row("processes", pid=7, start_boottime_ns=5)]}
    sections = {
        name: Section(SECOND, {one[: SECTIONS[name].key_length]: one for one in rows}) for name, rows in listed.items()
    }
    return Frame(1, SECOND, SECOND, "a", sections)


def gpu(index: int, total: Cell = 1000, parent: str | None = None) -> Row:
    name = f"G{index}" if parent is None else f"{parent}-{index}"
    return row("gpus", uuid=name, index=index, parent_uuid=parent, memory_total_bytes=total)


def use(uuid: str, pid: int = 7, start: int | None = 5, **cells: Cell) -> Row:
    return row("gpu_processes", gpu_uuid=uuid, pid=pid, start_boottime_ns=start, **cells)


def of(made: Frame, key: tuple[Cell, ...] = (7, 5)) -> dict[str, Cell]:
    return dict(zip(NAMES, on_gpus(made)[key], strict=True))


def test_what_is_known_of_one() -> None:
    made = frame([gpu(0), gpu(3)], [use("G3", vram_bytes=250, sm_utilization_percent=40.0, oom_eta_seconds=9.5)])
    told = of(made)
    assert told == {
        **dict.fromkeys(NAMES), "gpu_index": "3", "vram_bytes": 250, "vram_percent": 25.0,
        "sm_utilization_percent": 40.0, "oom_eta_seconds": 9.5,
    }  # fmt: skip


def test_of_several_sums_the_first_to_be_full_and_the_greatest_share() -> None:
    known = [(100, 10.0, 50.0, 70.0), (300, 5.0, 20.0, 30.0)]
    rows = [
        use(
            f"G{place}", vram_bytes=vram, vram_velocity_bytes_per_second=speed, oom_eta_seconds=eta,
            oom_share_percent=share, encoder_utilization_percent=25.0,
        )
        for place, (vram, speed, eta, share) in zip((10, 2), known, strict=True)
    ]  # fmt: skip
    told = of(frame([gpu(2, 3000), gpu(10)], rows))
    assert (told["gpu_index"], told["vram_bytes"], told["vram_percent"]) == ("2,10", 400, 10.0)
    assert (told["vram_velocity_bytes_per_second"], told["encoder_utilization_percent"]) == (15.0, 50.0)
    assert (told["oom_eta_seconds"], told["oom_share_percent"]) == (20.0, 70.0)


@pytest.mark.parametrize("unknown", [0, 1])
def test_a_sum_of_which_a_part_is_not_known_is_not_known(unknown: int) -> None:
    rows = [use(f"G{place}", vram_bytes=None if place == unknown else 10, oom_eta_seconds=None) for place in (0, 1)]
    told = of(frame([gpu(0), gpu(1)], rows))
    assert (told["vram_bytes"], told["vram_percent"], told["oom_eta_seconds"]) == (None, None, None)


def test_instances_and_gpus_that_are_not_listed() -> None:
    made = frame(
        [gpu(1), gpu(0, 100, "G1"), gpu(2, 100, "G1")], [use("G1-2", vram_bytes=50), use("gone", vram_bytes=1)]
    )
    told = of(made)
    assert (told["gpu_index"], told["vram_bytes"], told["vram_percent"]) == ("?,1.2", 51, None)
    assert (place_text(None), place_text(-1), place_text(256)) == ("?", "?", "1")


def test_they_are_joined_to_the_processes() -> None:
    made = frame([gpu(0)], [use("G0", vram_bytes=10), use("G0", 8, None, vram_bytes=99)])
    assert joined(None, made)[7, 5][-len(NAMES) :] == on_gpus(made)[7, 5]
    assert joined(None, frame([gpu(0)], []))[7, 5][-len(NAMES) :] == NOWHERE
    assert (8, None) in on_gpus(made), "a pid that no process here has"
