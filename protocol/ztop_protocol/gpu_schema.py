"""The sections ``gpus`` and ``gpu_processes``. docs/gpus.md says what each value means and when it is absent."""

from ztop_protocol.section_schema import Kind, SectionSchema, Unit, Visibility, columns

_I, _L, _C, _G = Kind.IDENTITY, Kind.LABEL, Kind.COUNTER, Kind.GAUGE
_NONE, _BYTES, _COUNT, _NS, _PERCENT = Unit.NONE, Unit.BYTES, Unit.COUNT, Unit.NANOSECONDS, Unit.PERCENT
_HERTZ, _CELSIUS, _MILLIWATTS, _SECONDS = Unit.HERTZ, Unit.CELSIUS, Unit.MILLIWATTS, Unit.SECONDS
_BYTES_PER_SECOND = Unit.BYTES_PER_SECOND

GPUS = SectionSchema(
    "gpus",
    Visibility.PUBLIC,
    (
        *columns("NVML: of the GPU or MIG instance; `index:N` of a GPU that never told its own", _I, _NONE, "uuid",
                 type=str),
        *columns("NVML: the GPU that a MIG instance is part of; None for a GPU", _L, _NONE, "parent_uuid", type=str),
        *columns("NVML: its place among the GPUs, or among the MIG instances of one", _L, _NONE, "index"),
        *columns("ztopd: ok, hung, lost or failed", _L, _NONE, "state", type=str),
        *columns("ztopd: why, in words", _L, _NONE, "reason", type=str),
        *columns("ztopd: what NVML refuses of this GPU, and why", _L, _NONE, "withheld", type=str),
        *columns("when its memory was read last; None: never", _L, _NS, "sampled_boottime_ns"),
        *columns("NVML", _L, _NONE, "name", "bus_id", "driver_version", type=str),
        *columns("NVML: whether it is divided into MIG instances", _L, _NONE, "mig_enabled", type=bool),
        *columns("NVML: of the last sample period, 1/6 to 1 s", _G, _PERCENT,
                 "gpu_utilization_percent", "memory_utilization_percent",
                 "encoder_utilization_percent", "decoder_utilization_percent"),
        *columns("NVML GPM (Hopper and later): since the reading before", _G, _PERCENT,
                 "sm_activity_percent", "tensor_activity_percent"),
        *columns("NVML: memory; used is without reserved where the driver tells them apart", _G, _BYTES,
                 "memory_total_bytes", "memory_used_bytes", "memory_free_bytes", "memory_reserved_bytes"),
        *columns("NVML", _G, _CELSIUS, "temperature_celsius", "memory_temperature_celsius"),
        *columns("NVML: thresholds", _G, _CELSIUS, "temperature_slowdown_celsius", "temperature_shutdown_celsius",
                 "temperature_maximum_celsius"),
        *columns("NVML", _G, _MILLIWATTS, "power_milliwatts", "power_limit_milliwatts"),
        *columns("NVML: since the driver was loaded", _C, Unit.MILLIJOULES, "energy_millijoules"),
        *columns("NVML", _G, _HERTZ, "graphics_clock_hertz", "sm_clock_hertz", "memory_clock_hertz",
                 "video_clock_hertz", "graphics_clock_maximum_hertz", "sm_clock_maximum_hertz",
                 "memory_clock_maximum_hertz", "video_clock_maximum_hertz"),
        *columns("NVML: 0 is the fastest", _L, _NONE, "performance_state"),
        *columns("NVML: what holds the clocks down, in words; empty: nothing", _L, _NONE, "throttle_reasons", type=str),
        *columns("NVML: the speed that is meant, of the fan that is meant to turn fastest", _G, _PERCENT,
                 "fan_percent"),
        *columns("NVML: the link as it is, and as it could be", _L, _NONE, "pcie_generation", "pcie_width",
                 "pcie_generation_maximum", "pcie_width_maximum"),
        *columns("NVML: of 20 ms", _G, _BYTES_PER_SECOND,
                 "pcie_receive_bytes_per_second", "pcie_transmit_bytes_per_second"),
        *columns("NVML: data over all links", _C, _BYTES, "nvlink_receive_bytes", "nvlink_transmit_bytes"),
        *columns("NVML: since the driver was loaded", _C, _COUNT,
                 "ecc_volatile_corrected_errors", "ecc_volatile_uncorrected_errors"),
        *columns("NVML: in the life of the GPU", _C, _COUNT,
                 "ecc_aggregate_corrected_errors", "ecc_aggregate_uncorrected_errors"),
        *columns("NVML: rows of memory that were replaced, by what they failed with", _C, _COUNT,
                 "remapped_rows_corrected", "remapped_rows_uncorrected"),
        *columns("NVML: a replacement waits for a reset; one failed", _L, _NONE,
                 "remapped_rows_pending", "remapped_rows_failed", type=bool),
        *columns("NVML: the last critical Xid error since ztopd watches", _L, _NONE, "xid"),
        *columns("ztopd: when that was told", _L, _NS, "xid_boottime_ns"),
        *columns("ztopd: the slope of used memory, see docs/gpus.md", _G, _BYTES_PER_SECOND,
                 "vram_velocity_bytes_per_second"),
        *columns("ztopd: until memory is full at that; None: not within an hour", _G, _SECONDS,
                 "oom_eta_seconds", "oom_eta_low_seconds", "oom_eta_high_seconds"),
        *columns("ztopd: whether a warning stands", _L, _NONE, "vram_low", type=bool),
        *columns("when energy and NVLink were read last; None: never", _L, _NS, "counters_boottime_ns"),
    ),
)  # fmt: skip
"""GPUs and MIG instances; every row has clocks of its own: memory is read more often than what is counted."""

GPU_PROCESSES = SectionSchema(
    "gpu_processes",
    Visibility.PUBLIC,
    (
        *columns("`gpus`: the GPU or MIG instance", _I, _NONE, "gpu_uuid", type=str),
        *columns("NVML", _I, _NONE, "pid"),
        *columns("/proc/PID/stat; None where no process here has that pid", _L, _NS, "start_boottime_ns"),
        *columns("stat(2) of /proc/PID/stat: root for what may not be dumped", _L, _NONE, "owner_uid"),
        *columns("ztopd: the pid may be of another pid namespace, and no process here is known to be it", _L, _NONE,
                 "foreign_pid", type=bool),
        *columns("NVML: compute, graphics, both or mps", _L, _NONE, "type", type=str),
        *columns("when its GPU's memory was read last", _L, _NS, "sampled_boottime_ns"),
        *columns("NVML: what it holds on this GPU, whatever it uses it for", _G, _BYTES, "vram_bytes"),
        *columns("NVML: the newest sample of it, of the last second", _G, _PERCENT,
                 "sm_utilization_percent", "memory_utilization_percent",
                 "encoder_utilization_percent", "decoder_utilization_percent"),
        *columns("ztopd: the slope of vram_bytes, see docs/gpus.md", _G, _BYTES_PER_SECOND,
                 "vram_velocity_bytes_per_second"),
        *columns("ztopd: its GPU's, for one that grows", _G, _SECONDS, "oom_eta_seconds"),
        *columns("ztopd: its part of its GPU's growth", _G, _PERCENT, "oom_share_percent"),
    ),
)  # fmt: skip
"""One row per GPU and process. NVML shows them to everyone; where /proc has hidepid, they are their owners'."""
