"""``ztop --find``: whom a question means, in what is remembered or recorded, and when: as lines of text or of JSON."""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

from tqdm import tqdm

from ztop_client.batch import columns_of_terminal, print_texts
from ztop_client.find import Finder, Stretch, by_begin, needed_sections
from ztop_client.formats import (
    bytes_text,
    count_text,
    label_text,
    load_text,
    percent_text,
    rate_text,
    seconds_text,
    span_text,
)
from ztop_client.moments import moment_text
from ztop_client.options import Options
from ztop_client.sources.past import NothingThen, Past, asked_ns, note, open_past, pairs
from ztop_client.text import fit, fit_left, fit_right, printable, width
from ztop_protocol.connection import RemoteError
from ztop_protocol.frame import Cell
from ztop_protocol.garbage import collect_seldom
from ztop_protocol.query import Question, parse_question
from ztop_protocol.query_fields import FIELDS, Measure
from ztop_protocol.recording_format import RecordingError

MOST_FOUND = 100_000
"""So many are kept to be sorted."""
_END_OF_TIME_NS = (1 << 63) - 1
_SECOND_NS = 1_000_000_000
_EXACT_NS = 100 * _SECOND_NS
_DATE_LENGTH = len("2026-11-24 ")


@dataclass(slots=True)
class _Search:
    """What came of it."""

    found: list[Stretch]
    lacks: Sequence[str] = ()
    """See :meth:`ztop_client.find.Finder.lacks`."""
    frames: int = 0
    is_interrupted: bool = False


def run(options: Options) -> int:
    """Prints what is found; the exit status: 1 where that is nothing, 130 after Ctrl-C, with what was found until then.

    Raises :exc:`ztop_client.channel.DaemonUnreachable`.
    """
    assert options.find_text is not None
    question = parse_question(options.find_text)
    collect_seldom()
    try:
        with closing(open_past(options.replay_path, options.socket_path, options.ssh_host)) as past:
            from_ns, to_ns = (
                asked_ns(past, options.from_text, 0),
                asked_ns(past, options.to_text, _END_OF_TIME_NS),
            )
            search = _searched(past, question, from_ns, to_ns)
            if (sentence := note(past)) is not None:
                options.program.say(sentence)
            title = past.title
    except (NothingThen, RecordingError, RemoteError) as error:
        options.program.say(str(error))
        return 1
    status = _printed(search, options) if search.found else _nothing(search, title, options)
    return 130 if search.is_interrupted else status


def _searched(past: Past, question: Question, from_ns: int, to_ns: int) -> _Search:
    """Every stretch of that time, by its begin."""
    finder, search = Finder(question), _Search([])
    span = past.span()
    begin_ns, end_ns = (0, 0) if span is None else (max(span[0], from_ns), min(span[1], to_ns))
    seconds = max(1, (end_ns - begin_ns) // _SECOND_NS)
    with (
        _until_interrupted() as is_interrupted,
        tqdm(total=seconds, unit="s", desc="find", disable=not sys.stderr.isatty(), leave=False) as bar,
    ):
        for pair in pairs(past, from_ns, to_ns, needed_sections(question)):
            search.frames += 1
            search.found += finder.take(pair)
            bar.update(max(0, min((pair.current.time_ns - begin_ns) // _SECOND_NS, seconds) - int(bar.n)))
            search.is_interrupted = is_interrupted()
            if search.is_interrupted or len(search.found) >= MOST_FOUND:
                break
        search.found += finder.rest()
    search.lacks = finder.lacks()
    search.found.sort(key=by_begin)
    return search


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Whether there was a Ctrl-C, to be looked at between two frames; a second one ends the program."""
    is_asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_asked
        if is_asked:
            raise KeyboardInterrupt
        is_asked = True

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: is_asked
    finally:
        signal.signal(signal.SIGINT, before)


def _nothing(search: _Search, title: str, options: Options) -> int:
    options.program.say(
        f"there is no process in {title} of which that held{_because(search)}"
        if search.frames
        else f"{title} has no frame of that time: nothing was asked"
    )
    return 1


def _because(search: _Search) -> str:
    return f": {', '.join(search.lacks)}" if search.lacks else ""


def _printed(search: _Search, options: Options) -> int:
    shown = search.found[: options.limit]
    status = print_texts(map(json_line, shown) if options.json else _lines(shown), options.program)
    for lack in search.lacks:
        options.program.say(lack)
    if len(search.found) >= MOST_FOUND:
        options.program.say(f"more than {MOST_FOUND} were found: the search ended there")
    elif len(shown) < len(search.found):
        options.program.say(f"{len(search.found) - len(shown)} more were found")
    return status


def json_line(stretch: Stretch) -> str:
    """The stretch as one line, in ASCII; ``greatest`` has the fields asked by their full names."""
    document = {
        "pid": stretch.pid,
        "start_boottime_ns": stretch.start_boottime_ns,
        "boot_id": stretch.boot_id,
        "comm": stretch.comm,
        "user": stretch.user,
        "command_line": stretch.command_line,
        "from_ns": stretch.from_ns,
        "to_ns": stretch.to_ns,
        "duration_ns": stretch.duration_ns,
        "still": stretch.still,
        "first_seq": stretch.first_seq,
        "greatest": stretch.greatest,
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"


# as text: a table as wide as what is in it

_FORMATS: dict[Measure, Callable[[Cell], str]] = {
    Measure.PERCENT: percent_text,
    Measure.BYTES: bytes_text,
    Measure.COUNT: count_text,
    Measure.DURATION: span_text,
    Measure.SECONDS: seconds_text,
}


def _lines(stretches: Sequence[Stretch]) -> Iterator[str]:
    names = sorted({name for stretch in stretches for name in stretch.greatest})
    titles = ["FROM", "TO", "FOR", "PID", "USER", "NAME", *(f"MAX {name.upper()}" for name in names), "COMMAND"]
    rows = [titles, *([printable(cell) for cell in _cells(stretch, names)] for stretch in stretches)]
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    is_left = [title in ("FROM", "TO", "USER", "NAME", "COMMAND") for title in titles]
    columns = columns_of_terminal()
    for row in rows:
        line = " ".join(
            (fit_left if left else fit_right)(cell, wide) for cell, wide, left in zip(row, widths, is_left, strict=True)
        )
        yield (line if columns is None else fit(line, columns)).rstrip() + "\n"


def _cells(stretch: Stretch, names: Sequence[str]) -> Iterator[str]:
    begin, end = moment_text(stretch.from_ns), moment_text(stretch.to_ns)
    if begin[:_DATE_LENGTH] == end[:_DATE_LENGTH]:
        end = end[_DATE_LENGTH:]
    yield begin
    yield f"{end} still" if stretch.still else end
    duration_ns = stretch.duration_ns
    yield f"{duration_ns / _SECOND_NS:.1f}s" if duration_ns < _EXACT_NS else span_text(duration_ns)
    yield str(stretch.pid)
    yield label_text(stretch.user)
    yield label_text(stretch.comm)
    for name in names:
        # what is left are ratios: two decimals
        form = rate_text if name.endswith("bytes_per_second") else _FORMATS.get(FIELDS[name].measure, load_text)
        yield form(stretch.greatest.get(name))
    yield label_text(stretch.command_line or stretch.comm)
