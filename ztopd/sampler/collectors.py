"""The list of collectors: the one place where a new one is added."""

from dataclasses import dataclass

from ztopd.collectors.blocking import BlockingReader
from ztopd.collectors.cgroups import Cgroups
from ztopd.collectors.cpus import Cpus
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.disks import Disks
from ztopd.collectors.filesystems import Filesystems
from ztopd.collectors.host import Host
from ztopd.collectors.memory import Memory
from ztopd.collectors.networks import Networks
from ztopd.collectors.nvml.gpus import Gpus
from ztopd.collectors.perf.events import Counting
from ztopd.collectors.perf.process_counters import ProcessCounters
from ztopd.collectors.perf.syscall import LinuxKernel
from ztopd.collectors.pressure import Pressure
from ztopd.collectors.processes import Processes
from ztopd.collectors.sensors import Sensors
from ztopd.collectors.source import Collector, Roots
from ztopd.collectors.threads import Threads
from ztopd.configuration import USUAL_GPU, GpuConfiguration
from ztopd.warn_command import WarnCommand


@dataclass(frozen=True, slots=True)
class Collectors:
    """``every`` one in the order in which a tick runs them, and those that somebody speaks to."""

    every: tuple[Collector, ...]
    threads: Threads
    gpus: Gpus


def make_collectors(
    roots: Roots,
    reader: BlockingReader,
    kept_descriptors: int,
    counting: Counting = Counting.HARDWARE,
    gpu: GpuConfiguration = USUAL_GPU,
) -> Collectors:
    """The processes come first: the host's counts of tasks by state are made of their scan, threads and counters
    follow it. ``kept_descriptors`` is how many files may stay open, of all collectors together.
    """
    descriptors = Descriptors(kept_descriptors)
    processes = Processes(roots, reader, descriptors)
    threads = Threads(roots, processes.with_several_threads)
    command = WarnCommand(gpu.warn_command) if gpu.warn_command else None
    gpus = Gpus(roots, processes, gpu.interval_ms / 1000, gpu.warn_seconds, command)
    every = (
        processes,
        ProcessCounters(roots, processes, descriptors, counting, LinuxKernel()),
        threads,
        Host(roots, processes.states),
        Cpus(roots),
        Memory(roots),
        Pressure(roots),
        Disks(roots),
        Filesystems(roots, reader),
        Networks(roots),
        Sensors(roots),
        Cgroups(roots),
        gpus,
    )
    return Collectors(every, threads, gpus)
