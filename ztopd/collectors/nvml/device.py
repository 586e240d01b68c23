"""One GPU or MIG instance as NVML shows it. Every method may wait as long as the driver does.

Methods raise :exc:`GpuLost` and :exc:`DriverGone`; what is merely not to be had is None, and ``withheld`` says why.
What is read every second or more often is asked of the library itself: the binding makes an object of every number and
every process, and asks for the length of a list before the list.
"""

import ctypes
import time
from operator import itemgetter
from typing import Any

from ztopd.collectors.nvml.asking import Asking
from ztopd.collectors.nvml.library import SUCCESS, TIMEOUT, Call, Nvml, Refused
from ztopd.collectors.nvml.listing import NO_BYTES, PROCESS_INFO, UTILIZATION_SAMPLE, Listing
from ztopd.collectors.nvml.readings import (
    Activity,
    Facts,
    Gauges,
    Memory,
    ProcessType,
    ProcessUse,
    Slow,
    Throughput,
    Utilization,
    Xid,
)

# nvml.h
_MEMORY_V2 = 0x02000028
_CLOCKS = ("graphics_clock_hertz", "sm_clock_hertz", "memory_clock_hertz", "video_clock_hertz")
_MAXIMUM_CLOCKS = tuple(name.replace("_hertz", "_maximum_hertz") for name in _CLOCKS)
_SHUTDOWN, _SLOWDOWN, _MAXIMUM = 0, 1, 3
_PCIE_TRANSMIT, _PCIE_RECEIVE = 0, 1
_ALL_LINKS = 0xFFFFFFFF
_FIELDS = ((82, 0), (139, _ALL_LINKS), (138, _ALL_LINKS))
"""Temperature of the memory; NVLink, received and transmitted."""
_FIELD_VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
_XID_EVENT = 8
_SM_ACTIVITY, _TENSOR_ACTIVITY = 2, 5
_UNKNOWN_PERFORMANCE_STATE = 32
_ECC = (
    ("ecc_volatile_corrected_errors", (0, 0)),
    ("ecc_volatile_uncorrected_errors", (1, 0)),
    ("ecc_aggregate_corrected_errors", (0, 1)),
    ("ecc_aggregate_uncorrected_errors", (1, 1)),
)
_GPU, _MEMORY = "gpu_utilization_percent", "memory_utilization_percent"
_ENCODER, _DECODER = "encoder_utilization_percent", "decoder_utilization_percent"
_TENSOR = "tensor_activity_percent"

_THROTTLE_REASONS = (
    (0x001, "idle"),
    (0x002, "application clocks"),
    (0x004, "power cap"),
    (0x008, "hardware slowdown"),
    (0x010, "sync boost"),
    (0x020, "thermal slowdown (software)"),
    (0x040, "thermal slowdown (hardware)"),
    (0x080, "power brake"),
    (0x100, "display clocks"),
)
_LISTS = (
    ("ComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v3", ProcessType.COMPUTE),
    ("GraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3", ProcessType.GRAPHICS),
    ("MPSComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3", ProcessType.MPS),
)
_SAMPLE_AGE_NS = 2_000_000_000
"""A process without a sample for so long does nothing that NVML would count."""
_US = 1_000_000


class Device:
    """A handle, and what is kept from call to call."""

    def __init__(self, nvml: Nvml, call: Call, handle: Any, parent: Any = None) -> None:
        """``parent`` is the handle of the GPU that a MIG instance is part of."""
        self.handle = handle
        self._parent = parent
        self._asks = Asking(nvml, call, handle)
        self._rates = (ctypes.c_uint * 2)()
        self._memory_info: Any = None
        self._memory = Memory()
        self._fields: Any = None
        self._gpm_samples: list[Any] = []
        self._gpm_metrics: Any = None
        self._events: Any = None
        self._event: Any = None
        self._lists = Listing(PROCESS_INFO)
        self._listed: tuple[bytes | None, ...] = (None,) * len(_LISTS)
        self._uses: dict[int, ProcessUse] | None = None
        self._samples = Listing(UTILIZATION_SAMPLE)
        self._seen_us = 0
        self._utilizations: dict[int, tuple[int, Utilization]] = {}

    @property
    def withheld(self) -> str | None:
        """What is not to be had, by reason."""
        return self._asks.withheld

    def uuid(self) -> str:
        """Raises :exc:`Refused` too: without it nothing can be said."""
        return str(self._asks.ask("nvmlDeviceGetUUID"))

    def read_facts(self) -> Facts:
        """What hardly changes; what was refused is asked again from now on. Of a MIG instance, what is its own."""
        asks = self._asks
        asks.forget()
        name = asks.value("name", "nvmlDeviceGetName")
        if self._parent is not None:
            return Facts(name, driver_version=self._driver_version())
        bus = asks.value("bus_id", "nvmlDeviceGetPciInfo")
        threshold = "nvmlDeviceGetTemperatureThreshold"
        rows = asks.value("remapped_rows_corrected", "nvmlDeviceGetRemappedRows")
        return Facts(
            name,
            None if bus is None else _text(bus.busId),
            self._driver_version(),
            _float(asks.number("temperature_slowdown_celsius", threshold, _SLOWDOWN)),
            _float(asks.number("temperature_shutdown_celsius", threshold, _SHUTDOWN)),
            _float(asks.number("temperature_maximum_celsius", threshold, _MAXIMUM)),
            asks.number("power_limit_milliwatts", "nvmlDeviceGetEnforcedPowerLimit"),
            self._clocks("nvmlDeviceGetMaxClockInfo", _MAXIMUM_CLOCKS),
            asks.number("pcie_generation_maximum", "nvmlDeviceGetMaxPcieLinkGeneration"),
            asks.number("pcie_width_maximum", "nvmlDeviceGetMaxPcieLinkWidth"),
            (None,) * 4 if rows is None else (rows[0], rows[1], bool(rows[2]), bool(rows[3])),
        )

    def _driver_version(self) -> str | None:
        try:
            return str(self._asks.ask_all("nvmlSystemGetDriverVersion"))
        except Refused:
            return None

    def _clocks(self, function: str, columns: tuple[str, ...]) -> tuple[int | None, ...]:
        megahertz = [self._asks.number(name, function, number) for number, name in enumerate(columns)]
        return tuple([None if value is None else value * 1_000_000 for value in megahertz])

    def read_slow(self) -> Slow:
        """What changes seldom."""
        asks, errors = self._asks, "nvmlDeviceGetTotalEccErrors"
        return Slow(
            _float(asks.number("fan_percent", "nvmlDeviceGetFanSpeed")),
            asks.number("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration"),
            asks.number("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth"),
            tuple([asks.long(name, errors, *which) for name, which in _ECC]),
        )

    def read_throughput(self) -> Throughput:
        """What takes long: the driver measures PCIe for 20 ms a direction."""
        function = "nvmlDeviceGetPcieThroughput"
        receive = self._asks.number("pcie_receive_bytes_per_second", function, _PCIE_RECEIVE)
        transmit = self._asks.number("pcie_transmit_bytes_per_second", function, _PCIE_TRANSMIT)
        return Throughput(None if receive is None else receive * 1000, None if transmit is None else transmit * 1000)

    def read_gauges(self) -> Gauges:
        """What is shown to move. Of a MIG instance, what is its own."""
        asks, sm_and_tensor = self._asks, self._gpm_activity()
        if self._parent is not None:
            return Gauges(*sm_and_tensor)
        memory_temperature, received, transmitted = self._field_values()
        state = asks.number("performance_state", "nvmlDeviceGetPerformanceState")
        return Gauges(
            *sm_and_tensor,
            asks.percent(_ENCODER, asks.first(_ENCODER, "nvmlDeviceGetEncoderUtilization")),
            asks.percent(_DECODER, asks.first(_DECODER, "nvmlDeviceGetDecoderUtilization")),
            _float(asks.number("temperature_celsius", "nvmlDeviceGetTemperature", 0)),
            _float(memory_temperature),
            asks.long("energy_millijoules", "nvmlDeviceGetTotalEnergyConsumption"),
            self._clocks("nvmlDeviceGetClockInfo", _CLOCKS),
            None if state == _UNKNOWN_PERFORMANCE_STATE else state,
            self._throttle_reasons(),
            None if received is None else received * 1024,
            None if transmitted is None else transmitted * 1024,
        )

    def _throttle_reasons(self) -> str | None:
        # the newer name of the same call is not in every driver
        bits = self._asks.long("throttle_reasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if bits is None else ", ".join([words for bit, words in _THROTTLE_REASONS if bits & bit])

    def _field_values(self) -> list[int | None]:
        """Of :data:`_FIELDS`; those of NVLink are sums over all links."""
        if self._fields is None:
            self._fields = self._asks.make_array("c_nvmlFieldValue_t", len(_FIELDS))
        for field, (number, scope) in zip(self._fields, _FIELDS, strict=True):
            field.fieldId, field.scopeId = number, scope
        if not self._asks.fills("nvlink_receive_bytes", "nvmlDeviceGetFieldValues", len(_FIELDS), self._fields):
            return [None] * len(_FIELDS)
        return [
            int(getattr(field.value, _FIELD_VALUES[field.valueType])) if field.nvmlReturn == SUCCESS else None
            for field in self._fields
        ]

    def read_activity(self) -> Activity:
        """What is looked at to see whether it works."""
        asks = self._asks
        gpu, memory = None, None
        if asks.fills(_GPU, "nvmlDeviceGetUtilizationRates", self._rates):
            gpu, memory = self._rates
        power = asks.number("power_milliwatts", "nvmlDeviceGetPowerUsage")
        return Activity(asks.percent(_GPU, gpu), asks.percent(_MEMORY, memory), power)

    def _gpm_activity(self) -> tuple[float | None, float | None]:
        """Of SMs and of tensor cores, between the last two calls. GPM, Hopper and later."""
        if self._asks.is_hopeless(_TENSOR):
            return None, None
        try:
            return self._compare_gpm_samples()
        except Refused as error:
            self._asks.refuse(_TENSOR, error)
            # what was sampled is too old by then: it begins anew
            self._gpm_metrics = None
            return None, None

    def _compare_gpm_samples(self) -> tuple[float | None, float | None]:
        samples, asks = self._gpm_samples, self._asks
        if self._gpm_metrics is None:
            asked = self.handle if self._parent is None else self._parent
            if not asks.ask_all("nvmlGpmQueryDeviceSupport", asked).isSupportedDevice:
                raise Refused(None, "Not Supported")
            samples.extend(asks.ask_all("nvmlGpmSampleAlloc") for _ in range(2 - len(samples)))
            self._take_gpm_sample(samples[1])
            self._gpm_metrics = asks.make("c_nvmlGpmMetricsGet_t")
            return None, None
        samples.reverse()
        self._take_gpm_sample(samples[1])
        request = self._gpm_metrics
        request.version, request.numMetrics = 1, 2
        request.sample1, request.sample2 = samples
        sm, tensor = metrics = request.metrics[:2]
        sm.metricId, tensor.metricId = _SM_ACTIVITY, _TENSOR_ACTIVITY
        asks.tell("nvmlGpmMetricsGet", ctypes.byref(request))
        sm_activity, tensor_activity = [
            metric.value if metric.nvmlReturn == SUCCESS and 0 <= metric.value <= 100 else None for metric in metrics
        ]
        return sm_activity, tensor_activity

    def _take_gpm_sample(self, sample: Any) -> None:
        if self._parent is None:
            self._asks.tell("nvmlGpmSampleGet", self.handle, sample)
        else:
            instance = self._asks.ask("nvmlDeviceGetGpuInstanceId")
            self._asks.ask_all("nvmlGpmMigSampleGet", self._parent, instance, sample)

    def read_xid(self) -> Xid | None:
        """The critical error that was told since the last call."""
        if self._asks.is_hopeless("xid"):
            return None
        try:
            if self._events is None:
                self._events = self._asks.ask_all("nvmlEventSetCreate")
            if self._event is None:
                self._asks.ask("nvmlDeviceRegisterEvents", _XID_EVENT, self._events)
                self._event = self._asks.make("c_nvmlEventData_t")
            self._asks.tell("nvmlEventSetWait_v2", self._events, ctypes.byref(self._event), 0)
        except Refused as error:
            if error.code != TIMEOUT:
                self._asks.refuse("xid", error)
            return None
        return Xid(int(self._event.eventData), time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def close(self) -> None:
        """Gives back what was taken, as far as anybody still takes it."""
        for sample in self._gpm_samples:
            self._asks.quietly("nvmlGpmSampleFree", sample)
        if self._events is not None:
            self._asks.quietly("nvmlEventSetFree", self._events)
        self._gpm_samples, self._gpm_metrics, self._events, self._event = [], None, None, None

    def read_memory(self) -> Memory:
        """Version 2 tells apart what the driver keeps for itself; an older driver has version 1 only.

        The same object as long as nothing of it changes.
        """
        known = self._memory
        if self._memory_info is None:
            self._memory_info = self._asks.make("c_nvmlMemory_v2_t")
        info = self._memory_info
        info.version = _MEMORY_V2
        if self._asks.fills("memory_reserved_bytes", "nvmlDeviceGetMemoryInfo_v2", ctypes.byref(info)):
            used, free, total, reserved = info.used, info.free, info.total, info.reserved
            if used != known.used or free != known.free or total != known.total or reserved != known.reserved:
                self._memory = Memory(total, used, free, reserved)
        # one number must not be of this version now and of that one then
        elif not self._asks.is_hopeless("memory_reserved_bytes"):
            self._memory = Memory()
        else:
            old = self._asks.value("memory_used_bytes", "nvmlDeviceGetMemoryInfo")
            self._memory = Memory() if old is None else Memory(old.total, old.used, old.free)
        return self._memory

    def read_processes(self, whole: bool) -> dict[int, ProcessUse] | None:
        """Who uses it, by pid; None where NVML tells nothing. The same object as long as nothing of it changes.

        Lists in which nobody was are read again only for the ``whole``. A process may be in several of them: it holds
        what it holds once.
        """
        before = (None,) * len(_LISTS) if whole else self._listed
        listed = tuple(
            [
                known if known == b"" else self._list(column, function)
                for known, (column, function, _) in zip(before, _LISTS, strict=True)
            ]
        )
        if listed != self._listed:
            self._listed, self._uses = listed, self._united(listed)
        return self._uses

    def _list(self, column: str, function: str) -> bytes | None:
        return self._asks.listed(
            column, self._lists, lambda count, array: self._asks.tell(function, self.handle, count, array)
        )

    def _united(self, listed: tuple[bytes | None, ...]) -> dict[int, ProcessUse] | None:
        found: dict[int, ProcessUse] = {}
        for data, (_, _, kind) in zip(listed, _LISTS, strict=True):
            for pid, held, _, _ in self._lists.unpack(data or b""):
                size = None if held == NO_BYTES else held
                known = found.get(pid)
                if known is None:
                    found[pid] = ProcessUse(kind, size)
                else:
                    sizes = [one for one in (known.vram_bytes, size) if one is not None]
                    found[pid] = ProcessUse(_joined(known.type, kind), max(sizes, default=None))
        return None if all(data is None for data in listed) else found

    def read_utilizations(self, now_ns: int) -> dict[int, Utilization]:
        """The newest sample of each process, by pid. ``now_ns`` is boot time."""
        wall_us = time.time_ns() // 1000
        if not wall_us - 60 * _US < self._seen_us <= wall_us + _US:
            self._seen_us = wall_us - _US
        since, function = ctypes.c_ulonglong(self._seen_us), "nvmlDeviceGetProcessUtilization"
        data = self._asks.listed(
            "sm_utilization_percent",
            self._samples,
            lambda count, array: self._asks.tell(function, self.handle, array, count, since),
        )
        known = self._utilizations
        for pid, at_us, *percents in sorted(self._samples.unpack(data or b""), key=itemgetter(1)):
            self._seen_us = max(self._seen_us, at_us)
            sm, memory, encoder, decoder = [float(value) if value <= 100 else None for value in percents]
            known[pid] = (now_ns, (sm, memory, encoder, decoder))
        for pid in [pid for pid, (at_ns, _) in known.items() if now_ns - at_ns > _SAMPLE_AGE_NS]:
            del known[pid]
        return {pid: utilization for pid, (_, utilization) in known.items()}

    def is_divided(self) -> bool | None:
        """Whether it is in MIG mode; None where there is no such thing."""
        mode = self._asks.first("mig_enabled", "nvmlDeviceGetMigMode")
        return None if mode is None else bool(mode)

    def instances(self) -> list[Any]:
        """The handles of its MIG instances, by index."""
        count = self._asks.value("mig_enabled", "nvmlDeviceGetMaxMigDeviceCount") or 0
        found = []
        for index in range(count):
            try:
                found.append(self._asks.ask("nvmlDeviceGetMigDeviceHandleByIndex", index))
            except Refused:
                # not every place is taken
                continue
        return found


def _joined(one: ProcessType, other: ProcessType) -> ProcessType:
    if ProcessType.MPS in (one, other):
        return ProcessType.MPS
    return one if one is other else ProcessType.BOTH


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
