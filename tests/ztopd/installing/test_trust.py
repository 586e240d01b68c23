"""Which files a service may run."""

import os
from pathlib import Path

import pytest

import ztopd.installing.trust as trust
from tests.end_to_end.real_daemon import STRANGER, needs_root
from ztopd.installing.trust import objection


def test_what_the_system_has_is_trusted() -> None:
    assert objection("/usr/bin/env") is None
    assert objection("/usr/nothing/there/yet") is None


@pytest.mark.parametrize("path", ["/home", "/home/a/ztop", "/root", "/usr/../home/a", "/run/user/5/x"])
def test_homes_are_hidden_from_the_service(path: str) -> None:
    assert "lies in a home" in str(objection(path))


def test_a_name_that_only_looks_like_a_home() -> None:
    assert "home" not in str(objection("/homely/ztop"))


def test_a_link_into_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "link").symlink_to(home / "ztop")
    monkeypatch.setattr(trust, "HIDDEN", (str(home),))
    assert str(objection(str(tmp_path / "link"))) == f"{home}/ztop lies in a home, which the service does not see"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of root's under folders that count as root's and closed, unlike /tmp."""
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        if path != str(tmp_path) and str(tmp_path).startswith(path.rstrip("/") + "/"):
            path = "/"
        return real(path)

    monkeypatch.setattr(trust.os, "lstat", lstat)
    return tmp_path


@needs_root
def test_who_else_could_change_it(folder: Path) -> None:
    program = folder / "bin" / "ztopd"
    program.parent.mkdir()
    program.touch()
    assert objection(str(program)) is None
    for path, mode in ((program, 0o775), (program, 0o757), (program.parent, 0o777), (program.parent, 0o1777)):
        before = path.stat().st_mode
        path.chmod(mode)
        assert f"others than root may write to {path}" in str(objection(str(program)))
        path.chmod(before)
    os.chown(program.parent, STRANGER, -1)
    assert f"{program.parent} belongs to uid {STRANGER}" in str(objection(str(program)))
    os.chown(program.parent, 0, -1)
    # the link's own permissions mean nothing, its owner does
    link = folder / "link"
    link.symlink_to(program)
    assert objection(str(link)) is None
    os.lchown(link, STRANGER, -1)
    assert f"{link} belongs to uid" in str(objection(str(link)))
