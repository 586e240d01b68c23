"""What a daemon says that it shows, in sentences."""

import os
import sys
from typing import Any

import pytest

from tests.ztop_client.fake_daemon import FakeDaemon
from tests.ztop_client.fake_source import ALICE_UID, frame, process, process_io, row, with_sections
from tests.ztop_client.terminal_driver import Driver
from ztop_client.absence import Dashes, Withheld
from ztop_client.access import Access, access_of
from ztop_client.cli import main
from ztop_client.columns.column import process_table
from ztop_client.lacking import Lacking
from ztop_client.sources.source import RequestFailed
from ztop_protocol.codec import encode_map, encode_section, frame_head, unpack
from ztop_protocol.frame import Frame

ALICE = Access(False, ALICE_UID, "owner", "adm")
ROOT = Access(True, 0, "root", "adm")
ALL_IO, SOME_IO = (None, None), ("the I/O of 3 processes is withheld from ztopd", "run it as root")


def hello(**sees: object) -> dict[str, Any]:
    return {"uid": 1000, "sees": {"all": False, **sees}}


def test_what_hello_says() -> None:
    assert access_of(hello(because="owner", group="adm")) == Access(False, 1000, "owner", "adm")
    # of an older daemon, of none, of one that jokes
    assert access_of(hello()) == Access(False, 1000, None, None)
    for nothing in ({}, {"sees": None}, {"sees": {"all": 1}}, [], None, RequestFailed("it is gone")):
        assert access_of(nothing) is None
    made = access_of(hello(because=7, group="a\x1b[2J" + "x" * 1000))
    assert made is not None
    assert made.because is None
    assert made.group is not None
    assert made.group.isprintable()
    assert len(made.group) <= 64


def test_how_to_be_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ztop_client.access.own_user", lambda: "alice")
    monkeypatch.setattr(os, "geteuid", lambda: ALICE_UID)
    assert ALICE.withheld("it") == (
        "ztopd shows it to its user, to root and to the group adm. "
        "To be let in: sudo usermod -aG adm alice, and log in again."
    )
    elsewhere = Access(False, ALICE_UID + 1, "owner", "domain users; reboot").withheld("it")
    assert elsewhere is not None
    assert "sudo usermod -aG 'domain users; reboot' USER," in elsewhere
    no_group = Access(False, ALICE_UID, "owner", None).withheld("it")
    assert no_group is not None
    assert 'group = "NAME" in /etc/ztop/ztopd.toml, then systemctl reload ztopd' in no_group
    nobody = Access(False, 65534, "nobody", "adm").withheld("it")
    assert nobody == "ztopd does not show it to uid 65534, which may be anybody."
    assert ROOT.withheld() is None


class TestDashes:
    def at(self, seq: int, source: tuple[str | None, str | None]) -> Frame:
        """Alice's process has I/O here, root's has not."""
        rows = [process(7), process(8, user="root")]
        reason, fix = source
        said = row("sources", source="process_io", state="degraded" if reason else "ok", reason=reason, fix=fix)
        return with_sections(frame(seq, rows), ("process_io", process_io(seq, rows[:1])), ("sources", [said]))

    def sentence(self, access: Access | None, source: tuple[str | None, str | None]) -> str | None:
        found = Dashes().found(process_table(self.at(1, source), self.at(2, source)), {"process_io"})
        assert isinstance(found, Withheld)
        return found.sentence(access, self.at(2, source))

    def test_who_sees_all_is_told_what_the_kernel_withholds(self) -> None:
        assert self.sentence(ROOT, SOME_IO) == f"Dashes: {SOME_IO[0]}. Fix: {SOME_IO[1]}."
        assert self.sentence(ROOT, ALL_IO) is None

    def test_who_sees_his_own_is_told_of_the_rule(self) -> None:
        for source in (ALL_IO, SOME_IO):
            said = self.sentence(ALICE, source)
            assert said == f"Dashes: {ALICE.withheld('what a process reads and writes')}"

    def test_a_rule_that_is_not_the_reason_is_not_named(self) -> None:
        """Of bob's own processes there is nothing either: to be in the group would not help him."""
        bob = Access(False, ALICE_UID + 1, "owner", "adm")
        assert self.sentence(bob, SOME_IO) == f"Dashes: {SOME_IO[0]}. Fix: {SOME_IO[1]}."

    def test_a_recording_says_what_it_knows(self) -> None:
        assert self.sentence(None, SOME_IO) == f"Dashes: {SOME_IO[0]}. Fix: {SOME_IO[1]}."
        assert self.sentence(None, ALL_IO) == (
            "Dashes: what a process reads and writes is for its user and for root to see."
        )


def test_the_help_asks_at_that_moment() -> None:
    answers: dict[str, Any] = {}
    lacking = Lacking(lambda method, _, done: done(answers[method]), lambda: None)
    notes: list[str | None] = []
    made = with_sections(
        frame(1, []), ("sources", [row("sources", source="counters", state="absent", reason="no PMU")])
    )
    answers["snapshot"] = unpack(
        encode_map(frame_head(made), "sections", {"sources": encode_section("sources", made.sections["sources"])})
    )
    answers["hello"] = hello(because="owner", group="adm")
    lacking.note(notes.append)
    answers["hello"] = {"uid": 0, "sees": {"all": True}}
    lacking.note(notes.append)
    answers |= {"snapshot": RequestFailed("gone"), "hello": RequestFailed("gone")}
    lacking.note(notes.append)
    first, second, third = notes
    assert first is not None
    assert first.splitlines()[0] == second == "Counters N/A: no PMU"
    assert "to the group adm" in first.splitlines()[1]
    assert third is None


@pytest.mark.parametrize(("columns", "is_said"), [("pid,exe", True), ("pid,io_read_bytes", True), ("pid,comm", False)])
def test_batch_mode_says_it_where_it_is_asked_for(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], columns: str, is_said: bool
) -> None:
    path = str(tmp_path / "socket")
    with FakeDaemon([frame(1, [process(7)]), frame(2, [process(7)])], path=path) as made:
        daemon = made.in_background()
        usual = daemon.answers["hello"]
        daemon.answers["hello"] = lambda arguments: usual(arguments) | hello(because="owner", group="adm")
        assert main(["-b", "-n", "1", "--socket", path, "--columns", columns]) == 0
    assert ("to root and to the group adm. To be let in" in capsys.readouterr().err) is is_said


def test_the_screen_says_it_where_there_are_dashes_and_in_the_help(tmp_path: Any) -> None:
    path, dashes = str(tmp_path / "socket"), TestDashes()
    with FakeDaemon([dashes.at(1, ALL_IO), dashes.at(2, ALL_IO)], path=path) as made:
        daemon = made.in_background()
        usual = daemon.answers["hello"]
        daemon.answers["hello"] = lambda arguments: usual(arguments) | hello(because="owner", group="adm")
        with Driver([sys.executable, "-P", "-m", "ztop_client", "--socket", path], 200, 40) as d:
            d.wait("Command")
            d.send("\t")
            d.wait("Dashes: ztopd shows what a process reads and writes to its user, to root and to the group adm.")
            d.send("?")
            d.wait("ztopd shows I/O, executables and counters of a process")
            d.wait(lambda: "usermod -aG" in d.text)
            d.send("\x1b")
            d.wait(lambda: "ztop: keys" not in d.text)
            d.send("q")
            assert d.ended() == 0
