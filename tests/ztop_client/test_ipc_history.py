"""What is remembered of a process's IPC, and its chart."""

import pytest
import urwid
from hypothesis import given
from hypothesis import strategies as st

from tests.ztop_client.fake_source import SECOND, row, section
from tests.ztop_client.test_table import assert_exact
from ztop_client.glyphs import ASCII, UNICODE, Glyphs
from ztop_client.ipc_history import MOST_SPANS, IpcHistory, ipc_history
from ztop_client.widgets.canvas import draw
from ztop_client.widgets.ipc_chart import ipc_chart
from ztop_protocol.frame import Frame, Key

KEY: Key = (7, SECOND)


def counted(
    second: int, cycles: int | None, instructions: int | None = None, epoch: int = 1, boot: str = "boot"
) -> Frame:
    """The counts of process 7 so far; None: it is not counted."""
    rows = [
        row(
            "process_counters", pid=8, start_boottime_ns=SECOND, epoch_boottime_ns=1, cycles=second, instructions=second
        )
    ]
    if cycles is not None:
        rows.append(
            row("process_counters", pid=7, start_boottime_ns=SECOND, epoch_boottime_ns=epoch, cycles=cycles,
                instructions=instructions)
        )  # fmt: skip
    return Frame(
        second, 0, second * SECOND, boot, {"process_counters": section("process_counters", second * SECOND, rows)}
    )


def test_the_mean_of_every_part() -> None:
    frames = [counted(0, 0, 0), counted(1, 100, 100), counted(2, 200, 150), counted(3, 200, 150), counted(4, 300, 350)]
    history = ipc_history(frames, KEY)
    assert history.span_ns(4 * SECOND) == 4 * SECOND
    # it rested in the third second
    assert history.values(4, 4 * SECOND) == [1.0, 0.5, None, 2.0]
    assert history.values(1, 4 * SECOND) == [pytest.approx(350 / 300)]
    # two seconds: what is in the second half is not known but for its end
    assert history.values(2, 4 * SECOND) == [pytest.approx(0.75), 2.0]
    # of the past: no more than was known then
    assert history.values(2, 2 * SECOND) == [1.0, 0.5]
    assert history.values(3, 0) == [None] * 3


def test_counts_that_began_anew_went_back_or_are_of_another_boot_are_no_growth() -> None:
    for second in (
        counted(2, 500, 500, epoch=2),
        counted(2, 5, 500),
        counted(2, 500, 5),
        counted(2, 500, 500, boot="b"),
    ):
        assert ipc_history([counted(1, 100, 100), second], KEY).span_ns(2 * SECOND) == 0
    assert ipc_history([counted(1, 1, None), counted(2, 2, None)], KEY).span_ns(2 * SECOND) == 0


def test_a_boot_that_is_younger_than_the_one_before_is_counted() -> None:
    old = [counted(second, None, boot="old") for second in (5000, 5001)]
    new = [counted(10, 100, 100), counted(11, 200, 150)]
    assert ipc_history([*old, *new], KEY).values(1, 11 * SECOND) == [0.5]


def test_what_was_counted_before_it_was_first_seen_is_of_no_interval() -> None:
    history = ipc_history([counted(1, None), counted(2, 900, 900), counted(3, 1000, 1200)], KEY)
    assert history.values(1, 3 * SECOND) == [pytest.approx(3.0)]


def test_frames_come_once_and_in_order() -> None:
    history = ipc_history([counted(1, 0, 0), counted(3, 100, 100)], KEY)
    for late in (counted(3, 100, 100), counted(2, 50, 1000)):
        history.take(late)
    history.take(counted(4, 200, 150))
    history.take(Frame(9, 0, 9 * SECOND, "boot", {}))
    assert history.values(3, 4 * SECOND) == [1.0, 1.0, 0.5]


def test_a_long_past_takes_no_more_room() -> None:
    seconds = 3 * MOST_SPANS
    history = ipc_history((counted(second, 2 * second, second) for second in range(seconds)), KEY)
    assert len(history._spans) <= MOST_SPANS
    assert history.span_ns(seconds * SECOND) == seconds * SECOND
    assert history.values(10, (seconds - 1) * SECOND) == [pytest.approx(0.5)] * 10


GROWTHS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1000), st.integers(0, 4000)), min_size=1, max_size=60)


@given(GROWTHS, st.integers(1, 200))
def test_no_part_is_beyond_what_was_counted(growths: list[tuple[int, int, int]], points: int) -> None:
    second = cycles = instructions = 0
    frames = [counted(0, 0, 0)]
    for length, more_cycles, more_instructions in growths:
        second, cycles, instructions = second + length, cycles + more_cycles, instructions + more_instructions
        frames.append(counted(second, cycles, instructions))
    history = ipc_history(frames, KEY)
    ratios = [made / spent for _, spent, made in growths if spent]
    values = [value for value in history.values(points, second * SECOND) if value is not None]
    assert bool(values) == bool(ratios)
    assert all(min(ratios) * 0.999 <= value <= max(ratios) * 1.001 for value in values)
    if ratios:
        whole = sum(made for _, spent, made in growths if spent) / cycles
        assert history.values(1, second * SECOND) == [pytest.approx(whole)]


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", [26, 70, 76, 200])
def test_the_chart_fits_and_has_the_colours_of_the_tab(glyphs: Glyphs, width: int) -> None:
    urwid.set_encoding("ascii" if glyphs.ascii_only else "utf-8")
    frames = [counted(second, 100 * second, 250 * second if second < 50 else 250 * 50) for second in range(100)]
    rows = ipc_chart(ipc_history(frames, KEY), 99 * SECOND, width, glyphs)
    lines = [draw(line, width, glyphs, "box_text") for line in rows]
    assert_exact(lines, width, glyphs)
    assert "".join(text for _, text in rows[0]) == "Instructions per cycle in 1m39s"
    assert {style for style, _ in rows[1]} & {"memory_bound", "compute_bound"} == {"compute_bound"}
    assert "memory_bound" in {style for style, _ in rows[8]}
    assert "".join(text for _, text in rows[1]).startswith("    3 ")


def test_no_chart_where_nothing_is_known_or_there_is_no_room() -> None:
    assert ipc_chart(IpcHistory(KEY), 9 * SECOND, 80, UNICODE) == []
    assert ipc_chart(ipc_history([counted(0, 0, 0), counted(1, 1, 1)], KEY), SECOND, 20, UNICODE) == []
