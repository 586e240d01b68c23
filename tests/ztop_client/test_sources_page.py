"""The page of what the monitor costs: what it says, at every size, of hostile sources too."""

import time
from dataclasses import replace

import pytest
import urwid

from tests.ztop_client.fake_source import frame, row, with_sections
from tests.ztop_client.hostile import HOSTILE
from tests.ztop_client.test_header import texts
from tests.ztop_client.test_table import assert_exact
from ztop_client.costs import OwnCost, Source, sources
from ztop_client.glyphs import ASCII, UNICODE, Glyphs
from ztop_client.widgets.sources_page import SourcesPage
from ztop_protocol.frame import Frame, Row

MILLISECOND = 1_000_000
SECOND = 1_000_000_000


def rows(seq: int) -> list[Row]:
    sampled = frame(seq, []).boottime_ns
    processes = {"sampler": 31 * MILLISECOND, "server": 9 * MILLISECOND, "reader": 0}
    return [
        row("sources", source="memory", state="ok", cost_ns=200_000, duration_ns=210_000, sampled_boottime_ns=sampled),
        row("sources", source="processes", state="ok", cost_ns=12 * MILLISECOND, duration_ns=15 * MILLISECOND,
            skipped=3, sampled_boottime_ns=sampled),
        row("sources", source="filesystems", state="degraded", cost_ns=50_000, duration_ns=60_000, period_ns=5 * SECOND,
            reason="2 reads block", fix="see whether a server is gone", sampled_boottime_ns=sampled - 7 * SECOND),
        *(
            row("sources", source=name, state="ok", cpu_time_ns=seq * time_ns, rss_bytes=30 << 20)
            for name, time_ns in processes.items()
        ),
        row("sources", source="counters", state="absent", reason="this machine has no PMU"),
    ]  # fmt: skip


def shown(seq: int) -> Frame:
    return with_sections(frame(seq, []), ("sources", rows(seq)))


def page_of(found: list[Source]) -> SourcesPage:
    return SourcesPage(lambda: found, "ztop", lambda: None, OwnCost())


def lines(page: SourcesPage, width: int = 80, height: int = 60, glyphs: Glyphs = UNICODE) -> list[str]:
    return texts(page.box(width, height, glyphs))


def test_what_is_degraded_and_what_is_dearest_comes_first_with_the_shares_of_the_processes() -> None:
    found = sources(shown(1), shown(2))
    assert [one.name for one in found][:3] == ["filesystems", "processes", "memory"]
    by_name = {one.name: one for one in found}
    assert by_name["sampler"].cpu_percent == pytest.approx(3.1)
    assert by_name["processes"].cpu_percent is None
    assert by_name["filesystems"].age_ns == 7 * SECOND
    assert all(one.cpu_percent is None for one in sources(None, shown(2)))
    assert sources(None, frame(2, [])) == []


def test_the_page_says_what_it_costs_what_is_missing_and_why() -> None:
    text = "\n".join(lines(page_of(sources(shown(1), shown(2)))))
    assert "ztopd: 4.0% of a core" in text
    for words in (
        ("sampler", "3.1%", "30.0M in memory"),
        ("processes", "ok", "12.0", "15.0", "3"),
        ("filesystems", "degraded", "0.05", "0.06", "5.00s", "7.00s"),
        ("2 reads block. Fix: see whether a server is gone",),
        ("counters", "absent", "-"),
        ("this machine has no PMU.",),
    ):
        assert any(all(word in line for word in words) for line in text.splitlines()), words


def test_a_part_of_what_it_costs_is_not_shown_as_the_whole() -> None:
    found = [replace(one, cpu_percent=None) if one.name == "sampler" else one for one in sources(shown(1), shown(2))]
    assert "ztopd: its CPU is not known yet" in "\n".join(lines(page_of(found)))


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_it_fits_every_screen_whatever_sources_are_called(glyphs: Glyphs) -> None:
    hostile = [row("sources", source=text, state=text, reason=text, fix=text, cost_ns=1) for text in HOSTILE]
    for found in ([], sources(None, with_sections(frame(2, []), ("sources", hostile)))):
        page = page_of(found)
        for width in (8, 20, 40, 80, 200):
            for height in (3, 10, 24, 70):
                box = page.box(width, height, glyphs)
                assert len(box) <= height
                wide = urwid.calc_width(texts(box)[0], 0, len(texts(box)[0]))
                assert wide <= max(width, 5)
                assert_exact(box, wide, glyphs)


def test_any_other_key_leaves_it_and_arrows_scroll() -> None:
    left: list[bool] = []
    page = SourcesPage(lambda: sources(None, shown(2)), "ztop", lambda: left.append(True), OwnCost())
    page.box(80, 8, UNICODE)
    assert page.key("down") and page.key("end") and left == []
    assert not page.key("esc") and left == [True]
    assert not page.click(1, 1) and left == [True, True]


def test_ones_own_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    now, used = 100.0, 3.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "process_time", lambda: used)
    own = OwnCost()
    assert own.cpu_percent() is None
    now, used = 102.0, 3.5
    assert own.cpu_percent() == pytest.approx(25)
    now, used = 102.5, 4.0
    assert own.cpu_percent() == pytest.approx(25)
    rss = own.rss_bytes()
    assert rss is not None and rss > 1 << 20
