"""ztop-g without a screen: text and JSON, of a recording and of a daemon at a socket that somebody forwarded."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon
from tests.ztop_client.gpu.scripted_gpus import machine, write
from ztop_client.gpu.rows import NAMES
from ztop_protocol.schema import GPUS

ROOT = Path(__file__).resolve().parents[3]


def ztop_g(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT}/protocol", "PATH": "/usr/bin:/bin", "ZTOP_SOCKET": str(tmp_path / "none")}
    environ |= {"LANG": "C.UTF-8", "TZ": "UTC"}
    command = [sys.executable, "-P", "-m", "ztop_client.gpu", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def recording(tmp_path: Path, kind: str, frames: int = 4) -> str:
    path = str(tmp_path / f"{kind}.ztop")
    write(path, (machine(kind, seq) for seq in range(1, frames + 1)))
    return path


def lines(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    result = ztop_g(tmp_path, "-b", "--json", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_page_of_a_recording(tmp_path: Path) -> None:
    result = ztop_g(tmp_path, "-b", "--replay", recording(tmp_path, "growing"), "-n", "1")
    assert (result.returncode, result.stderr) == (0, "")
    assert "ztop-g 2023-11-14" in result.stdout
    page = result.stdout.splitlines()
    assert "GPU 0  NVIDIA H100 80GB HBM3: 51% busy, 72.4G of 80.0G" in page
    assert "  !! MEMORY FULL IN 38s (33s to 48s)" in page
    heading, first = next((line, page[place + 1]) for place, line in enumerate(page) if "PID" in line)
    assert " ".join(heading.split()) == "GPU PID USER TYP SM% VRAM ▲MiB/s ! FULL CPU% RES VRAM% PART% Command"
    assert first.split()[:10] == ["0", "7000", "alice", "C", "88.0", "68.4G", "200.0", "!", "38s", "50.0"]


def test_what_hangs_is_not_said_to_be_busy(tmp_path: Path) -> None:
    result = ztop_g(tmp_path, "-b", "--replay", recording(tmp_path, "hung"), "-n", "1")
    page = result.stdout.splitlines()
    hung = next(place for place, line in enumerate(page) if line.startswith("GPU 1 "))
    assert ": - busy, " in page[hung] and any("  HUNG " in line for line in page[hung:])


def test_json_has_the_gpus_and_their_processes(tmp_path: Path) -> None:
    first, *others = lines(tmp_path, "--replay", recording(tmp_path, "2"))
    assert len(others) == 2, "each frame that has one before it"
    assert list(first) == ["seq", "time_ns", "boottime_ns", "boot_id", "host", "gpus", "gpu_processes", "sources"]
    assert first["gpus"][0].keys() >= set(GPUS.names)
    assert all(tuple(one) == NAMES for one in first["gpu_processes"])
    grower = first["gpu_processes"][0]
    assert (grower["gpu_index"], grower["user"], grower["comm"], grower["cpu_percent"]) == (
        "1",
        "alice",
        "python3",
        50.0,
    )
    assert {one["source"] for one in first["sources"]} == {"gpus"}


def test_rows_and_columns_are_chosen(tmp_path: Path) -> None:
    path = recording(tmp_path, "2")
    wanted = ("--replay", path, "--columns", "gpu_index,pid,vram_bytes,oom_eta_seconds", "--limit", "3")
    (chosen, *_) = lines(tmp_path, *wanted, "--sort", "gpu_index")
    assert [tuple(one) for one in chosen["gpu_processes"]] == [
        ("gpu_index", "pid", "vram_bytes", "oom_eta_seconds")
    ] * 3
    assert [one["pid"] for one in chosen["gpu_processes"]] == [7000, 7001, 7002]
    (chosen, *_) = lines(tmp_path, "--replay", path, "--filter", "rss > 3G", "--columns", "pid")
    assert [one["pid"] for one in chosen["gpu_processes"]] == [7007, 7003]
    (chosen, *_) = lines(tmp_path, "--replay", path, "-p", "7001,1", "--at", "-1s")
    assert [one["pid"] for one in chosen["gpu_processes"]] == [7001]
    text = ztop_g(tmp_path, "-b", "--replay", path, "--columns", "pid,foreign_pid,owner_uid", "-n", "1").stdout
    assert "PID FOREIGN_PID OWNER_UID" in " ".join(text.split())


def test_another_machines_daemon_at_a_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "forwarded.sock")
    with FakeDaemon([machine("growing", seq) for seq in (1, 2)], path=path).in_background() as daemon:
        timer = threading.Timer(1.0, lambda: daemon.publish(machine("growing", 3)))
        timer.start()
        first, second = lines(tmp_path, "--socket", path, "-n", "2")
        timer.join()
    assert [frame["seq"] for frame in (first, second)] == [2, 3]
    assert second["gpus"][0]["oom_eta_seconds"] == pytest.approx(37.96)


def test_without_a_gpu_it_says_why_and_fails(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with FakeDaemon([machine("none", seq) for seq in (1, 2)], path=path).in_background():
        for options in (("--socket", path), ("--socket", path, "--json"), ("--replay", recording(tmp_path, "none"))):
            result = ztop_g(tmp_path, "-b", "-n", "1", *options)
            assert (result.returncode, result.stdout) == (1, "")
            assert result.stderr == (
                "ztop-g: There is no GPU to be shown: libnvidia-ml.so.1 cannot be loaded (install the NVIDIA driver).\n"
            )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sort", "vram"], "ztop-g: argument --sort: there is no column 'vram'; is vram_bytes meant?"),
        (["--columns", "virtual_bytes", "-b"], "argument --columns: there is no column 'virtual_bytes'"),
        (["--json"], "ztop-g: --json is for batch mode: -b is missing"),
        ([], "ztop-g: the screen needs a terminal; ztop-g -b prints without one"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = ztop_g(tmp_path, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert sentence in result.stderr and result.stderr.count("\n") == 1


def test_batch_mode_does_without_urwid(tmp_path: Path) -> None:
    paths = [str(ROOT), str(ROOT / "protocol")]
    code = (
        f"import sys; sys.path[:0] = {paths}; from ztop_client.gpu.cli import main; "
        f"main(['-b', '-n', '1', '--replay', {recording(tmp_path, '2')!r}]); "
        "print('urwid' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert result.stderr == "False\n"
