"""Every key of rewind, in real terminals of three sizes and every depth of colour. A key without a test fails."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ztop_client.key_machine import BYTES, TERMINALS
from tests.ztop_client.rewind.scripted_past import BURST, BURST_PID, clock
from tests.ztop_client.terminal_driver import Driver, first_pid, scripted_past, selected_pid
from ztop_client.keys import REWIND_BINDINGS, Action
from ztop_client.recorded import open_recording

SHIFTED = {"shift left": "\x1b[1;2D", "shift right": "\x1b[1;2C"}
HERE = 100
"""Where every test begins."""
CURSOR = "╷"


@dataclass
class Past:
    """A running ztop that shows the past."""

    driver: Driver
    folder: Path

    def send(self, key: str) -> None:
        self.driver.send(SHIFTED.get(key) or BYTES.get(key, key))

    def wait(self, expected: str | Callable[[], bool]) -> None:
        self.driver.wait(expected)

    @property
    def title(self) -> str:
        return self.driver.screen.display[0]

    def at(self, seq: int) -> None:
        """The title and the strip say the moment of that frame."""
        self.wait(lambda: clock(seq) in self.title and "REWOUND" in self.title)
        self.wait(lambda: re.search(rf"{clock(seq)[11:]} \(-\d+[ms]", self.driver.text) is not None)

    def go(self, seq: int) -> None:
        self.driver.send(f"b@{1_700_000_000 + seq}\r")
        self.at(seq)

    def enter(self) -> None:
        self.driver.send("r")
        self.wait("REWOUND")
        self.go(HERE)

    def cursor(self) -> int:
        """Its cell; what lies over it, a pin or a mark, is none."""
        lines = [line for line in self.driver.screen.display if CURSOR in line]
        return lines[0].index(CURSOR) if lines else -1

    def close(self) -> None:
        self.driver.__exit__(None, None, None)


_running: dict[str, Past] = {}


@pytest.fixture(scope="module", autouse=True)
def end_all() -> Iterator[None]:
    yield
    while _running:
        _running.popitem()[1].close()


@pytest.fixture(params=TERMINALS)
def past(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Past]:
    """One program for all the keys of a terminal; a new one after a failure. It is live before and after."""
    name = str(request.param)
    if name not in _running:
        columns, lines, environ = TERMINALS[name]
        _running[name] = Past(Driver(scripted_past(), columns, lines, environ), tmp_path)
        _running[name].wait("98.0")
    made = _running[name]
    made.folder = tmp_path
    before = request.session.testsfailed
    made.enter()
    yield made
    if request.session.testsfailed != before:
        _running.pop(name).close()
        return
    if "REWOUND" in made.title:
        made.send("esc")
        made.wait(lambda: "live" in made.title and "REWOUND" not in made.title)


Check = Callable[[Past, str], None]
CHECKS: dict[Action, Check] = {}


def check(*actions: Action) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        CHECKS.update(dict.fromkeys(actions, function))
        return function

    return register


STEPS = {
    Action.FRAME_BACK: -1, Action.FRAME_ON: 1, Action.TEN_BACK: -10, Action.TEN_ON: 10, Action.MINUTE_BACK: -60,
    Action.MINUTE_ON: 60,
}  # fmt: skip


@check(*STEPS)
def _step(p: Past, key: str) -> None:
    step = next(STEPS[one.action] for one in REWIND_BINDINGS if key in one.keys)
    before = p.cursor()
    p.send(key)
    p.at(HERE + step)
    if abs(step) >= 10:
        p.wait(lambda: (p.cursor() - before) * step > 0)


@check(Action.EVENT_BACK)
def _event_back(p: Past, key: str) -> None:
    p.driver.send("P")
    p.send(key)
    p.at(65)
    p.wait(f"{clock(65)}: 2.0 cores were busy")
    p.wait(lambda: first_pid(p.driver) == str(BURST_PID))
    assert "100.0" in p.driver.line_with("burst --id")
    p.send(key)
    p.at(30)
    p.send(key)
    p.wait("No event is remembered before this moment.")
    p.at(30)


@check(Action.EVENT_ON)
def _event_on(p: Past, key: str) -> None:
    p.send(key)
    p.at(150)
    p.wait("tasks waited for memory 40 % of the time")
    p.send(key)
    p.wait("No event is remembered after this moment.")


@check(Action.JUMP)
def _jump(p: Past, key: str) -> None:
    p.send(key)
    p.wait("Go to:")
    p.driver.send("no time\r")
    p.wait("Go to: no time_ ")
    p.driver.send(f"\x15{clock(64)}\r")
    p.at(64)


@check(Action.JUMP_BACK, Action.JUMP_ON)
def _jump_by(p: Past, key: str) -> None:
    p.send(key)
    p.wait("Back by:" if key == "J" else "On by:")
    p.driver.send("soon\r")
    p.wait("a span was expected")
    p.driver.send("\x1530s\r")
    p.at(70 if key == "J" else 130)


@check(Action.MARK)
def _mark(p: Past, key: str) -> None:
    p.send(key)
    p.wait(f"A is {clock(HERE)}")
    p.send("left")
    p.at(HERE - 1)
    strip = [line for line in p.driver.screen.display if CURSOR in line or " A" in line[5:]]
    assert any("A" in line for line in strip)
    # it is kept while the screen is live
    p.send("esc")
    p.wait(lambda: "live" in p.title)
    p.enter()
    p.send(key)
    p.wait("The mark is gone.")


@check(Action.DIFFERENCE)
def _difference(p: Past, key: str) -> None:
    p.send(key)
    p.wait("Mark one moment with m, go to another one, and d shows what changed")
    p.go(BURST.start - 1)
    p.send("m")
    p.wait("A is ")
    p.send(".")
    p.at(BURST.start + 9)
    p.send(key)
    p.wait(lambda: "61 processes" in p.driver.text and "1 seen to be born, 1 to end" in p.driver.text)
    p.send("esc")
    p.wait(lambda: "61 processes" not in p.driver.text)
    p.go(BURST.start - 1)
    p.send("m")
    p.wait("The mark is gone.")


@check(Action.EXPLAIN)
def _explain(p: Past, key: str) -> None:
    p.go(65)
    p.send(key)
    p.wait(lambda: "Explain:" in p.driver.text and "burst" in p.driver.text)
    p.send("esc")
    p.wait(lambda: "Explain:" not in p.driver.text)


@check(Action.FIND)
def _find(p: Past, key: str) -> None:
    p.send(key)
    p.wait("Find:")
    p.driver.send("\x15cpu >\r")
    p.wait("(at ")
    p.driver.send("\x15cpu > 99 for 2s\r")
    p.wait("Found 1")
    p.wait(f"{BURST_PID} burst")
    p.send("enter")
    p.at(64)
    p.wait(lambda: selected_pid(p.driver) == str(BURST_PID))


@check(Action.SAVE)
def _save(p: Past, key: str) -> None:
    path = p.folder / "saved.ztop"
    p.send(key)
    p.wait("Save to: ztop-2023-11-1")
    p.driver.send(f"\x15{path}\r")
    p.wait("frames are in")
    with open_recording(str(path)) as recording:
        assert next(recording.frames()).seq == 1
    p.send(key)
    p.driver.send(f"\x15{path}\r")
    p.wait("there is such a file already")
    p.send("esc")


@check(Action.ZOOM_IN, Action.ZOOM_OUT)
def _zoom(p: Past, key: str) -> None:
    p.send("-")
    p.wait("The strip shows all that is remembered: ")
    p.send("+")
    p.wait("The strip shows 1m00s.")
    p.at(HERE)
    p.send("-")
    p.wait("The strip shows all that is remembered: ")
    assert key in ("+", "-")


@check(Action.CHART)
def _chart(p: Past, key: str) -> None:
    for name in ("Mem", "Swp", "PSI", "Dsk", "Net", "GPU", "CPU"):
        p.send(key)
        p.wait(f"The strip shows {name}.")
        p.wait(lambda name=name: any(line.startswith(f"{name}  ") for line in p.driver.screen.display))  # type: ignore[misc]


@check(Action.OLDEST)
def _oldest(p: Past, key: str) -> None:
    p.send(key)
    p.at(1)
    p.send("left")
    p.wait("nothing was recorded there")


@check(Action.LIVE)
def _live(p: Past, key: str) -> None:
    p.send(key)
    p.wait(lambda: "live" in p.title and "REWOUND" not in p.title)
    p.wait(lambda: not re.search(r"\(-\d+[ms]", p.driver.text))
    assert "PAUSED" not in p.driver.text


@pytest.mark.parametrize(
    ("action", "key"),
    [(binding.action, key) for binding in REWIND_BINDINGS for key in binding.keys],
    ids=lambda value: value,
)
def test_key(past: Past, action: Action, key: str) -> None:
    assert key in {**BYTES, **SHIFTED} or len(key) == 1, f"what does a terminal send for {key}?"
    CHECKS[action](past, key)
    assert past.driver.status is None
