"""What becomes of a warning that a GPU's memory runs full: a line in the log, an event, a command if one is set."""

import logging
from collections import deque
from collections.abc import Callable

from ztopd.collectors.nvml.card import VramLow

_log = logging.getLogger(__name__)

MOST_UNTOLD = 64
MEBIBYTE = 1 << 20


def sentence(warning: VramLow) -> str:
    """The warning in words, without the process."""
    speed = warning.velocity_bytes_per_second / MEBIBYTE
    return (
        f"the memory of {warning.title} will be full in about {warning.eta.seconds:.0f} s:"
        f" {warning.free_bytes / MEBIBYTE:.0f} MiB are free, and {speed:.1f} MiB more are used every second"
    )


class Warnings:
    """Called by the threads of the GPUs; the tick takes what came since the last one."""

    def __init__(self, run_command: Callable[[VramLow], None] | None) -> None:
        self._run_command = run_command
        self._untold: deque[VramLow] = deque(maxlen=MOST_UNTOLD)

    def warn(self, warning: VramLow) -> None:
        """Tells it at once to whoever reads the log."""
        self._untold.append(warning)
        culprit = "" if warning.pid is None else f"; pid {warning.pid} grows most"
        # a name comes from the driver: nothing of it may steer a terminal
        words = "".join(letter if letter.isprintable() else "?" for letter in sentence(warning))
        _log.warning("%s%s", words, culprit)
        if self._run_command is not None:
            self._run_command(warning)

    def take(self) -> list[VramLow]:
        """Those that came since the last call."""
        return [self._untold.popleft() for _ in range(len(self._untold))]
