"""A ztop in a terminal, beside a process of ours, to press keys of."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from tests.ztop_client.terminal_driver import Driver, scripted, selected_pid
from ztop_client.keys import Action

ESC = "\x1b"
BYTES: dict[str, str] = {
    **{f"f{number}": f"\x1bO{letter}" for number, letter in zip(range(1, 5), "PQRS", strict=True)},
    **{f"f{number}": f"\x1b[{code}~" for number, code in ((5, 15), (6, 17), (7, 18), (8, 19), (9, 20), (10, 21))},
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[H", "end": "\x1b[F",
    "page up": "\x1b[5~", "page down": "\x1b[6~", "esc": ESC, "tab": "\t", "enter": "\r",
    **{f"ctrl {letter}": chr(ord(letter) - ord("a") + 1) for letter in "abcdefghijklmnopqrstuvwxyz"},
}  # fmt: skip
TERMINALS: dict[str, tuple[int, int, dict[str, str]]] = {
    "80x24 truecolor": (80, 24, {"COLORTERM": "truecolor"}),
    "160x45 256 colours": (160, 45, {}),
    "300x100 16 colours": (300, 100, {"TERM": "xterm-16color"}),
    "80x24 without colour": (80, 24, {"NO_COLOR": "1"}),
}
HEADING = "Command"
LAST_SCRIPTED_PID = 157


@dataclass
class Machine:
    """A running ztop, and a process of ours among those that it shows."""

    driver: Driver
    victim: subprocess.Popen[bytes]

    def send(self, key: str) -> None:
        self.driver.send(BYTES.get(key, key))

    def wait(self, expected: str | Callable[[], bool]) -> None:
        self.driver.wait(expected)

    def gone(self, text: str) -> None:
        self.driver.wait(lambda: text not in self.driver.text)

    def select_victim(self) -> None:
        self.driver.send("/victim\r")
        self.wait(lambda: selected_pid(self.driver) == str(self.victim.pid) and "F10" in self.driver.text)

    def close(self) -> None:
        self.driver.__exit__(None, None, None)
        self.victim.kill()
        self.victim.wait()
        assert self.victim.stdout is None


def started(name: str) -> Machine:
    columns, lines, environ = TERMINALS[name]
    victim = sleeper()
    machine = Machine(Driver(scripted("--pid", str(victim.pid), "--interval", "0.3"), columns, lines, environ), victim)
    machine.wait("98.0")
    return machine


def sleeper() -> subprocess.Popen[bytes]:
    """A process of a session of its own, whose pid is none of the script's: in a new pid namespace pids begin at 1."""
    while True:
        sleeping = subprocess.Popen(["sleep", "600"], start_new_session=True)
        if sleeping.pid > LAST_SCRIPTED_PID:
            return sleeping
        sleeping.kill()
        sleeping.wait()


Check = Callable[[Machine, str], None]
CHECKS: dict[Action, Check] = {}


def check(*actions: Action) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        CHECKS.update(dict.fromkeys(actions, function))
        return function

    return register


def may(change: int) -> bool:
    return change > 0 or os.geteuid() == 0
