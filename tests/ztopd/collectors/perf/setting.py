"""The collector of counters between a machine and a kernel that do what a test wants."""

from pathlib import Path

from tests.ztopd.collectors.perf.fake_kernel import FakeKernel
from tests.ztopd.collectors.perf.fake_machine import Machine
from ztop_protocol.frame import Cell
from ztop_protocol.schema import PROCESS_COUNTERS
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.perf.events import Counting
from ztopd.collectors.perf.process_counters import ProcessCounters
from ztopd.collectors.process_entry import Process
from ztopd.collectors.source import Roots, Sample

SECOND = 10**9
AT_ONCE = 1 << 60


class Setting:
    """A machine, its kernel, and the collector; time passes at every tick alone."""

    def __init__(self, folder: Path) -> None:
        self.now_ns = 1000 * SECOND
        self.machine = Machine(folder)
        self.kernel = FakeKernel()
        self.descriptors = Descriptors(4000)
        self.counting = Counting.HARDWARE
        self.open_ns = AT_ONCE
        self.sample: Sample | None = None
        self._collector: ProcessCounters | None = None

    @property
    def collector(self) -> ProcessCounters:
        if self._collector is None:
            roots = Roots(str(self.machine.proc), str(self.machine.sys))
            self._collector = ProcessCounters(
                roots, self.machine, self.descriptors, self.counting, self.kernel, self.open_ns
            )
        return self._collector

    def tick(self, *ran: Process, cpu_ns: int = 0, seconds: float = 1) -> None:
        self.now_ns += round(seconds * SECOND)
        self.machine.tick(ran, cpu_ns)
        self.sample = self.collector.collect()
        self.machine.settle()
        assert self.descriptors.used == len(self.kernel.open_descriptors)

    def attach(self, *processes: Process) -> None:
        self.tick(*processes)
        self.tick(*processes)
        assert {process.pid for process in processes} <= self.kernel.tids()

    def cell(self, process: Process, column: str) -> Cell:
        assert self.sample is not None
        return self.sample.sections["process_counters"][process.key][PROCESS_COUNTERS.position[column]]

    def keys(self) -> set[object]:
        assert self.sample is not None
        return set(self.sample.sections["process_counters"])

    def reason(self) -> str | None:
        assert self.sample is not None
        return None if self.sample.problem is None else self.sample.problem.reason
