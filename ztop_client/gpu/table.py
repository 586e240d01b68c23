"""The table of ``ztop-g``: a row for every process on every GPU, in the form of a table of processes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ztop_client.columns.column import OnDemand, ProcessTable, Rates, process_table
from ztop_client.columns.gpus import OF_ANOTHER_NAMESPACE
from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.on_gpus import on_gpus
from ztop_protocol.rates import START_RESOLUTION_NS, RateRow, RateTable
from ztop_protocol.schema import GPU_PROCESSES, PROCESSES, SECTIONS

_START = GPU_PROCESSES.position["start_boottime_ns"]
_FOREIGN = GPU_PROCESSES.position["foreign_pid"]
_OF_A_PROCESS = tuple(
    name
    for name, schema in SECTIONS.items()
    if schema.names[: schema.key_length] == PROCESSES.names[: PROCESSES.key_length]
)
"""Sections that have a row for each process, by pid and start."""


@dataclass(frozen=True, slots=True)
class _OfTheirProcesses:
    """The rates of the processes that rows stand for."""

    rates: RateTable
    process_of: Mapping[Key, Key]

    def get(self, key: Key) -> RateRow | None:
        return self.rates.get(self.process_of[key])

    def cell(self, key: Key, place: int) -> float | None:
        return self.rates.cell(self.process_of[key], place)

    def column(self, place: int) -> Mapping[Key, float | None]:
        return {key: self.rates.cell(process, place) for key, process in self.process_of.items()}


def gpu_table(previous: Frame | None, current: Frame, with_threads: bool = False) -> ProcessTable:
    """The table of a frame. Keys are (UUID of the GPU, pid, start): the same on two GPUs are two rows.

    A row of ``processes`` is the host's, or one that says why there is none.
    """
    processes, scan = current.rows("processes"), current.sections.get("processes")
    scanned_ns = current.boottime_ns if scan is None else scan.sampled_boottime_ns
    there: dict[Key, Row] = {}
    process_of: dict[Key, Key] = {}
    listed: dict[Key, Row] = {}
    for row in current.rows("gpu_processes").values():
        key = _, pid, start = _key(row)
        there[key], process_of[key] = row, (pid, start)
        known = processes.get((pid, start))
        listed[key] = _stranger(pid, start, row[_FOREIGN], scanned_ns) if known is None else known

    def rows_of(section: str) -> Mapping[Key, Row]:
        rows = current.rows(section)
        if section not in _OF_A_PROCESS:
            return rows
        return {key: rows[process] for key, process in process_of.items() if process in rows}

    def rates_of(section: str) -> Rates:
        rates = RateTable(previous, current, section)
        return _OfTheirProcesses(rates, process_of) if section in _OF_A_PROCESS else rates

    rows = OnDemand(rows_of)
    rows["processes"], rows["gpu_processes"] = listed, there
    of_processes = partial(process_table, previous, current)
    return ProcessTable(current, rows, OnDemand(rates_of), process_of, on_gpus(current, _key), of_processes)


def _key(row: Row) -> Key:
    return row[0], row[1], row[_START]


def _stranger(pid: Cell, start: Cell, is_foreign: Cell, scanned_ns: int) -> Row:
    """Stands for a process of which the host says nothing; it looked at all processes at ``scanned_ns``."""
    if is_foreign:
        why = OF_ANOTHER_NAMESPACE
    elif start is None:
        why = "(no process here has this pid)"
    elif isinstance(start, int) and start > scanned_ns - START_RESOLUTION_NS:
        why = "(the process has just begun)"
    else:
        why = "(the process is not shown here)"
    cells: dict[str, Cell] = {"pid": pid, "start_boottime_ns": start, "comm": why, "kernel_thread": False}
    return tuple(cells.get(name) for name in PROCESSES.names)
