"""A machine whose PID 1 is a real systemd: a container that is thrown away, over this machine's own files."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from tests.end_to_end.real_daemon import until

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/ztop-test"
"""A virtual environment with the checkout in it."""
SOURCE, PYTHON, PACKAGES = "/opt/ztop-source", "/opt/ztop-python", "/opt/ztop-packages"
"""Where the checkout, the interpreter of the tests and their packages are inside: not in somebody's home."""
CANNOT = 77
"""The exit status of boot.sh where a mount is not allowed."""
_SECONDS = 40.0
_NUMBERS = itertools.count()


class CannotBoot(Exception):
    """This machine does not allow it; the sentence says what."""


class Machine:
    """Boots when made. Everything inside is run by :meth:`run` and ends with it; for longer there is systemd-run."""

    def __init__(self) -> None:
        """Raises :exc:`CannotBoot`."""
        if os.geteuid() != 0:
            raise CannotBoot("only root can boot a container")
        for program, package in (("systemd-nspawn", "systemd-container"), ("systemctl", "systemd")):
            if shutil.which(program) is None:
                raise CannotBoot(f"{program} is not installed: apt install {package}")
        if not os.path.exists("/lib/systemd/systemd") or not os.path.exists("/sbin/init"):
            raise CannotBoot("no systemd that could be PID 1: apt install systemd-sysv")
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
            raise CannotBoot("no mount namespace may be made here")
        if _is_elsewhere() and os.stat(sys.base_prefix).st_uid != 0:
            raise CannotBoot(f"{sys.base_prefix} is not root's: ztopd install refuses such a Python")
        self._folder = tempfile.mkdtemp(prefix="ztop-systemd-")
        self._name = f"ztop-test-{os.getpid()}-{next(_NUMBERS)}"
        self._log = Path(f"{self._folder}.log")
        self._leader = 0
        self.before: set[str] = set()
        """The files that were there before ztopd was installed."""
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                ["unshare", "--mount", "sh", str(ROOT / "tests/systemd/boot.sh"), self._folder, self._name, *_binds()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(self._has_leader, "systemd is PID 1", _SECONDS)
            until(self._is_up, "systemd has started everything", _SECONDS)
            self._make_environment()
        except BaseException:
            self.halt()
            raise

    def _has_leader(self) -> bool:
        pid = self._nspawn.pid
        if (status := self._nspawn.poll()) is not None:
            said = self._log.read_text(errors="replace").strip()
            if status == CANNOT:
                raise CannotBoot(f"no container here: {said}")
            raise AssertionError(f"systemd-nspawn ended with {status}: {said}")
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in children:
                other = os.readlink(f"/proc/{child}/ns/pid") != os.readlink("/proc/self/ns/pid")
                if other and Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    self._leader = int(child)
        except FileNotFoundError:
            pass
        return self._leader != 0

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def _make_environment(self) -> None:
        """What pip would leave in a virtual environment, but for copies of files."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        base = PYTHON if _is_elsewhere() else sys.base_prefix
        self.run(f"{base}/bin/python{version}", "-m", "venv", "--without-pip", PREFIX)
        folders = f"{SOURCE}\n{SOURCE}/protocol\n{PACKAGES}\n"
        self.write(f"{PREFIX}/lib/python{version}/site-packages/ztop.pth", folders)
        for name, module in (("ztopd", "ztopd.cli"), ("ztop", "ztop_client.cli")):
            code = f"#!{PREFIX}/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
            self.write(f"{PREFIX}/bin/{name}", code, 0o755)

    def run(
        self, *command: str, user: str = "root", check: bool = True, seconds: float = _SECONDS, text: str | None = None
    ) -> str:
        """What a command inside writes to its standard output. ``text`` is its input."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        inside = ["nsenter", "--target", str(self._leader), "--all", "env", "-i", f"PATH={path}", "LANG=C.UTF-8"]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        done = subprocess.run(
            [*inside, *become, *command],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if check else done.stdout + done.stderr

    def python(self, code: str, *arguments: str, user: str = "root") -> Any:
        """What a program says in JSON, run as that user with ztop's packages."""
        return json.loads(self.run(f"{PREFIX}/bin/python", "-P", "-", *arguments, user=user, text=code))

    def listing(self) -> set[str]:
        """Every file where an installation could leave one."""
        return set(self.run("find", "/etc", "/opt", "/run", "/usr", "/var/lib", "-xdev").splitlines())

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """A file inside, with the folders over it."""
        self.run(
            "sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1"', "sh", path, f"{mode:o}", text=content
        )

    def property(self, name: str) -> str:
        """What systemctl shows of ztopd.service."""
        return self.run("systemctl", "show", "--property", name, "--value", "ztopd.service").strip()

    def journal(self) -> str:
        """What the unit has logged, and systemd about it."""
        return self.run("journalctl", "--unit", "ztopd.service", "--no-pager", "--output", "cat")

    def halt(self) -> None:
        """Ends it with all that runs inside, and takes what it was away."""
        if self._nspawn.poll() is None:
            self._nspawn.send_signal(signal.SIGTERM)
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        groups = 'mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +'
        subprocess.run(["unshare", "--mount", "sh", "-c", groups, "sh", self._folder, self._name], capture_output=True)
        os.rmdir(self._folder)
        self._log.unlink()


def _is_elsewhere() -> bool:
    """Whether the interpreter of the tests has to be shown inside at another place."""
    return not sys.base_prefix.startswith("/usr")


def _binds() -> list[str]:
    shown = {str(ROOT): SOURCE, sysconfig.get_path("purelib"): PACKAGES}
    if _is_elsewhere():
        shown[sys.base_prefix] = PYTHON
    return [f"--bind-ro={there}:{here}" for there, here in shown.items()]
