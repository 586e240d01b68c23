"""Calls of NVML that fill an array, without the binding's object for every place of it."""

import ctypes
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any

from ztopd.collectors.nvml.library import INSUFFICIENT_SIZE, Refused

# nvml.h
PROCESS_INFO = Struct("=I4xQII")
"""nvmlProcessInfo_v2_t: pid, bytes, GPU instance, compute instance."""
NO_BYTES = 0xFFFFFFFFFFFFFFFF
UTILIZATION_SAMPLE = Struct("=I4xQIIII")
"""nvmlProcessUtilizationSample_t: pid, microseconds since 1970, percent of SM, memory, encoder, decoder."""

_FIRST_PLACES = 64
_MOST_PLACES = 1 << 16
_TRIES = 4
"""A list that grew since its size was told is asked for again."""


class Listing:
    """An array that is kept from call to call: where it has room for all, one call is enough."""

    def __init__(self, layout: Struct) -> None:
        self._layout = layout
        self._count = ctypes.c_uint()
        self._make(_FIRST_PLACES)

    def _make(self, places: int) -> None:
        self._places = places
        self._array = ctypes.create_string_buffer(places * self._layout.size)
        self._bytes = memoryview(self._array)

    def read(self, call: Callable[[Any, Any], None]) -> bytes:
        """What ``call`` put there of a number of places and the array. Raises what it raises."""
        for tries_left in reversed(range(_TRIES)):
            self._count.value = self._places
            try:
                call(ctypes.byref(self._count), self._array)
            except Refused as refused:
                if refused.code != INSUFFICIENT_SIZE or not tries_left:
                    raise
                # more may come until the next call
                self._make(min(2 * max(self._places, self._count.value), _MOST_PLACES))
            else:
                break
        return bytes(self._bytes[: min(self._count.value, self._places) * self._layout.size])

    def unpack(self, data: bytes) -> Iterator[tuple[int, ...]]:
        """The places of what was read."""
        return self._layout.iter_unpack(data)
