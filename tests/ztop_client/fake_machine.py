"""Whole machines made by hand, of three kinds; run as a program it is `ztop` on one of them.

python fake_machine.py {vm,laptop,server} [--frames N]     each frame is a second, shown for a fiftieth of one
"""

import argparse
import math
import random
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tests.ztop_client.fake_source import GIBIBYTE, SECOND, FakeSource, busy_table, frame, here, row, section
from ztop_protocol.frame import Cell, Frame, Row

MEBIBYTE = 1 << 20
CPU_STATES = ("user", "nice", "system", "irq", "softirq", "steal", "iowait")


@dataclass(frozen=True)
class Kind:
    """A machine: its cores, how busy they are in the mean, how a busy second is spent, and what it has."""

    cores: int
    busy: float
    spent: tuple[float, ...]
    total_bytes: int
    battery: bool = False
    pressure: bool = True


KINDS = {
    "vm": Kind(2, 0.5, (0.45, 0.05, 0.2, 0.0, 0.03, 0.17, 0.1), 4 * GIBIBYTE),
    "laptop": Kind(16, 0.25, (0.7, 0.08, 0.15, 0.02, 0.03, 0.0, 0.02), 32 * GIBIBYTE, battery=True),
    "server": Kind(192, 0.45, (0.6, 0.05, 0.2, 0.01, 0.04, 0.0, 0.1), 1024 * GIBIBYTE),
    "old": Kind(4, 0.3, (0.8, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0), 8 * GIBIBYTE, pressure=False),
}


def times(spent: Iterable[float], idle: float) -> dict[str, Cell]:
    """The columns of a core that spent so many seconds in each of ``CPU_STATES``."""
    known = {f"{state}_time_ns": round(seconds * SECOND) for state, seconds in zip(CPU_STATES, spent, strict=True)}
    return {**known, "idle_time_ns": round(idle * SECOND), "guest_time_ns": 0, "guest_nice_time_ns": 0}


def machine_frames(kind: Kind, processes: int = 60) -> Iterator[Frame]:
    """A frame for every second, without end."""
    chance = random.Random(1)
    spent = [[0.0] * len(CPU_STATES) for _ in range(kind.cores)]
    idle = [0.0] * kind.cores
    table = busy_table(processes)
    traffic = stalled = 0
    for seq in range(1, 1_000_000):
        wave = kind.busy * (1 + 0.8 * math.sin(seq / 17) * math.sin(seq / 5))
        for core in range(kind.cores):
            busy = min(max(wave * chance.uniform(0.2, 1.8), 0.0), 1.0) if chance.random() > 0.2 else 0.0
            idle[core] += 1 - busy
            for place, share in enumerate(kind.spent):
                spent[core][place] += busy * share
        traffic += round(chance.expovariate(1) * 8 * MEBIBYTE)
        stalled += round(wave * chance.uniform(0, 0.5) * SECOND)
        base = frame(seq, table(seq), cpus=0, host={**here(), **_load(kind, wave)})
        now = base.boottime_ns
        cores = [row("cpus", cpu=core, **times(spent[core], idle[core])) for core in range(kind.cores)]
        sections = {
            "cpus": section("cpus", now, cores),
            "memory": section("memory", now, [_memory(kind, wave)]),
            "disks": section("disks", now, _disks(traffic)),
            "networks": section("networks", now, _networks(traffic)),
        }
        if kind.pressure:
            sections["pressure"] = section("pressure", now, _pressure(stalled))
        if kind.battery:
            sections["sensors"] = section("sensors", now, _sensors(wave, seq))
        yield replace(base, sections={**base.sections, **sections})


def _load(kind: Kind, wave: float) -> dict[str, Cell]:
    load = kind.cores * wave
    return {
        "load_average_1m": load, "load_average_5m": 0.8 * load, "load_average_15m": 0.7 * load,
        "processes_running": max(round(load), 1), "processes_blocked": 2, "processes_zombie": 1, "threads_total": 1234,
    }  # fmt: skip


def _memory(kind: Kind, wave: float) -> Row:
    total = kind.total_bytes
    more: dict[str, Cell] = {}
    if kind.battery:
        more = {"zram_stored_bytes": 900 * MEBIBYTE, "zram_compressed_bytes": 250 * MEBIBYTE,
                "zram_used_bytes": 260 * MEBIBYTE}  # fmt: skip
    if kind.cores > 100:
        more = {"arc_bytes": total // 5, "arc_minimum_bytes": total // 32}
    return row(
        "memory", total_bytes=total, free_bytes=round(total * (0.3 - 0.1 * wave)), buffers_bytes=total // 40,
        available_bytes=total // 2, cached_bytes=total // 5, shared_bytes=total // 25,
        slab_reclaimable_bytes=total // 50, swap_total_bytes=total // 4, swap_free_bytes=total // 6, **more,
    )  # fmt: skip


def _disks(traffic: int) -> list[Row]:
    def disk(name: str, whole: bool, part: int) -> Row:
        return row("disks", name=name, whole_disk=whole, read_bytes=traffic // part, write_bytes=traffic // part // 3,
                   read_operations=0, write_operations=0, busy_time_ns=traffic // part * 60)  # fmt: skip

    return [disk("nvme0n1", True, 1), disk("nvme0n1p1", False, 1), disk("dm-0", True, 1), disk("sda", True, 9)]


def _networks(traffic: int) -> list[Row]:
    return [
        row("networks", interface=name, receive_bytes=traffic // part, transmit_bytes=traffic // part // 7)
        for name, part in (("lo", 1), ("eth0", 3), ("docker0", 3), ("veth12ab", 3), ("wlan0", 40), ("eth0.7", 3))
    ]


def _pressure(stalled: int) -> list[Row]:
    return [
        row("pressure", resource="cpu", some_time_ns=stalled, full_time_ns=0),
        row("pressure", resource="memory", some_time_ns=0, full_time_ns=0),
        row("pressure", resource="io", some_time_ns=stalled // 2, full_time_ns=stalled // 4),
    ]


def _sensors(wave: float, seq: int) -> list[Row]:
    return [
        row("sensors", device="hwmon1", channel="temp1", chip="nvme", label="Composite", temperature_celsius=91.0),
        row("sensors", device="hwmon2", channel="temp1", chip="coretemp", label="Package id 0",
            temperature_celsius=50 + 40 * wave, high_temperature_celsius=100.0),
        row("sensors", device="hwmon2", channel="temp2", chip="coretemp", label="Core 0", temperature_celsius=48.0),
        row("sensors", device="BAT0", channel="battery", battery_percent=83, battery_status="Discharging",
            power_milliwatts=12_300, battery_energy_milliwatt_hours=48_000 - seq,
            battery_full_energy_milliwatt_hours=58_000),
        row("sensors", device="hidpp_battery_0", channel="battery", battery_percent=5, battery_status="Discharging"),
    ]  # fmt: skip


def main() -> int:
    from ztop_client.columns.processes import tabs
    from ztop_client.glyphs import ASCII
    from ztop_client.monitor import watch
    from ztop_client.view import View

    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--frames", type=int, default=250)
    options = parser.parse_args()
    source = FakeSource()

    def feed() -> None:
        for made, _ in zip(machine_frames(KINDS[options.kind]), range(options.frames), strict=False):
            source.push(made)
            time.sleep(0.02)

    threading.Thread(target=feed, daemon=True).start()
    return watch(source, View(tabs(), ASCII))


if __name__ == "__main__":
    raise SystemExit(main())
