"""The command line: what is asked for, and one sentence for what cannot be meant."""

import os
import pwd
import sys

import pytest

from ztop_client import batch
from ztop_client.channel import DaemonUnreachable
from ztop_client.cli import main, parse
from ztop_client.moments import FORMS
from ztop_client.options import Options
from ztop_protocol.processes import Order
from ztop_protocol.version import VERSION

RECORDS = "--record goes on with what is live"
SPANS = "it is written like 30, 30s, 2m30s, 1h, 1d12h"


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
    assert parse(["-b", "--replay", "f", "--from", "-1h", "--to", "-2m30s", "--json"]) == Options(
        batch=True, json=True, replay_path="f", from_text="-1h", to_text="-2m30s"
    )
    assert parse(["--at", "-27s"]) == parse(["--at=-27s"]) == Options(at_text="-27s")
    assert parse(["--replay", "f", "--at", "03:12"]) == Options(replay_path="f", at_text="03:12")
    assert parse(["--record", "f", "--from", "-10m", "--duration", "0s"]) == Options(
        record_path="f", from_text="-10m", duration_seconds=0.0
    )
    assert parse(["--record", "f", "-b", "-d", "5", "--duration", "1m30s"]) == Options(
        record_path="f", batch=True, interval_seconds=5.0, duration_seconds=90.0
    )
    assert parse(
        ["--export", "o.csv", "--replay", "f", "--from", "today", "--sections", "cpus, disks,cpus"]
    ) == Options(export_path="o.csv", replay_path="f", from_text="today", sections=("cpus", "disks"))
    assert parse(["--find", "cpu > 80 for 10s", "--since", "-1h", "--json", "--limit", "5"]) == Options(
        find_text="cpu > 80 for 10s", from_text="-1h", json=True, limit=5
    )
    assert parse(["--sort", "comm", "-u", "4242"]) == Options(order=Order("comm", False), uid=4242)


PATH_THERE = "with --ssh a path of that machine, from / on, without : \\ % $"
USERS_THERE = "users are known to that machine, as in --filter 'user == root'"


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
        (["--ssh=-oProxyCommand=id"], "argument --ssh: [USER@]HOST was expected, not '-oProxyCommand=id'"),
        (["--ssh", "-oProxyCommand=id"], "argument --ssh: expected one argument"),
        (["--ssh", "a@-oProxyCommand=id"], "argument --ssh: [USER@]HOST was expected, not 'a@-oProxyCommand=id'"),
        (["--ssh", "a b"], "argument --ssh: [USER@]HOST was expected, not 'a b'"),
        (["--ssh", ""], "argument --ssh: [USER@]HOST was expected, not ''"),
        (["--ssh", "a", "--socket", "b"], f"argument --socket: {PATH_THERE}"),
        (["--ssh", "a", "--socket", "/b:c"], f"argument --socket: {PATH_THERE}"),
        (["--ssh", "a", "--replay", "b"], "--ssh and --replay exclude each other: a recording is what it is"),
        (["--ssh", "a", "-u", "0"], f"-u and --ssh exclude each other: {USERS_THERE}"),
        (["--json"], "--json is for batch mode: -b is missing"),
        (["-n", "3"], "-n is for batch mode: -b is missing"),
        (["--columns", "pid"], "--columns is for batch mode: -b is missing"),
        (["--limit", "3"], "--limit is for batch mode: -b is missing"),
        (["--at", "soon"], f"argument --at: 'soon' is no time: it is written like {FORMS}"),
        (["--record", "f", "--from", "-m"], "argument --from/--since: expected one argument"),
        (["--record", "f", "--duration", "x"], f"argument --duration: 'x' is no length of time: {SPANS}"),
        (["--at", "now", "--from", "now"], "--from and --at exclude each other: --at shows one moment"),
        (["--at", "now", "--to", "now"], "--to and --at exclude each other: --at shows one moment"),
        (["--at", "now", "--record", "f"], "--record and --at exclude each other: --at shows one moment"),
        (["--at", "now", "--export", "f.csv"], "--export and --at exclude each other: --at shows one moment"),
        (["--replay", "f", "--record", "g"], "--record and --replay exclude each other: a recording is what it is"),
        (["--replay", "f", "--socket", "s"], "--socket and --replay exclude each other: a recording is what it is"),
        (["--replay", "f", "-d", "2"], "-d and --replay exclude each other: a recording is what it is"),
        (["--record", "f", "--to", "now"], "--to and --record exclude each other: --record goes on with what is live"),
        (["--record", "f", "--export", "g.csv"], f"--export and --record exclude each other: {RECORDS}"),
        (["--redact", "-b"], "--redact is for --record, and for S on the screen"),
        (["--redact", "--export", "f.csv"], "--export and --redact exclude each other: a recording is redacted"),
        (["--redact", "--find", "cpu > 5"], "--find and --redact exclude each other: a recording is redacted"),
        (["--export", "f.csv", "-b"], "-b and --export exclude each other: --export writes whole sections"),
        (["--export", "f.csv", "-p", "1"], "-p and --export exclude each other: --export writes whole sections"),
        (["--from", "now"], "--from is for --replay, --record, --export, --find"),
        (["-b", "--to", "now"], "--to is for --replay, --export, --find"),
        (["--replay", "f", "--to", "now"], "--to is for batch mode: -b is missing"),
        (["--duration", "0"], "--duration is for --record"),
        (["--sections", "cpus"], "--sections is for --export"),
        (["--replay", ""], "argument --replay: a path was expected"),
        (["--find", "pid = 1", "-b"], "-b and --find exclude each other: --find asks of every frame"),
        (["--find", "pid = 1", "--at", "now"], "--at and --find exclude each other: --find asks of every frame"),
        (["--find", "pid = 1", "-n", "1"], "-n is for batch mode: -b is missing"),
        (["--find", "pid ="], "--find: a value was expected after =\n  pid =\n       ^"),
        (
            ["--find", "firefox"],
            "--find: 'firefox' alone means nothing: a text to be found is written in quotes\n  firefox\n  ^",
        ),
        (
            ["--filter", "cpu > 8 for 1s"],
            "--filter: 'and' or 'or' was expected before 'for'\n  cpu > 8 for 1s\n          ^",
        ),
        (
            ["-b", "--filter", "cpu = \x1b[1m\n\u202e"],
            "--filter: cpu_percent: a percentage, such as 80 was expected, not '\\x1b[1m'\n  cpu = ?[1m??\n        ^",
        ),
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
    known = (
        "--socket -d --sort --filter -u -p -b -n --json --columns --limit --replay --at --from --to --record --duration"
    )
    for option in (*known.split(), "--export", "--sections", "--find"):
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
