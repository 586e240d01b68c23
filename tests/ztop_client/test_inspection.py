"""What is read of a process on demand: parsers, real processes, and why something is missing."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import urwid

from tests.ztop_client.fake_source import frame, here, real_row
from tests.ztop_client.terminal_driver import ROOT
from tests.ztop_client.test_actions import own_boot_id
from ztop_client import inspector as inspector_module
from ztop_client.actions import Target, target
from ztop_client.inspection import (
    Block,
    Part,
    blocks_of,
    inspect,
    parse_arguments,
    parse_environment,
    parse_limits,
    parse_memory,
    request,
)
from ztop_client.inspector import Inspector
from ztop_client.open_files import internet_sockets, unix_sockets

VARIABLE = b"HOSTILE=\x1b[2J \xff\nline"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    environment = {b"PLAIN": b"yes", VARIABLE.split(b"=")[0]: VARIABLE.split(b"=", 1)[1], b"PATH": b"/bin:/usr/bin"}
    with subprocess.Popen(["sleep", "600"], env=environment, stdin=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def target_of(pid: int) -> Target:
    row = real_row(pid)
    return target(frame(1, [row], boot_id=own_boot_id(), host=here()), row[:2])


def entries(blocks: list[Block], title: str) -> dict[str, str]:
    return dict(next(block.entries for block in blocks if block.title == title))


class TestRealProcesses:
    def test_environment_and_arguments(self, child: subprocess.Popen[bytes]) -> None:
        blocks = inspect(target_of(child.pid), Part.ENVIRONMENT)
        assert entries(blocks, "Arguments") == {"0": "sleep", "1": "600"}
        environment = entries(blocks, "Environment")
        assert environment["PLAIN"] == "yes"
        assert environment["HOSTILE"].encode("utf-8", "surrogateescape") == VARIABLE.split(b"=", 1)[1]
        assert entries(blocks, "Program")["Directory"] == os.getcwd()

    def test_open_files_and_sockets(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, tempfile.NamedTemporaryFile() as file:
            port = server.getsockname()[1]
            listed = entries(inspect(target_of(os.getpid()), Part.FILES), "Open files")
            assert listed[f"{server.fileno():>4} rw"] == f"tcp 127.0.0.1:{port} listening"
            assert listed[f"{file.fileno():>4} rw"] == file.name

    def test_memory(self, child: subprocess.Popen[bytes]) -> None:
        blocks = inspect(target_of(child.pid), Part.MEMORY)
        summed = next(block for block in blocks if block.title == "Memory map, summed")
        # kernels without it say so
        assert "Rss" in dict(summed.entries) or summed.reason
        assert "resident memory" in entries(blocks, "Sizes")["VmHWM"]

    def test_limits_and_namespaces(self, child: subprocess.Popen[bytes]) -> None:
        blocks = inspect(target_of(child.pid), Part.LIMITS)
        assert entries(blocks, "Limits")["open files"].endswith("files")
        assert entries(blocks, "Namespaces")["pid"] == os.readlink("/proc/self/ns/pid")
        assert entries(blocks, "Cgroups")

    def test_what_is_not_that_process_is_not_read(self, child: subprocess.Popen[bytes]) -> None:
        wanted = target_of(child.pid)
        for other, why in (
            (replace(wanted, start_boottime_ns=1), "another process has its pid"),
            (replace(wanted, boot_id="x"), "another machine"),
            (replace(wanted, pid_namespace=1), "another pid namespace"),
        ):
            for part in Part:
                (block,) = inspect(other, part)
                assert block.entries == ()
                assert why in str(block.reason)

    def test_kernel_threads_have_none(self) -> None:
        name = Path("/proc/2/comm")
        if not name.exists() or name.read_text() != "kthreadd\n":
            pytest.skip("no kernel threads are seen here")
        blocks = inspect(target_of(2), Part.ENVIRONMENT)
        assert all(block.reason or block.title == "Program" for block in blocks)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
    def test_why_something_is_withheld(self, child: subprocess.Popen[bytes]) -> None:
        command = [sys.executable, "-P", "-c", CHILD_AS_NOBODY, request(target_of(child.pid), Part.ENVIRONMENT)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/protocol"}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
        blocks = blocks_of(done.stdout)
        assert next(block.reason for block in blocks if block.title == "Environment") == (
            "permission denied: run ztop as root or as the process's user"
        )
        assert entries(blocks, "Arguments")["0"] == "sleep"


# imported before: whose rights are gone may not read the program any more
CHILD_AS_NOBODY = """
import os
import encodings.ascii
from ztop_client import inspection
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
inspection.main()
"""


class TestParsers:
    def test_arguments(self) -> None:
        assert list(parse_arguments(b"")) == []
        assert list(parse_arguments(b"a\0\0b c\0")) == [("0", "a"), ("1", ""), ("2", "b c")]
        assert list(parse_arguments(b"set by itself")) == [("0", "set by itself")]

    def test_environment(self) -> None:
        assert list(parse_environment(b"B=2\0A=x=y\0\0junk\0")) == [("A", "x=y"), ("B", "2"), ("junk", "")]

    def test_memory(self) -> None:
        data = b"1-2 ---p 0 00:00 0 [rollup]\nRss:    2048 kB\nPss_New:  1 kB\nTHPeligible: 0\n"
        assert list(parse_memory(data)) == [("Rss", "  2.0M  resident"), ("Pss_New", "  1.0K")]

    def test_limits(self) -> None:
        data = (
            b"Limit                     Soft Limit           Hard Limit           Units     \n"
            b"Max stack size            8388608              unlimited            bytes     \n"
            b"Max nice priority         0                    0                    \n"
        )
        assert list(parse_limits(data)) == [("stack size", "8.0M, may be raised to unlimited"), ("nice priority", "0")]
        assert list(parse_limits(b"")) == list(parse_limits(b"what?\n1\n")) == []

    @pytest.mark.skipif(sys.byteorder != "little", reason="the file was written by a little-endian machine")
    def test_sockets(self) -> None:
        head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        line = "   0: 0100007F:1F90 0200000A:01BB 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0\n"
        assert list(internet_sockets(head + line)) == [("77", "127.0.0.1:8080 - 10.0.0.2:443 established")]
        six = line.replace("0100007F", "00000000000000000000000001000000").replace("0200000A:01BB", "0" * 32 + ":0000")
        assert list(internet_sockets(head + six)) == [("77", "[::1]:8080 established")]
        unix = "Num RefCount Protocol Flags Type St Inode Path\nffff: 2 0 10000 1 1 12 /run/a b.sock\nf: 2 0 0 1 1 13\n"
        assert list(unix_sockets(unix)) == [("12", "/run/a b.sock"), ("13", "(no name)")]


class TestInChildren:
    @pytest.fixture
    def loop(self) -> urwid.MainLoop:
        return urwid.MainLoop(urwid.SolidFill(), event_loop=urwid.SelectEventLoop())

    def answer(self, loop: urwid.MainLoop, wanted: Target, part: Part) -> list[Block]:
        found: list[Block] = []

        def done(blocks: object) -> None:
            assert isinstance(blocks, list)
            found.extend(blocks)
            raise urwid.ExitMainLoop

        Inspector(loop).ask(wanted, part, done)
        loop.event_loop.run()
        return found

    def test_the_answer_comes_through_the_loop(
        self, loop: urwid.MainLoop, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(inspector_module, "DEADLINE_SECONDS", 20.0)
        wanted = target_of(child.pid)
        assert self.answer(loop, wanted, Part.ENVIRONMENT) == inspect(wanted, Part.ENVIRONMENT)

    @pytest.mark.parametrize(
        ("program", "why"),
        [
            ("import time; time.sleep(60)", "did not answer within a second"),
            ("raise SystemExit(3)", "ended with status 3"),
            ("print('[1, 2')", "ended with status 0"),
            ("print('[[1]]')", "ended with status 0"),
        ],
    )
    def test_one_that_blocks_or_fails_is_said(
        self, loop: urwid.MainLoop, program: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[subprocess.Popen[bytes]] = []
        popen = subprocess.Popen

        def instead(_command: list[str], **how: object) -> subprocess.Popen[bytes]:
            started.append(popen([sys.executable, "-c", program], **how))  # type: ignore[call-overload]
            return started[-1]

        wanted = target_of(os.getpid())
        monkeypatch.setattr(inspector_module.subprocess, "Popen", instead)
        (block,) = self.answer(loop, wanted, Part.MEMORY)
        assert why in str(block.reason)
        # whether killed or ended, it is gone
        assert started[0].wait(5) is not None
