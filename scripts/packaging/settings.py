"""The keys of ztopd.toml with what stands below each of them in ztopd/configuration.py."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise

from ztopd import configuration
from ztopd.configuration import RANGES, Configuration, GpuConfiguration, HistoryConfiguration

TABLES: dict[str, type] = {"": Configuration, "history": HistoryConfiguration, "gpu": GpuConfiguration}
"""The empty name: what stands before the first table."""
_WORDS = {"float": "number", "int": "whole number", "str | None": "text", "tuple[str, ...]": "list of texts"}


def docstrings(of: type) -> dict[str, str]:
    """What stands below each field of a class of the configuration."""
    tree = ast.parse(inspect.getsource(configuration))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == of.__name__)
    found = {}
    for node, after in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
            found[node.target.id] = inspect.cleandoc(ast.literal_eval(after.value))
    return found


def toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else "[]" if value == () else f"{value:g}"


def of_table(of: type) -> Iterator[tuple[str, str, object, str]]:
    """Key, what may stand there, what it is without, and what it means."""
    words, usual = docstrings(of), of()
    for field in fields(of):
        if field.name in ("history", "gpu", "roots"):
            continue
        kind = field.type.__name__ if isinstance(field.type, type) else str(field.type)
        may = _WORDS.get(kind, "text")
        if field.name in RANGES:
            least, most = RANGES[field.name]
            may += f", {least:g} to {most:.15g}"
        yield field.name, may, getattr(usual, field.name), words[field.name]


def commented_out() -> str:
    """A file with all keys, that changes nothing."""
    lines = ["# The configuration of ztopd: see ztopd.toml(5). What stands here is what holds without it."]
    for name, of in TABLES.items():
        lines += ["", f"#[{name}]"] if name else []
        for key, may, usual, meaning in of_table(of):
            text = f"{meaning.replace('``', '')} {may[0].upper()}{may[1:]}."
            lines += ["", *textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"#{key} = {toml('' if usual is None else usual)}")
    return "\n".join(lines) + "\n"
