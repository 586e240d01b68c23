"""docs/query.md against the language: its table, and every example of it."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.ztop_client.terminal_driver import ROOT
from ztop_client.asking import VALUES, meant, sections_of
from ztop_protocol.query import Contains, fields, parse_question
from ztop_protocol.query_fields import FIELDS
from ztop_protocol.schema import SECTIONS

PAGE = (ROOT / "docs" / "query.md").read_text()
FILTERS = re.findall(r"^    (.*)$", PAGE.partition("\n| where")[0], re.MULTILINE)
QUESTIONS = [shlex.split(line)[2] for line in re.findall(r"^    (ztop --find.*)$", PAGE, re.MULTILINE)]


def test_the_table_is_what_the_fields_are() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "scripts" / "query-table", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", FILTERS)
def test_examples_of_filters(text: str) -> None:
    assert not isinstance(meant(text), Contains)


@pytest.mark.parametrize("text", QUESTIONS)
def test_examples_of_questions(text: str) -> None:
    assert fields(parse_question(text).expression)


def test_there_are_examples() -> None:
    assert len(FILTERS) >= 4
    assert len(QUESTIONS) >= 4


def test_every_field_has_a_value_on_the_screen_and_a_section() -> None:
    assert VALUES.keys() == FIELDS.keys()
    for name in FIELDS:
        assert sections_of(parse_question(f"{name} == none").expression) <= SECTIONS.keys()
