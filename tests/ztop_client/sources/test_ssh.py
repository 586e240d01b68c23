"""What is asked of ssh, and what is made of its ends; tests/end_to_end/test_ssh.py has a real one."""

import os
import time
from pathlib import Path

import pytest

from ztop_client.channel import DaemonUnreachable
from ztop_client.sources.ssh import SshDaemon, is_plain


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sockets are made."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def fake_ssh(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


def refusal(daemon: SshDaemon) -> str:
    with pytest.raises(DaemonUnreachable) as refused:
        daemon.connect()
    return str(refused.value)


def test_what_ssh_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ssh(monkeypatch, folder, f'for word; do echo "$word"; done >{folder}/words; exit 255')
    daemon = SshDaemon("al@host; touch $HOME", "/run/a b")
    assert refusal(daemon) == "ssh to al@host; touch $HOME: it ended with status 255"
    *options, dashes, host = (folder / "words").read_text().splitlines()
    # one word after the last option, whatever is in it
    assert (dashes, host) == ("--", "al@host; touch $HOME")
    place = options[options.index("-L") + 1]
    assert place.endswith("/socket:/run/a b")
    assert place.startswith(f"{folder}/ztop-ssh-")
    assert "BatchMode=yes" not in options
    # the next one must not ask: a screen may be there
    assert refusal(daemon) == "ssh to al@host; touch $HOME: it ended with status 255"
    deadline = time.monotonic() + 20
    while "BatchMode=yes" not in (folder / "words").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    daemon.close()
    assert [path.name for path in folder.iterdir() if path.name.startswith("ztop-ssh")] == []
    assert refusal(daemon) == "ztopd on al@host; touch $HOME was left"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo one >&2; echo 'ssh: two.' >&2; exit 255", "two"),
        ("printf 'a\\033[2Jb\\rc\\n\\n' >&2; exit 1", "c"),
        ("printf 'a\\033[2Jb\\n' >&2; exit 1", "a?[2Jb"),
        ("exit 3", "it ended with status 3"),
        ("kill -9 $$", "it was killed by signal 9"),
    ],
)
def test_its_last_words(script: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ssh(monkeypatch, folder, script)
    daemon = SshDaemon("host", "/s")
    sentence = refusal(daemon)
    assert sentence == f"ssh to host: {words}"
    assert daemon.last_words() == sentence
    daemon.close()


def test_without_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert refusal(SshDaemon("host", "/s")) == "there is no program ssh: install OpenSSH's client"


def test_the_place_of_the_socket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ssh(monkeypatch, folder, f'for word; do echo "$word"; done >{folder}/words; exit 255')
    # what ssh would take for something else, or is too long, is not taken
    for place in ("", "relative", f"{folder}/a:b", f"/{'x' * 100}", f"{folder}/none"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        daemon = SshDaemon("host", "/s")
        refusal(daemon)
        daemon.close()
        words = (folder / "words").read_text().splitlines()
        assert not place or not words[words.index("-L") + 1].startswith(f"{place}/")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/run/ztopd/ztopd.sock", True),
        ("/run/with space/s", True),
        ("run/s", False),
        ("", False),
        ("/a:b", False),
        ("/a\\b", False),
        ("/%h", False),
        ("/${HOME}", False),
        ("/a\nb", False),
    ],
)
def test_paths_that_mean_themselves(path: str, expected: bool) -> None:
    assert is_plain(path) is expected
