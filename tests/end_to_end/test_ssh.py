"""The daemon of "another machine", over a real sshd on loopback. It is this machine: what must not be hit is here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.real_daemon import Daemon, is_running, needs_root, until
from tests.end_to_end.sshd import HOST, Sshd
from tests.ztop_client.terminal_driver import ROOT, Driver
from ztop_client import Session
from ztop_client.sources.ssh import SshDaemon

pytestmark = pytest.mark.slow

SECONDS = 40.0
TITLE = f"ztopd on {HOST}"


@pytest.fixture
def ztop(daemon: Daemon, sshd: Sshd) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``ztop --ssh`` without a terminal."""

    def run(*arguments: str, host: str = HOST, path: Path = daemon.path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-W", "error", "-m", "ztop_client", "--ssh", host, "--socket", str(path)]
        known = {**os.environ, **sshd.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/protocol"}
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, env=known, stdin=subprocess.DEVNULL, timeout=SECONDS
        )
        assert "Traceback" not in done.stderr
        return done

    return run


def screen(sshd: Sshd, *arguments: str, module: str = "ztop_client") -> Driver:
    command = [sys.executable, "-P", "-W", "error", "-m", module, *arguments]
    return Driver(command, 150, 24, sshd.environ)


def ssh_of(driver: Driver) -> psutil.Process | None:
    """The ssh that a client has running."""
    children = psutil.Process(driver.pid).children()
    return next((child for child in children if is_running(child) and child.name() == "ssh"), None)


def test_everything_that_needs_no_screen(ztop: Callable[..., subprocess.CompletedProcess[str]], folder: Path) -> None:
    printed = ztop("-b", "-n", "2", "-d", "0.2", "--json")
    assert (printed.returncode, printed.stderr) == (0, "")
    frames = [json.loads(line) for line in printed.stdout.splitlines()]
    assert frames[1]["seq"] > frames[0]["seq"]
    assert os.getpid() in {row["pid"] for row in frames[0]["processes"]}
    recorded = ztop("-b", "-n", "1", "-d", "0.2", "--record", f"{folder}/a.ztop", "--from", "-1s")
    assert (recorded.returncode, recorded.stderr) == (0, "")
    assert ztop("-b", "--at", "-0s", "--limit", "1").returncode == 0
    assert ztop("--diff", "-1s", "-0s").returncode == 0
    assert ztop("--find", "rss > 0", "--limit", "1").returncode == 0
    exported = ztop("--export", f"{folder}/a.csv", "--sections", "cpus")
    assert (exported.returncode, exported.stderr) == (0, "")
    assert (folder / "a.csv").read_text().count("\n") > 2


def test_what_its_user_set_for_ssh_keeps_nothing_away(
    ztop: Callable[..., subprocess.CompletedProcess[str]], sshd: Sshd, folder: Path
) -> None:
    sshd.configure("ClearAllForwardings yes\nRequestTTY force\nRemoteCommand id\nLogLevel QUIET\n")
    sshd.configure(f"ControlMaster auto\nControlPath {folder}/shared\nControlPersist yes\n")
    printed = ztop("-b", "-n", "1", "--limit", "1")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert not (folder / "shared").exists()


def test_why_not(ztop: Callable[..., subprocess.CompletedProcess[str]], sshd: Sshd, folder: Path) -> None:
    def refused(**how: object) -> str:
        done = ztop("-b", "-n", "1", **how)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        return done.stderr

    none = f"{folder}/none.sock"
    assert refused(path=none).startswith(f"ztop: no ztopd answers at {none} on {HOST}: install its service there")
    assert refused(host="nowhere.invalid").startswith("ztop: ssh to nowhere.invalid: Could not resolve hostname")
    # nobody is there to say that it is right, and one that is another now is wrong
    for known in ("", sshd.host_key("key.pub")):
        sshd.know(known)
        assert refused() == f"ztop: ssh to {HOST}: Host key verification failed\n"
    sshd.know(sshd.host_key())
    (folder / "ssh" / "authorized").write_text("")
    assert refused() == f"ztop: ssh to {HOST}: {sshd.user}@{HOST}: Permission denied (publickey)\n"
    sshd.stop()
    assert refused() == f"ztop: ssh to {HOST}: connect to host {HOST} port {sshd.port}: Connection refused\n"
    sshd.start()


def test_what_it_asks_is_asked_before_the_screen_and_a_lost_connection_is_made_again(
    daemon: Daemon, sshd: Sshd
) -> None:
    sshd.know("")
    with screen(sshd, "--ssh", HOST, "--socket", str(daemon.path)) as driver:
        driver.wait("Are you sure you want to continue connecting", SECONDS)
        assert TITLE not in driver.text
        driver.send("yes\n")
        driver.wait(lambda: TITLE in driver.text and "live" in driver.text, SECONDS)
        first = ssh_of(driver)
        assert first is not None
        assert list(sshd.runtime.iterdir()) == []
        # nobody can connect again at once: so it can be seen that it is said
        sshd.stop()
        first.kill()
        driver.wait("reconnecting", SECONDS)
        driver.wait("Connection refused", SECONDS)
        sshd.start()
        driver.wait(lambda: "live" in driver.text and "reconnecting" not in driver.text, SECONDS)
        second = ssh_of(driver)
        assert second is not None
        assert second.pid != first.pid
        driver.send("q")
        assert driver.ended(SECONDS) == 0
        until(lambda: not is_running(second), "ssh has ended with the client")


def test_a_moment_of_the_past_takes_one_connection(daemon: Daemon, sshd: Sshd) -> None:
    with screen(sshd, "--ssh", HOST, "--socket", str(daemon.path), "--at", "-0s") as driver:
        driver.wait("REWOUND", SECONDS)
        driver.send("q")
        assert driver.ended(SECONDS) == 0
    assert sshd.log().count("Accepted publickey") == 1


def test_ctrl_c_while_it_asks(daemon: Daemon, sshd: Sshd) -> None:
    sshd.know("")
    with screen(sshd, "--ssh", HOST, "--socket", str(daemon.path)) as driver:
        driver.wait("Are you sure you want to continue connecting", SECONDS)
        ssh = ssh_of(driver)
        driver.send("\x03")
        assert driver.ended(SECONDS) == 130
        assert ssh is not None
        until(lambda: not is_running(ssh), "ssh has ended")
        assert "Traceback" not in driver.text


@pytest.mark.parametrize("module", ["ztop_client", "ztop_client.gpu"])
def test_a_killed_client_takes_ssh_with_it(module: str, daemon: Daemon, sshd: Sshd) -> None:
    with screen(sshd, "--ssh", HOST, "--socket", str(daemon.path), module=module) as driver:
        driver.wait(lambda: TITLE in driver.text and "live" in driver.text, SECONDS)
        ssh = ssh_of(driver)
        assert ssh is not None
        os.kill(driver.pid, signal.SIGKILL)
        until(lambda: not is_running(ssh), "ssh has ended")


def test_a_daemon_that_went_away_over_there(daemon: Daemon, sshd: Sshd, start: Callable[..., Daemon]) -> None:
    with screen(sshd, "--ssh", HOST, "--socket", str(daemon.path)) as driver:
        driver.wait("live", SECONDS)
        daemon.stop()
        driver.wait("no ztopd answers at", SECONDS)
        again = Daemon(daemon.path)
        driver.wait(lambda: "live" in driver.text and "reconnecting" not in driver.text, SECONDS)
        driver.send("q")
        assert driver.ended(SECONDS) == 0
        again.stop()


@pytest.fixture
def forwarded(daemon: Daemon, sshd: Sshd) -> Iterator[str]:
    """The daemon's socket, forwarded by an ssh that is not ztop's."""
    path = f"{sshd.folder}/forwarded"
    command = [f"{sshd.folder}/bin/ssh", "-N", "-L", f"{path}:{daemon.path}", HOST]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        until(lambda: os.path.exists(path), "ssh listens")
        yield path
        # not asked to end: it may overhear that while nothing else happens
        process.kill()


@pytest.mark.parametrize("over", ["ssh", "a forwarded socket"])
def test_nothing_is_done_to_a_process_of_this_machine(
    over: str, daemon: Daemon, sshd: Sshd, request: pytest.FixtureRequest
) -> None:
    """Boot, pid namespace, pid and start time are all right here, as they are on a machine that was copied running."""
    if over == "ssh":
        how, why = ("--ssh", HOST, "--socket", str(daemon.path)), f"is of {HOST}, which is seen over ssh: from here"
    else:
        how, why = (
            ("--socket", request.getfixturevalue("forwarded")),
            "may be of another machine or pid namespace, since",
        )
    with subprocess.Popen(["sleep", "600"]) as victim, screen(sshd, *how, "-p", str(victim.pid)) as driver:
        try:
            driver.wait("sleep 600", SECONDS)
            before = (os.getpriority(os.PRIO_PROCESS, victim.pid), os.sched_getaffinity(victim.pid))
            # signal, nice up and down, I/O priority, affinity
            for key in ("\x1b[20~", "\x1b[19~", "\x1b[18~", "i", "a"):
                driver.send(key)
                driver.wait(why, SECONDS)
                # the next key takes the sentence away
                driver.send("\x1b[B")
                driver.wait(lambda: why not in driver.text, SECONDS)
            driver.send("\r")
            driver.wait("What it is", SECONDS)
            # what is read of a process when it is asked for
            for key in ("3", "4", "5", "6"):
                driver.send(key)
                driver.wait(why, SECONDS)
                driver.send("1")
                driver.wait(lambda: why not in driver.text and "What it is" in driver.text, SECONDS)
            driver.send("k")
            driver.wait(why, SECONDS)
            assert victim.poll() is None
            assert (os.getpriority(os.PRIO_PROCESS, victim.pid), os.sched_getaffinity(victim.pid)) == before
        finally:
            victim.kill()


@needs_root
def test_one_has_the_rights_of_whom_ssh_logged_in(daemon: Daemon, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sshd.environ.items():
        monkeypatch.setenv(name, value)
    seen = {}
    for user in ("root", "daemon"):
        with Session(SshDaemon(f"{user}@{HOST}", str(daemon.path))) as session:
            seen[user] = (session.hello()["uid"], session.hello()["sees"]["all"])
    assert seen == {"root": (0, True), "daemon": (1, False)}
