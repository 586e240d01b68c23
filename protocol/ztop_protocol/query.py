"""The language in which processes are asked for: ``cpu > 80 and user == "postgres"``, ``age < 5m``, ``"firefox"``.

    expression   disjunction
    disjunction  conjunction { "or" conjunction }
    conjunction  negation { "and" negation }
    negation     "not" negation | "(" disjunction ")" | field operator value | text
    operator     == = != < <= > >= ~ !~         (~: a regular expression is found in the text, whatever the case)
    value        "text" | 'text' | word | number with a unit | none
    question     expression [ "for" duration ]

A text alone means: the name, the command line or the user contains it. What is absent satisfies no comparison but
``== none``. Nothing is evaluated as code; a parsed expression is data, and :func:`compiled` makes a test of it.
"""

import operator as operators
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from ztop_protocol.frame import Cell
from ztop_protocol.query_fields import ALIASES, FIELDS, Field, Measure, field_of

T = TypeVar("T")

MAX_LENGTH = 4096
_MAX_DEPTH = 50


class QueryError(ValueError):
    """The expression cannot be meant. ``position``: at which character of it, from 0."""

    def __init__(self, sentence: str, position: int) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.position = position

    def pointed_at(self, text: str) -> str:
        """The sentence, the expression and a mark under the place."""
        return f"{self.sentence}\n  {text}\n  {' ' * self.position}^"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``; the value is in the unit of the field, None stands for ``none``."""

    field: Field
    operator: str
    value: Cell


@dataclass(frozen=True, slots=True)
class Contains:
    """The name, the command line or the user contains a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Not:
    part: "Expression"


@dataclass(frozen=True, slots=True)
class And:
    parts: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    parts: "tuple[Expression, ...]"


Expression: TypeAlias = Comparison | Contains | Not | And | Or


@dataclass(frozen=True, slots=True)
class Question:
    """An expression that is to hold for so long without a break; 0: in one frame at least."""

    expression: Expression
    duration_ns: int = 0


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<operator>==|!=|<=|>=|!~|=|<|>|~)
      | (?P<paren>[()])
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\s()<>=!~"']+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = ("==", "=", "!=", "<", "<=", ">", ">=", "~", "!~")
_LOOKS_LIKE_ONE = re.compile(
    r"""\s*(?:\(\s*|not\s+)*(?:[A-Za-z_]\w*\s*(?:[<>=~]|![=~])|["'])|\s*(?:not\b|\()""", re.ASCII
)


def is_expression(text: str) -> bool:
    """Whether a text is meant as an expression, and not as a text to be found.

    It is where a name is followed by an operator, or where it begins with a quote, ``not`` or a parenthesis.
    """
    return _LOOKS_LIKE_ONE.match(text) is not None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> Iterator[_Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            what = "a text that does not end" if text[at] in "\"'" else f"{text[at]!a} means nothing here"
            raise QueryError(what, at)
        yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        place = found.end()


def parse(text: str) -> Expression:
    """The expression. Raises :exc:`QueryError`."""
    parser = _Parser(text)
    found = parser.disjunction(0)
    parser.expect_end()
    return found


def parse_question(text: str) -> Question:
    """``cpu > 80 for 10s``. Raises :exc:`QueryError`."""
    parser = _Parser(text)
    found = Question(parser.disjunction(0), parser.duration())
    parser.expect_end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise QueryError(f"an expression has at most {MAX_LENGTH} characters", MAX_LENGTH)
        self._tokens = list(_tokens(text))
        self._next = 0
        self._length = len(text)

    def _peek(self) -> _Token:
        if self._next < len(self._tokens):
            return self._tokens[self._next]
        return _Token("end", "", self._length)

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _takes_word(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "word" and token.text.lower() == word:
            self._next += 1
            return True
        return False

    def expect_end(self) -> None:
        token = self._peek()
        if token.kind != "end":
            raise QueryError(f"'and' or 'or' was expected before {token.text!a}", token.position)

    def duration(self) -> int:
        if not self._takes_word("for"):
            return 0
        token = self._take()
        found = duration_ns(token.text) if token.kind == "word" else None
        if found is None:
            raise QueryError(f"{_FORMS[Measure.DURATION]} was expected after for", token.position)
        return found

    def disjunction(self, depth: int) -> Expression:
        parts = [self._conjunction(depth)]
        while self._takes_word("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self, depth: int) -> Expression:
        parts = [self._negation(depth)]
        while self._takes_word("and"):
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self, depth: int) -> Expression:
        token = self._take()
        if depth > _MAX_DEPTH:
            raise QueryError(f"nested deeper than {_MAX_DEPTH}", token.position)
        if token.kind == "word" and token.text.lower() == "not":
            return Not(self._negation(depth + 1))
        if token.text == "(" and token.kind == "paren":
            inner = self.disjunction(depth + 1)
            closing = self._take()
            if closing.text != ")" or closing.kind != "paren":
                raise QueryError("a ')' is missing", closing.position)
            return inner
        if token.kind == "string":
            return Contains(_unquoted(token))
        if token.kind != "word":
            what = "the end" if token.kind == "end" else ascii(token.text)
            raise QueryError(f"a condition was expected, such as cpu > 80, and not {what}", token.position)
        return self._comparison(token)

    def _comparison(self, name: _Token) -> Comparison:
        field = field_of(name.text.lower())
        if field is None:
            raise QueryError(_unknown(name.text, self._peek().kind == "operator"), name.position)
        operator = self._take()
        if operator.kind != "operator":
            raise QueryError(f"an operator was expected after {name.text}: {' '.join(_OPERATORS)}", operator.position)
        value = self._take()
        if value.kind not in ("word", "string"):
            raise QueryError(f"a value was expected after {operator.text}", value.position)
        sign = "==" if operator.text == "=" else operator.text
        return Comparison(field, sign, _value(field, sign, operator.position, value))


def _unknown(name: str, is_compared: bool) -> str:
    if not is_compared:
        return f"{name!a} alone means nothing: a text to be found is written in quotes"
    # imported where it is needed: only a mistake needs it
    from difflib import get_close_matches

    close = get_close_matches(name.lower(), [*ALIASES, *FIELDS], n=1)
    return f"there is no {name!a}" + (f"; is {close[0]} meant?" if close else "")


def _unquoted(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)(?:i?B)?(?:/s)?", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kMGT]?)(?:/s)?", re.ASCII)
_RATIO = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%?", re.ASCII)
_NUMBER = re.compile(r"-?\d+", re.ASCII)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+|\d+(?:\.\d+)?", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw]|$)", re.ASCII)
_UNIT_NS = {
    "ms": 1_000_000, "s": 10**9, "": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9,
    "w": 604_800 * 10**9,
}  # fmt: skip
_FORMS = {
    Measure.NUMBER: "a whole number",
    Measure.COUNT: "a number, such as 500 or 20k",
    Measure.RATIO: "a number, such as 0.5",
    Measure.PERCENT: "a percentage, such as 80",
    Measure.BYTES: "a size, such as 500M or 2G",
    Measure.DURATION: "a time, such as 10s or 1h30m",
    Measure.SECONDS: "a time, such as 10s or 1h30m",
    Measure.FLAG: "yes or no",
}
_MAX_DIGITS = 15


def duration_ns(text: str) -> int | None:
    """``10s``, ``1h30m``, ``250ms``, ``90`` (seconds) in ns; None for anything else."""
    if len(text) > 64 or not _DURATION.fullmatch(text):
        return None
    return sum(round(float(number) * _UNIT_NS[unit]) for number, unit in _DURATION_PART.findall(text))


def _number_of(measure: Measure, text: str) -> float | None:
    if len(re.sub(r"\D", "", text)) > _MAX_DIGITS:
        return None
    match measure:
        case Measure.NUMBER:
            return int(text) if _NUMBER.fullmatch(text) else None
        case Measure.RATIO:
            return float(text) if _RATIO.fullmatch(text) else None
        case Measure.DURATION:
            return duration_ns(text)
        case Measure.SECONDS:
            return None if (found_ns := duration_ns(text)) is None else found_ns / 1e9
        case Measure.PERCENT:
            return float(found[1]) if (found := _PERCENT.fullmatch(text)) else None
        case Measure.COUNT:
            found = _COUNT.fullmatch(text)
            return float(found[1]) * 1000 ** "kMGT".index(found[2]) * (1000 if found[2] else 1) if found else None
        case _:
            found = _SIZE.fullmatch(text)
            return float(found[1]) * 1024 ** " KMGTP".index(found[2].upper() or " ") if found else None


def _value(field: Field, operator: str, operator_position: int, token: _Token) -> Cell:
    """The value in the field's unit. Raises :exc:`QueryError`."""
    is_equality = operator in ("==", "!=")
    if token.kind == "word" and token.text.lower() == "none":
        if not is_equality:
            raise QueryError("none can be asked for with == and != alone", operator_position)
        return None
    text = _unquoted(token) if token.kind == "string" else token.text
    if field.measure is Measure.TEXT:
        if operator in ("~", "!~"):
            try:
                re.compile(text)
            except (re.error, RecursionError, OverflowError) as error:
                # it may quote what was written
                raise QueryError(f"not a regular expression: {ascii(str(error))[1:-1]}", token.position) from None
        elif not is_equality:
            raise QueryError(f"{field.name} is text: == != ~ !~ are for it", operator_position)
        return text
    if operator in ("~", "!~"):
        raise QueryError(f"{field.name} is no text: {operator} is not for it", operator_position)
    if field.measure is Measure.FLAG:
        known = {"yes": True, "true": True, "no": False, "false": False}.get(text.lower())
        if known is None or not is_equality:
            raise QueryError(f"{field.name} is yes or no, with == and !=", token.position)
        return known
    number = _number_of(field.measure, text)
    if number is None:
        raise QueryError(f"{field.name}: {_FORMS[field.measure]} was expected, not {text[:40]!a}", token.position)
    return number


def compiled(
    expression: Expression,
    value_of: Callable[[str], Callable[[T], Cell]],
    contains: Callable[[str], Callable[[T], bool]],
) -> Callable[[T], bool]:
    """A test of whatever stands for a process.

    ``value_of`` gives, for a field's full name, what reads it; ``contains``, for a text, what looks for it.
    """
    match expression:
        case Comparison():
            return _comparison(expression, value_of(expression.field.name))
        case Contains(text):
            return contains(text)
        case Not(part):
            test = compiled(part, value_of, contains)
            return lambda process: not test(process)
        case And(parts) | Or(parts):
            decisive = isinstance(expression, Or)
            tests = [compiled(part, value_of, contains) for part in parts]

            def first_that_decides(process: T) -> bool:
                for test in tests:
                    if test(process) is decisive:
                        return decisive
                return not decisive

            return first_that_decides


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operators.eq, "!=": operators.ne, "<": operators.lt, "<=": operators.le, ">": operators.gt,
    ">=": operators.ge,
}  # fmt: skip


def _comparison(comparison: Comparison, read: Callable[[T], Cell]) -> Callable[[T], bool]:
    operator, wanted = comparison.operator, comparison.value
    if wanted is None:
        return (
            (lambda process: read(process) is None) if operator == "==" else lambda process: read(process) is not None
        )
    if operator in ("~", "!~"):
        search, negated = re.compile(str(wanted), re.IGNORECASE).search, operator == "!~"

        def found(process: T) -> bool:
            value = read(process)
            return value is not None and (search(str(value)) is None) is negated

        return found

    compare = _COMPARE[operator]

    def compared(process: T) -> bool:
        value = read(process)
        return value is not None and compare(value, wanted)

    return compared


def fields(expression: Expression) -> frozenset[str]:
    """The full names of the fields that an expression reads; not what a text alone is looked for in."""
    match expression:
        case Comparison(field=field):
            return frozenset({field.name})
        case Contains():
            return frozenset()
        case Not(part):
            return fields(part)
        case And(parts) | Or(parts):
            return frozenset[str]().union(*map(fields, parts))
