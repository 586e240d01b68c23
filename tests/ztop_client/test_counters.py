"""Hardware counters as the client shows them: the tab, filters, --find, JSON, the help, and why there are none."""

import json
import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.ztop_client.fake_source import (
    NO_PMU,
    SECOND,
    alert,
    busy_table,
    frame,
    process,
    process_counters,
    row,
    sources,
    with_sections,
)
from tests.ztop_client.terminal_driver import ROOT, Driver, scripted
from ztop_client.absence import Dashes, Withheld, counters_problem
from ztop_client.access import Access
from ztop_client.batch import chosen, print_pairs
from ztop_client.columns import counters
from ztop_client.columns.column import ProcessTable, process_table
from ztop_client.columns.processes import counter_columns, tabs
from ztop_client.find import find, needed_sections
from ztop_client.formats import ABSENT
from ztop_client.glyphs import UNICODE
from ztop_client.json_lines import document
from ztop_client.options import Options
from ztop_client.sources.source import Pair
from ztop_client.view import View
from ztop_client.widgets.help import help_page
from ztop_client.widgets.table import Table
from ztop_protocol.frame import Frame
from ztop_protocol.processes import Order
from ztop_protocol.query import parse_question

COUNTED = (149, 120, 157)
PAGE = (ROOT / "docs" / "counters.md").read_text("utf-8")


def machine(seq: int, pids: Iterable[int] = range(100, 158), pmu: bool = True, alerts: Iterable[int] = ()) -> Frame:
    """A second in the life of busy processes of alice; the nth of them makes n % 100 hundredths of each cycle."""
    rows = [one for one in busy_table(60)(seq) if one[0] in pids or one[0] == 1]
    made = with_sections(frame(seq, rows), ("sources", sources(pmu)))
    if not pmu:
        return made
    counted = process_counters(seq, rows)
    return with_sections(made, ("process_counters", counted), ("alerts", [alert(pid, 1001) for pid in alerts]))


def table_of(**what: object) -> ProcessTable:
    return process_table(machine(1, **what), machine(2, **what))  # type: ignore[arg-type]


@pytest.fixture
def view() -> View:
    made = View(tabs("alice"), UNICODE)
    made.kernel_threads = True
    made.show_tab(2)
    assert made.tab.name == "Counters"
    return made


def pids(view: View) -> list[object]:
    return [key[0] for key in view.keys]


def line_of(view: View, pid: int, width: int = 120) -> dict[str, tuple[str, str]]:
    """The cells of a process by their titles: text and style."""
    view.cursor = len(view.keys) - 1
    lines = Table(UNICODE).lines(view, width, len(view.keys) + 1)
    place = view.keys.index(next(key for key in view.keys if key[0] == pid))
    titles = [column.title for column in view.columns]
    return {
        title: (text.decode().strip(), str(style).removesuffix("@selected"))
        for title, (style, _, text) in zip(titles, lines[place + 1], strict=False)
    }


class TestTab:
    def test_says_what_a_process_made_of_its_cycles(self, view: View) -> None:
        view.show(table_of())
        cells = {title: text for title, (text, _) in line_of(view, 149).items() if title != "Command"}
        assert cells == {
            "PID": "149", "USER": "alice", "CPU%": "98.0", "IPC": "0.49", "INS/s": "980M", "GHz": "2.00",
            "LLC%": "25.0", "L1D%": "-", "BR%": "1.00", "MPKI": "2.00", "MEAS%": "75.0",
        }  # fmt: skip

    def test_has_every_column_at_80_cells(self, view: View) -> None:
        view.show(table_of())
        assert list(line_of(view, 149, 80))[:11] == [column.title for column in counter_columns()[:-1]]

    def test_is_sorted_like_any_other(self, view: View) -> None:
        view.show(table_of(pids=(149, 120, 157, 150)))
        view.order_by("ipc")
        # what rests, and root's, has none and comes last
        assert pids(view) == [157, 149, 120, 1, 150]
        view.invert()
        assert pids(view) == [120, 149, 157, 1, 150]

    def test_sections_are_wanted_while_something_needs_them(self, view: View) -> None:
        more = {"process_counters", "alerts", "sources"}
        assert more <= view.sections
        view.show_tab(0)
        assert view.sections.isdisjoint(more)
        view.filter_by("ipc < 1 or cpu > 5")
        assert view.sections & more == {"process_counters", "sources"}
        view.filter_by("")
        view.page_open = True
        assert more <= view.sections

    def test_colours_are_those_of_the_thresholds(self) -> None:
        ipc = [counters.ipc_attribute(value) for value in (None, 0.49, 0.5, 1.99, 2.0)]
        assert ipc == ["dim", "memory_bound", "text", "text", "compute_bound"]
        share = [counters.measured_attribute(value) for value in (None, 19.9, 20.0, 90.0)]
        assert share == ["dim", "hot", "warm", "text"]

    def test_a_drop_is_marked_while_it_lasts(self, view: View) -> None:
        view.show(table_of(alerts=(149,)))
        assert line_of(view, 149)["IPC"] == ("0.49", "ipc_drop")
        assert line_of(view, 148)["IPC"] == ("0.48", "memory_bound")
        view.show(table_of())
        assert line_of(view, 149)["IPC"] == ("0.49", "memory_bound")

    def test_a_thread_has_none(self, view: View) -> None:
        base = machine(2)
        thread = row("threads", pid=149, tid=9999, start_boottime_ns=SECOND, state="R", comm="t", user_time_ns=0,
                     system_time_ns=0)  # fmt: skip
        view.threads = True
        view.show(process_table(machine(1), with_sections(base, ("threads", [thread])), True))
        assert line_of(view, 9999)["IPC"][0] == ABSENT


def test_a_filter_takes_counters_on_any_tab(view: View) -> None:
    view.show_tab(0)
    view.filter_by("ipc < 0.46 and cpu > 50")
    view.show(table_of())
    assert sorted(pids(view), key=str) == list(range(126, 146))
    view.filter_by("mpki >= 2 and measured < 80 and hertz < 2.1G and cpu > 97")
    assert pids(view) == [149]
    view.filter_by("ipc == none")
    assert pids(view) == [1, 100, 150]


def test_find_takes_counters() -> None:
    question = parse_question("ipc < 0.46 and cpu > 88 for 3s")
    assert needed_sections(question) == {"processes", "process_counters", "sources"}
    frames = [machine(seq) for seq in range(1, 7)]
    pairs = [Pair(before, after) for before, after in zip([None, *frames], frames, strict=False)]
    (found,) = find(pairs, question)
    assert (found.pid, found.still) == (145, True)
    assert found.greatest == {"ipc": pytest.approx(0.45), "cpu_percent": pytest.approx(90)}


def test_json_has_them_and_null_where_there_are_none() -> None:
    names = (
        *("ipc", "instructions_per_second", "effective_hertz", "llc_miss_percent", "l1d_miss_percent"),
        *("branch_miss_percent", "llc_misses_per_kilo_instruction", "counters_share_percent"),
    )
    order = Order("ipc")

    def first(pmu: bool) -> list[object]:
        pair = Pair(machine(1, COUNTED, pmu), machine(2, COUNTED, pmu))
        made = json.loads(json.dumps(document(pair, chosen(pair, Options(order=order)), names)))
        assert "process_counters" not in made
        return [made["processes"][0][name] for name in names]

    assert first(True) == [
        *(pytest.approx(0.57), pytest.approx(1.14e9), pytest.approx(2e9), pytest.approx(25), None),
        *(pytest.approx(1), pytest.approx(2), pytest.approx(75)),
    ]
    assert first(False) == [None] * len(names)


class TestWhyThereAreNone:
    def test_the_source_says_it(self) -> None:
        reason, fix = NO_PMU
        assert counters_problem(machine(1, pmu=False)) == f"Counters N/A: {reason}. Fix: {fix}"
        assert counters_problem(machine(1)) is None
        # not known from a frame without the section; and a daemon that knows nothing of counters
        assert counters_problem(frame(1, [process(1)])) is None
        assert counters_problem(with_sections(frame(1, [process(1)]), ("sources", []))) is not None

    def test_what_is_partly_there_is_not_called_absent(self) -> None:
        partly = row("sources", source="counters", state="degraded", reason="user mode alone", fix=None)
        assert counters_problem(with_sections(machine(1), ("sources", [partly]))) == "Counters: user mode alone"

    def test_it_is_said_once_and_as_soon_as_it_is_known(self, view: View) -> None:
        dashes, wanted = Dashes(), view.sections
        assert dashes.found(process_table(None, frame(1, [process(1)])), wanted) is None
        said = dashes.found(table_of(pmu=False), wanted)
        assert isinstance(said, str)
        assert "N/A" in said
        assert dashes.found(table_of(pmu=False), wanted) is None

    def test_nothing_is_said_where_nobody_asked(self) -> None:
        assert Dashes().found(table_of(pmu=False), {"processes"}) is None

    def test_others_counters_are_withheld(self, view: View) -> None:
        def at(seq: int) -> Frame:
            rows = [process(7, user_time_ns=seq * SECOND), process(8, user="root", user_time_ns=seq * SECOND // 2)]
            return with_sections(
                frame(seq, rows), ("process_counters", process_counters(seq, rows)), ("sources", sources(True))
            )

        said = Dashes().found(process_table(at(1), at(2)), view.sections)
        assert isinstance(said, Withheld)
        assert (
            said.sentence(None, at(2)) == "Dashes: what counters say of a process is for its user and for root to see."
        )
        of_alice = said.sentence(Access(False, 1000, "owner", "adm"), at(2))
        assert of_alice is not None
        assert "to its user, to root and to the group adm. To be let in: sudo usermod -aG adm " in of_alice
        # what came while it was counted
        assert said.sentence(Access(True, 0, "root", None), at(2)) is None
        # a process of alice that rests is no reason
        assert Dashes().found(table_of(pids=(149, 150)), view.sections) is None

    def test_batch_mode_says_it_where_counters_are_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        pair = Pair(machine(1, COUNTED, False), machine(2, COUNTED, False))
        for asked in (
            Options(columns=("pid", "ipc"), iterations=1),
            Options(order=Order("effective_hertz"), iterations=1),
            Options(filter_text="ipc < 1", iterations=1, json=True),
        ):
            assert print_pairs([pair], asked) == 0
            assert "Counters N/A: this machine has no PMU" in capsys.readouterr().err
        for asked in (Options(iterations=1), Options(iterations=1, json=True), Options(columns=("pid",), iterations=1)):
            print_pairs([pair], asked)
            assert capsys.readouterr().err == ""

    def test_the_help_has_it(self) -> None:
        text = "\n".join("".join(part for _, part in line) for line in help_page(UNICODE, "Counters N/A: none")._rows)
        assert "Counters N/A: none" in text

    def test_this_machine_says_which(self) -> None:
        """Whatever it has: cells with counts, or the reason, the same in every place."""
        environ = {"PYTHONPATH": f"{ROOT}:{ROOT}/protocol", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-P", "-m", *arguments],
                env=environ,
                cwd="/",
                capture_output=True,
                text=True,
                timeout=60,
            )

        checked = {one["source"]: one for one in json.loads(run("ztopd", "--check", "--json").stdout)}["counters"]
        batch = run("ztop_client", "-b", "-n", "1", "--json", "--columns", "pid,ipc")
        made = json.loads(batch.stdout)
        (told,) = (one for one in made["sources"] if one["source"] == "counters")
        assert told["state"] == checked["state"]
        if told["state"] == "absent":
            assert told["reason"] == checked["reason"]
            assert f"Counters N/A: {told['reason']}" in batch.stderr
            assert {one["ipc"] for one in made["processes"]} == {None}


@pytest.mark.parametrize(
    "words",
    [
        f"below {counters.MEMORY_BOUND_IPC:g}",
        f"{counters.COMPUTE_BOUND_IPC:g} and more",
        *("{:g} and {:g}".format(*pair) for pair in (counters.LLC_MISS_PERCENT, counters.L1D_MISS_PERCENT)),
        *(
            "{:g} and {:g}".format(*pair)
            for pair in (counters.BRANCH_MISS_PERCENT, counters.MISSES_PER_KILO_INSTRUCTION)
        ),
        f"below {counters.WELL_MEASURED_PERCENT:g}",
        f"below {counters.HARDLY_MEASURED_PERCENT:g}",
        *(f"`{column.name}`" for column in counter_columns()[3:-1]),
        *(f"| {column.title} |" for column in counter_columns()[3:-1]),
    ],
)
def test_the_page_has_every_column_and_threshold(words: str) -> None:
    assert words in PAGE


class TestTerminal:
    def test_without_a_pmu_the_tab_the_page_and_the_help_say_why(self) -> None:
        said = f"Counters N/A: {NO_PMU[0]}. Fix: {NO_PMU[1]}"
        with Driver(scripted("--no-pmu"), 100, 30) as d:
            d.wait("98.0")
            d.send("\t\t")
            d.wait("MEAS%")
            d.wait(said)
            d.send("\x1bOP")
            d.wait("ztop: keys")
            d.wait(NO_PMU[0])
            d.send("\x1b")
            d.wait(lambda: "ztop: keys" not in d.text)
            d.send("\r7")
            d.wait("Hardware counters")
            d.wait(lambda: NO_PMU[0] in d.text and "nothing was counted" in d.text)

    def test_the_filter_of_counters_on_the_main_tab(self) -> None:
        with Driver(scripted(), 100, 30) as d:
            d.wait("98.0")
            d.send("\x1bOSipc < 0.46 and cpu > 88\r")
            d.wait(lambda: "task145" in d.text and "task146" not in d.text and "task149" not in d.text)
