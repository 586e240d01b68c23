"""The command that a warning starts, where root has set one: by exec, with no shell, no capability and no descriptor.

``python -m ztopd.warn_command COMMAND ARGUMENT...`` is the step in between, which gives up what ztopd may do.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from ztopd.collectors.nvml.card import VramLow
from ztopd.privileges import drop_privileges

TIMEOUT_S = 10.0
"""It is killed then, with all that it started and left in its session."""
LEAST_PAUSE_S = 60.0
"""So much lies between two commands for the same GPU."""
MOST_RUNNING = 8

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PREFIX = "ZTOP_"

_log = logging.getLogger(__name__)


def environment(warning: VramLow) -> dict[str, str]:
    """What the command is told, as text; what is not known is not there."""
    told = {
        "GPU_UUID": warning.uuid,
        "GPU_NAME": warning.name,
        "GPU_INDEX": warning.index,
        "ETA_SECONDS": f"{warning.eta.seconds:.1f}",
        "ETA_LOW_SECONDS": f"{warning.eta.low:.1f}",
        "FREE_BYTES": warning.free_bytes,
        "VELOCITY_BYTES_PER_SECOND": f"{warning.velocity_bytes_per_second:.0f}",
        "PID": warning.pid,
    }
    return {f"{_PREFIX}{name}": _plain(str(value)) for name, value in told.items() if value is not None}


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class WarnCommand:
    """Starts it, from whichever thread; waits for nothing."""

    def __init__(self, command: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
        """``command`` is an absolute path and arguments."""
        self._command = tuple(command)
        self._timeout_s = timeout_s
        self._started: dict[str, float] = {}
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, warning: VramLow) -> None:
        """Starts the command, unless it was started for this GPU just now."""
        now = time.monotonic()
        with self._lock:
            last = self._started.get(warning.uuid)
            if (last is not None and now - last < LEAST_PAUSE_S) or self._running >= MOST_RUNNING:
                return
            self._started = {uuid: at for uuid, at in self._started.items() if now - at < LEAST_PAUSE_S}
            self._started[warning.uuid] = now
            self._running += 1
        threading.Thread(target=self._run, args=(environment(warning),), name="warn command", daemon=True).start()

    def _run(self, told: Mapping[str, str]) -> None:
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "ztopd.warn_command", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**{name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}, **told},
                start_new_session=True,
            )
            try:
                status = child.wait(self._timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                _log.warning("%s was killed: it took longer than %g s", self._command[0], self._timeout_s)
            else:
                if status:
                    _log.warning("%s ended with status %d", self._command[0], status)
        except OSError as error:
            _log.warning("%s could not be started: %s", self._command[0], error.strerror)
        finally:
            with self._lock:
                self._running -= 1


def main() -> int:
    """Becomes the command; returns 126 or 127, as a shell would, where that is not possible."""
    if drop_privileges() is not None:
        return 126
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    told = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    try:
        os.execve(sys.argv[1], sys.argv[1:], {"PATH": _PATH, "LANG": "C.UTF-8", **told})
    except FileNotFoundError:
        return 127
    except OSError:
        return 126


if __name__ == "__main__":
    sys.exit(main())
