"""What there is to be said of a GPU, and where there is none."""

from dataclasses import replace

import pytest

from tests.ztop_client.fake_source import SECOND, frame, row, with_sections
from tests.ztop_client.gpu.scripted_gpus import gpu, growing, instance, machine
from ztop_client.gpu.device import gpus, warnings, why_none
from ztop_client.gpu.program import with_gpus
from ztop_client.program import NothingToShow
from ztop_client.sources.source import Pair
from ztop_protocol.frame import Cell, Frame, Row
from ztop_protocol.on_gpus import place_text


def of(*rows: Row, seq: int = 10) -> Frame:
    return with_sections(frame(seq, []), ("gpus", rows))


def words(made: Frame, place: int = 0) -> list[tuple[str, str]]:
    return list(warnings(gpus(None, made)[place]))


def test_gpus_come_in_their_order_each_with_its_instances() -> None:
    rows = [gpu(1, 10), instance(1, 2, 1), gpu(1, 2), instance(1, 2, 0)]
    assert [one.label for one in gpus(None, of(*rows))] == ["2", "2.0", "2.1", "10"]
    assert place_text(None) == "?"


def test_an_instance_whose_gpu_is_not_told_stands_for_itself() -> None:
    assert [one.label for one in gpus(None, of(instance(1, 7, 3)))] == ["3"]


def test_how_old_it_is() -> None:
    well, late, never = gpus(
        None,
        of(
            gpu(10, 0),
            gpu(10, 1, sampled_boottime_ns=1005 * SECOND),
            gpu(10, 2, state="failed", sampled_boottime_ns=None),
        ),
    )
    assert (well.is_fresh, well.trouble) == (True, None)
    assert (late.is_fresh, late.trouble) == (False, "OLD 5s")
    assert (never.age_ns, never.trouble) == (None, "FAILED")
    hung = gpus(None, machine("hung", 30))[1]
    assert hung.trouble == "HUNG 12s"


def test_rates_are_of_the_samples() -> None:
    before, now = machine("1", 4), machine("1", 6)
    (one,) = gpus(before, now)
    assert one.rate("nvlink_receive_bytes_per_second") == 8 * (1 << 30)
    assert gpus(None, now)[0].rate("nvlink_receive_bytes_per_second") is None


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"throttle_reasons": "power cap"}, ("warm", "clocks held by power cap")),
        ({"throttle_reasons": "thermal slowdown (hardware)"}, ("hot", "clocks held by thermal slowdown (hardware)")),
        ({"throttle_reasons": "idle"}, ("dim", "clocks held by idle")),
        ({"xid": 79}, ("hot", "Xid 79")),
        ({"ecc_volatile_uncorrected_errors": 3}, ("hot", "3 uncorrected ECC errors")),
        ({"remapped_rows_pending": True}, ("warm", "memory rows wait for a reset to be remapped")),
        ({"remapped_rows_pending": True, "remapped_rows_failed": True}, ("hot", "remapping of memory rows failed")),
        ({"vram_low": True}, ("alarm", "!! MEMORY RUNS OUT")),
        ({"oom_eta_seconds": 3000.0}, ("value", "MEMORY FULL IN 50m00s")),
        ({"oom_eta_seconds": 120.0}, ("warm", "MEMORY FULL IN 2m00s")),
        # short is not yet an alarm: ztopd judges
        ({"oom_eta_seconds": 0.0}, ("warm", "MEMORY FULL IN 0s")),
        ({"oom_eta_seconds": 30.0, "vram_low": None}, ("warm", "MEMORY FULL IN 30s")),
        ({"oom_eta_seconds": 100.0, "vram_low": True}, ("alarm", "!! MEMORY FULL IN 1m40s")),
        ({"state": "lost", "reason": "gone", "sampled_boottime_ns": None}, ("alarm", "LOST: gone")),
    ],
)
def test_what_is_wrong(cells: dict[str, Cell], expected: tuple[str, str]) -> None:
    assert words(of(gpu(10, 0, **cells))) == [expected]


def test_that_it_hangs_comes_before_what_it_said_then() -> None:
    hung = gpu(10, 0, state="hung", reason="no answer", sampled_boottime_ns=1001 * SECOND, oom_eta_seconds=12.0)
    assert [text for _, text in words(of(hung))] == ["HUNG 9s: no answer", "MEMORY FULL IN 12s"]


def test_nothing_is_wrong() -> None:
    assert words(of(gpu(10, 0))) == []
    assert words(of(gpu(10, 0, throttle_reasons=None))) == []


def test_the_end_comes_nearer() -> None:
    assert words(of(growing(1)[0], seq=1)) == [("alarm", "!! MEMORY FULL IN 39s (33s to 49s)")]
    assert words(of(growing(1, 16 << 30)[0], seq=1))[0][0] == "warm"


def sources(state: Cell, reason: Cell = None, fix: Cell = None) -> Frame:
    return with_sections(
        frame(1, []), ("sources", [row("sources", source="gpus", state=state, reason=reason, fix=fix)])
    )


def test_why_there_is_none() -> None:
    assert why_none(machine("1", 1)) is None
    assert why_none(frame(1, [])) is None, "it is not known yet"
    assert why_none(sources("ok")) is None
    assert why_none(sources("absent")) == "There is no GPU to be shown."
    assert why_none(sources("absent", "no driver", "load it")) == "There is no GPU to be shown: no driver (load it)."


def pairs(*frames: Frame) -> list[Pair]:
    return [Pair(None, replace(made, seq=seq)) for seq, made in enumerate(frames, 1)]


def test_batch_mode_begins_with_the_first_gpu() -> None:
    unknown, unread = frame(1, []), of(gpu(1, 0, state="failed", sampled_boottime_ns=None))
    shown, none = machine("1", 1), sources("absent", "no driver")
    assert [pair.current.seq for pair in with_gpus(pairs(unknown, unread, shown, none))] == [3, 4]
    assert [pair.current.seq for pair in with_gpus(pairs(unread))] == [1], "one moment is what it is"
    assert [pair.current.seq for pair in with_gpus(pairs(*[unread] * 5))] == [3, 4, 5]
    with pytest.raises(NothingToShow, match="no driver"):
        list(with_gpus(pairs(unknown, none)))
    for many in (1, 50):
        with pytest.raises(NothingToShow, match="said nothing"):
            list(with_gpus(pairs(*[unknown] * many)))
