"""A stand-in for the reader child that answers at once, from the same /proc."""

import time
from collections.abc import Mapping

from ztopd.collectors.blocking import Answer, Argument, Question
from ztopd.sampler.reader_child import answer


class ImmediateReader:
    """Implements BlockingReader. ``silent`` makes it one that never answers."""

    def __init__(self, proc: str = "/proc") -> None:
        self.proc = proc
        self.silent = False
        self.asked: list[tuple[Question, Argument]] = []
        self._answers: dict[Question, dict[Argument, Answer]] = {question: {} for question in Question}

    def ask(self, question: Question, argument: Argument) -> None:
        self.asked.append((question, argument))
        if self.silent:
            return
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            reply = Answer(answer(self.proc, question, argument), None, now)
        except (OSError, LookupError) as error:
            reply = Answer(None, str(error), now)
        self._answers[question][argument] = reply

    def take(self, question: Question) -> Mapping[Argument, Answer]:
        taken, self._answers[question] = self._answers[question], {}
        return taken

    def settle(self) -> None:
        """There is nothing to wait for."""

    def problem(self) -> None:
        """It has none."""
