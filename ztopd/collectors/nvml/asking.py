"""One handle of NVML's, and what was refused through it: a question is answered, or withheld with a reason."""

import ctypes
from typing import Any

from ztopd.collectors.nvml.library import NOT_FOUND, SUCCESS, Call, DriverGone, GpuLost, Nvml, Refused
from ztopd.collectors.nvml.listing import Listing


class Asking:
    """What is asked for a column of ``gpus``. Every method may wait, and raises :exc:`GpuLost`, :exc:`DriverGone`.

    What was refused for good is not asked again before :meth:`forget`.
    """

    def __init__(self, nvml: Nvml, call: Call, handle: Any) -> None:
        self.handle = handle
        self._nvml = nvml
        self._call = call
        self._functions: dict[str, Any] = {}
        # the answers of one thread, one after the other
        self._number, self._long, self._other = ctypes.c_uint(), ctypes.c_ulonglong(), ctypes.c_uint()
        self._into_number, self._into_long, self._into_other = map(
            ctypes.byref, (self._number, self._long, self._other)
        )
        self._refused: dict[str, Refused] = {}
        self._withheld: str | None = None
        self._is_withheld_known = True

    @property
    def withheld(self) -> str | None:
        """What is not to be had, by reason."""
        if not self._is_withheld_known:
            columns: dict[str, list[str]] = {}
            for column, refused in self._refused.items():
                columns.setdefault(refused.reason, []).append(column)
            self._withheld = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in columns.items()) or None
            self._is_withheld_known = True
        return self._withheld

    def refuse(self, column: str, refused: Refused) -> None:
        """It is not to be had now."""
        self._refused[column] = refused
        self._is_withheld_known = False

    def _grant(self, column: str) -> None:
        if column in self._refused:
            del self._refused[column]
            self._is_withheld_known = False

    def forget(self) -> None:
        """Everything is asked again."""
        self._refused.clear()
        self._is_withheld_known = False

    def is_hopeless(self, column: str) -> bool:
        """Whether it was refused for good."""
        refused = self._refused.get(column)
        return refused is not None and refused.lasting

    def ask(self, function: str, *arguments: Any) -> Any:
        """What the binding's function returns for the handle. Raises :exc:`Refused` too."""
        return self._nvml.ask(self._call, function, self.handle, *arguments)

    def ask_all(self, function: str, *arguments: Any) -> Any:
        """Likewise, for one without a handle."""
        return self._nvml.ask(self._call, function, *arguments)

    def make(self, name: str) -> Any:
        """A structure of the binding's. Raises :exc:`Refused` where this version of it has none."""
        return self._nvml.make(name)

    def make_array(self, name: str, places: int) -> Any:
        """Likewise, so many of it."""
        return (type(self.make(name)) * places)()

    def tell(self, function: str, *arguments: Any) -> None:
        """Calls the library's own function; it answers into the ``arguments``. Raises :exc:`Refused` too."""
        found = self._functions.get(function)
        if found is None:
            found = self._functions[function] = self._nvml.function(function)
        self._nvml.call(self._call, found, *arguments)

    def quietly(self, function: str, *arguments: Any) -> None:
        """Gives something back, as far as anybody still takes it."""
        try:
            self.ask_all(function, *arguments)
        except (Refused, GpuLost, DriverGone):
            pass

    def value(self, column: str, function: str, *arguments: Any) -> Any:
        """The binding's answer, or None."""
        if self.is_hopeless(column):
            return None
        try:
            answer = self.ask(function, *arguments)
        except Refused as error:
            self.refuse(column, error)
            return None
        self._grant(column)
        return answer

    def fills(self, column: str, function: str, *arguments: Any) -> bool:
        """Whether the library's own function answered into the ``arguments`` after the handle."""
        if self.is_hopeless(column):
            return False
        try:
            self.tell(function, self.handle, *arguments)
        except Refused as error:
            self.refuse(column, error)
            return False
        if self._refused:
            self._grant(column)
        return True

    def number(self, column: str, function: str, *arguments: int) -> int | None:
        """The answer of a function that gives an ``unsigned int``, or None."""
        return self._number.value if self.fills(column, function, *arguments, self._into_number) else None

    def long(self, column: str, function: str, *arguments: int) -> int | None:
        """The answer of a function that gives an ``unsigned long long``, or None."""
        return self._long.value if self.fills(column, function, *arguments, self._into_long) else None

    def first(self, column: str, function: str) -> int | None:
        """The first answer of a function that gives two of ``unsigned int``, or None."""
        return self._number.value if self.fills(column, function, self._into_number, self._into_other) else None

    def percent(self, column: str, value: int | None) -> float | None:
        """The value where it is one: some drivers tell nonsense."""
        if value is None:
            return None
        if not 0 <= value <= 100:
            self.refuse(column, Refused(SUCCESS, "more than 100 %, which is nonsense"))
            return None
        if self._refused:
            self._grant(column)
        return float(value)

    def listed(self, column: str, listing: Listing, call: Any) -> bytes | None:
        """What :meth:`Listing.read` gives of ``call``; nothing where there is nothing, None where it was refused."""
        if self.is_hopeless(column):
            return None
        try:
            found = listing.read(call)
        except Refused as error:
            if error.code != NOT_FOUND:
                self.refuse(column, error)
                return None
            found = b""
        if self._refused:
            self._grant(column)
        return found
