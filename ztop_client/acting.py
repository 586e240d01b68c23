"""From a key to an act on processes: what is chosen, what is asked before, what is said afterwards."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ztop_client.actions import Refused, Target, check_here, send_signal, signals, target
from ztop_client.keys import Action
from ztop_client.scheduling import (
    IO_PRIORITIES,
    IoPriority,
    affinity,
    change_nice,
    io_priority,
    set_affinity,
    set_io_priority,
)
from ztop_client.view import View
from ztop_client.widgets.checklist import Checklist
from ztop_client.widgets.dialogs import Choice, Menu, Question
from ztop_client.widgets.screen import Screen
from ztop_protocol.frame import Key

_THREAD_NOTE = "A thread stands for its process."


@dataclass(frozen=True, slots=True)
class _Act:
    """What is done to each of some processes. ``do`` answers with what there is to add, or raises Refused."""

    question: str
    answer: str
    do: Callable[[Target], str]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The processes as they were when the key was pressed: what the screen does meanwhile changes nothing."""

    targets: Sequence[Target]
    note: str

    def __str__(self) -> str:
        return str(self.targets[0]) if len(self.targets) == 1 else f"{len(self.targets)} processes"

    @property
    def needs_a_yes(self) -> bool:
        """Whether it is about more than one process, or somebody else's."""
        return len(self.targets) > 1 or any(target.effective_uid != os.geteuid() for target in self.targets)


class Acting:
    """The acts, each on ``keys``; by default on the tagged processes, or on the selected one."""

    def __init__(self, view: View, screen: Screen) -> None:
        self._view = view
        self._screen = screen

    def signal(self, keys: Sequence[Key] | None = None) -> None:
        """A menu of signals."""
        chosen = self._chosen(keys)
        if chosen is None:
            return
        offered = signals()
        choices = [Choice(f"{number:2d} {name:<9} {meaning}".rstrip(), number) for name, number, meaning in offered]
        place = next(place for place, (_, number, _) in enumerate(offered) if number == signal.SIGTERM)

        def picked(number: int) -> None:
            name = signal.Signals(number).name

            def send(one: Target) -> str:
                send_signal(one, number)
                return ""

            self._ask(chosen, _Act(f"Send {name} to:", f"{name} sent to", send))

        self._screen.open(Menu(f"Signal to {chosen}", choices, place, picked))

    def nice(self, change: int, keys: Sequence[Key] | None = None) -> None:
        """A nice value up or down: of one process at once."""
        chosen = self._chosen(keys)
        if chosen is None:
            return
        act = _Act(
            f"{'Lower' if change > 0 else 'Raise'} the priority (nice {change:+d}) of:",
            f"Nice {change:+d}:",
            lambda one: f" has {change_nice(one, change)} now",
        )
        if len(chosen.targets) > 1:
            self._ask(chosen, act)
        else:
            self._run(chosen, act)

    def io_priority(self, keys: Sequence[Key] | None = None) -> None:
        """A menu of I/O priorities."""
        chosen = self._chosen(keys)
        if chosen is None:
            return
        try:
            place = IO_PRIORITIES.index(io_priority(chosen.targets[0]))
        except (Refused, ValueError):
            # the menu is of use all the same, and whether it can be set is said then
            place = 0
        choices = [Choice(str(priority), priority) for priority in IO_PRIORITIES]

        def picked(priority: IoPriority) -> None:
            def change(one: Target) -> str:
                set_io_priority(one, priority)
                return ""

            act = _Act(f"Set the I/O priority to {priority}, of:", f"I/O priority {priority}:", change)
            self._ask_if_needed(chosen, act)

        self._screen.open(Menu(f"I/O priority of {chosen}", choices, place, picked))

    def affinity(self, keys: Sequence[Key] | None = None) -> None:
        """A list of the CPUs, to be ticked."""
        chosen = self._chosen(keys)
        if chosen is None or self._view.table is None:
            return
        try:
            now = affinity(chosen.targets[0])
        except Refused as refusal:
            self._say(str(refusal))
            return
        known = {key[0] for key in self._view.table.frame.rows("cpus")}
        cpus = sorted(now | {cpu for cpu in known if isinstance(cpu, int)})

        def picked(ticked: frozenset[int]) -> None:
            if not ticked:
                self._say("Nothing was changed: a process needs at least one CPU.")
                return

            def change(one: Target) -> str:
                set_affinity(one, ticked)
                return ""

            text = _ranges(ticked)
            self._ask_if_needed(chosen, _Act(f"Run on CPU {text} only:", f"CPU {text}:", change))

        self._screen.open(Checklist(f"CPUs of {chosen}", [(str(cpu), cpu) for cpu in cpus], now, picked))

    def act(self, action: Action, keys: Sequence[Key] | None = None) -> None:
        """The act that a key means."""
        match action:
            case Action.SIGNAL:
                self.signal(keys)
            case Action.HIGHER_PRIORITY:
                self.nice(-1, keys)
            case Action.LOWER_PRIORITY:
                self.nice(1, keys)
            case Action.IO_PRIORITY:
                self.io_priority(keys)
            case Action.AFFINITY:
                self.affinity(keys)

    def _chosen(self, keys: Sequence[Key] | None) -> _Chosen | None:
        if self._view.table is None:
            return None
        rows = self._view.chosen() if keys is None else keys
        wanted = self._view.targets() if keys is None else keys
        note = _THREAD_NOTE if any(row in self._view.table.threads for row in rows) else ""
        try:
            targets = [target(self._view.table.frame, key, self._view.elsewhere) for key in wanted]
            for one in targets:
                check_here(one)
        except Refused as refusal:
            self._say(str(refusal))
            return None
        return _Chosen(targets, note) if targets else None

    def _ask_if_needed(self, chosen: _Chosen, act: _Act) -> None:
        if chosen.needs_a_yes:
            self._ask(chosen, act)
        else:
            self._run(chosen, act)

    def _ask(self, chosen: _Chosen, act: _Act) -> None:
        lines = [act.question, *(_described(one) for one in chosen.targets), *([chosen.note] if chosen.note else [])]
        self._screen.open(Question("Sure?", lines, lambda: self._run(chosen, act)))

    def _run(self, chosen: _Chosen, act: _Act) -> None:
        refusals: list[str] = []
        additions: list[str] = []
        for one in chosen.targets:
            try:
                additions.append(act.do(one))
            except Refused as refusal:
                refusals.append(str(refusal))
        said: list[str] = []
        if additions:
            said.append(
                f"{act.answer} {chosen}{additions[0]}."
                if len(chosen.targets) == 1
                else f"{act.answer} {len(additions)} processes."
            )
            if chosen.note:
                said.append(chosen.note)
        self._say(" ".join([*said, *refusals]))

    def _say(self, sentence: str) -> None:
        self._screen.message = sentence


def _described(target: Target) -> str:
    """The process and what it runs: many have the same name."""
    return f"  {target}" if target.command_line is None else f"  {target}: {target.command_line}"


def _ranges(numbers: frozenset[int]) -> str:
    """``0-3,6`` of {0, 1, 2, 3, 6}."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][-1] == number - 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ",".join("-".join(map(str, span)) for span in spans)
