"""An installation that root alone can change: a virtual environment with copies of what runs now."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from ztopd.installing.trust import objection

OURS = ("ztopd", "ztop_client", "ztop_protocol")
PROGRAMS = {"ztopd": "ztopd.cli", "ztop": "ztop_client.cli", "ztop-g": "ztop_client.gpu.cli"}
SHARED = (
    *("man/man1/ztop.1", "man/man1/ztop-g.1", "man/man5/ztopd.toml.5", "man/man8/ztopd.8"),
    *(f"bash-completion/completions/{name}" for name in PROGRAMS),
    *(f"zsh/site-functions/_{name}" for name in PROGRAMS),
    *(f"fish/vendor_completions.d/{name}.fish" for name in PROGRAMS),
)
"""The manual and completions, below the folder ``share`` of a prefix."""
DEBIAN = Path("/usr/lib/ztop")
"""The prefix of the Debian package."""
MARK = ".made-by-ztopd-install"
"""A file in a prefix that says that all of it may be removed."""
_EVERYTHING = ("ztopd.sampler.run", "ztopd.server.process", "ztop_client.monitor", "ztop_client.batch")
"""Modules that import the rest."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class InstallRefused(Exception):
    """It is not done; the sentence says why, and what could be."""


def folder_of(package: str) -> Path:
    """Where a package was imported from. Raises :exc:`InstallRefused`."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InstallRefused(f"the package {package} is not there to be copied")
    return Path(found.submodule_search_locations[0])


def units_folder() -> Path:
    """Where the units are: in an installed package, or beside it in a checkout."""
    package = folder_of("ztopd")
    inside = package / "systemd"
    return inside if inside.is_dir() else package.parent / "systemd"


def shared_folder() -> Path:
    """Where the manual and completions are: in a checkout, or where pip put them."""
    checkout = folder_of("ztopd").parent / "share"
    return checkout if (checkout / SHARED[0]).exists() else Path(sysconfig.get_path("data")) / "share"


def interpreter() -> str:
    """A Python of the version that runs now, since compiled packages are copied. Raises :exc:`InstallRefused`."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (
        f"{sys.base_prefix}/bin/python{version}",
        f"/usr/bin/python{version}",
        f"/usr/local/bin/python{version}",
    )
    reasons = []
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            if (reason := objection(candidate)) is None:
                return candidate
            reasons.append(reason)
    raise InstallRefused(
        f"there is no Python {version} that root alone can change{''.join(f'; {one}' for one in reasons)}"
    )


def dependencies() -> list[Distribution]:
    """What ztop needs and has here, with what that needs."""
    try:
        wanted = distribution("ztop").requires or []
    except PackageNotFoundError:
        project = folder_of("ztopd").parent / "pyproject.toml"
        wanted = tomllib.loads(project.read_text())["project"]["dependencies"]
    found: dict[str, Distribution] = {}
    waiting = list(wanted)
    while waiting:
        requirement = waiting.pop()
        name = _NAME.match(requirement)
        if name is None or "extra ==" in requirement or name[0] in found:
            continue
        try:
            one = distribution(name[0])
        except PackageNotFoundError:
            continue  # needed by another Python or system than this
        if one.files is None:
            raise InstallRefused(f"what belongs to {name[0]} is not known, as pip did not install it: use scripts/run")
        found[name[0]] = one
        waiting += one.requires or []
    return list(found.values())


def make(prefix: Path) -> None:
    """Makes the environment anew. Raises :exc:`InstallRefused` for a folder that is there and not ours."""
    python = check(prefix)
    needed, shared = dependencies(), shared_folder()
    if not (shared / SHARED[0]).exists():
        raise InstallRefused(f"the manual is not in {shared}, to be copied")
    subprocess.run([python, "-m", "venv", "--without-pip", "--clear", str(prefix)], check=True)
    (prefix / MARK).touch()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = prefix / "lib" / version / "site-packages"
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in OURS:
        shutil.copytree(folder_of(name), packages / name, ignore=without_caches, dirs_exist_ok=True)
    shutil.copytree(units_folder(), packages / "ztopd" / "systemd", dirs_exist_ok=True)
    for name in SHARED:
        goal = prefix / "share" / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared / name, goal)
    for one in needed:
        for file in one.files or ():
            # its programs lie outside of the packages: nobody needs them
            if ".." not in file.parts and "__pycache__" not in file.parts:
                goal = packages / file
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), goal)
    for program, module in PROGRAMS.items():
        path = prefix / "bin" / program
        path.write_text(f"#!{prefix}/bin/python -P\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n")
        path.chmod(0o755)
    # nobody but root could write these later; and a package that is missing is found now, not at the first start
    subprocess.run([python, "-m", "compileall", "-q", str(packages)], check=False)
    subprocess.run([str(prefix / "bin" / "python"), "-P", "-c", f"import {', '.join(_EVERYTHING)}"], check=True)


def check(prefix: Path) -> str:
    """The interpreter for it. Raises :exc:`InstallRefused` where nothing of ours may be made."""
    if reason := objection(str(prefix)):
        raise InstallRefused(f"not in {prefix}: {reason}")
    if prefix.exists() and not (prefix / MARK).exists() and any(prefix.iterdir()):
        raise InstallRefused(f"{prefix} is there already, and was not made by ztopd install")
    return interpreter()
