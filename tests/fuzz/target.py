"""What is fuzzed: bytes of a stranger's, and what may become of them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Mutator: TypeAlias = Callable[[bytes, random.Random], bytes]
"""Another input, made of one."""


def sentence(error: Exception) -> str:
    """What a stated error says. It must say something, in one line."""
    said = str(error)
    assert said and "\n" not in said, "an error without a sentence"
    return said


@dataclass(frozen=True, slots=True)
class Target:
    """``run`` takes any bytes and returns; whatever it raises is a finding, and so is what it takes too much of."""

    name: str
    about: str
    seeds: Callable[[], Sequence[bytes]]
    """Inputs that mean something, to begin with."""
    run: Callable[[bytes], None]
    mutated: Mutator
    seconds: float = 1.0
    """How much CPU time one input may take."""
    memory_bytes: int = 64 << 20
    """How much one input may add to the most memory that was ever resident."""
