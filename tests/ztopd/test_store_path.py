"""Where the store is."""

import os
from pathlib import Path

import pytest

import ztopd.store_path as module
from ztopd.store_path import store_directory, usual_directory


def test_what_was_configured() -> None:
    assert store_directory("/a/b", {}) == "/a/b"
    assert store_directory("off", {"STATE_DIRECTORY": "/var/lib/z"}) is None
    assert store_directory(None, {"STATE_DIRECTORY": "/var/lib/z"}) == "/var/lib/z"


def test_systemd_may_name_several() -> None:
    assert usual_directory({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == "/var/lib/a"


def test_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "SYSTEM_DIRECTORY", str(tmp_path / "ztopd"))
    environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "STATE_DIRECTORY": ""}
    assert usual_directory(environment) == str(tmp_path / "ztopd")
    monkeypatch.setattr(module, "SYSTEM_DIRECTORY", str(tmp_path / "nowhere" / "ztopd"))
    assert usual_directory(environment) is None


def test_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    home = {"HOME": str(tmp_path)}
    assert usual_directory({}) is None
    assert usual_directory(home) is None
    (tmp_path / ".local" / "state").mkdir(parents=True)
    assert usual_directory(home) == f"{tmp_path}/.local/state/ztop"
    (tmp_path / "state").mkdir()
    assert usual_directory(home | {"XDG_STATE_HOME": f"{tmp_path}/state"}) == f"{tmp_path}/state/ztop"
    assert usual_directory(home | {"XDG_STATE_HOME": "relative"}) == f"{tmp_path}/.local/state/ztop"
    assert usual_directory(home | {"XDG_STATE_HOME": f"{tmp_path}/nowhere"}) is None
