"""What ``ztopd install`` and ``uninstall`` would do, and what they refuse."""

import os
from pathlib import Path

import pytest

import ztopd.installing.command as command
from ztopd.cli import main
from ztopd.installing import package
from ztopd.installing.package import MARK, InstallRefused

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of the machine's is looked at, and nothing is done: every test is a dry run."""
    units = tmp_path / "units"
    units.mkdir()
    monkeypatch.setattr(command, "UNITS", units)
    monkeypatch.setattr(command, "SHARE", tmp_path / "share")
    monkeypatch.setattr(command, "SYSUSERS", tmp_path / "sysusers.conf")
    monkeypatch.setattr(command, "STATE", tmp_path / "state")
    monkeypatch.setattr(command, "RUNTIME", tmp_path / "run")
    monkeypatch.setattr(command, "BIN", tmp_path / "bin")
    monkeypatch.setattr(command, "_uid", lambda: None)
    monkeypatch.setattr(package, "objection", lambda path: None)
    return tmp_path


def test_a_dry_run_says_all_and_does_nothing(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(places.rglob("*"))
    assert main(["install", "--dry-run", "--prefix", f"{places}/opt"]) == 0
    out = capsys.readouterr().out
    for words in (
        f"would copy ztop and what it needs to {places}/opt\n",
        f"would write {places}/units/ztopd.service\n",
        f"would write {places}/units/ztopd.socket\n",
        f"would link {places}/share/man/man8/ztopd.8 to {places}/opt/share/man/man8/ztopd.8\n",
        f"would link {places}/share/zsh/site-functions/_ztop-g to {places}/opt/share/zsh/site-functions/_ztop-g\n",
        f"would systemd-sysusers {places}/sysusers.conf\n",
        "systemctl enable --now ztopd.service\n",
    ):
        assert words in out
    assert sorted(places.rglob("*")) == before


def test_the_unit_runs_the_program_of_the_prefix() -> None:
    found = {path.name: content for path, content in command.files("/somewhere/bin/ztopd").items()}
    assert "\nExecStart=/somewhere/bin/ztopd\n" in found["ztopd.service"]
    assert found["ztopd.service"].count("ExecStart=") == 1
    assert all(content.startswith("# Written by ztopd install") for content in found.values())


def test_a_checkout_is_no_service_and_the_way_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--dry-run"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ztopd install: ")
    assert err.endswith("ztopd install --prefix /opt/ztop\n")
    assert err.count("\n") == 1


def test_a_unit_of_somebody_else_s_is_left_alone(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = places / "units" / "ztopd.service"
    theirs.write_text("[Service]\nExecStart=/opt/ztop/bin/ztopd\n")
    assert main(["install", "--dry-run", "--prefix", f"{places}/opt"]) == 1
    assert f"{theirs} is there already, and was not written by ztopd install" in capsys.readouterr().err
    assert main(["uninstall", "--dry-run"]) == 0
    assert "remove" not in capsys.readouterr().out.replace("removes both", "")


def test_only_what_was_made_here_is_removed(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix, state = places / "opt", places / "state"
    prefix.mkdir()
    state.mkdir()
    for path, content in command.files(f"{prefix}/bin/ztopd").items():
        path.write_text(content)
    assert main(["uninstall", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "would systemctl disable --now ztopd.service ztopd.socket\n" in out
    assert f"would remove {places}/units/ztopd.socket\n" in out
    assert f"would remove {prefix}\n" not in out
    assert f"would remove {state}\n" not in out
    (prefix / MARK).touch()
    assert main(["uninstall", "--dry-run", "--purge"]) == 0
    out = capsys.readouterr().out
    assert f"would remove {prefix}\n" in out
    assert f"would remove {state}\n" in out


def test_the_links_that_were_advised_go_with_what_they_lead_to(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = places / "opt"
    for folder in (prefix, places / "bin"):
        folder.mkdir()
    (prefix / MARK).touch()
    (places / "units/ztopd.service").write_text(command.files(f"{prefix}/bin/ztopd")[places / "units/ztopd.service"])
    (places / "bin/ztop").symlink_to(f"{prefix}/bin/ztop")
    (places / "bin/ztop-g").symlink_to("/elsewhere/bin/ztop-g")
    assert main(["uninstall", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"would remove {places}/bin/ztop\n" in out
    assert f"would remove {places}/bin/ztop-g\n" not in out


def test_a_person_of_that_name_is_no_service(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for uid, is_person in ((999, False), (1000, True)):
        monkeypatch.setattr(command, "_uid", lambda uid=uid: uid)
        assert main(["install", "--dry-run", "--prefix", f"{places}/opt"]) == is_person
        assert ("the user ztop is somebody here (uid 1000)" in capsys.readouterr().err) == is_person
        assert main(["uninstall", "--dry-run", "--purge"]) == 0
        assert ("would userdel ztop\n" in capsys.readouterr().out) != is_person


def test_links_of_ours_alone_are_removed(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, goal in command.links(places / "opt/share").items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(goal)
    assert len(list((places / "share").rglob("*ztop*"))) == len(package.SHARED)
    man, ours = places / "share/man/man1/ztop.1", places / "share/man/man1/ztop-g.1"
    man.unlink()
    man.write_text("somebody else's")
    assert main(["uninstall", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"would remove {ours}\n" in out
    assert f"would remove {man}\n" not in out
    assert main(["install", "--dry-run", "--prefix", f"{places}/opt"]) == 1
    assert f"{man} is there already" in capsys.readouterr().err
    man.unlink()
    man.symlink_to("../../../stow/ztop/share/man/man1/ztop.1")
    assert main(["install", "--dry-run", "--prefix", f"{places}/opt"]) == 1
    man.unlink()
    assert main(["install", "--dry-run", "--prefix", f"{places}/opt"]) == 0


def test_where_they_are_looked_for_nothing_is_linked(places: Path) -> None:
    assert command.links(places / "share") == {}
    assert command.links(Path("/usr/share")) == {}


def test_the_debian_package_installs_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.prefix", str(package.DEBIAN))
    for word in ("install", "uninstall"):
        assert main([word, "--dry-run"]) == 1
        assert "the Debian package" in capsys.readouterr().err


def test_what_is_shared_is_what_is_there() -> None:
    share = ROOT / "share"
    assert package.shared_folder() == share
    there = {path.relative_to(share).as_posix() for path in share.rglob("*") if path.is_file()}
    assert there == set(package.SHARED)


def test_a_folder_that_is_not_ours_is_no_prefix(places: Path) -> None:
    (places / "opt").mkdir()
    package.check(places / "opt")
    (places / "opt" / "file").touch()
    with pytest.raises(InstallRefused, match="is there already"):
        package.check(places / "opt")
    (places / "opt" / MARK).touch()
    package.check(places / "opt")


@pytest.mark.parametrize("prefix", ["opt/ztop", "/opt/z top", "/opt/%h", "/opt/a$b", "/opt/a\n", ""])
def test_a_prefix_that_systemd_would_read_otherwise(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["install", "--dry-run", "--prefix", prefix])
    assert exit.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "an absolute path" in err


def test_only_root_may(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for word in ("install", "uninstall"):
        assert main([word]) == 1
        assert capsys.readouterr().err == f"ztopd {word}: only root may: sudo ztopd {word}\n"


def test_what_is_copied_is_what_ztop_needs() -> None:
    names = {one.metadata["Name"].lower() for one in package.dependencies()}
    assert {"msgpack", "urwid", "wcwidth", "psutil", "tqdm"} <= names
    assert not names & {"pytest", "pyarrow", "hypothesis"}
    assert {path.name for path in package.units_folder().iterdir()} >= {"ztopd.service", "ztopd.socket"}
