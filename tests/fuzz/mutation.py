"""Other inputs made of inputs: as bytes, as lines of text, as values of MessagePack."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from tests.fuzz.target import Mutator

MOST_BYTES = 64 << 10

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 1 << 31, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)),
    *(0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    *("", "text", "\x1b]0;x\x07", "\x9b2J", "\u202e", "\0", "\n", "日本語", "x" * 300),
    *(b"", b"\xff\x00", b"\xc3", b"x" * 300, [], [[]], [None] * 50, {}, {1: 2}, {"columns": []}),
)
"""What a field may hold that expects something else."""

_NUMBERS = (
    *(b"0", b"-1", b"1", b"00", b"+5", b"1_0", b"255", b"4294967296", b"18446744073709551615", b"-9223372036854775809"),
    *(b"9" * 30, b"9" * 400, b"9" * 5000, b"0.5", b"1e999", b"nan", b"inf", b"0x10", b"\xd9\xa3", b""),
)
_EDGES = (0x00, 0x7F, 0x80, 0xFF, 0x0A, 0x20, 0x28, 0x29, 0x3A, 0x1B, 0x5B)


def bytes_mutated(data: bytes, chosen: random.Random) -> bytes:
    """One to four changes of single bytes or of ranges."""
    made = bytearray(data)
    for _ in range(chosen.choice((1, 1, 1, 2, 4))):
        _ONE_CHANGE[chosen.randrange(len(_ONE_CHANGE))](made, chosen)
    return bytes(made[:MOST_BYTES])


def _range(made: bytearray, chosen: random.Random) -> tuple[int, int]:
    start = chosen.randrange(len(made) + 1)
    length = chosen.choice((1, 2, 4, 8, 16, 64, 256, 4096))
    return start, min(start + chosen.randint(1, length), len(made))


def _flip(made: bytearray, chosen: random.Random) -> None:
    if made:
        made[chosen.randrange(len(made))] ^= 1 << chosen.randrange(8)


def _replace(made: bytearray, chosen: random.Random) -> None:
    if made:
        made[chosen.randrange(len(made))] = chosen.choice((*_EDGES, chosen.randrange(256)))


def _insert(made: bytearray, chosen: random.Random) -> None:
    place = chosen.randrange(len(made) + 1)
    made[place:place] = chosen.randbytes(chosen.choice((1, 1, 2, 4, 16)))


def _remove(made: bytearray, chosen: random.Random) -> None:
    start, end = _range(made, chosen)
    del made[start:end]


def _double(made: bytearray, chosen: random.Random) -> None:
    start, end = _range(made, chosen)
    place = chosen.randrange(len(made) + 1)
    made[place:place] = made[start:end]


def _copy_over(made: bytearray, chosen: random.Random) -> None:
    start, end = _range(made, chosen)
    place = chosen.randrange(len(made) + 1)
    made[place : place + end - start] = made[start:end]


def _integer(made: bytearray, chosen: random.Random) -> None:
    size = chosen.choice((2, 4, 8))
    if len(made) >= size:
        place = chosen.randrange(len(made) - size + 1)
        largest = (1 << 8 * size) - 1
        value = chosen.choice((0, 1, largest, largest >> 1, (largest >> 1) + 1, len(made) & largest))
        made[place : place + size] = value.to_bytes(size, chosen.choice(("big", "little")))


def _cut(made: bytearray, chosen: random.Random) -> None:
    del made[chosen.randrange(len(made) + 1) :]


_ONE_CHANGE: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _flip, _replace, _replace, _insert, _remove, _double, _copy_over, _integer, _cut),
)


def text_mutated(words: Sequence[bytes], seeds: Callable[[], Sequence[bytes]]) -> Mutator:
    """Numbers, words and lines are replaced, also by those of another seed; sometimes just bytes are."""

    def mutated(data: bytes, chosen: random.Random) -> bytes:
        for _ in range(chosen.choice((1, 1, 2, 5))):
            match chosen.randrange(8):
                case 0:
                    data = bytes_mutated(data, chosen)
                case 1 | 2:
                    data = _one_replaced(rb"\d+(?:\.\d+)?", chosen.choice(_NUMBERS), data, chosen)
                case 3:
                    data = _one_replaced(rb"[A-Za-z_]+", chosen.choice(words), data, chosen)
                case 4:
                    place = chosen.randrange(len(data) + 1)
                    data = data[:place] + chosen.choice(words) + data[place:]
                case 5:
                    data = _one_replaced(rb"[ \t]+|\n", chosen.choice((b"", b"  ", b"\t", b"\n", b"\0")), data, chosen)
                case 6:
                    lines = data.splitlines(keepends=True) or [b""]
                    others = chosen.choice(seeds()).splitlines(keepends=True) or [b""]
                    lines[chosen.randrange(len(lines))] = chosen.choice(others)
                    data = b"".join(lines)
                case _:
                    lines = data.splitlines(keepends=True) or [b""]
                    line = lines.pop(chosen.randrange(len(lines)))
                    for _ in range(chosen.choice((0, 2))):
                        lines.insert(chosen.randrange(len(lines) + 1), line)
                    data = b"".join(lines)
        return data[:MOST_BYTES]

    return mutated


def _one_replaced(pattern: bytes, new: bytes, data: bytes, chosen: random.Random) -> bytes:
    found = list(re.finditer(pattern, data[:4096]))
    if not found:
        return data + new
    one = chosen.choice(found)
    return data[: one.start()] + new + data[one.end() :]


def value_mutated(value: Any, chosen: random.Random, leaves: Sequence[Any] = HOSTILE) -> Any:
    """The value with one leaf or one branch replaced, left out, doubled, or moved elsewhere."""
    if isinstance(value, list | dict) and value and chosen.random() < 0.9:
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = chosen.choice(places)
        new: Any = dict(value) if isinstance(value, dict) else list(value)
        what = chosen.random()
        if what < 0.05:
            del new[place]
        elif what < 0.1 and isinstance(new, list):
            new.insert(chosen.randrange(len(new) + 1), new[place])
        elif what < 0.12 and isinstance(new, list):
            new[place] = new[chosen.randrange(len(new))]
        elif what < 0.12:
            new[chosen.choice(("sections", "seq", "columns", "", 7))] = new[place]
        elif what < 0.14 and isinstance(new, list):
            new *= chosen.choice((2, 20, 300))
            del new[500:]
        else:
            new[place] = value_mutated(new[place], chosen, leaves)
        return new
    if type(value) is int and chosen.random() < 0.5:
        return value + chosen.choice((-1, 1, 10**9, -(10**9)))
    return chosen.choice(leaves)


def packed(value: Any) -> bytes:
    """MessagePack of whatever it is; nothing for what that cannot hold."""
    try:
        made: bytes = msgpack.packb(value, unicode_errors="surrogateescape")
    except (OverflowError, ValueError, TypeError):
        return b"\xc0"
    return made


def unpacked(data: bytes) -> Any:
    """The value; None where it is none."""
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
    except Exception:  # whatever the unpacker raises: the mutation is one of bytes then
        return None
