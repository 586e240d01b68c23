"""Completions for bash, zsh and fish, made from the parsers by shtab."""

import argparse
from collections.abc import Iterator

import shtab
from programs import CLIENTS, client, daemon

from ztop_protocol.schema import SECTIONS

SHELLS = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
"""Where each looks for those of a program, below a folder such as /usr/share."""
USERS = {
    "bash": "_ztop_users",
    "zsh": "_users",
    "fish": "(__fish_complete_users)",
    "preamble": {"bash": '_ztop_users() {\n  compgen -u -- "$1"\n}'},
}
HOSTS = {
    "bash": "_ztop_hosts",
    "zsh": "_hosts",
    "fish": "(__fish_complete_user_at_hosts)",
    "preamble": {"bash": '_ztop_hosts() {\n  compgen -A hostname -- "$1"\n}'},
}
BY_METAVAR = {
    "PATH": shtab.FILE,
    "FILE": shtab.FILE,
    "OUT": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "DIR|off": shtab.DIRECTORY,
    "USER": USERS,
    "[USER@]HOST": HOSTS,
}


def list_of(name: str, words: tuple[str, ...]) -> dict[str, object]:
    """Several of the words, with commas between them."""
    every = " ".join(words)
    bash = f"""\
_ztop_{name}() {{
  local before=
  [[ $1 != *,* ]] || before=${{1%,*}},
  compgen -P "$before" -W "{every}" -- "${{1##*,}}"
}}"""
    return {
        "bash": f"_ztop_{name}",
        "zsh": f"_values -s , {name} {every}",
        "fish": f"(__fish_append , {every})",
        "preamble": {"bash": bash},
    }


def complete(parser: argparse.ArgumentParser, columns: tuple[str, ...]) -> None:
    """Says of every option that takes a value what completes it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                complete(one, columns)
        elif action.metavar == "COLUMN":
            action.choices = columns
        elif action.dest == "columns":
            action.complete = list_of("columns", columns)
        elif action.dest == "sections":
            action.complete = list_of("sections", tuple(SECTIONS))
        elif isinstance(action.metavar, str) and (found := BY_METAVAR.get(action.metavar)):
            action.complete = found


def completions() -> Iterator[tuple[str, str]]:
    """Path and content of each, for every shell and program."""
    parsers = [(client(program), program.columns) for program in CLIENTS]
    for parser, columns in [*parsers, (daemon(), ())]:
        complete(parser, columns)
        for shell, path in SHELLS.items():
            yield path.format(parser.prog), shtab.complete(parser, shell).rstrip() + "\n"
