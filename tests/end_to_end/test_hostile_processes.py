"""Processes that mean harm, all alive at once: what reaches a terminal, a pipe and a frame."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgpack
import pytest

from tests.end_to_end.real_daemon import Daemon, cells_of, frame_where, pids
from tests.ztop_client.terminal_driver import Driver
from ztop_protocol.codec import MAX_FRAME_BYTES
from ztop_protocol.schema import MAX_TEXT_BYTES

NAMES = {
    "line feeds": b"a\nb\r\nc\td",
    "colours": b"\x1b[31;5mred",
    "clipboard": b"\x1b]52;c;QQ==\x07",
    "title": b"\x1b]0;owned\x1b\\",
    "another process": b") S 1 (",
    "no UTF-8": bytes(range(0xF1, 0x100)),
    "C1 in UTF-8": b"\xc2\x9b31m\xc2\x9d2;x\xc2\x9c",
    "C1 in Latin-1": b"\x9b31mx\x9d0;y\x9c",
    "backwards": "ab\u202edc\u200b".encode(),
    "wide": "漢字漢字x".encode(),
    "half a character": "漢字漢字漢".encode()[:14],
    "marks": "e\u0301\u0301\u0301\u0301\u0301\u0301".encode(),
    "controls": bytes((1, 8, 8, 8, 127, 11, 12, 14, 15, 24, 26)),
}
"""Of at most 15 bytes, as the kernel keeps them."""

ARGUMENTS = (b"\x1b]52;c;SGFyZ2g=\x07", b"\nroot 1 fake", b"\xff\xfe\x9b2J", "\u2028\u202e漢".encode())


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[dict[int, bytes]]:
    """The names of living processes by pid. Their arguments are no better."""
    assert all(len(name) <= 15 for name in NAMES.values())
    shell = os.path.realpath("/bin/sh")
    with ExitStack() as stack:
        found: dict[int, bytes] = {}
        for number, name in enumerate(NAMES.values()):
            folder = tmp_path / str(number)
            folder.mkdir()
            program = os.fsencode(folder) + b"/" + name
            shutil.copy(shell, program)
            command = [name, b"-c", b"read line", *ARGUMENTS]
            process = stack.enter_context(subprocess.Popen(command, executable=program, stdin=subprocess.PIPE))
            stack.callback(process.kill)
            found[process.pid] = name
        yield found


def wait_for(daemon: Daemon, names: dict[int, bytes]) -> None:
    with daemon.session() as session:
        for pid, name in names.items():
            text = name.decode("utf-8", "surrogateescape")
            frame_where(
                session,
                lambda frame, pid=pid, text=text: (  # type: ignore[misc]
                    cells_of(frame, pid, "comm")[0] == text
                    and "read line" in str(cells_of(frame, pid, "command_line")[0])
                ),
            )


def ztop(daemon: Daemon, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "ztop_client", "--socket", str(daemon.path), *arguments]


@pytest.mark.parametrize("language", ["C.UTF-8", "C", "POSIX"])
def test_a_page_of_text(daemon: Daemon, hostile: dict[int, bytes], language: str) -> None:
    wait_for(daemon, hostile)
    chosen = ",".join(map(str, hostile))
    environment = os.environ | {"LC_ALL": language, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for arguments in (("-p", chosen), ("-p", chosen, "--columns", "pid,comm,state,command_line,exe"), ()):
        done = subprocess.run(
            ztop(daemon, "-b", "-n", "1", *arguments), capture_output=True, env=environment, timeout=30
        )
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode("utf-8" if language == "C.UTF-8" else "ascii")
        bad = [character for character in text if character != "\n" and not character.isprintable()]
        assert bad == []
        lines = text.split("\n")
        table = lines.index("") + 2
        if arguments:
            assert len(lines[table:-1]) == len(hostile), "one line for each"
            assert {int(line.split()[0]) for line in lines[table:-1]} == set(hostile)


def test_json_keeps_every_byte(daemon: Daemon, hostile: dict[int, bytes]) -> None:
    wait_for(daemon, hostile)
    done = subprocess.run(ztop(daemon, "-b", "-n", "2", "-d", "0.2", "--json"), capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not re.search(rb"[^\x20-\x7e\n]", done.stdout)
    for line in done.stdout.splitlines():
        processes = {one["pid"]: one for one in json.loads(line)["processes"]}
        for pid, name in hostile.items():
            assert processes[pid]["comm"].encode("utf-8", "surrogateescape") == name
            command_line = b" ".join((name, b"-c", b"read line", *ARGUMENTS))
            assert processes[pid]["command_line"].encode("utf-8", "surrogateescape") == command_line
            assert processes[pid]["ppid"] == os.getpid()


ALLOWED = re.compile(
    rb"[\x20-\x7e\x80-\xff]+"  # text; that it is UTF-8 without C1 is looked at on its own
    rb"|[\r\n]"
    rb"|\x1b\[[0-9;]*m"  # SGR
    rb"|\x1b\[[0-9;]*[ABCDHJKP@]"  # the cursor, erasing, shifting within a line
    rb"|\x1b\[\?(?:25|1049|1000|1002|1006|2004|2026|1|7)[hl]"  # private modes: cursor, screen, mouse, paste
    rb"|\x1b\[\?[0-9]+\$p|\x1b\[[?>=]?[0-9]*[cnu]"  # what it asks the terminal
    rb"|\x1b[78=>]|\x1b[()][0AB]|[\x0e\x0f]"  # save and restore, keypad, character sets
    rb"|\x08\x1b\[4h|\x1b\[4l"  # insert mode, for the last corner
)


def unexpected(output: bytes) -> list[bytes]:
    """Everything that is neither text nor a sequence that the screen is made of."""
    found, place = [], 0
    while place < len(output):
        match = ALLOWED.match(output, place)
        if match is None:
            found.append(output[max(0, place - 10) : place + 20])
            place += 1
        else:
            place = match.end()
    return found


@pytest.mark.parametrize("columns", [80, 200])
def test_the_screen(daemon: Daemon, hostile: dict[int, bytes], columns: int) -> None:
    wait_for(daemon, hostile)
    command = ztop(daemon, "-p", ",".join(map(str, hostile)))
    with Driver(command, columns, 40) as driver:

        def lines() -> list[str]:
            return [line for line in driver.screen.display if (line.split() or [""])[0] in set(map(str, hostile))]

        driver.wait(lambda: len(lines()) == len(hostile))
        driver.read(0.5)
        header = next(line for line in driver.screen.display if "PID" in line and "Command" in line)
        pid_end, command_start = header.index("PID") + 3, header.index("Command")
        state = re.search(r" S(?= )", header)
        assert state is not None
        for line in lines():
            assert line[:pid_end].split() == [line.split()[0]]
            assert line[state.start() + 1] in "SR", line
            assert line[command_start - 1] == " ", line
            assert line[command_start] != " ", line
        # as a tree, with full paths, scrolled to the right; the search, the choice of users, the signals
        for keys, shown in (
            *(("\x1b[15~", "─"), ("p", "PID"), ("\x1b[C", "PID"), ("\x1b[D", "PID")),
            *(("\x1bOR", "Search:"), ("bac\r", "Help"), ("u", "Processes of"), ("\r", "Help")),
            *(("k", "Signal to"), ("\r", "Send SIGTERM to:"), ("n", "Help")),
        ):
            driver.send(keys)
            driver.wait(shown)
            driver.read(0.3)
        driver.send("q")
        assert driver.ended() == 0
        output = bytes(driver.output)
    assert unexpected(output) == []
    assert b"\x1b]" not in output
    assert not re.search("[\x7f-\x9f\u200b-\u200f\u2028-\u202e]", output.decode())


@pytest.fixture
def verbose() -> Iterator[list[int]]:
    """The pids of 100 processes with 128 KiB of arguments, and of one with 2 MiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if hard != resource.RLIM_INFINITY and hard < 32 << 20:
        pytest.skip("the kernel takes 2 MiB of arguments only with a stack of 8 MiB or more")
    # arguments may take a quarter of the stack, one of them 128 KiB with its NUL
    resource.setrlimit(resource.RLIMIT_STACK, (32 << 20, hard))
    try:
        with ExitStack() as stack:
            found = []
            for parts in (*(1,) * 100, 16):
                command = ["/bin/sh", "-c", "read line", *("x" * ((128 << 10) - 1),) * parts]
                process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
                stack.callback(process.kill)
                found.append(process.pid)
            yield found
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


def test_long_arguments_are_cut(daemon: Daemon, verbose: list[int]) -> None:
    with daemon.session() as session:
        frame = frame_where(
            session,
            lambda frame: all(cells_of(frame, pid, "command_line_truncated") == (True,) for pid in verbose),
        )
        for pid in verbose:
            (line,) = cells_of(frame, pid, "command_line")
            assert isinstance(line, str)
            assert line.startswith("/bin/sh -c read line xxxx")
            assert len(line.encode()) == MAX_TEXT_BYTES
        rows = [row for row in frame.rows("processes").values() if row[0] in verbose]
        assert len(msgpack.packb(rows)) < 101 * (MAX_TEXT_BYTES + 1024) < MAX_FRAME_BYTES
        source = {key[0]: frame.cell("sources", "skipped", key) for key in frame.rows("sources")}
        assert source["sampler"] is not None
        assert session.status()["rss_bytes"] < 256 << 20


def test_the_dead_and_the_kernel(daemon: Daemon) -> None:
    zombie = os.fork()
    if zombie == 0:
        os._exit(3)
    try:
        with daemon.session() as session:
            frame = frame_where(session, lambda frame: cells_of(frame, zombie, "state") == ("Z",))
            assert cells_of(frame, zombie, "ppid", "kernel_thread") == (os.getpid(), False)
            threads = {row["pid"]: row for row in session.top(limit=1000, filter={"kernel_thread": True})}
            if os.path.exists("/proc/2/comm") and Path("/proc/2/comm").read_text() == "kthreadd\n":
                assert threads[2]["comm"] == "kthreadd"
            for row in threads.values():
                assert row["command_line"] is row["exe"] is None
            assert frame.cell("host", "processes_zombie") >= 1  # type: ignore[operator]
        page = subprocess.run(ztop(daemon, "-b", "-n", "1", "-p", str(zombie)), capture_output=True, timeout=30)
        assert page.stdout.splitlines()[-1].split()[0] == b"%d" % zombie
    finally:
        os.waitpid(zombie, 0)
    with daemon.session() as session:
        frame_where(session, lambda frame: zombie not in pids(frame, "processes"))
