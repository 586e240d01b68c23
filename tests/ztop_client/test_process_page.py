"""The page of a process: what it says, in exact cells, and what it asks for."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import urwid

from tests.ztop_client.fake_source import (
    ALICE_UID,
    SECOND,
    alert,
    frame,
    here,
    process,
    process_counters,
    process_io,
    row,
    section,
    sources,
    threads_of,
    with_sections,
)
from tests.ztop_client.hostile import HOSTILE
from tests.ztop_client.test_table import assert_exact
from ztop_client.actions import Target, target
from ztop_client.columns.column import ProcessTable, process_table
from ztop_client.glyphs import ASCII, UNICODE, Glyphs
from ztop_client.inspection import Block, Part
from ztop_client.ipc_history import IpcHistory, ipc_history
from ztop_client.keys import Action, action_of
from ztop_client.process_page import ThreadsRead, overview, threads
from ztop_client.sources.source import RequestFailed
from ztop_client.widgets.process_page import Chapter, ProcessPage
from ztop_protocol.frame import Frame, Key, Row

KEY: Key = (20, 3 * SECOND)
FAMILY = (
    process(1, comm="init", command_line="/sbin/init", user="root", ppid=0),
    process(10, 2 * SECOND, comm="shell", command_line="-shell", ppid=1, user="bob"),
    process(20, 3 * SECOND, comm="editor", command_line="/usr/bin/editor notes", ppid=10, state="D", policy="fifo"),
    process(21, 4 * SECOND, comm="older", ppid=20),
    process(22, 2 * SECOND, comm="taken over", ppid=20),
)


def tables(*rows: Row, io: bool = True) -> ProcessTable:
    made = [frame(seq, rows, host=here()) for seq in (1, 2)]
    if io:
        made = [with_sections(one, ("process_io", process_io(one.seq, rows))) for one in made]
    return process_table(*made)


def facts(table: ProcessTable, key: Key = KEY) -> dict[str, dict[str, str]]:
    return {block.title: dict(block.entries) for block in overview(table, key)}


class TestOverview:
    def test_says_who_and_what_in_words(self) -> None:
        said = facts(tables(*FAMILY))
        identity, use = said["What it is"], said["What it uses"]
        assert identity["Command"] == "/usr/bin/editor notes"
        assert identity["User"] == f"alice (uid {ALICE_UID})"
        assert identity["State"].startswith("blocked: waits for a device")
        assert identity["Started"].endswith(" ago, by 10 shell")
        assert use["CPU"].startswith("0.0 % of a core")
        assert use["Memory"] == "10.0M resident, 0.1 % of the machine's"
        assert use["Disk reads"] == "20.0K/s, 40.0K so far"
        assert use["Scheduling"].startswith("realtime, first in first out")

    def test_says_what_started_it_and_what_it_started(self) -> None:
        said = facts(tables(*FAMILY))
        assert list(said["What started it"].items()) == [("1", "root  /sbin/init"), ("10", "bob  -shell")]
        assert said["What it started, and runs still"] == {"21": "alice  /usr/bin/older --id 21"}

    def test_a_parent_that_ended_is_said(self) -> None:
        said = facts(tables(process(20, 3 * SECOND, ppid=999)))
        assert said["What started it"] == {"": "a process that has ended"}

    def test_parents_in_a_circle_end(self) -> None:
        rows = (process(20, 3 * SECOND, ppid=21), process(21, 3 * SECOND, ppid=20))
        assert set(facts(tables(*rows))["What started it"]) <= {"20", "21"}

    def test_what_is_withheld_is_said(self) -> None:
        said = facts(tables(*FAMILY, io=False))
        assert said["What it uses"]["Disk reads"] == "-, - so far"
        assert "to root and to its group alone" in said["What it uses"][""]
        reason = row("sources", source="process_io", state="degraded", reason="withheld from ztopd itself", fix="sudo")
        said = facts(process_table(*(with_sections(frame(n, FAMILY), ("sources", [reason])) for n in (1, 2))))
        assert said["What it uses"][""] == "withheld from ztopd itself. Fix: sudo"


def thread_frames() -> tuple[Frame, Frame]:
    first, second = (
        with_sections(one, ("threads", threads_of(one.seq, FAMILY[1:2])))
        for one in (frame(1, FAMILY), frame(2, FAMILY))
    )
    return first, second


def test_threads_are_sorted_by_what_they_do() -> None:
    block = threads(*thread_frames())
    assert block.title == "Threads: 3"
    assert [label for label, _ in block.entries] == ["TID", "1002", "10", "1001"]
    assert block.entries[1][1].split() == ["S", "25.0", "0:00.50", "0", "1", "worker-10"]
    assert threads(None, thread_frames()[0]).entries[1][1].split()[1] == "-"


class Page:
    """A page whose surroundings are lists."""

    def __init__(self, table: ProcessTable, key: Key = KEY, chapter: Chapter = Chapter.OVERVIEW) -> None:
        self.table: ProcessTable = table
        self.asked: list[tuple[Part, Callable[[Sequence[Block]], None]]] = []
        self.acts: list[tuple[Action, Key]] = []
        self.recalled: list[tuple[Callable[[IpcHistory | Exception], None], Callable[[float], None]]] = []
        self.given_up: list[int] = []
        self.closed = 0
        self.rewinding = False
        self.failure: RequestFailed | None = None
        self.page = ProcessPage(
            target(table.frame, key),
            key,
            chapter,
            table=lambda: self.table,
            read_threads=self.read_threads,
            recall=self.recall,
            ask=self.ask,
            action_of=lambda key: action_of(key, self.rewinding),
            act=lambda action, key: self.acts.append((action, key)),
            closed=self.close,
        )

    def close(self) -> None:
        self.closed += 1

    def ask(self, _target: Target, part: Part, done: Callable[[Sequence[Block]], None]) -> None:
        self.asked.append((part, done))

    def recall(
        self, _key: Key, _shown: Frame, done: Callable[[IpcHistory | Exception], None], at: Callable[[float], None]
    ) -> Callable[[], None]:
        self.recalled.append((done, at))
        return lambda: self.given_up.append(len(self.recalled))

    def read_threads(self, _key: Key, done: ThreadsRead) -> None:
        done(self.failure or thread_frames()[1])

    def text(self, width: int = 90, height: int = 40, glyphs: Glyphs = UNICODE) -> str:
        urwid.set_encoding("ascii" if glyphs.ascii_only else "utf-8")
        lines = self.page.box(width, height, glyphs)
        assert len(lines) == height
        assert_exact(lines, width, glyphs)
        return "\n".join(b"".join(run[2] for run in line).decode() for line in lines)


class TestPage:
    def test_counters_and_what_is_remembered_of_them(self) -> None:
        def at(seq: int) -> Frame:
            rows = [process(20, 3 * SECOND, comm="editor", user_time_ns=seq * SECOND)]
            counted = process_counters(seq, rows)
            return with_sections(
                frame(seq, rows, host=here()), ("process_counters", counted), ("sources", sources(True)),
                ("alerts", [alert(20, 1001, 3 * SECOND)]),
            )  # fmt: skip

        frames = [at(seq) for seq in range(1, 6)]
        page = Page(process_table(*frames[1:3]), chapter=Chapter.COUNTERS)
        assert "looking back" in page.text()
        ((done, progressed),) = page.recalled
        progressed(0.5)
        text = page.text()
        assert "looking back: 50 %" in text
        assert "0.20 instructions per cycle, 400M instructions/s at 2.00GHz" in text
        assert "75.0 % of the time, user and kernel mode" in text
        assert "pid 20 makes a quarter" in text
        done(ipc_history(frames[:3], KEY))
        assert "Instructions per cycle in 2s" in page.text()
        # frames that come go on with it; on a screen of ASCII too
        page.table = process_table(*frames[3:5])
        assert "Instructions per cycle in 4s" in page.text(glyphs=ASCII)
        # in rewind it ends with the moment that is shown
        page.table = process_table(*frames[:2])
        assert "Instructions per cycle in 1s" in page.text(80, 24)

    def test_what_is_asked_of_the_past_is_given_up(self) -> None:
        page = Page(tables(*FAMILY), chapter=Chapter.COUNTERS)
        page.page.key("r")
        assert len(page.recalled) == 2
        assert page.given_up == [1]
        page.page.key("esc")
        assert page.given_up == [1, 2]

    def test_why_there_is_nothing(self) -> None:
        table = tables(*FAMILY)
        absent = with_sections(table.frame, ("sources", sources(False)))
        page = Page(process_table(None, absent), chapter=Chapter.COUNTERS)
        ((done, _),) = page.recalled
        done(RequestFailed("the daemon is away"))
        assert "(Counters N/A: this machine has no PMU. Fix: get one)" in page.text()
        # a long reason is read to its end
        assert "get one)" in page.text(40)
        assert "(the daemon is away)" in page.text()
        done(ipc_history([absent], KEY))
        assert "nothing was counted of it" in page.text()
        assert "it has not worked since" in Page(tables(*FAMILY), chapter=Chapter.COUNTERS).text()

    def test_turns_and_comes_back(self) -> None:
        page = Page(tables(*FAMILY))
        assert "What it is" in page.text()
        assert page.page.key("tab")
        assert "worker-10" in page.text()
        assert page.page.key("tab")
        assert "reading" in page.text()
        ((part, done),) = page.asked
        assert part is Part.FILES
        done([Block("Open files", (("   0 r ", "/dev/null"),)), Block("More", reason="permission denied")])
        assert "/dev/null" in page.text()
        assert "(permission denied)" in page.text()
        page.page.key("left")
        page.page.key("left")
        assert "What it is" in page.text()
        page.page.key("6")
        assert page.asked[-1][0] is Part.LIMITS
        page.page.key("r")
        assert len(page.asked) == 3
        assert not page.page.key("esc")
        assert page.closed == 1

    def test_a_click_turns(self) -> None:
        page = Page(tables(*FAMILY))
        line = page.text().splitlines()[1]
        page.page.click(line.index("Memory"), 1)
        assert page.asked[-1][0] is Part.MEMORY

    def test_scrolls_to_the_end_and_no_further(self) -> None:
        page = Page(tables(*FAMILY))
        assert "/usr/bin/older" not in page.text(80, 12)
        for _ in range(60):
            page.page.key("down")
        assert "/usr/bin/older" in page.text(80, 12)
        page.page.roll(-100)
        assert "What it is" in page.text(80, 12)

    def test_acts_concern_its_process(self) -> None:
        page = Page(tables(*FAMILY))
        for key in ("k", "f8", "i", "a", "t", "H"):
            assert page.page.key(key)
        acts = [Action.SIGNAL, Action.LOWER_PRIORITY, Action.IO_PRIORITY, Action.AFFINITY]
        assert page.acts == [(action, KEY) for action in acts]

    def test_keeps_the_last_facts_of_a_process_that_ended(self) -> None:
        page = Page(tables(*FAMILY))
        page.text()
        last = frame(3, FAMILY[:2], host=here())
        page.table = process_table(None, last)
        text = page.text()
        assert "HAS ENDED" in text
        assert "/usr/bin/editor notes" in text

    def test_says_where_it_is_in_the_life_of_its_process(self) -> None:
        page = Page(tables(*FAMILY))
        page.text()
        before = replace(frame(1, FAMILY[:1], host=here()), boottime_ns=2 * SECOND)
        for shown, said in (
            (before, "NOT STARTED YET"),
            (frame(4, FAMILY, host=here()), ""),
            (frame(5, FAMILY[:1], host=here()), "HAS ENDED"),
            (frame(6, FAMILY, host=here(), boot_id="another"), "OF ANOTHER BOOT"),
        ):
            page.table = process_table(None, shown)
            title = page.text().splitlines()[0]
            assert [word for word in ("NOT STARTED YET", "HAS ENDED", "OF ANOTHER BOOT") if word in title] == (
                [said] if said else []
            )
            assert "/usr/bin/editor notes" in page.text()

    def test_in_the_past_the_keys_of_time_are_no_acts_on_processes(self) -> None:
        page = Page(tables(*FAMILY))
        page.rewinding = True
        for key in ("[", "]", ",", ".", "T", "t", "m", "+", "-", "v", "Z", "d", "x", "b", "S"):
            assert page.page.key(key)
        names = ["EVENT_BACK", "EVENT_ON", "TEN_BACK", "TEN_ON", "FRAME_BACK", "FRAME_ON"]
        names += ["MARK", "ZOOM_IN", "ZOOM_OUT", "CHART", "LIVE"]
        assert [action.name for action, _ in page.acts] == names

    @pytest.mark.parametrize("failure", [RequestFailed("the daemon went away")])
    def test_threads_that_cannot_be_read_are_said(self, failure: RequestFailed) -> None:
        page = Page(tables(*FAMILY), chapter=Chapter.FILES)
        page.failure = failure
        page.page.key("2")
        assert "the daemon went away" in page.text()

    @pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
    @pytest.mark.parametrize("size", [(80, 24), (160, 45), (300, 100), (30, 6), (10, 4)])
    def test_hostile_text_stays_in_its_cells(self, glyphs: Glyphs, size: tuple[int, int]) -> None:
        rows = [process(20, 3 * SECOND, comm=HOSTILE[1], command_line=HOSTILE[6], user=HOSTILE[2], cgroup=HOSTILE[9])]
        rows += [process(30 + place, 4 * SECOND, ppid=20, comm=text, command_line=text)
                 for place, text in enumerate(HOSTILE)]  # fmt: skip
        page = Page(tables(*rows))
        page.text(*size, glyphs)
        for number in ("2", "3", "4", "5", "6"):
            page.page.key(number)
            page.text(*size, glyphs)
            if number != "2":
                found = tuple((text[:40], text) for text in HOSTILE)
                page.asked[-1][1]([Block(HOSTILE[2], found, HOSTILE[1])])
                for _ in range(30):
                    page.text(*size, glyphs)
                    page.page.key("page down")


def test_sections_of_the_script() -> None:
    """What these tests are made of is of the schema."""
    assert len(section("threads", 1, threads_of(1, FAMILY)).rows) == 6
