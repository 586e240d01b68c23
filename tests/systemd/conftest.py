"""One machine for all tests of this folder: it takes seconds to boot."""

from collections.abc import Iterator

import pytest

from tests.systemd.machine import PREFIX, SOURCE, CannotBoot, Machine


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Booted, with the units in place and three people: alice, bob, and carol, who is of the group ztop-sees-all."""
    try:
        booted = Machine()
    except CannotBoot as error:
        pytest.skip(str(error))
    try:
        booted.run(
            "install", "-D", "-m", "644", f"{SOURCE}/systemd/ztop.sysusers.conf", "/usr/lib/sysusers.d/ztop.conf"
        )
        for unit in ("ztopd.service", "ztopd.socket"):
            booted.run("install", "-m", "644", f"{SOURCE}/systemd/{unit}", "/etc/systemd/system/")
        booted.run("systemd-sysusers")
        booted.run("groupadd", "ztop-sees-all")
        for name in ("alice", "bob", "carol"):
            booted.run("useradd", "--create-home", "--user-group", name)
            busy = "while True: sum(range(100000)); __import__('time').sleep(0.05)"
            booted.run("systemd-run", "-q", f"--unit=busy-{name}", f"--uid={name}", f"{PREFIX}/bin/python", "-c", busy)
        booted.run("usermod", "--append", "--groups", "ztop-sees-all", "carol")
        booted.write("/etc/ztop/ztopd.toml", 'group = "ztop-sees-all"\ninterval_seconds = 0.5\n')
        booted.run("systemctl", "daemon-reload")
        booted.run("systemctl", "enable", "--quiet", "--now", "ztopd.service")
        yield booted
    finally:
        booted.halt()
