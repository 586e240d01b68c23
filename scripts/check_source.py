"""Two rules that no linter has: source files stay short, and relative links in Markdown lead somewhere."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
WARN_LINES = 400
FAIL_LINES = 500
SKIPPED = {"build", "dist", "node_modules", "fixtures"}

CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def is_source(path: Path) -> bool:
    return path.suffix in {".py", ".sh", ".c", ".h", ".lua"} or (path.parent == ROOT / "scripts" and not path.suffix)


def broken_links(page: Path) -> Iterator[str]:
    for match in LINK.finditer(CODE.sub("", page.read_text())):
        target = match[1] or match[2]
        if not ELSEWHERE.match(target) and not (page.parent / unquote(target.partition("#")[0])).exists():
            yield target


def main() -> int:
    failures = 0
    for path in files(ROOT):
        name = path.relative_to(ROOT)
        if path.suffix == ".md":
            for target in broken_links(path):
                print(f"{name}: broken link {target}")
                failures += 1
        elif is_source(path):
            lines = len(path.read_text().splitlines())
            if lines > FAIL_LINES:
                print(f"{name}: {lines} lines, more than {FAIL_LINES}")
                failures += 1
            elif lines > WARN_LINES:
                print(f"{name}: warning: {lines} lines, better at most {WARN_LINES}")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
