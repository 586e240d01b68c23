"""Every key of the table, in real terminals of three sizes and every depth of colour. A key without a test fails."""

import os
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.ztop_client.key_machine import BYTES, CHECKS, HEADING, TERMINALS, Machine, check, may, started
from tests.ztop_client.terminal_driver import first_pid, rows, selected_pid
from ztop_client.keys import BINDINGS, Action

_running: dict[str, Machine] = {}


@pytest.fixture(scope="module", autouse=True)
def end_all() -> Iterator[None]:
    yield
    while _running:
        _running.popitem()[1].close()


@pytest.fixture(params=TERMINALS)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """One program for all the keys of a terminal; a new one after a failure."""
    name = str(request.param)
    if name not in _running:
        _running[name] = started(name)
    before = request.session.testsfailed
    yield _running[name]
    if request.session.testsfailed != before or _running[name].driver.status is not None:
        _running.pop(name).close()


@check(Action.HELP)
def _help(m: Machine, key: str) -> None:
    m.send(key)
    m.wait("ztop: keys")
    m.send("esc")
    m.gone("ztop: keys")


@check(Action.UP, Action.DOWN, Action.HOME, Action.END, Action.PAGE_UP, Action.PAGE_DOWN)
def _move(m: Machine, key: str) -> None:
    d = m.driver
    m.send("N")
    m.send("home")
    m.wait(lambda: first_pid(d) == "1" and selected_pid(d) == "1")
    page = len(rows(d))
    m.wait(lambda: d.screen.display[rows(d)[2]].split()[0] == "101")
    if key in ("up", "ctrl p", "home", "ctrl a", "page up"):
        m.send("end")
        m.wait(lambda: selected_pid(d) != "1")
        last = selected_pid(d)
        m.send(key)
        if key in ("home", "ctrl a"):
            m.wait(lambda: selected_pid(d) == "1")
        else:
            m.wait(lambda: selected_pid(d) not in (last, ""))
    else:
        m.send(key)
        m.wait(lambda: selected_pid(d) not in ("1", ""))
        if key == "page down" and page < 50:
            assert first_pid(d) != "1"
    m.send("home")
    m.send("P")
    m.wait(lambda: first_pid(d) == "149")


@check(Action.LEFT, Action.RIGHT)
def _scroll(m: Machine, key: str) -> None:
    m.send("right")
    m.wait(lambda: "task149" not in m.driver.text)
    m.send("left")
    m.wait("task149 --id")
    assert key in ("left", "right")


@check(Action.TAB)
def _tab(m: Machine, key: str) -> None:
    m.send(key)
    m.wait("DISK/s")
    # alice's process 157 reads and writes 157 KiB a second each; root's are withheld
    m.wait(
        lambda: any(line.split()[:5] == ["157", "alice", "314K", "157K", "157K"] for line in m.driver.screen.display)
    )
    m.send(key)
    # it makes 0.49 instructions of a cycle, at 2 GHz
    counted = ["149", "alice", "98.0", "0.49", "980M", "2.00", "25.0", "-", "1.00", "2.00", "75.0"]
    m.wait(lambda: counted in [line.split()[:11] for line in m.driver.screen.display])
    assert "MEAS%" in m.driver.text
    m.send(key)
    m.wait("MEM%")


@check(Action.QUIT)
def _quit(m: Machine, key: str) -> None:
    m.send(key)
    assert m.driver.ended() == 0


@check(Action.SORT_CPU, Action.SORT_MEMORY, Action.SORT_TIME, Action.SORT_PID)
def _sort(m: Machine, key: str) -> None:
    title = {"P": "CPU%▼", "M": "MEM%▼", "T": "TIME+▼", "N": "PID▲"}[key]
    m.send("N" if key != "N" else "P")
    m.wait("PID▲" if key != "N" else "CPU%▼")
    m.send(key)
    m.wait(title)
    m.send("P")
    m.wait("CPU%▼")


@check(Action.SORT_MENU)
def _sort_menu(m: Machine, key: str) -> None:
    m.send(key)
    m.wait("Sort by")
    m.driver.send("USER\r")
    m.wait("USER▲")
    m.send("P")
    m.wait("CPU%▼")


@check(Action.INVERT)
def _invert(m: Machine, key: str) -> None:
    m.send(key)
    m.wait("CPU%▲")
    m.send(key)
    m.wait("CPU%▼")


@check(Action.SEARCH)
def _search(m: Machine, key: str) -> None:
    m.send(key)
    m.wait("Search:")
    m.driver.send("\x15task125\r")
    m.wait(lambda: selected_pid(m.driver) == "125")
    m.send("home")
    m.wait(lambda: selected_pid(m.driver) == "149")


@check(Action.FILTER, Action.CANCEL)
def _filter(m: Machine, key: str) -> None:
    m.send("f4" if key == "esc" else key)
    m.wait("Filter:")
    m.driver.send("task13\r")
    m.wait(lambda: "task149" not in m.driver.text and "139 alice" in m.driver.text and "F10" in m.driver.text)
    m.send("esc")
    m.wait("149 alice")


@check(Action.TREE, Action.FOLD, Action.FOLD_ALL)
def _tree(m: Machine, key: str) -> None:
    folds = key in ("=", "*")
    m.send("t" if folds else key)
    m.wait("├─ task149")
    if folds:
        m.send("home")
        m.wait(lambda: selected_pid(m.driver) == "1")
        m.send(key)
        m.wait("▸ init")
        m.send(key)
        m.wait("├─ task149")
    m.send("t")
    m.gone("├─")


@check(Action.USER)
def _user(m: Machine, key: str) -> None:
    m.send(key)
    m.wait("Processes of")
    m.driver.send("root\r")
    m.wait(lambda: "alice" not in m.driver.text and "init" in m.driver.text)
    m.send("esc")
    m.wait("alice")


@check(Action.THREADS)
def _threads(m: Machine, key: str) -> None:
    m.send(key)
    m.driver.send(BYTES["f4"] + "worker-110\r")
    m.wait(lambda: first_pid(m.driver) == selected_pid(m.driver) == "11002" and "25.0" in m.driver.text)
    assert m.driver.line_with("11002 alice").split()[-1].startswith("worker-1")
    m.send("k")
    m.wait("Signal to 110 task110 (alice)")
    m.send("esc")
    m.gone("Signal to")
    m.send(key)
    m.wait(lambda: "11002" not in m.driver.text)
    m.send("esc")
    m.wait("149 alice")
    m.send("home")


@check(Action.KERNEL_THREADS)
def _kernel_threads(m: Machine, key: str) -> None:
    m.send("N")
    m.send("home")
    m.wait(lambda: first_pid(m.driver) == "1")
    m.send(key)
    m.wait("kthreadd")
    m.send(key)
    m.gone("kthreadd")
    m.send("P")
    m.wait("CPU%▼")


@check(Action.FULL_PATH)
def _full_path(m: Machine, key: str) -> None:
    m.send(key)
    m.wait("/usr/bin/task")
    m.send(key)
    m.gone("/usr/bin/task")


@check(Action.FOLLOW, Action.PAUSE)
def _mark(m: Machine, key: str) -> None:
    mark = {"F": "FOLLOW", "Z": "PAUSED"}[key]
    m.send(key)
    m.wait(mark)
    m.send(key)
    m.gone(mark)


@check(Action.FASTER, Action.SLOWER)
def _interval(m: Machine, key: str) -> None:
    m.send("-")
    m.wait("Refreshed every 2 s.")
    m.send("+")
    m.wait("Refreshed every 1 s.")
    m.send("home")
    m.gone("Refreshed")


@check(Action.TAG, Action.TAG_CHILDREN, Action.UNTAG)
def _tag(m: Machine, key: str) -> None:
    m.send("home")
    m.send("c" if key == "c" else " ")
    m.send("home")
    m.send(" ") if key != "c" else None
    m.send("down")
    m.send(" ")
    # the first one was tagged and untagged again, or tagged alone
    m.send("k")
    m.wait("Signal to 2 processes" if key == "c" else "Signal to 1")
    m.send("esc")
    m.gone("Signal to")
    m.send("U")
    m.send("home")
    m.send("k")
    m.wait("Signal to 149 task149")
    m.send("esc")
    m.gone("Signal to")


@check(Action.HIGHER_PRIORITY, Action.LOWER_PRIORITY)
def _nice(m: Machine, key: str) -> None:
    m.select_victim()
    change = -1 if key in ("f7", "]") else 1
    before = os.getpriority(os.PRIO_PROCESS, m.victim.pid)
    m.send(key)
    m.wait(
        f"Nice {change:+d}: {m.victim.pid} victim (alice) has {before + change} now." if may(change) else "only root"
    )
    if may(change):
        assert os.getpriority(os.PRIO_PROCESS, m.victim.pid) == before + change
    m.send("home")


@check(Action.IO_PRIORITY)
def _io_priority(m: Machine, key: str) -> None:
    m.select_victim()
    m.send(key)
    m.wait(f"I/O priority of {m.victim.pid} victim (alice)")
    m.driver.send("idle\r")
    # not of the user who runs the test: the script says alice
    m.wait("Sure?")
    m.send("y")
    m.wait(f"I/O priority idle: {m.victim.pid} victim (alice).")
    assert psutil.Process(m.victim.pid).ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    m.send("home")


@check(Action.AFFINITY)
def _affinity(m: Machine, key: str) -> None:
    m.select_victim()
    m.send(key)
    m.wait(f"CPUs of {m.victim.pid} victim (alice)")
    m.wait("[x] 0")
    m.send("*")
    m.wait("[ ] 0")
    m.send("enter")
    m.wait("a process needs at least one CPU")
    m.send(key)
    m.wait("[x] 0")
    m.send("*")
    m.send(" ")
    m.wait("[x] 0")
    m.send("enter")
    m.wait("Run on CPU 0 only:")
    m.send("y")
    m.wait(f"CPU 0: {m.victim.pid} victim (alice).")
    assert os.sched_getaffinity(m.victim.pid) == {0}
    os.sched_setaffinity(m.victim.pid, os.sched_getaffinity(0))
    m.send("home")


@check(Action.SIGNAL)
def _signal(m: Machine, key: str) -> None:
    m.select_victim()
    m.send(key)
    m.wait(f"Signal to {m.victim.pid} victim (alice)")
    m.driver.send("SIGSTOP\r")
    m.wait("Send SIGSTOP to:")
    m.send("n")
    m.gone("Send SIGSTOP")
    m.send(key)
    m.driver.send("SIGSTOP\r")
    m.wait("Send SIGSTOP to:")
    m.send("y")
    m.wait(f"SIGSTOP sent to {m.victim.pid} victim (alice).")
    deadline = time.monotonic() + 5
    while psutil.Process(m.victim.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    m.send("home")


@check(Action.PROCESS)
def _process(m: Machine, key: str) -> None:
    m.select_victim()
    m.send(key)
    m.wait(lambda: "What it is" in m.driver.text and "/bin/victim --of a test" in m.driver.text)
    for number, expected in enumerate(
        ("Threads", "Open files", "sleep", "Rss", "open files", "Hardware counters", "What it is"), 2
    ):
        m.send("tab")
        m.wait(expected)
        assert number
    m.send("2")
    m.wait("Threads")
    m.send("3")
    m.wait("/dev/")
    m.send("k")
    m.wait(f"Signal to {m.victim.pid} victim")
    m.send("esc")
    m.gone("Signal to")
    m.send("esc")
    m.wait(HEADING)
    m.send("home")


@check(Action.FILES, Action.ENVIRONMENT)
def _chapter(m: Machine, key: str) -> None:
    m.select_victim()
    m.send(key)
    m.wait({"l": "Open files", "e": "Arguments"}[key])
    m.send("esc")
    m.wait(HEADING)
    m.send("home")


@check(Action.SOURCES)
def _sources(m: Machine, key: str) -> None:
    for before in ((), ("?",)):
        for one in (*before, key):
            m.send(one)
        m.wait("What the monitor costs")
        m.wait("ok")
        m.send("esc")
        m.gone("What the monitor costs")
        m.wait(HEADING)


@check(Action.REWIND)
def _rewind(m: Machine, key: str) -> None:
    # the past itself: test_rewind_keys.py
    m.send(key)
    m.wait("nothing is remembered there")
    m.send("home")
    m.gone("nothing is remembered")
    assert "live" in m.driver.screen.display[0]


@check(Action.REDRAW)
def _redraw(m: Machine, key: str) -> None:
    before = len(m.driver.output)
    m.send(key)
    m.wait(lambda: b"F10" in m.driver.output[before:] or b"\x1b[2J" in m.driver.output[before:])


@pytest.mark.parametrize(
    ("action", "key"), [(binding.action, key) for binding in BINDINGS for key in binding.keys], ids=lambda value: value
)
def test_key(machine: Machine, action: Action, key: str) -> None:
    assert key in BYTES or len(key) == 1, f"what does a terminal send for {key}?"
    CHECKS[action](machine, key)
    if action is not Action.QUIT:
        machine.wait(HEADING)
        assert machine.driver.status is None
