"""The command line of ztopd."""

import argparse
import grp
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from ztop_protocol.frame import Cell, Row
from ztop_protocol.schema import SECTIONS, SourceState
from ztop_protocol.version import VERSION
from ztopd.collectors.source import Roots
from ztopd.configuration import (
    DEFAULT_FILE,
    STORE_OFF,
    Configuration,
    ConfigurationError,
    check_interval,
    read_configuration,
)
from ztopd.privileges import hand_on, withhold_from_children
from ztopd.socket_path import SYSTEM_SOCKET, ListeningSocket, SocketRefused, default_path, handed_over
from ztopd.store_path import SYSTEM_DIRECTORY

_log = logging.getLogger(__name__)

_EPILOG = """\
as a service of the machine:
  ztopd install [--prefix DIR] [--dry-run]      its units and its user; ztopd install --help
  ztopd uninstall [--purge] [--dry-run]

exit status:
  0  stopped by SIGTERM or SIGINT; --check: no source is degraded (one that this machine does not have is no fault)
  1  it could not listen, or it failed; --check: a source is degraded
  2  an option or the configuration is wrong
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence on stderr."""
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(
        "ztopd",
        description="Measures this machine and serves ztop and other clients over a Unix socket.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        help=f"where to listen (root: {SYSTEM_SOCKET}; else $XDG_RUNTIME_DIR/ztop/ztopd.sock)",
    )
    parser.add_argument("--interval", metavar="SECONDS", type=_seconds, help="between frames, 0.1 to 60 (1)")
    parser.add_argument(
        "--store",
        metavar="DIR|off",
        type=_store,
        help=f"where to keep the timeline (root: {SYSTEM_DIRECTORY}; else ~/.local/state/ztop)",
    )
    parser.add_argument("--config", metavar="FILE", help=f"a TOML file ({DEFAULT_FILE} if it is there)")
    parser.add_argument("--check", action="store_true", help="say what every source gives here and how to get the rest")
    parser.add_argument("--json", action="store_true", help="with --check: as JSON")
    usual_roots = Roots()
    mounts = parser.add_argument_group("where the kernel shows itself (for containers and tests)")
    for name, usual in (("--proc", usual_roots.proc), ("--sys", usual_roots.sys)):
        mounts.add_argument(
            name, metavar="DIR", type=_folder, default=usual, help=f"{usual} of the machine to measure ({usual})"
        )
    parser.add_argument("--private-fd", metavar="N", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"ztopd {VERSION}")
    return parser


def _seconds(text: str) -> float:
    try:
        return check_interval(float(text))
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number of seconds was expected, not {text!a}") from None


def _store(path: str) -> str:
    if not path or "\0" in path:
        raise argparse.ArgumentTypeError(f"a directory or {STORE_OFF} was expected, not {path!a}")
    return path if path == STORE_OFF else os.path.abspath(path)


def _folder(path: str) -> str:
    if not os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"{path!a} is no directory")
    return os.path.abspath(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ztopd; returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in ("install", "uninstall"):
        from ztopd.installing.command import main as install_or_uninstall

        return install_or_uninstall(words)
    options = _parser().parse_args(words)
    if options.json and not options.check:
        return _wrong("--json goes with --check")
    if options.private_fd is not None and (options.socket is not None or options.store is not None or options.check):
        return _wrong("--private-fd goes with none of --socket, --store and --check")
    try:
        configuration = _settings(options)
    except ConfigurationError as error:
        return _wrong(str(error))
    if options.check:
        return _check(configuration, as_json=options.json)
    logging.basicConfig(format="ztopd: %(levelname)s: %(message)s")
    return _run(configuration, options)


def _wrong(sentence: str) -> int:
    print(f"ztopd: {sentence}", file=sys.stderr)
    return 2


def _settings(options: argparse.Namespace) -> Configuration:
    """The file's, with the options over them. Raises :exc:`ConfigurationError`."""
    configuration = _configuration(options.config, is_private=options.private_fd is not None)
    if options.interval is not None:
        configuration = replace(configuration, interval_seconds=options.interval)
    if options.socket is not None:
        configuration = replace(configuration, socket=options.socket)
    if options.store is not None:
        configuration = replace(configuration, history=replace(configuration.history, store=options.store))
    return replace(configuration, roots=Roots(options.proc, options.sys))


def _configuration(path: str | None, *, is_private: bool) -> Configuration:
    """The file's settings. What is for the machine's daemon is not for a private one."""
    if path is None and (is_private or not os.path.exists(DEFAULT_FILE)):
        return Configuration()
    path = path or DEFAULT_FILE
    try:
        configuration = read_configuration(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if configuration.group is not None:
        try:
            grp.getgrnam(configuration.group)
        except KeyError:
            raise ConfigurationError(f"{path}: group: there is no group {configuration.group!a}") from None
    return configuration


def _run(configuration: Configuration, options: argparse.Namespace) -> int:
    from ztopd.sampler.run import run

    if options.private_fd is not None:
        try:
            os.fstat(options.private_fd)
        except OSError:
            return _wrong(f"--private-fd: {options.private_fd} is no open descriptor")
        run(configuration, None, options.private_fd)
        return 0

    def may_start_over() -> str | None:
        """Whether the file, read again, would do; the sentence that says why not is logged."""
        try:
            _settings(options)
        except ConfigurationError as error:
            _log.error("the configuration stays as it was: %s", error)
            return str(error)
        return None

    ambient = withhold_from_children()
    listening: ListeningSocket | None = None
    try:
        given = handed_over(os.environ)
        if given is None:
            listening = ListeningSocket(configuration.socket or default_path())
            serving = listening.socket
        else:
            serving = given
            if configuration.socket not in (None, given.getsockname()):
                _log.warning("systemd handed over %s: %s is not used", given.getsockname(), configuration.socket)
    except SocketRefused as error:
        print(f"ztopd: {error}", file=sys.stderr)
        return 1
    try:
        is_to_start_over = run(configuration, serving, None, may_start_over)
    finally:
        if listening is not None:
            listening.close()
    if is_to_start_over:
        _start_over(given, ambient)
    serving.close()
    return 0


def _start_over(given: socket.socket | None, ambient: int) -> NoReturn:
    """The same process, which systemd knows, with nothing left of what was set before."""
    if given is not None:
        given.set_inheritable(True)  # LISTEN_PID is ours still
    hand_on(ambient)
    # another one would end us before we can hear it; run() lets it through
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _check(configuration: Configuration, *, as_json: bool) -> int:
    from ztopd.sampler.check import check

    rows = check(configuration)
    schema = SECTIONS["sources"]
    if as_json:
        _print(json.dumps([dict(zip(schema.names, row, strict=True)) for row in rows], indent=2))
    else:
        _print(_table(rows))
    state = schema.position["state"]
    return 1 if any(row[state] == SourceState.DEGRADED for row in rows) else 0


def _print(text: str) -> None:
    """To stdout; a reader that left is no error."""
    try:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "replace") + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # so that the interpreter's own flush at the end has nowhere to fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _table(rows: Sequence[Row]) -> str:
    """Source, state, cost, reason and fix, in columns."""
    position = SECTIONS["sources"].position
    lines = [("SOURCE", "STATE", "CPU MS", "REASON", "FIX")]
    for row in rows:
        source, state, reason, fix = (_printable(row[position[name]]) for name in ("source", "state", "reason", "fix"))
        lines.append((source, state, _milliseconds(row[position["cost_ns"]]), reason, fix))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _milliseconds(time_ns: Cell) -> str:
    """What the last collection took of a CPU."""
    return f"{time_ns / 1e6:6.2f}" if isinstance(time_ns, int) else ""


def _printable(cell: object) -> str:
    """For a terminal: no control characters, and nothing that it could not write."""
    if cell is None:
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in str(cell))
