"""Questions to the frames of a time: stretches as a naive evaluator finds them, and the rules one by one."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ztop_client.fake_source import ALICE_UID, SECOND, frame, process, row, section
from ztop_client.find import LONGEST_STEP_NS, Finder, Stretch, find, needed_sections
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Cell, Frame, Key, Row, Section
from ztop_protocol.processes import POSITION, joined
from ztop_protocol.query import parse_question
from ztop_protocol.schema import PROCESS_IO, PROCESSES


def at(
    seconds: float,
    processes: Iterable[Row],
    io: Iterable[Row] | None = None,
    *,
    seq: int | None = None,
    boot_id: str = "a",
    put_forward: int = 0,
) -> Frame:
    """A frame of the second after 1000, on a wall clock that was put forward."""
    now = round((1000 + seconds) * SECOND)
    base = frame(0, ())
    sections = {"memory": base.sections["memory"], "processes": section("processes", now, processes)}
    if io is not None:
        sections["process_io"] = section("process_io", now, io)
    number = round(seconds) if seq is None else seq
    return Frame(number, 10**18 + now + put_forward, now, boot_id, sections)


def pairs(frames: Iterable[Frame]) -> Iterator[Pair]:
    pair: Pair | None = None
    for one in frames:
        pair = Pair(None, one) if pair is None else pair.followed_by(one)
        yield pair


def busy(percent: Sequence[int], pid: int = 7) -> list[Frame]:
    """One process: the CPU that it used of every second."""
    frames, used = [at(0, [process(pid, user_time_ns=0)])], 0
    for second, one in enumerate(percent, 1):
        used += one * SECOND // 100
        frames.append(at(second, [process(pid, user_time_ns=used)]))
    return frames


def found(text: str, frames: Iterable[Frame]) -> list[tuple[float, float, bool]]:
    """From and to, in seconds after 1000, and whether it held to the end."""
    return [
        ((one.from_ns - 10**18) / SECOND - 1000, (one.to_ns - 10**18) / SECOND - 1000, one.still)
        for one in find(pairs(frames), parse_question(text))
    ]


class TestRules:
    def test_who_when_how_long_and_how_much(self) -> None:
        [one] = find(pairs(busy([10, 90, 99, 95, 20])), parse_question("cpu > 80 and rss > 1M for 3s"))
        assert one == Stretch(
            *("a", 7, SECOND, "task7", "alice", "/usr/bin/task7 --id 7"),
            *(10**18 + 1001 * SECOND, 10**18 + 1004 * SECOND, 3 * SECOND, 2),
            *({"cpu_percent": pytest.approx(99), "rss_bytes": 10 << 20}, False),
        )

    def test_a_frame_speaks_of_the_time_since_the_one_before_it(self) -> None:
        assert found("cpu > 80", busy([90])) == [(0, 1, True)]
        assert found("cpu > 80", busy([90, 0, 90, 90])) == [(0, 1, False), (2, 4, True)]

    def test_what_is_too_short_is_left_out(self) -> None:
        assert found("cpu > 80 for 2s", busy([90, 0, 90, 90, 0])) == [(2, 4, False)]
        assert found("cpu > 80 for 2.1s", busy([90, 0, 90, 90, 0])) == []

    def test_frames_are_some_milliseconds_off_their_tick(self) -> None:
        late = [at(0.005, [process(7)]), at(1.001, [process(7, user_time_ns=SECOND)])]
        assert len(found("cpu > 80 for 1s", late)) == 1
        assert found("cpu > 80 for 1.1s", late) == []

    def test_a_process_did_nothing_before_it_was_there(self) -> None:
        born = process(8, round(1000.7 * SECOND), user_time_ns=SECOND // 10)
        assert found("cpu > 5", [at(0, []), at(1, [born])]) == [(pytest.approx(0.7), 1, True)]

    def test_the_end_of_a_process_ends_it(self) -> None:
        assert found("rss > 1", [*busy([0, 0]), at(3, []), at(4, [])]) == [(0, 2, False)]

    def test_a_pid_that_is_reused_is_another_process(self) -> None:
        again = [at(second, [process(7, 1003 * SECOND)]) for second in (3, 4)]
        assert found("rss > 1", [*busy([0, 0]), *again]) == [(0, 2, False), (3, 4, True)]

    def test_what_was_missed_ends_it(self) -> None:
        frames = [at(second, [process(7)]) for second in (0, 1, 100, 300, 301)]
        assert LONGEST_STEP_NS < 200 * SECOND
        assert found("rss > 1", frames) == [(0, 100, False), (300, 301, True)]

    def test_another_boot_ends_it(self) -> None:
        frames = [*busy([0, 0]), *(at(second, [process(7)], boot_id="b") for second in (3, 4))]
        assert found("rss > 1", frames) == [(0, 2, False), (3, 4, True)]

    def test_no_rates_no_answer(self) -> None:
        assert found("cpu >= 0", busy([5])[:1]) == []
        assert found("cpu == none", busy([5])[:1]) == [(0, 0, True)]

    def test_the_wall_clock_may_be_set(self) -> None:
        frames = [at(second, [process(7)], put_forward=0 if second < 2 else -3600 * SECOND) for second in range(4)]
        [one] = find(pairs(frames), parse_question("rss > 1 for 3s"))
        assert (one.duration_ns, one.to_ns - one.from_ns) == (3 * SECOND, -3597 * SECOND)

    def test_it_is_who_it_was_in_the_end(self) -> None:
        rows = (process(7, comm="sh"), process(7, comm="make"), process(7, comm="make"))
        [one] = find(pairs(at(second, [one]) for second, one in enumerate(rows)), parse_question("rss > 1"))
        assert one.comm == "make"

    def test_the_sections_that_are_needed(self) -> None:
        assert needed_sections(parse_question("cpu > 1")) == {"processes"}
        assert needed_sections(parse_question("mem > 1 or read > 1 for 5s")) == {"processes", "memory", "process_io"}
        assert needed_sections(parse_question("exe == x")) == {"processes", "process_executables"}


def reading(seconds: Iterable[int], read: Iterable[tuple[int, int]], busy_in: Iterable[int] = ()) -> list[Frame]:
    """One process, whose I/O was read in the seconds given: the bytes that it had read by then."""
    at_second, worked, last, frames = dict(read), set(busy_in), io(0, 0), []
    used = 0
    for second in seconds:
        if second in at_second:
            last = io(second, at_second[second])
        used += SECOND // 2 if second in worked else 0
        frames.append(at(second, [process(7, user_time_ns=used)], [last]))
    return frames


def io(second: int, read_bytes: int, pid: int = 7) -> Row:
    return row(
        "process_io", pid=pid, start_boottime_ns=SECOND, owner_uid=ALICE_UID, io_read_bytes=read_bytes,
        sampled_boottime_ns=(1000 + second) * SECOND,
    )  # fmt: skip


class TestWhatIsNotReadInEveryFrame:
    def test_a_stretch_goes_on_to_the_next_answer(self) -> None:
        frames = reading(range(8), [(0, 0), (1, 1000), (2, 2000), (6, 8000), (7, 8000)])
        assert found("read > 900", frames) == [(0, 6, False)]

    def test_it_has_ended_before_where_that_is_no(self) -> None:
        frames = reading(range(8), [(0, 0), (1, 1000), (2, 2000), (6, 2001)])
        assert found("read > 900", frames) == [(0, 2, False)]
        assert found("read > 900", frames[:5]) == [(0, 2, False)]

    def test_none_begins_there(self) -> None:
        frames = reading(range(8), [(0, 0), (5, 5000)])
        assert found("read > 900", frames) == [(4, 5, False)]

    def test_what_the_answer_does_not_hang_on_may_be_unread(self) -> None:
        frames = reading(range(6), [(0, 0), (1, 1000), (2, 2000)], busy_in=(1, 2))
        assert found("read > 900 and cpu > 10", frames) == [(0, 2, False)]
        assert found("cpu > 10 or read > 900", frames) == [(0, 2, False)]
        assert found("cpu < 10 or read > 900", frames) == [(0, 5, True)]
        assert found("not (read < 900 or cpu < 10)", frames) == [(0, 2, False)]

    def test_the_end_of_the_process_ends_it_where_it_was_known(self) -> None:
        frames = [*reading(range(5), [(0, 0), (1, 1000), (2, 2000)]), at(5, [], [])]
        assert found("read > 900", frames) == [(0, 2, False)]

    def test_withheld_is_absent(self) -> None:
        frames = [at(second, [process(7)], []) for second in range(3)]
        assert found("read < 900", frames) == []
        assert found("read == none", frames) == [(0, 2, True)]

    def test_from_when_it_is_withheld_it_is_absent(self) -> None:
        frames = [
            *reading(range(4), [(0, 0), (1, 1000)]),
            *(at(second, [process(7, user_time_ns=0)], []) for second in (4, 5)),
        ]
        rows = frames[0].rows("processes")
        resting = [
            replace(one, sections={**one.sections, "processes": Section(one.boottime_ns, rows)}) for one in frames
        ]
        assert found("read == none", resting) == [(0, 0, False), (3, 5, True)]


# against a naive evaluator


@dataclass(frozen=True)
class Asked:
    """A question, and what it means of a joined row; ``reads``: whether more than 100 bytes were read."""

    text: str
    means: Callable[[Row, int, bool], bool]


def cell(one: Row, name: str) -> float:
    value = one[POSITION[name]]
    # what is absent satisfies no comparison
    return float(value) if isinstance(value, (int, float)) else float("nan")


ASKED = (
    Asked("cpu > 50", lambda one, age, reads: cell(one, "cpu_percent") > 50),
    Asked("not cpu > 50", lambda one, age, reads: not cell(one, "cpu_percent") > 50),
    Asked("rss >= 3 and cpu < 50",
          lambda one, age, reads: cell(one, "rss_bytes") >= 3 and cell(one, "cpu_percent") < 50),
    Asked("age > 3s", lambda one, age, reads: age > 3 * SECOND),
    Asked("age >= 2s and not age == 4s", lambda one, age, reads: age >= 2 * SECOND and age != 4 * SECOND),
    Asked("age < 12s and cpu <= 50", lambda one, age, reads: age < 12 * SECOND and cell(one, "cpu_percent") <= 50),
    Asked("mem > 25", lambda one, age, reads: cell(one, "memory_percent") > 25),
    Asked("read > 100", lambda one, age, reads: reads),
    Asked("not read > 100", lambda one, age, reads: not reads),
    Asked("cpu > 50 and read > 100", lambda one, age, reads: cell(one, "cpu_percent") > 50 and reads),
    Asked("read > 100 or cpu > 50", lambda one, age, reads: cell(one, "cpu_percent") > 50 or reads),
    Asked(
        "not (read > 100 and (rss > 2 or cpu > 50))",
        lambda one, age, reads: not (reads and (cell(one, "rss_bytes") > 2 or cell(one, "cpu_percent") > 50)),
    ),
)  # fmt: skip
STARTS: dict[int, int] = {1: 1, 2: 999, 3: 1003}
"""pid -> the second in which it started."""
IO_CLOCK = PROCESS_IO.position["sampled_boottime_ns"]


@st.composite
def histories(draw: st.DrawFn) -> list[Frame]:
    """A few processes: most rest, their rows are the same objects or equal ones, sections lag, time leaps."""
    frames: list[Frame] = []
    second, boot = 0, 0
    rows: dict[int, Row] = {}
    ios: dict[int, Row] = {}
    for seq in range(draw(st.integers(1, 14))):
        second += draw(st.sampled_from((1, 1, 1, 1, 2, 10, 200)))
        if draw(st.integers(0, 15)) == 0:
            boot, rows, ios = boot + 1, {}, {}
        total = draw(st.sampled_from((8, 8, 8, 16)))
        for pid, start in STARTS.items():
            if draw(st.integers(0, 12)) == 0 or start > 1000 + second:
                rows.pop(pid, None)
                ios.pop(pid, None)
                continue
            one = rows.setdefault(pid, process(pid, start * SECOND, user_time_ns=0, rss_bytes=3))
            change = draw(st.sampled_from(("rest", "rest", "rest", "copy", "work", "hard work", "grow")))
            if change == "copy":
                rows[pid] = (*one,)
            elif change in ("work", "hard work"):
                share = 4 if change == "work" else 1
                rows[pid] = with_cell(one, "user_time_ns", int(one[POSITION["user_time_ns"]]) + SECOND // share)  # type: ignore[arg-type]
            elif change == "grow":
                rows[pid] = with_cell(one, "rss_bytes", draw(st.integers(1, 4)))
            if draw(st.integers(0, 3)) == 0:
                read = int(ios[pid][PROCESS_IO.position["io_read_bytes"]]) if pid in ios else 0  # type: ignore[arg-type]
                more = draw(st.sampled_from((0, 50, 1000)))
                ios[pid] = (pid, start * SECOND, *io(second, read + more, pid)[2:])
            elif draw(st.integers(0, 8)) == 0:
                ios.pop(pid, None)
        made = at(second, rows.values(), ios.values(), seq=seq, boot_id=str(boot))
        memory: Section = section("memory", made.boottime_ns, [row("memory", total_bytes=total)])
        made = replace(made, sections={**made.sections, "memory": memory})
        lagging = draw(st.sampled_from((None, None, None, "processes", "process_io")))
        if lagging and frames and frames[-1].boot_id == made.boot_id:
            made = replace(made, sections={**made.sections, lagging: frames[-1].sections[lagging]})
        frames.append(made)
    return frames


def with_cell(one: Row, name: str, value: Cell) -> Row:
    place = PROCESSES.position[name]
    return (*one[:place], value, *one[place + 1 :])


def naive(frames: list[Frame], asked: Asked, duration_ns: int) -> set[tuple[object, ...]]:
    """Every process by itself: a letter a frame, and a stretch is what a pattern finds among them."""
    result: set[tuple[object, ...]] = set()
    blocks: list[list[Pair]] = []
    for pair in pairs(frames):
        last = blocks[-1][-1].current if blocks else None
        apart = None if last is None else pair.current.boottime_ns - last.boottime_ns
        if last is None or apart is None or last.boot_id != pair.current.boot_id or apart > LONGEST_STEP_NS:
            blocks.append([])
        blocks[-1].append(pair)
    for block in blocks:
        for key in {key for pair in block for key in pair.current.rows("processes")}:
            letters = "".join(letter(pair, key, asked) for pair in block)
            for run in re.finditer("T(?:[TN]*T)?", letters):
                first, last_one = block[run.start()].current, block[run.end() - 1].current
                before = block[max(run.start() - 1, 0)].current
                begin_ns = min(max(before.boottime_ns, int(str(key[1]))), first.boottime_ns)
                length_ns = last_one.boottime_ns - begin_ns
                if length_ns >= duration_ns:
                    is_last = block is blocks[-1] and run.end() == len(block)
                    used = [
                        cell(joined(pair.previous, pair.current)[key], "cpu_percent")
                        for pair, one in zip(block[run.start() : run.end()], run[0], strict=True)
                        if one == "T"
                    ]
                    result.add((key, begin_ns, last_one.boottime_ns, is_last, first.seq, greatest(used)))
    return result


def greatest(values: list[float]) -> float | None:
    return max((value for value in values if value == value), default=None)


def letter(pair: Pair, key: Key, asked: Asked) -> str:
    """T, F, or N where it depends on a rate that was not read."""
    rows = joined(pair.previous, pair.current)
    if key not in rows:
        return "-"
    now = pair.current.rows("process_io").get(key)
    then = None if pair.previous is None else pair.previous.rows("process_io").get(key)
    is_unread = now is not None and then is not None and now[IO_CLOCK] == then[IO_CLOCK]
    known = cell(rows[key], "io_read_bytes_per_second") > 100
    age = pair.current.boottime_ns - int(str(key[1]))
    answers = {asked.means(rows[key], age, reads) for reads in ((True, False) if is_unread else (known,))}
    return "N" if len(answers) > 1 else "T" if answers == {True} else "F"


@given(histories(), st.sampled_from(ASKED), st.sampled_from((0, 2, 10)))
@settings(deadline=None, max_examples=400)
def test_stretches_are_those_of_a_naive_evaluator(frames: list[Frame], asked: Asked, seconds: int) -> None:
    finder = Finder(parse_question(f"{asked.text} for {seconds}s"))
    seen: list[Stretch] = []
    for pair in pairs(frames):
        seen += finder.take(pair)
    seen += finder.rest()
    assert len({(one.pid, one.first_seq) for one in seen}) == len(seen)
    offset = 10**18
    assert {
        (
            *((one.pid, one.start_boottime_ns), one.from_ns - offset, one.to_ns - offset, one.still, one.first_seq),
            one.greatest.get("cpu_percent") if "cpu" in asked.text else None,
        )
        for one in seen
    } == {(*one[:-1], one[-1] if "cpu" in asked.text else None) for one in naive(frames, asked, seconds * SECOND)}
