"""The rule against scripted growth: told in time, and no wolf cried. docs/gpus.md has the table."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.ztopd.collectors.nvml.growth_patterns import PATTERNS, Outcome, Pattern, play
from ztopd import warn_command
from ztopd.collectors.nvml import approach, velocity
from ztopd.collectors.nvml.poller import HUNG_NS

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "gpus.md").read_text("utf-8")
SECOND = velocity.SECOND_NS
TOO_FAST = ("2 GiB/s to the end",)
STOP_JUST_BEFORE = ("sawtooth of 8 GiB, 40 s", "stops short: 200 MiB/s up to 22 GiB")
"""Nothing tells them from what goes on to the end, until they stop at 22 GiB of 24."""
UNEVEN = (
    *("faster and faster", "slower and slower", "100 MiB/s, noise of 100 MiB", "10 MiB/s, noise of 100 MiB"),
    *("allocations at random, 100 MiB/s", "rises 20 s, rests 5 s"),
)
"""At 60 s before the end their growth was another."""


@cache
def played(name: str) -> Outcome:
    return play(next(pattern for pattern in PATTERNS if pattern.name == name))


def named(patterns: list[Pattern]) -> list[object]:
    return [pytest.param(pattern.name, id=pattern.name) for pattern in patterns]


ENDING, HARMLESS = ([one for one in PATTERNS if one.ends is ends] for ends in (True, False))


def test_there_are_patterns_of_both_kinds() -> None:
    assert len(PATTERNS) >= 20 and len(ENDING) >= 10 and len(HARMLESS) >= 10
    assert len({pattern.name for pattern in PATTERNS}) == len(PATTERNS)


@pytest.mark.parametrize("name", named(ENDING))
def test_the_end_is_told_in_time(name: str) -> None:
    outcome = played(name)
    if name in TOO_FAST:
        assert outcome.is_missed, "the page says that it is"
        return
    assert outcome.lead_s is not None and outcome.lead_s >= 20
    for before, most in ((30, 9), (10, 7)):
        error = outcome.error_at(before)
        assert error is None or abs(error) <= most, before
    error = outcome.error_at(60)
    assert error is None or abs(error) <= (60 if name in UNEVEN else 7)


@pytest.mark.parametrize("name", named(list(PATTERNS)))
def test_no_false_alarm(name: str) -> None:
    assert played(name).false_alarms == (name in STOP_JUST_BEFORE)


@pytest.mark.parametrize("name", named(ENDING))
def test_once_per_approach(name: str) -> None:
    outcome = played(name)
    assert len(outcome.warnings_s) <= (2 if "again" in name else 1)


def test_the_page_has_the_table() -> None:
    done = subprocess.run([sys.executable, ROOT / "bench" / "oom_eta.py"], capture_output=True, text=True, check=True)
    assert done.stdout in PAGE


@pytest.mark.parametrize(
    "words",
    [
        f"over the last {velocity.WINDOWS_NS[0] // SECOND} s of 200 ms polls",
        f"more than {velocity.STEP_SHARE:.0%} of all moves".replace("%", " %"),
        f"more than {velocity.STEP_MEDIANS} times the median one",
        f"Fewer than {velocity.LEAST_MOVES} moves left",
        f"less than {velocity.SIGNIFICANCE:g} standard errors",
        "the window is {}, {}, at last {} s long".format(*(ns // SECOND for ns in velocity.WINDOWS_NS[1:])),
        f"for {velocity.LEAST_QUIET_NS // SECOND} s at least: the trend is over",
        f"After {velocity.GAP_NS // SECOND} s without a sample",
        f"has not grown for {approach.LEAST_RISE_NS // SECOND} s yet",
        f"memory has risen for {approach.LEAST_SUSTAINED_NS // SECOND} s",
        f"in the last {approach.NEARING_NS // SECOND} s by half of that",
        f"in the last {approach.REMEMBERED_NS // SECOND // 60} minutes",
        f"less than {approach.NEARLY_FULL_SHARE:.0%} of all memory left".replace("%", " %"),
        f"A fall of less than {approach.RELEASE_SHARE:.0%} is none".replace("%", " %"),
        f"below twice `warn_seconds` for {approach.CLEARED_NS // SECOND} s",
        f"has not returned for {HUNG_NS // SECOND} s",
        f"It is killed after {warn_command.TIMEOUT_S:g} s",
    ],
)
def test_the_numbers_of_the_page_are_those_of_the_rules(words: str) -> None:
    assert words in PAGE
