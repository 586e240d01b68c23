"""``ztop`` on a terminal: from the options to the running screen."""

import sys

from ztop_client.columns.processes import main_columns
from ztop_client.options import Options
from ztop_client.sources.opening import open_source

_HEADER_SECTIONS = frozenset({"host", "cpus", "memory"})


def run(options: Options) -> int:
    """Shows the screen until the user quits; the exit status: 2 where there is no terminal, 1 where it went away.

    Raises :exc:`ztop_client.channel.DaemonUnreachable` for a daemon that was asked for and cannot be reached.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("ztop: the screen needs a terminal; ztop -b prints without one", file=sys.stderr)
        return 2
    columns = main_columns()
    names = [column.name for column in columns]
    if options.order is not None and options.order.column not in names:
        print(f"ztop: --sort: the screen shows no {options.order.column}, but {', '.join(names)}", file=sys.stderr)
        return 2
    sections = sorted(_HEADER_SECTIONS.union(*(column.sections for column in columns)))
    opened = open_source(options.socket_path, options.interval_seconds, sections)
    try:
        # urwid takes its time to import: by now the private ztopd is on its way
        from ztop_client.monitor import watch

        return watch(opened.source, options, opened.ticks, opened.tick_ns / 1e9)
    finally:
        opened.source.close()
