"""The Debian package in a machine that systemd runs: in, to a higher version, out. The tests follow each other."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.real_daemon import until
from tests.systemd.machine import ROOT, CannotBoot, Machine
from ztop_protocol.version import VERSION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NEWER = f"{VERSION}+newer"
NOT_OURS = re.compile(
    r"/etc/(passwd|shadow|group|gshadow|subuid|subgid)-|/etc/\.(pwd|updated)\.?\w*|/run/(?!ztop|systemd/(system|units)/ztop)"
    r"|/var/lib/(systemd|dpkg/(status|available|lock|triggers|updates|diversions))"
)
"""What systemd, dpkg and those who keep the list of users write beside it."""


def packages(folder: Path) -> tuple[Path, Path]:
    """That of this checkout, and one of a higher version."""
    for program in ("dpkg-deb", "strip", "/usr/bin/python3"):
        if shutil.which(program) is None:
            pytest.skip(f"no Debian package is made here: there is no {program}")
    (folder / "old").mkdir()
    done = subprocess.run([ROOT / "scripts/deb", folder / "old"], capture_output=True, text=True)
    if "needs Python 3.11" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    (old,) = (folder / "old").iterdir()
    assert re.fullmatch(rf"ztop_{re.escape(VERSION)}_[a-z0-9]+\.deb", old.name)
    new, root = folder / "new.deb", folder / "root"
    subprocess.run(["dpkg-deb", "--raw-extract", old, root], check=True)
    (version,) = root.glob("usr/lib/ztop/lib/*/site-packages/ztop_protocol/version.py")
    for path in (root / "DEBIAN/control", version):
        path.write_text(path.read_text().replace(VERSION, NEWER))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, new], check=True, capture_output=True)
    return old, new


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With an ordinary user, and without ztop."""
    try:
        booted = Machine()
    except CannotBoot as error:
        pytest.skip(str(error))
    try:
        booted.run("useradd", "--create-home", "alice")
        for number, path in enumerate(packages(tmp_path_factory.mktemp("deb"))):
            text = base64.b64encode(path.read_bytes()).decode()
            booted.run("sh", "-c", f"base64 -d >/opt/{number}.deb", text=text)
        # where a container of another kind keeps services from being started
        booted.run("rm", "-f", "/usr/sbin/policy-rc.d")
        # the index of all pages of the manual takes longer than the rest
        booted.run("rm", "-f", "/var/lib/man-db/auto-update")
        booted.before = booted.listing()
        yield booted
    finally:
        booted.halt()


def frame(machine: Machine, *options: str) -> Any:
    """What an ordinary user is shown."""
    return json.loads(machine.run("ztop", "-b", "-n", "1", "--json", *options, user="alice"))


def test_it_goes_in_and_starts_nothing(machine: Machine) -> None:
    machine.run("dpkg", "--install", "/opt/0.deb", seconds=90)
    assert machine.run("dpkg", "--audit") == ""
    assert machine.run("dpkg", "--verify", "ztop") == ""
    assert machine.property("ActiveState") == "inactive"
    assert machine.property("UnitFileState") == "disabled"
    assert machine.run("ztop", "--version", user="alice") == f"ztop {VERSION}\n"
    machine.run("systemd-analyze", "verify", "ztopd.service", "ztopd.socket")
    for page in ("1 ztop", "1 ztop-g", "8 ztopd", "5 ztopd.toml"):
        number, name = page.split()
        assert machine.run("test", "-s", f"/usr/share/man/man{number}/{name}.{number}.gz") == ""
    # it uses its own packages, compiled when it was installed, and no other
    assert machine.run("find", "/usr/lib/ztop/lib", "-path", "*/site-packages/ztop*/cli.cpython-*.pyc").count("\n") == 3
    assert "Debian package" in machine.run("ztopd", "install", check=False)
    assert "Debian package" in machine.run("ztopd", "uninstall", "--purge", check=False)


def test_enabled_it_serves_everybody(machine: Machine) -> None:
    machine.write("/etc/ztop/ztopd.toml", "interval_seconds = 0.5\n")
    machine.run("systemctl", "enable", "--quiet", "--now", "ztopd.service")
    assert machine.property("ActiveState") == "active"
    assert machine.property("StatusText") == "a frame every 0.5 s"
    assert "/usr/lib/ztop/bin/python" in machine.run("cat", f"/proc/{machine.property('MainPID')}/cmdline")
    seen = frame(machine, "--socket", "/run/ztopd/ztopd.sock")
    assert {row["comm"] for row in seen["processes"]} > {"systemd", "ztopd"}
    assert {row["source"]: row["state"] for row in seen["sources"]}["store"] == "ok"
    assert "WARNING" not in machine.journal()


def test_an_upgrade_starts_it_anew_and_keeps_the_past(machine: Machine) -> None:
    before, pid = frame(machine), machine.property("MainPID")
    machine.run("dpkg", "--install", "/opt/1.deb", seconds=90)
    assert machine.run("ztop", "--version") == f"ztop {NEWER}\n"
    until(lambda: machine.property("ActiveState") == "active", "it runs again")
    assert machine.property("MainPID") != pid
    assert machine.property("UnitFileState") == "enabled"
    assert machine.run("cat", "/etc/ztop/ztopd.toml") == "interval_seconds = 0.5\n"
    seconds = before["time_ns"] / 1e9
    assert frame(machine, "--at", f"@{seconds:.9f}")["seq"] == before["seq"]
    assert frame(machine)["seq"] > before["seq"]


def test_removed_it_leaves_the_past_and_purged_nothing(machine: Machine) -> None:
    machine.run("dpkg", "--remove", "ztop", seconds=90)
    assert machine.property("LoadState") == "not-found"
    assert machine.run("ls", "-A", "/usr/lib/ztop", "/run/ztopd", check=False).count("No such file") == 2
    assert machine.run("cat", "/etc/ztop/ztopd.toml") == "interval_seconds = 0.5\n"
    assert "timeline.ztop\n" in machine.run("ls", "/var/lib/ztopd")
    assert "ztopd.service\n" in machine.run("ls", "/etc/systemd/system/multi-user.target.wants")
    machine.run("dpkg", "--purge", "ztop", seconds=90)
    assert (
        machine.run("getent", "passwd", "ztop", check=False)
        == machine.run("getent", "group", "ztop", check=False)
        == ""
    )
    assert "ztop" not in machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "ztopd*")
    assert {path for path in machine.listing() - machine.before if not NOT_OURS.match(path)} == set()
    assert {path for path in machine.before - machine.listing() if not NOT_OURS.match(path)} == set()
