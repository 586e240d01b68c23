"""The cards of every kind of machine, at every size."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.ztop_client.fake_source import row, with_sections
from tests.ztop_client.gpu.scripted_gpus import gpu, machine
from tests.ztop_client.hostile import HOSTILE
from ztop_client.glyphs import ASCII, UNICODE, UNICODE_MONO, Glyphs
from ztop_client.gpu.cards import Cards
from ztop_client.gpu.program import ZTOP_G
from ztop_client.view import View
from ztop_client.widgets.canvas import cells
from ztop_client.widgets.header import Title
from ztop_client.widgets.screen import Screen
from ztop_protocol.frame import Cell, Frame
from ztop_protocol.schema import GPUS

SIZES = [(40, 12), (80, 24), (100, 30), (160, 45), (200, 50), (300, 100)]
KINDS = ["1", "2", "8", "16", "64", "growing", "mig", "lost", "hung", "foreign", "none"]


def screen(frames: Sequence[Frame], width: int, height: int, glyphs: Glyphs = UNICODE) -> list[str]:
    view = View(ZTOP_G.tabs("alice"), glyphs, program=ZTOP_G)
    made = Screen(view, Title("scripted", program="ztop-g"), glyphs)
    previous = None
    for one in frames:
        made.show(previous, one)
        view.show(ZTOP_G.table(previous, one, False))
        previous = one
    content = list(made.render((width, height)).content())
    assert all(text.isascii() or not glyphs.ascii_only for line in content for _, _, text in line)
    return [b"".join(text for _, _, text in line).decode() for line in content]


def styles(made: Frame, width: int, most: int) -> dict[str, str]:
    """What stands in the cards in the style of an alarm, and the rest."""
    cards = Cards(UNICODE)
    cards.show(None, made)
    found = {"alarm": "", "rest": ""}
    for line in cards.lines(width, most):
        for style, _, text in line:
            found["alarm" if style == "alarm" else "rest"] += text.decode()
    return found


@pytest.mark.parametrize("glyphs", [UNICODE, UNICODE_MONO, ASCII], ids=["unicode", "mono", "ascii"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_line_is_as_wide_as_the_screen(kind: str, glyphs: Glyphs) -> None:
    frames = [machine(kind, seq) for seq in range(1, 4)]
    for width, height in SIZES:
        lines = screen(frames, width, height, glyphs)
        assert len(lines) == height
        assert {cells(line) for line in lines} == {width}, (width, height)
        assert any("PID" in line and "USER" in line for line in lines), (width, height)


@pytest.mark.parametrize("count", [1, 2, 8, 16])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 45), (200, 50), (300, 100)])
def test_every_gpu_is_seen(count: int, width: int, height: int) -> None:
    frames = [machine(str(count), seq) for seq in range(1, 4)]
    lines = screen(frames, width, height)
    above = " ".join(lines[: next(place for place, line in enumerate(lines) if "PID" in line)])
    for number in range(count):
        assert f" {number} " in above
    assert "and" not in above.split()
    assert len([line for line in lines if "train.py" in line or "python3" in line]) >= min(count, 4)


def test_of_too_many_those_in_trouble_are_seen() -> None:
    gpus = [gpu(9, number) for number in range(64)]
    gpus[50] = row("gpus", uuid="GPU-0050", index=50, state="lost", reason="gone")
    made = with_sections(machine("64", 9), ("gpus", gpus))
    text = "\n".join(screen([made], 80, 24))
    assert "and 40 more GPUs" in text
    assert " 50 " in text and "LOST" in text


def test_what_is_read_between_two_frames_has_the_rates_of_the_frame() -> None:
    # counters are read once a second, memory five times: over the time of the memory they would grow by a half too much
    def at(seq: int, tenths: int, seconds: int) -> Frame:
        counted = seconds * 10**9
        row_of = gpu(
            *(9, 0),
            sampled_boottime_ns=tenths * 10**8,
            nvlink_receive_bytes=counted,
            nvlink_transmit_bytes=2 * counted,
            counters_boottime_ns=1000 * 10**9 + counted,
        )
        return with_sections(machine("1", seq), ("gpus", [row_of]))

    first, second, between = at(8, 10_080, 8), at(9, 10_090, 9), at(9, 10_095, 10)
    cards = Cards(UNICODE)
    cards.show(None, first)
    for shown in (second, between, second):
        cards.show(first, shown)
        text = "".join(text.decode() for line in cards.lines(200, 40) for _, _, text in line)
        assert "NVLink ▼954M/s ▲1.9G/s" in text, text


@pytest.mark.parametrize("most", [3, 40])
def test_what_is_kept_of_a_card_is_what_would_be_drawn_anew(most: int) -> None:
    rows = list(machine("growing", 9).rows("gpus").values())
    usual = [with_sections(machine("growing", seq), ("gpus", rows)) for seq in (7, 8, 9)]
    others: dict[type, tuple[Cell, ...]] = {bool: (True, False), str: ("other", ""), type(None): ("hung", 3, True)}
    changed = 0
    for place, column in enumerate(GPUS.columns):
        before = rows[0][place]
        for value in (None, *others.get(type(before), (0, 97, 100, 5 * 10**9))):
            if place < GPUS.key_length or (column.type is str) != isinstance(value, str) or value == before:
                continue
            one = (*rows[0][:place], value, *rows[0][place + 1 :])
            kept, anew = Cards(UNICODE), Cards(UNICODE)
            for cards in (kept, anew):
                cards.show(None, usual[0])
                cards.show(usual[0], usual[1])
            before_it = kept.lines(200, most)
            for cards in (kept, anew):
                cards.show(usual[1], with_sections(usual[2], ("gpus", [one, *rows[1:]])))
            lines = anew.lines(200, most)
            assert kept.lines(200, most) == lines, (column.name, value)
            changed += lines != before_it
    assert changed > (15 if most < 40 else 60)


def test_the_card_of_a_gpu_that_is_well() -> None:
    text = "\n".join(screen([machine("1", seq) for seq in range(1, 31)], 160, 45))
    for part in (
        "NVIDIA H100 80GB HBM3", "43%", "24.0G/80.0G", "58°C (slows at 87, off at 92)", "261/700W", "SM 1.98/1.98GHz",
        "P0", "PCIe 5×16 ▼1.2G/s ▲340M/s", "NVLink ▼8.0G/s ▲7.0G/s", "Dec", "tensor", "max 76%",
    ):  # fmt: skip
        assert part in text
    assert "!!" not in text and "MEMORY" not in text


def test_the_curve_is_of_what_was_seen() -> None:
    lines = screen([machine("1", seq) for seq in range(1, 31)], 160, 45)
    dots = [line for line in lines if any(0x2800 < ord(character) < 0x2900 for character in line)]
    assert len(dots) == 6, "0.76 of eight lines"
    assert not [line for line in screen([machine("1", 1)], 160, 45) if any(0x2800 < ord(one) < 0x2900 for one in line)]


def test_the_warning_is_unmistakable_in_every_form() -> None:
    for width, most in ((80, 13), (80, 4), (80, 2), (40, 2), (200, 40)):
        found = styles(machine("growing", 1), width, most)
        assert "!! 39s" in found["alarm"], (width, most)
        assert "!!" not in found["rest"]
    assert "MEMORY FULL IN 39s (33s to 49s)" in styles(machine("growing", 1), 80, 13)["alarm"]


def test_the_process_that_grows_has_a_mark_too() -> None:
    lines = screen([machine("growing", 1), machine("growing", 2)], 80, 24, ASCII)
    grower = next(line for line in lines if " 7000 " in line)
    assert "! " in grower and " 38s " in grower and "200.0" in grower


@pytest.mark.parametrize(("kind", "said"), [("lost", "LOST"), ("hung", "HUNG 12s")])
def test_what_does_not_answer_says_so(kind: str, said: str) -> None:
    found = styles(machine(kind, 30), 100, 20)
    assert said in found["alarm"]
    assert {"lost": "fallen off the bus", "hung": "has not returned"}[kind] in found["alarm"]
    assert "58°C" in found["rest"], "the other one is well"


def test_old_data_is_no_curve() -> None:
    cards = Cards(UNICODE)
    previous = None
    for seq in range(20, 50):
        made = machine("hung", seq)
        cards.show(previous, made)
        previous = made
    lines = [b"".join(text for _, _, text in line).decode() for line in cards.lines(160, 24)]
    maxima = [line.count("max") for line in lines if "max" in line]
    assert maxima == [2], "of the GPU that answers alone"


def test_where_there_is_none_the_reason_stands_there() -> None:
    lines = screen([machine("none", 1)], 80, 24)
    assert "There is no GPU to be shown: libnvidia-ml.so.1 cannot be loaded" in lines[1]
    assert "install the NVIDIA driver" in " ".join(" ".join(lines[1:3]).split())
    unknown = replace(machine("none", 1), sections={})
    assert "has not come yet" in screen([unknown], 80, 24)[1]


def test_names_of_gpus_and_reasons_are_strangers() -> None:
    for text in HOSTILE:
        made = with_sections(
            machine("1", 5),
            ("gpus", [gpu(5, 0, name=text, throttle_reasons=text, withheld=text, bus_id=text, reason=text)]),
        )
        for line in screen([made], 100, 30):
            assert cells(line) == 100
            assert line.isprintable()
