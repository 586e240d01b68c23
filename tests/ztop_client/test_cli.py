"""The command line: what is asked for, and one sentence for what cannot be meant."""

import os
import pwd
import sys

import pytest

from ztop_client import batch
from ztop_client.channel import DaemonUnreachable
from ztop_client.cli import main, parse
from ztop_client.options import Options
from ztop_protocol.processes import Order
from ztop_protocol.version import VERSION


def test_nothing_asked_for() -> None:
    assert parse([]) == Options()


def test_everything() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    options = parse(
        [
            *("-b", "-n", "3", "-d", "0.5", "--json", "--sort", "rss_bytes", "--filter", "a b", "--limit", "7"),
            *("--columns", "pid, comm,pid", "-u", me, "-p", "1,22", "--socket", "/x"),
        ]
    )
    assert options == Options(
        socket_path="/x",
        interval_seconds=0.5,
        order=Order("rss_bytes", True),
        filter_text="a b",
        uid=os.geteuid(),
        pids=frozenset({1, 22}),
        batch=True,
        iterations=3,
        json=True,
        columns=("pid", "comm"),
        limit=7,
    )
    assert parse(["--sort", "comm", "-u", "4242"]) == Options(order=Order("comm", False), uid=4242)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sort", "cpu"], "argument --sort: there is no column 'cpu'; is cpu_percent meant?"),
        (["--sort", "rss_byte"], "argument --sort: there is no column 'rss_byte'; is rss_bytes meant?"),
        (["-b", "--columns", "pid,"], "argument --columns: there is no column ''"),
        (["-d", "0.05"], "argument -d/--interval: seconds from 0.1 to 60 were expected, not '0.05'"),
        (["-d", "61"], "argument -d/--interval: seconds from 0.1 to 60 were expected, not '61'"),
        (["-d", "nan"], "argument -d/--interval: seconds from 0.1 to 60 were expected, not 'nan'"),
        (["-d", "soon"], "argument -d/--interval: seconds from 0.1 to 60 were expected, not 'soon'"),
        (["-b", "-n", "0"], "argument -n: a whole number from 1 on was expected, not '0'"),
        (["-b", "-n", "²"], "argument -n: a whole number from 1 on was expected, not '²'"),
        (["-b", "--limit", "-1"], "argument --limit: a whole number from 1 on was expected, not '-1'"),
        (["-p", "1,,2"], "argument -p/--pid: a whole number from 1 on was expected, not ''"),
        (["-u", "no such user"], "argument -u/--user: there is no user 'no such user'"),
        (["-u", "\udcff\0"], "argument -u/--user: there is no user '\\udcff\\x00'"),
        (["--socket", ""], "argument --socket: a path was expected"),
        (["--json"], "--json is for batch mode: -b is missing"),
        (["-n", "3"], "-n is for batch mode: -b is missing"),
        (["--columns", "pid"], "--columns is for batch mode: -b is missing"),
        (["--limit", "3"], "--limit is for batch mode: -b is missing"),
        (["file"], "unrecognized arguments: file"),
        (["--bat"], "unrecognized arguments: --bat"),
        (["\x1b]0;x\x07\n"], "unrecognized arguments: ?]0;x??"),
        (["-d"], "argument -d/--interval: expected one argument"),
    ],
)
def test_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"ztop: {sentence}\n")


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"ztop {VERSION}\n")
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for option in ("--socket", "-d", "--sort", "--filter", "-u", "-p", "-b", "-n", "--json", "--columns", "--limit"):
        assert f"\n  {option}" in text


def test_no_daemon_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-b", "--socket", "/no\x1b/socket"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "ztop: no daemon at /no?/socket: No such file or directory\n")


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (DaemonUnreachable("gone"), 1)])
def test_how_it_ends(error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(options: Options) -> int:
        raise error

    monkeypatch.setattr(batch, "run", run)
    monkeypatch.setattr(sys, "argv", ["ztop", "-b"])
    assert main() == status
