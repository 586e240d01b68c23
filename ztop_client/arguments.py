"""What the options of ``ztop`` and ``ztop-g`` are given, made of the words on the command line.

Each raises :exc:`argparse.ArgumentTypeError`, one sentence, for what cannot be meant.
"""

import argparse

from ztop_client.program import Program
from ztop_protocol.processes import Order


def path(text: str) -> str:
    """A path."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("a path was expected")
    return text


def host(text: str) -> str:
    """What ssh takes for a machine: never one of its options."""
    name = text.rpartition("@")[2]
    if not name or text.startswith("-") or name.startswith("-") or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError(f"[USER@]HOST was expected, not {text!r}")
    return text


def time(text: str) -> str:
    """A time, in the words in which it was given: what it means depends on the end of a recording."""
    text = text.strip()
    # imported where they are needed: most starts are not about the past
    from time import time_ns

    from ztop_client.moments import parse_moment

    try:
        parse_moment(text, time_ns())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def duration(text: str) -> float:
    """Seconds."""
    from ztop_client.moments import parse_span

    try:
        return parse_span(text) / 1e9
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def names(text: str) -> tuple[str, ...]:
    """Names, each once, in their order."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def interval(text: str) -> float:
    """Seconds from 0.1 to 60."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"seconds from 0.1 to 60 were expected, not {text!r}")
    return seconds


def count(text: str) -> int:
    """A whole number from 1 on."""
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text)):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on was expected, not {text!r}")
    return int(text)


def order(program: Program, text: str) -> Order:
    """What to sort by: a column of the program, or of --diff."""
    if text not in program.columns:
        from ztop_client.difference.result import SORT_COLUMNS

        if text in SORT_COLUMNS:
            return Order(text)
    return program.order(_column(program, text))


def columns(program: Program, text: str) -> tuple[str, ...]:
    """Columns of the program, each once."""
    return tuple(dict.fromkeys(_column(program, name.strip()) for name in text.split(",")))


def _column(program: Program, name: str) -> str:
    if name in program.columns:
        return name
    # imported where it is needed: only a mistake needs it
    from difflib import get_close_matches

    wanted = name.lower()
    close = [
        *(column for column in program.columns if wanted and column.startswith(wanted)),
        *get_close_matches(wanted, program.columns, n=1),
        *(column for column in program.columns if wanted and wanted in column),
    ]
    hint = f"; is {close[0]} meant?" if close else ""
    raise argparse.ArgumentTypeError(f"there is no column {name!r}{hint}")


def pids(text: str) -> frozenset[int]:
    """Pids."""
    return frozenset(count(pid.strip()) for pid in text.split(","))


def uid(text: str) -> int:
    """The uid of a user of this machine, by name or as it is."""
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return int(text)
    import pwd

    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError, UnicodeError):
        raise argparse.ArgumentTypeError(f"there is no user {text!r}") from None
