"""Every key of the process screen, once: the help screen, the bottom bar and the documentation derive from this.

In the tree, htop folds with ``+`` and ``-``; here those change the refresh interval as htop's own ``-d`` does,
and ``=`` (htop's alias) folds and unfolds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Action(StrEnum):
    """What a key, a button or a click asks for."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    HOME = "home"
    END = "end"
    LEFT = "left"
    RIGHT = "right"
    TAB = "next tab"
    HELP = "help"
    QUIT = "quit"
    SORT_CPU = "sort by CPU"
    SORT_MEMORY = "sort by memory"
    SORT_TIME = "sort by time"
    SORT_PID = "sort by pid"
    SORT_MENU = "choose the sort column"
    INVERT = "invert the order"
    SEARCH = "search"
    FILTER = "filter"
    TREE = "tree"
    FOLD = "fold"
    FOLD_ALL = "fold all"
    USER = "user"
    KERNEL_THREADS = "kernel threads"
    THREADS = "threads"
    FULL_PATH = "full path"
    FOLLOW = "follow"
    PAUSE = "pause"
    SLOWER = "slower"
    FASTER = "faster"
    TAG = "tag"
    TAG_CHILDREN = "tag with children"
    UNTAG = "untag"
    SIGNAL = "signal"
    HIGHER_PRIORITY = "higher priority"
    LOWER_PRIORITY = "lower priority"
    IO_PRIORITY = "I/O priority"
    AFFINITY = "affinity"
    PROCESS = "process"
    ENVIRONMENT = "environment"
    SOURCES = "sources"
    FILES = "files"
    CANCEL = "cancel"
    REDRAW = "redraw"
    REWIND = "rewind"
    FIND = "find"
    FRAME_BACK = "a frame back"
    FRAME_ON = "a frame on"
    TEN_BACK = "ten frames back"
    TEN_ON = "ten frames on"
    MINUTE_BACK = "a minute back"
    MINUTE_ON = "a minute on"
    OLDEST = "the oldest moment"
    LIVE = "live"
    EVENT_BACK = "the event before"
    EVENT_ON = "the next event"
    JUMP = "jump to a time"
    JUMP_BACK = "jump back"
    JUMP_ON = "jump on"
    ZOOM_IN = "less time in the strip"
    ZOOM_OUT = "more time in the strip"
    CHART = "another curve"
    MARK = "mark"
    DIFFERENCE = "difference"
    EXPLAIN = "explain"
    SAVE = "save"


class Group(StrEnum):
    """The headings of the help screen."""

    MOVE = "Move"
    ORDER = "Order"
    SHOW = "Show"
    ACT = "Act"
    REWIND = "In rewind"


@dataclass(frozen=True, slots=True)
class Binding:
    """One line of the table: the keys as urwid names them, and what they do. ``button`` puts it in the bottom bar."""

    keys: tuple[str, ...]
    action: Action
    group: Group
    help: str
    button: str | None = None


BINDINGS: tuple[Binding, ...] = (
    Binding(("f1", "h", "?"), Action.HELP, Group.SHOW, "this help", "Help"),
    Binding(("up", "ctrl p"), Action.UP, Group.MOVE, "one line up"),
    Binding(("down", "ctrl n"), Action.DOWN, Group.MOVE, "one line down"),
    Binding(("page up",), Action.PAGE_UP, Group.MOVE, "one page up"),
    Binding(("page down",), Action.PAGE_DOWN, Group.MOVE, "one page down"),
    Binding(("home", "ctrl a"), Action.HOME, Group.MOVE, "to the first process"),
    Binding(("end", "ctrl e"), Action.END, Group.MOVE, "to the last process"),
    Binding(("left",), Action.LEFT, Group.MOVE, "scroll the command line to the left"),
    Binding(("right",), Action.RIGHT, Group.MOVE, "scroll the command line to the right"),
    Binding(("enter",), Action.PROCESS, Group.SHOW, "all about the process: facts, family, threads", "Info"),
    Binding(("tab",), Action.TAB, Group.SHOW, "the next tab: Main, I/O, Counters", "Next"),
    Binding(("f3", "/"), Action.SEARCH, Group.MOVE, "search as you type; F3 again: the next one", "Search"),
    Binding(("f4", "\\"), Action.FILTER, Group.SHOW, "show only what contains a text; Esc clears it", "Filter"),
    Binding(("f5", "t"), Action.TREE, Group.SHOW, "tree of parents and children", "Tree"),
    Binding(("=",), Action.FOLD, Group.SHOW, "in the tree: fold or unfold the children"),
    Binding(("*",), Action.FOLD_ALL, Group.SHOW, "in the tree: fold or unfold everything"),
    Binding(("f6", "<", ">"), Action.SORT_MENU, Group.ORDER, "choose the sort column", "Sort"),
    Binding(("P",), Action.SORT_CPU, Group.ORDER, "sort by CPU%"),
    Binding(("M",), Action.SORT_MEMORY, Group.ORDER, "sort by MEM%"),
    Binding(("T",), Action.SORT_TIME, Group.ORDER, "sort by TIME+"),
    Binding(("N",), Action.SORT_PID, Group.ORDER, "sort by PID"),
    Binding(("I",), Action.INVERT, Group.ORDER, "invert the order"),
    Binding(("u",), Action.USER, Group.SHOW, "show one user's processes", "User"),
    Binding(("H",), Action.THREADS, Group.SHOW, "hide or show the threads of programs", "Threads"),
    Binding(("K",), Action.KERNEL_THREADS, Group.SHOW, "hide or show kernel threads"),
    Binding(("p",), Action.FULL_PATH, Group.SHOW, "program with or without its path"),
    Binding(("F",), Action.FOLLOW, Group.MOVE, "the selection follows its process"),
    Binding(("Z",), Action.PAUSE, Group.SHOW, "pause: keep what is on the screen"),
    Binding(("+",), Action.FASTER, Group.SHOW, "refresh faster"),
    Binding(("-",), Action.SLOWER, Group.SHOW, "refresh slower"),
    Binding(("l",), Action.FILES, Group.SHOW, "the files that the process has open"),
    Binding(("e",), Action.ENVIRONMENT, Group.SHOW, "the environment of the process"),
    Binding((" ",), Action.TAG, Group.ACT, "tag the process"),
    Binding(("c",), Action.TAG_CHILDREN, Group.ACT, "tag the process and its descendants"),
    Binding(("U",), Action.UNTAG, Group.ACT, "untag everything"),
    Binding(("f7", "]"), Action.HIGHER_PRIORITY, Group.ACT, "higher priority: nice - 1 (root only)", "Nice-"),
    Binding(("f8", "["), Action.LOWER_PRIORITY, Group.ACT, "lower priority: nice + 1", "Nice+"),
    Binding(("i",), Action.IO_PRIORITY, Group.ACT, "set the I/O priority"),
    Binding(("a",), Action.AFFINITY, Group.ACT, "choose the CPUs that it may run on"),
    Binding(("f9", "k"), Action.SIGNAL, Group.ACT, "send a signal to the tagged, or to the selected", "Kill"),
    Binding(("r",), Action.REWIND, Group.SHOW, "rewind: the screen as it was; see In rewind", "Rewind"),
    Binding(("s",), Action.SOURCES, Group.SHOW, "what ztop itself costs, what is missing and why"),
    Binding(("esc",), Action.CANCEL, Group.SHOW, "leave a dialog, clear the filter"),
    Binding(("ctrl l",), Action.REDRAW, Group.SHOW, "draw the whole screen again"),
    Binding(("f10", "q"), Action.QUIT, Group.SHOW, "quit", "Quit"),
)

REWIND_BINDINGS: tuple[Binding, ...] = (
    Binding(("left", "T"), Action.FRAME_BACK, Group.REWIND, "a frame back", "back"),
    Binding(("right", "t"), Action.FRAME_ON, Group.REWIND, "a frame on", "on"),
    Binding(("shift left", ","), Action.TEN_BACK, Group.REWIND, "ten frames back"),
    Binding(("shift right", "."), Action.TEN_ON, Group.REWIND, "ten frames on"),
    Binding(("page up",), Action.MINUTE_BACK, Group.REWIND, "a minute back"),
    Binding(("page down",), Action.MINUTE_ON, Group.REWIND, "a minute on"),
    Binding(("[",), Action.EVENT_BACK, Group.REWIND, "the event or spike before", "event"),
    Binding(("]",), Action.EVENT_ON, Group.REWIND, "the next event or spike", "event"),
    Binding(("b",), Action.JUMP, Group.REWIND, "jump to a time: 03:12, -2m30s, yesterday 14:00", "Jump"),
    Binding(("J",), Action.JUMP_BACK, Group.REWIND, "jump back by a span: 5m"),
    Binding(("j",), Action.JUMP_ON, Group.REWIND, "jump on by a span"),
    Binding(("m",), Action.MARK, Group.REWIND, "mark this moment as A; once more: no mark", "Mark"),
    Binding(("d",), Action.DIFFERENCE, Group.REWIND, "what changed from A to this moment", "Diff"),
    Binding(("x",), Action.EXPLAIN, Group.REWIND, "explain this moment, or the span from A", "Explain"),
    Binding(("f",), Action.FIND, Group.REWIND, "find when something held: cpu > 80 for 10s", "Find"),
    Binding(("S",), Action.SAVE, Group.REWIND, "save the span from A, or five minutes, to a file", "Save"),
    Binding(("+",), Action.ZOOM_IN, Group.REWIND, "less time in the strip"),
    Binding(("-",), Action.ZOOM_OUT, Group.REWIND, "more time in the strip"),
    Binding(
        ("v",), Action.CHART, Group.REWIND, "another curve in the strip: CPU, memory, pressure, disk, network, GPU"
    ),
    Binding(("home",), Action.OLDEST, Group.REWIND, "the oldest moment"),
    Binding(("end", "Z", "r"), Action.LIVE, Group.REWIND, "back to live, as Esc", "Live"),
)
"""What keys mean while the screen shows the past; all others mean what they mean at any time."""


@lru_cache(maxsize=4)
def actions(bindings: tuple[Binding, ...]) -> Mapping[str, Action]:
    """What each key asks for."""
    return {key: binding.action for binding in bindings for key in binding.keys}


ACTION_OF = actions(BINDINGS)
_REWIND_ACTION_OF = actions(REWIND_BINDINGS)

ACTS_ON_PROCESSES = frozenset(
    {Action.SIGNAL, Action.HIGHER_PRIORITY, Action.LOWER_PRIORITY, Action.IO_PRIORITY, Action.AFFINITY}
)
"""What is done to processes; on the page of one, to that one."""
MOVES_IN_TIME = frozenset(
    {
        *(Action.FRAME_BACK, Action.FRAME_ON, Action.TEN_BACK, Action.TEN_ON, Action.EVENT_BACK, Action.EVENT_ON),
        *(Action.MARK, Action.ZOOM_IN, Action.ZOOM_OUT, Action.CHART, Action.LIVE),
    }
)
"""What keys of rewind do on the page of a process, too; all others it has for itself, or leaves alone."""


def action_of(key: str, rewinding: bool = False, bindings: tuple[Binding, ...] = BINDINGS) -> Action | None:
    """What ``key`` asks for on the screen whose keys these are."""
    if rewinding and key in _REWIND_ACTION_OF:
        return _REWIND_ACTION_OF[key]
    return actions(bindings).get(key)


_NAMES = {
    " ": "Space", "up": "↑", "down": "↓", "left": "←", "right": "→", "page up": "PgUp", "page down": "PgDn",
    "home": "Home", "end": "End", "esc": "Esc", "tab": "Tab", "enter": "Enter",
}  # fmt: skip
_ASCII_NAMES = {"up": "Up", "down": "Down", "left": "Left", "right": "Right"}


def key_name(key: str, ascii_only: bool = False) -> str:
    """How people call a key: ``f1`` is F1, ``ctrl l`` is Ctrl-L."""
    if ascii_only and key in _ASCII_NAMES:
        return _ASCII_NAMES[key]
    if key in _NAMES:
        return _NAMES[key]
    if key.startswith("ctrl "):
        return "Ctrl-" + key.removeprefix("ctrl ").upper()
    if key.startswith("shift "):
        return "Shift-" + key_name(key.removeprefix("shift "), ascii_only)
    return key.upper() if len(key) > 1 and key.startswith("f") else key
