"""Tries inputs that nobody thought of: python -m tests.fuzz, or scripts/fuzz, which sees to what it needs."""

import argparse
import contextlib
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

from tests.fuzz.engines import by_chance, by_coverage, until
from tests.fuzz.target import Target
from tests.fuzz.watch import Watch

CRASHES = Path(__file__).resolve().parent.parent.parent / "build" / "fuzz"
INPUTS = 100_000
_FINE, _FOUND = 20, 21
"""How a target's process ends that came to its end: libFuzzer has statuses of its own."""
_PACKAGES = ["ztop_protocol", "ztopd", "ztop_client"]


def main() -> int:
    """Each target in a process of its own, one after the other; 1 where any input did what it must not."""
    options = _options()
    has_atheris = importlib.util.find_spec("atheris") is not None
    if options.one:
        return _one(options)
    if options.engine == "auto" and not has_atheris:
        print("fuzz: atheris did not install for this Python: inputs are made by chance alone", file=sys.stderr)
    from tests.fuzz.targets import TARGETS

    known = {target.name: target for target in TARGETS}
    if unknown := [name for name in options.targets if name not in known]:
        print(f"fuzz: there is no target {unknown[0]}; the targets are {', '.join(known)}", file=sys.stderr)
        return 2
    if options.list:
        for target in TARGETS:
            print(f"{target.name:14} {target.about}")
        return 0
    if options.again:
        return _again(known[options.targets[0]], options.again)
    failed = False
    for name in options.targets or known:
        engine = options.engine if options.engine != "auto" else "coverage" if has_atheris else "chance"
        command = [sys.executable, "-P", "-m", "tests.fuzz", name, "--one", "--engine", engine]
        command += ["--seed", str(options.seed), "--crashes", str(options.crashes)]
        if options.inputs is not None:
            command += ["--inputs", str(options.inputs)]
        if options.seconds is not None:
            command += ["--seconds", str(options.seconds)]
        # what libFuzzer has to say for itself is of use only where it could not go on
        done = subprocess.run(command, stderr=None if options.verbose else subprocess.PIPE, text=True, errors="replace")
        failed |= done.returncode != _FINE
        if done.returncode not in (_FINE, _FOUND):
            print(f"{name}: could not go on, status {done.returncode}\n{(done.stderr or '')[-2000:]}", flush=True)
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/fuzz", description="Tries inputs that nobody thought of.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what is fuzzed; all of it without")
    parser.add_argument("--list", action="store_true", help="print the targets")
    parser.add_argument("--inputs", type=int, help=f"how many for each target; {INPUTS:,} without --seconds")
    parser.add_argument("--seconds", type=float, help="for each target, at most so long")
    parser.add_argument("--seed", type=int, default=1, help="another number: other inputs; 1")
    parser.add_argument(
        "--engine", choices=("auto", "coverage", "chance"), default="auto",
        help="coverage: guided by the code that an input reaches, with atheris; chance: without; usually what installs",
    )  # fmt: skip
    parser.add_argument("--crashes", type=Path, default=CRASHES, help=f"where inputs that crash are saved; {CRASHES}")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run one saved input of TARGET, and no more")
    parser.add_argument("--verbose", action="store_true", help="with what the engine says")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.again and len(options.targets) != 1:
        parser.error("--again needs one target")
    if options.inputs is None and options.seconds is None:
        options.inputs = INPUTS
    return options


def _one(options: argparse.Namespace) -> int:
    """The one target of this process."""
    guided = options.engine == "coverage"
    instrumented: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if guided:
        import atheris

        instrumented = atheris.instrument_imports(include=_PACKAGES)
    with instrumented:
        from tests.fuzz.recording import forget
        from tests.fuzz.targets import TARGETS
    logging.disable(logging.WARNING)
    target = next(target for target in TARGETS if target.name == options.targets[0])
    watch = Watch(target, options.crashes)
    goes_on = until(options.inputs, options.seconds, watch)

    def ended() -> int:
        forget()
        print(watch.report.said(target.name), flush=True)
        for place, (path, _) in watch.report.crashes.items():
            print(f"  {place}\n    scripts/fuzz {target.name} --again {path}", flush=True)
        return _FOUND if watch.report.crashes else _FINE

    if guided:
        by_coverage(target, watch, goes_on, options.seed, ended)
    else:
        by_chance(target, watch, goes_on, options.seed)
    return ended()


def _again(target: Target, path: Path) -> int:
    Watch(target, CRASHES).run_through(path.read_bytes())
    print(f"{target.name}: nothing is wrong with that input")
    return 0


if __name__ == "__main__":
    sys.exit(main())
