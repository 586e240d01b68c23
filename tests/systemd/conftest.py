"""One machine for all tests of this folder: it takes seconds to boot."""

from collections.abc import Iterator

import pytest

from tests.systemd.machine import PREFIX, CannotBoot, Machine


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Booted, with ztopd installed and running, and three people: alice, bob, and carol of the group ztop-sees-all."""
    try:
        booted = Machine()
    except CannotBoot as error:
        pytest.skip(str(error))
    try:
        booted.before = booted.listing()
        booted.run(f"{PREFIX}/bin/ztopd", "install", "--prefix", "/opt/ztop")
        booted.run("groupadd", "ztop-sees-all")
        for name in ("alice", "bob", "carol"):
            booted.run("useradd", "--create-home", "--user-group", name)
            busy = "while True: sum(range(100000)); __import__('time').sleep(0.05)"
            booted.run("systemd-run", "-q", f"--unit=busy-{name}", f"--uid={name}", f"{PREFIX}/bin/python", "-c", busy)
        booted.run("usermod", "--append", "--groups", "ztop-sees-all", "carol")
        booted.write("/etc/ztop/ztopd.toml", 'group = "ztop-sees-all"\ninterval_seconds = 0.5\n')
        booted.run("systemctl", "enable", "--quiet", "--now", "ztopd.service")
        yield booted
    finally:
        booted.halt()
