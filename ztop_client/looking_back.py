"""``--replay`` and ``--at``: what was, printed or on the screen."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial

from ztop_client.app import Opened, show
from ztop_client.batch import print_pairs, say
from ztop_client.formats import span_text
from ztop_client.moments import moment_text, parse_moment
from ztop_client.options import Options
from ztop_client.sources.past import Moment, NothingThen, Past, RecordedPast, open_past, pairs
from ztop_client.sources.replay import ReplaySource, StillSource
from ztop_client.sources.source import Pair
from ztop_client.view import View
from ztop_protocol.connection import RemoteError
from ztop_protocol.recording_format import RecordingError

_END_OF_TIME_NS = (1 << 63) - 1


def run(options: Options) -> int:
    """Shows or prints it; the exit status: 1 where there is nothing of that time.

    Raises :exc:`ztop_client.channel.DaemonUnreachable`.
    """
    try:
        return _print(options) if options.batch else show(options, partial(_open, options))
    except (NothingThen, RecordingError, RemoteError) as error:
        say(str(error))
        return 1


def _open(options: Options, _view: View) -> Opened:
    past = open_past(options.replay_path, options.socket_path)
    with ExitStack() as opened:
        opened.callback(past.close)
        if options.at_text is not None or not isinstance(past, RecordedPast):
            return Opened(StillSource(_moment(past, options).pair, past.title), notice=_note(past))
        source = ReplaySource(past, _ns(past, options.from_text, 0))
        opened.pop_all()
        return Opened(source, notice=_note(past))


def _print(options: Options) -> int:
    with closing(open_past(options.replay_path, options.socket_path)) as past:
        if options.at_text is not None:
            moment = _moment(past, options)
            for sentence in (_note(past), _age(moment)):
                if sentence is not None:
                    say(sentence)
            return print_pairs([moment.pair], options)
        from_ns, to_ns = _ns(past, options.from_text, 0), _ns(past, options.to_text, _END_OF_TIME_NS)
        status = print_pairs(_with_rates(past, from_ns, to_ns), options)
        # some of it may have been found on the way
        if (note := _note(past)) is not None:
            say(note)
        return status


def _with_rates(past: Past, from_ns: int, to_ns: int) -> Iterator[Pair]:
    is_empty = True
    for pair in pairs(past, from_ns, to_ns):
        if pair.previous is not None:
            is_empty = False
            yield pair
    if is_empty:
        raise NothingThen(f"{past.title} has no frame of that time with another one before it")


def _moment(past: Past, options: Options) -> Moment:
    return past.at(_ns(past, options.at_text, _END_OF_TIME_NS))


def _ns(past: Past, text: str | None, default_ns: int) -> int:
    """A time that was asked for. The end of a recording is its present."""
    if text is None:
        return default_ns
    span = past.span() if isinstance(past, RecordedPast) else None
    return parse_moment(text, time.time_ns() if span is None else span[1])


def _age(moment: Moment) -> str | None:
    """How much older it is than what was asked for."""
    if moment.age_ns <= 0:
        return None
    age = f"{moment.age_ns / 1e9:.1f}s" if moment.age_ns < 9_950_000_000 else span_text(moment.age_ns)
    gap = ": nothing was kept in between" if moment.gap else ""
    return f"this is of {moment_text(moment.pair.current.time_ns)}, {age} before what was asked for{gap}"


def _note(past: Past) -> str | None:
    """What is wrong with a recording, in one sentence."""
    if not isinstance(past, RecordedPast) or not past.notes:
        return None
    notes = past.notes
    more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
    return f"{past.path}: {notes[0]}{more}"
