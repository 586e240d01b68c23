"""Writes the pages of the manual and the completions of the shells anew, from the parsers of the programs.

scripts/man-and-completions [DIR]     into share/, or another folder such as /usr/share
scripts/man-and-completions --check   exit status 1 if share/ is stale
"""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from completions import completions
from man_pages import DATE, pages
from programs import ROOT

SHARE = ROOT / "share"


def dated(path: Path, content: str) -> str:
    """A page that did not change keeps its date."""
    old = path.read_text() if path.exists() else ""
    if (found := re.match(r'\.TH \S+ "\d" "([^"]+)"', old)) and content.replace(DATE, found[1]) == old:
        return old
    return content.replace(DATE, datetime.now(UTC).strftime("%Y-%m-%d"))


def main() -> int:
    made = {name: dated(SHARE / name, content) for name, content in (*pages(), *completions())}
    if sys.argv[1:] == ["--check"]:
        there = {path.relative_to(SHARE).as_posix(): path.read_text() for path in SHARE.rglob("*") if path.is_file()}
        stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
        if stale:
            print(f"share/ is stale ({', '.join(stale)}): run scripts/man-and-completions", file=sys.stderr)
        return 1 if stale else 0
    folder = Path(sys.argv[1]) if sys.argv[1:] else SHARE
    for name, content in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
