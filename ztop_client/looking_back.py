"""``--replay`` and ``--at``: what was, printed or on the screen."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

from ztop_client.app import Opened, open_live, show
from ztop_client.batch import print_pairs
from ztop_client.formats import span_text
from ztop_client.moments import moment_text
from ztop_client.options import Options
from ztop_client.sources.past import Moment, NothingThen, Past, RecordedPast, asked_ns, note, open_past, pairs
from ztop_client.sources.replay import ReplaySource
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
        options.program.say(str(error))
        return 1


def _open(options: Options, view: View) -> Opened:
    past = open_past(options.replay_path, options.socket_path, options.ssh_host)
    with ExitStack() as opened:
        opened.callback(past.close)
        at_ns = None if options.at_text is None else _moment(past, options).pair.current.time_ns
        if not isinstance(past, RecordedPast):
            return replace(open_live(options, view, past.hand_over()), at_ns=at_ns)
        source = ReplaySource(past, asked_ns(past, options.from_text, at_ns or 0))
        opened.pop_all()
        return Opened(source, notice=note(past), at_ns=at_ns)


def _print(options: Options) -> int:
    with closing(open_past(options.replay_path, options.socket_path, options.ssh_host)) as past:
        if options.at_text is not None:
            moment = _moment(past, options)
            for sentence in (note(past), _age(moment)):
                if sentence is not None:
                    options.program.say(sentence)
            return print_pairs([moment.pair], options)
        from_ns, to_ns = asked_ns(past, options.from_text, 0), asked_ns(past, options.to_text, _END_OF_TIME_NS)
        status = print_pairs(_with_rates(past, from_ns, to_ns), options)
        # some of it may have been found on the way
        if (found := note(past)) is not None:
            options.program.say(found)
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
    return past.at(asked_ns(past, options.at_text, _END_OF_TIME_NS))


def _age(moment: Moment) -> str | None:
    """How much older it is than what was asked for."""
    if moment.age_ns <= 0:
        return None
    age = f"{moment.age_ns // 1_000_000} ms" if moment.age_ns < 10_000_000_000 else span_text(moment.age_ns)
    gap = ": nothing was kept in between" if moment.gap else ""
    return f"this is of {moment_text(moment.pair.current.time_ns)}, {age} before what was asked for{gap}"
