"""Pages of the manual: from the parsers by argparse-manpage, and from the tables of keys and of the configuration."""

import argparse
import inspect
import re
from collections.abc import Iterable, Iterator

from argparse_manpage.manpage import Manpage
from programs import CLIENTS, client, daemon
from settings import TABLES, of_table, toml

from ztop_client.gpu.program import ZTOP_G
from ztop_client.keys import REWIND_BINDINGS, Group, key_name
from ztop_client.program import ZTOP, Program
from ztop_protocol.version import VERSION
from ztopd.configuration import DEFAULT_FILE
from ztopd.socket_path import SYSTEM_SOCKET
from ztopd.store_path import SYSTEM_DIRECTORY

DATE = "@DATE@"
"""Set by who writes the page: when it last changed."""
EXAMPLE = """\
group = "adm"

[history]
age_days = 30
size_mebibytes = 2048
command_lines = "name\""""
ABOUT_THE_FILE = (
    "A TOML file. Options of ztopd go before it. With a mistake in it ztopd does not start, and says where."
)
PAGES = ("ztop.1", "ztop-g.1", "ztopd.8", "ztopd.toml.5")
SHORT = {
    ZTOP.name: "shows processes, the machine, and the past of both",
    ZTOP_G.name: "shows GPUs and who uses their memory, and the past of both",
    "ztopd": "measures and remembers what ztop shows",
    "ztopd.toml": "the configuration of ztopd",
}
_AS_THEY_ARE = str.maketrans({"^": r"\(ha", "~": r"\(ti", "`": r"\(ga", "'": r"\(aq"})
"""What roff would print as something prettier."""

Section = tuple[str, str]
"""Heading and content, in roff."""


def roff(text: str) -> str:
    """Text for roff, in which ``so`` is bold."""
    escaped = text.replace("\\", r"\\").replace("-", r"\-")
    return re.sub("``(.*?)``", r"\\fB\1\\fR", re.sub(r"(?m)^(?=\.)", r"\\&", escaped))


def finished(text: str) -> str:
    """What the library leaves: it escapes backslashes and hyphens alone, as ``roff`` does, and has empty lines."""
    lines = re.sub(r"\n\n+(?=[^.\n])", "\n.sp\n", text).split("\n")
    plain = (one if one.startswith(".") else one.replace(r"\\", r"\e").translate(_AS_THEY_ARE) for one in lines if one)
    return "\n".join(plain) + "\n"


def items(pairs: Iterable[Section]) -> str:
    """A list of what is explained and its explanation. Both are roff."""
    return "\n".join(f".TP\n{what}\n{explanation}" for what, explanation in pairs)


def bold(text: str) -> str:
    return rf"\fB{roff(text)}\fR"


def of_epilog(epilog: str) -> Iterator[Section]:
    """Paragraphs with a heading, and lines that stay what they are; without a heading, notes."""
    for paragraph in filter(None, epilog.strip().split("\n\n")):
        heading, _, rest = paragraph.partition(":\n")
        if rest:
            yield heading, ".nf\n" + roff(inspect.cleandoc(rest)) + "\n.fi"
        else:
            yield "notes", roff(paragraph)


def keys(program: Program) -> Iterator[Section]:
    for group in Group:
        of_group = [one for one in (*program.bindings, *REWIND_BINDINGS) if one.group is group]
        listed = [(", ".join(bold(key_name(key)) for key in one.keys), roff(one.help)) for one in of_group]
        yield "keys", f".SS {group.value}\n{items(listed)}\n"


def of_client(program: Program) -> Iterator[Section]:
    yield from keys(program)
    yield (
        "environment",
        items(
            [
                (bold("ZTOP_SOCKET"), "The daemon's socket, unless an option names one."),
                (
                    bold("XDG_CONFIG_HOME"),
                    roff(f"Settings are kept in ztop/{program.settings_file} there, or in ~/.config."),
                ),
            ]
        ),
    )
    yield (
        "exit status",
        items(
            [
                (bold("0"), "All went well."),
                (bold("1"), "There was nothing to show: no daemon, no such moment, no recording."),
                (bold("2"), "An option is wrong."),
                (bold("130"), "Ctrl\\-C ended it."),
            ]
        ),
    )


def of_daemon() -> Iterator[Section]:
    yield (
        "signals",
        items(
            [
                (
                    bold("SIGHUP"),
                    roff("The configuration is read again. One with a mistake is refused, and the old one stays."),
                ),
                (bold("SIGTERM, SIGINT"), "It ends, with status 0."),
            ]
        ),
    )
    yield (
        "files",
        items(
            [
                (bold(DEFAULT_FILE), roff("The configuration; see ztopd.toml(5).")),
                (bold(SYSTEM_SOCKET), "Where root's daemon, or the service, listens."),
                (bold(SYSTEM_DIRECTORY), "Where it keeps the past."),
            ]
        ),
    )


def of_configuration() -> Iterator[Section]:
    for name, of in TABLES.items():
        listed = [
            (f"{bold(key)} = {may}" + (f" ({toml(usual)})" if usual is not None else ""), roff(meaning))
            for key, may, usual, meaning in of_table(of)
        ]
        yield "keys", (f".SS [{name}]\n" if name else "") + items(listed)
    yield "examples", f".nf\n{EXAMPLE}\n.fi"
    when = "Read at the start, if it is there, and again at SIGHUP, which systemctl reload ztopd sends."
    yield "files", items([(bold(DEFAULT_FILE), when)])


def page(parser: argparse.ArgumentParser, number: int, sections: Iterator[Section], synopsis: str = "") -> str:
    epilog, parser.epilog = parser.epilog, None
    made = Manpage(parser, format="single-commands-section")
    made.section, made.date, made.source, made.manual = number, DATE, f"ztop {VERSION}", "ztop"
    made.description = SHORT[parser.prog]
    made.synopsis = [synopsis] if synopsis else [made.synopsis[0], *map(roff, made.synopsis[1:])]
    others = [name.rpartition(".") for name in PAGES if name != f"{parser.prog}.{number}"]
    also = ",\n".join(f".BR {roff(name)} ({section})" for name, _, section in others)
    for heading, content in [*sections, *of_epilog(epilog or ""), ("see also", also)]:
        made.add_section(heading, ">", content + "\n")
    return finished(str(made))


def pages() -> Iterator[tuple[str, str]]:
    """Path, below a folder such as /usr/share, and content of each."""
    for program in CLIENTS:
        yield f"man/man1/{program.name}.1", page(client(program), 1, of_client(program))
    yield "man/man8/ztopd.8", page(daemon(), 8, of_daemon())
    of_file = argparse.ArgumentParser("ztopd.toml", add_help=False, description=ABOUT_THE_FILE)
    yield "man/man5/ztopd.toml.5", page(of_file, 5, of_configuration(), DEFAULT_FILE)
