"""What a person is looking at: order, filters, selection, tags, tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ztop_client.fake_source import ALICE_UID, GIBIBYTE, SECOND, frame, process, row, threads_of, with_sections
from ztop_client.columns.column import process_table
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import UNICODE
from ztop_client.view import View
from ztop_protocol.frame import Row
from ztop_protocol.query import QueryError
from ztop_protocol.rates import RATE_POSITION
from ztop_protocol.schema import PROCESSES


def shown(view: View, *rows: Row, seq: int = 2, before: tuple[Row, ...] = ()) -> View:
    """The view after a frame of ``rows``, a second after ``before``."""
    previous = frame(seq - 1, before or rows)
    view.show(process_table(previous, frame(seq, rows), view.threads))
    return view


@pytest.fixture
def view() -> View:
    made = View(tabs("alice"), UNICODE)
    made.kernel_threads = True
    return made


def pids(view: View) -> list[object]:
    return [key[0] for key in view.keys]


def io_row(pid: int, seq: int, read_bytes: int) -> Row:
    """What the kernel says of a process's I/O, read in the second ``seq``."""
    return row(
        "process_io", pid=pid, start_boottime_ns=SECOND, owner_uid=ALICE_UID,
        sampled_boottime_ns=(1000 + seq) * SECOND, io_read_bytes=read_bytes, io_write_bytes=0,
    )  # fmt: skip


FAMILY = (
    process(1, comm="init", user="root", ppid=0),
    process(2, comm="kthreadd", user="root", ppid=0, kernel_thread=True),
    process(10, 2 * SECOND, comm="shell", ppid=1, rss_bytes=1 * GIBIBYTE),
    process(20, 3 * SECOND, comm="editor", ppid=10, rss_bytes=3 * GIBIBYTE),
    process(21, 3 * SECOND, comm="compiler", ppid=10, rss_bytes=4 * GIBIBYTE),
    process(30, 4 * SECOND, comm="linker", ppid=21, user="bob", effective_uid=1001, rss_bytes=2 * GIBIBYTE),
)


class TestOrder:
    def test_cpu_first_and_ties_by_pid(self, view: View) -> None:
        before = tuple(process(pid) for pid in (4, 1, 3, 2))
        rows = (process(4), process(1), process(3, user_time_ns=SECOND // 2), process(2, user_time_ns=SECOND // 4))
        assert pids(shown(view, *rows, before=before)) == [3, 2, 1, 4]
        view.invert()
        assert pids(view) == [1, 4, 2, 3]

    def test_what_has_no_value_is_last_both_ways(self, view: View) -> None:
        rows = (process(1, rss_bytes=None), process(2, rss_bytes=5), process(3, rss_bytes=9))
        shown(view, *rows)
        view.order_by("rss_bytes")
        assert pids(view) == [3, 2, 1]
        view.invert()
        assert pids(view) == [2, 3, 1]

    def test_text_sorts_whatever_its_case_and_ascending(self, view: View) -> None:
        shown(view, process(1, user="bob"), process(2, user="Alice"), process(3, user="carol"))
        view.order_by("user")
        assert pids(view) == [2, 1, 3]

    def test_a_second_click_on_a_heading_inverts(self, view: View) -> None:
        shown(view, *FAMILY)
        resident = next(column for column in view.columns if column.name == "rss_bytes")
        view.sort_by(resident)
        assert pids(view)[:2] == [21, 20]
        view.sort_by(resident)
        assert pids(view)[-2:] == [20, 21]

    @given(st.lists(st.tuples(st.integers(1, 99), st.none() | st.integers(0, 5)), unique_by=lambda pair: pair[0]))
    def test_every_row_is_there_once_in_any_order(self, pairs: list[tuple[int, int | None]]) -> None:
        view = View(tabs("alice"), UNICODE)
        rows = [process(pid, rss_bytes=size, ppid=(pid * 7) % 50) for pid, size in pairs]
        shown(view, *rows)
        for column in view.columns:
            for tree in (False, True):
                view.tree = tree
                view.order_by(column.name)
                assert sorted(pids(view)) == sorted(pid for pid, _ in pairs)


class TestSelection:
    def test_stays_on_its_line_while_processes_move(self, view: View) -> None:
        shown(view, process(1), process(2), process(3))
        view.move(1)
        assert view.selected == (2, SECOND)
        shown(
            view, process(1), process(2), process(3, user_time_ns=SECOND), before=(process(1), process(2), process(3))
        )
        assert view.cursor == 1
        assert view.selected == (1, SECOND)

    def test_follows_its_process_when_asked(self, view: View) -> None:
        before = (process(1), process(2), process(3))
        shown(view, *before)
        view.move(2)
        view.follow = True
        shown(view, process(1), process(2), process(3, user_time_ns=SECOND), before=before)
        assert view.cursor == 0
        assert view.selected == (3, SECOND)

    def test_a_reused_pid_is_not_followed(self, view: View) -> None:
        shown(view, process(1), process(2), process(3))
        view.move(2)
        view.follow = True
        shown(view, process(1), process(2), process(3, 9 * SECOND, user_time_ns=SECOND))
        assert view.cursor == 2

    def test_is_within_the_table_that_shrank(self, view: View) -> None:
        shown(view, process(1), process(2), process(3))
        view.move(99)
        shown(view, process(1))
        assert view.selected == (1, SECOND)
        shown(view)
        assert view.selected is None
        assert view.targets() == []

    def test_the_window_holds_the_cursor(self, view: View) -> None:
        shown(view, *(process(pid) for pid in range(1, 101)))
        assert view.window(10) == view.keys[:10]
        view.move(view.page)
        assert view.window(10) == view.keys[1:11]
        view.move(1000)
        assert view.window(10) == view.keys[90:]
        view.roll(-5)
        assert view.window(10) == view.keys[85:95]
        assert view.cursor == 94
        assert view.window(0) == []

    def test_a_click_below_the_last_row_selects_nothing(self, view: View) -> None:
        shown(view, process(1), process(2))
        view.window(10)
        assert not view.point(5)
        assert view.point(1)
        assert view.selected == (2, SECOND)


class TestFilters:
    def test_text_in_name_command_or_user(self, view: View) -> None:
        shown(view, *FAMILY)
        view.filter_by("COMP")
        assert pids(view) == [21]
        view.filter_by("bob")
        assert pids(view) == [30]
        view.filter_by("")
        assert len(pids(view)) == len(FAMILY)

    def test_an_expression_is_of_what_the_screen_shows(self, view: View) -> None:
        busy = tuple(process(pid, user_time_ns=pid * SECOND // 10) for pid in (1, 2, 3))
        shown(view, *busy, before=tuple(process(pid) for pid in (1, 2, 3)))
        for text, expected in (
            ("cpu > 10", [3, 2]),
            ("cpu>10 and not pid == 3", [2]),
            ("age >= 1001s and mem < 1 and time < 200ms", [1]),
            ("command ~ 'id [13]'", [3, 1]),
            ('"task2" or pid = 3', [3, 2]),
            ("exe == none", [3, 2, 1]),
            ("exe != 'sh'", []),
            ('"task2"', [2]),
        ):
            view.filter_by(text)
            assert pids(view) == expected, text

    def test_an_expression_is_asked_again_of_every_frame(self, view: View) -> None:
        view.filter_by("cpu > 50")
        before = (process(1), process(2))
        assert pids(shown(view, process(1, user_time_ns=SECOND), process(2), before=before)) == [1]
        assert pids(shown(view, process(1), process(2, user_time_ns=SECOND), before=before)) == [2]

    def test_what_cannot_be_meant_leaves_the_filter_as_it_was(self, view: View) -> None:
        shown(view, *FAMILY)
        view.filter_by("rss > 2G")
        with pytest.raises(QueryError):
            view.filter_by("rss > ")
        assert (view.filter_text, pids(view)) == ("rss > 2G", [20, 21])

    def test_sections_that_an_expression_reads_are_wanted_while_it_is_asked(self, view: View) -> None:
        usual = view.sections
        view.filter_by("not (read > 1M or exe == '/bin/sh')")
        assert view.sections - usual == {"process_io", "process_executables"}
        view.filter_by("read")
        assert view.sections == usual

    def test_what_rests_reads_nothing_as_its_column_says(self, view: View) -> None:
        rows = (process(1), process(2), process(3))
        frames = [
            with_sections(
                frame(seq, rows),
                ("process_io", [io_row(1, 1, 7), io_row(2, seq, seq << 20)]),
            )
            for seq in (1, 2)
        ]
        view.show(process_table(*frames))
        for text, expected in (("read == 0", [1]), ("read > 512K", [2]), ("read == none", [3])):
            view.filter_by(text)
            assert pids(view) == expected, text

    def test_one_user(self, view: View) -> None:
        shown(view, *FAMILY)
        assert view.users() == [("alice", ALICE_UID), ("bob", 1001), ("root", 0)]
        view.show_user(0)
        assert pids(view) == [1, 2]
        view.show_user(None)
        assert len(pids(view)) == len(FAMILY)

    def test_some_pids(self, view: View) -> None:
        view.pids = frozenset({10, 30, 99})
        assert pids(shown(view, *FAMILY)) == [10, 30]

    def test_kernel_threads_are_hidden_until_asked_for(self) -> None:
        view = shown(View(tabs("alice"), UNICODE), *FAMILY)
        assert 2 not in pids(view)
        view.toggle_kernel_threads()
        assert 2 in pids(view)

    def test_the_selected_process_stays_selected_while_one_types(self, view: View) -> None:
        shown(view, *FAMILY)
        view.point(4)
        selected = view.selected
        view.filter_by("er")
        assert view.selected == selected

    def test_search_goes_around(self, view: View) -> None:
        shown(view, *FAMILY)
        view.order_by("pid")
        assert view.search("er")
        assert view.selected == (21, 3 * SECOND)
        assert view.search("er", again=True)
        assert view.selected == (30, 4 * SECOND)
        assert view.search("init", again=True)
        assert view.selected == (1, SECOND)
        assert not view.search("no such thing")
        assert view.selected == (1, SECOND)


class TestTags:
    def test_targets_are_the_tagged_else_the_selected(self, view: View) -> None:
        shown(view, *FAMILY)
        view.order_by("pid")
        assert view.targets() == [(1, SECOND)]
        view.move(2)
        view.tag()
        view.tag()
        assert view.targets() == [(10, 2 * SECOND), (20, 3 * SECOND)]
        assert view.selected == (21, 3 * SECOND)

    def test_descendants(self, view: View) -> None:
        shown(view, *FAMILY)
        view.order_by("pid")
        view.move(2)
        view.tag_descendants()
        assert [key[0] for key in view.targets()] == [10, 20, 21, 30]

    def test_the_tag_of_a_process_that_ended_goes(self, view: View) -> None:
        shown(view, *FAMILY)
        view.order_by("pid")
        view.move(5)
        view.tag()
        shown(view, *FAMILY[:5], process(30, 9 * SECOND))
        assert view.tagged == set()


class TestTree:
    def test_children_below_parents_sorted_among_siblings(self, view: View) -> None:
        shown(view, *FAMILY)
        view.order_by("rss_bytes")
        view.toggle_tree()
        assert pids(view) == [1, 10, 21, 30, 20, 2]
        assert [view.prefixes[key] for key in view.keys] == ["", "└─ ", "   ├─ ", "   │  └─ ", "   └─ ", ""]

    def test_folding_hides_descendants(self, view: View) -> None:
        shown(view, *FAMILY)
        view.order_by("pid")
        view.toggle_tree()
        view.move(1)
        view.fold()
        assert pids(view) == [1, 10, 2]
        assert view.prefixes[10, 2 * SECOND] == "└─ ▸ "
        view.fold()
        assert len(pids(view)) == len(FAMILY)
        view.fold_all()
        assert pids(view) == [1, 2]

    def test_a_parent_that_is_filtered_out_leaves_roots(self, view: View) -> None:
        shown(view, *FAMILY)
        view.toggle_tree()
        view.filter_by("linker")
        assert pids(view) == [30]
        assert view.prefixes[30, 4 * SECOND] == ""

    def test_a_parent_younger_than_its_child_is_none(self, view: View) -> None:
        shown(view, process(5, ppid=9), process(9, 7 * SECOND, ppid=5))
        view.toggle_tree()
        assert pids(view) == [5, 9]
        shown(view, process(5, 3 * SECOND, ppid=9), process(9, 3 * SECOND, ppid=5))
        assert sorted(pids(view), key=str) == [5, 9]


class TestThreads:
    @pytest.fixture
    def threaded(self, view: View) -> View:
        view.threads = True
        made = [with_sections(frame(seq, FAMILY), ("threads", threads_of(seq, FAMILY[2:3]))) for seq in (1, 2)]
        view.show(process_table(*made, view.threads))
        return view

    def test_are_rows_of_their_own_under_their_process(self, threaded: View) -> None:
        assert pids(threaded)[0] == 1002
        threaded.order_by("pid")
        threaded.toggle_tree()
        assert pids(threaded) == [1, 10, 20, 21, 30, 1001, 1002, 2]
        table = threaded.table
        assert table is not None
        row = table.processes[1002, 2 * SECOND]
        assert row[PROCESSES.position["comm"]] == "worker-10"
        assert row[PROCESSES.position["rss_bytes"]] == GIBIBYTE
        assert table.rates["processes"].cell((1002, 2 * SECOND), RATE_POSITION["processes"]["cpu_percent"]) == 25

    def test_act_on_their_process(self, threaded: View) -> None:
        threaded.tag()
        threaded.filter_by("idler-10")
        threaded.tag()
        assert threaded.targets() == [(10, 2 * SECOND)]

    def test_stay_with_their_process_in_a_filter(self, threaded: View) -> None:
        threaded.filter_by("shell")
        assert sorted(pids(threaded), key=str) == [10, 1001, 1002]
        threaded.filter_by("worker")
        assert pids(threaded) == [1002]
        threaded.filter_by("rss == 1G and name == shell")
        assert sorted(pids(threaded), key=str) == [10, 1001, 1002]
        threaded.filter_by("cpu > 20")
        assert pids(threaded) == [1002]

    def test_of_a_process_that_is_not_in_the_frame_are_left_out(self, view: View) -> None:
        made = with_sections(frame(1, FAMILY[:2]), ("threads", threads_of(1, FAMILY[2:3])))
        view.show(process_table(None, made, True))
        assert sorted(pids(view), key=str) == [1, 2]


class TestTabs:
    def test_each_has_its_own_order(self, view: View) -> None:
        shown(view, *FAMILY)
        view.order_by("rss_bytes")
        view.show_tab(1)
        assert view.sort.name == "io_bytes_per_second"
        view.order_by("pid")
        view.invert()
        view.show_tab(3)
        assert (view.tab.name, view.sort.name, view.descending) == ("Main", "rss_bytes", True)
        view.show_tab(1)
        assert (view.sort.name, view.descending) == ("pid", True)

    def test_a_column_of_another_tab_is_sorted_there(self, view: View) -> None:
        shown(view, *FAMILY)
        view.show_tab(1)
        view.order_by("cpu_percent")
        assert view.tab.name == "Main"
        # this one has it, too
        view.show_tab(2)
        view.order_by("cpu_percent")
        assert view.tab.name == "Counters"

    def test_only_the_sections_that_are_drawn_are_wanted(self, view: View) -> None:
        assert "process_io" not in view.sections
        assert "threads" not in view.sections
        view.show_tab(1)
        assert "process_io" in view.sections
        view.threads = True
        assert "threads" in view.sections


@pytest.mark.parametrize("descending", [False, True])
def test_numbers_among_texts_are_sorted_somehow(view: View, descending: bool) -> None:
    view.order_by("user")
    view.tab.descending = descending
    shown(view, process(1, user=5), process(2, user="bob"), process(3, user=None), process(4, user="6"))
    assert pids(view)[-1] == 3 and sorted(map(str, pids(view))) == ["1", "2", "3", "4"]
