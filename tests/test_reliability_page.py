"""docs/reliability.md names tests that exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(?:tests/)?([\w/]+\.py(?:::\w+)+)`", PAGE)))


def names_in(path: Path) -> Iterator[str]:
    """Every test of a file, as pytest names it."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from (f"{node.name}::{inner.name}" for inner in node.body if hasattr(inner, "name"))


def test_every_test_that_is_named_exists() -> None:
    wrong = []
    for named in NAMED:
        file, _, name = named.partition("::")
        path = TESTS / file
        if not path.exists() or name not in set(names_in(path)):
            wrong.append(named)
    assert wrong == []
    assert len(NAMED) > 50


def test_every_line_of_a_table_names_one() -> None:
    faults = PAGE.partition("## Faults")[2].partition("### What remains")[0]
    wounds = PAGE.partition("## What users of other monitors suffered from")[2].partition("\n## ")[0]
    for table in (faults, wounds):
        _, _, *lines = [line for line in table.splitlines() if line.startswith("|")]
        assert lines
        assert [line for line in lines if ".py::" not in line.rpartition("| ")[2]] == []
