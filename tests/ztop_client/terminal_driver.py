"""A program in a real pseudo-terminal, its screen kept by pyte."""

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyte

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 15.0


class _Screen(pyte.Screen):
    """pyte knows no private queries; the display asks some."""

    def report_device_status(self, mode: int, **_: object) -> None:
        pass


class Driver:
    """Runs ``command`` on a pty of ``columns`` × ``lines``; :meth:`wait` reads until the screen is as expected."""

    def __init__(
        self, command: Sequence[str], columns: int = 80, lines: int = 24, environ: Mapping[str, str] | None = None
    ) -> None:
        self.screen = _Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.output = bytearray()
        self.status: int | None = None
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LC_", "LANG", "COLORTERM", "NO_COLOR", "CLICOLOR", "FORCE_COLOR", "ZTOP"))
        }
        known = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": f"{ROOT}:{ROOT}/protocol"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(ROOT)
                # whoever runs the tests may ignore it
                signal.signal(signal.SIGHUP, signal.SIG_DFL)
                os.execvpe(command[0], list(command), {**inherited, **known, **(environ or {})})
            finally:
                os._exit(127)
        self.resize(columns, lines)

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_terminal()
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def close_terminal(self) -> None:
        """Hangs up."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def send(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def read(self, seconds: float) -> bool:
        """What comes within so many seconds at most, no frame by halves; False at the end."""
        is_open = self._read_some(seconds)
        while is_open and self._is_within_frame() and select.select([self.fd], [], [], 1.0)[0]:
            is_open = self._read_some(0)
        return is_open

    def _is_within_frame(self) -> bool:
        tail = bytes(self.output[-(1 << 18) :])
        return tail.rfind(b"\x1b[?7l") > tail.rfind(b"\x1b[?7h")

    def _read_some(self, seconds: float) -> bool:
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.output += data
        # pyte takes the $ of a private mode query for text
        self._stream.feed(self._decoder.decode(data))
        return bool(data)

    def quiet(self, seconds: float = 0.3) -> None:
        """Reads until nothing has come for so long."""
        while True:
            before = len(self.output)
            self.read(seconds)
            if len(self.output) == before:
                return

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def line_with(self, part: str) -> str:
        return next(line for line in self.screen.display if part in line)

    def wait(self, expected: str | Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Reads until the screen holds a text, or a condition is true. Fails with the screen."""
        deadline = time.monotonic() + seconds
        while not (expected in self.text if isinstance(expected, str) else expected()):
            if time.monotonic() > deadline or not self.read(0.05):
                raise AssertionError(f"never came: {expected!r}\n{self.text}")

    def ended(self, seconds: float = DEADLINE_SECONDS) -> int:
        """The exit status, or minus the signal."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            if self.fd >= 0:
                self.read(0.02)
            else:
                time.sleep(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise AssertionError(f"still running\n{self.text}")
        return self.status

    def write_calls(self) -> int:
        """How often the program has called write(2)."""
        lines = Path(f"/proc/{self.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("syscw"))


def scripted(*arguments: str) -> list[str]:
    """The command of the scripted machine."""
    return [sys.executable, "-m", "tests.ztop_client.fake_source", *arguments]


def scripted_past(*arguments: str) -> list[str]:
    """The command of the scripted machine that remembers."""
    return [sys.executable, "-m", "tests.ztop_client.rewind.scripted_past", *arguments]


def rows(driver: Driver) -> list[int]:
    """The screen's lines that hold processes; none in a frame that is half drawn."""
    display = driver.screen.display
    for number, line in enumerate(display):
        if "PID" in line and "Command" in line:
            return [place for place in range(number + 1, len(display) - 1) if display[place].strip()]
    return []


def first_pid(driver: Driver) -> str:
    """The pid in the table's first row."""
    return next((driver.screen.display[place].split()[0] for place in rows(driver)), "")


def selected_pid(driver: Driver) -> str:
    """The pid in the row on a background of its own."""
    first_cells = ((place, driver.screen.buffer[place][0]) for place in rows(driver))
    marked = (place for place, cell in first_cells if cell.bg != "default" or cell.reverse)
    return next((driver.screen.display[place].split()[0] for place in marked), "")
