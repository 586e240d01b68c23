"""A device over an NVML that refuses: what is asked of it, and what is given back."""

from collections import Counter
from ctypes import Structure, c_double, c_uint
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ztopd.collectors.nvml.device import Device
from ztopd.collectors.nvml.library import NOT_SUPPORTED, Call, Nvml, Refused


class Refusing:
    """Watches no events of any GPU."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.asked: Counter[str] = Counter()

    def ask(self, call: Call, function: str, *arguments: Any) -> object:
        self.asked[function] += 1
        if function == "nvmlDeviceRegisterEvents":
            raise Refused(self._code, "refused")
        return SimpleNamespace()


@pytest.mark.parametrize(("code", "registered"), [(3, 1), (999, 5)], ids=["for good", "for now"])
def test_one_set_of_events_is_made_and_given_back(code: int, registered: int) -> None:
    """Where Xids are not to be had, too: they are asked for every second, for months."""
    nvml = Refusing(code)
    device = Device(cast(Nvml, nvml), Call(), object())
    assert [device.read_xid() for _ in range(5)] == [None] * 5
    assert device.withheld == "refused: xid"
    assert (nvml.asked["nvmlEventSetCreate"], nvml.asked["nvmlDeviceRegisterEvents"]) == (1, registered)
    device.close()
    assert nvml.asked["nvmlEventSetFree"] == 1


class Metric(Structure):
    _fields_ = (("metricId", c_uint), ("nvmlReturn", c_uint), ("value", c_double))


class Metrics(Structure):
    _fields_ = (
        *(("version", c_uint), ("numMetrics", c_uint), ("sample1", c_uint), ("sample2", c_uint)),
        ("metrics", Metric * 2),
    )


class Answering:
    """Knows GPM, whose metrics are how many samples were taken from the first compared one to the second; and how busy
    it is.
    """

    def __init__(self) -> None:
        self.rates = (50, 60)
        self.refusal: int | None = None
        self._allocated = 0
        self._taken = 0
        self._samples: dict[int, int] = {}

    def ask(self, call: Call, function: str, *arguments: Any) -> object:
        if function == "nvmlGpmQueryDeviceSupport":
            return SimpleNamespace(isSupportedDevice=1)
        if function == "nvmlGpmSampleAlloc":
            self._allocated += 1
            return self._allocated
        raise Refused(NOT_SUPPORTED, "refused")

    def make(self, name: str) -> Any:
        return {"c_nvmlGpmMetricsGet_t": Metrics, "c_nvmlFieldValue_t": Metric}[name]()

    def function(self, name: str) -> str:
        return name

    def call(self, call: Call, function: str, *arguments: Any) -> None:
        if function == "nvmlDeviceGetUtilizationRates":
            arguments[1][:] = self.rates
        elif function == "nvmlGpmSampleGet":
            self._taken += 1
            if self.refusal is not None:
                raise Refused(self.refusal, "refused")
            self._samples[arguments[1]] = self._taken
        elif function == "nvmlGpmMetricsGet":
            request = arguments[0]._obj
            apart = self._samples[request.sample2] - self._samples[request.sample1]
            for metric in request.metrics:
                metric.value = apart
        else:
            raise Refused(NOT_SUPPORTED, "refused")


@pytest.mark.parametrize("code", [NOT_SUPPORTED, 999], ids=["for good", "for now"])
def test_activity_is_never_that_of_a_longer_time(code: int) -> None:
    nvml = Answering()
    device = Device(cast(Nvml, nvml), Call(), object())

    def activity() -> float | None:
        return device.read_gauges().tensor_activity_percent

    assert [activity() for _ in range(4)] == [None, 1.0, 1.0, 1.0]
    nvml.refusal = code
    assert [activity() for _ in range(2)] == [None, None]
    nvml.refusal = None
    # what was refused for good is asked again
    device.read_facts()
    assert [activity() for _ in range(4)] == [None, 1.0, 1.0, 1.0]


def test_what_was_nonsense_is_withheld_no_longer() -> None:
    nvml = Answering()
    device = Device(cast(Nvml, nvml), Call(), object())
    nvml.rates = (50, 160)
    assert device.read_activity()[:2] == (50.0, None)
    assert "nonsense: memory_utilization_percent" in str(device.withheld)
    nvml.rates = (50, 60)
    assert device.read_activity()[:2] == (50.0, 60.0)
    assert "memory_utilization_percent" not in str(device.withheld)
