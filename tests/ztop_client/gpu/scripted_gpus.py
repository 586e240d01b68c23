"""Machines with GPUs made by hand; run as a program it is `ztop-g` (or `ztop`) on one of them.

python scripted_gpus.py KIND [--program ztop] [--frames N] [--interval SECONDS] [--write FILE]
"""

import argparse
import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.ztop_client.fake_source import (
    GIBIBYTE,
    SECOND,
    FakeSource,
    busy_table,
    frame,
    here,
    process,
    real_row,
    row,
    with_sections,
)
from ztop_protocol.frame import Cell, Frame, Row
from ztop_protocol.recording import RecordingWriter
from ztop_protocol.schema import GPUS, SourceState
from ztop_protocol.segment import encode_step

MEBIBYTE = 1 << 20
NAMES = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090", "Tesla T4")
COMMANDS = (
    "python3 -u train.py --model llama-8b --batch 32", "/usr/bin/ffmpeg -hwaccel cuda -i talk.mkv talk.mp4",
    "/opt/blender/blender -b scene.blend -a", "tritonserver --model-repository=/models", "/usr/lib/xorg/Xorg :0",
)  # fmt: skip
GROWTH = 200 * MEBIBYTE
"""Bytes a second that the training of GPU 0 grows by."""


def gpu(seq: int, index: int, **values: Cell) -> Row:
    """A GPU that is well, with the given cells changed."""
    now, total = (1000 + seq) * SECOND, 80 * GIBIBYTE
    used = round(total * (0.3 + 0.04 * (index % 8)))
    wave = 0.5 + 0.4 * math.sin(seq / 9 + index) * math.sin(seq / 23 + 2 * index)
    known: dict[str, Cell] = {
        "uuid": f"GPU-{index:04d}", "index": index, "state": "ok", "sampled_boottime_ns": now - SECOND // 10,
        "name": NAMES[index // 4 % len(NAMES)], "bus_id": f"00000000:{index + 1:02X}:00.0",
        "driver_version": "550.54.15", "mig_enabled": False, "gpu_utilization_percent": round(100 * wave),
        "memory_utilization_percent": round(60 * wave), "encoder_utilization_percent": 0,
        "decoder_utilization_percent": 12, "sm_activity_percent": 71.5 * wave, "tensor_activity_percent": 33.25 * wave,
        "memory_total_bytes": total, "memory_used_bytes": used, "memory_free_bytes": total - used - GIBIBYTE,
        "memory_reserved_bytes": GIBIBYTE, "temperature_celsius": round(45 + 30 * wave),
        "memory_temperature_celsius": round(50 + 30 * wave), "temperature_slowdown_celsius": 87,
        "temperature_shutdown_celsius": 92, "temperature_maximum_celsius": 85,
        "power_milliwatts": round(612_000 * wave), "power_limit_milliwatts": 700_000,
        "energy_millijoules": seq * 400_000, "graphics_clock_hertz": 1_980_000_000,
        "sm_clock_hertz": 1_980_000_000, "memory_clock_hertz": 2_619_000_000, "sm_clock_maximum_hertz": 1_980_000_000,
        "memory_clock_maximum_hertz": 2_619_000_000, "performance_state": 0, "throttle_reasons": "",
        "pcie_generation": 5, "pcie_width": 16, "pcie_generation_maximum": 5, "pcie_width_maximum": 16,
        "pcie_receive_bytes_per_second": 1_200 * MEBIBYTE, "pcie_transmit_bytes_per_second": 340 * MEBIBYTE,
        "nvlink_receive_bytes": seq * 8 * GIBIBYTE, "nvlink_transmit_bytes": seq * 7 * GIBIBYTE,
        "ecc_volatile_corrected_errors": 0, "ecc_volatile_uncorrected_errors": 0, "vram_low": False,
        "vram_velocity_bytes_per_second": 0.0, "counters_boottime_ns": now - SECOND // 10,
    }  # fmt: skip
    assert not values.keys() - set(GPUS.names)
    return row("gpus", **{**known, **values})


def instance(seq: int, parent: int, index: int) -> Row:
    """A MIG instance: it tells its memory, and nothing of what it does."""
    total, used = 10 * GIBIBYTE, (index + 1) * GIBIBYTE
    return row(
        "gpus", uuid=f"MIG-{parent}-{index}", parent_uuid=f"GPU-{parent:04d}", index=index, state="ok",
        sampled_boottime_ns=(1000 + seq) * SECOND - SECOND // 10, name="MIG 1g.10gb", memory_total_bytes=total,
        memory_used_bytes=used, memory_free_bytes=total - used, vram_velocity_bytes_per_second=0.0, vram_low=False,
    )  # fmt: skip


def on_gpu(uuid: str, pid: int, seq: int, start: int | None = SECOND, **values: Cell) -> Row:
    """A process on a GPU."""
    known: dict[str, Cell] = {
        "gpu_uuid": uuid, "pid": pid, "start_boottime_ns": start, "owner_uid": 1000, "foreign_pid": False,
        "type": "compute", "sampled_boottime_ns": (1000 + seq) * SECOND - SECOND // 10, "vram_bytes": 2 * GIBIBYTE,
        "sm_utilization_percent": 20, "memory_utilization_percent": 10, "encoder_utilization_percent": 0,
        "decoder_utilization_percent": 0, "vram_velocity_bytes_per_second": 0.0,
    }  # fmt: skip
    return row("gpu_processes", **{**known, **values})


def growing(seq: int, begins_with: int = 8 * GIBIBYTE) -> tuple[Row, Row]:
    """GPU 0 and the process 7000, whose memory grows so that it is full ``begins_with`` / 200 MiB seconds after 0."""
    left = max(begins_with - seq * GROWTH, 0)
    eta = left / GROWTH
    total = 80 * GIBIBYTE
    rows = {"vram_velocity_bytes_per_second": float(GROWTH), "oom_eta_seconds": eta}
    return (
        gpu(seq, 0, memory_used_bytes=total - left, memory_free_bytes=left, memory_reserved_bytes=None,
            vram_low=eta < 60, oom_eta_low_seconds=0.85 * eta, oom_eta_high_seconds=1.25 * eta, **rows),
        on_gpu("GPU-0000", 7000, seq, vram_bytes=total - left - 4 * GIBIBYTE, sm_utilization_percent=88,
               oom_share_percent=100.0, **rows),
    )  # fmt: skip


def processes_of(gpus: Iterable[int], seq: int, each: int = 4) -> Iterator[tuple[Row, Row]]:
    """For every process on these GPUs its row there, and the host's."""
    for index in gpus:
        for number in range(each):
            pid = 7000 + index * each + number
            command = COMMANDS[number % len(COMMANDS)]
            program = command.split()[0].rpartition("/")[2]
            kind = ("compute", "both", "graphics", "mps")[number % 4]
            used = round((3 - number % 3) * GIBIBYTE + index * 100 * MEBIBYTE)
            busy = max(0, round(40 * math.sin(seq / 7 + pid)))
            yield (
                on_gpu(f"GPU-{index:04d}", pid, seq, type=kind, vram_bytes=used, sm_utilization_percent=busy),
                process(pid, comm=program, command_line=command, user=("alice", "bob")[number % 2],
                        user_time_ns=seq * SECOND // (number + 2), rss_bytes=(number + 1) * GIBIBYTE),
            )  # fmt: skip


def machine(kind: str, seq: int, begins_with: int = 8 * GIBIBYTE) -> Frame:
    """The machine of a kind at a second: 1, 2, 8, 16 GPUs, growing, mig, lost, hung, none, foreign."""
    count = int(kind) if kind.isdigit() else {"growing": 2, "mig": 1, "none": 0}.get(kind, 2)
    gpus = [gpu(seq, index) for index in range(count)]
    pairs = list(processes_of(range(count), seq))
    if kind == "growing":
        grown, grower = growing(seq, begins_with)
        gpus[0] = grown
        pairs[0] = (grower, pairs[0][1])
    if kind == "mig":
        gpus = [gpu(seq, 0, mig_enabled=True, gpu_utilization_percent=None)]
        gpus += [instance(seq, 0, number) for number in range(3)]
        pairs = [(on_gpu(f"MIG-0-{n}", 7000 + n, seq), host) for n, (_, host) in enumerate(pairs[:3])]
    if kind == "lost":
        # what it measured is no more
        gpus[1] = row("gpus", uuid="GPU-0001", index=1, state="lost", reason="the GPU has fallen off the bus",
                      name=NAMES[0], bus_id="00000000:02:00.0", driver_version="550.54.15")  # fmt: skip
    if kind == "hung":
        gpus[1] = gpu(seq, 1, state="hung", reason="a call has not returned for 12 s",
                      sampled_boottime_ns=(1000 + seq - 12) * SECOND)  # fmt: skip
    if kind == "foreign":
        pairs = [
            (on_gpu("GPU-0000", 4242, seq, None, foreign_pid=True, vram_bytes=None, type=None), pairs[0][1]),
            (on_gpu("GPU-0001", 7001, seq, None), pairs[1][1]),
            *((replace_gpu(one, number % 2), host) for number, (one, host) in enumerate(pairs[2:4])),
        ]
    own = [host for _, host in pairs if host[0] != 4242]
    reason = "libnvidia-ml.so.1 cannot be loaded"
    state = (
        (SourceState.ABSENT, reason, "install the NVIDIA driver") if kind == "none" else (SourceState.OK, None, None)
    )
    base = frame(seq, [*busy_table(20)(seq), *own], cpus=8, host=here())
    return with_sections(
        base,
        ("gpus", gpus),
        ("gpu_processes", [one for one, _ in pairs]),
        ("sources", [row("sources", source="gpus", state=state[0], reason=state[1], fix=state[2])]),
    )


def replace_gpu(one: Row, index: int) -> Row:
    return (f"GPU-{index:04d}", *one[1:])


def with_real_process(made: Frame, seq: int, pid: int | None) -> Frame:
    """The frame of this machine, with a process of it on GPU 0; as it is where there is none any more."""
    if pid is None:
        return made
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    found = Path(f"/proc/{pid}").exists()
    own = [real_row(pid)] if found else []
    on_gpus = [on_gpu("GPU-0000", pid, seq, int(own[0][1] or 0), vram_bytes=79 * GIBIBYTE)] if found else []
    return with_sections(
        replace(made, boot_id=boot_id),
        ("processes", [*made.rows("processes").values(), *own]),
        ("gpu_processes", [*made.rows("gpu_processes").values(), *on_gpus]),
    )


def write(path: str, frames: Iterable[Frame]) -> None:
    """A recording of these frames."""
    writer = RecordingWriter(path, SECOND, segment_frames=20)
    before = None
    for one in frames:
        writer.add(encode_step(before, one, whole=writer.needs_keyframe))
        before = one
    writer.close()


def main() -> int:
    from ztop_client.glyphs import ASCII
    from ztop_client.gpu.program import ZTOP_G
    from ztop_client.monitor import watch
    from ztop_client.program import ZTOP
    from ztop_client.view import View

    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--program", choices=("ztop", "ztop-g"), default="ztop-g")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--interval", type=float, default=0.1)
    parser.add_argument("--write")
    parser.add_argument("--left", type=int, default=8, help="GiB that are left where memory grows")
    parser.add_argument("--pid", type=int, help="a process of this machine, which is on GPU 0")
    options = parser.parse_args()
    seconds = range(options.first, options.first + options.frames)
    if options.write:
        write(options.write, (machine(options.kind, seq, options.left * GIBIBYTE) for seq in seconds))
        return 0
    source = FakeSource()

    def feed() -> None:
        for seq in seconds:
            made = machine(options.kind, seq, options.left * GIBIBYTE)
            source.push(with_real_process(made, seq, options.pid))
            time.sleep(options.interval)

    threading.Thread(target=feed, daemon=True).start()
    program = ZTOP if options.program == "ztop" else ZTOP_G
    return watch(source, View(program.tabs("alice"), ASCII, program=program))


if __name__ == "__main__":
    raise SystemExit(main())
