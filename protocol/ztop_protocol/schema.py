"""The schema is data: every section, its key, its visibility and its columns.

The codec, the access rule, the exports and the tables of PROTOCOL.md derive from :data:`SECTIONS`.
A new metric is one :class:`Column` here, its parse in one collector, and one line in the client's
column table if it is to be seen.

Rules:

* The identity columns come first and are the key of a row; a section without identity has one row.
* One unit per quantity, said in the column's name.
* Absence is ``None``, never 0. Why a value is absent stands in the section ``sources``.
* Text is ``str``; bytes that are not UTF-8 are kept as surrogate escapes (PEP 383).
"""

from enum import StrEnum

from ztop_protocol.event_schema import ALERTS, EVENTS, PROCESS_EVENTS
from ztop_protocol.gpu_schema import GPU_PROCESSES, GPUS
from ztop_protocol.section_schema import CellType, Column, Kind, SectionSchema, Unit, Visibility
from ztop_protocol.section_schema import columns as _columns

__all__ = [
    "ALERTS",
    "EVENTS",
    "GPUS",
    "GPU_PROCESSES",
    "MAX_TEXT_BYTES",
    "PROCESS_EVENTS",
    "SCHEMA_VERSION",
    "SECTIONS",
    "CellType",
    "Column",
    "Kind",
    "SectionSchema",
    "SourceState",
    "Unit",
    "Visibility",
]

SCHEMA_VERSION = 1
MAX_TEXT_BYTES = 4096
"""Text cells longer than this are cut by the collectors."""


_I, _L, _C, _G = Kind.IDENTITY, Kind.LABEL, Kind.COUNTER, Kind.GAUGE
_NONE, _BYTES, _COUNT, _NS, _PERCENT = Unit.NONE, Unit.BYTES, Unit.COUNT, Unit.NANOSECONDS, Unit.PERCENT

HOST = SectionSchema(
    "host",
    Visibility.PUBLIC,
    (
        *_columns("uname(2)", _L, _NONE, "hostname", "kernel_release", "machine", type=str),
        *_columns("/proc/self/ns/pid (inode number)", _L, _NONE, "pid_namespace"),
        *_columns("/proc/self/mountinfo (0 means that /proc hides nothing)", _L, _NONE, "hidepid"),
        *_columns("/proc/uptime", _G, _NS, "uptime_ns"),
        *_columns("/proc/loadavg", _G, _COUNT, "load_average_1m", "load_average_5m", "load_average_15m", type=float),
        *_columns("/proc/loadavg", _G, _COUNT, "threads_runnable", "threads_total"),
        *_columns(
            "/proc/PID/stat, counted by state (R S D T/t Z I)", _G, _COUNT,
            "processes_total", "processes_running", "processes_sleeping", "processes_blocked",
            "processes_stopped", "processes_zombie", "processes_idle", "kernel_threads",
        ),
        *_columns("/proc/stat", _C, _COUNT, "context_switches", "interrupts", "forks"),
        *_columns("/proc/stat btime", _L, _NS, "boot_time_ns"),
    ),
)  # fmt: skip

CPUS = SectionSchema(
    "cpus",
    Visibility.PUBLIC,
    (
        *_columns("/proc/stat", _I, _NONE, "cpu"),
        *_columns(
            "/proc/stat; user and nice include the guest times", _C, _NS,
            "user_time_ns", "nice_time_ns", "system_time_ns", "idle_time_ns", "iowait_time_ns", "irq_time_ns",
            "softirq_time_ns", "steal_time_ns", "guest_time_ns", "guest_nice_time_ns",
        ),
        *_columns(
            "/sys/devices/system/cpu/cpuN/cpufreq/scaling_cur_freq, or /proc/cpuinfo", _G, Unit.HERTZ, "frequency_hertz"
        ),
    ),
)  # fmt: skip

MEMORY = SectionSchema(
    "memory",
    Visibility.PUBLIC,
    (
        *_columns(
            "/proc/meminfo", _G, _BYTES,
            "total_bytes", "free_bytes", "available_bytes", "buffers_bytes", "cached_bytes", "shared_bytes",
            "slab_reclaimable_bytes", "slab_unreclaimable_bytes", "active_bytes", "inactive_bytes", "dirty_bytes",
            "writeback_bytes", "anonymous_bytes", "mapped_bytes", "page_tables_bytes", "kernel_stack_bytes",
            "unevictable_bytes", "locked_bytes", "committed_bytes", "commit_limit_bytes",
            "swap_total_bytes", "swap_free_bytes", "swap_cached_bytes", "zswap_pool_bytes", "zswap_stored_bytes",
            "anonymous_huge_pages_bytes", "huge_page_size_bytes",
        ),
        *_columns("/proc/meminfo", _G, _COUNT, "huge_pages_total", "huge_pages_free"),
        *_columns(
            "/sys/block/zram*/mm_stat, summed", _G, _BYTES,
            "zram_stored_bytes", "zram_compressed_bytes", "zram_used_bytes",
        ),
        *_columns(
            "/proc/spl/kstat/zfs/arcstats", _G, _BYTES, "arc_bytes", "arc_target_bytes", "arc_minimum_bytes",
            "arc_maximum_bytes",
        ),
        *_columns("/proc/vmstat", _C, _BYTES, "swap_in_bytes", "swap_out_bytes", "page_in_bytes", "page_out_bytes"),
        *_columns("/proc/vmstat", _C, _COUNT, "page_faults", "major_page_faults", "oom_kills"),
    ),
)  # fmt: skip

PRESSURE = SectionSchema(
    "pressure",
    Visibility.PUBLIC,
    (
        *_columns("/proc/pressure/", _I, _NONE, "resource", type=str),
        *_columns("/proc/pressure/*", _G, _PERCENT, "some_avg10_percent", "some_avg60_percent", "some_avg300_percent"),
        *_columns("/proc/pressure/*", _C, _NS, "some_time_ns"),
        *_columns("/proc/pressure/*", _G, _PERCENT, "full_avg10_percent", "full_avg60_percent", "full_avg300_percent"),
        *_columns("/proc/pressure/*", _C, _NS, "full_time_ns"),
    ),
)

DISKS = SectionSchema(
    "disks",
    Visibility.PUBLIC,
    (
        *_columns("/proc/diskstats", _I, _NONE, "name", type=str),
        *_columns("/proc/diskstats", _L, _NONE, "major", "minor"),
        *_columns("/sys/block: a whole disk, not a partition", _L, _NONE, "whole_disk", type=bool),
        *_columns("/sys/block/*/device/model", _L, _NONE, "model", type=str),
        *_columns("/sys/class/block/*/size", _G, _BYTES, "size_bytes"),
        *_columns("/proc/diskstats", _C, _COUNT, "read_operations"),
        *_columns("/proc/diskstats", _C, _BYTES, "read_bytes"),
        *_columns("/proc/diskstats", _C, _NS, "read_time_ns"),
        *_columns("/proc/diskstats", _C, _COUNT, "write_operations"),
        *_columns("/proc/diskstats", _C, _BYTES, "write_bytes"),
        *_columns("/proc/diskstats", _C, _NS, "write_time_ns"),
        *_columns("/proc/diskstats", _G, _COUNT, "operations_in_flight"),
        *_columns("/proc/diskstats", _C, _NS, "busy_time_ns", "queue_time_ns"),
        *_columns("/proc/diskstats, Linux 4.18", _C, _COUNT, "discard_operations"),
        *_columns("/proc/diskstats, Linux 4.18", _C, _BYTES, "discard_bytes"),
        *_columns("/proc/diskstats, Linux 5.5", _C, _COUNT, "flush_operations"),
    ),
)

FILESYSTEMS = SectionSchema(
    "filesystems",
    Visibility.PUBLIC,
    (
        *_columns("/proc/self/mountinfo", _I, _NONE, "mount_point", type=str),
        *_columns("/proc/self/mountinfo", _L, _NONE, "device", "type", type=str),
        *_columns("/proc/self/mountinfo", _L, _NONE, "read_only", type=bool),
        *_columns("statvfs(3)", _G, _BYTES, "size_bytes", "used_bytes", "available_bytes"),
        *_columns("statvfs(3)", _G, _COUNT, "inodes_total", "inodes_used", "inodes_available"),
        *_columns("when statvfs last answered; None: never", _L, _NS, "answered_boottime_ns"),
    ),
)

NETWORKS = SectionSchema(
    "networks",
    Visibility.PUBLIC,
    (
        *_columns("/proc/net/dev", _I, _NONE, "interface", type=str),
        *_columns("/sys/class/net/*/operstate", _L, _NONE, "operational_state", type=str),
        *_columns("/sys/class/net/*/speed", _G, Unit.BITS_PER_SECOND, "speed_bits_per_second"),
        *_columns("/sys/class/net/*/mtu", _G, _BYTES, "mtu_bytes"),
        *_columns("/proc/net/dev", _C, _BYTES, "receive_bytes"),
        *_columns(
            "/proc/net/dev", _C, _COUNT, "receive_packets", "receive_errors", "receive_drops", "multicast_packets"
        ),
        *_columns("/proc/net/dev", _C, _BYTES, "transmit_bytes"),
        *_columns("/proc/net/dev", _C, _COUNT, "transmit_packets", "transmit_errors", "transmit_drops", "collisions"),
    ),
)

SENSORS = SectionSchema(
    "sensors",
    Visibility.PUBLIC,
    (
        *_columns("/sys/class/hwmon, thermal, power_supply: folder and channel", _I, _NONE, "device", "channel",
                  type=str),
        *_columns("hwmon name, thermal type, power supply name", _L, _NONE, "chip", "label", type=str),
        *_columns("temp*_input, _max, _crit", _G, Unit.CELSIUS,
                  "temperature_celsius", "high_temperature_celsius", "critical_temperature_celsius"),
        *_columns("fan*_input", _G, Unit.RPM, "fan_rpm"),
        *_columns("in*_input, voltage_now", _G, Unit.MILLIVOLTS, "voltage_millivolts"),
        *_columns("curr*_input, current_now", _G, Unit.MILLIAMPERES, "current_milliamperes"),
        *_columns("power*_input or _average, power_now", _G, Unit.MILLIWATTS, "power_milliwatts"),
        *_columns("power_supply/*/capacity", _G, _PERCENT, "battery_percent"),
        *_columns("power_supply/*/status, mains: online or offline", _L, _NONE, "battery_status", type=str),
        *_columns("power_supply/*/energy_now, energy_full", _G, Unit.MILLIWATT_HOURS,
                  "battery_energy_milliwatt_hours", "battery_full_energy_milliwatt_hours"),
    ),
)  # fmt: skip

CGROUPS = SectionSchema(
    "cgroups",
    Visibility.PUBLIC,
    (
        *_columns("cgroup mounts: the path below the mount", _I, _NONE, "path", type=str),
        *_columns("read off the path", _L, _NONE, "container_id", "container_runtime", type=str),
        *_columns("cpu.stat, cpuacct.usage, cpuacct.stat", _C, _NS, "cpu_time_ns", "user_time_ns", "system_time_ns"),
        *_columns("cpu.stat", _C, _COUNT, "throttled_periods"),
        *_columns("cpu.stat", _C, _NS, "throttled_time_ns"),
        *_columns("memory.current, memory.usage_in_bytes", _G, _BYTES, "memory_bytes"),
        *_columns("memory.max, memory.limit_in_bytes; None: no limit", _G, _BYTES, "memory_limit_bytes"),
        *_columns("memory.stat", _G, _BYTES, "memory_anonymous_bytes", "memory_file_bytes"),
        *_columns("memory.swap.current", _G, _BYTES, "swap_bytes"),
        *_columns("memory.events, memory.oom_control", _C, _COUNT, "oom_kills"),
        *_columns("pids.current", _G, _COUNT, "pids"),
        *_columns("pids.max; None: no limit", _G, _COUNT, "pids_limit"),
        *_columns("io.stat, blkio.throttle.io_service_bytes", _C, _BYTES, "io_read_bytes", "io_write_bytes"),
        *_columns("io.stat, blkio.throttle.io_serviced", _C, _COUNT, "io_read_operations", "io_write_operations"),
        *_columns("cpu.pressure, memory.pressure, io.pressure: some", _C, _NS,
                  "cpu_pressure_time_ns", "memory_pressure_time_ns", "io_pressure_time_ns"),
    ),
)  # fmt: skip

PROCESSES = SectionSchema(
    "processes",
    Visibility.PUBLIC,
    (
        *_columns("/proc/PID", _I, _NONE, "pid"),
        *_columns("/proc/PID/stat", _I, _NS, "start_boottime_ns"),
        *_columns("/proc/PID/stat", _L, _NONE, "ppid", "process_group", "session"),
        *_columns("/proc/PID/stat: the name below /dev", _L, _NONE, "tty", type=str),
        *_columns("/proc/PID/status", _L, _NONE, "uid", "effective_uid"),
        *_columns("stat(2) of /proc/PID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *_columns("the name of effective_uid; its digits where it has none", _L, _NONE, "user", type=str),
        *_columns("/proc/PID/stat: the kernel's letter", _L, _NONE, "state", type=str),
        *_columns("/proc/PID/stat", _L, _NONE, "nice", "priority", "realtime_priority"),
        *_columns("/proc/PID/stat", _L, _NONE, "policy", type=str),
        *_columns("/proc/PID/stat", _G, _COUNT, "threads"),
        *_columns("/proc/PID/stat", _C, _NS, "user_time_ns", "system_time_ns"),
        *_columns("/proc/PID/stat", _G, _BYTES, "rss_bytes", "virtual_bytes"),
        *_columns("/proc/PID/status RssFile + RssShmem", _G, _BYTES, "shared_bytes"),
        *_columns("/proc/PID/status VmSwap", _G, _BYTES, "swap_bytes"),
        *_columns("/proc/PID/stat", _C, _COUNT, "minor_faults", "major_faults"),
        *_columns("/proc/PID/status", _C, _COUNT, "voluntary_context_switches", "involuntary_context_switches"),
        *_columns("when /proc/PID/status was read last", _L, _NS, "status_boottime_ns"),
        *_columns("/proc/PID/stat; None unless kernel.task_delayacct is 1", _C, _NS, "block_io_delay_ns"),
        *_columns("/proc/PID/stat", _L, _NONE, "last_cpu"),
        *_columns("/proc/PID/stat flags (PF_KTHREAD)", _L, _NONE, "kernel_thread", type=bool),
        *_columns("/proc/PID/oom_score", _G, _COUNT, "oom_score"),
        *_columns("/proc/PID/cgroup (v2, else the v1 systemd or cpu hierarchy)", _L, _NONE, "cgroup", type=str),
        *_columns("read off the cgroup's path", _L, _NONE, "container_id", "container_runtime", type=str),
        *_columns("/proc/PID/status NSpid: the pid in the innermost namespace", _L, _NONE, "namespace_pid"),
        *_columns("/proc/PID/stat", _L, _NONE, "comm", type=str),
        *_columns("/proc/PID/cmdline, arguments joined by spaces", _L, _NONE, "command_line", type=str),
        *_columns("whether command_line was cut", _L, _NONE, "command_line_truncated", type=bool),
    ),
)

PROCESS_EXECUTABLES = SectionSchema(
    "process_executables",
    Visibility.OWNER,
    (
        *_columns("/proc/PID", _I, _NONE, "pid"),
        *_columns("/proc/PID/stat", _I, _NS, "start_boottime_ns"),
        *_columns("stat(2) of /proc/PID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *_columns("/proc/PID/exe", _L, _NONE, "exe", type=str),
    ),
)

PROCESS_IO = SectionSchema(
    "process_io",
    Visibility.OWNER,
    (
        *_columns("/proc/PID", _I, _NONE, "pid"),
        *_columns("/proc/PID/stat", _I, _NS, "start_boottime_ns"),
        *_columns("stat(2) of /proc/PID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *_columns("when /proc/PID/io was read last", _L, _NS, "sampled_boottime_ns"),
        *_columns("/proc/PID/io read_bytes, write_bytes, cancelled_write_bytes", _C, _BYTES,
                  "io_read_bytes", "io_write_bytes", "io_cancelled_write_bytes"),
        *_columns("/proc/PID/io rchar, wchar", _C, _BYTES, "io_logical_read_bytes", "io_logical_write_bytes"),
        *_columns("/proc/PID/io syscr, syscw", _C, _COUNT, "io_read_syscalls", "io_write_syscalls"),
    ),
)  # fmt: skip

PROCESS_COUNTERS = SectionSchema(
    "process_counters",
    Visibility.OWNER,
    (
        *_columns("/proc/PID", _I, _NONE, "pid"),
        *_columns("/proc/PID/stat", _I, _NS, "start_boottime_ns"),
        *_columns("stat(2) of /proc/PID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *_columns("ztopd: when the counts began at 0, anew where the owner changed", _L, _NS, "epoch_boottime_ns"),
        *_columns("perf_event_open(2): whether kernel mode is counted too", _L, _NONE, "kernel_mode", type=bool),
        *_columns("perf_event_open(2), scaled to the time the group was enabled", _C, _COUNT, "cycles", "instructions"),
        *_columns("perf_event_open(2): the time enabled that cycles and instructions stand for", _C, _NS,
                  "cycles_time_ns"),
        *_columns("perf_event_open(2), as cycles; last-level cache", _C, _COUNT, "llc_references", "llc_misses"),
        *_columns("perf_event_open(2): the time enabled that they stand for", _C, _NS, "llc_time_ns"),
        *_columns("perf_event_open(2), as cycles; first-level data cache", _C, _COUNT, "l1d_loads", "l1d_misses"),
        *_columns("perf_event_open(2), as cycles", _C, _COUNT, "branches", "branch_misses"),
        *_columns("perf_event_open(2), all groups of all threads: on a CPU, and really counting", _C, _NS,
                  "enabled_time_ns", "running_time_ns"),
    ),
)  # fmt: skip
"""What a process's threads did while counters were attached; a kind of event that the machine lacks is None."""

THREADS = SectionSchema(
    "threads",
    Visibility.PUBLIC,
    (
        *_columns("/proc/PID/task", _I, _NONE, "pid", "tid"),
        *_columns("/proc/PID/task/TID/stat", _I, _NS, "start_boottime_ns"),
        *_columns("stat(2) of /proc/PID/task/TID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *_columns("/proc/PID/task/TID/stat: the kernel's letter", _L, _NONE, "state", type=str),
        *_columns("/proc/PID/task/TID/stat", _L, _NONE, "nice", "priority", "realtime_priority"),
        *_columns("/proc/PID/task/TID/stat", _L, _NONE, "policy", type=str),
        *_columns("/proc/PID/task/TID/stat", _C, _NS, "user_time_ns", "system_time_ns"),
        *_columns("/proc/PID/task/TID/stat", _C, _COUNT, "minor_faults", "major_faults"),
        *_columns("/proc/PID/task/TID/stat", _L, _NONE, "last_cpu"),
        *_columns("/proc/PID/task/TID/stat", _L, _NONE, "comm", type=str),
    ),
)

SUMMARY = SectionSchema(
    "summary",
    Visibility.PUBLIC,
    (
        *_columns("ztopd: user, nice, system, irq, softirq and steal of all `cpus`", _C, _NS, "cpu_busy_time_ns"),
        *_columns("ztopd: `pressure`, some", _C, _NS,
                  "cpu_pressure_time_ns", "memory_pressure_time_ns", "io_pressure_time_ns"),
        *_columns("ztopd: `disks`, the physical ones", _C, _BYTES, "disk_read_bytes", "disk_write_bytes"),
        *_columns("ztopd: `networks`, those that lead out of the machine", _C, _BYTES,
                  "network_receive_bytes", "network_transmit_bytes"),
        *_columns("ztopd: rows of `cpus`", _G, _COUNT, "cpu_count"),
        *_columns("ztopd: `memory`; used is what is not available", _G, _BYTES,
                  "memory_total_bytes", "memory_used_bytes", "swap_total_bytes", "swap_used_bytes"),
        *_columns("ztopd: `gpus`, the busiest of those that answer", _G, _PERCENT, "gpu_utilization_percent"),
    ),
)  # fmt: skip
"""Sums of other sections, so that a strip of hours reads one small track. Its time is that of what is summed."""

SOURCES = SectionSchema(
    "sources",
    Visibility.PUBLIC,
    (
        *_columns("ztopd", _I, _NONE, "source", type=str),
        *_columns("ztopd: ok, degraded or absent", _L, _NONE, "state", type=str),
        *_columns("ztopd: why, in words", _L, _NONE, "reason", type=str),
        *_columns("ztopd: what a person can type about it", _L, _NONE, "fix", type=str),
        *_columns("ztopd: CPU time of the last collection; of `sampler`: of the whole tick before", _G, _NS, "cost_ns"),
        *_columns("ztopd: when its data was sampled", _L, _NS, "sampled_boottime_ns"),
        *_columns("ztopd: times it was due and not sampled in time", _C, _COUNT, "skipped"),
        *_columns("ztopd: times it failed", _C, _COUNT, "failures"),
        *_columns("ztopd: how long the last collection took, waiting included", _G, _NS, "duration_ns"),
        *_columns("ztopd: how old its data gets; None: due in every frame. Of `sampler`: between frames, now", _G, _NS,
                  "period_ns"),
        *_columns("ztopd: CPU time of its process `sampler`, `server` or `reader`", _C, _NS, "cpu_time_ns"),
        *_columns("/proc/PID/statm of the same", _G, _BYTES, "rss_bytes"),
    ),
)  # fmt: skip

SECTIONS: dict[str, SectionSchema] = {
    section.name: section
    for section in (
        HOST, CPUS, MEMORY, PRESSURE, DISKS, FILESYSTEMS, NETWORKS, SENSORS, CGROUPS,
        PROCESSES, PROCESS_EXECUTABLES, PROCESS_IO, PROCESS_COUNTERS, THREADS, GPUS, GPU_PROCESSES,
        SUMMARY, EVENTS, PROCESS_EVENTS,
        ALERTS, SOURCES,
    )
}  # fmt: skip
"""Every section by name, in the order in which a frame holds them."""


class SourceState(StrEnum):
    """The health of a collector, as the section ``sources`` tells it."""

    OK = "ok"
    DEGRADED = "degraded"
    """Some of it is missing, late or stale; the reason says what."""
    ABSENT = "absent"
    """This machine, or these rights, do not have it."""
