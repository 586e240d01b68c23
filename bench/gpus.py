#!/usr/bin/env python3
"""What watching GPUs costs: ztopd + ztop-g beside nvitop and nvtop, all at 1 s in 200x50 terminals, in one run.

    bench/gpus.py [--gpus 8] [--processes 20] [--growing 1] [--seconds 30] [--nvitop PATH] [--nvtop PATH]

NVML is the stand-in of tests/nvml for all of them: GPUs with --processes real processes on each. On --growing of them
memory grows, and never rests. ztopd polls them five times a second, and watches the rest of the machine too. Figures
as in bench/monitors.py. Needs a C compiler; the peers come from where the options say, and are left out without. Run
it with the Python that tests ztop, e.g. .venv/bin/python.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.monitors import COLUMNS, LINES, Monitor, Usage, drain, family, ours, start_load, usage  # noqa: E402
from tests.nvml.stand_in import GIB, MIB, StandIn, growing  # noqa: E402

OURS = ("ztopd", "ztop-g")


def busy_gpus(path: Path, pids: Iterator[int], gpus: int, processes: int, grow: int) -> StandIn:
    """GPUs of 80 GiB that tell all there is, each with as many of ``pids``; on some the first process grows."""
    nvml = StandIn(path)
    for index in range(gpus):
        grows = index < grow
        where = nvml.add_gpu(total=80 * GIB, used=growing(41 * GIB, MIB) if grows else 41 * GIB)
        nvml.set(where, encoder=0, decoder=0, performance_state=0, throttle=0x4, fan=40, energy=growing(10**9, 250_000))
        nvml.set(where, temperature_shutdown=92, temperature_slowdown=89, temperature_maximum=85, field82=70)
        nvml.set(where, clock_graphics=1410, clock_memory=1593, clock_video=1275, clock_graphics_maximum=1410)
        nvml.set(where, clock_sm_maximum=1410, clock_memory_maximum=1593, clock_video_maximum=1290)
        nvml.set(where, pcie_generation=4, pcie_width=16, pcie_generation_maximum=4, pcie_width_maximum=16)
        nvml.set(where, pcie_receive=2000, pcie_transmit=1000, field138=growing(0, 10**6), field139=growing(0, 10**6))
        nvml.set(where, ecc_volatile_corrected=0, ecc_volatile_uncorrected=0, remapped_corrected=0)
        nvml.set(where, gpm=1, gpm2=55, gpm5=33)
        for place in range(processes):
            used = growing(2 * GIB, MIB) if grows and not place else 2 * GIB
            nvml.set_process(where, next(pids), used=used, samples="2 1 0 0")
    nvml.write()
    return nvml


def monitors_of(folder: Path, nvml: StandIn, nvitop: Path | None, nvtop: Path | None = None) -> list[Monitor]:
    """Ours and the peers that are there, over the stand-in."""
    daemon, client = ours(folder)
    client.name = "ztop-g"
    client.command[client.command.index("ztop_client")] = "ztop_client.gpu"
    found = [daemon, client]
    if nvitop is not None:
        found.append(Monitor("nvitop", [str(nvitop), "--monitor", "full", "--interval", "1"]))
    if nvtop is not None:
        # its configuration could say something else
        settings = {"XDG_CONFIG_HOME": str(folder / "config")}
        found.append(Monitor("nvtop", [str(nvtop), "--delay", "10"], settings))
    for missing in {"nvitop", "nvtop"} - {monitor.name for monitor in found}:
        print(f"{missing} is not there: left out", file=sys.stderr)
    for monitor in found:
        monitor.environment |= nvml.environment()
    return found


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gpus", type=int, default=8)
    arguments.add_argument("--processes", type=int, default=20)
    arguments.add_argument("--growing", type=int, default=1)
    arguments.add_argument("--seconds", type=float, default=30)
    arguments.add_argument("--nvitop", type=Path)
    arguments.add_argument("--nvtop", type=Path)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = start_load(folder, options.gpus * options.processes)
        monitors: list[Monitor] = []
        try:
            pids = iter(family(load.pid)[1:])
            nvml = busy_gpus(folder / "nvml", pids, options.gpus, options.processes, options.growing)
            for monitor in monitors_of(folder, nvml, options.nvitop, options.nvtop):
                monitor.start()
                monitors.append(monitor)
                drain(monitors, 4.0)
            # until the longest window of the slopes is full
            drain(monitors, 30.0)
            before = {monitor.name: usage(monitor.pid) for monitor in monitors}
            started = time.monotonic()
            drain(monitors, options.seconds)
            seconds = time.monotonic() - started
            after = {monitor.name: usage(monitor.pid) for monitor in monitors}
        finally:
            for monitor in monitors:
                monitor.stop()
            load.kill()
            load.communicate()
    shape = f"{options.gpus} GPUs x {options.processes} processes, memory of {options.growing} grows"
    print(f"{shape}; {seconds:.0f} s at 1 s, {COLUMNS}x{LINES}")
    report(before, after, seconds)


def report(before: dict[str, Usage], after: dict[str, Usage], seconds: float) -> None:
    """CPU in % of one core, memory in MiB; ``before`` and ``after`` are by monitor."""
    figures = {
        name: (100 * (now.cpu_seconds - before[name].cpu_seconds) / seconds, now.rss_bytes, now.pss_bytes)
        for name, now in after.items()
    }
    daemon, client = (figures[name] for name in OURS)
    both = (daemon[0] + client[0], daemon[1] + client[1], daemon[2] + client[2])
    figures = {" + ".join(OURS): both, **figures}
    reference = figures["nvitop"][0] if "nvitop" in figures else None
    print(f"{'':16}{'CPU %':>8}{'of nvitop':>11}{'RSS MiB':>9}{'PSS MiB':>9}")
    for name, (percent, rss, pss) in figures.items():
        ratio = f"{percent / reference:11.2f}" if reference else f"{'-':>11}"
        print(f"{name:16}{percent:8.2f}{ratio}{rss / MIB:9.1f}{pss / MIB:9.1f}")


if __name__ == "__main__":
    main()
