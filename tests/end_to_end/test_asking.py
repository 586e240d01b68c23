"""A real ztopd is asked about a busy loop that is gone, and one that goes on."""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.end_to_end.real_daemon import Daemon, until

SECOND = 10**9
BUSY = "import time\nwhile time.process_time() < 1.5: pass"
GOES_ON = "while True: pass"


def asked(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "ztop_client", "--socket", str(daemon.path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_busy_loop_is_found_when_it_is_gone(daemon: Daemon, tmp_path: Path) -> None:
    began_ns = time.time_ns()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        pass
    ended_ns = time.time_ns()
    with daemon.session() as session:
        until(lambda: session.snapshot([]).time_ns > ended_ns, "a frame of later")
        until(lambda: bool(session.find(f"pid == {busy.pid}")), "it is remembered")
    # on a busy machine it has little, and not always
    question = f"pid == {busy.pid} and cpu > 1"
    found = asked(daemon, "--find", question, "--since", f"@{began_ns / SECOND - 1:.3f}", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    stretches = [json.loads(line) for line in found.stdout.splitlines()]
    assert {(one["pid"], one["still"]) for one in stretches} == {(busy.pid, False)}
    assert min(one["from_ns"] for one in stretches) >= began_ns - SECOND // 2
    assert max(one["to_ns"] for one in stretches) <= ended_ns + SECOND // 2
    assert 0 < sum(one["duration_ns"] for one in stretches) <= ended_ns - began_ns + SECOND // 2
    assert max(one["greatest"]["cpu_percent"] for one in stretches) <= 120
    text = asked(daemon, "--find", question)
    assert text.returncode == 0
    assert len(text.stdout.splitlines()) == len(stretches) + 1
    assert str(busy.pid) in text.stdout
    assert asked(daemon, "--find", f"{question} for 1h").returncode == 1


def test_filters_of_what_is_now(daemon: Daemon) -> None:
    with subprocess.Popen([sys.executable, "-c", GOES_ON]) as busy:
        try:
            with daemon.session() as session:
                until(lambda: session.find(f"pid == {busy.pid} and cpu > 1 for 400ms") != [], "it is busy")
            mine = f"pid == {busy.pid} and age < 1h and"
            lines = asked(daemon, "-b", "-n", "1", "--json", "--filter", f"{mine} rss > 1M").stdout
            assert [one["pid"] for one in json.loads(lines)["processes"]] == [busy.pid]
            lines = asked(daemon, "-b", "-n", "1", "--json", "--filter", f"{mine} not rss > 1M").stdout
            assert json.loads(lines)["processes"] == []
        finally:
            busy.kill()


def test_a_wrong_question_starts_nothing(daemon: Daemon) -> None:
    for option in ("--find", "--filter"):
        refused = asked(daemon, "-b" if option == "--filter" else "--json", option, "cpu > much")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.splitlines()[1:] == ["  cpu > much", "        ^"]
