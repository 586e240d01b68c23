"""What the keys do: from an action of the table of keys to the view, a dialog, or an act on a process."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ztop_client.acting import Acting
from ztop_client.actions import Refused, Target
from ztop_client.actions import target as target_of
from ztop_client.columns.column import Column
from ztop_client.costs import OwnCost, Source, sources
from ztop_client.glyphs import Glyphs
from ztop_client.inspection import Part
from ztop_client.inspector import Done
from ztop_client.keys import ACTS_ON_PROCESSES, Action, action_of
from ztop_client.process_page import ThreadReader
from ztop_client.rewind.acts import RewindActs
from ztop_client.rewind.control import Rewinding
from ztop_client.sources.source import Pair
from ztop_client.view import View
from ztop_client.widgets.dialogs import Choice, Menu
from ztop_client.widgets.footer import Prompt
from ztop_client.widgets.help import help_page, help_rows
from ztop_client.widgets.process_page import Chapter, ProcessPage
from ztop_client.widgets.screen import Screen
from ztop_client.widgets.sources_page import SourcesPage
from ztop_protocol.frame import Key
from ztop_protocol.query import QueryError

_SCROLL_CELLS = 8


class Controller:
    """Acts on the view and the screen. What concerns the source, the terminal and the end is asked of the caller.

    ``change_interval`` is given the sign of the change and answers with a sentence about what holds now.
    ``refresh`` makes the table anew: of the newest frame, or (False) of the one that is shown.
    ``settle`` shows at once the moment that was gone to.
    """

    def __init__(
        self,
        view: View,
        screen: Screen,
        glyphs: Glyphs,
        *,
        quit: Callable[[], None],
        redraw: Callable[[], None],
        refresh: Callable[[bool], None],
        settle: Callable[[], None],
        read_threads: ThreadReader,
        ask_what_lacks: Callable[[Callable[[str | None], None]], None],
        ask: Callable[[Target, Part, Done], None],
        shown: Callable[[], Pair | None],
        pause: Callable[[bool], None],
        change_interval: Callable[[int], str],
        rewinding: Rewinding,
        rewind_acts: RewindActs,
    ) -> None:
        self._view = view
        self._screen = screen
        self._glyphs = glyphs
        self._refresh = refresh
        self._settle = settle
        self._read_threads = read_threads
        self._ask_what_lacks = ask_what_lacks
        self._recall = rewind_acts.recall_ipc
        self._ask = ask
        self._shown = shown
        self._pause = pause
        self._change_interval = change_interval
        self._rewinding = rewinding
        self._search = ""
        self._acting = Acting(view, screen)
        self._acts: dict[Action, Callable[[], None]] = {
            Action.UP: lambda: view.move(-1),
            Action.DOWN: lambda: view.move(1),
            Action.PAGE_UP: lambda: view.move(-view.page),
            Action.PAGE_DOWN: lambda: view.move(view.page),
            Action.HOME: lambda: view.move(-len(view.keys)),
            Action.END: lambda: view.move(len(view.keys)),
            Action.LEFT: lambda: view.scroll_by(-_SCROLL_CELLS),
            Action.RIGHT: lambda: view.scroll_by(_SCROLL_CELLS),
            Action.TAB: lambda: self.tab(view.place + 1),
            Action.HELP: self._open_help,
            Action.QUIT: quit,
            **{action: partial(view.order_by, column) for action, column in view.program.sorts.items()},
            Action.SORT_MENU: self._open_sort_menu,
            Action.INVERT: view.invert,
            Action.SEARCH: self._open_search,
            Action.FILTER: self._open_filter,
            Action.TREE: view.toggle_tree,
            Action.FOLD: view.fold,
            Action.FOLD_ALL: view.fold_all,
            Action.USER: self._open_user_menu,
            Action.KERNEL_THREADS: view.toggle_kernel_threads,
            Action.THREADS: self._toggle_threads,
            Action.FULL_PATH: self._toggle_full_path,
            Action.FOLLOW: self._toggle_follow,
            Action.PAUSE: self._toggle_pause,
            Action.SLOWER: lambda: self._say(self._change_interval(1)),
            Action.FASTER: lambda: self._say(self._change_interval(-1)),
            Action.TAG: view.tag,
            Action.TAG_CHILDREN: view.tag_descendants,
            Action.UNTAG: view.untag,
            **{action: partial(self._acting.act, action) for action in ACTS_ON_PROCESSES},
            Action.PROCESS: lambda: self._open_page(Chapter.OVERVIEW),
            Action.FILES: lambda: self._open_page(Chapter.FILES),
            Action.ENVIRONMENT: lambda: self._open_page(Chapter.ENVIRONMENT),
            Action.SOURCES: self._open_sources,
            Action.CANCEL: self._cancel,
            Action.REDRAW: redraw,
            Action.REWIND: self._rewind,
            **rewind_acts.acts,
            Action.JUMP: lambda: self._ask_for("Go to", rewinding.jump),
            Action.JUMP_BACK: lambda: self._ask_for("Back by", lambda text: rewinding.jump_by(text, -1)),
            Action.JUMP_ON: lambda: self._ask_for("On by", lambda text: rewinding.jump_by(text, 1)),
        }

    def key(self, key: str) -> None:
        """A key that no dialog took."""
        if self._screen.prompt is not None:
            self._settle()
            if self._prompt_key(self._screen.prompt, key):
                return
        action = self._action_of(key)
        if action is not None:
            self.act(action)

    def _action_of(self, key: str) -> Action | None:
        return action_of(key, self._rewinding.is_active, self._view.program.bindings)

    def act(self, action: Action) -> None:
        """Does what a key or a button asks for."""
        if not (self._rewinding.is_active and self._rewinding.act(action)):
            self._settle()
            self._acts[action]()

    def seek(self, time_ns: int) -> None:
        """Goes to a moment of the strip."""
        self._rewinding.to_time(time_ns)

    def heading(self, column: Column) -> None:
        """Sorts by a column; once more inverts."""
        self._view.sort_by(column)

    def tab(self, place: int) -> None:
        """Shows a tab."""
        self._view.show_tab(place)
        self._refresh(False)

    def _say(self, sentence: str) -> None:
        self._screen.message = sentence

    # search and filter: typed into the bottom line, with effect at every letter

    def _ask_for(self, label: str, done: Callable[[str], str | None]) -> None:
        self._screen.prompt = Prompt(label, done=done)

    def _open_search(self) -> None:
        self._screen.prompt = Prompt("Search", self._search, suggested=True)

    def _open_filter(self) -> None:
        self._screen.prompt = Prompt("Filter", self._view.filter_text)

    def _prompt_key(self, prompt: Prompt, key: str) -> bool:
        """Whether the key was for the prompt."""
        if prompt.done is not None:
            return self._question_key(prompt, prompt.done, key)
        is_filter = prompt.label == "Filter"
        if prompt.handle(key):
            if is_filter:
                prompt.note = self._filter(prompt.text)
            else:
                self._search = prompt.text
                found = self._view.search(prompt.text)
                prompt.note = "" if found or not prompt.text else "not found"
        elif key == "f3" and not is_filter:
            prompt.note = "" if self._view.search(prompt.text, again=True) else "not found"
        elif key == "esc":
            self._screen.prompt = None
            if is_filter:
                self._filter("")
        elif key in ("enter", "f4"):
            # what cannot be meant is to be put right, or left with Esc
            if not (is_filter and prompt.note):
                self._screen.prompt = None
        else:
            # the arrows still move; any other action leaves the prompt first
            if action_of(key) not in (Action.UP, Action.DOWN, Action.PAGE_UP, Action.PAGE_DOWN):
                self._screen.prompt = None
            return False
        return True

    def _filter(self, text: str) -> str:
        """Filters; what is wrong with the text, and where, in a few words. The filter then stays what it was."""
        before = self._view.sections
        try:
            self._view.filter_by(text)
        except QueryError as error:
            return f"at {error.position + 1}: {error.sentence}"
        if self._view.sections != before:
            self._refresh(False)
        return ""

    def _question_key(self, prompt: Prompt, done: Callable[[str], str | None], key: str) -> bool:
        """A prompt that waits for Enter takes every key."""
        if key == "enter":
            wrong = done(prompt.text)
            if wrong is None and self._screen.prompt is prompt:
                self._screen.prompt = None
            prompt.note = wrong or ""
        elif key == "esc":
            self._screen.prompt = None
        elif prompt.handle(key):
            prompt.note = ""
        return True

    def _cancel(self) -> None:
        if self._rewinding.is_active:
            self._rewinding.leave()
        elif self._view.filter_text:
            self._filter("")
        elif self._view.uid is not None:
            self._view.show_user(None)

    # menus

    def _open_sort_menu(self) -> None:
        columns = self._view.columns
        choices = [Choice(f"{column.title.ljust(9)}{column.help}", column.name) for column in columns]
        self._screen.open(Menu("Sort by", choices, columns.index(self._view.sort), self._view.order_by))

    def _open_user_menu(self) -> None:
        users = self._view.users()
        choices: list[Choice[int | None]] = [Choice("everyone", None)]
        choices += [Choice(name, uid) for name, uid in users]
        uids = [choice.value for choice in choices]
        chosen = uids.index(self._view.uid) if self._view.uid in uids else 0
        self._screen.open(Menu("Processes of", choices, chosen, self._view.show_user))

    # the page of a process

    def _open_page(self, chapter: Chapter) -> None:
        view = self._view
        if view.table is None or view.selected is None:
            return
        key = view.process_of(view.selected)
        try:
            target = target_of(view.table.frame, key, view.elsewhere)
        except Refused as refusal:
            self._say(str(refusal))
            return
        view.page_open = True
        self._refresh(False)
        self._screen.open(
            ProcessPage(
                target,
                key,
                chapter,
                table=lambda: view.table and view.table.by_process(),
                read_threads=self._read_threads,
                recall=self._recall,
                ask=self._ask,
                action_of=self._action_of,
                act=self._act_on_page,
                closed=self._page_closed,
            )
        )

    def _open_help(self) -> None:
        program = self._view.program
        page = help_page(self._glyphs, program=program, leads_on={Action.SOURCES: self._open_sources})
        self._screen.open(page)
        if program.has_meters:
            self._ask_what_lacks(lambda note: page.turn(help_rows(self._glyphs, note)))

    def _open_sources(self) -> None:
        def found() -> Sequence[Source]:
            pair = self._shown()
            return [] if pair is None else sources(pair.previous, pair.current)

        self._view.sources_open = True
        self._refresh(False)
        self._screen.open(SourcesPage(found, self._view.program.name, self._sources_closed, OwnCost()))

    def _sources_closed(self) -> None:
        self._view.sources_open = False
        self._refresh(False)

    def _act_on_page(self, action: Action, key: Key) -> None:
        if self._rewinding.is_active and self._rewinding.act(action):
            return
        self._settle()
        if action is Action.HELP:
            self._open_help()
        else:
            self._acting.act(action, [key])

    def _page_closed(self) -> None:
        self._view.page_open = False
        self._refresh(False)

    # switches

    def _toggle_threads(self) -> None:
        self._view.threads = not self._view.threads
        self._refresh(False)

    def _toggle_full_path(self) -> None:
        self._view.full_path = not self._view.full_path

    def _toggle_follow(self) -> None:
        self._view.follow = not self._view.follow
        self._mark()

    def _toggle_pause(self) -> None:
        self._view.paused = not self._view.paused
        self._pause(self._view.paused)
        self._mark()
        if not self._view.paused:
            self._refresh(True)

    def _rewind(self) -> None:
        """From the frame on which the screen was paused, where it was; the way back is to what is live."""
        if self._view.paused:
            self._view.paused = False
            self._mark()
        self._rewinding.enter()

    def _mark(self) -> None:
        title, view = self._screen.title, self._view
        marks = (*(("PAUSED",) if view.paused else ()), *(("FOLLOW",) if view.follow else ()))
        self._screen.title = replace(title, marks=marks)
