"""Reading the named arguments of a request. What is wrong is refused with a sentence that names the argument.

An argument that is nil counts as absent; arguments that a method does not know are passed over.
"""

from collections.abc import Collection

from ztop_protocol.codec import Wire
from ztop_protocol.connection import Arguments, ErrorCode
from ztop_protocol.frame import Cell


class Refusal(Exception):
    """The answer is an error with this code and sentence; the connection lives on."""

    def __init__(self, code: ErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def bad(sentence: str) -> Refusal:
    """The refusal of an argument."""
    return Refusal(ErrorCode.BAD_ARGUMENTS, sentence)


def shown(value: Wire) -> str:
    """A stranger's value for a sentence: short, and without control characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def integer(arguments: Arguments, name: str, default: int, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    value = arguments.get(name)
    if value is None:
        return default
    if type(value) is not int or not low <= value <= high:
        raise bad(f"{name}: a whole number from {low} to {high} was expected, not {shown(value)}")
    return value


def flag(arguments: Arguments, name: str, default: bool) -> bool:
    """True or false."""
    value = arguments.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad(f"{name}: true or false was expected, not {shown(value)}")
    return value


def text(arguments: Arguments, name: str, default: str) -> str:
    """Text; also bytes, as text that is not UTF-8 travels."""
    value = arguments.get(name)
    if value is None:
        return default
    cell = as_cell(value)
    if not isinstance(cell, str):
        raise bad(f"{name}: text was expected, not {shown(value)}")
    return cell


def names(arguments: Arguments, name: str, known: Collection[str], default: Collection[str]) -> tuple[str, ...]:
    """A list of names that are all among ``known``; each one once."""
    value = arguments.get(name)
    if value is None:
        return tuple(default)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad(f"{name}: a list of names was expected, not {shown(value)}")
    for item in value:
        if item not in known:
            raise bad(f"{name}: there is no {shown(item)}")
    return tuple(dict.fromkeys(value))


def as_cell(value: Wire) -> Cell:
    """What stands in a row for a value on the wire; lists and maps are refused."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise bad(f"a number, text, true, false or nil was expected, not {shown(value)}")
