"""What takes a span of the past: what changed in it, what it was about, what held in it, a file of it.

Each is asked for, gathered while the screen goes on, and given up with Esc.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

from ztop_client.difference.compare import SECTIONS as COMPARED_SECTIONS
from ztop_client.difference.compare import NoTwoMoments, difference
from ztop_client.difference.result import Difference
from ztop_client.explain.explain import BASELINE_NS, difference_before, explain
from ztop_client.find import Finder, Stretch, needed_sections
from ztop_client.formats import percent_text, span_text
from ztop_client.incident import incident_path, save
from ztop_client.ipc_history import IpcHistory, ipc_history
from ztop_client.keys import Action
from ztop_client.moments import moment_text
from ztop_client.rewind.control import Rewinding, Span
from ztop_client.rewind.gathering import Gathering, Progress, Watching
from ztop_client.rewind.walk import Ask
from ztop_client.sources.source import Pair, RequestFailed
from ztop_client.view import View
from ztop_client.widgets.dialogs import Choice, Menu
from ztop_client.widgets.difference_page import Chapter, DifferencePage
from ztop_client.widgets.explain_page import ExplainPage
from ztop_client.widgets.footer import Prompt
from ztop_client.widgets.progress import ProgressBox
from ztop_client.widgets.screen import Screen
from ztop_protocol.frame import Frame, Key
from ztop_protocol.query import QueryError, parse_question
from ztop_protocol.query_fields import FIELDS, Measure
from ztop_protocol.recording_format import RecordingError

T = TypeVar("T")

_MOST_FOUND = 500
RECALLED_NS = 86_400_000_000_000
"""The chart of a process goes back no farther."""
_ALL_TIME = Span(0, (1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class _Explained:
    span: Difference
    before: Difference | None


class RewindActs:
    """The acts of rewind that take their time."""

    def __init__(
        self,
        ask: Ask,
        loop: Watching,
        view: View,
        screen: Screen,
        rewinding: Rewinding,
        interval_ns: int,
        redact: bool,
    ) -> None:
        """``redact``: what is saved names nobody."""
        self._ask = ask
        self._loop = loop
        self._view = view
        self._screen = screen
        self._rewinding = rewinding
        self._interval_ns = interval_ns
        self._redact = redact
        self._question = ""
        self.acts: dict[Action, Callable[[], None]] = {
            Action.DIFFERENCE: self._difference,
            Action.EXPLAIN: self._explain,
            Action.FIND: self._ask_what_to_find,
            Action.SAVE: self._ask_where_to_save,
        }

    def _say(self, sentence: str) -> None:
        self._screen.message = sentence

    def _gather(
        self,
        title: str,
        span: Span,
        sections: Collection[str] | None,
        work: Callable[[Iterator[Frame]], T],
        done: Callable[[T], None],
    ) -> None:
        """Shows how far it is; what fails is said."""

        def ended(result: T | RequestFailed) -> None:
            self._screen.close(box)
            if isinstance(result, RequestFailed):
                self._say(str(result))
            else:
                done(result)
            self._screen.changed()

        def progressed(progress: Progress) -> None:
            box.share, box.note = min(max(progress.share, 0.0), 1.0), f"{progress.frames} frames"
            self._screen.changed()

        box = ProgressBox(title, lambda: gathering.give_up())
        self._screen.open(box)
        gathering = Gathering(self._ask, self._loop, span, sections, work, ended, progressed)

    def recall_ipc(
        self,
        key: Key,
        shown: Frame,
        done: Callable[[IpcHistory | Exception], None],
        progressed: Callable[[float], None],
    ) -> Callable[[], None]:
        """Gathers what a process made of its cycles, up to the frame that is shown; what is returned gives it up."""
        start = key[1]
        age_ns = shown.boottime_ns - start if isinstance(start, int) else 0
        span = Span(max(shown.time_ns - min(max(age_ns, 0), RECALLED_NS), 0), shown.time_ns)

        def ended(result: IpcHistory | RequestFailed) -> None:
            done(result)
            self._screen.changed()

        def is_at(progress: Progress) -> None:
            progressed(min(max(progress.share, 0.0), 1.0))
            self._screen.changed()

        work = partial(ipc_history, key=key)
        return Gathering(self._ask, self._loop, span, {"process_counters"}, work, ended, is_at).give_up

    def _difference(self) -> None:
        span = self._rewinding.span()
        if span is None:
            self._say("Mark one moment with m, go to another one, and d shows what changed in between.")
            return
        self._gather("What changed", span, COMPARED_SECTIONS, _difference, self._show_difference)

    def _show_difference(self, found: Difference) -> None:
        # where the rows are processes on GPUs, what changed there comes first
        is_of_gpus = self._view.table is not None and self._view.table.of_processes is not None
        self._screen.open(DifferencePage(found, self._go_to, Chapter.ON_GPUS if is_of_gpus else Chapter.PROCESSES))

    def _go_to(self, key: Key) -> None:
        if not self._view.select(key):
            self._say(f"Process {key[0]} is not in the table of this moment.")

    def _explain(self) -> None:
        span, marked, shown = self._rewinding.span_to_explain(), self._rewinding.span(), self._rewinding.pair
        if span is None or shown is None:
            return
        wanted = Span(max(span.from_ns - BASELINE_NS, 0), span.to_ns)
        from_ns = None if marked is None else marked.from_ns
        self._gather(
            "Explain",
            wanted,
            COMPARED_SECTIONS,
            lambda frames: _explained(frames, from_ns, shown),
            self._show_explained,
        )

    def _show_explained(self, found: _Explained) -> None:
        when = f"{moment_text(found.span.from_time_ns)}, {span_text(max(found.span.span_ns, 0))}"
        self._screen.open(ExplainPage(f"Explain: {when}", explain(found.span, found.before)))

    def _ask_what_to_find(self) -> None:
        self._screen.prompt = Prompt("Find", self._question, suggested=bool(self._question), done=self._find)

    def _find(self, text: str) -> str | None:
        try:
            question = parse_question(text)
        except QueryError as error:
            return f"{error.sentence} (at {error.position + 1})"
        self._question = text

        finder = Finder(question)

        def work(frames: Iterator[Frame]) -> list[Stretch]:
            found: list[Stretch] = []
            for pair in _pairs(frames):
                found += finder.take(pair)
                if len(found) >= _MOST_FOUND:
                    return found[:_MOST_FOUND]
            return (found + finder.rest())[:_MOST_FOUND]

        sections = {*needed_sections(question), "memory"}
        self._gather(f"Find: {text}", _ALL_TIME, sections, work, lambda found: self._show_found(found, finder.lacks()))
        return None

    def _show_found(self, found: Sequence[Stretch], lacks: Sequence[str]) -> None:
        if not found:
            because = f": {', '.join(lacks)}" if lacks else ""
            self._say(f"It held at no moment that is remembered{because}.")
            return
        choices = [Choice(_described(stretch), stretch) for stretch in sorted(found, key=lambda one: one.from_ns)]
        title = f"Found {len(found)}" if len(found) < _MOST_FOUND else f"The first {len(found)} that were found"
        self._screen.open(Menu(title, choices, len(choices) - 1, self._picked))

    def _picked(self, stretch: Stretch) -> None:
        key = (stretch.pid, stretch.start_boottime_ns)
        self._rewinding.to_seq(stretch.first_seq, lambda: self._view.select(key))

    def _ask_where_to_save(self) -> None:
        span = self._rewinding.span_to_save()
        if span is not None:
            self._screen.prompt = Prompt(
                "Save, redacted, to" if self._redact else "Save to",
                incident_path(span.from_ns),
                done=lambda path: self._save(span, os.path.expanduser(path)),
            )

    def _save(self, span: Span, path: str) -> str | None:
        if not path:
            return "the name of a file was expected"
        if os.path.lexists(path):
            return "there is such a file already"

        def work(frames: Iterator[Frame]) -> int:
            try:
                return save(frames, path, self._interval_ns, redact=self._redact)
            except RecordingError as error:
                raise RequestFailed(str(error)) from error

        def saved(count: int) -> None:
            self._say(f"{count} frames are in {path}: {self._view.program.name} --replay {path}")

        self._gather(f"Saving {path}", span, None, work, saved)
        return None


def _difference(frames: Iterator[Frame]) -> Difference:
    try:
        return difference(frames)
    except NoTwoMoments as error:
        raise RequestFailed(str(error)) from error


def _explained(frames: Iterator[Frame], from_ns: int | None, shown: Pair) -> _Explained:
    """The frames from ``from_ns`` on, or the interval of the frame that is shown, and what was before."""
    before: list[Frame] = []
    for frame in frames:
        if from_ns is not None and frame.time_ns >= from_ns:
            return _Explained(_difference(chain([frame], frames)), difference_before([*before, frame]))
        before.append(frame)
    if shown.previous is None:
        raise RequestFailed("that is the first frame: there is none before it to compare it with")
    earlier = [frame for frame in before if frame.seq <= shown.previous.seq]
    return _Explained(_difference(iter((shown.previous, shown.current))), difference_before(earlier))


def _pairs(frames: Iterator[Frame]) -> Iterator[Pair]:
    pair: Pair | None = None
    for frame in frames:
        pair = Pair(None, frame) if pair is None else pair.followed_by(frame)
        yield pair


def _described(stretch: Stretch) -> str:
    """When, how long, who, and the greatest figures."""
    figures = ", ".join(
        f"{name.removesuffix('_percent')} {percent_text(value)} %"
        for name, value in stretch.greatest.items()
        if FIELDS[name].measure is Measure.PERCENT
    )
    length = f"{stretch.duration_ns / 1e9:.1f}s" if stretch.duration_ns < 60e9 else span_text(stretch.duration_ns)
    who = f"{stretch.pid} {stretch.comm} ({stretch.user})"
    return f"{moment_text(stretch.from_ns)}  {length:>6}  {who}{'  ' if figures else ''}{figures}"
