"""The one way to NVML: every call goes through :class:`Nvml`, and what it raises has a name and a reason.

The binding is NVIDIA's own (nvidia-ml-py, module ``pynvml``), imported only where ``libnvidia-ml.so.1`` can be loaded:
it costs 6 MiB. Whether there are GPUs is asked of nobody else: containers show /dev and /proc/driver or do not, as they
please.
"""

import ctypes
import importlib
import time
from typing import Any

SONAME = "libnvidia-ml.so.1"

# nvml.h, nvmlReturn_t
SUCCESS = 0
NOT_SUPPORTED = 3
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7
TIMEOUT = 10
_UNINITIALIZED, _INVALID_ARGUMENT, _NO_PERMISSION, _DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND = 1, 2, 4, 9, 12
_FUNCTION_NOT_FOUND, _GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH, _GPU_NOT_FOUND = 13, 15, 16, 18, 28

_DRIVER = {
    _UNINITIALIZED: "the NVIDIA driver is gone",
    _DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
    _LIBRARY_NOT_FOUND: f"{SONAME} cannot be loaded",
    _VERSION_MISMATCH: "the NVIDIA driver in the kernel is of another version than its library",
}
_LOST = {
    _GPU_IS_LOST: "the GPU is lost: it fell off the bus or is broken",
    _RESET_REQUIRED: "the GPU must be reset",
    _GPU_NOT_FOUND: "the GPU is not there any more",
}
_LASTING = frozenset((NOT_SUPPORTED, _INVALID_ARGUMENT, _NO_PERMISSION, _FUNCTION_NOT_FOUND))

_FIXES = {
    _DRIVER_NOT_LOADED: "modprobe nvidia",
    _VERSION_MISMATCH: "load the driver that was installed (reboot), then restart ztopd",
}


class Refused(Exception):
    """This one value is not to be had. ``lasting``: it is not worth asking again soon."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.lasting = code is None or code in _LASTING


class GpuLost(Exception):
    """This GPU answers nothing any more; the sentence says why."""


class DriverGone(Exception):
    """NVML answers nothing any more, or not yet; the sentence says why, ``fix`` what to type about it."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = None if code is None else _FIXES.get(code)


def is_there() -> bool:
    """Whether the library can be loaded. It stays loaded: the binding will want it next."""
    try:
        ctypes.CDLL(SONAME)
    except OSError:
        return False
    return True


class Call:
    """What one thread is waiting for: others look at it to see that it hangs."""

    def __init__(self) -> None:
        self.running: tuple[str, int] | None = None
        """The function, and since which boot time in nanoseconds."""


class Nvml:
    """NVML, initialised. Made in the thread that can afford to wait; used by the threads of the GPUs."""

    def __init__(self, call: Call) -> None:
        """Raises :exc:`DriverGone`."""
        try:
            self._binding: Any = importlib.import_module("pynvml")
        except ImportError as error:
            raise DriverGone(None, f"the Python package nvidia-ml-py is not installed ({error})") from None
        try:
            self.ask(call, "nvmlInit")
        except (Refused, GpuLost) as error:
            raise DriverGone(None, f"NVML cannot be initialised: {error}") from None

    def shut_down(self, call: Call) -> None:
        """Lets go of the driver, as far as it still listens."""
        try:
            self.ask(call, "nvmlShutdown")
        except (Refused, GpuLost, DriverGone):
            pass

    def make(self, name: str) -> Any:
        """A structure of the binding's. Raises :exc:`Refused` where this version of it has none."""
        made = getattr(self._binding, name, None)
        if made is None:
            raise Refused(None, f"this nvidia-ml-py has no {name}")
        return made()

    def ask(self, call: Call, function: str, *arguments: Any) -> Any:
        """What the binding's function returns. Raises :exc:`Refused`, :exc:`GpuLost` or :exc:`DriverGone`."""
        binding = self._binding
        asked = getattr(binding, function, None)
        if asked is None:
            raise Refused(None, f"this nvidia-ml-py has no {function}")
        call.running = (function, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        try:
            return asked(*arguments)
        except binding.NVMLError as error:
            raise _named(error.value, str(error)) from None
        # the binding's own: a structure of another version (not an NVMLError), None where it expects a number,
        # bytes that are no UTF-8
        except (binding.NVMLLibraryMismatchError, TypeError, ValueError) as error:
            raise Refused(None, f"nvidia-ml-py: {type(error).__name__}") from None
        finally:
            call.running = None

    def function(self, name: str) -> Any:
        """A function of the library itself, for :meth:`call`. Raises :exc:`Refused` where this driver has none."""
        try:
            return getattr(ctypes.CDLL(SONAME), name)
        except AttributeError:
            raise self._error(_FUNCTION_NOT_FOUND) from None

    def call(self, call: Call, function: Any, *arguments: Any) -> None:
        """Calls one of :meth:`function` for what is asked so often that the binding's objects would cost more than the
        answer; that comes into the ``arguments``. Raises as :meth:`ask`.
        """
        call.running = (function.__name__, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        try:
            status = function(*arguments)
        finally:
            call.running = None
        if status != SUCCESS:
            raise self._error(status)

    def _error(self, code: int) -> Exception:
        return _named(code, str(self._binding.NVMLError(code)))


def _named(code: int, words: str) -> Exception:
    if code in _DRIVER:
        return DriverGone(code, _DRIVER[code])
    if code in _LOST:
        return GpuLost(_LOST[code])
    return Refused(code, words)
