"""The summary says what the sections say, and its rates are those of the client's header."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztopd.sampler.section_rows import SECOND, cells, row, section
from ztop_client.machine import machine, together
from ztop_protocol.frame import Cell, Frame, Row, Section
from ztop_protocol.rates import RATE_POSITION, RateTable
from ztopd.sampler.summary import Summary


@dataclass
class Tick:
    """The sections of a tick, and what the summary makes of them."""

    sections: dict[str, Section] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.summary = Summary(self.sections)

    def give(self, at_s: int, **rows: list[Row]) -> None:
        self.sections.update({name: section(name, at_s * SECOND, given) for name, given in rows.items()})
        sample = self.summary.collect()
        self.sections["summary"] = Section(sample.sampled_boottime_ns or 0, sample.sections["summary"])

    def cell(self, name: str) -> Cell:
        (found,) = self.sections["summary"].rows.values()
        return cells("summary", found)[name]

    def frame(self, at_s: int) -> Frame:
        return Frame(at_s, 0, at_s * SECOND, "boot", dict(self.sections))


def disk(name: str, read: int | None, written: int | None = 0, whole: bool | None = True) -> Row:
    return row("disks", name, read_bytes=read, write_bytes=written, whole_disk=whole)


def network(name: str, received: int, sent: int = 0) -> Row:
    return row("networks", name, receive_bytes=received, transmit_bytes=sent)


def cpu(number: int, busy: int, **others: Cell) -> Row:
    states = dict.fromkeys(("user", "nice", "system", "irq", "softirq", "steal"), busy)
    times: dict[str, Cell] = {f"{state}_time_ns": time for state, time in states.items()}
    return row("cpus", number, **(times | others))


def gpu(uuid: str, utilization: float | None, state: str = "ok") -> Row:
    return row("gpus", uuid, state=state, gpu_utilization_percent=utilization)


def test_the_sums() -> None:
    tick = Tick()
    tick.give(
        5,
        cpus=[cpu(0, 1, idle_time_ns=1000, iowait_time_ns=1000, guest_time_ns=1000), cpu(1, 10)],
        memory=[row("memory", total_bytes=100, available_bytes=70, swap_total_bytes=50, swap_free_bytes=45)],
        pressure=[row("pressure", resource, some_time_ns=7) for resource in ("cpu", "memory", "io")],
        disks=[disk("sda", 3, 4), disk("sda1", 3, 4, False), disk("dm-0", 3, 4), disk("nvme0n1", 30, 40)],
        networks=[network("lo", 1000, 1000), network("eth0", 5, 6), network("veth1", 9, 9), network("eth0.7", 5, 6)],
        gpus=[gpu("GPU-0", 20.0), gpu("GPU-1", 70.5), gpu("MIG-0", None), gpu("GPU-2", 99.0, "hung")],
    )
    (found,) = tick.sections["summary"].rows.values()
    assert cells("summary", found) == {
        "cpu_busy_time_ns": 66, "cpu_count": 2,
        "cpu_pressure_time_ns": 7, "memory_pressure_time_ns": 7, "io_pressure_time_ns": 7,
        "disk_read_bytes": 33, "disk_write_bytes": 44, "network_receive_bytes": 5, "network_transmit_bytes": 6,
        "memory_total_bytes": 100, "memory_used_bytes": 30, "swap_total_bytes": 50, "swap_used_bytes": 5,
        "gpu_utilization_percent": 70.5,
    }  # fmt: skip
    assert tick.sections["summary"].sampled_boottime_ns == 5 * SECOND


def test_what_is_not_there_is_none() -> None:
    tick = Tick()
    tick.give(1)
    (found,) = tick.sections["summary"].rows.values()
    assert set(found) == {None}
    tick.give(2, memory=[row("memory", total_bytes=9)], cpus=[cpu(0, 1, steal_time_ns=None)], disks=[disk("sda", None)])
    assert tick.cell("memory_total_bytes") == 9
    assert tick.cell("cpu_count") == 1
    for name in ("memory_used_bytes", "swap_used_bytes", "cpu_busy_time_ns", "disk_read_bytes", "io_pressure_time_ns"):
        assert tick.cell(name) is None, name
    assert tick.cell("disk_write_bytes") == 0


def test_what_was_not_sampled_anew_has_no_value_and_no_rate() -> None:
    tick = Tick()
    tick.give(1, cpus=[cpu(0, 1)], networks=[network("eth0", 100)])
    before = tick.frame(1)
    tick.give(2, cpus=[cpu(0, 2)])
    stale = tick.frame(2)
    assert tick.cell("network_receive_bytes") is None
    assert tick.cell("cpu_busy_time_ns") == 12
    place = RATE_POSITION["summary"]["network_receive_bytes_per_second"]
    assert RateTable(before, stale, "summary").cell((), place) is None
    # what went by meanwhile is not lost
    tick.give(3, cpus=[cpu(0, 3)], networks=[network("eth0", 175)])
    assert tick.cell("network_receive_bytes") == 175
    assert RateTable(stale, tick.frame(3), "summary").cell((), place) is None


def test_gpus_have_no_part_in_the_time_of_the_sums() -> None:
    tick = Tick()
    tick.give(1, gpus=[gpu("GPU-0", 40)])
    tick.give(2, cpus=[cpu(0, 1)])
    assert tick.cell("gpu_utilization_percent") is None
    tick.sections["gpus"] = section("gpus", SECOND, [gpu("GPU-0", 0)])
    tick.give(3, cpus=[cpu(0, 2)])
    assert tick.cell("gpu_utilization_percent") == 0
    assert tick.sections["summary"].sampled_boottime_ns == 3 * SECOND
    tick.give(4, cpus=[cpu(0, 3)], gpus=[gpu("GPU-0", 40, "lost")])
    assert tick.cell("gpu_utilization_percent") is None


@pytest.mark.parametrize(
    ("rows", "total"),
    [
        ({"sda": 110, "sdb": 5000}, 110),
        ({"sdb": 5000}, 100),
        ({"sda": 40}, 100),
        ({"sda": 110, "dm-0": 60}, 110),
        ({}, None),
    ],
)
def test_a_disk_that_comes_goes_or_begins_anew_is_no_burst(rows: dict[str, int], total: int | None) -> None:
    tick = Tick()
    tick.give(1, disks=[disk("sda", 100)])
    tick.give(2, disks=[disk(name, read) for name, read in rows.items()])
    assert tick.cell("disk_read_bytes") == total
    # from now on what is new counts too
    tick.give(3, disks=[disk(name, read + 7) for name, read in rows.items()])
    assert tick.cell("disk_read_bytes") == (None if total is None else total + 7 * len(rows.keys() - {"dm-0"}))


NAMES = st.sampled_from(["sda", "sdb", "nvme0n1", "sda1", "dm-0", "eth0", "wlan0", "lo", "tun0", "docker0", "eth0.5"])
TRAFFIC = st.dictionaries(NAMES, st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)))


@given(TRAFFIC, TRAFFIC)
def test_its_rates_are_those_of_the_header(first: dict[str, tuple[int, int]], then: dict[str, tuple[int, int]]) -> None:
    tick, frames = Tick(), []
    for at_s, traffic in ((1, first), (3, then)):
        tick.give(
            at_s,
            disks=[disk(name, *both, whole=name != "sda1") for name, both in traffic.items()],
            networks=[network(name, *both) for name, both in traffic.items()],
        )
        frames.append(tick.frame(at_s))
    shown = machine(*frames)
    found = RateTable(frames[0], frames[1], "summary").rows()[()]
    for title, parts, inward, outward in (
        ("disks", shown.disks, "disk_read_bytes_per_second", "disk_write_bytes_per_second"),
        ("networks", shown.networks, "network_receive_bytes_per_second", "network_transmit_bytes_per_second"),
    ):
        header = together(title, parts)
        for expected, name in ((header.inward, inward), (header.outward, outward)):
            got = found[RATE_POSITION["summary"][name]]
            # where no row has a rate the header says nothing, and the sum did not grow
            assert (got or 0) == pytest.approx(expected or 0)
