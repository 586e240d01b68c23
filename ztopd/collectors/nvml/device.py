"""One GPU or MIG instance as NVML shows it. Every method may wait as long as the driver does.

Methods raise :exc:`GpuLost` and :exc:`DriverGone`; what is merely not to be had is None, and ``withheld`` says why.
"""

import time
from typing import Any

from ztopd.collectors.nvml.library import (
    INSUFFICIENT_SIZE,
    NOT_FOUND,
    SUCCESS,
    TIMEOUT,
    Call,
    DriverGone,
    GpuLost,
    Nvml,
    Refused,
)
from ztopd.collectors.nvml.readings import Facts, Gauges, Memory, ProcessType, ProcessUse, Slow, Utilization, Xid

# nvml.h
_MEMORY_V2 = 0x02000028
_CLOCKS = ("graphics_clock", "sm_clock", "memory_clock", "video_clock")
_SHUTDOWN, _SLOWDOWN, _MAXIMUM = 0, 1, 3
_PCIE_TRANSMIT, _PCIE_RECEIVE = 0, 1
_MEMORY_TEMPERATURE, _NVLINK_TRANSMIT, _NVLINK_RECEIVE, _ALL_LINKS = 82, 138, 139, 0xFFFFFFFF
_FIELD_VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
_XID_EVENT = 8
_SM_ACTIVITY, _TENSOR_ACTIVITY = 2, 5
_UNKNOWN_PERFORMANCE_STATE = 32
_ECC = tuple((kind, counter) for counter in (0, 1) for kind in (0, 1))
_ECC_COLUMNS = tuple(f"ecc_{c}_{k}_errors" for c in ("volatile", "aggregate") for k in ("corrected", "uncorrected"))

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
    ("nvmlDeviceGetComputeRunningProcesses_v3", ProcessType.COMPUTE),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", ProcessType.GRAPHICS),
    ("nvmlDeviceGetMPSComputeRunningProcesses_v3", ProcessType.MPS),
)
_TRIES = 4
"""A list that grew between the two calls that it takes is asked for again."""
_SAMPLE_AGE_NS = 2_000_000_000
"""A process without a sample for so long does nothing that NVML would count."""
_US = 1_000_000


class Device:
    """A handle, and what was refused through it."""

    def __init__(self, nvml: Nvml, call: Call, handle: Any, parent: Any = None) -> None:
        """``parent`` is the handle of the GPU that a MIG instance is part of."""
        self._parent = parent
        self._nvml = nvml
        self._call = call
        self.handle = handle
        self._refused: dict[str, Refused] = {}
        self._gpm_samples: list[Any] = []
        self._gpm_metrics: Any = None
        self._events: Any = None
        self._seen_us = 0
        self._utilizations: dict[int, tuple[int, Utilization]] = {}

    @property
    def withheld(self) -> str | None:
        """What is not to be had, by reason."""
        columns: dict[str, list[str]] = {}
        for column, refused in self._refused.items():
            columns.setdefault(refused.reason, []).append(column)
        return "; ".join(f"{reason}: {', '.join(names)}" for reason, names in columns.items()) or None

    def _ask(self, function: str, *arguments: Any) -> Any:
        return self._nvml.ask(self._call, function, self.handle, *arguments)

    def _value(self, column: str, function: str, *arguments: Any) -> Any:
        """The answer, or None; what was refused for good is asked again with the facts only."""
        refused = self._refused.get(column)
        if refused is not None and refused.lasting:
            return None
        try:
            answer = self._ask(function, *arguments)
        except Refused as error:
            self._refused[column] = error
            return None
        self._refused.pop(column, None)
        return answer

    def _percent(self, column: str, value: int | None) -> float | None:
        if value is not None and not 0 <= value <= 100:
            self._refused[column] = Refused(SUCCESS, "more than 100 %, which is nonsense")
            return None
        return None if value is None else float(value)

    def uuid(self) -> str:
        """Raises :exc:`Refused` too: without it nothing can be said."""
        return str(self._ask("nvmlDeviceGetUUID"))

    def read_facts(self) -> Facts:
        """What hardly changes; what was refused is asked again from now on. Of a MIG instance, what is its own."""
        self._refused.clear()
        if self._parent is not None:
            return Facts(self._value("name", "nvmlDeviceGetName"), driver_version=self._driver_version())
        bus = self._value("bus_id", "nvmlDeviceGetPciInfo")
        threshold = "nvmlDeviceGetTemperatureThreshold"
        rows = self._value("remapped_rows_corrected", "nvmlDeviceGetRemappedRows")
        return Facts(
            self._value("name", "nvmlDeviceGetName"),
            None if bus is None else _text(bus.busId),
            self._driver_version(),
            _float(self._value("temperature_slowdown_celsius", threshold, _SLOWDOWN)),
            _float(self._value("temperature_shutdown_celsius", threshold, _SHUTDOWN)),
            _float(self._value("temperature_maximum_celsius", threshold, _MAXIMUM)),
            self._value("power_limit_milliwatts", "nvmlDeviceGetEnforcedPowerLimit"),
            self._clocks("nvmlDeviceGetMaxClockInfo", "_maximum_hertz"),
            self._value("pcie_generation_maximum", "nvmlDeviceGetMaxPcieLinkGeneration"),
            self._value("pcie_width_maximum", "nvmlDeviceGetMaxPcieLinkWidth"),
            (None,) * 4 if rows is None else (rows[0], rows[1], bool(rows[2]), bool(rows[3])),
        )

    def _driver_version(self) -> str | None:
        try:
            return str(self._nvml.ask(self._call, "nvmlSystemGetDriverVersion"))
        except Refused:
            return None

    def _clocks(self, function: str, suffix: str) -> tuple[int | None, ...]:
        megahertz = [self._value(name + suffix, function, number) for number, name in enumerate(_CLOCKS)]
        return tuple(None if value is None else value * 1_000_000 for value in megahertz)

    def read_slow(self) -> Slow:
        """What takes long: the driver measures PCIe for 20 ms a direction."""
        throughput = "nvmlDeviceGetPcieThroughput"
        receive = self._value("pcie_receive_bytes_per_second", throughput, _PCIE_RECEIVE)
        transmit = self._value("pcie_transmit_bytes_per_second", throughput, _PCIE_TRANSMIT)
        errors = "nvmlDeviceGetTotalEccErrors"
        return Slow(
            None if receive is None else receive * 1000,
            None if transmit is None else transmit * 1000,
            tuple(self._value(name, errors, *which) for name, which in zip(_ECC_COLUMNS, _ECC, strict=True)),
        )

    def read_gauges(self) -> Gauges:
        """What is shown to move."""
        fields = self._fields(_MEMORY_TEMPERATURE, _NVLINK_RECEIVE, _NVLINK_TRANSMIT)
        sm_activity, tensor_activity = self._activity()
        state = self._value("performance_state", "nvmlDeviceGetPerformanceState")
        return Gauges(
            self._utilization(),
            sm_activity,
            tensor_activity,
            _float(self._value("temperature_celsius", "nvmlDeviceGetTemperature", 0)),
            _float(fields[0]),
            self._value("power_milliwatts", "nvmlDeviceGetPowerUsage"),
            self._value("energy_millijoules", "nvmlDeviceGetTotalEnergyConsumption"),
            self._clocks("nvmlDeviceGetClockInfo", "_hertz"),
            None if state == _UNKNOWN_PERFORMANCE_STATE else state,
            self._throttle_reasons(),
            _float(self._value("fan_percent", "nvmlDeviceGetFanSpeed")),
            self._value("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration"),
            self._value("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth"),
            None if fields[1] is None else fields[1] * 1024,
            None if fields[2] is None else fields[2] * 1024,
        )

    def read_activity(self) -> Gauges:
        """What there is of a MIG instance."""
        sm_activity, tensor_activity = self._activity()
        return Gauges(sm_activity_percent=sm_activity, tensor_activity_percent=tensor_activity)

    def _utilization(self) -> tuple[float | None, ...]:
        rates = self._value("gpu_utilization_percent", "nvmlDeviceGetUtilizationRates")
        encoder = self._value("encoder_utilization_percent", "nvmlDeviceGetEncoderUtilization")
        decoder = self._value("decoder_utilization_percent", "nvmlDeviceGetDecoderUtilization")
        return (
            self._percent("gpu_utilization_percent", None if rates is None else rates.gpu),
            self._percent("memory_utilization_percent", None if rates is None else rates.memory),
            self._percent("encoder_utilization_percent", None if encoder is None else encoder[0]),
            self._percent("decoder_utilization_percent", None if decoder is None else decoder[0]),
        )

    def _throttle_reasons(self) -> str | None:
        # the newer name of the same call is not in every driver
        bits = self._value("throttle_reasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if bits is None else ", ".join(words for bit, words in _THROTTLE_REASONS if bits & bit)

    def _fields(self, *numbers: int) -> list[int | None]:
        """Values by field number; those of NVLink are sums over all links."""
        wanted = [(number, 0 if number == _MEMORY_TEMPERATURE else _ALL_LINKS) for number in numbers]
        answers = self._value("nvlink_receive_bytes", "nvmlDeviceGetFieldValues", wanted)
        if answers is None:
            return [None] * len(numbers)
        return [
            int(getattr(answer.value, _FIELD_VALUES[answer.valueType])) if answer.nvmlReturn == SUCCESS else None
            for answer in answers
        ]

    def _activity(self) -> tuple[float | None, float | None]:
        """Of SMs and of tensor cores, between the last two calls. GPM, Hopper and later."""
        refused = self._refused.get("tensor_activity_percent")
        if refused is not None and refused.lasting:
            return None, None
        try:
            return self._compare_gpm_samples()
        except Refused as error:
            self._refused["tensor_activity_percent"] = error
            return None, None

    def _compare_gpm_samples(self) -> tuple[float | None, float | None]:
        samples, ask, call = self._gpm_samples, self._nvml.ask, self._call
        if self._gpm_metrics is None:
            asked = self.handle if self._parent is None else self._parent
            if not ask(call, "nvmlGpmQueryDeviceSupport", asked).isSupportedDevice:
                raise Refused(None, "Not Supported")
            samples.extend(ask(call, "nvmlGpmSampleAlloc") for _ in range(2 - len(samples)))
            self._take_gpm_sample(samples[1])
            self._gpm_metrics = self._nvml.make("c_nvmlGpmMetricsGet_t")
            return None, None
        samples.reverse()
        self._take_gpm_sample(samples[1])
        request = self._gpm_metrics
        request.version, request.numMetrics = 1, 2
        request.sample1, request.sample2 = samples
        request.metrics[0].metricId, request.metrics[1].metricId = _SM_ACTIVITY, _TENSOR_ACTIVITY
        ask(call, "nvmlGpmMetricsGet", request)
        sm_activity, tensor_activity = (
            metric.value if metric.nvmlReturn == SUCCESS and 0 <= metric.value <= 100 else None
            for metric in request.metrics[:2]
        )
        return sm_activity, tensor_activity

    def _take_gpm_sample(self, sample: Any) -> None:
        if self._parent is None:
            self._ask("nvmlGpmSampleGet", sample)
        else:
            instance = self._ask("nvmlDeviceGetGpuInstanceId")
            self._nvml.ask(self._call, "nvmlGpmMigSampleGet", self._parent, instance, sample)

    def read_xid(self) -> Xid | None:
        """The critical error that was told since the last call."""
        try:
            if self._events is None:
                events = self._nvml.ask(self._call, "nvmlEventSetCreate")
                self._ask("nvmlDeviceRegisterEvents", _XID_EVENT, events)
                self._events = events
            told = self._nvml.ask(self._call, "nvmlEventSetWait_v2", self._events, 0)
        except Refused as error:
            if error.code != TIMEOUT:
                self._refused["xid"] = error
            return None
        return Xid(int(told.eventData), time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def close(self) -> None:
        """Gives back what was taken, as far as anybody still takes it."""
        for sample in self._gpm_samples:
            self._quietly("nvmlGpmSampleFree", sample)
        if self._events is not None:
            self._quietly("nvmlEventSetFree", self._events)
        self._gpm_samples, self._gpm_metrics, self._events = [], None, None

    def _quietly(self, function: str, *arguments: Any) -> None:
        try:
            self._nvml.ask(self._call, function, *arguments)
        except (Refused, GpuLost, DriverGone):
            pass

    def read_memory(self) -> Memory:
        """Version 2 tells apart what the driver keeps for itself; an older driver has version 1 only."""
        info = self._value("memory_reserved_bytes", "nvmlDeviceGetMemoryInfo", _MEMORY_V2)
        if info is not None:
            return Memory(info.total, info.used, info.free, info.reserved)
        # one number must not be of this version now and of that one then
        if self._refused["memory_reserved_bytes"].lasting:
            info = self._value("memory_used_bytes", "nvmlDeviceGetMemoryInfo")
        return Memory() if info is None else Memory(info.total, info.used, info.free)

    def read_processes(self) -> dict[int, ProcessUse] | None:
        """Who uses it, by pid; None where NVML tells nothing.

        A process may be in several lists: it holds what it holds once.
        """
        found: dict[int, ProcessUse] = {}
        answered = False
        for function, kind in _LISTS:
            listed = self._tried(function.removeprefix("nvmlDeviceGet"), function)
            answered = answered or listed is not None
            for one in listed or ():
                known = found.get(one.pid)
                if known is None:
                    found[one.pid] = ProcessUse(kind, one.usedGpuMemory)
                else:
                    sizes = [size for size in (known.vram_bytes, one.usedGpuMemory) if size is not None]
                    found[one.pid] = ProcessUse(_joined(known.type, kind), max(sizes, default=None))
        return found if answered else None

    def _tried(self, column: str, function: str, *arguments: Any) -> Any:
        """As :meth:`_value`, for what takes two calls: the size, then the list; and may be empty."""
        refused = self._refused.get(column)
        if refused is not None and refused.lasting:
            return None
        for _ in range(_TRIES):
            try:
                answer = self._ask(function, *arguments)
            except Refused as error:
                refused = error
                if error.code != INSUFFICIENT_SIZE:
                    break
            else:
                self._refused.pop(column, None)
                return answer
        assert refused is not None
        if refused.code not in (NOT_FOUND, SUCCESS):
            self._refused[column] = refused
        return None

    def read_utilizations(self, now_ns: int) -> dict[int, Utilization]:
        """The newest sample of each process, by pid. ``now_ns`` is boot time."""
        wall_us = time.time_ns() // 1000
        if not wall_us - 60 * _US < self._seen_us <= wall_us + _US:
            self._seen_us = wall_us - _US
        samples = self._tried("sm_utilization_percent", "nvmlDeviceGetProcessUtilization", self._seen_us)
        for sample in sorted(samples or (), key=lambda one: int(one.timeStamp)):
            self._seen_us = max(self._seen_us, int(sample.timeStamp))
            percents = (sample.smUtil, sample.memUtil, sample.encUtil, sample.decUtil)
            sm, memory, encoder, decoder = (float(value) if value <= 100 else None for value in percents)
            self._utilizations[sample.pid] = (now_ns, (sm, memory, encoder, decoder))
        self._utilizations = {
            pid: known for pid, known in self._utilizations.items() if now_ns - known[0] <= _SAMPLE_AGE_NS
        }
        return {pid: utilization for pid, (_, utilization) in self._utilizations.items()}

    def is_divided(self) -> bool | None:
        """Whether it is in MIG mode; None where there is no such thing."""
        mode = self._value("mig_enabled", "nvmlDeviceGetMigMode")
        return None if mode is None else bool(mode[0])

    def instances(self) -> list[Any]:
        """The handles of its MIG instances, by index."""
        count = self._value("mig_enabled", "nvmlDeviceGetMaxMigDeviceCount") or 0
        found = []
        for index in range(count):
            try:
                found.append(self._ask("nvmlDeviceGetMigDeviceHandleByIndex", index))
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
