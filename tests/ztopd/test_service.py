"""The service of this machine, as ``ztopd --check`` asks for it."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

import ztopd.sampler.check as check
import ztopd.service as service
from ztop_protocol.connection import SERVER_LIMITS, Connection, Request, pack_response
from ztop_protocol.schema import SourceState
from ztopd.configuration import HistoryConfiguration
from ztopd.service import Service, ask_service
from ztopd.store_path import SYSTEM_DIRECTORY

STATUS = {"sampler_pid": 77, "store_bytes": 3 << 20}


def hello(**sees: object) -> dict[str, Any]:
    return {"version": "1.2", "sees": {"all": False, **sees}}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    """A service that answers one client."""
    place = str(tmp_path / "z.sock")
    answers = {"hello": hello(because="owner", group="adm"), "status": STATUS}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()

        def serve() -> None:
            connected, _ = listening.accept()
            connection, left = Connection(SERVER_LIMITS), len(answers)
            with connected:
                while left:
                    connection.feed(connected.recv(4096))
                    for request in connection.messages():
                        assert isinstance(request, Request)
                        connected.sendall(pack_response(request.id, msgpack.packb(answers[request.method])))
                        left -= 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield place


def test_it_is_asked(path: str) -> None:
    found = ask_service(path)
    assert found == Service(hello(because="owner", group="adm"), STATUS)
    assert found.store_bytes == 3 << 20


def test_none_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_SECONDS", 0.1)
    assert ask_service(str(tmp_path / "nothing")) is None
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        assert ask_service(str(tmp_path / "silent")) is None
        silent.listen()
        assert ask_service(str(tmp_path / "silent")) is None


@pytest.mark.parametrize(
    ("sees", "reason", "fix"),
    [
        ({"all": True, "because": "root"}, "shows you everything: you are root", None),
        ({"all": True, "because": "group", "group": "adm"}, "everything: you are of the group adm", None),
        ({"because": "owner", "group": "a b"}, "of your own processes alone", "sudo usermod -aG 'a b' me, and log in"),
        ({"because": "owner"}, "of your own processes alone", "group in /etc/ztop/ztopd.toml"),
        ({"all": True}, "shows you everything", None),
    ],
)
def test_what_it_shows_and_how_to_be_shown_the_rest(
    monkeypatch: pytest.MonkeyPatch, sees: dict[str, Any], reason: str, fix: str | None
) -> None:
    monkeypatch.setattr(service, "_own_user", lambda: "me")
    said = Service(hello(**sees), STATUS).as_source()
    assert said.state is SourceState.OK
    assert said.reason.startswith("ztopd 1.2 (pid 77) serves /run/ztopd/ztopd.sock")
    assert reason in said.reason
    assert (fix is None) == (said.fix is None)
    assert fix is None or fix in str(said.fix)


def test_a_store_that_the_service_has_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = replace(HistoryConfiguration(), store=SYSTEM_DIRECTORY)
    said = check._of_store(ours, Service(hello(), STATUS))
    assert said is not None
    assert (said.state, said.reason) == (SourceState.OK, "in /var/lib/ztopd: the service has it, 3 MiB")
    elsewhere = check._of_store(replace(ours, store="/nowhere/at/all"), Service(hello(), STATUS))
    assert elsewhere is not None
    assert elsewhere.state is SourceState.DEGRADED
