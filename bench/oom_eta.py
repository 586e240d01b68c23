#!/usr/bin/env python3
"""The backtest of the time to out-of-memory: what the rule makes of scripted growth. Prints the table of docs/gpus.md.

python3 bench/oom_eta.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from tests.ztopd.collectors.nvml.growth_patterns import PATTERNS, Outcome, play  # noqa: E402

BEFORE_S = (60, 30, 10)


def main() -> None:
    """Prints the table, then the sums."""
    outcomes = [play(pattern) for pattern in PATTERNS]
    print("| memory | end | error at 60 s | at 30 s | at 10 s | warned before the end | false alarms |")
    print("|-|-|-|-|-|-|-|")
    for outcome in outcomes:
        print(f"| {' | '.join(line(outcome))} |")
    ending = [outcome for outcome in outcomes if outcome.end_s is not None]
    missed = sum(outcome.is_missed for outcome in ending)
    alarms = sum(outcome.false_alarms for outcome in outcomes)
    print(f"\n{len(outcomes)} patterns, {len(ending)} of which end: {missed} missed, {alarms} false alarms.")


def line(outcome: Outcome) -> tuple[str, ...]:
    """The cells of one pattern."""
    errors = [outcome.error_at(before) for before in BEFORE_S]
    name, false = outcome.pattern.name, str(outcome.false_alarms)
    if outcome.end_s is None:
        return (name, "never", *[""] * len(errors), "", false)
    lead = "missed" if outcome.lead_s is None else f"{outcome.lead_s:.0f} s"
    shown = ["none" if error is None else f"{error:+.1f} s" for error in errors]
    return (name, f"{outcome.end_s:.0f} s", *shown, lead, false)


if __name__ == "__main__":
    main()
