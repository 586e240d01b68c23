"""The PMUs of the CPU cores: one on most machines; on hybrid CPUs and big.LITTLE one for each kind of core."""

import os
from dataclasses import dataclass

from ztopd.collectors.files import read, read_if_there, read_int
from ztopd.collectors.source import Roots

_DEVICES = "bus/event_source/devices"


@dataclass(frozen=True, slots=True)
class Pmu:
    """A core PMU: its name, and its number for perf_event_attr."""

    name: str
    type: int


def core_pmus(roots: Roots) -> tuple[Pmu, ...]:
    """Those of /sys/bus/event_source/devices that count on cores: called ``cpu``, or with a list of ``cpus``.

    Others, of memory controllers and the like, have a ``cpumask`` instead, or nothing. In the order of their numbers.
    """
    folder = f"{roots.sys}/{_DEVICES}"
    try:
        names = os.listdir(folder)
    except OSError:
        return ()
    found = []
    for name in names:
        if name == "cpu" or read_if_there(f"{folder}/{name}/cpus"):
            number = read_int(f"{folder}/{name}/type")
            if number is not None:
                found.append(Pmu(name, number))
    return tuple(sorted(found, key=lambda pmu: pmu.type))


def cpu_is_intel(roots: Roots) -> bool:
    """Whether the first CPU is one of Intel's."""
    return b"GenuineIntel" in _beginning_of_cpuinfo(roots)


def is_virtual_machine(roots: Roots) -> bool:
    """Whether the CPU says that a hypervisor is below, as on x86; other architectures do not tell."""
    return b" hypervisor" in _beginning_of_cpuinfo(roots)


def _beginning_of_cpuinfo(roots: Roots) -> bytes:
    try:
        return read(f"{roots.proc}/cpuinfo", 4096)
    except OSError:
        return b""
