"""The source that follows a daemon, and the channel below it, one step at a time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from tests.ztop_client.fake_daemon import FakeDaemon, Refused, packed_delta
from tests.ztop_client.fake_source import SECOND, frame, process, process_io, with_sections
from ztop_client.channel import Channel, DaemonUnreachable, NoAnswer
from ztop_client.sources.live import LiveSource
from ztop_client.sources.source import Pair, RequestFailed, Source
from ztop_protocol.connection import pack_request
from ztop_protocol.frame import Frame, diff
from ztop_protocol.rates import rates


def machine(seq: int) -> Frame:
    return frame(seq, [process(1), process(100 + seq), process(7, user_time_ns=seq * SECOND // 4)])


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon([machine(1), machine(2)]) as made:
        yield made


@pytest.fixture
def source(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveSource]:
    made = LiveSource(daemon)
    yield made
    made.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def answer_of(source: LiveSource, method: str, arguments: dict[str, Any]) -> Any:
    """What the source is answered, sooner or later."""
    answers: list[Any] = []

    def come() -> bool:
        source.receive()
        return bool(answers)

    source.ask(method, arguments, answers.append)
    until(come)
    return answers[0]


def connected(source: LiveSource, daemon: FakeDaemon) -> LiveSource:
    source.maintain()
    daemon.turn()
    assert source.receive()
    return source


def test_rates_are_there_at_once(source: LiveSource, daemon: FakeDaemon) -> None:
    conforms: Source = source
    assert conforms.latest() is None
    assert source.fileno() is None
    assert not source.status().live
    connected(source, daemon)
    pair = source.latest()
    assert pair is not None
    assert pair.current == machine(2)
    assert rates(pair.previous, pair.current, "processes")[(7, SECOND)][0] == 25.0
    assert source.status().live
    assert source.title == "fake ztopd"


def test_deltas_are_followed(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    assert not source.receive()
    for seq in (3, 4, 5):
        daemon.publish(machine(seq))
    assert source.receive()
    pair = source.latest()
    assert pair is not None
    assert (pair.previous and pair.previous.seq, pair.current) == (4, machine(5))


def test_only_what_was_asked_for_is_subscribed(daemon: FakeDaemon) -> None:
    source = LiveSource(daemon, 5, ["host", "cpus"])
    source.maintain()
    daemon.turn()
    assert daemon.peers[0].requests[0].arguments == {"interval": 5, "sections": ["host", "cpus"]}
    source.close()


def test_a_delta_that_does_not_fit_is_asked_for_anew(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    peer = daemon.peers[0]
    assert peer.subscription is not None
    peer.notify("delta", packed_delta(diff(machine(7), machine(8)), subscription=peer.subscription))
    daemon.frames += [machine(8), machine(9)]
    source.receive()
    daemon.turn()
    assert peer.methods() == ["subscribe", "unsubscribe", "subscribe"]
    assert source.receive()
    pair = source.latest()
    assert pair is not None
    assert pair.current == machine(9)
    assert source.status().live


def test_another_interval_keeps_what_is_shown(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    source.set_interval(5)
    daemon.turn()
    # the frame before the newest and the newest again: neither is news
    assert not source.receive()
    assert daemon.peers[0].requests[-1].arguments["interval"] == 5
    daemon.publish(machine(7))
    assert source.receive()
    pair = source.latest()
    assert pair is not None
    assert rates(pair.previous, pair.current, "processes")[(7, SECOND)][0] == 25.0


def test_other_sections_come_with_their_rates_at_once(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    newest = daemon.frames[-1]
    rows = [process(7, SECOND)]
    daemon.frames[-2:] = [with_sections(one, ("process_io", process_io(one.seq, rows))) for one in daemon.frames[-2:]]
    source.set_sections(["host", "processes", "process_io"])
    daemon.turn()
    assert daemon.peers[0].requests[-1].arguments["sections"] == ["host", "processes", "process_io"]
    assert source.receive()
    pair = source.latest()
    assert pair is not None
    assert pair.current.seq == newest.seq
    (row,) = rates(pair.previous, pair.current, "process_io").values()
    assert row[0] == 7 * 1024
    # and what was there before goes on
    assert rates(pair.previous, pair.current, "processes")[(7, SECOND)][0] == 25.0


def test_the_same_sections_are_not_asked_for_again(daemon: FakeDaemon) -> None:
    source = LiveSource(daemon, 1, ["host", "cpus"])
    source.maintain()
    daemon.turn()
    source.set_sections(["cpus", "host"])
    daemon.turn()
    assert daemon.peers[0].methods() == ["subscribe"]
    source.close()


def test_frames_of_an_earlier_subscription_are_passed_over(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    daemon.publish(machine(3))
    source.set_interval(2)
    assert not source.receive()
    daemon.turn()
    assert source.receive()


def test_it_says_how_often_the_daemon_samples_now(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    assert source.status().tick_seconds is None
    for tick_ns, seconds in ((4 * 10**9, 4.0), (10**9, 1.0), (-5, None), (None, None)):
        daemon.current_tick_ns = tick_ns
        daemon.publish(machine(source.latest().current.seq + 1))  # type: ignore[union-attr]
        assert source.receive()
        assert source.status().tick_seconds == seconds


def test_it_connects_again(source: LiveSource, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr("ztop_client.sources.live.time.monotonic", lambda: now)
    connected(source, daemon)
    daemon.drop()
    assert not source.receive()
    status = source.status()
    assert (status.live, status.since_monotonic) == (False, now)
    assert status.reason is not None
    assert "went away" in status.reason or "broke" in status.reason
    assert source.fileno() is None
    assert source.latest() is not None
    daemon.refuse = DaemonUnreachable("nobody there")
    attempts = []
    for _ in range(80):
        before = daemon.connects
        source.maintain()
        attempts.append(daemon.connects - before)
        now += 0.25
    # twenty seconds: after 0.25, 0.75, 1.75, 3.75, 7.75 s, then every five
    assert sum(attempts) == 7
    assert source.status().since_monotonic < now - 15
    assert source.status().reason == "nobody there"
    daemon.refuse = None
    now += 5
    daemon.frames = [machine(100), machine(101)]
    connected(source, daemon)
    assert source.status().live
    pair = source.latest()
    assert pair is not None
    assert (pair.previous and pair.previous.seq, pair.current.seq) == (100, 101)


def test_last_frames_before_the_end_count(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    daemon.publish(machine(3))
    daemon.words = "it ended with status 1"
    daemon.drop()
    assert source.receive()
    assert source.status().reason == "it ended with status 1"


def test_another_boot_has_no_rates_with_the_one_before(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    daemon.publish(replace(machine(1), boot_id="another"))
    assert source.receive()
    assert source.latest() == Pair(None, replace(machine(1), boot_id="another"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\xc1",
        msgpack.packb([5, 1]),
        msgpack.packb([1, 1, [4, "no"], None]),
        msgpack.packb([1, 1, None, {"subscription": "x"}]),
    ],
)
def test_whoever_speaks_otherwise_is_left(source: LiveSource, daemon: FakeDaemon, garbage: bytes) -> None:
    source.maintain()
    daemon.peers[0].send(garbage)
    assert not source.receive()
    assert source.fileno() is None
    assert source.status().reason


def test_a_broken_frame_ends_the_connection_only(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    peer = daemon.peers[0]
    peer.notify("frame", msgpack.packb({"subscription": peer.subscription, "seq": "one"}))
    assert not source.receive()
    assert source.status().reason == "what answers does not speak ztopd's protocol: sections: a map was expected"


def test_requests_and_unknown_notifications_are_passed_over(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    daemon.peers[0].send(pack_request(1, "ping") + msgpack.packb([2, "news", [{"subscription": 1}]]))
    assert not source.receive()
    assert source.status().live


def test_calls_keep_frames(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)

    def threads(arguments: dict[str, Any]) -> dict[str, Any]:
        daemon.peers[0].publish(machine(3))
        return arguments

    daemon.answers["threads"] = threads
    daemon.in_background()
    assert answer_of(source, "threads", {"pid": 7}) == {"pid": 7}
    pair = source.latest()
    assert pair is not None
    assert pair.current.seq == 3
    refused = answer_of(source, "jump", {})
    assert isinstance(refused, RequestFailed) and "there is no method jump" in str(refused)


def test_a_daemon_that_does_not_answer(daemon: FakeDaemon) -> None:
    channel = Channel(daemon.connect())
    started = time.monotonic()
    with pytest.raises(NoAnswer, match=r"within 0\.1 s"):
        channel.call("ping", seconds=0.1)
    assert 0.09 < time.monotonic() - started < 1
    # the late answer is not taken for another's
    daemon.in_background()
    daemon.answers["ping"] = lambda _: {"seq": 77}
    assert channel.call("ping", seconds=5)["seq"] == 77
    channel.close()


def test_a_daemon_that_does_not_read(daemon: FakeDaemon) -> None:
    channel = Channel(daemon.connect())

    def insist() -> None:
        for _ in range(100_000):
            channel.subscribe(1)

    with pytest.raises(DaemonUnreachable, match="does not read"):
        insist()
    channel.close()


def test_no_call_without_a_connection(source: LiveSource, daemon: FakeDaemon) -> None:
    refused = answer_of(source, "ping", {})
    assert isinstance(refused, RequestFailed) and "no connection" in str(refused)
    connected(source, daemon)
    daemon.drop()
    assert isinstance(answer_of(source, "ping", {}), RequestFailed)
    assert source.fileno() is None


def test_what_was_asked_of_a_daemon_that_went_away(source: LiveSource, daemon: FakeDaemon) -> None:
    connected(source, daemon)
    answers: list[Any] = []
    source.ask("threads", {"pid": 7}, answers.append)
    assert answers == []
    daemon.drop()
    until(lambda: source.receive() or bool(answers))
    assert isinstance(answers[0], RequestFailed)


def test_an_error_is_the_daemons_sentence(source: LiveSource, daemon: FakeDaemon) -> None:
    def refuse(_: dict[str, Any]) -> None:
        raise Refused("pid: a number was expected")

    connected(source, daemon)
    daemon.answers["threads"] = refuse
    daemon.in_background()
    assert str(answer_of(source, "threads", {"pid": "x"})) == "pid: a number was expected"


def test_sections_sampled_seldom_keep_their_interval() -> None:
    """Disks every third frame: their rates are of three seconds in every frame, not None in two of three."""
    frames = [machine(seq) for seq in range(1, 8)]
    disks = {seq: replace(frames[seq].sections["host"], sampled_boottime_ns=seq * SECOND) for seq in (0, 3, 6)}
    frames = [
        replace(one, sections={**one.sections, "host": disks[place // 3 * 3]}) for place, one in enumerate(frames)
    ]
    pair = Pair(None, frames[0])
    seen = []
    for one in frames[1:]:
        pair = pair.followed_by(one)
        assert pair.previous is not None
        earlier = pair.previous.sections.get("host")
        seen.append(None if earlier is None else earlier.sampled_boottime_ns // SECOND)
        assert pair.previous.sections["cpus"].sampled_boottime_ns == one.boottime_ns - SECOND
    assert seen == [None, None, 0, 0, 0, 3]
