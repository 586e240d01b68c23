"""``ztop`` on a terminal: from the options to the running screen."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ztop_client.glyphs import ASCII
from ztop_client.locate import Located, locate
from ztop_client.options import DEFAULT_INTERVAL_SECONDS, Options
from ztop_client.program import Program
from ztop_client.settings import (
    Broken,
    Settings,
    asked_for,
    load,
    remembered,
    save,
    set_aside,
    settings_of,
    settings_path,
)
from ztop_client.sources.opening import Opened as LiveOpened
from ztop_client.sources.opening import follow
from ztop_client.sources.source import Source
from ztop_client.users import own_user
from ztop_client.view import View

if TYPE_CHECKING:
    from ztop_client.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Opened:
    """A source for the screen: every how many of its ticks a frame comes, and what is to be said at first."""

    source: Source
    ticks: int = 1
    tick_seconds: float = DEFAULT_INTERVAL_SECONDS
    notice: str | None = None
    recorder: "Recorder | None" = None
    at_ns: int | None = None
    """The moment of the past that is shown at first."""
    elsewhere: str | None = None
    """See :class:`ztop_client.locate.Located`."""


def run(options: Options) -> int:
    """Shows the state of a daemon until the user quits; the exit status, as of :func:`show`.

    Raises :exc:`ztop_client.channel.DaemonUnreachable` for a daemon that was asked for and cannot be reached.
    """
    if options.record_path is not None:
        return _record(options.record_path, options)
    return show(options, partial(open_live, options))


def _record(path: str, options: Options) -> int:
    """Shows it and records it; fails where either fails."""
    # imported where it is needed: SQLite takes its time
    from ztop_client.recorder import recording
    from ztop_protocol.recording_format import RecordingError

    problem: str | None = None
    recorders: list[Recorder] = []
    status = 1
    try:
        with ExitStack() as stack:

            def open_recorded(view: View) -> Opened:
                live = _open_live(options, view)
                try:
                    recorder, source = stack.enter_context(recording(path, options, live))
                except RecordingError:
                    live.source.close()
                    raise
                recorders.append(recorder)
                return replace(_on_screen(live), source=source, recorder=recorder)

            status = show(options, open_recorded)
        problem = next((recorder.problem for recorder in recorders), None)
    except RecordingError as error:
        problem = str(error)
    if problem is not None:
        options.program.say(problem)
        return 1
    return status


def _open_live(options: Options, view: View, located: Located | None = None) -> LiveOpened:
    # a daemon of its own measures every second at least: the last minutes are drawn from that, and + goes down to it
    interval_seconds = view.interval_seconds or DEFAULT_INTERVAL_SECONDS
    tick_seconds = min(interval_seconds, DEFAULT_INTERVAL_SECONDS)
    if located is None:
        located = locate(options.socket_path, tick_seconds, options.ssh_host)
    return follow(located, interval_seconds, sorted(view.sections), between=view.program.between)


def open_live(options: Options, view: View, located: Located | None = None) -> Opened:
    """That daemon, else the one that is asked for, or found. Raises :exc:`ztop_client.channel.DaemonUnreachable`."""
    return _on_screen(_open_live(options, view, located))


def _on_screen(live: LiveOpened) -> Opened:
    return Opened(live.source, live.ticks, live.tick_ns / 1e9, live.refused, elsewhere=live.elsewhere)


def show(options: Options, open: Callable[[View], Opened]) -> int:
    """Shows the screen until the user quits; the exit status: 2 where there is no terminal, 1 where it went away.

    ``open`` is called once it is known that there is a terminal. Closes the source.
    """
    program = options.program
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        program.say(f"the screen needs a terminal; {program.name} -b prints without one")
        return 2
    view = View(program.tabs(own_user()), ASCII, program=program)
    names = list(dict.fromkeys(column.name for tab in view.tabs for column in tab.columns))
    if options.order is not None and options.order.column not in names:
        program.say(f"--sort: the screen shows no {options.order.column}, but {', '.join(names)}")
        return 2
    path = settings_path(os.environ, program.settings_file)
    before, notice = (Settings(), None) if path is None else _remembered_before(path)
    before.apply(view)
    asked_for(options, view)
    started = settings_of(view)
    opened = open(view)
    view.elsewhere = opened.elsewhere
    try:
        # urwid takes its time to import: by now the private ztopd is on its way
        from ztop_client.monitor import watch

        said = " ".join(sentence for sentence in (notice, opened.notice) if sentence) or None
        how = (opened.ticks, opened.tick_seconds, said, opened.recorder, opened.at_ns)
        return watch(opened.source, view, *how, redact=options.redact)
    finally:
        opened.source.close()
        after = remembered(before, started, settings_of(view))
        if path is not None and after != before:
            _save(after, path, program)


def _remembered_before(path: Path) -> tuple[Settings, str | None]:
    """The settings, and what a person should know about them."""
    try:
        return load(path), None
    except Broken as error:
        try:
            return Settings(), f"{path} was not understood: {error}. It is now {set_aside(path).name}."
        except OSError as problem:
            return Settings(), f"{path} was not understood: {error}. It cannot be set aside: {problem.strerror}."
    except OSError as error:
        return Settings(), f"{path} cannot be read: {error.strerror}."


def _save(settings: Settings, path: Path, program: Program) -> None:
    try:
        save(settings, path)
    except OSError as error:
        program.say(f"{path}: not saved: {error.strerror}")
