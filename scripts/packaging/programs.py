"""The parsers of the three programs, as the manual and the completions of the shells are made from them."""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]
# argparse breaks lines where the terminal ends: what is made may not depend on it
os.environ["COLUMNS"] = "100"

# these are nobody else's: a program's parser is no interface of it
from ztop_client.cli import _parser as parser_of_a_client  # noqa: E402
from ztop_client.gpu.program import ZTOP_G  # noqa: E402
from ztop_client.program import ZTOP, Program  # noqa: E402
from ztopd.cli import _parser as parser_of_ztopd  # noqa: E402
from ztopd.installing.command import parser as parser_of_a_command  # noqa: E402

CLIENTS: tuple[Program, ...] = (ZTOP, ZTOP_G)
COMMANDS = {
    "install": "make ztopd a service of this machine",
    "uninstall": "end the service and remove what install made",
}


def client(program: Program) -> argparse.ArgumentParser:
    """That of ``ztop`` or of ``ztop-g``."""
    return parser_of_a_client(program)


def daemon() -> argparse.ArgumentParser:
    """That of ``ztopd``, with its two commands, which it tells apart itself."""
    parser = parser_of_ztopd()
    commands = parser.add_subparsers(
        title="commands", metavar="install | uninstall", parser_class=argparse.ArgumentParser
    )
    for name, what in COMMANDS.items():
        own = parser_of_a_command(name)
        commands.add_parser(name, parents=[own], add_help=False, description=own.description, help=what)
    return parser
