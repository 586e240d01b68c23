"""A device over an NVML that refuses: what is asked of it, and what is given back."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ztopd.collectors.nvml.device import Device
from ztopd.collectors.nvml.library import Call, Nvml, Refused


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
