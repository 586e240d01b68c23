"""An arm64 machine, emulated by qemu, whose performance counters count: starts it and runs a program in it."""

import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.pmu.image import CHECKOUT, built


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program went in the machine: its exit status and what it wrote."""

    status: int
    output: bytes
    errors: str


def run(module: str, *arguments: str, shift: int = 1, seconds: float = 300.0) -> Outcome:
    """Starts the machine, runs ``python -m module`` of this checkout as its root, and waits for the end.

    An instruction takes ``2**shift`` ns there, and a cycle 1 ns. ``seconds`` are of the host. Raises :exc:`NoMachine`,
    and :exc:`AssertionError` where the machine did not come to an end by itself.
    """
    image = built()
    with tempfile.TemporaryDirectory(prefix="ztop-pmu-") as name:
        folder = Path(name)
        (folder / "command").write_text(shlex.join(("python3", "-P", "-m", module, *arguments)) + "\n")
        # sleep=off: where all sleep, the machine's time goes on at once to where one wakes up
        command = [
            *("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "1024"),
            *("-smp", "1", "-icount", f"shift={shift},sleep=off"),
            *("-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"),
            *_share("checkout", CHECKOUT, is_writable=False),
            *_share("run", folder, is_writable=True),
            *("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd")),
            *("-append", "console=ttyAMA0 quiet loglevel=4 panic=-1"),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds
            )
            console = done.stdout
        except subprocess.TimeoutExpired as error:
            console = error.stdout or b""
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
    output, errors = found.get("output", b""), found.get("errors", b"").decode(errors="replace")
    if "status" not in found:
        raise AssertionError(f"{module} did not end\n{errors}\n{console.decode(errors='replace')}")
    return Outcome(int(found["status"]), output, errors)


def _share(tag: str, folder: Path, is_writable: bool) -> list[str]:
    readonly = "off" if is_writable else "on"
    local = f"local,id={tag},path={folder},security_model=none,multidevs=remap,readonly={readonly}"
    return ["-fsdev", local, "-device", f"virtio-9p-device,fsdev={tag},mount_tag={tag}"]
