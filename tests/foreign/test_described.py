"""PROTOCOL.md against the daemon as it runs: every answer has the fields that the page shows, and no others."""

import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PAGE = (Path(__file__).parents[2] / "protocol" / "PROTOCOL.md").read_text("utf-8")


class Client:
    """The page's section 1 in a few lines."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=1 << 25)

    def read(self) -> Any:
        while True:
            for message in self.unpacker:
                return message
            data = self.socket.recv(1 << 16)
            assert data, "the daemon hung up"
            self.unpacker.feed(data)

    def call(self, method: str, *params: Any) -> Any:
        self.socket.sendall(msgpack.packb([0, 5, method, params]))
        kind, id, error, result = self.read()
        assert (kind, id, error) == (1, 5, None)
        return result


@pytest.fixture
def client(daemon_socket: str) -> Iterator[Client]:
    client = Client(daemon_socket)
    yield client
    client.socket.close()


def shown(heading: str) -> set[str]:
    """The names of fields in the examples under a heading."""
    _, _, rest = PAGE.partition(f"\n### {heading}\n")
    assert rest, heading
    section = re.split(r"\n##", rest)[0]
    answers = "\n".join(line for line in section.splitlines() if line.startswith("    ") and "→" not in line)
    return set(re.findall(r'"(\w+)":', answers))


def fields(value: Any) -> set[str]:
    """The names of fields of a value, however deep."""
    if isinstance(value, dict):
        return set(value).union(*map(fields, value.values()))
    return set().union(*map(fields, value)) if isinstance(value, list) else set()


SECTION = {"sampled_boottime_ns", "columns", "rows"}
FRAME = {"seq", "time_ns", "boottime_ns", "boot_id", "sections"}
NEWEST = FRAME | {"interval_ns"}


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("status", {}),
        ("ping", {}),
        ("top", {"columns": ["comm", "rss_bytes", "cpu_percent"]}),
        ("threads", {"pid": os.getpid()}),
    ],
)
def test_answers(client: Client, method: str, arguments: dict[str, Any]) -> None:
    assert fields(client.call(method, arguments)) == shown(f"`{method}`")


def test_hello(client: Client) -> None:
    answer = client.call("hello")
    sections = answer.pop("sections")
    assert fields(answer) | {"sections"} == shown("`hello`") - set(sections)
    assert set(sections.values()) == {"public", "owner"}


def test_snapshot(client: Client) -> None:
    answer = client.call("snapshot", {"sections": ["host", "processes"]})
    assert set(answer) == NEWEST == shown("`snapshot`") - set(answer["sections"])
    assert fields(answer) == NEWEST | SECTION | {"host", "processes"}


def test_asof(client: Client) -> None:
    newest = client.call("ping")
    answer = client.call("asof", {"time_ns": newest["time_ns"], "sections": ["host"], "previous": True})
    assert set(answer) == FRAME | {"age_ns", "gap", "previous"}
    assert fields(answer) == shown("`asof`") | SECTION
    assert set(client.call("asof", {"seq": answer["seq"]})) == FRAME | {"age_ns", "gap"}


def test_segments_read_by_the_page_alone_are_the_frames(client: Client) -> None:
    until = time.monotonic() + 20
    while client.call("status")["ring_frames"] < 4:
        assert time.monotonic() < until
        time.sleep(0.1)
    answer = client.call("segments", {"sections": ["processes"]})
    assert fields(answer) - {"processes"} == shown("`segments`") - {"memory"}
    segment = answer["segments"][-1]
    (track,) = segment["tracks"].values()
    rows: dict[tuple[int, ...], list[Any]] = {}
    stamps = dict(enumerate(segment["stamps"]))
    for index, body in msgpack.unpackb(zstd.decompress(track)):
        section = msgpack.unpackb(body, strict_map_key=False)
        if "columns" in section:
            rows = {tuple(row[:2]): row for row in section["rows"]}
        else:
            for key in section["gone"]:
                del rows[tuple(key)]
            for changed in section["changed"]:
                for place, cell in zip(changed[2::2], changed[3::2], strict=True):
                    rows[tuple(changed[:2])][place] = cell
            for row in section["new"]:
                rows[tuple(row[:2])] = row
        frame = client.call("asof", {"seq": stamps[index][0], "sections": ["processes"]})
        assert [frame["seq"], frame["time_ns"], frame["boottime_ns"]] == stamps[index]
        assert sorted(rows.values()) == sorted(frame["sections"]["processes"]["rows"])


def test_series(client: Client) -> None:
    now = client.call("ping")["time_ns"]
    columns = ["cpu_percent", "cpu_max_percent"]
    answer = client.call("series", {"from_ns": now - 60 * 10**9, "to_ns": now, "columns": columns})
    assert fields(answer) == shown("`series`")
    assert answer["columns"] == ["time_ns", *columns]
    everything = client.call("series", {"from_ns": now - 60 * 10**9, "to_ns": now})
    described = re.split(r"\n##", PAGE.partition("\n### `series`\n")[2])[0]
    assert set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*`) \|", described, re.MULTILINE)))) >= set(
        everything["columns"][1:]
    )


def test_events(client: Client) -> None:
    answer = client.call("events", {"kinds": ["started"]})
    assert fields(answer) == shown("`events`")
    assert answer["events"][0]["kind"] == "started"


def test_subscribe(client: Client) -> None:
    answer = client.call("subscribe", {"interval": 1, "sections": ["cpus", "processes"]})
    assert set(answer) == {"subscription", "interval_ns"}
    first, second = client.read(), client.read()
    assert (first[:2], second[:2]) == ([2, "frame"], [2, "delta"])
    (frame,), (delta,) = first[2], second[2]
    assert set(frame) == NEWEST | {"subscription"}
    assert set(delta) == NEWEST | {"subscription", "base_seq", "gone_sections"}
    assert delta["base_seq"] == frame["seq"]
    assert set(delta["sections"]["processes"]) == {"sampled_boottime_ns", "new", "changed", "gone"}
    assert shown("`subscribe`") <= fields(answer) | fields(frame) | fields(delta)
    assert shown("Deltas") - {"disks"} <= fields(delta) | fields(frame)


def test_a_frame_followed_by_the_steps_of_the_page_is_the_snapshot(client: Client) -> None:
    client.call("subscribe", {"sections": ["processes"]})
    (frame,) = client.read()[2]
    seq, rows = frame["seq"], {tuple(row[:2]): row for row in frame["sections"]["processes"]["rows"]}
    followed = 0
    while True:
        message = client.read()
        if message[0] == 1:
            break
        (delta,) = message[2]
        assert delta["base_seq"] == seq
        change = delta["sections"]["processes"]
        for key in change["gone"]:
            del rows[tuple(key)]
        for changed in change["changed"]:
            for place, cell in zip(changed[2::2], changed[3::2], strict=True):
                rows[tuple(changed[:2])][place] = cell
        for row in change["new"]:
            rows[tuple(row[:2])] = row
        seq = delta["seq"]
        followed += 1
        if followed == 4:
            client.socket.sendall(msgpack.packb([0, 6, "snapshot", [{"sections": ["processes"]}]]))
    assert followed >= 4
    snapshot = message[3]
    assert snapshot["seq"] == seq
    assert sorted(rows.values()) == sorted(snapshot["sections"]["processes"]["rows"])
