"""Reads that can block for ever: asked here, answered by the reader child whenever it can."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from ztopd.collectors.source import Problem


class Question(StrEnum):
    """What can be asked, and what the argument is."""

    COMMAND_LINE = "command_line"
    """pid -> the bytes of /proc/PID/cmdline, cut at one byte more than a text cell holds. Blocks on mmap_lock."""
    USER_NAME = "user_name"
    """uid -> its name in UTF-8. Blocks on a name service."""
    FILESYSTEM = "filesystem"
    """mount point (bytes) -> the ten numbers of statvfs(3) in text, separated by spaces. Blocks on a dead server."""


Argument: TypeAlias = int | bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` is None where there was no answer: ``reason`` says why (an errno's words, or that it is stuck).

    ``boottime_ns`` is when the read began: the data is of then, however late it was taken.
    """

    data: bytes | None
    reason: str | None
    boottime_ns: int
    is_late: bool = False
    """There may be an answer another time: this read blocked and was given up."""


class BlockingReader(Protocol):
    """The collectors' side of the reader child."""

    def ask(self, question: Question, argument: Argument) -> None:
        """Asks; a question that is under way already is not asked twice."""

    def take(self, question: Question) -> Mapping[Argument, Answer]:
        """The answers that came since the last call. Never waits."""

    def settle(self) -> None:
        """Waits a moment for the answers under way; not at all while the reader is stuck."""

    def problem(self) -> Problem | None:
        """What ``sources`` says of the reader: which reads block."""
