"""The stand-in for libnvidia-ml.so.1: compiled once, told what to say by a file. libnvidia-ml.c has its language."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("libnvidia-ml.c")
MIB, GIB = 1 << 20, 1 << 30


@functools.cache
def folder() -> Path:
    """Where the compiled library is, for LD_LIBRARY_PATH. Skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of libnvidia-ml.so.1")
    made = Path(tempfile.mkdtemp(prefix="ztop-nvml-"))
    atexit.register(shutil.rmtree, made)
    made.chmod(0o755)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", made / "libnvidia-ml.so.1", SOURCE, "-lpthread"], check=True
    )
    return made


def growing(base: int, per_second: int) -> str:
    """A number that grows from now on."""
    return f"{base}+{per_second}@{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}"


class StandIn:
    """What NVML says. A change is seen by the next call; ``write`` must be called after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: dict[tuple[str, str], str] = {("system", "count"): "0", ("system", "driver"): "550.54.14"}
        self.processes: dict[tuple[str, int], str] = {}

    def environment(self) -> dict[str, str]:
        """What a process that loads it needs."""
        return {"LD_LIBRARY_PATH": str(folder()), "NVML_STATE": str(self._path)}

    def set(self, where: str, **values: object) -> None:
        """Lines of ``system``, a GPU (``0``) or a MIG instance (``0.1``)."""
        self.lines |= {(where, key): str(value) for key, value in values.items()}

    def unset(self, where: str, *keys: str) -> None:
        """What has no line is not supported."""
        for key in keys:
            self.lines.pop((where, key), None)

    def add_gpu(self, name: str = "NVIDIA A100-SXM4-80GB", total: int = 24 * GIB, used: object = GIB) -> str:
        """One more GPU; returns its place."""
        where = self.lines["system", "count"]
        self.set("system", count=int(where) + 1)
        self.set(where, name=name, uuid=uuid(where), bus=f"00000000:{int(where) + 1:02X}:00.0", mig=0)
        self.set(where, total=total, used=used, reserved=0, utilization=50, utilization_memory=20)
        self.set(where, temperature=61, power=250_000, power_limit=400_000, clock_sm=1410)
        return where

    def set_process(self, where: str, pid: int, lists: str = "c", used: object = GIB, samples: str = "") -> None:
        """``used`` is bytes, growth, or - for what NVML does not know; ``samples`` SM, memory, encoder, decoder."""
        self.processes[where, pid] = f"{lists} {used} {samples}"

    def write(self) -> None:
        """Lets NVML say so."""
        text = [f"{where} {key} {value}" for (where, key), value in self.lines.items()]
        text += [f"{where} process {pid} {rest}" for (where, pid), rest in self.processes.items()]
        new = self._path.with_suffix(".new")
        new.write_text("\n".join(text) + "\n")
        os.replace(new, self._path)


def uuid(where: str) -> str:
    """What a GPU of the stand-in calls itself."""
    return f"GPU-{where.replace('.', '-')}-ztop"
