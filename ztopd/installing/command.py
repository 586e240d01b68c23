"""The commands ``install`` and ``uninstall`` of ztopd."""

import argparse
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ztopd.installing import package
from ztopd.installing.package import MARK, InstallRefused
from ztopd.installing.trust import objection
from ztopd.socket_path import SYSTEM_SOCKET
from ztopd.store_path import SYSTEM_DIRECTORY

USUAL_PREFIX = "/opt/ztop"
UNITS = Path("/etc/systemd/system")
SHARE = Path("/usr/local/share")
"""Where man and the shells look for what an administrator installed."""
SYSUSERS = Path("/etc/sysusers.d/ztop.conf")
STATE = Path(SYSTEM_DIRECTORY)
RUNTIME = Path(SYSTEM_SOCKET).parent
USER = "ztop"
BIN = Path("/usr/local/bin")
"""Where who installed is told to link the clients."""
_FIRST_PERSON_UID = 1000
"""systemd-sysusers gives a service a lower one."""
_FIRST_LINE = (
    "# Written by ztopd install, removed by ztopd uninstall: changes belong into a drop-in (systemctl edit).\n"
)
_START = "ExecStart=/opt/ztop/bin/ztopd\n"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence on stderr."""
        self.exit(2, f"{self.prog}: {message}\n")


def parser(command: str) -> argparse.ArgumentParser:
    """That of ``install`` or of ``uninstall``."""
    made = _Parser(f"ztopd {command}", allow_abbrev=False)
    made.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    if command == "install":
        made.description = "Makes ztopd a service of this machine: units, user, manual and completions. Starts nothing."
        made.add_argument("--prefix", metavar="DIR", type=_absolute, help=f"put ztop there first, {USUAL_PREFIX} say")
    else:
        made.description = "Ends the service and removes what ztopd install made."
        made.add_argument("--purge", action="store_true", help=f"also {STATE}, the past, and the user {USER}")
    return made


def main(argv: Sequence[str]) -> int:
    """Runs ``install`` or ``uninstall``, the first word; returns the exit status."""
    options = parser(argv[0]).parse_args(argv[1:])
    try:
        if Path(sys.prefix) == package.DEBIAN:
            raise InstallRefused("this is the Debian package, which brings its own units: systemctl enable --now ztopd")
        if os.geteuid() != 0 and not options.dry_run:
            raise InstallRefused(f"only root may: sudo ztopd {argv[0]}")
        if argv[0] == "install":
            _install(options.prefix, is_dry=options.dry_run)
        else:
            _uninstall(is_dry=options.dry_run, is_purge=options.purge)
    except InstallRefused as refused:
        print(f"ztopd {argv[0]}: {refused}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"ztopd {argv[0]}: {' '.join(error.cmd)} failed with status {error.returncode}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ztopd {argv[0]}: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _absolute(path: str) -> Path:
    if not os.path.isabs(path) or not path.isprintable() or any(letter in path for letter in " \t%$\"'\\"):
        # systemd and the kernel's #! line would each read it in their own way
        raise argparse.ArgumentTypeError("an absolute path without spaces and signs was expected")
    return Path(os.path.normpath(path))


def files(program: str) -> dict[Path, str]:
    """What is written, for a ztopd at that path."""
    folder = package.units_folder()
    service = (folder / "ztopd.service").read_text()
    assert _START in service
    return {
        UNITS / "ztopd.service": _FIRST_LINE + service.replace(_START, f"ExecStart={program}\n"),
        UNITS / "ztopd.socket": _FIRST_LINE + (folder / "ztopd.socket").read_text(),
        SYSUSERS: _FIRST_LINE + (folder / "ztop.sysusers.conf").read_text(),
    }


def links(shared: Path) -> dict[Path, Path]:
    """Where the manual and completions in that folder are looked for, unless it is there already."""
    return {} if shared in (SHARE, Path("/usr/share")) else {SHARE / name: shared / name for name in package.SHARED}


def _here() -> str:
    """The ztopd that runs now, if a service may run it. Raises :exc:`InstallRefused`."""
    program = f"{sys.prefix}/bin/ztopd"
    runs = [
        program,
        sys.executable,
        os.__file__,
        *(str(package.folder_of(name)) for name in ("ztopd", "ztop_protocol")),
        str(package.shared_folder()),
    ]
    reason = next((found for path in runs if (found := objection(path))), None)
    if reason is None and not os.access(program, os.X_OK):
        reason = f"there is no {program}: this is a checkout"
    if reason is not None:
        raise InstallRefused(f"{reason}. This puts ztop where it may run: ztopd install --prefix {USUAL_PREFIX}")
    return program


def _install(prefix: Path | None, *, is_dry: bool) -> None:
    if prefix is not None:
        package.check(prefix)
    program = f"{prefix}/bin/ztopd" if prefix is not None else _here()
    written = files(program)
    linked = links(prefix / "share" if prefix is not None else package.shared_folder())
    for path in (*written, *linked):
        if os.path.lexists(path) and not _is_ours(path):
            raise InstallRefused(f"{path} is there already, and was not written by ztopd install")
    if (uid := _uid()) is not None and uid >= _FIRST_PERSON_UID:
        raise InstallRefused(f"the user {USER} is somebody here (uid {uid}), and the service needs one of its own")
    if not is_dry and not os.path.isdir("/run/systemd/system"):
        raise InstallRefused("systemd does not run here")
    os.umask(0o022)
    if prefix is not None:
        _say(is_dry, f"copy ztop and what it needs to {prefix}")
        if not is_dry:
            package.make(prefix)
    for path, content in written.items():
        _say(is_dry, f"write {path}")
        if not is_dry:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    for path, goal in linked.items():
        _say(is_dry, f"link {path} to {goal}")
        if not is_dry:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(goal)
    _run(is_dry, "systemd-sysusers", str(SYSUSERS))
    _run(is_dry, "systemctl", "daemon-reload")
    _run(is_dry, "systemctl", "try-restart", "ztopd.service")
    print("\nNext:\n  systemctl enable --now ztopd.service")
    if prefix is not None:
        print(f"  ln -s {prefix}/bin/ztop {prefix}/bin/ztop-g {BIN}/")
    print('  in /etc/ztop/ztopd.toml: group = "...", whose members see what is everybody\'s')


def _uninstall(*, is_dry: bool, is_purge: bool) -> None:
    service = UNITS / "ztopd.service"
    prefix = _prefix_of(service)
    if service.exists() and _is_ours(service):
        _run(is_dry, "systemctl", "disable", "--now", "ztopd.service", "ztopd.socket")
    written = (service, UNITS / "ztopd.socket", SYSUSERS, *(SHARE / name for name in package.SHARED))
    ours = [path for path in written if os.path.lexists(path) and _is_ours(path)]
    if prefix is not None:
        linked = {BIN / name: f"{prefix}/bin/{name}" for name in package.PROGRAMS}
        ours += [path for path, goal in linked.items() if path.is_symlink() and os.readlink(path) == goal]
    for path in ours:
        _say(is_dry, f"remove {path}")
        if not is_dry:
            path.unlink()
    _run(is_dry, "systemctl", "daemon-reload")
    doomed = [prefix, RUNTIME, *([STATE] if is_purge else [])]
    for folder in (one for one in doomed if one is not None and one.is_dir()):
        _say(is_dry, f"remove {folder}")
        if not is_dry:
            shutil.rmtree(folder)
    if is_purge:
        if (uid := _uid()) is not None and uid < _FIRST_PERSON_UID:
            _run(is_dry, "userdel", USER)
    else:
        print(f"\nLeft as they are: {STATE} with the past, and the user {USER}. ztopd uninstall --purge removes both.")


def _prefix_of(service: Path) -> Path | None:
    """The prefix that the unit runs from, if ztopd install made it."""
    try:
        lines = service.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("ExecStart=") and line.endswith("/bin/ztopd"):
            prefix = Path(line.removeprefix("ExecStart=").removesuffix("/bin/ztopd"))
            return prefix if (prefix / MARK).exists() else None
    return None


def _uid() -> int | None:
    """Of the service's user; None where there is none."""
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        return None


def _is_ours(path: Path) -> bool:
    if path.is_symlink():
        # whoever links packages to one place, as stow does, writes relative links
        goal = os.readlink(path)
        return path.is_relative_to(SHARE) and os.path.isabs(goal) and goal.endswith(f"/share/{path.relative_to(SHARE)}")
    return path.is_file() and path.read_text(errors="replace").startswith(_FIRST_LINE)


def _run(is_dry: bool, *command: str) -> None:
    _say(is_dry, " ".join(command))
    if not is_dry:
        subprocess.run(command, check=True)


def _say(is_dry: bool, what: str) -> None:
    print(f"would {what}" if is_dry else what, flush=True)
