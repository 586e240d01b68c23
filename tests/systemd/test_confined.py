"""What the unit's confinement leaves: the command of a warning, homes, and what people are told of the rest."""

import json
from typing import Any

import pytest

from tests.end_to_end.real_daemon import until
from tests.systemd.machine import PREFIX, Machine
from tests.systemd.test_service import LOOK, drop_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WARN = """
import sys, time
from ztopd.collectors.nvml.card import VramLow
from ztopd.collectors.nvml.velocity import Eta
from ztopd.privileges import withhold_from_children
from ztopd.warn_command import WarnCommand
withhold_from_children()
script = "grep -E '^(Cap(Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status >/var/lib/ztopd/half && echo $ZTOP_GPU_UUID >>/var/lib/ztopd/half && mv /var/lib/ztopd/half /var/lib/ztopd/warned"
WarnCommand(("/bin/sh", "-c", script))(VramLow("GPU-1", None, False, 0, Eta(40.0, 38.0, None), 1.0, 1, None))
time.sleep(30)
"""  # noqa: E501


def undo(machine: Machine, name: str) -> None:
    machine.run("rm", f"/run/systemd/system/ztopd.service.d/{name}.conf")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "ztopd.service")


def sources(machine: Machine, user: str) -> dict[str, dict[str, Any]]:
    """What ``ztopd --check`` says to that user."""
    said = machine.run("/opt/ztop/bin/ztopd", "--check", "--json", user=user, check=False)
    return {row["source"]: row for row in json.loads(said)}


def test_people_are_told_what_they_see_and_how_to_be_let_in(machine: Machine) -> None:
    how = "sudo usermod -aG ztop-sees-all alice, and log in again"
    alice, carol, root = (sources(machine, user) for user in ("alice", "carol", "root"))
    assert "of your own processes alone" in alice["service"]["reason"]
    assert alice["service"]["fix"] == how
    assert carol["service"]["reason"].endswith("shows you everything: you are of the group ztop-sees-all")
    assert root["service"]["reason"].endswith("shows you everything: you are root")
    # that the service writes it is no fault of root's
    assert root["store"]["state"] == "ok"
    assert root["store"]["reason"].startswith("in /var/lib/ztopd: the service has it, ")
    batch = [f"{PREFIX}/bin/ztop", "-b", "-n", "1", "--columns", "pid,exe"]
    for user, is_told in (("alice", True), ("carol", False), ("root", False)):
        assert (how in machine.run(*batch, user=user, check=False)) == is_told, user


def test_the_command_of_a_warning_holds_nothing(machine: Machine) -> None:
    """The unit's filter lets nobody call capset(2)."""
    machine.write("/opt/ztop-test/warn.py", WARN)
    only = f"[Service]\nType=exec\nWatchdogSec=0\nExecStart=\nExecStart={PREFIX}/bin/python /opt/ztop-test/warn.py\n"
    drop_in(machine, "warn", only)
    until(lambda: "warned" in machine.run("ls", "/var/lib/ztopd"), "the command ran")
    said = machine.run("cat", "/var/lib/ztopd/warned").split()
    machine.run("rm", "/var/lib/ztopd/warned")
    undo(machine, "warn")
    assert said == ["CapPrm:", "0" * 16, "CapEff:", "0" * 16, "CapAmb:", "0" * 16, "NoNewPrivs:", "1", "GPU-1"]


def test_a_wrong_configuration_is_not_tried_again(machine: Machine) -> None:
    right = machine.run("cat", "/etc/ztop/ztopd.toml")
    machine.write("/etc/ztop/ztopd.toml", "interval = 1\n")
    machine.run("systemctl", "restart", "ztopd.service", check=False)
    told = [machine.property(name) for name in ("ActiveState", "Result", "ExecMainStatus", "NRestarts")]
    machine.write("/etc/ztop/ztopd.toml", right)
    machine.run("systemctl", "reset-failed", "ztopd.service")
    machine.run("systemctl", "start", "ztopd.service")
    assert told == ["failed", "exit-code", "2", "0"]
    assert "ztopd: /etc/ztop/ztopd.toml: unknown key 'interval'" in machine.journal()


def test_the_drop_in_for_homes_shows_their_file_system(machine: Machine) -> None:
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/home")
    machine.run("systemctl", "restart", "ztopd.service")
    assert "/home" not in machine.python(LOOK)["filesystems"]
    drop_in(machine, "homes", "[Service]\nProtectHome=read-only\n")
    until(lambda: "/home" in machine.python(LOOK)["filesystems"], "/home is seen")
    undo(machine, "homes")
    machine.run("umount", "/home")
