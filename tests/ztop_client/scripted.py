"""A machine of which a test says second by second who does what; its kernel's totals are the sums of that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.ztop_client.fake_source import GIBIBYTE, row, section
from ztop_protocol.frame import Cell, Frame, Key, Row
from ztop_protocol.schema import PROCESSES

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
MEBIBYTE = 1 << 20
EPOCH = 1_700_000_000 * SECOND
CORES = 4
CPU_STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass
class Task:
    """A process: its row, and what it did to files."""

    row: Row
    read: int = 0
    written: int = 0


@dataclass
class Scripted:
    """Four cores, a disk, a network. Let processes work with :meth:`run`, then :meth:`tick` gives the frame."""

    boot_id: str = "scripted"
    cores: int = CORES
    now: int = 1000 * SECOND
    clock: int = EPOCH
    """Wall time less boot time."""
    seq: int = 0
    tasks: dict[Key, Task] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CPU_STATES, 0))
    waited: dict[str, list[int]] = field(default_factory=lambda: {name: [0, 0] for name in ("cpu", "memory", "io")})
    memory: dict[str, Cell] = field(
        default_factory=lambda: {
            "total_bytes": 16 * GIBIBYTE, "available_bytes": 11 * GIBIBYTE, "swap_total_bytes": 2 * GIBIBYTE,
            "swap_free_bytes": 2 * GIBIBYTE, "swap_in_bytes": 0, "swap_out_bytes": 0, "major_page_faults": 0,
            "oom_kills": 0,
        }
    )  # fmt: skip
    disk: list[int] = field(default_factory=lambda: [0, 0, 0])
    network: list[int] = field(default_factory=lambda: [0, 0])
    groups: dict[str, list[int]] = field(default_factory=dict)
    """CPU and throttled time by cgroup."""
    forks: int = 0
    events: list[tuple[str, str | None, float | None, str]] = field(default_factory=list)
    sees_io: bool = True
    _pid: int = 100
    _number: int = 0

    def start(self, name: str, *, user: str = "alice", cgroup: str = "/user.slice", **cells: Cell) -> Key:
        """A process begins now."""
        self._pid += 1
        self.forks += 1
        known: dict[str, Cell] = {
            "pid": self._pid, "start_boottime_ns": self.now // 10_000_000 * 10_000_000, "ppid": 1, "user": user,
            "uid": 1000, "effective_uid": 1000, "owner_uid": 1000, "state": "S", "nice": 0, "threads": 1,
            "user_time_ns": 0, "system_time_ns": 0, "rss_bytes": 10 * MEBIBYTE, "minor_faults": 0, "major_faults": 0,
            "block_io_delay_ns": 0, "kernel_thread": False, "cgroup": cgroup, "comm": name,
            "command_line": f"/usr/bin/{name} --now",
        }  # fmt: skip
        made = row("processes", **{**known, **cells})
        self.tasks[made[:2]] = Task(made)
        self.count(cgroup, 0)
        return made[:2]

    def end(self, key: Key) -> None:
        del self.tasks[key]

    def change(self, key: Key, **cells: Cell) -> None:
        """Cells of its row become these."""
        names = self.cells(key)
        assert not cells.keys() - names.keys()
        task = self.tasks[key]
        task.row = row("processes", **{**names, **cells})

    def cells(self, key: Key) -> Mapping[str, Cell]:
        return dict(zip(PROCESSES.names, self.tasks[key].row, strict=True))

    def run(self, key: Key, user: int, system: int = 0, *, read: int = 0, written: int = 0, grow: int = 0) -> None:
        """It uses so many ns of CPU time, and bytes of the disk and of memory; the machine's counters follow."""
        before = self.cells(key)
        self.change(
            key,
            user_time_ns=before["user_time_ns"] + user,  # type: ignore[operator]
            system_time_ns=before["system_time_ns"] + system,  # type: ignore[operator]
            rss_bytes=before["rss_bytes"] + grow,  # type: ignore[operator]
        )
        self.spend(user=user, system=system)
        self.count(str(before["cgroup"]), user + system)
        task = self.tasks[key]
        task.read += read
        task.written += written
        self.disk = [self.disk[0] + read, self.disk[1] + written, self.disk[2]]
        self.memory["available_bytes"] -= grow  # type: ignore[operator]

    def spend(self, **states: int) -> None:
        """The cores spend so many ns in these states, whoever it was."""
        for state, ns in states.items():
            self.spent[state] += ns

    def count(self, cgroup: str, cpu: int, throttled: int = 0) -> None:
        known = self.groups.setdefault(cgroup, [0, 0])
        known[0] += cpu
        known[1] += throttled

    def wait(self, resource: str, some: int, full: int = 0) -> None:
        """Tasks waited for a resource."""
        self.waited[resource][0] += some
        self.waited[resource][1] += full

    def happen(self, kind: str, detail: str, subject: str | None = None, value: float | None = None) -> None:
        """It stands in the next frame's events."""
        self.events.append((kind, subject, value, detail))

    def tick(self, seconds: float = 1.0) -> Frame:
        """So much later: the frame of that moment."""
        self.now += round(seconds * SECOND)
        self.seq += 1
        return self.frame()

    def frame(self) -> Frame:
        now = self.now
        cores = []
        for number in range(self.cores):
            # parts that never shrink and whose sum is the whole
            shares = {f"{state}_time_ns": (ns + number) // self.cores for state, ns in self.spent.items()}
            cores.append(row("cpus", cpu=number, guest_time_ns=0, guest_nice_time_ns=0, **shares))
        tables = {
            "host": [row("host", hostname="box", forks=self.forks)],
            "cpus": cores,
            "memory": [row("memory", **self.memory)],
            "pressure": [
                row("pressure", resource=name, some_time_ns=some, full_time_ns=full)
                for name, (some, full) in self.waited.items()
            ],
            "disks": [
                row("disks", name="sda", whole_disk=True, read_bytes=self.disk[0], write_bytes=self.disk[1],
                    busy_time_ns=self.disk[2]),
                row("disks", name="dm-0", whole_disk=True, read_bytes=self.disk[0], write_bytes=self.disk[1],
                    busy_time_ns=self.disk[2]),
            ],
            "networks": [
                row("networks", interface="eth0", receive_bytes=self.network[0], transmit_bytes=self.network[1]),
                row("networks", interface="lo", receive_bytes=now, transmit_bytes=now),
            ],
            "cgroups": [
                row("cgroups", path=path, cpu_time_ns=cpu, throttled_time_ns=throttled)
                for path, (cpu, throttled) in self.groups.items()
            ],
            "processes": [task.row for task in self.tasks.values()],
            "process_io": [
                row("process_io", pid=key[0], start_boottime_ns=key[1], owner_uid=1000, sampled_boottime_ns=now,
                    io_read_bytes=task.read, io_write_bytes=task.written)
                for key, task in self.tasks.items() if self.sees_io
            ],
            "events": [
                row("events", number=self._number + place, kind=kind, subject=subject, value=value, detail=detail)
                for place, (kind, subject, value, detail) in enumerate(self.events, 1)
            ],
        }  # fmt: skip
        self._number += len(self.events)
        self.events = []
        sections = {name: section(name, now, rows) for name, rows in tables.items()}
        return Frame(self.seq, self.clock + now, now, self.boot_id, sections)

    def rebooted(self) -> "Scripted":
        """The machine after a new start, three seconds old."""
        return replace(
            Scripted(boot_id="rebooted"), now=3 * SECOND, clock=self.clock + self.now + 60 * SECOND, seq=self.seq
        )


def short_lived(seconds: int, seen_each_second: int) -> list[Frame]:
    """2000 compilers a second of 1 ms each, of which the frames show a few."""
    machine = Scripted()
    make = machine.start("make")
    frames = [machine.tick()]
    for _ in range(seconds):
        machine.run(make, 50 * MILLISECOND)
        unseen = 2000 - seen_each_second
        machine.forks += unseen
        machine.spend(user=unseen * MILLISECOND)
        machine.count("/user.slice", unseen * MILLISECOND)
        machine.now += SECOND - 20 * MILLISECOND
        seen = [machine.start("cc1") for _ in range(seen_each_second)]
        for key in seen:
            machine.run(key, MILLISECOND)
        frames.append(machine.tick(0.02))
        for key in seen:
            machine.end(key)
    return frames
