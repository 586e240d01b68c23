"""Who may see what."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ztop_protocol.frame import Section
from ztop_protocol.schema import SECTIONS, Visibility
from ztopd.server.access import (
    NOBODY_UID,
    NOGROUP_GID,
    Access,
    Peer,
    Standing,
    View,
    hides_processes,
    peer_of,
    rows_of,
    standing_of,
    view_of,
)

NO_GROUPS: frozenset[int] = frozenset()
OWNER_SECTIONS = {name for name, section in SECTIONS.items() if section.visibility is Visibility.OWNER}


def table(section: str, *rows: dict[str, object]) -> Section:
    schema = SECTIONS[section]
    made = [tuple(row.get(name) for name in schema.names) for row in rows]
    return Section(5, {row[: schema.key_length]: row for row in made})  # type: ignore[misc]


def test_the_kernel_says_who_the_peer_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert peer.groups == frozenset(os.getgroups())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in any groups it likes")
@pytest.mark.parametrize("groups", [[], [70001], list(range(70000, 71000))], ids=["none", "one", "a thousand"])
def test_all_groups_of_the_peer_are_read(groups: list[int]) -> None:
    root = Path(__file__).parents[3]
    code = f"import os, socket; os.setgroups({groups}); from ztopd.server.access import peer_of; a, b = socket.socketpair(); print(sorted(peer_of(a).groups))"  # noqa: E501
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'protocol'}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == str(groups)


@pytest.mark.parametrize(
    ("peer", "group", "standing", "view"),
    [
        (Peer(1, 0, 0, NO_GROUPS), None, Standing.ROOT, View(True, 0)),
        (Peer(1, 1000, 1000, NO_GROUPS), None, Standing.OWNER, View(False, 1000)),
        (Peer(1, 1000, 50, NO_GROUPS), 50, Standing.GROUP, View(True, 1000)),
        (Peer(1, 1000, 1000, frozenset((4, 50))), 50, Standing.GROUP, View(True, 1000)),
        (Peer(1, 1000, 1000, frozenset((4, 51))), 50, Standing.OWNER, View(False, 1000)),
        (Peer(1, 1000, 0, frozenset((0,))), None, Standing.OWNER, View(False, 1000)),
        (Peer(1, NOBODY_UID, NOBODY_UID, NO_GROUPS), None, Standing.NOBODY, View(False, None)),
        # whoever has no ids in our user namespace has these, whatever he is where he comes from
        (Peer(1, NOBODY_UID, 50, NO_GROUPS), 50, Standing.NOBODY, View(False, None)),
        (Peer(1, 1000, NOGROUP_GID, frozenset((NOGROUP_GID,))), NOGROUP_GID, Standing.OWNER, View(False, 1000)),
    ],
)
def test_root_and_the_group_see_everything_others_their_own(
    peer: Peer, group: int | None, standing: Standing, view: View
) -> None:
    assert standing_of(peer, group) is standing
    assert view_of(peer, standing) == view


def test_who_started_a_private_daemon_sees_what_it_sees() -> None:
    own, other = Peer(1, os.geteuid(), 7, NO_GROUPS), Peer(1, os.geteuid() + 1, 7, NO_GROUPS)
    assert standing_of(own, None, is_private=True) is (Standing.PRIVATE if own.uid else Standing.ROOT)
    assert view_of(own, Standing.PRIVATE).sees_all
    assert standing_of(other, None, is_private=True) is Standing.OWNER


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize("hides", [False, True])
def test_every_section_for_every_view(name: str, hides: bool) -> None:
    assert View(True, 0).access(name, hides) is Access.ALL
    owned = name in OWNER_SECTIONS or (hides and name in ("processes", "threads", "process_events", "gpu_processes"))
    assert View(False, 1000).access(name, hides) is (Access.OWN if owned else Access.ALL)
    assert View(False, None).access(name, hides) is (Access.NOTHING if owned else Access.ALL)


def test_every_section_that_may_be_cut_says_whose_its_rows_are() -> None:
    for name in (*OWNER_SECTIONS, "processes"):
        assert "owner_uid" in SECTIONS[name].position


def test_an_unknown_owner_is_root() -> None:
    section = table(
        "process_io",
        {"pid": 1, "start_boottime_ns": 1, "owner_uid": None},
        {"pid": 2, "start_boottime_ns": 1, "owner_uid": 1000},
        {"pid": 3, "start_boottime_ns": 1, "owner_uid": 0},
    )
    assert list(rows_of("process_io", section, 1000).rows) == [(2, 1)]
    assert list(rows_of("process_io", section, 0).rows) == [(1, 1), (3, 1)]
    assert rows_of("process_io", section, 1000).sampled_boottime_ns == 5


@pytest.mark.parametrize(("hidepid", "hides"), [(0, False), (1, True), (2, True), (4, True), (None, True)])
def test_hidepid_hides_and_so_does_not_knowing(hidepid: int | None, hides: bool) -> None:
    assert hides_processes(table("host", {"hidepid": hidepid})) is hides


def test_without_a_host_section_processes_are_hidden() -> None:
    assert hides_processes(None)
