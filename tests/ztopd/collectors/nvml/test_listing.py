"""An array that NVML fills: one call where there is room, as many as it takes where there is none."""

import ctypes
from collections.abc import Sequence
from typing import Any

import pytest

from ztopd.collectors.nvml.library import INSUFFICIENT_SIZE, NOT_FOUND, Refused
from ztopd.collectors.nvml.listing import NO_BYTES, PROCESS_INFO, UTILIZATION_SAMPLE, Listing


class Driver:
    """Has as many processes as it is told at each call, the last for ever."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = list(counts)
        self.calls = 0

    def fill(self, count_reference: Any, array: Any) -> None:
        self.calls += 1
        there = self._counts.pop(0) if len(self._counts) > 1 else self._counts[0]
        count = ctypes.cast(count_reference, ctypes.POINTER(ctypes.c_uint)).contents
        room, count.value = count.value, there
        assert ctypes.sizeof(array) == room * PROCESS_INFO.size
        if there > room:
            raise Refused(INSUFFICIENT_SIZE, "Insufficient Size")
        for place in range(there):
            PROCESS_INFO.pack_into(array, place * PROCESS_INFO.size, place, NO_BYTES, 0, 0)


@pytest.mark.parametrize("count", [0, 1, 20, 64])
def test_one_call_where_there_is_room(count: int) -> None:
    listing, driver = Listing(PROCESS_INFO), Driver([count])
    assert [pid for pid, *_ in listing.unpack(listing.read(driver.fill))] == list(range(count))
    assert driver.calls == 1


@pytest.mark.parametrize("counts", [[65, 65], [65, 500], [65, 500, 2000], [3000, 3000]])
def test_what_appears_between_two_calls(counts: list[int]) -> None:
    listing, driver = Listing(PROCESS_INFO), Driver(counts)
    assert len(list(listing.unpack(listing.read(driver.fill)))) == counts[-1]
    calls = driver.calls
    listing.read(driver.fill)
    assert driver.calls == calls + 1, "the room stays"


def test_a_list_that_grows_for_ever_and_one_that_is_refused() -> None:
    listing, driver = Listing(PROCESS_INFO), Driver([1 << 31])
    with pytest.raises(Refused, match="Insufficient"):
        listing.read(driver.fill)
    assert driver.calls == 4

    def refuse(count: Any, array: Any) -> None:
        raise Refused(NOT_FOUND, "Not Found")

    with pytest.raises(Refused, match="Not Found"):
        listing.read(refuse)


def test_a_driver_that_says_more_than_there_is_room_for_gets_no_more() -> None:
    def claim(count_reference: Any, array: Any) -> None:
        ctypes.cast(count_reference, ctypes.POINTER(ctypes.c_uint)).contents.value = 1 << 20

    listing = Listing(PROCESS_INFO)
    assert len(listing.read(claim)) == 64 * PROCESS_INFO.size


def test_layouts_are_those_of_the_header() -> None:
    """As the compiler lays them out."""

    class Process(ctypes.Structure):
        _fields_ = (("pid", ctypes.c_uint), ("bytes", ctypes.c_ulonglong), ("gi", ctypes.c_uint), ("ci", ctypes.c_uint))

    class Sample(ctypes.Structure):
        _fields_ = (("pid", ctypes.c_uint), ("at", ctypes.c_ulonglong), ("percents", ctypes.c_uint * 4))

    assert PROCESS_INFO.unpack(bytes(Process(1, 2, 3, 4))) == (1, 2, 3, 4)
    assert UTILIZATION_SAMPLE.unpack(bytes(Sample(1, 2, (3, 4, 5, 6)))) == (1, 2, 3, 4, 5, 6)
