"""What a person is looking at: order, filter, selection, tags, tree. Pure: no terminal, no source."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ztop_client.absence import lack, seldom_filled
from ztop_client.asking import condition, matching, meant, sections_of
from ztop_client.columns.column import Column, ProcessTable, Tab
from ztop_client.formats import label_text
from ztop_client.glyphs import Glyphs
from ztop_client.program import ZTOP, Program
from ztop_client.tree import arranged
from ztop_protocol.frame import Cell, Key, Row
from ztop_protocol.processes import contains
from ztop_protocol.query import Contains
from ztop_protocol.schema import PROCESSES

_USER = PROCESSES.position["user"]
_UID = PROCESSES.position["effective_uid"]
_KERNEL_THREAD = PROCESSES.position["kernel_thread"]
PAGE_SECTIONS = frozenset({"process_io", "process_executables", "process_counters", "alerts"})
"""What the page of a process is drawn from, beside the processes."""
ON_REQUEST_SECTIONS = frozenset({"process_io", "process_executables", "sources", "threads"})
"""What frames have only while something on the screen needs it, if the machine has it or not."""
_PPID = PROCESSES.position["ppid"]


@dataclass(slots=True)
class View:
    """The state of the process screen. Change it through its methods: they keep the rest in step.

    ``keys`` are the rows that pass the filters, in order; ``cursor`` is a place in them. The selection stays on
    its line of the screen while processes are sorted past it; with ``follow`` it stays with its process.
    """

    tabs: tuple[Tab, ...]
    glyphs: Glyphs
    filter_text: str = ""
    """As :func:`ztop_client.asking.meant` understands it."""
    uid: int | None = None
    """Only the processes of this effective uid."""
    pids: frozenset[int] = frozenset()
    """Only these processes."""
    place: int = 0
    """Which of the tabs is shown."""
    kernel_threads: bool = False
    threads: bool = False
    """Threads are rows of their own; whoever makes the table reads this."""
    full_path: bool = False
    follow: bool = False
    tree: bool = False
    paused: bool = False
    page_open: bool = False
    """The page of a process is open."""
    sources_open: bool = False
    """The page of what the monitor costs is open."""
    interval_seconds: float | None = None
    """What the person chose with + and -."""
    folded: set[Key] = field(default_factory=set)
    tagged: set[Key] = field(default_factory=set)
    table: ProcessTable | None = None
    keys: list[Key] = field(default_factory=list)
    prefixes: dict[Key, str] = field(default_factory=dict)
    cursor: int = 0
    top: int = 0
    scroll: int = 0
    page: int = 1
    """Rows of the last :meth:`window`."""
    program: Program = ZTOP
    elsewhere: str | None = None
    """Whose processes these are, where it cannot be known that they are this machine's."""
    _columns: tuple[Column, ...] = field(default=(), init=False)

    @property
    def tab(self) -> Tab:
        """The tab that is shown."""
        return self.tabs[self.place]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the tab; without what only machines with something else have."""
        shown = tuple(column for column in self.tab.columns if column.needs is None or self._has(column.needs))
        if shown != self._columns:
            # the same ones are the same object
            self._columns = shown
        return self._columns

    def _has(self, section: str) -> bool:
        return self.table is not None and bool(self.table.frame.rows(section))

    @property
    def sort(self) -> Column:
        """The tab's sort column; its usual one where the machine lacks what that needs."""
        return self.tab.sort if self.tab.sort in self.columns else self.tab.usual

    @property
    def descending(self) -> bool:
        """The tab's direction."""
        return self.tab.descending if self.tab.sort in self.columns else self.tab.usual.descending

    @property
    def sections(self) -> frozenset[str]:
        """The sections of a frame that the screen is drawn from."""
        needed = self.program.header_sections.union({"processes"}, *(column.sections for column in self.tab.columns))
        if self.sources_open:
            needed |= {"sources"}
        if self.page_open:
            needed |= PAGE_SECTIONS
        if self.filter_text:
            needed |= (asked := sections_of(meant(self.filter_text)))
            needed |= {"sources"} if seldom_filled(asked) else set()
        if "process_counters" in needed:
            # many machines have none; this says why
            needed |= {"sources"}
        return needed | {"threads"} if self.threads else needed

    @property
    def lack(self) -> str | None:
        """Why the filter finds nothing, where the machine does not have what it asks for."""
        if self.keys or self.table is None or not self.filter_text:
            return None
        lacks = [lack(self.table.frame, name) for name in sorted(seldom_filled(sections_of(meant(self.filter_text))))]
        said = [text for text in lacks if text is not None]
        return f"Nothing is found: {', '.join(said)}." if said else None

    @property
    def selected(self) -> Key | None:
        """The row under the cursor; None in an empty table."""
        return self.keys[self.cursor] if self.cursor < len(self.keys) else None

    def targets(self) -> list[Key]:
        """What an action is for: the tagged rows, else the selected one; of threads, their processes."""
        return sorted({self.process_of(key) for key in self.chosen()}, key=lambda key: key[0])  # type: ignore[arg-type,return-value]

    def chosen(self) -> Collection[Key]:
        """The tagged rows, else the selected one."""
        return self.tagged or ([] if self.selected is None else [self.selected])

    def process_of(self, key: Key) -> Key:
        """The process that a row is of: itself, or the one whose thread it is."""
        return key if self.table is None else self.table.process_of.get(key, key)

    def show(self, table: ProcessTable) -> None:
        """A new frame. Tags and folds of processes that ended go."""
        self.table = table
        self.tagged.intersection_update(table.processes)
        self.folded.intersection_update(table.processes)
        self._arrange(keep=self.follow)

    def _arrange(self, keep: bool) -> None:
        """Filters and sorts again; ``keep`` the selected process selected, else the selected line."""
        if self.table is None:
            return
        selected = self.selected
        rows, process_of, threads = self.table.processes, self.table.process_of, self.table.threads
        items = list(rows.items())
        for test in self._tests():
            if threads:
                # threads stay with their process
                items = [one for one in items if test(one[1]) or test(rows[process_of.get(one[0], one[0])])]
            else:
                items = [one for one in items if test(one[1])]
        keys = [key for key, _ in items]
        if self.filter_text and not isinstance(asked := meant(self.filter_text), Contains):
            holds = condition(asked, self.table)
            keys = [key for key in keys if holds(key) or (key in threads and holds(process_of[key]))]
        self.keys = ordered(keys, self.table, self.sort, self.descending)
        self.prefixes = {}
        if self.tree:
            self.keys, self.prefixes = arranged(self.keys, lambda key: rows[key][_PPID], self.folded, self.glyphs)
        if keep and selected is not None and selected in self.table.processes:
            self.select(selected)
        self.cursor = max(0, min(self.cursor, len(self.keys) - 1))

    def _tests(self) -> list[Callable[[Row], bool]]:
        tests: list[Callable[[Row], bool]] = []
        if not self.kernel_threads:
            tests.append(lambda row: not row[_KERNEL_THREAD])
        if self.uid is not None:
            tests.append(lambda row: row[_UID] == self.uid)
        if self.pids:
            tests.append(lambda row: row[0] in self.pids)
        if self.filter_text and isinstance(asked := meant(self.filter_text), Contains):
            tests.append(matching(asked.text))
        return tests

    def select(self, key: Key) -> bool:
        """Selects a row, or the first one of a process; False where the table does not show it."""
        places = (place for place, row in enumerate(self.keys) if row == key or self.process_of(row) == key)
        if (place := next(places, None)) is None:
            return False
        self.cursor = place
        return True

    def window(self, height: int) -> list[Key]:
        """The rows that a table of ``height`` lines shows; scrolls so that the cursor is among them."""
        self.page = max(height, 1)
        self.top = max(0, min(self.top, len(self.keys) - self.page))
        if self.cursor < self.top:
            self.top = self.cursor
        elif self.cursor >= self.top + self.page:
            self.top = self.cursor - self.page + 1
        return self.keys[self.top : self.top + max(height, 0)]

    def move(self, lines: int) -> None:
        """The cursor down, or up."""
        self.cursor = max(0, min(self.cursor + lines, len(self.keys) - 1))

    def roll(self, lines: int) -> None:
        """Scrolls without moving the selection, until it would leave the window."""
        self.top = max(0, min(self.top + lines, len(self.keys) - self.page))
        self.cursor = max(self.top, min(self.cursor, self.top + self.page - 1, max(len(self.keys) - 1, 0)))

    def point(self, line: int) -> bool:
        """Selects the row at a line of the window; False where there is none."""
        if not self.top + line < len(self.keys):
            return False
        self.cursor = self.top + line
        return True

    def scroll_by(self, cells: int) -> None:
        """The command lines to the left (positive) or to the right."""
        self.scroll = max(0, self.scroll + cells)

    def show_tab(self, place: int) -> None:
        """Shows a tab in its own order."""
        self.place = place % len(self.tabs)
        self._arrange(keep=self.follow)

    def sort_by(self, column: Column) -> None:
        """Sorts by a column of the tab in its natural direction; once more inverts, as a click on a heading does."""
        if column is self.sort:
            self.invert()
        else:
            self.order_by(column.name)

    def order_by(self, name: str) -> None:
        """Sorts by the column of that name in its natural direction; by one of another tab there."""
        places = (self.place, *range(len(self.tabs)))
        self.place = next(n for n in places if any(column.name == name for column in self.tabs[n].columns))
        self.tab.order_by(name)
        self._arrange(keep=self.follow)

    def invert(self) -> None:
        """The other direction."""
        self.tab.descending = not self.tab.descending
        self._arrange(keep=self.follow)

    def filter_by(self, text: str) -> None:
        """Shows only the processes whose name, command line or user contains ``text``, or that an expression means.

        Raises :exc:`ztop_protocol.query.QueryError` for one that cannot be meant; the filter then stays what it was.
        """
        meant(text)
        self.filter_text = text
        self._arrange(keep=True)

    def show_user(self, uid: int | None) -> None:
        """Shows one user's processes, or everyone's."""
        self.uid = uid
        self._arrange(keep=True)

    def toggle_kernel_threads(self) -> None:
        """Hides or shows the kernel's own threads."""
        self.kernel_threads = not self.kernel_threads
        self._arrange(keep=True)

    def toggle_tree(self) -> None:
        """List or tree."""
        self.tree = not self.tree
        self._arrange(keep=True)

    def fold(self) -> None:
        """Hides or shows the descendants of the selected process."""
        if self.tree and self.selected is not None:
            self.folded ^= {self.selected}
            self._arrange(keep=True)

    def fold_all(self) -> None:
        """Folds every process that has a parent in the table, or unfolds all."""
        if self.tree and self.table is not None:
            self.folded = set() if self.folded else set(self.table.processes)
            self._arrange(keep=True)

    def tag(self) -> None:
        """Tags or untags the selected process and goes to the next, as htop does."""
        if self.selected is not None:
            self.tagged ^= {self.selected}
            self.move(1)

    def untag(self) -> None:
        """Untags everything."""
        self.tagged.clear()

    def tag_descendants(self) -> None:
        """Tags the selected process and all that descend from it."""
        if self.selected is None or self.table is None:
            return
        children: dict[Cell, list[Key]] = {}
        for key, row in self.table.processes.items():
            children.setdefault(row[_PPID], []).append(key)
        waiting = [self.selected]
        while waiting:
            key = waiting.pop()
            if key not in self.tagged or key == self.selected:
                self.tagged.add(key)
                waiting += (child for child in children.get(key[0], ()) if child not in self.tagged)

    def search(self, text: str, again: bool = False) -> bool:
        """Selects the next process that contains ``text``, from the cursor on and around; False if none does."""
        if not text or self.table is None:
            return False
        matches, rows, count = contains(text), self.table.processes, len(self.keys)
        for step in range(1 if again else 0, count + 1):
            place = (self.cursor + step) % count
            if matches(rows[self.keys[place]]):
                self.cursor = place
                return True
        return False

    def users(self) -> list[tuple[str, int]]:
        """The name and the effective uid of everyone who has a process, by name."""
        if self.table is None:
            return []
        pairs = {(row[_USER], row[_UID]) for row in self.table.processes.values()}
        return sorted((label_text(uid if name is None else name), uid) for name, uid in pairs if isinstance(uid, int))


def ordered(keys: Iterable[Key], table: ProcessTable, column: Column, descending: bool) -> list[Key]:
    """The keys by the column's values. What has none comes last either way; ties go to the lower pid."""
    by_pid = sorted(keys)
    values = column.values(table, by_pid)
    known = [key for key in by_pid if values.get(key) is not None]
    unknown = [key for key in by_pid if values.get(key) is None] if len(known) < len(by_pid) else []
    if known and isinstance(values[known[0]], str):
        values = {key: str(values[key]).casefold() for key in known}
    try:
        return sorted(known, key=values.__getitem__, reverse=descending) + unknown  # type: ignore[arg-type]
    except TypeError:
        # numbers where the others have text: only a peer that means harm sends that
        return sorted(known, key=lambda key: str(values[key]), reverse=descending) + unknown
