"""What the screen remembers, and files that hold nothing of the kind."""

import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ztop_client.terminal_driver import Driver
from ztop_client.columns.processes import tabs
from ztop_client.glyphs import ASCII
from ztop_client.options import Options
from ztop_client.settings import (
    Broken,
    Settings,
    asked_for,
    load,
    remembered,
    save,
    set_aside,
    settings_of,
    settings_path,
)
from ztop_client.view import View
from ztop_protocol.processes import Order


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ztop" / "settings.json"


def view() -> View:
    return View(tabs(), ASCII)


def test_what_was_chosen_comes_back(path: Path) -> None:
    before = view()
    before.order_by("rss_bytes")
    before.invert()
    before.show_tab(1)
    before.order_by("swap_bytes")
    before.tree = before.threads = before.full_path = True
    save(settings_of(before), path)
    after = view()
    load(path).apply(after)
    assert settings_of(after) == settings_of(before)
    assert (after.tab.name, after.sort.name) == ("I/O", "swap_bytes")
    after.show_tab(0)
    assert (after.sort.name, after.descending) == ("rss_bytes", False)


def test_a_first_run_has_the_defaults(path: Path) -> None:
    fresh = view()
    load(path).apply(fresh)
    assert settings_of(fresh) == settings_of(view())
    assert not path.exists()


def test_the_command_line_wins_and_is_not_kept() -> None:
    before = Settings(orders={"Main": ("rss_bytes", True)})
    shown = view()
    before.apply(shown)
    asked_for(Options(order=Order("pid", False), filter_text="x"), shown)
    started = settings_of(shown)
    assert (shown.sort.name, shown.filter_text) == ("pid", "x")
    assert remembered(before, started, settings_of(shown)).orders["Main"] == ("rss_bytes", True)
    shown.tree = True
    shown.order_by("user")
    kept = remembered(before, started, settings_of(shown))
    assert (kept.orders["Main"], kept.tree) == (("user", False), True)


def test_what_other_versions_wrote_is_kept(path: Path) -> None:
    save(replace(Settings(tab="GPU", orders={"GPU": ("vram", True)}), others={"theme": {"name": "dark"}}), path)
    before = load(path)
    shown = view()
    before.apply(shown)
    kept = remembered(before, settings_of(shown), settings_of(shown))
    assert kept.others == {"theme": {"name": "dark"}}
    assert kept.orders["GPU"] == ("vram", True)
    assert kept.tab == "GPU"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "no object"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b" " * (1 << 20) + b"{}", "larger"),
        (b'{"tab": 5}', "tab"),
        (b'{"tree": "yes"}', "tree"),
        (b'{"orders": []}', "orders"),
        (b'{"orders": {"Main": ["pid"]}}', "orders: Main"),
        (b'{"orders": {"Main": [true, "pid"]}}', "orders: Main"),
    ],
)
def test_a_broken_file_is_named_and_set_aside(path: Path, data: bytes, why: str) -> None:
    path.parent.mkdir()
    for number in (1, 2):
        path.write_bytes(data)
        with pytest.raises(Broken, match=why):
            load(path)
        place = set_aside(path)
        assert place.name == f"settings.json.broken-{number}"
        assert place.read_bytes() == data
        assert not path.exists()


def test_writing_replaces_the_file_at_once_and_leaves_nothing_behind(path: Path) -> None:
    save(Settings(), path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    before = path.stat().st_ino
    save(Settings(tree=True), path)
    assert path.stat().st_ino != before
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.json"]
    assert json.loads(path.read_text())["tree"] is True


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.json"
    target.write_text("{}")
    path.parent.mkdir()
    path.symlink_to(target)
    save(Settings(tree=True), path)
    assert path.is_symlink()
    assert load(path).tree


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert settings_path({"XDG_CONFIG_HOME": "/etc/ann"}) == Path("/etc/ann/ztop/settings.json")
    for ignored in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert settings_path(ignored) == Path("/home/ann/.config/ztop/settings.json")


def ztop(configuration: Path, *arguments: str) -> Driver:
    command = [sys.executable, "-P", "-m", "ztop_client", *arguments]
    driver = Driver(command, 120, 30, {"XDG_CONFIG_HOME": str(configuration)})
    driver.wait("Command")
    return driver


class TestTheProgram:
    def test_remembers(self, tmp_path: Path) -> None:
        with ztop(tmp_path) as driver:
            driver.send("N")
            driver.wait("PID▲")
            driver.send("\tq")
            assert driver.ended() == 0
        with ztop(tmp_path, "--sort", "swap_bytes") as driver:
            driver.wait("SWAP▼")
            driver.send("P")
            driver.wait("CPU%▼")
            driver.send("\t")
            driver.send("N")
            driver.wait("PID▲")
            os.kill(driver.pid, 15)
            assert driver.ended() == 0
        kept = json.loads((tmp_path / "ztop" / "settings.json").read_text())
        assert kept["orders"]["Main"] == ["cpu_percent", True]
        assert kept["orders"]["I/O"] == ["pid", False]

    def test_says_that_its_file_is_broken(self, tmp_path: Path) -> None:
        (tmp_path / "ztop").mkdir()
        (tmp_path / "ztop" / "settings.json").write_text("{tree: 1}")
        with ztop(tmp_path) as driver:
            driver.wait("settings.json.broken-1")
            assert "was not understood" in driver.text
            driver.send("q")
            assert driver.ended() == 0
        assert (tmp_path / "ztop" / "settings.json.broken-1").read_text() == "{tree: 1}"
        assert not (tmp_path / "ztop" / "settings.json").exists()

    def test_ends_well_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "ztop").write_text("a file in the way")
        with ztop(tmp_path) as driver:
            driver.send("tq")
            driver.wait("not saved")
            assert driver.ended() == 0
