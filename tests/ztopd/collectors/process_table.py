"""The process table of the live /proc, and processes made to be seen in it."""

import subprocess
import sys
import time
from collections.abc import Callable

from tests.ztopd.collectors.immediate_reader import ImmediateReader
from ztop_protocol.frame import Cell, Row
from ztop_protocol.schema import PROCESSES
from ztopd.collectors.descriptors import Descriptors
from ztopd.collectors.processes import Processes
from ztopd.collectors.source import Roots, Rows

PYTHON = sys.executable


class Table:
    """A table on the live /proc, with its cells by name."""

    def __init__(self, kept_descriptors: int = 100_000) -> None:
        self.reader = ImmediateReader()
        self.collector = Processes(Roots(), self.reader, Descriptors(kept_descriptors))
        self.rows: Rows = {}

    def scan(self) -> None:
        self.sample = self.collector.collect()
        self.rows = self.sample.sections["processes"]

    def row(self, pid: int) -> Row | None:
        found = [row for key, row in self.rows.items() if key[0] == pid]
        assert len(found) <= 1
        return found[0] if found else None

    def cell(self, pid: int, column: str) -> Cell:
        row = self.row(pid)
        assert row is not None, f"process {pid} is not there"
        return row[PROCESSES.position[column]]

    def owner_row(self, section: str, pid: int) -> Row | None:
        return next((row for key, row in self.sample.sections[section].items() if key[0] == pid), None)


def ready(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"


def python(*lines: str) -> tuple[str, str, str]:
    return PYTHON, "-c", "\n".join(lines)


WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it did not happen within 5 s"
        time.sleep(0.01)
