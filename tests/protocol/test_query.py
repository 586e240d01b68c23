"""The language of questions: what is understood, what is refused and where, and that the answers are right."""

import operator as operators
import os
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztop_protocol.frame import Cell, Row
from ztop_protocol.processes import COLUMNS, POSITION, contains
from ztop_protocol.query import (
    MAX_LENGTH,
    And,
    Comparison,
    Contains,
    Expression,
    Not,
    Or,
    QueryError,
    Question,
    compiled,
    duration_ns,
    fields,
    is_expression,
    parse,
    parse_question,
)
from ztop_protocol.query_fields import ALIASES, FIELDS, Measure

SECOND = 10**9
EXAMPLES = int(os.environ.get("ZTOP_RANDOM_STRINGS", "2000"))
"""Random strings of the last test; a million were tried."""


def comparison(text: str) -> tuple[str, str, Cell]:
    found = parse(text)
    assert isinstance(found, Comparison)
    return found.field.name, found.operator, found.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu > 80", ("cpu_percent", ">", 80)),
        ("CPU>=80.5%", ("cpu_percent", ">=", 80.5)),
        ("rss > 2G", ("rss_bytes", ">", 2 << 30)),
        ("rss > 2GiB", ("rss_bytes", ">", 2 << 30)),
        ("rss_bytes <= 1.5k", ("rss_bytes", "<=", 1536)),
        ("read > 10M/s", ("io_read_bytes_per_second", ">", 10 << 20)),
        ("age < 5m", ("age_ns", "<", 300 * SECOND)),
        ("age < 1h30m", ("age_ns", "<", 5400 * SECOND)),
        ("time > 90", ("cpu_time_ns", ">", 90 * SECOND)),
        ("threads > 2k", ("threads", ">", 2000)),
        ("pid = 1", ("pid", "==", 1)),
        ("ipc < 0.5", ("ipc", "<", 0.5)),
        ("mpki >= 10", ("llc_misses_per_kilo_instruction", ">=", 10)),
        ("hertz < 2.5G", ("effective_hertz", "<", 2_500_000_000)),
        ("llc > 20%", ("llc_miss_percent", ">", 20)),
        ("nice < -5", ("nice", "<", -5)),
        ('user == "post gres"', ("user", "==", "post gres")),
        ("user != root", ("user", "!=", "root")),
        ("command ~ 'chrom.*'", ("command_line", "~", "chrom.*")),
        ('name !~ "a\\"b"', ("comm", "!~", 'a"b')),
        ("kernel_thread == yes", ("kernel_thread", "==", True)),
        ("exe == none", ("exe", "==", None)),
    ],
)
def test_one_comparison(text: str, expected: tuple[str, str, Cell]) -> None:
    assert comparison(text) == expected


def test_what_binds_closer() -> None:
    a, b, c = (parse(f"pid == {number}") for number in (1, 2, 3))
    assert parse("pid == 1 or pid == 2 and pid == 3") == Or((a, And((b, c))))
    assert parse("(pid == 1 or pid == 2) and pid == 3") == And((Or((a, b)), c))
    assert parse("not pid == 1 and pid == 2") == And((Not(a), b))
    assert parse("NOT not pid=1 OR 'x'") == Or((Not(Not(a)), Contains("x")))


@pytest.mark.parametrize(
    ("text", "position", "word"),
    [
        ("", 0, "condition"),
        ("cpu >", 5, "value"),
        ("cpu 80", 4, "operator"),
        ("foo = 3", 0, "foo"),
        ("cpuu > 3", 0, "cpu meant"),
        ("firefox", 0, "in quotes"),
        ("rss > 80%", 6, "size"),
        ("cpu > 2G", 6, "percentage"),
        ("age < soon", 6, "time"),
        ("user > root", 5, "text"),
        ("cpu ~ 8", 4, "no text"),
        ("name ~ '('", 7, "regular"),
        ("name ~ '(?P<\x1b>a)'", 7, r"\x1b"),
        ("(cpu > 1", 8, "')'"),
        ("cpu > 1)", 7, "before"),
        ("cpu > 1 user == root", 8, "'and' or 'or'"),
        ("cpu > 1 and", 11, "end"),
        ("name == 'abc", 8, "does not end"),
        ("cpu > none", 4, "none"),
        ("kernel_thread == 3", 17, "yes or no"),
        ("pid == 1.5", 7, "whole"),
        ("ipc < 1k", 6, "such as 0.5"),
        ("ipc > -1", 6, "such as 0.5"),
        ("pid == 12345678901234567890", 7, "whole"),
        ("(" * 60 + "cpu > 1" + ")" * 60, 51, "deeper"),
        ("cpu > 1" + " " * MAX_LENGTH, MAX_LENGTH, "characters"),
    ],
)
def test_what_is_refused_and_where(text: str, position: int, word: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert caught.value.position == position
    assert word in caught.value.sentence
    assert caught.value.sentence.isprintable()
    assert caught.value.pointed_at(text).splitlines()[-1] == " " * (position + 2) + "^"


@pytest.mark.parametrize("text", ["cpu>80", "(cpu > 80)", "not cpu > 80", 'name == "x"', '"x"', "foo=bar", "a !~ b"])
def test_what_is_meant_as_an_expression(text: str) -> None:
    assert is_expression(text)


@pytest.mark.parametrize("text", ["", "firefox", "--type=renderer", "a b", "notify", "80", "node server.js", "x!"])
def test_what_is_meant_as_a_text(text: str) -> None:
    assert not is_expression(text)


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172800), ("7", 7)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_ns(text) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "s", "10x", "-5s", "1h 30m", "9" * 80])
def test_no_durations(text: str) -> None:
    assert duration_ns(text) is None


@pytest.mark.parametrize(
    ("text", "expression", "seconds"),
    [
        ("cpu > 80 for 10s", "cpu > 80", 10),
        ("cpu > 80 FOR 1m30s", "cpu > 80", 90),
        ("cpu > 80", "cpu > 80", 0),
        ("name == for for 2", "name == for", 2),
        ("'for 10s' for 250ms", "'for 10s'", 0.25),
        ("(pid = 1 or pid = 2) for 0s", "pid = 1 or pid = 2", 0),
    ],
)
def test_questions(text: str, expression: str, seconds: float) -> None:
    assert parse_question(text) == Question(parse(expression), round(seconds * SECOND))


@pytest.mark.parametrize(
    ("text", "position", "word"),
    [
        ("cpu > 80 for", 12, "time"),
        ("cpu > 80 for ever", 13, "time"),
        ("cpu > 80 for '10s'", 13, "time"),
        ("cpu > 80 for 10s and pid = 1", 17, "before"),
        ("(cpu > 80 for 10s)", 10, "')'"),
        ("for 10s", 0, "in quotes"),
        ("cpu > 80 10s", 9, "'and' or 'or'"),
    ],
)
def test_questions_that_are_refused(text: str, position: int, word: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_question(text)
    assert caught.value.position == position
    assert word in caught.value.sentence


def test_a_filter_has_no_duration() -> None:
    with pytest.raises(QueryError):
        parse("cpu > 80 for 10s")


def test_every_short_name_means_a_field() -> None:
    assert set(ALIASES.values()) <= set(FIELDS)
    assert set(COLUMNS) <= set(FIELDS)
    assert not set(ALIASES) & set(FIELDS)


def test_which_fields_are_read() -> None:
    assert fields(parse("not (cpu > 1 or rss > 1) and 'x' and exe == none")) == {"cpu_percent", "rss_bytes", "exe"}


ASKED = ("pid", "cpu_percent", "rss_bytes", "user", "comm", "kernel_thread")


def row(values: dict[str, Cell]) -> Row:
    return tuple(values.get(name) for name in COLUMNS)


def test_of(text: str) -> Callable[[Row], bool]:
    return compiled(parse(text), lambda name: lambda row: row[POSITION[name]], contains)


test_of.__test__ = False  # type: ignore[attr-defined]


def test_absence_satisfies_no_comparison() -> None:
    absent = row({"pid": 1})
    for operator in ("==", "!=", "<", "<=", ">", ">="):
        assert not test_of(f"cpu {operator} 1")(absent)
    assert not test_of("user ~ .*")(absent)
    assert not test_of("user !~ x")(absent)
    assert test_of("cpu == none and not rss > 0")(absent)
    assert not test_of("cpu != none")(absent)


def test_a_text_alone() -> None:
    assert test_of('"FIRE"')(row({"comm": "firefox"}))
    assert not test_of('"fire" and pid == 2')(row({"comm": "firefox", "pid": 1}))


numbers = st.integers(0, 5)
comparisons = st.one_of(
    st.tuples(st.sampled_from(["pid", "cpu_percent", "rss_bytes"]),
              st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), numbers),
    st.tuples(st.sampled_from(["user", "comm"]), st.sampled_from(["==", "!=", "~", "!~"]),
              st.sampled_from(["a", "b", "ab"])),
    st.tuples(st.sampled_from(list(ASKED)), st.sampled_from(["==", "!="]), st.none()),
    st.tuples(st.just("kernel_thread"), st.sampled_from(["==", "!="]), st.booleans()),
)  # fmt: skip
trees = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=8,
)
rows = st.builds(
    lambda *cells: row(dict(zip(ASKED, cells, strict=True))),
    st.integers(0, 5),
    st.none() | st.floats(0, 5) | st.integers(0, 5).map(float),
    st.none() | numbers,
    st.none() | st.sampled_from(["a", "b", "ab", "A"]),
    st.none() | st.sampled_from(["a", "b", "ab"]),
    st.none() | st.booleans(),
)


def written(tree: object) -> str:
    match tree:
        case ("not", inner):
            return f"not {written(inner)}"
        case ("and" | "or" as word, left, right):
            return f"({written(left)} {word} {written(right)})"
        case (name, operator, value):
            return f"{name} {operator} {'none' if value is None else repr(value) if isinstance(value, str) else value}"
    raise AssertionError(tree)


SIGNS = {
    "==": operators.eq, "!=": operators.ne, "<": operators.lt, "<=": operators.le, ">": operators.gt,
    ">=": operators.ge,
}  # fmt: skip


def naive(tree: object, values: Row) -> bool:
    match tree:
        case ("not", inner):
            return not naive(inner, values)
        case ("and", left, right):
            return naive(left, values) and naive(right, values)
        case ("or", left, right):
            return naive(left, values) or naive(right, values)
        case (str(name), operator, value):
            cell = values[POSITION[name]]
            if value is None:
                return (cell is None) == (operator == "==")
            if cell is None:
                return False
            if operator in ("~", "!~"):
                return bool(re.search(value, str(cell), re.IGNORECASE)) == (operator == "~")
            return bool(SIGNS[operator](cell, value))
    raise AssertionError(tree)


@given(trees, st.lists(rows, min_size=1, max_size=5))
def test_answers_are_those_of_a_naive_evaluator(tree: object, processes: list[Row]) -> None:
    test = test_of(written(tree))
    assert [test(one) for one in processes] == [naive(tree, one) for one in processes]


WORDS = (*list(ALIASES)[:6], "and", "or", "not", *"()<~\"'\\ ", "==", "!~", "none", "5m", "2G", "80%")


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=12).map("".join))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    understood(text)


def understood(text: str) -> Expression | None:
    is_expression(text)
    refusal = None
    try:
        expression = parse(text)
    except QueryError as error:
        refusal = error
    if refusal is not None:
        assert 0 <= refusal.position <= max(len(text), 1)
        assert refusal.sentence
        return None
    assert test_of(text)(row({"pid": 1, "comm": "x"})) in (True, False)
    return expression


def test_random_strings() -> None:
    from random import Random

    random = Random(7)
    letters = " ()<>=!~\"'\\%abcpuersmnotdk0123456789._-\t\n\x1b\udcff\u00e9"
    found = 0
    for _ in range(EXAMPLES):
        parts = [
            random.choice(WORDS) if random.random() < 0.6 else "".join(random.choices(letters, k=random.randint(0, 4)))
            for _ in range(random.randint(0, 8))
        ]
        found += understood(random.choice(["", " "]).join(parts)) is not None
    assert found


def test_measures_are_all_written_somehow() -> None:
    assert {field.measure for field in FIELDS.values()} == set(Measure)
