"""Batch mode: one frame after the other to standard output, as text or as JSON lines."""

import io
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from types import FrameType
from typing import TYPE_CHECKING

from ztop_client.absence import counters_problem, lack
from ztop_client.asking import matching, meant, sections_of_fields
from ztop_client.channel import DaemonUnreachable
from ztop_client.json_lines import json_line
from ztop_client.locate import locate
from ztop_client.options import DEFAULT_INTERVAL_SECONDS, Options
from ztop_client.program import NothingToShow, Printer, Program
from ztop_client.sources.opening import Opened, follow
from ztop_client.sources.source import Pair, Source
from ztop_client.text_page import text_page
from ztop_protocol.frame import Frame, Row
from ztop_protocol.processes import POSITION, Order, joined
from ztop_protocol.query import compiled, fields
from ztop_protocol.query_fields import values_in
from ztop_protocol.schema import SECTIONS, Visibility

if TYPE_CHECKING:
    from ztop_client.recorder import Recorder

_MAINTAIN_SECONDS = 0.25
_EFFECTIVE_UID = POSITION["effective_uid"]


class _OutputClosed(Exception):
    """Nobody reads the output any more."""


def run(options: Options) -> int:
    """Prints frames as ``options`` have it; returns the exit status. A closed pipe is no error.

    Raises :exc:`DaemonUnreachable` where there never was a frame to print, :exc:`KeyboardInterrupt`.
    """
    interval_seconds = options.interval_seconds or DEFAULT_INTERVAL_SECONDS
    opened = follow(locate(options.socket_path, interval_seconds, options.ssh_host), interval_seconds)
    with closing(opened.source):
        _say_if_rounded(opened, interval_seconds, options.program)
        _say_what_is_withheld(opened, options)
        if options.record_path is not None:
            return _record(options.record_path, options, opened)
        return print_pairs(_pairs(opened.source, options.program), options)


def _record(path: str, options: Options, opened: Opened) -> int:
    """Prints, and records; fails where either fails."""
    # imported where it is needed: SQLite takes its time
    from ztop_client.recorder import recording
    from ztop_protocol.recording_format import RecordingError

    for number in (signal.SIGTERM, signal.SIGHUP):
        # whoever ends it wants the whole file; what nohup ignores stays ignored
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    recorder = None
    try:
        with recording(path, options, opened) as (recorder, source):
            status = print_pairs(_pairs(source, options.program, recorder), options)
    except RecordingError as error:
        options.program.say(str(error))
        return 1
    finally:
        _say_new_problem(recorder, options.program)
    return status if recorder.problem is None else 1


def _leave(number: int, _frame: FrameType | None) -> None:
    # who reads the output may stand still
    _give_up_output()
    raise SystemExit(128 + number)


def _say_new_problem(recorder: "Recorder | None", program: Program) -> None:
    problem = None if recorder is None else recorder.new_problem()
    if problem is not None:
        program.say(problem)


def print_pairs(pairs: Iterable[Pair], options: Options) -> int:
    """Prints frames as ``options`` have it, ``options.iterations`` at most; returns the exit status."""
    try:
        return print_texts(_texts(options.program.worth_printing(pairs), options), options.program)
    except NothingToShow as nothing:
        options.program.say(str(nothing))
        return 1


def print_texts(texts: Iterable[str], program: Program) -> int:
    """Prints each as it comes; returns the exit status. A closed pipe is no error."""
    if sys.stdout is None:
        program.say("there is no standard output to print to")
        return 1
    try:
        try:
            # a locale of ASCII only must not end it
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="replace")
            for text in texts:
                sys.stdout.write(text)
                sys.stdout.flush()
        finally:
            sys.stdout.flush()
    except (_OutputClosed, BrokenPipeError):
        _give_up_output()
    except OSError as error:
        _give_up_output()
        program.say(f"the output cannot be written: {error.strerror}")
        return 1
    return 0


def chosen(pair: Pair, options: Options) -> list[Row]:
    """The processes that ``options`` ask for, in their order, with the columns of :mod:`ztop_protocol.processes`."""
    rows = list(joined(pair.previous, pair.current).values())
    if options.pids:
        rows = [row for row in rows if row[0] in options.pids]
    if options.uid is not None:
        rows = [row for row in rows if row[_EFFECTIVE_UID] == options.uid]
    if options.filter_text is not None:
        rows = list(filter(compiled(meant(options.filter_text), values_in(pair.current), matching), rows))
    return (options.order or Order()).sorted(rows)[: options.limit]


def _texts(pairs: Iterable[Pair], options: Options) -> Iterator[str]:
    make = options.program.printer(options)
    for number, pair in enumerate(pairs, 1):
        if number == 1:
            for problem in _what_lacks(options, pair.current):
                options.program.say(problem)
        yield make(pair)
        if number == options.iterations:
            return


def _what_lacks(options: Options, frame: Frame) -> Iterator[str]:
    """Why there are dashes, or nothing, where something is asked for that many machines do not have."""
    sections = _sections_asked_for(options)
    if "process_counters" in sections and (problem := counters_problem(frame)) is not None:
        yield problem
    if "gpus" in sections and (lacking := lack(frame, "gpus")) is not None:
        yield f"There is {lacking}."


def _sections_asked_for(options: Options) -> frozenset[str]:
    """By columns, order and filter."""
    names = {*options.columns, *(() if options.order is None else (options.order.column,))}
    if options.filter_text is not None:
        names |= fields(meant(options.filter_text))
    return sections_of_fields(names)


def printer(options: Options) -> Printer:
    """What makes a frame's text: its processes."""
    if options.json:
        return lambda pair: json_line(pair, chosen(pair, options), options.columns)
    return pages(lambda pair: text_page(pair, chosen(pair, options), options.columns, columns_of_terminal()))


def pages(make: Printer) -> Printer:
    """The same with an empty line between two pages."""
    is_first = True

    def page(pair: Pair) -> str:
        nonlocal is_first
        lead = "" if is_first else "\n"
        is_first = False
        return lead + make(pair)

    return page


def columns_of_terminal() -> int | None:
    """The width of the terminal, asked for at every page; None where the output is something else."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None if sys.stdout.isatty() else None
    except (OSError, ValueError):
        return None


def _pairs(source: Source, program: Program, recorder: "Recorder | None" = None) -> Iterator[Pair]:
    """Every frame that has rates, as it comes. What happens to the connection is said on standard error.

    Ends with a recording whose time is over.
    """
    is_live = True
    while recorder is None or not recorder.is_complete:
        _say_new_problem(recorder, program)
        status = source.status()
        if not status.live:
            if source.latest() is None:
                raise DaemonUnreachable(status.reason or "there is no daemon")
            if is_live:
                program.say(f"{status.reason}: reconnecting")
        is_live = status.live
        _wait(source.fileno(), None if recorder is None else _MAINTAIN_SECONDS)
        source.maintain()
        if source.receive():
            pair = source.latest()
            if pair is None or pair.previous is None:
                continue
            if recorder is None or not recorder.is_after_end(pair.current):
                yield pair


def _wait(descriptor: int | None, at_most_seconds: float | None) -> None:
    """Waits until the source is readable, or for a moment where there is none. Raises :exc:`_OutputClosed`."""
    poll = select.poll()
    if descriptor is not None:
        poll.register(descriptor, select.POLLIN)
    try:
        output = sys.stdout.fileno()
        # no events asked for: errors are told all the same
        poll.register(output, 0)
    except (OSError, ValueError):
        output = None
    if descriptor is None and output is None:
        time.sleep(_MAINTAIN_SECONDS)
        return
    seconds = at_most_seconds if descriptor is not None else _MAINTAIN_SECONDS
    ready = poll.poll(None if seconds is None else seconds * 1000)
    if output is not None and any(number == output for number, _ in ready):
        raise _OutputClosed


def _give_up_output() -> None:
    """What is still buffered has nowhere to go; at its end the interpreter would complain about it."""
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), output)


def _say_if_rounded(opened: Opened, interval_seconds: float, program: Program) -> None:
    shown = opened.interval_seconds
    if abs(shown - interval_seconds) > 0.01 * interval_seconds:
        program.say(
            f"the daemon samples every {opened.tick_ns / 1e9:g} s: "
            f"a frame every {shown:g} s instead of every {interval_seconds:g} s"
        )


def _say_what_is_withheld(opened: Opened, options: Options) -> None:
    """A daemon that was passed over, and what of what was asked for is there for others to see."""
    if opened.refused is not None:
        options.program.say(opened.refused)
    withheld = None if opened.access is None else opened.access.withheld()
    visibilities = {SECTIONS[name].visibility for name in _sections_asked_for(options)}
    if withheld is not None and Visibility.OWNER in visibilities:
        options.program.say(withheld)
