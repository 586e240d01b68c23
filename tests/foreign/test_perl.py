"""A client of some 40 lines in another language, written from PROTOCOL.md alone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("top.pl")
PERL = shutil.which("perl")
LINE = re.compile(r" *(\d+) +([\d.]+) MiB +(-|[\d.]+) %  (.*)")

pytestmark = pytest.mark.skipif(PERL is None, reason="perl is not installed")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    assert PERL is not None
    return subprocess.run([PERL, SCRIPT, *arguments], capture_output=True, encoding="utf-8", timeout=30)


def rows(*arguments: str) -> list[tuple[int, float, str]]:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found = [LINE.fullmatch(line) for line in done.stdout.splitlines()]
    return [(int(line[1]), float(line[2]), line[4]) for line in found if line]


def test_the_five_largest_processes(daemon_socket: str) -> None:
    table = rows(daemon_socket)
    assert len(table) == 5
    sizes = [size for _, size, _ in table]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1


def test_a_name_that_is_not_utf8(daemon_socket: str, oddly_named: int) -> None:
    """Two bytes of it are shown as ``?`` or as Latin-1: the client's own choice. That it is there, counts."""
    assert [(pid, comm[:3], comm[-5:]) for pid, _, comm in rows(daemon_socket, "-ZTOP") if pid == oddly_named] == [
        (oddly_named, "caf", "-ztop")
    ]


def test_no_daemon(tmp_path: Path) -> None:
    done = run(str(tmp_path / "none"))
    assert done.returncode != 0
    assert "No such file" in done.stderr
