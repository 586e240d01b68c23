#!/usr/bin/env python3
"""What ``ztop --find`` costs: CPU seconds for an hour of a machine, out of a recording, by question.

    bench/find.py [--processes 500] [--seconds 3600] [--active 0.05]

The frames are made up (bench/machine.py): a share of the processes changes in each of them. Run it with the Python
that has ztop's dependencies, e.g. .venv/bin/python.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from bench.machine import SECOND, Machine  # noqa: E402
from ztop_client.find import find, needed_sections  # noqa: E402
from ztop_client.sources.past import RecordedPast, pairs  # noqa: E402
from ztop_client.sources.source import Pair  # noqa: E402
from ztop_protocol.garbage import collect_seldom  # noqa: E402
from ztop_protocol.query import parse_question  # noqa: E402
from ztop_protocol.recording import RecordingWriter  # noqa: E402
from ztop_protocol.segment import encode_step  # noqa: E402

QUESTIONS = (
    "cpu > 5 for 2s",
    "rss > 400M and user == postgres for 1m",
    "command ~ 'worker 1.*conf' and cpu > 1",
    '"postgres" for 10s',
    "age < 30m and cpu > 5",
)


def write(path: str, processes: int, seconds: int, active: float) -> None:
    """A recording of a machine."""
    writer, before = RecordingWriter(path, SECOND), None
    for frame in itertools.islice(Machine(processes, active).frames(), seconds):
        writer.add(encode_step(before, frame, whole=writer.needs_keyframe))
        before = frame
    writer.close()


def walked(past: RecordedPast, sections: frozenset[str]) -> Iterator[Pair]:
    """Every frame."""
    return pairs(past, 0, (1 << 63) - 1, sections)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--active", type=float, default=0.05)
    options = parser.parse_args()
    collect_seldom()
    with tempfile.TemporaryDirectory(prefix="ztop-bench-") as folder:
        path = f"{folder}/machine.ztop"
        write(path, options.processes, options.seconds, options.active)
        print(f"{options.seconds} frames of {options.processes} processes, {options.active:.0%} active: CPU seconds")
        with closing(RecordedPast(path)) as past:
            started = time.process_time()
            for _ in walked(past, frozenset({"processes"})):
                pass
            print(f"{time.process_time() - started:6.2f}  reading the frames alone")
        for text in QUESTIONS:
            question = parse_question(text)
            started = time.process_time()
            with closing(RecordedPast(path)) as past:
                found = sum(1 for _ in find(walked(past, needed_sections(question)), question))
            print(f"{time.process_time() - started:6.2f}  {text}  ({found} found)")


if __name__ == "__main__":
    main()
