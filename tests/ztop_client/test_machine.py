"""What is read off a frame, against the machines of fake_machine.py."""

import itertools
from dataclasses import replace

import pytest

from tests.ztop_client.fake_machine import KINDS, MEBIBYTE, Kind, machine_frames
from tests.ztop_client.fake_source import GIBIBYTE, SECOND, frame, row, section
from ztop_client.machine import CPU_PARTS, Machine, machine, together
from ztop_protocol.frame import Cell, Frame, Row


def pair(kind: Kind) -> tuple[Frame, Frame]:
    first, second = itertools.islice(machine_frames(kind), 2)
    return first, second


def of(name: str) -> Machine:
    return machine(*pair(KINDS[name]))


def with_rows(name: str, *rows: Row) -> Frame:
    made = frame(2, [])
    return replace(made, sections={**made.sections, name: section(name, made.boottime_ns, rows)})


def test_cores_and_their_mean() -> None:
    spent = dict(zip((name for name, _ in CPU_PARTS), (0.45, 0.05, 0.2, 0.03, 0.17, 0.1), strict=True))
    found = of("vm")
    assert [core.number for core in found.cores] == [0, 1]
    for core in (*found.cores, found.total):
        sizes = dict(core.parts)
        whole = sum(sizes.values())
        assert core.busy is not None
        assert whole == pytest.approx(core.busy + sizes["cpu_iowait"])
        if whole:
            assert {name: size / whole for name, size in sizes.items()} == pytest.approx(spent)
    assert found.total.busy == pytest.approx(sum(core.busy or 0 for core in found.cores) / 2)


def test_without_a_frame_before_no_rate_is_known() -> None:
    found = machine(None, pair(KINDS["laptop"])[1])
    assert len(found.cores) == 16
    assert {core.busy for core in (*found.cores, found.total)} == {None}
    assert [(one.some, one.full) for one in found.pressures] == [(None, None)] * 3
    assert together("", found.disks).inward is None
    assert together("", found.networks).outward is None
    assert found.memory.used is not None
    assert found.battery is not None


def test_a_core_that_came_back_is_not_in_the_mean() -> None:
    first, second = pair(KINDS["vm"])
    fewer = replace(first, sections={**first.sections, "cpus": replace(first.sections["cpus"], rows=dict(
        itertools.islice(first.rows("cpus").items(), 1)))})  # fmt: skip
    found = machine(fewer, second)
    assert found.cores[1].busy is None
    assert found.total.busy == found.cores[0].busy


def test_memory_is_told_apart_without_overlap() -> None:
    memory = machine(None, frame(1, [])).memory
    assert dict(memory.parts) == {
        "memory_used": 4.5 * GIBIBYTE, "memory_shared": GIBIBYTE, "memory_buffers": GIBIBYTE,
        "memory_cache": 3.5 * GIBIBYTE, "memory_arc": 0,
    }  # fmt: skip
    assert memory.used == 5.5 * GIBIBYTE
    assert sum(dict(memory.parts).values()) == 10 * GIBIBYTE


def test_what_zfs_gives_back_is_not_used() -> None:
    memory = of("server").memory
    total = 1024 * GIBIBYTE
    assert dict(memory.parts)["memory_arc"] == total // 5 - total // 32
    assert memory.used is not None
    assert sum(size for _, size in memory.parts) < total


def test_unknown_memory_is_unknown() -> None:
    found = machine(None, with_rows("memory", row("memory", total_bytes=GIBIBYTE)))
    assert (found.memory.total, found.memory.used, found.memory.parts) == (GIBIBYTE, None, ())
    assert (found.swap.total, found.swap.used) == (None, None)
    empty = machine(None, replace(frame(1, []), sections={}))
    assert (empty.memory.total, empty.cores, empty.pressures, empty.disks) == (None, (), (), ())


def test_swap_with_zram_and_zswap() -> None:
    assert of("laptop").swap.compressed == (("zram", 900 * MEBIBYTE, 260 * MEBIBYTE),)
    zswap = row("memory", swap_total_bytes=8, swap_free_bytes=6, zswap_stored_bytes=5, zswap_pool_bytes=2)
    swap = machine(None, with_rows("memory", zswap)).swap
    assert (swap.used, swap.compressed) == (2, (("zswap", 5, 2),))
    assert of("vm").swap.compressed == ()


def test_only_disks_that_stand_by_themselves_and_interfaces_that_lead_out_count() -> None:
    found = of("laptop")
    assert [one.name for one in found.disks] == ["nvme0n1", "sda"]
    assert [one.name for one in found.networks] == ["eth0", "wlan0"]
    whole = together("all", found.disks)
    assert whole.inward == pytest.approx(sum(one.inward or 0 for one in found.disks))
    assert whole.busy == max(one.busy or 0 for one in found.disks)


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        (["lo", "tun0"], ["tun0"]),
        (["lo"], []),
        (["lo", "br-12ab", "docker0", "virbr0", "veth1", "bond0", "eth0", "eth1", "eth0.7"], ["eth0", "eth1"]),
        (["enp3s0", "wlp2s0", "lan0"], ["enp3s0", "wlp2s0", "lan0"]),
    ],
)
def test_networks(names: list[str], counted: list[str]) -> None:
    rows = [row("networks", interface=name, receive_bytes=0, transmit_bytes=0) for name in names]
    assert [one.name for one in machine(None, with_rows("networks", *rows)).networks] == counted


def test_pressure_is_that_of_the_interval() -> None:
    def stalled(some: int, full: int) -> Row:
        return row("pressure", resource="io", some_time_ns=some, full_time_ns=full, some_avg10_percent=99.0)

    first, second = with_rows("pressure", stalled(0, 0)), with_rows("pressure", stalled(SECOND // 4, SECOND // 10))
    later = replace(second.sections["pressure"], sampled_boottime_ns=first.boottime_ns + SECOND)
    second = replace(second, sections={**second.sections, "pressure": later})
    [pressure] = machine(first, second).pressures
    assert (pressure.resource, pressure.some, pressure.full) == ("io", 25, 10)
    assert of("old").pressures == ()


def test_the_hottest_of_the_cpu_counts_not_the_disk() -> None:
    temperature = of("laptop").temperature
    assert temperature is not None
    assert (temperature.name, temperature.high) == ("Package id 0", 100)
    disk = row("sensors", device="hwmon0", channel="temp1", chip="nvme", temperature_celsius=61.0)
    temperature = machine(None, with_rows("sensors", disk)).temperature
    assert temperature is not None
    assert (temperature.name, temperature.celsius, temperature.high) == ("nvme", 61, None)
    assert of("vm").temperature is None


def battery(name: str, percent: int, status: str, **more: Cell) -> Row:
    return row("sensors", device=name, channel="battery", battery_percent=percent, battery_status=status, **more)


def test_batteries() -> None:
    found = of("laptop").battery
    assert found is not None
    assert (found.percent, found.charging, found.discharging, found.watts) == (83, False, True, 12.3)
    mouse = battery("hidpp_battery_0", 5, "Discharging")
    assert machine(None, with_rows("sensors", mouse)).battery is None
    rows = [
        battery("BAT0", 100, "Full", battery_energy_milliwatt_hours=30, battery_full_energy_milliwatt_hours=30),
        battery("BAT1", 20, "Charging", battery_energy_milliwatt_hours=2, battery_full_energy_milliwatt_hours=10),
    ]
    found = machine(None, with_rows("sensors", *rows)).battery
    assert found is not None
    assert (found.percent, found.charging, found.watts) == (80, True, None)
