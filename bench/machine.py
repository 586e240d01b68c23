"""A machine made up for benchmarks: as many processes as wanted, of which a share changes from frame to frame."""

import random
from collections.abc import Iterator

from ztop_protocol.frame import Cell, Frame, Row, Section
from ztop_protocol.schema import SECTIONS, Kind

SECOND = 1_000_000_000
_PROGRAMS = ("postgres", "python3", "nginx", "bash", "containerd-shim", "node", "java", "sshd", "sleep", "vim")
_USERS = (("root", 0), ("alice", 1000), ("bob", 1001), ("postgres", 70))
_ACTIVE = ("user_time_ns", "system_time_ns", "rss_bytes", "minor_faults", "voluntary_context_switches")
_POSITION = SECTIONS["processes"].position


def row(section: str, **values: Cell) -> Row:
    """A row of the schema: counters and gauges that are not given are 0, labels None."""
    return tuple(
        values.get(column.name, 0 if column.kind in (Kind.COUNTER, Kind.GAUGE) else None)
        for column in SECTIONS[section].columns
    )


class Machine:
    """``active`` of its ``processes`` run in each second; one ends and one begins every second."""

    def __init__(self, processes: int, active: float, cores: int = 16) -> None:
        self._random = random.Random(1)
        self._active = active
        self._cores = cores
        self._seq = 0
        self._pid = 1
        self._rows: dict[tuple[Cell, ...], Row] = {}
        while len(self._rows) < processes:
            self._begin()

    def frames(self) -> Iterator[Frame]:
        """A frame for every second, without end."""
        while True:
            self._seq += 1
            self._live()
            yield self._frame()

    def _begin(self) -> None:
        chance, pid, start = self._random, self._pid, self._seq * SECOND
        self._pid += 1
        program = chance.choice(_PROGRAMS)
        user, uid = chance.choice(_USERS)
        one = row(
            "processes", pid=pid, start_boottime_ns=start, ppid=chance.randrange(pid) // 3 if pid > 1 else 0,
            uid=uid, effective_uid=uid, owner_uid=uid, user=user, state="S", nice=0, priority=20, policy=0, threads=1,
            rss_bytes=chance.randrange(1 << 29), virtual_bytes=1 << 30, shared_bytes=chance.randrange(1 << 24),
            kernel_thread=False, cgroup="/user.slice", last_cpu=0, comm=program, process_group=pid, session=pid,
            status_boottime_ns=start,
            command_line=f"/usr/lib/{program}/bin/{program} --worker {pid} --config /etc/{program}/{program}.conf",
            command_line_truncated=False,
        )  # fmt: skip
        self._rows[one[:2]] = one

    def _live(self) -> None:
        rows, chance = dict(self._rows), self._random
        for key in chance.sample(list(rows), round(self._active * len(rows))):
            cells = list(rows[key])
            for name in _ACTIVE:
                cells[_POSITION[name]] += chance.randrange(1 << 20)  # type: ignore[operator]
            cells[_POSITION["user_time_ns"]] += chance.randrange(SECOND // 10)  # type: ignore[operator]
            cells[_POSITION["state"]] = chance.choice("RS")
            cells[_POSITION["status_boottime_ns"]] = (1000 + self._seq) * SECOND
            rows[key] = tuple(cells)
        del rows[max(rows)]
        self._rows = rows
        self._begin()

    def _frame(self) -> Frame:
        now, seq = (1000 + self._seq) * SECOND, self._seq
        cores = []
        for number in range(self._cores):
            busy = self._random.randrange(SECOND // 10) + seq * SECOND // (number % 7 + 1)
            cores.append(row("cpus", cpu=number, user_time_ns=busy, idle_time_ns=10**18 - busy))
        gibibyte = 1 << 30
        tables = {
            "host": [
                row("host", hostname="bench", uptime_ns=now, threads_total=2 * len(self._rows), kernel_threads=60,
                    processes_total=len(self._rows), processes_running=3, load_average_1m=seq / 7),
            ],
            "cpus": cores,
            "memory": [
                row("memory", total_bytes=64 * gibibyte, free_bytes=20 * gibibyte, cached_bytes=20 * gibibyte,
                    shared_bytes=gibibyte, buffers_bytes=gibibyte, swap_total_bytes=8 * gibibyte,
                    swap_free_bytes=7 * gibibyte, available_bytes=40 * gibibyte + self._random.randrange(gibibyte)),
            ],
            "pressure": [
                row("pressure", resource=name, some_time_ns=seq * part, full_time_ns=seq * part // 2)
                for name, part in (("cpu", SECOND // 3), ("memory", 0), ("io", SECOND // 9))
            ],
            "disks": [row("disks", name="nvme0n1", whole_disk=True, read_bytes=seq << 20, write_bytes=seq << 23)],
            "networks": [row("networks", interface="eth0", receive_bytes=seq << 16, transmit_bytes=seq << 14)],
            "processes": list(self._rows.values()),
        }  # fmt: skip
        sections = {
            name: Section(now, {one[: SECTIONS[name].key_length]: one for one in rows}) for name, rows in tables.items()
        }
        return Frame(seq, 1_700_000_000 * SECOND + now, now, "bench", sections)
