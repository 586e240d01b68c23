"""GPUs through the real daemon and the real binding; NVML itself is the stand-in of tests/nvml."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.real_daemon import Daemon, frame_where, until
from tests.nvml.stand_in import GIB, MIB, StandIn, growing, uuid
from ztop_protocol.event_kinds import EventKind
from ztop_protocol.frame import Cell, Frame
from ztop_protocol.schema import GPUS

Start = Callable[..., Daemon]


@pytest.fixture
def nvml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """One GPU, whose daemon finds it."""
    stand_in = StandIn(folder / "nvml")
    stand_in.add_gpu()
    stand_in.write()
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    return stand_in


def gpu(frame: Frame, column: str, where: str = "0") -> Cell:
    return frame.cell("gpus", column, (uuid(where),))


def process(frame: Frame, column: str, pid: int, where: str = "0") -> Cell:
    return frame.cell("gpu_processes", column, (uuid(where), pid))


def source(frame: Frame, column: str) -> Cell:
    return frame.cell("sources", column, ("gpus",))


def number(cell: Cell) -> float:
    assert isinstance(cell, int | float)
    return cell


def test_what_a_gpu_says(nvml: StandIn, start: Start) -> None:
    nvml.set("0", reserved=600 * MIB, encoder=3, decoder=4, temperature_slowdown=89, throttle=0x24, fan=30)
    nvml.set("0", pcie_generation=4, pcie_width=16, pcie_receive=2000, field138=5, field139=7, field82=70)
    nvml.set("0", ecc_volatile_uncorrected=2, remapped_corrected=1, remapped_pending=1, xid=79, performance_state=0)
    nvml.set("0", gpm=1, gpm2=55, gpm5=33, energy=growing(10**9, 250_000), clock_sm_maximum=1980)
    nvml.write()
    with start().session() as session:
        frame = frame_where(session, lambda frame: gpu(frame, "tensor_activity_percent") is not None)
        row = dict(zip(GPUS.names, frame.rows("gpus")[(uuid("0"),)], strict=True))
    assert row == row | {
        "state": "ok",
        "reason": None,
        "name": "NVIDIA A100-SXM4-80GB",
        "bus_id": "00000000:01:00.0",
        "driver_version": "550.54.14",
        "mig_enabled": False,
        "gpu_utilization_percent": 50.0,
        "memory_utilization_percent": 20.0,
        "encoder_utilization_percent": 3.0,
        "decoder_utilization_percent": 4.0,
        "sm_activity_percent": 55.0,
        "tensor_activity_percent": 33.0,
        "memory_total_bytes": 24 * GIB,
        "memory_used_bytes": GIB,
        "memory_reserved_bytes": 600 * MIB,
        "temperature_celsius": 61.0,
        "memory_temperature_celsius": 70.0,
        "temperature_slowdown_celsius": 89.0,
        "temperature_shutdown_celsius": None,
        "power_milliwatts": 250_000,
        "power_limit_milliwatts": 400_000,
        "sm_clock_hertz": 1_410_000_000,
        "sm_clock_maximum_hertz": 1_980_000_000,
        "graphics_clock_hertz": None,
        "performance_state": 0,
        "throttle_reasons": "power cap, thermal slowdown (software)",
        "fan_percent": 30.0,
        "pcie_generation": 4,
        "pcie_width": 16,
        "pcie_receive_bytes_per_second": 2_000_000,
        "nvlink_receive_bytes": 7 * 1024,
        "nvlink_transmit_bytes": 5 * 1024,
        "ecc_volatile_uncorrected_errors": 2,
        "remapped_rows_corrected": 1,
        "remapped_rows_pending": True,
        "xid": 79,
        "oom_eta_seconds": None,
        "vram_low": False,
    }
    assert "Not Supported: " in str(row["withheld"]) and "temperature_shutdown_celsius" in str(row["withheld"])


def test_growth_and_the_time_that_is_left(nvml: StandIn, start: Start) -> None:
    """200 MiB/s, of which one process has three quarters, another one a quarter, and a third none."""
    pids = [os.getpid(), os.getppid(), 1]
    nvml.set("0", used=growing(24 * GIB - 10 * GIB, 200 * MIB))
    for pid, part in zip(pids, (150, 50, 0), strict=True):
        nvml.set_process("0", pid, used=growing(GIB, part * MIB))
    nvml.write()
    with start().session() as session:
        frame = frame_where(session, lambda f: number(gpu(f, "memory_free_bytes") or 10 * GIB) <= 8 * GIB)
        velocity = number(gpu(frame, "vram_velocity_bytes_per_second"))
        assert velocity == pytest.approx(200 * MIB, rel=0.02)
        assert number(gpu(frame, "oom_eta_seconds")) == pytest.approx(40, abs=2)
        low, high = number(gpu(frame, "oom_eta_low_seconds")), number(gpu(frame, "oom_eta_high_seconds"))
        assert low <= number(gpu(frame, "oom_eta_seconds")) <= high
        shares = [process(frame, "oom_share_percent", pid) for pid in pids]
        assert shares == [pytest.approx(75, abs=2), pytest.approx(25, abs=2), None]
        etas = [process(frame, "oom_eta_seconds", pid) for pid in pids]
        assert etas == [gpu(frame, "oom_eta_seconds"), gpu(frame, "oom_eta_seconds"), None]
        assert process(frame, "vram_velocity_bytes_per_second", pids[0]) == pytest.approx(150 * MIB, rel=0.02)
        assert process(frame, "vram_velocity_bytes_per_second", pids[2]) == 0


@pytest.mark.slow
def test_a_warning_with_nobody_looking(nvml: StandIn, start: Start, folder: Path) -> None:
    """The line in the log, the event, the mark, and the command: once each."""
    nvml.set("0", used=growing(24 * GIB - 6 * GIB, 200 * MIB))
    nvml.set_process("0", os.getpid(), used=growing(GIB, 200 * MIB))
    nvml.write()
    report, settings = folder / "report", folder / "ztopd.toml"
    command = folder / "command"
    command.write_text(f"#!/bin/sh\necho $ZTOP_GPU_UUID $ZTOP_PID >> {report}\n")
    command.chmod(0o755)
    settings.write_text(f'[gpu]\nwarn_command = ["{command}"]\n')
    is_root = os.geteuid() == 0
    # only a file of root's may name a command
    daemon = start(*(("--config", str(settings)) if is_root else ()))
    with daemon.session() as session:
        # it must last for 20 s before it is believed
        frame_where(session, lambda f: number(gpu(f, "memory_free_bytes") or 9 * GIB) <= 3.5 * GIB)
        told = frame_where(session, lambda f: any(row[1] == EventKind.VRAM_LOW for row in f.rows("events").values()))
        _, _, subject, value, detail = next(iter(told.rows("events").values()))
        assert subject == uuid("0") and 0 < number(value) <= 15
        assert "the memory of GPU 0 (NVIDIA A100-SXM4-80GB) will be full in about" in str(detail)
        assert gpu(told, "vram_low") is True
    if is_root:
        until(report.exists, "the command ran")
        assert report.read_text() == f"{uuid('0')} {os.getpid()}\n"
    errors = daemon.stop()
    assert errors.count("will be full in about") == 1 and f"pid {os.getpid()} grows most" in errors


def test_a_call_that_hangs_makes_that_gpu_old_and_nothing_late(nvml: StandIn, start: Start) -> None:
    nvml.add_gpu()
    nvml.write()
    daemon = start()
    with daemon.session() as session:
        well = frame_where(session, lambda f: gpu(f, "state") == gpu(f, "state", "1") == "ok")
        nvml.set("0", delay="nvmlDeviceGetMemoryInfo_v2 10000")
        nvml.write()
        hung = frame_where(session, lambda f: gpu(f, "state") == "hung")
        assert "NVML has not answered nvmlDeviceGetMemoryInfo_v2 for" in str(gpu(hung, "reason"))
        assert hung.boottime_ns - number(gpu(hung, "sampled_boottime_ns")) > 2e9
        assert gpu(hung, "memory_used_bytes") == GIB, "what was known stays, and is old"
        assert hung.boottime_ns - number(gpu(hung, "sampled_boottime_ns", "1")) < 2e9
        assert gpu(hung, "state", "1") == "ok"
        assert (source(hung, "state"), "GPU 0: NVML has not" in str(source(hung, "reason"))) == ("degraded", True)
        # a tick that waited would have let out ten of 0.2 s; a busy machine lets out one or two
        skipped = [number(f.cell("sources", "skipped", ("sampler",))) for f in (well, hung)]
        assert skipped[1] - skipped[0] < 5
        nvml.unset("0", "delay")
        nvml.write()
        frame_where(session, lambda f: f.seq > hung.seq and gpu(f, "state") == "ok")


def test_the_daemon_ends_while_a_call_hangs(nvml: StandIn, start: Start) -> None:
    daemon = start()
    with daemon.session() as session:
        frame_where(session, lambda f: gpu(f, "state") == "ok")
        nvml.set("0", delay="nvmlDeviceGetMemoryInfo_v2 100000")
        nvml.write()
        frame_where(session, lambda f: gpu(f, "state") == "hung")
    daemon.stop()


def test_a_gpu_that_is_lost_and_comes_back(nvml: StandIn, start: Start) -> None:
    nvml.add_gpu()
    nvml.set_process("0", 1)
    nvml.write()
    with start().session() as session:
        frame_where(session, lambda f: gpu(f, "state") == gpu(f, "state", "1") == "ok")
        nvml.set("0", lost=15, xid=79)
        nvml.write()
        lost = frame_where(session, lambda f: gpu(f, "state") == "lost")
        assert gpu(lost, "xid") == 79, "what came with the loss"
        assert "fell off the bus" in str(gpu(lost, "reason"))
        assert gpu(lost, "name") is not None and gpu(lost, "memory_used_bytes") is None
        assert not lost.rows("gpu_processes") and gpu(lost, "state", "1") == "ok"
        nvml.unset("0", "lost", "xid")
        nvml.write()
        # the first frame may be one of before
        back = frame_where(session, lambda f: f.seq > lost.seq and gpu(f, "state") == "ok")
        assert back.rows("gpu_processes")
        assert [gpu(back, name) for name in ("xid", "xid_boottime_ns")] == [79, gpu(lost, "xid_boottime_ns")]


def test_a_gpu_that_is_lost_from_the_beginning_is_listed(nvml: StandIn, start: Start) -> None:
    nvml.set("0", lost=15)
    nvml.write()
    with start().session() as session:
        frame = frame_where(session, lambda f: f.cell("gpus", "state", ("index:0",)) == "lost")
        nvml.unset("0", "lost")
        nvml.write()
        frame = frame_where(session, lambda f: gpu(f, "state") == "ok")
        assert list(frame.rows("gpus")) == [(uuid("0"),)]


@pytest.mark.parametrize(("code", "words"), [(9, "not loaded"), (18, "another version"), (1, "driver is gone")])
def test_a_driver_that_goes_and_comes_back(nvml: StandIn, start: Start, code: int, words: str) -> None:
    with start().session() as session:
        frame_where(session, lambda f: gpu(f, "state") == "ok")
        nvml.set("system", gone=code)
        nvml.write()
        gone = frame_where(session, lambda f: words in str(source(f, "reason")))
        assert source(gone, "state") == "degraded"
        assert not {"gpus", "gpu_processes"} & set(gone.sections)
        nvml.unset("system", "gone")
        nvml.write()
        frame_where(session, lambda f: f.seq > gone.seq and gpu(f, "state") == "ok")


def test_what_is_nonsense_or_not_known_is_absent(nvml: StandIn, start: Start) -> None:
    nvml.set("0", utilization=37100, error="nvmlDeviceGetMemoryInfo_v2 13")
    nvml.set_process("0", 1, used="-")
    nvml.set_process("0", os.getpid(), "cg", used=3 * GIB, samples="250 20 0 0")
    nvml.write()
    with start().session() as session:
        frame = frame_where(session, lambda f: process(f, "memory_utilization_percent", os.getpid()) is not None)
    assert gpu(frame, "gpu_utilization_percent") is None and "nonsense" in str(gpu(frame, "withheld"))
    assert (gpu(frame, "memory_used_bytes"), gpu(frame, "memory_reserved_bytes")) == (GIB, None)
    assert process(frame, "vram_bytes", 1) is None and process(frame, "type", 1) == "compute"
    assert process(frame, "vram_bytes", os.getpid()) == 3 * GIB and process(frame, "type", os.getpid()) == "both"
    assert process(frame, "sm_utilization_percent", os.getpid()) is None


def test_processes_that_appear_between_two_calls(nvml: StandIn, start: Start) -> None:
    with start().session() as session:
        frame_where(session, lambda f: gpu(f, "state") == "ok")
        for pid in range(100_000, 100_064):
            nvml.set_process("0", pid, samples="1 1 0 0")
        nvml.write()
        frame = frame_where(session, lambda f: len(f.rows("gpu_processes")) == 64)
        assert gpu(frame, "state") == "ok" and process(frame, "start_boottime_ns", 100_000) is None


def test_mig_instances_are_rows_of_their_own(nvml: StandIn, start: Start) -> None:
    nvml.set("0", mig=2, gpm=1)
    nvml.set("0.1", gpm5=44)
    for number_of, size in enumerate((5, 10)):
        where = f"0.{number_of}"
        nvml.set(where, uuid=uuid(where), name=f"NVIDIA MIG {size}gb", total=size * GIB, used=size * MIB, gi=number_of)
        nvml.set_process(where, 100_000 + number_of, used=MIB)
    nvml.set_process("0", 100_000, used=MIB)
    nvml.write()
    with start().session() as session:
        frame = frame_where(session, lambda f: gpu(f, "tensor_activity_percent", "0.1") is not None)
        assert gpu(frame, "tensor_activity_percent", "0.1") == 44 and len(frame.rows("gpus")) == 3
        assert gpu(frame, "mig_enabled") is True
        assert [gpu(frame, "parent_uuid", where) for where in ("0", "0.0", "0.1")] == [None, uuid("0"), uuid("0")]
        assert gpu(frame, "memory_total_bytes", "0.1") == 10 * GIB and gpu(frame, "index", "0.1") == 1
        assert set(frame.rows("gpu_processes")) == {(uuid("0.0"), 100_000), (uuid("0.1"), 100_001)}
        nvml.set("0", mig=0)
        nvml.write()
        frame_where(session, lambda f: set(f.rows("gpus")) == {(uuid("0"),)})


def test_no_gpu_is_said_and_nothing_of_nvml_is_imported(
    start: Start, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    code = (
        "import sys; from ztopd.collectors.nvml.library import is_there\n"
        "from ztopd.configuration import Configuration; from ztopd.sampler.check import check\n"
        "import json; rows = check(Configuration()); print(json.dumps([is_there(), 'pynvml' in sys.modules, "
        "[row[:3] for row in rows if row[0] == 'gpus']]))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    there, imported, rows = json.loads(done.stdout)
    if there:
        pytest.skip("this machine has NVIDIA's library")
    assert not imported
    assert rows == [["gpus", "absent", rows[0][2]]] and "libnvidia-ml.so.1 cannot be loaded" in rows[0][2]
    with start().session() as session:
        frame = session.snapshot()
        assert "gpus" not in frame.sections and source(frame, "state") == "absent"
