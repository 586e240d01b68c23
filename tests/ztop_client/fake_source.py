"""Frames made by hand, and a source of them; run as a program it is `ztop` on a scripted machine.

python fake_source.py [--pid PID] [--interval SECONDS] [--frames N] [--processes N] [--cpus N]
"""

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.ztop_client.hostile import HOSTILE
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import ASCII
from ztop_client.sources.source import Pair, RequestFailed, SourceStatus
from ztop_client.view import View
from ztop_protocol.codec import encode_frame, unpack
from ztop_protocol.connection import Arguments
from ztop_protocol.frame import Cell, Frame, Row, Section
from ztop_protocol.schema import SECTIONS, Kind

SECOND = 1_000_000_000
BOOT_ID = "11111111-2222-3333-4444-555555555555"
GIBIBYTE = 1 << 30
# nobody who runs the tests: acting on one of her processes asks first, whoever sits there
ALICE_UID = 61234


def row(section: str, **values: Cell) -> Row:
    """A row of the schema; what is not given is None."""
    schema = SECTIONS[section]
    unknown = values.keys() - set(schema.names)
    assert not unknown, unknown
    return tuple(values.get(name) for name in schema.names)


_DEFAULTS: dict[str, Cell] = {
    "ppid": 1, "user": "alice", "uid": ALICE_UID, "effective_uid": ALICE_UID,
    "owner_uid": ALICE_UID, "state": "S", "nice": 0,
    "priority": 20, "threads": 1, "user_time_ns": 0, "system_time_ns": 0, "rss_bytes": 10 << 20,
    "virtual_bytes": 100 << 20, "shared_bytes": 5 << 20, "kernel_thread": False,
    "minor_faults": 0, "major_faults": 0, "voluntary_context_switches": 0, "involuntary_context_switches": 0,
}  # fmt: skip


def process(pid: int, start: int = SECOND, **values: Cell) -> Row:
    """A process that sleeps, with the given cells changed."""
    name = values.get("comm", f"task{pid}")
    if values.get("user") == "root":
        values = {"uid": 0, "effective_uid": 0, "owner_uid": 0, **values}
    known = {"comm": name, "command_line": f"/usr/bin/{name} --id {pid}"}
    return row("processes", pid=pid, start_boottime_ns=start, **{**_DEFAULTS, **known, **values})


def section(name: str, sampled_ns: int, rows: Iterable[Row]) -> Section:
    length = SECTIONS[name].key_length
    return Section(sampled_ns, {one[:length]: one for one in rows})


def frame(
    seq: int,
    processes: Iterable[Row],
    *,
    cpus: int = 2,
    boot_id: str = BOOT_ID,
    host: Mapping[str, Cell] | None = None,
) -> Frame:
    """A machine at the second ``seq`` after 1000: core n was busy for a (n+1)th of the time, in all states."""
    now = (1000 + seq) * SECOND
    listed = list(processes)
    cores = []
    for number in range(cpus):
        busy = seq * SECOND // (number % 7 + 1)
        states = ("user", "nice", "system", "irq", "softirq", "steal", "iowait")
        share: dict[str, Cell] = {f"{state}_time_ns": busy // 10 for state in states}
        share["user_time_ns"] = busy // 2
        cores.append(
            row("cpus", cpu=number, idle_time_ns=seq * SECOND - busy, guest_time_ns=0, guest_nice_time_ns=0, **share)
        )
    kinds = {column.name: column.kind for column in SECTIONS["host"].columns}
    known: dict[str, Cell] = {name: 0 for name, kind in kinds.items() if kind in (Kind.COUNTER, Kind.GAUGE)}
    known |= {
        "hostname": "box", "uptime_ns": now, "load_average_1m": 0.25, "load_average_5m": 0.5, "load_average_15m": 1.0,
        "processes_total": len(listed), "threads_total": 3 * len(listed), "kernel_threads": 1, "processes_running": 1,
        "pid_namespace": 4026531836,
    }  # fmt: skip
    memory: dict[str, Cell] = {
        "total_bytes": 16 * GIBIBYTE, "free_bytes": 6 * GIBIBYTE, "available_bytes": 11 * GIBIBYTE,
        "buffers_bytes": GIBIBYTE, "cached_bytes": 4 * GIBIBYTE, "shared_bytes": GIBIBYTE,
        "slab_reclaimable_bytes": GIBIBYTE // 2, "swap_total_bytes": 2 * GIBIBYTE, "swap_free_bytes": GIBIBYTE,
    }  # fmt: skip
    return Frame(
        seq,
        1_700_000_000 * SECOND + seq * SECOND,
        now,
        boot_id,
        {
            "host": section("host", now, [row("host", **{**known, **(host or {})})]),
            "cpus": section("cpus", now, cores),
            "memory": section("memory", now, [row("memory", **memory)]),
            "processes": section("processes", now, listed),
        },
    )


def busy_table(count: int) -> Callable[[int], list[Row]]:
    """``count`` processes of which every one uses some CPU; the n-th most of the second n."""

    def processes(seq: int) -> list[Row]:
        rows = [process(1, user="root", comm="init", command_line="/sbin/init", ppid=0)]
        rows.append(process(2, user="root", comm="kthreadd", command_line=None, ppid=0, kernel_thread=True))
        for pid in range(100, 98 + count):
            rows.append(process(pid, user_time_ns=seq * (pid % 50) * SECOND // 50, system_time_ns=0))
        return rows

    return processes


def with_sections(made: Frame, *sections: tuple[str, Iterable[Row]]) -> Frame:
    """The frame with more sections, sampled when it was."""
    more = {name: section(name, made.boottime_ns, rows) for name, rows in sections}
    return replace(made, sections={**made.sections, **more})


def process_io(seq: int, processes: Iterable[Row]) -> Iterator[Row]:
    """What the processes of alice read and wrote: the nth of them n KiB a second."""
    owner = SECTIONS["processes"].position["owner_uid"]
    for one in processes:
        pid, start = one[:2]
        if one[owner] == ALICE_UID and isinstance(pid, int):
            done = seq * pid * 1024
            counters: dict[str, Cell] = {name: done for name in SECTIONS["process_io"].names if name.startswith("io_")}
            yield row(
                "process_io", pid=pid, start_boottime_ns=start, owner_uid=ALICE_UID,
                sampled_boottime_ns=(1000 + seq) * SECOND, **counters,
            )  # fmt: skip


NO_PMU = "this machine has no PMU", "get one"


def sources(pmu: bool) -> list[Row]:
    """How the collector of counters is."""
    if pmu:
        return [row("sources", source="counters", state="ok")]
    reason, fix = NO_PMU
    return [row("sources", source="counters", state="absent", reason=reason, fix=fix)]


def process_counters(seq: int, processes: Iterable[Row]) -> Iterator[Row]:
    """What the processes of alice that work made of 2 GHz: IPC is the pid's last digits, 157 makes 0.57 a cycle.

    Of 1000 instructions 2 miss the last-level cache, which is a fourth of its references.
    """
    places = [SECTIONS["processes"].position[name] for name in ("owner_uid", "user_time_ns")]
    for one in processes:
        pid, start = one[:2]
        owner, spent = (one[place] for place in places)
        if owner == ALICE_UID and isinstance(pid, int) and isinstance(spent, int) and spent:
            instructions = 2 * spent * (pid % 100) // 100
            yield row(
                "process_counters", pid=pid, start_boottime_ns=start, owner_uid=ALICE_UID, epoch_boottime_ns=SECOND,
                kernel_mode=True, cycles=2 * spent, instructions=instructions, cycles_time_ns=spent,
                llc_references=instructions // 125, llc_misses=instructions // 500, llc_time_ns=spent,
                branches=instructions // 5, branch_misses=instructions // 500,
                enabled_time_ns=4 * spent, running_time_ns=3 * spent,
            )  # fmt: skip


def alert(pid: int, since_s: int, start: int = SECOND) -> Row:
    """That the IPC of alice's process dropped."""
    return row(
        "alerts", pid=pid, start_boottime_ns=start, kind="ipc_drop", owner_uid=ALICE_UID, comm=f"task{pid}",
        since_boottime_ns=since_s * SECOND, value=0.25, usual_value=1.0, detail=f"pid {pid} makes a quarter",
    )  # fmt: skip


def threads_of(seq: int, processes: Iterable[Row]) -> Iterator[Row]:
    """Two more threads in every tenth process; the second one is busy for a fourth of the time."""
    for one in processes:
        pid, start = one[:2]
        if isinstance(pid, int) and pid % 10 == 0:
            for number, name in enumerate((f"task{pid}", f"idler-{pid}", f"worker-{pid}")):
                yield row(
                    "threads", pid=pid, tid=pid if number == 0 else pid * 100 + number, start_boottime_ns=start,
                    state="S", nice=0, priority=20, policy="other", minor_faults=0, major_faults=0, last_cpu=1,
                    user_time_ns=seq * SECOND // 4 if number == 2 else 0, system_time_ns=0, comm=name,
                )  # fmt: skip


class FakeSource:
    """A source whose frames come when :meth:`push` is called, from any thread."""

    title = "a script"

    def __init__(self) -> None:
        self._readable, self._signal = os.pipe()
        self._arrived: list[Frame | str] = []
        self._pair: Pair | None = None
        self.live = True
        self.since = time.monotonic()
        self.reason: str | None = None
        self.maintained = 0
        self.intervals: list[int] = []
        self.sections: list[tuple[str, ...]] = []
        self.pmu = True

    def push(self, new: Frame | str) -> None:
        """A frame arrives, or the connection is lost for a reason."""
        self._arrived.append(new)
        os.write(self._signal, b"x")

    def latest(self) -> Pair | None:
        return self._pair

    def fileno(self) -> int | None:
        return self._readable if self.live else None

    def receive(self) -> bool:
        changed = False
        if self._arrived:
            os.read(self._readable, 1000)
        while self._arrived:
            new = self._arrived.pop(0)
            if isinstance(new, str):
                self.live, self.reason, self.since = False, new, time.monotonic()
                continue
            self._pair = Pair(None, new) if self._pair is None else self._pair.followed_by(new)
            changed = True
        return changed

    def maintain(self) -> None:
        self.maintained += 1

    def status(self) -> SourceStatus:
        return SourceStatus(self.live, self.since, self.reason)

    def set_interval(self, ticks: int) -> None:
        self.intervals.append(ticks)

    def set_sections(self, sections: Sequence[str]) -> None:
        self.sections.append(tuple(sections))

    def set_paused(self, paused: bool) -> None:
        pass

    def ask(self, method: str, arguments: Arguments, done: Callable[[Any], None]) -> None:
        """The threads of a process, what the sources say, and nothing of the past."""
        assert self._pair is not None
        now = self._pair.current
        if method == "snapshot":
            done(unpack(encode_frame(with_sections(replace(now, sections={}), ("sources", sources(self.pmu))))))
            return
        if method == "segments":
            done({"segments": [], "cursor": None})
            return
        if method != "threads":
            done(RequestFailed("nothing is remembered there"))
            return
        rows = [one for one in threads_of(now.seq, now.rows("processes").values()) if one[0] == arguments["pid"]]
        if not rows:
            done(RequestFailed(f"process {arguments['pid']} does not exist"))
            return
        only = replace(now, sections={"threads": section("threads", now.boottime_ns, rows)})
        done(unpack(encode_frame(only)))

    def close(self) -> None:
        os.close(self._readable)
        os.close(self._signal)


def real_row(pid: int) -> Row:
    """The row of a process of this machine."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    fields = stat[stat.rindex(b")") + 2 :].split()
    start = int(fields[19]) * (SECOND // os.sysconf("SC_CLK_TCK"))
    return process(pid, start, comm="victim", command_line="/bin/victim --of a test", ppid=1)


def here() -> dict[str, Cell]:
    return {"pid_namespace": os.stat("/proc/self/ns/pid").st_ino}


def main() -> int:
    from ztop_client.monitor import watch

    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int)
    parser.add_argument("--interval", type=float, default=0.1)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=60)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--lost-after", type=int)
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--no-pmu", action="store_true")
    options = parser.parse_args()
    table = busy_table(options.processes)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip() if options.pid else BOOT_ID
    source = FakeSource()
    source.pmu = not options.no_pmu

    def make(seq: int) -> Frame:
        rows = table(seq)
        if options.pid:
            rows.append(real_row(options.pid) if Path(f"/proc/{options.pid}").exists() else process(options.pid))
        if options.hostile:
            rows += [process(300 + place, comm=text, command_line=text) for place, text in enumerate(HOSTILE)]
            rows += [process(400 + place, user=text, state=text[:1] or "S") for place, text in enumerate(HOSTILE)]
        made = frame(seq, rows, cpus=options.cpus, boot_id=boot_id, host=here())
        wanted = source.sections[-1] if source.sections else ()
        if "process_io" in wanted:
            made = with_sections(made, ("process_io", process_io(seq, rows)))
        if "threads" in wanted:
            made = with_sections(made, ("threads", threads_of(seq, rows)))
        if "sources" in wanted:
            made = with_sections(made, ("sources", sources(source.pmu)))
        if "process_counters" in wanted and source.pmu:
            made = with_sections(
                made, ("process_counters", process_counters(seq, rows)), ("alerts", [alert(157, 1001)])
            )
        return made

    def feed() -> None:
        for seq in range(1, options.frames + 1):
            source.push(make(seq))
            if seq == options.lost_after:
                source.push("the daemon is gone")
                return
            time.sleep(options.interval)

    threading.Thread(target=feed, daemon=True).start()
    return watch(source, View(tabs(), ASCII))


if __name__ == "__main__":
    raise SystemExit(main())
