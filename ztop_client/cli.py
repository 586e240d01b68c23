"""The command line of ``ztop``, and of ``ztop-g``."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from ztop_client import arguments
from ztop_client.channel import DaemonUnreachable
from ztop_client.options import DEFAULT_INTERVAL_SECONDS, Options
from ztop_client.program import ZTOP, Program
from ztop_client.text import printable
from ztop_protocol.processes import Order
from ztop_protocol.version import VERSION

_ONLY_WITH_BATCH = {"iterations": "-n", "json": "--json", "columns": "--columns", "limit": "--limit"}
_FLAGS = {
    **_ONLY_WITH_BATCH,
    "batch": "-b", "socket_path": "--socket", "ssh_host": "--ssh", "interval_seconds": "-d", "order": "--sort",
    "filter_text": "--filter", "uid": "-u", "pids": "-p", "replay_path": "--replay", "at_text": "--at",
    "from_text": "--from", "to_text": "--to", "record_path": "--record", "duration_seconds": "--duration",
    "export_path": "--export", "sections": "--sections",
    "diff_texts": "--diff", "explain_texts": "--explain", "find_text": "--find", "redact": "--redact",
}  # fmt: skip
_ALSO_WITH = {"json": {"diff_texts", "explain_texts", "find_text"}, "limit": {"diff_texts", "find_text"}}
"""Options of batch mode that these have too."""
_OF_ROWS = ("order", "filter_text", "uid", "pids")
_OF_FRAMES = (
    *("batch", "at_text", "from_text", "to_text", "record_path", "export_path"),
    *("interval_seconds", "filter_text", "uid", "pids"),
)
_NOT_OF_FOUND = tuple(name for name in _OF_FRAMES if name not in ("from_text", "to_text"))
_EXCLUDE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("at_text", ("from_text", "to_text", "record_path", "export_path"), "--at shows one moment"),
    ("replay_path", ("record_path", "socket_path", "ssh_host", "interval_seconds"), "a recording is what it is"),
    ("ssh_host", ("uid",), "users are known to that machine, as in --filter 'user == root'"),
    ("record_path", ("to_text", "export_path"), "--record goes on with what is live"),
    ("diff_texts", ("explain_texts", *_OF_FRAMES), "--diff compares two moments"),
    ("explain_texts", ("order", *_OF_FRAMES), "--explain is about one span"),
    ("find_text", ("diff_texts", "explain_texts", "order", *_NOT_OF_FOUND), "--find asks of every frame"),
    ("export_path", ("batch", "interval_seconds", *_OF_ROWS), "--export writes whole sections"),
    ("redact", ("export_path", "diff_texts", "explain_texts", "find_text"), "a recording is redacted"),
)
"""An option, those that mean nothing beside it, and why."""
_NEED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("from_text", ("replay_path", "record_path", "export_path", "find_text")),
    ("to_text", ("replay_path", "export_path", "find_text")),
    ("duration_seconds", ("record_path",)),
    ("sections", ("export_path",)),
)
"""An option, and those of which it needs one."""
_TIME_FLAGS = ("--at", "--from", "--since", "--to")
_TIMES_FLAGS = ("--diff", "--explain")
_EPILOG = """\
{} shows the state of a ztopd: the one of --ssh, at --socket, at $ZTOP_SOCKET, at /run/ztopd/ztopd.sock or at
$XDG_RUNTIME_DIR/ztop/ztopd.sock. Where none is running and none was asked for, it starts one for itself.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)}\n")


def main(argv: Sequence[str] | None = None, program: Program = ZTOP) -> int:
    """Runs ``ztop``; returns the exit status: 1 where there is nothing to show, 2 for bad arguments, 130 for Ctrl-C."""
    try:
        options = parse(sys.argv[1:] if argv is None else argv, program)
        if options.export_path is not None:
            from ztop_client.export.command import run as export

            return export(options)
        if options.diff_texts or options.explain_texts:
            from ztop_client import comparing

            return comparing.run(options)
        if options.find_text is not None:
            from ztop_client import finding

            return finding.run(options)
        if options.replay_path is not None or options.at_text is not None:
            from ztop_client import looking_back

            return looking_back.run(options)
        if options.batch:
            from ztop_client import batch

            return batch.run(options)
        from ztop_client.app import run

        return run(options)
    except DaemonUnreachable as error:
        program.say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def parse(argv: Sequence[str], program: Program = ZTOP) -> Options:
    """The options; exits with status 2 and a sentence where they cannot be meant."""
    parser = _parser(program)
    given = vars(parser.parse_args(_with_times_joined(argv)))
    unset = vars(parser.parse_args([]))
    meant = {name for name, value in given.items() if value != unset[name]}
    if {"replay_path", "to_text"} <= meant and meant.isdisjoint({"batch", "export_path", "find_text"}):
        parser.error("--to is for batch mode: -b is missing")
    if "batch" not in meant:
        for name, option in _ONLY_WITH_BATCH.items():
            if name in meant and meant.isdisjoint(_ALSO_WITH.get(name, ())):
                parser.error(f"{option} is for batch mode: -b is missing")
    for name, others, why in _EXCLUDE:
        for other in others:
            if {name, other} <= meant:
                parser.error(f"{_FLAGS[other]} and {_FLAGS[name]} exclude each other: {why}")
    for name, others in _NEED:
        if name in meant and meant.isdisjoint(others):
            parser.error(f"{_FLAGS[name]} is for {', '.join(_FLAGS[other] for other in others)}")
    if {"ssh_host", "socket_path"} <= meant:
        _check_path_there(parser, given["socket_path"])
    if {"redact", "batch"} <= meant and "record_path" not in meant:
        parser.error("--redact is for --record, and for S on the screen")
    if len(given["explain_texts"]) > 2:
        parser.error("argument --explain: one moment was expected, or the two ends of a span")
    _check_questions(parser, given["filter_text"], given["find_text"])
    _check_order(parser, given["order"], program, for_difference="diff_texts" in meant)
    texts = {name: tuple(given[name]) for name in ("diff_texts", "explain_texts")}
    return Options(**{**given, **texts}, program=program)


def _check_path_there(parser: _Parser, path: str) -> None:
    """Whether ssh can be asked for a socket at ``path``; exits with a sentence."""
    # imported where it is needed: most starts are about this machine
    from ztop_client.sources.ssh import is_plain

    if not is_plain(path):
        parser.error("argument --socket: with --ssh a path of that machine, from / on, without : \\ % $")


def _check_questions(parser: _Parser, filter_text: str | None, find_text: str | None) -> None:
    """Whether they can be meant; exits with the place that is wrong."""
    if filter_text is None and find_text is None:
        return
    # imported where they are needed: most starts ask nothing
    from ztop_client.asking import meant
    from ztop_protocol.query import QueryError, parse_question

    understood: tuple[tuple[str, str | None, Callable[[str], object]], ...] = (
        ("--filter", filter_text, meant),
        ("--find", find_text, parse_question),
    )
    for flag, text, understand in understood:
        if text is not None:
            try:
                understand(text)
            except QueryError as error:
                lines = error.pointed_at(printable(text)).split("\n")
                parser.exit(2, "\n".join((f"{parser.prog}: {flag}: {printable(lines[0])}", *lines[1:], "")))


def _check_order(parser: _Parser, order: Order | None, program: Program, *, for_difference: bool) -> None:
    """Whether what is shown can be sorted by that column."""
    if order is None or (not for_difference and order.column in program.columns):
        return
    from ztop_client.difference.result import SORT_COLUMNS

    if not for_difference:
        parser.error(f"argument --sort: {order.column} is a column of --diff alone")
    if order.column not in SORT_COLUMNS:
        parser.error(f"argument --sort: --diff is sorted by one of {', '.join(SORT_COLUMNS)}, not {order.column}")


def _with_times_joined(argv: Sequence[str]) -> list[str]:
    """``--at -27s`` as ``--at=-27s``: argparse would take the time for an option.

    Where several times may follow, a space before them does the same.
    """
    joined: list[str] = []
    several = False
    for word in argv:
        is_back = re.match(r"-\d", word) is not None
        if joined and joined[-1] in _TIME_FLAGS and is_back:
            joined[-1] += f"={word}"
        else:
            several = word in _TIMES_FLAGS or (several and (is_back or not word.startswith("-")))
            joined.append(f" {word}" if several and is_back else word)
    return joined


def _parser(program: Program) -> _Parser:
    parser = _Parser(
        prog=program.name,
        description=f"Shows {program.shows}.",
        epilog=_EPILOG.format(program.name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program.name} {VERSION}")
    parser.add_argument(
        "--socket",
        dest="socket_path",
        metavar="PATH",
        type=arguments.path,
        help="the daemon's socket (default: see below); with --ssh a path of that machine",
    )
    parser.add_argument(
        "--ssh",
        dest="ssh_host",
        metavar="[USER@]HOST",
        type=arguments.host,
        help="another machine's daemon, with that user's rights there: see docs/remote.md",
    )
    parser.add_argument(
        *("-d", "--interval"),
        dest="interval_seconds",
        metavar="SECONDS",
        type=arguments.interval,
        help="time between two frames, 0.1 to 60, in whole ticks of the daemon "
        f"(default: {DEFAULT_INTERVAL_SECONDS:g}, or what + and - on the screen chose last)",
    )
    rows = parser.add_argument_group("processes")
    rows.add_argument(
        "--sort",
        dest="order",
        metavar="COLUMN",
        type=partial(arguments.order, program),
        help=f"the column to sort by: {program.tabs('')[0].usual.name}",
    )
    rows.add_argument(
        "--filter",
        dest="filter_text",
        metavar="TEXT",
        help="those whose name, command line or user contains TEXT, "
        "or for which an expression holds, such as 'cpu > 80 and user == root': see docs/query.md",
    )
    rows.add_argument(
        "-u", "--user", dest="uid", metavar="USER", type=arguments.uid, help="those of a user: a name or a uid"
    )
    rows.add_argument(
        *("-p", "--pid"),
        dest="pids",
        metavar="PID,...",
        type=arguments.pids,
        default=frozenset(),
        help="these processes",
    )
    batch = parser.add_argument_group("batch mode")
    batch.add_argument("-b", "--batch", action="store_true", help="print frames, without a screen")
    batch.add_argument(
        "-n", dest="iterations", metavar="N", type=arguments.count, help="print N frames (default: until interrupted)"
    )
    batch.add_argument("--json", action="store_true", help="one JSON object a line for each frame: see docs/batch.md")
    batch.add_argument(
        "--columns",
        metavar="A,B,...",
        type=partial(arguments.columns, program),
        default=(),
        help="the columns of the processes, by name",
    )
    batch.add_argument("--limit", metavar="N", type=arguments.count, help="print at most N processes")
    past = parser.add_argument_group(
        "the past", "TIME is like 03:12, -2m30s, yesterday 14:00, 2026-11-24 03:12, @1790000000"
    )
    past.add_argument(
        "--replay", dest="replay_path", metavar="FILE", type=arguments.path, help="show a recording, without any daemon"
    )
    past.add_argument("--at", dest="at_text", metavar="TIME", type=arguments.time, help="show one moment")
    past.add_argument(
        *("--from", "--since"), dest="from_text", metavar="TIME", type=arguments.time, help="begin with what was then"
    )
    past.add_argument("--to", dest="to_text", metavar="TIME", type=arguments.time, help="end with what was then")
    past.add_argument(
        "--find",
        dest="find_text",
        metavar="QUESTION",
        help="who was so, when and for how long: 'cpu > 80 for 10s' (see docs/query.md), of all that is remembered or "
        "recorded, or --since TIME; --json and --limit go with it",
    )
    past.add_argument(
        "--diff",
        dest="diff_texts",
        metavar=("TIME1", "TIME2"),
        nargs=2,
        type=arguments.time,
        default=(),
        help="what happened between two moments: who used what, who came and went; --json, --limit and --sort "
        "cpu_time_ns, io_bytes, rss_grown_bytes, ... go with it",
    )
    past.add_argument(
        "--explain",
        dest="explain_texts",
        metavar="TIME",
        nargs="+",
        type=arguments.time,
        default=(),
        help="what a moment, or the span between two, was about, in words",
    )
    keep = parser.add_argument_group("files")
    keep.add_argument(
        "--record",
        dest="record_path",
        metavar="FILE",
        type=arguments.path,
        help="keep every frame of the daemon in FILE; --from -10m: also what it remembers of the time before",
    )
    keep.add_argument(
        "--duration",
        dest="duration_seconds",
        metavar="TIME",
        type=arguments.duration,
        help="record so long: 90, 90s or 1m30s",
    )
    keep.add_argument(
        "--redact",
        action="store_true",
        help="keep no command lines, paths of programs, names of users and of the machine: in what S saves, too",
    )
    keep.add_argument(
        "--export",
        dest="export_path",
        metavar="OUT",
        type=arguments.path,
        help="write a table: OUT ends in .parquet, .csv or .jsonl; of a recording (--replay) or of what the daemon "
        "remembers",
    )
    keep.add_argument(
        "--sections",
        metavar="A,B,...",
        type=arguments.names,
        default=(),
        help="the sections to export (default: processes)",
    )
    return parser
