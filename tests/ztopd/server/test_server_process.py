"""The server as a process of its own: a real socket, a feed from here, and clients that mean harm."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ztop_protocol.codec import FrameDecoder
from ztop_protocol.frame import apply
from ztopd.feed import pack_feed

ROOT = Path(__file__).parents[3]
Start = Callable[..., "Server"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@dataclass
class RawClient:
    """A client of a few lines, with nothing of the project's."""

    socket: socket.socket
    unpacker: Any = field(default_factory=lambda: msgpack.Unpacker(max_buffer_size=1 << 26, strict_map_key=False))

    def read(self) -> Any:
        """The next message; None at the end."""
        while True:
            for message in self.unpacker:
                return message
            if not (data := self.socket.recv(1 << 20)):
                return None
            self.unpacker.feed(data)

    def call(self, method: str, **arguments: Any) -> Any:
        self.socket.sendall(msgpack.packb([0, 7, method, [arguments] if arguments else []]))
        while (message := self.read())[0] != 1:
            pass
        assert message[1:3] == [7, None]
        return message[3]


@dataclass
class Server:
    process: "subprocess.Popen[str]"
    feed: int
    path: str
    clients: list[socket.socket] = field(default_factory=list)

    def send(self, machine: Any, **how: Any) -> None:
        """Feeds one frame; what the server does not read fails here in the end."""
        data = memoryview(pack_feed(machine.tick(**how)))
        while data:
            data = data[os.write(self.feed, data) :]

    def connect(self) -> RawClient:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        self.clients.append(connection)
        connection.connect(self.path)
        return RawClient(connection)

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end_feed(self) -> None:
        if self.feed >= 0:
            os.close(self.feed)
            self.feed = -1

    def wait(self) -> tuple[int, str]:
        """The exit status, and what it logged."""
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers; what they logged must hold no traceback."""
    servers: list[Server] = []

    def make(*, private: socket.socket | None = None, group: str = "") -> Server:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        path = str(tmp_path / f"{len(servers)}.sock")
        with socket.socket(socket.AF_UNIX) as listening:
            where, descriptor = "--private-fd", -1
            if private is None:
                listening.bind(path)
                listening.listen()
                os.chmod(path, 0o666)
                where, descriptor = "--listen-fd", listening.fileno()
            else:
                descriptor = private.fileno()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-W", "error", "-m", "ztopd.server", "--feed-fd", str(read_end)),
                    *(where, str(descriptor), "--interval-ns", "1000000000"),
                    *("--sampler-pid", str(os.getpid()), "--group", group),
                ],
                pass_fds=(read_end, descriptor),
                env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}"},
                stderr=subprocess.PIPE,
                text=True,
            )
        os.close(read_end)
        servers.append(Server(process, write_end, path))
        return servers[-1]

    yield make
    for server in servers:
        for client in server.clients:
            client.close()
        server.end_feed()
        if server.process.returncode is None:
            status, errors = server.wait()
            assert (status, "Traceback" in errors) == (0, False), errors


@pytest.fixture
def server(start: Start, machine: Any) -> Server:
    """One that has two frames."""
    made = start()
    made.send(machine)
    made.send(machine)
    return made


def test_a_client_follows_the_machine(server: Server, machine: Any) -> None:
    client, decoder = server.connect(), FrameDecoder()
    client.call("subscribe")
    message = client.read()
    assert message[1] == "frame"
    frame = decoder.frame(message[2][0])
    for seq in range(2, 130):
        message = client.read()
        assert message[1] == "delta"
        frame = apply(frame, decoder.delta(message[2][0]))
        assert frame.seq == seq
        machine.process(20, 1000, user_time_ns=seq)
        server.send(machine, keyframe=seq % 60 == 0)
    assert client.call("status")["subscriptions"] == 1


def test_it_holds_no_privilege(server: Server) -> None:
    server.connect().call("ping")
    fields = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(fields[name], 16) == 0
    assert fields["NoNewPrivs"] == "1"


def test_the_end_of_the_feed_is_the_end(server: Server) -> None:
    client = server.connect()
    client.call("ping")
    server.end_feed()
    assert server.wait() == (0, "")
    assert client.read() is None


def test_sigterm_is_the_end_and_sigint_is_not(server: Server) -> None:
    client = server.connect()
    client.call("ping")
    server.process.send_signal(signal.SIGINT)
    server.process.send_signal(signal.SIGHUP)
    client.call("ping")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == (0, "")
    assert os.path.exists(server.path), "the socket's file is the sampler's"


def test_a_broken_feed_is_an_error(start: Start) -> None:
    server = start()
    os.write(server.feed, b"\0\0\0\1\xc1")
    status, errors = server.wait()
    assert status == 1
    assert "the feed cannot be followed" in errors


def test_a_private_server_ends_with_its_client(start: Start, machine: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            server = start(private=theirs)
        ours.settimeout(20)
        server.send(machine)
        client = RawClient(ours)
        assert client.call("hello")["sees"]["all"] is True
        assert client.call("snapshot")["seq"] == 1
    assert server.wait() == (0, "")


def test_an_unknown_group_is_said(start: Start) -> None:
    server = start(group="no\x1bsuch")
    server.end_feed()
    status, errors = server.wait()
    assert status == 0
    assert r"there is no group 'no\x1bsuch'" in errors
    assert "\x1b" not in errors


@needs_root
def test_another_user_sees_its_own(server: Server, tmp_path: Path) -> None:
    # the socket is passed over: the directories of the test are root's
    code = "import os, socket, sys; os.setgroups([]); os.setgid(1000); os.setuid(1000); c = socket.socket(socket.AF_UNIX); c.connect('/proc/self/fd/%s/0.sock' % sys.argv[1]); c.sendall(bytes([0x94, 0, 1, 0xa5]) + b'hello' + bytes([0x90])); sys.stdout.buffer.write(c.recv(65536)); c.sendall(bytes([0x94, 0, 2, 0xa8]) + b'snapshot' + bytes([0x90])); sys.stdout.buffer.write(c.recv(65536))"  # noqa: E501
    os.chmod(tmp_path, 0o755)
    folder = os.open(tmp_path, os.O_PATH)
    try:
        done = subprocess.run([sys.executable, "-S", "-c", code, str(folder)], capture_output=True, pass_fds=(folder,))
    finally:
        os.close(folder)
    unpacker = msgpack.Unpacker()
    unpacker.feed(done.stdout)
    hello, snapshot = unpacker
    sees = {"all": False, "owner_rows_of_uid": 1000, "because": "owner", "group": None}
    assert (hello[3]["uid"], hello[3]["sees"]) == (1000, sees)
    assert [row[0] for row in snapshot[3]["sections"]["process_io"]["rows"]] == [20]
    assert len(snapshot[3]["sections"]["processes"]["rows"]) == 3


def test_requests_before_the_end_are_answered(server: Server) -> None:
    client = server.connect()
    client.socket.sendall(b"".join(msgpack.packb([0, number, "ping", []]) for number in range(500)))
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.read()[1] for _ in range(500)] == list(range(500))
    assert client.read() is None


VIOLATIONS = {
    "garbage": b"\xc1" * 1000,
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "four billion elements": b"\x94\x00\x01\xa4ping\xdd\xff\xff\xff\xff",
    "four billion bytes": b"\x94\x00\x01\xa4ping\xc6\xff\xff\xff\xff" + bytes(1 << 17),
    "four billion pairs": b"\x94\x00\x01\xa4ping\x91\xdf\xff\xff\xff\xff",
    "nested 5000 deep": b"\x94\x00\x01\xa4ping" + b"\x91" * 5000 + b"\xc0",
    "a long text": b"\x94\x00\x01\xdb\x00\x20\x00\x00" + b"x" * (1 << 20),
    "many small lists": b"\x94\x00\x01\xa4ping\xdc\x01\x00" + (b"\xdc\x01\x00" + b"\x90" * 256) * 500,
    "an extension": b"\x94\x00\x01\xa4ping\xd4\x01\x00",
    "no message": msgpack.packb([3, 1, "ping", []]),
    "no list": msgpack.packb({"ping": 1}),
    "a negative id": msgpack.packb([0, -1, "ping", []]),
}


def test_who_breaks_the_protocol_is_cut_off_and_others_are_served(server: Server) -> None:
    good = server.connect()
    good.call("ping")
    before = server.rss_bytes()
    for _ in range(3):
        for data in VIOLATIONS.values():
            bad = server.connect()
            bad.socket.sendall(msgpack.packb([0, 1, "ping", []]))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                bad.socket.sendall(data)
            assert bad.read()[3]["seq"] == 2
            with contextlib.suppress(ConnectionResetError):
                assert bad.read() is None
            bad.socket.close()
            started = time.monotonic()
            assert good.call("ping")["seq"] == 2
            assert time.monotonic() - started < 1
    status = good.call("status")
    assert status["protocol_violations"] == 3 * len(VIOLATIONS)
    assert status["clients"] == 1
    assert server.rss_bytes() - before < 16 << 20
    good.socket.close()
    server.end_feed()
    exit_status, errors = server.wait()
    assert exit_status == 0
    assert "Traceback" not in errors
    assert 1 <= errors.count("was disconnected") <= 20, "the log is limited"


def test_half_a_message_waits_and_harms_nobody(server: Server) -> None:
    half, good = server.connect(), server.connect()
    half.socket.sendall(b"\x94\x00\x01\xa4pi")
    assert good.call("ping")["seq"] == 2
    half.socket.sendall(b"ng\x90")
    assert half.read() == [1, 1, None, good.call("ping")]


def test_a_hundred_thousand_pings_at_once_are_answered_and_others_served(server: Server) -> None:
    flood, good = server.connect(), server.connect()
    good.call("ping")
    before = server.rss_bytes()
    data = memoryview(b"".join(msgpack.packb([0, number, "ping", []]) for number in range(100_000)))
    flood.socket.setblocking(False)
    # never reading: the server stops to read in turn
    sent = 0
    last = time.monotonic()
    while time.monotonic() - last < 1:
        try:
            sent += flood.socket.send(data[sent:])
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
        if sent == len(data):
            break
    assert sent < len(data), "the server read everything of a client that reads nothing"
    started = time.monotonic()
    assert good.call("ping")["seq"] == 2
    assert time.monotonic() - started < 1
    assert server.rss_bytes() - before < 16 << 20
    answered = 0
    while answered < 100_000:
        with contextlib.suppress(BlockingIOError):
            sent += flood.socket.send(data[sent:]) if sent < len(data) else 0
        with contextlib.suppress(BlockingIOError):
            flood.unpacker.feed(flood.socket.recv(1 << 20))
            for message in flood.unpacker:
                assert message[1] == answered
                answered += 1


def test_who_never_reads_a_subscription_loses_frames_not_the_server(server: Server, machine: Any) -> None:
    for pid in range(1000, 2000):
        machine.process(pid, 0, command_line="x" * 100)
    server.send(machine)
    slow, good = server.connect(), server.connect()
    slow.call("subscribe")
    good.call("ping")
    before = server.rss_bytes()
    for seq in range(40):
        for pid in range(1000, 2000):
            machine.process(pid, 0, user_time_ns=seq)
        server.send(machine)
        assert good.call("ping")["seq"] <= machine.seq
    while good.call("ping")["seq"] < machine.seq:
        time.sleep(0.01)
    assert good.call("status")["dropped_deltas"] > 10
    assert server.rss_bytes() - before < 32 << 20
    # reads again: what was on its way, and a whole frame at the next tick
    decoder, frame = FrameDecoder(), None
    slow.socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while message := slow.read():
            frame = (
                decoder.frame(message[2][0]) if message[1] == "frame" else apply(frame, decoder.delta(message[2][0]))
            )
    server.send(machine)
    slow.socket.settimeout(20)
    message = slow.read()
    assert message[1] == "frame"
    frame = decoder.frame(message[2][0])
    assert frame.seq == machine.seq
    # its rows of the owner sections depend on who runs this test
    assert frame.sections["processes"] == machine.frame.sections["processes"]


def test_connections_of_one_user_are_limited(server: Server) -> None:
    clients = [server.connect() for _ in range(64)]
    for client in clients:
        client.call("ping")
    refused = server.connect()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        refused.socket.sendall(msgpack.packb([0, 1, "ping", []]))
        assert refused.read() is None
    assert clients[0].call("status")["clients"] == 64
    clients.pop().socket.close()
    deadline = time.monotonic() + 10
    while clients[0].call("status")["clients"] == 64:
        assert time.monotonic() < deadline
    assert server.connect().call("ping")["seq"] == 2
