"""Neovim's own MessagePack-RPC client, with nothing of ours: ``sockconnect('pipe', path, {rpc = true})``.

What Debian 12's Neovim 0.7.2 does, and the daemon is to put up with: an empty table is ``[]``, not ``{}``; numbers are
doubles, so that wall times lose their last digits; text that is no UTF-8 is sent as ``str`` all the same; of an error
it shows the text, or "unknown error" where the error is not a text.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("neovim.lua")
PAST_SCRIPT = Path(__file__).with_name("neovim_past.lua")
BUSY = "import time\nwhile time.process_time() < 1: pass"
NVIM = shutil.which("nvim")

pytestmark = pytest.mark.skipif(NVIM is None, reason="nvim is not installed")


@pytest.fixture(scope="module")
def answers(daemon_socket: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script printed: JSON, or the sentence of an error."""
    return asked(daemon_socket, tmp_path_factory.mktemp("home"))


def asked(path: str, home: Path, script: Path = SCRIPT, **environment: str) -> dict[str, Any]:
    assert NVIM is not None
    done = subprocess.run(
        [NVIM, "--headless", "-u", "NONE", "-i", "NONE", "-n", "-c", f"luafile {script}", "-c", "qa!"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "ZTOP_SOCKET": path, **environment},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return {name: answer[1:] if answer.startswith("!") else json.loads(answer) for name, _, answer in lines}


def table(answer: dict[str, Any], section: str) -> list[dict[str, Any]]:
    body = answer["sections"][section]
    return [dict(zip(body["columns"], row, strict=True)) for row in body["rows"]]


@pytest.mark.parametrize("name", ["nothing", "empty_list", "empty_map", "nil", "alive", "alive_after_notifications"])
def test_every_way_to_say_no_arguments(answers: dict[str, Any], name: str) -> None:
    assert set(answers[name]) == {"seq", "time_ns"}
    assert answers[name]["seq"] >= 1


def test_hello(answers: dict[str, Any]) -> None:
    assert answers["hello"]["uid"] == os.geteuid()
    assert answers["hello"]["interval_ns"] == 200_000_000


def test_snapshot(answers: dict[str, Any]) -> None:
    snapshot = answers["snapshot"]
    assert set(snapshot) == {"seq", "time_ns", "boottime_ns", "boot_id", "interval_ns", "sections"}
    assert set(snapshot["sections"]) == {"host", "processes"}
    (host,) = table(snapshot, "host")
    assert host["hostname"] == os.uname().nodename
    processes = {row["pid"]: row for row in table(snapshot, "processes")}
    assert processes[os.getpid()]["state"] in "RSD"
    assert processes[os.getpid()]["ppid"] == os.getppid()


def test_no_sections(answers: dict[str, Any]) -> None:
    assert answers["no_sections"]["sections"] in ({}, [])


def test_top(answers: dict[str, Any]) -> None:
    rows = table(answers["top"], "processes")
    assert list(rows[0]) == ["pid", "start_boottime_ns", "rss_bytes", "cpu_percent", "state"]
    assert len(rows) == 3
    sizes = [row["rss_bytes"] for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert all(row["cpu_percent"] is None or row["cpu_percent"] >= 0 for row in rows)


def test_a_filter_by_a_column(answers: dict[str, Any]) -> None:
    """Neovim asks for itself; it may be younger than the newest frame."""
    for row in table(answers["top_of_one"], "processes"):
        assert row["comm"] == "nvim"
        assert row["threads"] >= 1


def test_errors_are_sentences(answers: dict[str, Any]) -> None:
    assert answers["unknown_method"].endswith("unknown_method: there is no method 'stop'")
    assert answers["unknown_column"].endswith("bad_arguments: sort: there is no column 'cpu'")
    assert "bad_arguments: " in answers["two_arguments"]


def test_a_name_that_is_not_utf8(daemon_socket: str, oddly_named: int, tmp_path: Path) -> None:
    assert asked(daemon_socket, tmp_path)["bytes"] == list(b"caf\xe9-ztop")


def test_a_busy_loop_that_is_gone(daemon_socket: str, tmp_path: Path) -> None:
    """Numbers of Neovim are doubles: it names a moment to 256 ns, and frames are found to the millisecond."""
    began_ns = time.time_ns()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        pass
    middle_ns = (began_ns + time.time_ns()) // 2
    deadline = time.monotonic() + 20
    while True:
        answers = asked(daemon_socket, tmp_path, PAST_SCRIPT, ZTOP_TIME_NS=str(middle_ns), ZTOP_PID=str(busy.pid))
        if answers["now"]["sections"]["processes"]["rows"] in ([], {}):
            break
        assert time.monotonic() < deadline
    (then,) = table(answers["then"], "processes")
    assert (then["pid"], then["comm"][:6]) == (busy.pid, "python")
    assert then["cpu_percent"] > 0
    assert 0 <= answers["then"]["age_ns"] < 10**9
    assert answers["then"]["gap"] is False
    frame, previous = answers["asof"], answers["asof"]["previous"]
    assert (frame["seq"], frame["seq"] - 1) == (answers["then"]["seq"], previous["seq"])
    before, after = (
        next(row for row in table(each, "processes") if row["pid"] == busy.pid) for each in (previous, frame)
    )
    used_ns = sum(after[name] - before[name] for name in ("user_time_ns", "system_time_ns"))
    sampled_ns = [each["sections"]["processes"]["sampled_boottime_ns"] for each in (previous, frame)]
    assert then["cpu_percent"] == pytest.approx(100 * used_ns / (sampled_ns[1] - sampled_ns[0]), rel=0.01)
    assert "not_found: nothing is remembered of that time: the oldest frame is of " in answers["too_early"]
