"""What comes between two frames, on the client's side: drawn, and no frame."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon, packed_frame
from tests.ztop_client.gpu.scripted_gpus import GIBIBYTE, gpu, machine, on_gpu
from tests.ztop_client.test_live_source import connected, until
from ztop_client.glyphs import ASCII
from ztop_client.gpu.cards import Cards
from ztop_client.gpu.device import gpus
from ztop_client.gpu.program import ZTOP_G
from ztop_client.gpu.table import gpu_table
from ztop_client.program import ZTOP
from ztop_client.sources.beside import SourceBeside
from ztop_client.sources.live import LiveSource
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Frame, Section

SECOND = 10**9
HALF = SECOND // 2
UUID = ("GPU-0000",)


def between(seq: int, used: int = 7 * GIBIBYTE) -> Frame:
    """Half a second after a frame, with its number."""
    after = machine("2", seq)
    at_ns = (1000 + seq) * SECOND + HALF
    rows = [
        gpu(
            *(seq, 0),
            memory_used_bytes=used,
            sampled_boottime_ns=at_ns,
            energy_millijoules=seq * 400_000 + 200_000,
            counters_boottime_ns=at_ns,
        ),
        gpu(seq, 1, sampled_boottime_ns=at_ns),
    ]
    sections = {
        "gpus": Section(at_ns, {row[:1]: row for row in rows}),
        "gpu_processes": Section(at_ns, after.rows("gpu_processes")),
    }
    return replace(after, time_ns=after.time_ns + HALF, boottime_ns=after.boottime_ns + HALF, sections=sections)


def notify(daemon: FakeDaemon, frame: Frame) -> None:
    for peer in daemon.peers:
        assert peer.subscription is not None
        peer.notify("between", packed_frame(frame, subscription=peer.subscription))


def used(frame: Frame) -> object:
    return frame.cell("gpus", "memory_used_bytes", UUID)


def latest(source: LiveSource | SourceBeside) -> Pair:
    pair = source.latest()
    assert pair is not None
    return pair


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon([machine("2", 1), machine("2", 2)]) as made:
        yield made


@pytest.fixture
def source(daemon: FakeDaemon) -> Iterator[LiveSource]:
    made = LiveSource(daemon, between=True)
    yield connected(made, daemon)
    made.close()


def test_it_is_drawn_until_the_next_frame_comes(source: LiveSource, daemon: FakeDaemon) -> None:
    before = latest(source)
    notify(daemon, between(2))
    assert source.receive()
    pair = latest(source)
    assert pair.kept == before
    assert used(pair.drawn) == 7 * GIBIBYTE != used(pair.current)
    assert replace(pair.drawn, sections={}) == replace(pair.current, sections={})
    assert pair.drawn.sections["processes"] is pair.current.sections["processes"]
    daemon.publish(machine("2", 3))
    assert source.receive()
    assert latest(source) == before.followed_by(machine("2", 3))
    assert latest(source).drawn is latest(source).current


def test_what_is_not_of_the_newest_frame_is_passed_over(source: LiveSource, daemon: FakeDaemon) -> None:
    before = source.latest()
    for stray in (between(1), between(3), replace(between(2), boot_id="another")):
        notify(daemon, stray)
    peer = daemon.peers[0]
    peer.notify("between", packed_frame(between(2), subscription=77))
    assert not source.receive()
    assert source.latest() is before
    # of one that came before a frame nothing is left
    notify(daemon, between(2))
    daemon.publish(machine("2", 3))
    source.receive()
    assert not latest(source).newer


def test_other_sections_do_not_take_it_back(source: LiveSource, daemon: FakeDaemon) -> None:
    notify(daemon, between(2))
    source.receive()
    source.set_sections(["gpus", "gpu_processes", "processes"])
    daemon.turn()
    source.receive()
    assert used(latest(source).drawn) == 7 * GIBIBYTE


def test_who_is_handed_frames_is_handed_frames_alone(source: LiveSource, daemon: FakeDaemon) -> None:
    taken: list[Frame] = []
    source.hand_frames_to(lambda frame: not taken.append(frame))  # type: ignore[func-returns-value]
    daemon.turn()
    source.receive()
    notify(daemon, between(2))
    assert source.receive()
    daemon.publish(machine("2", 3))
    source.receive()
    assert taken == [machine("2", seq) for seq in (1, 2, 3)]


def test_read_beside_it_comes_as_well(daemon: FakeDaemon) -> None:
    daemon.in_background()
    source = SourceBeside(LiveSource(daemon, between=True))
    try:
        until(lambda: source.receive() and latest(source).current.seq == 2)
        notify(daemon, between(2))
        until(lambda: source.receive() and used(latest(source).drawn) == 7 * GIBIBYTE)
    finally:
        source.close()


class TestWhoAsks:
    @pytest.mark.parametrize(("ticks", "wants", "asks"), [(1, True, True), (1, False, False), (5, True, False)])
    def test_who_draws_every_frame(self, daemon: FakeDaemon, ticks: int, wants: bool, asks: bool) -> None:
        source = connected(LiveSource(daemon, ticks, between=wants), daemon)
        assert ("between" in daemon.peers[0].requests[-1].arguments) is asks
        source.set_interval(1)
        daemon.turn()
        assert ("between" in daemon.peers[0].requests[-1].arguments) is wants
        # a daemon that is older passes the argument over, as this one does: frames come as ever
        daemon.publish(machine("2", 3))
        source.receive()
        assert latest(source).current.seq == 3
        source.close()

    def test_ztop_g_does_and_ztop_does_not(self) -> None:
        assert ZTOP_G.between and not ZTOP.between


class TestDrawn:
    def test_rates_are_over_the_time_that_passed(self) -> None:
        """400 kJ a second, against the frame before the newest: 600 kJ in one and a half seconds."""
        pair = Pair(machine("2", 1), machine("2", 2), between(2).sections)
        rates = [
            one.rate("energy_millijoules_per_second")
            for one in gpus(pair.previous, pair.drawn)
            if one["uuid"] == UUID[0]
        ]
        previous_ns, drawn_ns = (
            frame.cell("gpus", "sampled_boottime_ns", UUID) for frame in (machine("2", 1), pair.drawn)
        )
        assert isinstance(drawn_ns, int) and isinstance(previous_ns, int)
        assert rates == [pytest.approx(600_000 / ((drawn_ns - previous_ns) / SECOND))]
        # what the host says of the processes is of the frame
        drawn, before = gpu_table(pair.previous, pair.drawn), gpu_table(pair.previous, pair.current)
        assert {key: drawn.rates["processes"].get(key) for key in drawn.processes} == {
            key: before.rates["processes"].get(key) for key in before.processes
        }

    def test_an_age_is_that_of_the_moment(self) -> None:
        hung = between(2)
        row = gpu(2, 0, state="hung", sampled_boottime_ns=1000 * SECOND)
        newer = {"gpus": Section(hung.sections["gpus"].sampled_boottime_ns, {row[:1]: row})}
        pair = Pair(None, machine("2", 2), newer)
        (one,) = gpus(None, pair.drawn)
        assert one.age_ns == 2 * SECOND + HALF

    def test_a_process_that_came_meanwhile_has_just_begun(self) -> None:
        shown = machine("2", 2)
        start = shown.sections["processes"].sampled_boottime_ns + HALF // 2
        row = on_gpu("GPU-0000", 9999, 2, start)
        table = gpu_table(None, Pair(None, shown, {"gpu_processes": Section(start, {row[:2]: row})}).drawn)
        (only,) = table.rows["processes"].values()
        assert "(the process has just begun)" in only

    def test_curves_have_both_halves_and_no_gap(self) -> None:
        cards = Cards(ASCII)
        previous: Frame | None = None
        for seq in range(1, 6):
            pair = Pair(previous, machine("2", seq))
            cards.show(pair.previous, pair.current)
            pair = replace(pair, newer=between(seq, 40 * GIBIBYTE).sections)
            cards.show(pair.previous, pair.drawn)
            previous = pair.current
        seconds = cards._curves[UUID].memory.until(1005 * SECOND + HALF, 4, 1)
        frames, halves = (used(one) for one in (machine("2", 1), between(1, 40 * GIBIBYTE)))
        assert isinstance(frames, int) and isinstance(halves, int)
        mean = (frames + halves) / 2 / (80 * GIBIBYTE) * 100
        # the last second has only begun
        assert seconds == [*[pytest.approx(mean)] * 3, 50.0]
